"""The old version's side of an upgrade, played as a conversation."""

import signal

import pytest

from gripproxy.handover import CALL_OFF_SIGNAL, HANDOVER_VERSION, LISTEN_SIGNAL
from gripproxy.supervisor.policy import (
    DONE,
    MOVED,
    READY,
    ChildExited,
    ChildReady,
    Policy,
    Send,
    StopAsked,
    Tell,
    Ticked,
)
from gripproxy.supervisor.succession import (
    GO,
    OFF,
    OFF_MAX_S,
    PREPARE_MAX_S,
    STALL_MAX_S,
    STOP,
    WELCOME,
    YOURS,
    Action,
    ChildrenListen,
    Event,
    FailureSaid,
    HelloSaid,
    KillSuccessor,
    MoveMain,
    Note,
    ProgressSaid,
    Retire,
    Stage,
    StartSuccessor,
    Succession,
    SuccessorGone,
    UpgradeAsked,
    WordSaid,
)

NAMES = ["hub", "worker 0", "worker 1"]
HELLO = HelloSaid(HANDOVER_VERSION, "1.1")
# Each brings a succession one stage further.
STEPS: list[Event] = [
    UpgradeAsked(),
    HELLO,
    WordSaid(READY),
    ChildrenListen(),
    WordSaid(MOVED),
    WordSaid(DONE),
]
STAGES = [Stage.STARTED, Stage.PREPARING, Stage.LISTENING, Stage.TAKING_HUB, Stage.TAKING_WORKERS, Stage.DONE]
UNDER_WAY = STAGES[:-1]


class Play:
    """An old version with a hub and two workers that serve."""

    def __init__(self) -> None:
        self.policy = Policy(NAMES)
        self.policy.start(0.0)
        for row in range(3):
            self.policy.handle(ChildReady(row), 0.0)
        self.succession = Succession(self.policy)

    def tell(self, event: Event, now: float = 1.0) -> list[Action]:
        """Leave out what is only said to people."""
        actions = self.succession.handle(event, now)
        return [action for action in actions if isinstance(action, SHOWN)]

    def outcome(self, event: Event, now: float = 1.0) -> list[Note]:
        actions = self.succession.handle(event, now)
        return [action for action in actions if isinstance(action, Note) and action.outcome is not None]

    def reach(self, stage: Stage) -> "Play":
        for event in STEPS:
            if self.succession.stage != stage:
                self.tell(event)
        assert self.succession.stage == stage
        return self


SHOWN = (Tell, Send, StartSuccessor, KillSuccessor, MoveMain, Retire)


def test_upgrade_from_the_request_to_the_end() -> None:
    """Our children hear of it only when the new ones are ready, and end only when these have taken over."""
    play = Play()
    assert [play.tell(event) for event in STEPS] == [
        [StartSuccessor()],
        [Tell(WELCOME)],
        [Send([0, 1, 2], LISTEN_SIGNAL)],
        [Tell(GO)],
        [],
        [MoveMain(), Tell(YOURS), Retire()],  # the service manager believes the new one only when it knows of it
    ]


def test_every_step_is_written_down() -> None:
    """Who waits for `gripproxy upgrade` sees what it waits for."""
    play = Play()
    for event in STEPS:
        assert any(isinstance(action, Note) for action in play.succession.handle(event, 1.0)), event


def test_last_note_is_the_success() -> None:
    """The command ends with it."""
    assert Play().reach(Stage.TAKING_WORKERS).outcome(WordSaid(DONE)) == [Note("the new version serves", True)]


@pytest.mark.parametrize("version", [HANDOVER_VERSION - 1, HANDOVER_VERSION + 1])
def test_other_version_of_the_handover_is_refused(version: int) -> None:
    """What it would hand over, or take, nobody has ever tried."""
    play = Play().reach(Stage.STARTED)
    assert play.tell(HelloSaid(version, "9.0")) == [Tell(OFF)]
    assert "version 9.0 speaks version" in play.outcome(SuccessorGone("exit status 1"))[0].text


@pytest.mark.parametrize("stage", UNDER_WAY)
def test_death_of_the_new_version_leaves_the_old_one_as_it_was(stage: Stage) -> None:
    """The old one serves on, whatever becomes of the new one and when."""
    play = Play().reach(stage)
    deeds = play.tell(SuccessorGone("killed by SIGKILL"))
    was_told = stage >= Stage.LISTENING
    expected: list[Action] = [Send([0, 1, 2], CALL_OFF_SIGNAL)] if was_told else []
    assert deeds == expected + ([Send([0], signal.SIGKILL)] if stage == Stage.TAKING_WORKERS else [])
    assert play.succession.stage == Stage.NONE
    assert not play.policy.is_held


def test_reason_that_the_new_version_gave_is_the_one_that_is_told() -> None:
    """Its exit status says less."""
    play = Play().reach(Stage.STARTED)
    assert play.tell(FailureSaid("g.conf:3: bad")) == [Tell(OFF)]
    assert play.outcome(SuccessorGone("exit status 1")) == [Note("g.conf:3: bad", False)]
    assert play.tell(UpgradeAsked()) == [StartSuccessor()]
    assert play.outcome(SuccessorGone("exit status 2")) == [Note("the new version is gone: exit status 2", False)]


