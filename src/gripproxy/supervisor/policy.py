"""What the supervisor does when a child reports, dies or hangs, or when it is asked to stop: (event, now) -> actions.

No process is touched here. Children are known by their scoreboard row: 0 is the hub, N + 1 is worker N. `now` and
every other time is monotonic seconds.
"""

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from gripproxy.handover import LISTEN_SIGNAL
from gripproxy.scoreboard import HUB_ROW
from gripproxy.supervisor.child_state import Child, ChildState

FAILED_STARTS_MAX_COUNT = 10  # about 20 s of trying to replace a child that served before; then stop the whole
START_MAX_S = 30.0  # a child that is neither ready nor gone by then hangs
HEARTBEAT_MAX_S = 20.0
CHECK_PERIOD_S = 1.0
FROZEN_S = 5.0  # no check for so long: the machine slept, and the children with it
STOP_MAX_S = 4.0  # on top of what draining may take; same as Pushpin
WELL_MAX_S = 30.0  # past HEARTBEAT_MAX_S: a child that hangs is killed and replaced before anybody else acts
KILL_WAIT_S = 2.0  # a process that the kernel cannot end by then is left to it

# What two supervisors say to each other in an upgrade.
READY = "ready"  # the new one: every child could serve
MOVED = "moved"  # the new one: its hub has taken over
DONE = "done"  # the new one: its workers have taken over what could be


class Phase(IntEnum):
    """How far the whole is."""

    STARTING = 0  # not every child has been ready yet: any failure ends the start
    TAKING_HUB = 1  # only in an upgrade: all are ready, nothing is taken over yet; any failure ends it
    TAKING_WORKERS = 2  # only in an upgrade: the hub has taken over, the workers are at it
    SERVING = 3
    STOPPING_WORKERS = 4
    STOPPING_HUB = 5
    KILLING = 6
    ENDED = 7


STARTING, TAKING_HUB, TAKING_WORKERS, SERVING, STOPPING_WORKERS, STOPPING_HUB, KILLING, ENDED = Phase


@dataclass(slots=True)
class ChildReady:
    """The child reported that it serves."""

    row: int


@dataclass(slots=True)
class ChildExited:
    """The child is gone, or could not be forked. `how`: ``exit status 3``; `reason`: its own words, if it left any."""

    row: int
    how: str
    reason: str | None = None


@dataclass(slots=True)
class Ticked:
    """Time has passed. `heartbeats_s`: by row, when each child last wrote its heartbeat."""

    heartbeats_s: Sequence[float]


@dataclass(slots=True)
class StopAsked:
    """SIGTERM or SIGINT came."""


@dataclass(slots=True)
class ReloadAsked:
    """SIGHUP came, or the routes file has changed."""

    is_file_changed: bool = False


@dataclass(slots=True)
class Reloaded:
    """What was read again is good, and kept for the children."""


@dataclass(slots=True)
class ChildSucceeded:
    """In an upgrade: the child has taken over all that it was to take over."""

    row: int


@dataclass(slots=True)
class OldSideOpen:
    """In an upgrade: the old processes hand over now to whoever asks."""


@dataclass(slots=True)
class OldSideGone:
    """In an upgrade: the old supervisor is gone, and so are its children before long."""


@dataclass(slots=True)
class UpgradeOff:
    """In an upgrade: the old supervisor will not have this one."""

    reason: str


@dataclass(slots=True)
class RetireAsked:
    """A new version has taken over: stop, and leave everything that is shared to it."""


Event = (
    ChildReady
    | ChildExited
    | Ticked
    | StopAsked
    | ReloadAsked
    | Reloaded
    | ChildSucceeded
    | OldSideOpen
    | OldSideGone
    | UpgradeOff
    | RetireAsked
)


@dataclass(slots=True)
class Start:
    """Fork the child of this row."""

    row: int


@dataclass(slots=True)
class Send:
    """Send a signal to the children of these rows."""

    rows: list[int]
    signal_number: signal.Signals


@dataclass(slots=True)
class Tell:
    """In an upgrade: say this word to the old supervisor, or to the new one."""

    word: str


@dataclass(slots=True)
class ReadAgain:
    """Read configuration and routes again, or the routes only; `Reloaded` comes if they are good."""

    is_routes_only: bool


@dataclass(slots=True)
class Log:
    """Write a log line. `level` as in `log_level`: 0 error, 1 warning, 2 info."""

    level: int
    text: str


@dataclass(slots=True)
class End:
    """Nothing is left to do: exit with this status."""

    status: int


Action = Start | Send | Tell | ReadAgain | Log | End


