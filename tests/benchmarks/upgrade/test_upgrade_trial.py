"""What counts as a fault of an upgrade."""

import pytest

from benchmarks.upgrade.newcomers import Outcomes
from benchmarks.upgrade.trial import BATCH_CONNECTIONS, Round, faults_of
from benchmarks.upgrade.watch import Kill, Seen

COUNTED = ("items", "doubled", "reordered", "foreign", "damaged")


def upgrade(held_by_killed: int = 0, **counts: float) -> Round:
    """Give an upgrade in which only this has gone wrong."""
    during = {name: counts.pop(name, 0) for name in COUNTED}
    seen = Seen(status=int(counts.pop("status", 0)), killed="somebody", held_by_killed=held_by_killed)
    one = Round(seen, held_before=100, during=during, newcomers=Outcomes({"answered": 9}))
    for name, count in counts.items():
        setattr(one, name, count)
    return one


def test_nothing_is_wrong() -> None:
    """With and without a kill."""
    assert faults_of(upgrade(items=1000), None, 2) == []
    assert faults_of(upgrade(items=1000), Kill(True, "worker", 0.1), 2) == []


@pytest.mark.parametrize("name", ["doubled", "reordered", "foreign", "damaged"])
@pytest.mark.parametrize("kill", [None, Kill(False, "hub", 0.0), Kill(True, "supervisor", 0.0)])
def test_nothing_comes_twice_or_out_of_order_whoever_is_killed(name: str, kill: Kill | None) -> None:
    """There is no excuse for it."""
    assert len(faults_of(upgrade(**{name: 1}), kill, 2)) == 1


@pytest.mark.parametrize("name", ["missing_of_all", "missing_of_some", "lost", "status", "has_restarted"])
def test_an_upgrade_loses_nothing(name: str) -> None:
    """And comes to its end."""
    assert len(faults_of(upgrade(**{name: 1}), None, 2)) == 1


def test_an_upgrade_that_was_faster_than_the_kill_is_one_without() -> None:
    """It must succeed."""
    one = upgrade(status=1)
    one.seen.killed = None
    assert len(faults_of(one, Kill(True, "worker", 9.0), 2)) == 1


def test_a_new_client_that_is_refused_is_a_fault() -> None:
    """Whatever the reason."""
    one = upgrade()
    one.newcomers.counts["ConnectionRefusedError"] = 1
    one.posts_failed.append("status 503")
    assert len(faults_of(one, None, 2)) == 2


@pytest.mark.parametrize(
    ("kill", "may_lose"),
    [
        (Kill(True, "worker", 0.0), 10),
        (Kill(False, "worker", 0.0), 10),
        (Kill(False, "supervisor", 0.0), 10),
        (Kill(True, "supervisor", 0.0), 10 + 2 * BATCH_CONNECTIONS),
        (Kill(True, "hub", 0.0), 0),
    ],
)
def test_a_kill_loses_what_the_killed_process_had(kill: Kill, may_lose: int) -> None:
    """And not one client more; what a hub had in hand were items, not clients."""
    assert faults_of(upgrade(held_by_killed=10, lost=may_lose), kill, 2) == []
    assert len(faults_of(upgrade(held_by_killed=10, lost=may_lose + 1), kill, 2)) == 1
    assert len(faults_of(upgrade(held_by_killed=10, missing_of_some=1), kill, 2)) == (kill.kind == "worker")