def test_new_version_that_hangs_is_ended_then_killed() -> None:
    """Nobody waits for ever."""
    play = Play().reach(Stage.PREPARING)
    assert play.tell(Ticked([]), PREPARE_MAX_S) == []
    late_s = 1.0 + PREPARE_MAX_S
    assert play.tell(Ticked([]), late_s) == [Tell(OFF)]
    assert play.tell(Ticked([]), late_s + 1) == []
    assert play.tell(Ticked([]), late_s + OFF_MAX_S) == [KillSuccessor()]
    assert play.outcome(SuccessorGone("killed by SIGKILL")) == [Note(f"not ready within {PREPARE_MAX_S:g} s", False)]


def test_moving_may_take_long_but_not_stand_still() -> None:
    """A million clients take a while; of what stands still, clients would wait for their items for ever."""
    play = Play().reach(Stage.TAKING_WORKERS)
    now = 0.0
    for count in range(20):
        now += STALL_MAX_S - 1
        assert play.tell(Ticked([]), now) == []
        play.tell(ProgressSaid(f"{count} clients have moved"), now)
    play.tell(ProgressSaid("19 clients have moved"), now + 10)
    assert play.tell(Ticked([]), now + STALL_MAX_S) == [Tell(OFF), KillSuccessor()]


@pytest.mark.parametrize(("moved_count", "left_count", "is_over"), [(99, 100, False), (100, 99, True)])
def test_what_stands_still_ends_where_most_clients_are(moved_count: int, left_count: int, is_over: bool) -> None:
    """On a machine that cannot keep up, a few that cannot be moved must not cost all the others their connection."""
    play = Play().reach(Stage.TAKING_WORKERS)
    play.tell(ProgressSaid("some clients have moved", moved_count, left_count), 1.0)
    late_s = 1.0 + STALL_MAX_S
    if not is_over:
        assert play.tell(Ticked([]), late_s) == [Tell(OFF), KillSuccessor()]
        return
    assert play.tell(Ticked([]), late_s) == [MoveMain(), Tell(YOURS), Retire()]
    assert play.tell(WordSaid(DONE), late_s + 1.0) == []


def test_own_child_that_is_being_replaced_is_waited_for() -> None:
    """It could not hand over yet."""
    play = Play().reach(Stage.PREPARING)
    play.policy.handle(ChildExited(1, "killed by SIGKILL"), 1.0)
    assert play.tell(WordSaid(READY)) == []
    play.policy.handle(Ticked([1.0] * 3), 1.0)
    assert play.tell(Ticked([1.0] * 3)) == []
    play.policy.handle(ChildReady(1), 1.1)
    assert play.tell(Ticked([1.0] * 3)) == [Send([0, 1, 2], LISTEN_SIGNAL)]


def test_worker_that_dies_meanwhile_is_replaced_when_the_upgrade_is_off() -> None:
    """A new one would have nothing to hand over, and a hub that has left."""
    play = Play().reach(Stage.TAKING_WORKERS)
    exited = ChildExited(1, "killed by SIGKILL")
    assert play.tell(exited) == []
    play.policy.handle(exited, 1.0)
    assert play.policy.handle(Ticked([50.0] * 3), 50.0) == []
    play.tell(SuccessorGone("killed by SIGKILL"), 50.0)
    assert [type(action).__name__ for action in play.policy.handle(Ticked([50.0] * 3), 50.0)] == ["Start"]


@pytest.mark.parametrize("stage", [Stage.LISTENING, Stage.TAKING_HUB])
def test_death_of_the_old_hub_ends_the_upgrade(stage: Stage) -> None:
    """Half of a hub's state is none; afterwards it has nothing left to give."""
    assert Play().reach(stage).tell(ChildExited(0, "killed by SIGKILL")) == [Tell(OFF)]
    assert Play().reach(Stage.TAKING_WORKERS).tell(ChildExited(0, "killed by SIGKILL")) == []


@pytest.mark.parametrize("stage", UNDER_WAY)
def test_stop_reaches_the_new_version_too(stage: Stage) -> None:
    """It may have clients already, and nobody else knows of it."""
    play = Play().reach(stage)
    assert play.tell(StopAsked()) == [Tell(STOP)]


def test_second_request_while_one_is_under_way_changes_nothing() -> None:
    """Two people may ask."""
    for stage in UNDER_WAY:
        play = Play().reach(stage)
        assert play.tell(UpgradeAsked()) == []
        assert play.succession.stage == stage


def test_no_upgrade_while_the_last_ones_old_processes_are_there() -> None:
    """Their sockets have the names that the next ones' would have."""
    assert "process 77" in Play().outcome(UpgradeAsked(elder_pid=77))[0].text


def test_no_upgrade_of_what_does_not_serve() -> None:
    """There is nothing to take over yet, or nothing any more."""
    policy = Policy(NAMES)
    policy.start(0.0)
    notes = [action for action in Succession(policy).handle(UpgradeAsked(), 0.0) if isinstance(action, Note)]
    assert [note.outcome for note in notes] == [False]


def test_word_out_of_turn_ends_it() -> None:
    """It cannot be trusted with anything."""
    play = Play().reach(Stage.STARTED)
    assert play.tell(WordSaid(DONE)) == [Tell(OFF)]