class Policy:
    """The supervisor's decisions. Call `start` once, then `handle` for every event until an `End` comes out."""

    def __init__(self, names: Sequence[str], drain_s: float = 0.0, is_takeover: bool = False) -> None:
        """`drain_s`: how long workers may take to part from their clients. `is_takeover`: see `Phase`."""
        self.children = [Child(name) for name in names]
        self.is_held = False  # what dies is not replaced: a new version is taking over
        self.drain_s = drain_s
        self._is_takeover = is_takeover
        self._is_old_side_open = False
        self._enter(STARTING)
        self._status = 0
        self._stop_max_s = STOP_MAX_S
        self._deadline_s = 0.0  # of the present stopping phase
        self._checked_s = 0.0

    def start(self, now: float) -> list[Action]:
        """Start every child, the hub first."""
        self._checked_s = now
        return [self._start_child(row, now) for row in range(len(self.children))]

    def handle(self, event: Event, now: float) -> list[Action]:
        """Advance by one event. Gives the actions in the order in which they must be done."""
        return self._on[type(event)](self, event, now)

    def wait_s(self, now: float) -> float:
        """Say how long nothing needs to be done unless an event comes."""
        moments = [now + CHECK_PERIOD_S]
        moments += [child.restart_s for child in self.children if child.state == ChildState.WAITING]
        if self.phase in (STOPPING_WORKERS, STOPPING_HUB, KILLING):
            moments.append(self._deadline_s)
        return max(0.0, min(moments) - now)

    @property
    def is_complete(self) -> bool:
        """Whether every child serves."""
        return all(child.state == ChildState.READY for child in self.children)

    def is_well(self, heartbeats_s: Sequence[float], now: float) -> bool:
        """Tell whether every child lives, or has been away for no longer than it takes to replace it.

        While a new version takes over, which has its own limits, none is replaced.
        """
        for child, heartbeat_s in zip(self.children, heartbeats_s, strict=True):
            if child.state == ChildState.WAITING and self.is_held:
                continue
            last_s = max(child.alive_s, heartbeat_s if child.state == ChildState.READY else 0.0)
            if now - last_s > (WELL_MAX_S if child.state == ChildState.READY else START_MAX_S + WELL_MAX_S):
                return False
        return True

    def takes_over(self, row: int) -> bool:
        """Tell whether a child that is started now has to take the place of an old one."""
        return self._is_takeover and (self.phase < TAKING_WORKERS or (self.phase == TAKING_WORKERS and row != HUB_ROW))

    def release(self, now: float) -> None:
        """Replace again what dies, and what has died meanwhile."""
        self.is_held = False
        for child in self.children:
            if child.state == ChildState.WAITING:
                child.restart_s = min(child.restart_s, now)

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._on = _ON[phase]

    def _start_child(self, row: int, now: float) -> Start:
        child = self.children[row]
        child.state = ChildState.FORKED
        child.started_s = child.alive_s = now
        child.kill_reason = None
        child.is_reload_due = child.has_succeeded = False
        return Start(row)

    def _take_ready(self, event: ChildReady, now: float) -> list[Action]:
        child = self.children[event.row]
        child.state = ChildState.READY
        child.alive_s = now
        child.failed_starts_count = 0
        actions: list[Action] = []
        if child.is_reload_due:
            child.is_reload_due = False
            actions.append(Send([event.row], signal.SIGHUP))
        if self.phase != STARTING:
            actions.append(Log(2, f"{child.name} is ready again"))
            if self.phase == TAKING_WORKERS and event.row != HUB_ROW:
                actions.append(Send([event.row], LISTEN_SIGNAL))
        elif self.is_complete and self._is_takeover:
            self._enter(TAKING_HUB)
            actions.append(Tell(READY))
            actions += self._take_hub()
        elif self.is_complete:
            self._enter(SERVING)
            actions.append(Log(2, "ready"))
        return actions

    def _note_open(self, _event: OldSideOpen | OldSideGone, _now: float) -> list[Action]:
        """Go on with what the old processes give, also if they are gone: their children look and see."""
        was_open, self._is_old_side_open = self._is_old_side_open, True
        return self._take_hub() if self.phase == TAKING_HUB and not was_open else []

    def _take_hub(self) -> list[Action]:
        return [Send([HUB_ROW], LISTEN_SIGNAL)] if self._is_old_side_open else []

    def _take_workers(self, event: ChildSucceeded, _now: float) -> list[Action]:
        """Let the workers take over when the hub has: they meet no old hub that way."""
        self.children[event.row].has_succeeded = True
        if event.row != HUB_ROW:
            return []
        self._enter(TAKING_WORKERS)
        return [Tell(MOVED), Send(list(range(HUB_ROW + 1, len(self.children))), LISTEN_SIGNAL)]

    def _note_success(self, event: ChildSucceeded, _now: float) -> list[Action]:
        self.children[event.row].has_succeeded = True
        if not all(child.has_succeeded for child in self.children[HUB_ROW + 1 :]):
            return []
        self._enter(SERVING)
        return [Tell(DONE), Log(2, "ready, in the place of the version before")]

    def _fail_takeover(self, event: ChildExited, now: float) -> list[Action]:
        child = self.children[event.row]
        child.state = ChildState.GONE
        text = f"{child.name} is gone: {event.reason or child.kill_reason or event.how}"
        return [Log(0, f"{text}; the version before serves on"), *self._stop(1, now)]

    def _take_off(self, event: UpgradeOff, now: float) -> list[Action]:
        return [Log(1, f"no upgrade: {event.reason}; stopping..."), *self._stop(1, now)]

    def _retire(self, _event: RetireAsked, now: float) -> list[Action]:
        return [Log(2, "the new version has taken over; stopping..."), *self._stop(0, now)]

    def _take_exit(self, event: ChildExited, now: float) -> list[Action]:
        """Replace a child that died, or stop the whole when it cannot start."""
        child = self.children[event.row]
        child.has_succeeded = False
        child.alive_s = now
        if child.state == ChildState.FORKED:
            child.failed_starts_count += 1
            why = event.reason or child.kill_reason or f"{event.how} before it was ready"
            if self.phase == STARTING or child.failed_starts_count >= FAILED_STARTS_MAX_COUNT:
                child.state = ChildState.GONE
                return [Log(0, f"{child.name} cannot start: {why}"), *self._stop(1, now)]
            text = f"{child.name} cannot start: {why}"
        else:
            text = f"{child.name} is gone: {child.kill_reason or event.how}"
        if self.is_held:
            child.state = ChildState.WAITING
            child.restart_s = float("inf")
            return [Log(0, f"{text}; not replaced while a new version takes over")]
        delay_s = child.take_restart_delay_s(now)
        child.state = ChildState.WAITING
        child.restart_s = now + delay_s
        when = f"in {delay_s:g} s" if delay_s else "now"
        return [Log(0, f"{text}; starting a new one {when}")]

    def _check(self, event: Ticked, now: float) -> list[Action]:
        """Start what is due and kill what hangs."""
        was_frozen = now - self._checked_s > FROZEN_S
        self._checked_s = now
        actions: list[Action] = []
        for row, child in enumerate(self.children):
            if was_frozen:
                child.alive_s = now
            if child.state == ChildState.WAITING:
                if child.restart_s <= now:
                    actions.append(self._start_child(row, now))
            elif child.kill_reason is None:
                child.kill_reason = self._hang_reason(child, event.heartbeats_s[row], now)
                if child.kill_reason is not None:
                    actions.append(Log(0, f"{child.name}: {child.kill_reason}; killing it"))
                    actions.append(Send([row], signal.SIGKILL))
        return actions

    @staticmethod
    def _hang_reason(child: Child, heartbeat_s: float, now: float) -> str | None:
        if child.state == ChildState.FORKED:
            return f"not ready {START_MAX_S:g} s after its start" if now - child.alive_s > START_MAX_S else None
        silent_s = now - max(child.alive_s, heartbeat_s)
        return f"no sign of life for {silent_s:.0f} s" if silent_s > HEARTBEAT_MAX_S else None

    def _read_again(self, event: ReloadAsked, _now: float) -> list[Action]:
        text = "routes file changed, reloading" if event.is_file_changed else "reloading"
        return [Log(2, text), ReadAgain(event.is_file_changed)]

    def _tell_reload(self, _event: Reloaded, _now: float) -> list[Action]:
        """Have the children use what was read, one that is still starting as soon as it is ready."""
        ready_rows = []
        for row, child in enumerate(self.children):
            if child.state == ChildState.READY:
                ready_rows.append(row)
            elif child.state == ChildState.FORKED:
                child.is_reload_due = True
        return [Send(ready_rows, signal.SIGHUP)]

    def _take_stop(self, _event: StopAsked, now: float) -> list[Action]:
        return [Log(2, "stopping..."), *self._stop(0, now)]

    def _stop(self, status: int, now: float) -> list[Action]:
        """Stop the workers, so that no client is left without the hub, then the hub."""
        self._status = status
        self._stop_max_s = STOP_MAX_S + (self.drain_s if self.phase > STARTING else 0.0)
        self._deadline_s = now + self._stop_max_s
        for child in self.children:
            if child.state == ChildState.WAITING:
                child.state = ChildState.GONE
        self._enter(STOPPING_WORKERS)
        return self._end_children(self._running_rows(first=HUB_ROW + 1)) or self._stop_hub(now)

    def _stop_hub(self, now: float) -> list[Action]:
        self._enter(STOPPING_HUB)
        self._deadline_s = now + STOP_MAX_S
        return self._end_children([HUB_ROW] if self.children[HUB_ROW].is_running else []) or self._end()

    def _end_children(self, rows: list[int]) -> list[Action]:
        """Ask those that serve to stop; those that are still starting have nothing to finish, and may not listen."""
        serving = [row for row in rows if self.children[row].state == ChildState.READY]
        starting = [row for row in rows if self.children[row].state == ChildState.FORKED]
        sends = ((serving, signal.SIGTERM), (starting, signal.SIGKILL))
        return [Send(some, signal_number) for some, signal_number in sends if some]

    def _end(self) -> list[Action]:
        self._enter(ENDED)
        return [End(self._status)]

    def _note_exit(self, event: ChildExited, now: float) -> list[Action]:
        """Go on with the stop when the last of its phase has gone."""
        self.children[event.row].state = ChildState.GONE
        if self.phase == STOPPING_WORKERS:
            return [] if self._running_rows(first=HUB_ROW + 1) else self._stop_hub(now)
        return [] if self._running_rows(first=HUB_ROW) else self._end()

    def _check_stop(self, _event: Ticked, now: float) -> list[Action]:
        if now < self._deadline_s:
            return []
        allowed_s = self._stop_max_s if self.phase == STOPPING_WORKERS else STOP_MAX_S
        return self._kill_all(f"not stopped within {allowed_s:g} s", now)

    def _stop_at_once(self, _event: StopAsked, now: float) -> list[Action]:
        return self._kill_all("asked again to stop", now)

    def _kill_all(self, why: str, now: float) -> list[Action]:
        self._enter(KILLING)
        self._deadline_s = now + KILL_WAIT_S
        rows = self._running_rows(first=HUB_ROW)
        names = ", ".join(self.children[row].name for row in rows)
        return [Log(1, f"{why}; killing {names}"), Send(rows, signal.SIGKILL)]

    def _give_up(self, _event: Ticked, now: float) -> list[Action]:
        return self._end() if now >= self._deadline_s else []

    def _ignore(self, _event: Event, _now: float) -> list[Action]:
        return []

    def _running_rows(self, first: int) -> list[int]:
        return [row for row, child in enumerate(self.children) if row >= first and child.is_running]


