"""The new version's decisions during an upgrade, and what a drain changes in a stop."""

import signal
from collections.abc import Callable

import pytest

from gripproxy.handover import LISTEN_SIGNAL
from gripproxy.supervisor.policy import (
    DONE,
    HEARTBEAT_MAX_S,
    MOVED,
    READY,
    STOP_MAX_S,
    WELL_MAX_S,
    Action,
    ChildExited,
    ChildReady,
    ChildSucceeded,
    End,
    Log,
    OldSideGone,
    OldSideOpen,
    Phase,
    Policy,
    RetireAsked,
    Send,
    Start,
    StopAsked,
    Tell,
    Ticked,
    UpgradeOff,
)

NAMES = ["hub", "worker 0", "worker 1"]


def deeds(actions: list[Action]) -> list[Action]:
    """Leave the log lines out."""
    return [action for action in actions if not isinstance(action, Log)]


def ready(is_takeover: bool = True, drain_s: float = 0.0) -> Policy:
    policy = Policy(NAMES, drain_s, is_takeover)
    policy.start(0.0)
    for row in range(3):
        policy.handle(ChildReady(row), 0.0)
    return policy


def taking_workers() -> Policy:
    policy = ready()
    policy.handle(OldSideOpen(), 1.0)
    policy.handle(ChildSucceeded(0), 1.0)
    assert policy.phase == Phase.TAKING_WORKERS
    return policy


def test_hub_takes_over_first_then_the_workers() -> None:
    """Each step is told to the old supervisor, which decides with it."""
    policy = Policy(NAMES, is_takeover=True)
    policy.start(0.0)
    assert deeds(policy.handle(ChildReady(0), 0.0)) == []
    assert deeds(policy.handle(ChildReady(1), 0.0)) == []
    assert deeds(policy.handle(ChildReady(2), 0.0)) == [Tell(READY)]
    assert deeds(policy.handle(OldSideOpen(), 1.0)) == [Send([0], LISTEN_SIGNAL)]
    assert deeds(policy.handle(ChildSucceeded(0), 1.0)) == [Tell(MOVED), Send([1, 2], LISTEN_SIGNAL)]
    assert deeds(policy.handle(ChildSucceeded(2), 1.0)) == []
    assert deeds(policy.handle(ChildSucceeded(1), 1.0)) == [Tell(DONE)]
    assert policy.phase == Phase.SERVING


@pytest.mark.parametrize("row", [0, 1])
def test_any_death_before_the_hub_has_taken_over_ends_the_new_version(row: int) -> None:
    """Nothing has been taken from the old one yet, so nobody loses anything."""
    policy = ready()
    policy.handle(OldSideOpen(), 1.0)
    actions = policy.handle(ChildExited(row, "killed by SIGKILL"), 1.0)
    assert policy.phase == Phase.STOPPING_WORKERS
    assert Log(0, f"{NAMES[row]} is gone: killed by SIGKILL; the version before serves on") in actions
    for other in {1, 2, 0} - {row}:
        actions += policy.handle(ChildExited(other, "exit status 0"), 1.1)
    assert actions[-1] == End(1)


def test_worker_that_dies_while_it_takes_over_goes_on_in_a_new_life() -> None:
    """What it had is lost; the rest is still with its old workers."""
    policy = taking_workers()
    policy.handle(ChildSucceeded(2), 1.0)
    policy.handle(ChildExited(1, "killed by SIGKILL"), 1.0)
    assert policy.handle(Ticked([1.0] * 3), 1.0) == [Start(1)]
    assert policy.takes_over(1)
    assert deeds(policy.handle(ChildReady(1), 1.5)) == [Send([1], LISTEN_SIGNAL)]
    assert deeds(policy.handle(ChildSucceeded(1), 2.0)) == [Tell(DONE)]


def test_worker_that_dies_after_its_success_has_to_succeed_again() -> None:
    """Nobody may end the old workers as long as one new one is missing."""
    policy = taking_workers()
    policy.handle(ChildSucceeded(1), 1.0)
    policy.handle(ChildExited(1, "killed by SIGKILL"), 1.0)
    assert deeds(policy.handle(ChildSucceeded(2), 1.0)) == []


def test_hub_that_dies_after_its_success_is_replaced_by_an_ordinary_one() -> None:
    """The old hub has nothing left to give."""
    policy = taking_workers()
    policy.handle(ChildExited(0, "killed by SIGKILL"), 1.0)
    assert policy.handle(Ticked([1.0] * 3), 1.0) == [Start(0)]
    assert not policy.takes_over(0)
    assert deeds(policy.handle(ChildReady(0), 1.5)) == []


