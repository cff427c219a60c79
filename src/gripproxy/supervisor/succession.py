"""How a new version takes the place of this one, seen from this one: (event, now) -> actions.

Until the new hub takes over, nothing has changed for anybody, and whatever goes wrong ends the new version alone. After
that its end costs the connections that it had by then; this version serves the others on.
"""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from gripproxy.handover import CALL_OFF_SIGNAL, HANDOVER_VERSION, LISTEN_SIGNAL
from gripproxy.scoreboard import HUB_ROW
from gripproxy.supervisor.child_state import ChildState
from gripproxy.supervisor.policy import (
    DONE,
    MOVED,
    READY,
    ChildExited,
    Log,
    Phase,
    Policy,
    Send,
    StopAsked,
    Tell,
    Ticked,
)
from gripproxy.supervisor.policy import Action as PolicyAction

PREPARE_MAX_S = 60.0  # from the request until the new hub has taken over
STALL_MAX_S = 30.0  # then the new supervisor tells how far it is, and clients may wait for what it does not finish
OFF_MAX_S = 8.0  # for a new version to end that is not wanted

# Words to the new supervisor; those from it are in policy.py.
WELCOME = "welcome"
GO = "go"
OFF = "off"  # with a reason
YOURS = "yours"
RELOAD = "reload"
STOP = "stop"
LEFT = "left"  # with how many clients the old processes still have


class Stage(IntEnum):
    """How far it is."""

    NONE = 0
    STARTED = 1  # the program runs, and has not introduced itself
    PREPARING = 2  # its children start
    WAITING = 3  # they are ready; ours are not all
    LISTENING = 4  # ours open their hand-over sockets
    TAKING_HUB = 5
    TAKING_WORKERS = 6
    ENDING = 7  # it failed, and is not gone yet
    DONE = 8


_UNDER_WAY = tuple(stage for stage in Stage if stage not in (Stage.NONE, Stage.ENDING, Stage.DONE))


@dataclass(slots=True)
class UpgradeAsked:
    """SIGUSR2 came. `elder_pid`: of the version before this one, if some of its clients are still there."""

    elder_pid: int | None = None


@dataclass(slots=True)
class HelloSaid:
    """The new program has read its configuration, and could start its children."""

    handover_version: int
    program: str


@dataclass(slots=True)
class WordSaid:
    """The new supervisor said READY, MOVED or DONE."""

    word: str


@dataclass(slots=True)
class ProgressSaid:
    """The new supervisor says how far it is. `moved_count`, `left_count`: clients that it has, and that are here."""

    text: str
    moved_count: int = 0
    left_count: int = 0


@dataclass(slots=True)
class FailureSaid:
    """The new program cannot go on, for this reason."""

    reason: str


@dataclass(slots=True)
class SuccessorGone:
    """The new program has ended, or could not be started."""

    how: str


@dataclass(slots=True)
class ChildrenListen:
    """All of our children that live have opened their hand-over sockets."""


Event = (
    UpgradeAsked
    | HelloSaid
    | WordSaid
    | ProgressSaid
    | FailureSaid
    | SuccessorGone
    | ChildrenListen
    | ChildExited
    | Ticked
    | StopAsked
)


@dataclass(slots=True)
class StartSuccessor:
    """Start the program that is on disk now."""


@dataclass(slots=True)
class KillSuccessor:
    """It has had its time."""


@dataclass(slots=True)
class MoveMain:
    """Tell the service manager that the new supervisor is the main process."""


@dataclass(slots=True)
class Retire:
    """End this version; the new one serves."""


@dataclass(slots=True)
class Note:
    """Write down for `gripproxy upgrade` how far it is.

    `outcome`: None while it is under way. `is_passing`: the next one replaces it.
    """

    text: str
    outcome: bool | None = None
    is_passing: bool = False


Action = PolicyAction | StartSuccessor | KillSuccessor | MoveMain | Retire | Note