Handler = Callable[..., list[Action]]

_STOPPING: dict[type[Event], Handler] = {
    ChildReady: Policy._ignore,
    ChildExited: Policy._note_exit,
    Ticked: Policy._check_stop,
    StopAsked: Policy._stop_at_once,
    ReloadAsked: Policy._ignore,
    Reloaded: Policy._ignore,
    ChildSucceeded: Policy._ignore,
    OldSideOpen: Policy._ignore,
    OldSideGone: Policy._ignore,
    UpgradeOff: Policy._ignore,
    RetireAsked: Policy._ignore,
}
_RUNNING: dict[type[Event], Handler] = {
    ChildReady: Policy._take_ready,
    ChildExited: Policy._take_exit,
    Ticked: Policy._check,
    StopAsked: Policy._take_stop,
    ReloadAsked: Policy._read_again,
    Reloaded: Policy._tell_reload,
    ChildSucceeded: Policy._ignore,
    OldSideOpen: Policy._note_open,
    OldSideGone: Policy._note_open,
    UpgradeOff: Policy._take_off,
    RetireAsked: Policy._retire,
}
_ON: dict[Phase, dict[type[Event], Handler]] = {
    STARTING: _RUNNING,
    TAKING_HUB: {**_RUNNING, ChildExited: Policy._fail_takeover, ChildSucceeded: Policy._take_workers},
    TAKING_WORKERS: {**_RUNNING, ChildSucceeded: Policy._note_success},
    SERVING: {**_RUNNING, UpgradeOff: Policy._ignore},
    STOPPING_WORKERS: _STOPPING,
    STOPPING_HUB: _STOPPING,
    KILLING: {**_STOPPING, Ticked: Policy._give_up, StopAsked: Policy._ignore},
    ENDED: dict.fromkeys(_STOPPING, Policy._ignore),
}
