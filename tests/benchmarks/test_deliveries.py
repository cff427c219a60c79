"""Counting what clients receive, and waiting for it."""

from typing import cast

from benchmarks.deliveries import Deliveries
from benchmarks.hold_swarm import HoldSwarm
from benchmarks.watch import Watch


class GrowingSwarm:
    """Has received `step` more at each look."""

    def __init__(self, step: int) -> None:
        self._received, self._step = 1000, step

    def count(self, _: object) -> int:
        self._received += self._step
        return self._received


def deliveries_of(step: int) -> Deliveries:
    return Deliveries(cast(HoldSwarm, GrowingSwarm(step)))


def test_what_came_before_does_not_count() -> None:
    """Each load is judged by its own deliveries."""
    deliveries = deliveries_of(5)
    deliveries.due = 20
    assert deliveries.received == 5
    assert deliveries.missing == 10


def test_wait_ends_when_all_have_come() -> None:
    """A load ends with its last delivery, whose time is kept."""
    deliveries = deliveries_of(5)
    started_at = deliveries.last_at
    assert deliveries.wait(50, Watch("label", 60.0))
    assert deliveries.last_at > started_at


def test_wait_ends_at_its_limit_while_some_still_come() -> None:
    """A server that trickles must not hold up the run."""
    assert not deliveries_of(1).wait(10**9, Watch("label", 60.0), limit_s=0.02)