class Succession:
    """The old supervisor's side of an upgrade. It looks at the policy's children, and holds their replacement."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.stage = Stage.NONE
        self._deadline_s = 0.0
        self.reason = ""  # why it failed, from then on until the next one
        self._progress = ""
        self._has_most = False  # of the clients, the new version
        self._was_told = False  # our children know of it
        self._has_moved = False  # the hub

    @property
    def is_under_way(self) -> bool:
        return self.stage in _UNDER_WAY

    def handle(self, event: Event, now: float) -> list[Action]:
        """Advance by one event. Gives the actions in the order in which they must be done."""
        handler = _ON.get(self.stage, {}).get(type(event))
        return [] if handler is None else handler(self, event, now)

    def _start(self, event: UpgradeAsked, now: float) -> list[Action]:
        why = ""
        if self._policy.phase != Phase.SERVING:
            why = "this version is not serving yet, or not any more"
        elif event.elder_pid is not None:
            why = f"clients of the last upgrade are still with process {event.elder_pid}; try again when it is gone"
        if why:
            return [Log(1, f"no upgrade: {why}"), Note(why, False)]
        self._enter(Stage.STARTED)
        self._deadline_s = now + PREPARE_MAX_S
        self.reason = ""
        self._was_told = self._has_moved = self._has_most = False
        return [
            Log(2, "upgrade asked for; starting the new version"),
            Note("starting the new version"),
            StartSuccessor(),
        ]

    def _refuse_second(self, _event: UpgradeAsked, _now: float) -> list[Action]:
        return [Log(1, "an upgrade is under way already")]

    def _welcome(self, event: HelloSaid, now: float) -> list[Action]:
        if event.handover_version != HANDOVER_VERSION:
            versions = f"{event.handover_version} of the hand-over, and this one {HANDOVER_VERSION}"
            return self._call_off(f"version {event.program} speaks version {versions}; restart instead", now)
        self._enter(Stage.PREPARING)
        return [Note(f"version {event.program} has read its configuration and starts its processes"), Tell(WELCOME)]

    def _take_word(self, event: WordSaid, now: float) -> list[Action]:
        if (self.stage, event.word) == (Stage.PREPARING, READY):
            self._enter(Stage.WAITING)
            return self._await_own(event, now)
        if (self.stage, event.word) == (Stage.TAKING_HUB, MOVED):
            self._enter(Stage.TAKING_WORKERS)
            self._has_moved = True
            self._deadline_s = now + STALL_MAX_S
            return [Note("its hub has taken over; moving the clients")]
        if (self.stage, event.word) == (Stage.TAKING_WORKERS, DONE):
            return self._leave_all()
        return self._call_off(f"it said {event.word!r} out of turn", now)

    def _leave_all(self) -> list[Action]:
        self._enter(Stage.DONE)
        return [Note("the new version serves", True), MoveMain(), Tell(YOURS), Retire()]

    def _await_own(self, event: WordSaid | Ticked, now: float) -> list[Action]:
        """Begin when none of our children is being replaced: one that starts could not hand over, nor be told to."""
        if not self._policy.is_complete:
            return self._check(event, now)
        self._policy.is_held = self._was_told = True
        self._enter(Stage.LISTENING)
        return [
            Note("its processes are ready; the old ones open their hand-over sockets"),
            Send(list(range(len(self._policy.children))), LISTEN_SIGNAL),
        ]

    def _go(self, _event: ChildrenListen, _now: float) -> list[Action]:
        self._enter(Stage.TAKING_HUB)
        return [Note("moving the hub"), Tell(GO)]

    def _note_progress(self, event: ProgressSaid, now: float) -> list[Action]:
        if self.stage == Stage.TAKING_WORKERS and event.text != self._progress:
            self._progress = event.text
            self._deadline_s = now + STALL_MAX_S
        self._has_most = event.moved_count > event.left_count
        return [Note(event.text, is_passing=True)]

    def _check(self, _event: WordSaid | Ticked, now: float) -> list[Action]:
        if now < self._deadline_s:
            return []
        if self.stage == Stage.TAKING_WORKERS:
            why = f"the new version has not come any further for {STALL_MAX_S:g} s"
            if self._has_most:  # they would be lost with it; those that are here have the time of a drain
                return [Log(1, f"{why}; it has most clients, so it goes on"), *self._leave_all()]
            return [*self._call_off(why, now), KillSuccessor()]
        return self._call_off(f"not ready within {PREPARE_MAX_S:g} s", now)

    def _note_exit(self, event: ChildExited, now: float) -> list[Action]:
        """A hub that ends before it has given everything cannot be followed; workers may."""
        return self._call_off(f"the old hub is gone: {event.how}", now) if event.row == HUB_ROW else []

    def _fail(self, event: FailureSaid, now: float) -> list[Action]:
        return self._call_off(event.reason, now)

    def _call_off(self, reason: str, now: float) -> list[Action]:
        """End the new version. Our own children are told when it is gone, and the ports with it."""
        self.reason = reason
        self._enter(Stage.ENDING)
        self._deadline_s = now + OFF_MAX_S
        return [Tell(OFF)]

    def _kill_late(self, _event: Ticked, now: float) -> list[Action]:
        if now < self._deadline_s:
            return []
        self._deadline_s = now + OFF_MAX_S
        return [KillSuccessor()]

    def _carry_on(self, event: SuccessorGone, now: float) -> list[Action]:
        """Be again as if there had been no upgrade."""
        reason = self.reason or f"the new version is gone: {event.how}"
        self._enter(Stage.NONE)
        if self._policy.phase > Phase.SERVING:
            return [Note(reason, False)]
        actions: list[Action] = []
        if self._was_told:
            rows = [row for row, child in enumerate(self._policy.children) if child.state == ChildState.READY]
            actions.append(Send(rows, CALL_OFF_SIGNAL))
            if self._has_moved and HUB_ROW in rows:
                actions.append(Send([HUB_ROW], signal.SIGKILL))  # it has given everything away
            self._policy.release(now)
        return [*actions, Log(0, f"upgrade failed: {reason}; this version serves on"), Note(reason, False)]

    def _stop(self, _event: StopAsked, _now: float) -> list[Action]:
        """Have the new one stop as well; it has clients already, perhaps."""
        self.reason = "asked to stop"
        self._enter(Stage.ENDING)
        self._deadline_s = float("inf")  # killed with the rest
        return [Tell(STOP)]

    def _enter(self, stage: Stage) -> None:
        self.stage = stage


Handler = Callable[..., list[Action]]

_FIRST: dict[type, Handler] = {
    UpgradeAsked: Succession._refuse_second,
    WordSaid: Succession._take_word,
    ProgressSaid: Succession._note_progress,
    FailureSaid: Succession._fail,
    SuccessorGone: Succession._carry_on,
    Ticked: Succession._check,
    StopAsked: Succession._stop,
}
_ON: dict[Stage, dict[type, Handler]] = {
    Stage.NONE: {UpgradeAsked: Succession._start},
    Stage.STARTED: {**_FIRST, HelloSaid: Succession._welcome},
    Stage.PREPARING: _FIRST,
    Stage.WAITING: {**_FIRST, Ticked: Succession._await_own},
    Stage.LISTENING: {**_FIRST, ChildrenListen: Succession._go, ChildExited: Succession._note_exit},
    Stage.TAKING_HUB: {**_FIRST, ChildExited: Succession._note_exit},
    Stage.TAKING_WORKERS: _FIRST,
    Stage.ENDING: {
        UpgradeAsked: Succession._refuse_second,
        SuccessorGone: Succession._carry_on,
        Ticked: Succession._kill_late,
    },
    Stage.DONE: {},
}
