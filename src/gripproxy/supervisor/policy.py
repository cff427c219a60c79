"""What the supervisor does when a child reports, dies or hangs, or when it is asked to stop: (event, now) -> actions.

No process is touched here. Children are known by their scoreboard row: 0 is the hub, N + 1 is worker N. `now` and
every other time is monotonic seconds.
"""

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from gripproxy.scoreboard import HUB_ROW

RESTART_DELAY_MIN_S = 0.1  # doubled with every further death; the first restart comes at once
RESTART_DELAY_MAX_S = 5.0
QUICK_DEATH_S = 10.0  # a child that dies sooner after its start has made no progress: back off
FAILED_STARTS_MAX_COUNT = 10  # about 20 s of trying to replace a child that served before; then stop the whole
START_MAX_S = 30.0  # a child that is neither ready nor gone by then hangs
HEARTBEAT_MAX_S = 20.0
CHECK_PERIOD_S = 1.0
FROZEN_S = 5.0  # no check for so long: the machine slept, and the children with it
STOP_MAX_S = 4.0  # same as Pushpin
KILL_WAIT_S = 2.0  # a process that the kernel cannot end by then is left to it


class Phase(IntEnum):
    """How far the whole is."""

    STARTING = 0  # not every child has been ready yet: any failure ends the start
    SERVING = 1
    STOPPING_WORKERS = 2
    STOPPING_HUB = 3
    KILLING = 4
    ENDED = 5


STARTING, SERVING, STOPPING_WORKERS, STOPPING_HUB, KILLING, ENDED = Phase


class ChildState(IntEnum):
    """How far one child is."""

    WAITING = 0  # not forked, until `restart_s`
    FORKED = 1  # not ready yet
    READY = 2
    GONE = 3  # while stopping: not forked any more


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


Event = ChildReady | ChildExited | Ticked | StopAsked | ReloadAsked


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
class Log:
    """Write a log line. `level` as in `log_level`: 0 error, 1 warning, 2 info."""

    level: int
    text: str


@dataclass(slots=True)
class End:
    """Nothing is left to do: exit with this status."""

    status: int


Action = Start | Send | Log | End


@dataclass(slots=True)
class Child:
    """What the policy remembers of one child."""

    name: str
    state: ChildState = ChildState.WAITING
    started_s: float = 0.0
    alive_s: float = 0.0  # it counts as alive until this moment, whatever its heartbeat says
    restart_s: float = 0.0
    quick_deaths_count: int = 0  # in a row
    failed_starts_count: int = 0  # in a row
    kill_reason: str | None = None  # SIGKILL is sent, the exit has not been seen
    is_reload_due: bool = False  # a reload was asked for while it was not ready

    @property
    def is_running(self) -> bool:
        return self.state in (ChildState.FORKED, ChildState.READY)


class Policy:
    """The supervisor's decisions. Call `start` once, then `handle` for every event until an `End` comes out."""

    def __init__(self, names: Sequence[str]) -> None:
        self.children = [Child(name) for name in names]
        self._enter(STARTING)
        self._status = 0
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

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._on = _ON[phase]

    def _start_child(self, row: int, now: float) -> Start:
        child = self.children[row]
        child.state = ChildState.FORKED
        child.started_s = child.alive_s = now
        child.kill_reason = None
        child.is_reload_due = False
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
        if self.phase == SERVING:
            actions.append(Log(2, f"{child.name} is ready again"))
        elif all(other.state == ChildState.READY for other in self.children):
            self._enter(SERVING)
            actions.append(Log(2, "ready"))
        return actions

    def _take_exit(self, event: ChildExited, now: float) -> list[Action]:
        """Replace a child that died, or stop the whole when it cannot start."""
        child = self.children[event.row]
        if child.state == ChildState.FORKED:
            child.failed_starts_count += 1
            why = event.reason or child.kill_reason or f"{event.how} before it was ready"
            if self.phase == STARTING or child.failed_starts_count >= FAILED_STARTS_MAX_COUNT:
                child.state = ChildState.GONE
                return [Log(0, f"{child.name} cannot start: {why}"), *self._stop(1, now)]
            text = f"{child.name} cannot start: {why}"
        else:
            text = f"{child.name} is gone: {child.kill_reason or event.how}"
        delay_s = self._restart_delay_s(child, now)
        child.state = ChildState.WAITING
        child.restart_s = now + delay_s
        when = f"in {delay_s:g} s" if delay_s else "now"
        return [Log(0, f"{text}; starting a new one {when}")]

    def _restart_delay_s(self, child: Child, now: float) -> float:
        has_served = child.state == ChildState.READY
        if has_served and now - child.started_s >= QUICK_DEATH_S:
            child.quick_deaths_count = 0
            return 0.0
        child.quick_deaths_count += 1
        if has_served and child.quick_deaths_count == 1:
            return 0.0
        exponent = min(max(0, child.quick_deaths_count - 2), 10)  # 10: far past the maximum, no huge number
        return min(RESTART_DELAY_MIN_S * 2.0**exponent, RESTART_DELAY_MAX_S)

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

    def _reload(self, event: ReloadAsked, _now: float) -> list[Action]:
        """Have the workers read their routes again, one that is still starting as soon as it is ready."""
        ready_rows = []
        for row, child in enumerate(self.children):
            if row != HUB_ROW and child.state == ChildState.READY:
                ready_rows.append(row)
            elif row != HUB_ROW and child.state == ChildState.FORKED:
                child.is_reload_due = True
        text = "routes file changed, reloading" if event.is_file_changed else "reloading"
        return [Log(2, text), Send(ready_rows, signal.SIGHUP)]

    def _take_stop(self, _event: StopAsked, now: float) -> list[Action]:
        return [Log(2, "stopping..."), *self._stop(0, now)]

    def _stop(self, status: int, now: float) -> list[Action]:
        """Stop the workers, so that no client is left without the hub, then the hub."""
        self._status = status
        self._deadline_s = now + STOP_MAX_S
        for child in self.children:
            if child.state == ChildState.WAITING:
                child.state = ChildState.GONE
        self._enter(STOPPING_WORKERS)
        return self._end_children(self._running_rows(first=HUB_ROW + 1)) or self._stop_hub()

    def _stop_hub(self) -> list[Action]:
        self._enter(STOPPING_HUB)
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

    def _note_exit(self, event: ChildExited, _now: float) -> list[Action]:
        """Go on with the stop when the last of its phase has gone."""
        self.children[event.row].state = ChildState.GONE
        if self.phase == STOPPING_WORKERS:
            return [] if self._running_rows(first=HUB_ROW + 1) else self._stop_hub()
        return [] if self._running_rows(first=HUB_ROW) else self._end()

    def _check_stop(self, _event: Ticked, now: float) -> list[Action]:
        return self._kill_all(f"not stopped within {STOP_MAX_S:g} s", now) if now >= self._deadline_s else []

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
}
_RUNNING: dict[type[Event], Handler] = {
    ChildReady: Policy._take_ready,
    ChildExited: Policy._take_exit,
    Ticked: Policy._check,
    StopAsked: Policy._take_stop,
    ReloadAsked: Policy._reload,
}
_ON: dict[Phase, dict[type[Event], Handler]] = {
    STARTING: _RUNNING,
    SERVING: _RUNNING,
    STOPPING_WORKERS: _STOPPING,
    STOPPING_HUB: _STOPPING,
    KILLING: {**_STOPPING, Ticked: Policy._give_up, StopAsked: Policy._ignore},
    ENDED: dict.fromkeys(_STOPPING, Policy._ignore),
}