def test_ordinary_children_take_nothing_over() -> None:
    """A worker that is replaced next week must not look for old ones."""
    assert not ready(is_takeover=False).takes_over(1)
    policy = taking_workers()
    for row in (1, 2):
        policy.handle(ChildSucceeded(row), 1.0)
    assert not policy.takes_over(1)


def test_old_supervisor_that_is_gone_is_as_good_as_its_word() -> None:
    """The children find out what is left of theirs."""
    policy = Policy(NAMES, is_takeover=True)
    policy.start(0.0)
    assert policy.handle(OldSideGone(), 0.0) == []
    for row in (0, 1):
        policy.handle(ChildReady(row), 0.0)
    assert deeds(policy.handle(ChildReady(2), 0.0)) == [Tell(READY), Send([0], LISTEN_SIGNAL)]
    policy = ready()
    assert deeds(policy.handle(OldSideOpen(), 1.0)) == [Send([0], LISTEN_SIGNAL)]
    assert deeds(policy.handle(OldSideGone(), 1.0)) == []


@pytest.mark.parametrize("make", [ready, taking_workers])
def test_version_that_is_called_off_ends(make: Callable[[], Policy]) -> None:
    """Its children let go of what they have; it may have served somebody."""
    policy = make()
    actions = policy.handle(UpgradeOff("too late"), 1.0)
    assert deeds(actions) == [Send([1, 2], signal.SIGTERM)]
    assert policy.phase == Phase.STOPPING_WORKERS


def test_version_that_has_taken_over_is_not_called_off() -> None:
    """Words that crossed on their way."""
    policy = taking_workers()
    for row in (1, 2):
        policy.handle(ChildSucceeded(row), 1.0)
    assert policy.handle(UpgradeOff("late"), 1.0) == []


def test_old_version_retires_like_any_that_stops() -> None:
    """It drains what could not move."""
    policy = ready(is_takeover=False)
    assert deeds(policy.handle(RetireAsked(), 1.0)) == [Send([1, 2], signal.SIGTERM)]


def test_stop_waits_for_the_drain_and_a_little_longer() -> None:
    """Killed earlier, clients would be cut that are being parted from politely."""
    policy = ready(is_takeover=False, drain_s=10.0)
    policy.handle(StopAsked(), 1.0)
    end_s = 1.0 + 10.0 + STOP_MAX_S
    assert policy.handle(Ticked([0.0] * 3), end_s - 0.1) == []
    assert deeds(policy.handle(Ticked([0.0] * 3), end_s)) == [Send([0, 1, 2], signal.SIGKILL)]


def test_hub_has_its_own_time_after_a_long_drain() -> None:
    """The workers may have used all of theirs."""
    policy = ready(is_takeover=False, drain_s=10.0)
    policy.handle(StopAsked(), 1.0)
    for row in (1, 2):
        policy.handle(ChildExited(row, "exit status 0"), 14.9)
    assert policy.handle(Ticked([0.0] * 3), 15.1) == []
    assert deeds(policy.handle(Ticked([0.0] * 3), 14.9 + STOP_MAX_S)) == [Send([0], signal.SIGKILL)]


def test_what_is_held_is_not_replaced_until_it_is_released() -> None:
    """While a new version takes over."""
    policy = ready(is_takeover=False)
    policy.is_held = True
    policy.handle(ChildExited(1, "killed by SIGKILL"), 1.0)
    assert policy.handle(Ticked([100.0] * 3), 100.0) == []
    assert policy.is_well([100.0] * 3, 100.0)  # the manager's watchdog must not end what serves meanwhile
    policy.release(100.0)
    assert policy.handle(Ticked([100.0] * 3), 100.0) == [Start(1)]


def test_whole_is_well_unless_a_child_is_away_for_long() -> None:
    """The watchdog is for what the supervisor itself cannot mend: it has killed and replaced by then."""
    policy = ready(is_takeover=False)
    assert WELL_MAX_S > HEARTBEAT_MAX_S
    assert policy.is_well([0.0, 100.0, 100.0], 30.0)
    assert not policy.is_well([0.0, 100.0, 100.0], WELL_MAX_S + 0.1)
    policy.handle(ChildExited(0, "killed by SIGKILL"), 100.0)
    assert policy.is_well([0.0, 100.0, 100.0], 100.0)
    policy.handle(Ticked([100.0] * 3), 100.0)
    assert policy.is_well([0.0, 100.0, 100.0], 120.0)
