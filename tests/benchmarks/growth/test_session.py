"""Starting a server of a step, and what its readings mean."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.growth.session import START_MAX_COUNT, DeliveryCost, start_one
from benchmarks.growth.usage import Usage
from benchmarks.servers.server import Server


class FakeServer(Server):
    """Starts if it is told to, and says when it is stopped."""

    name = "fake"

    def __init__(self, number: int, starts_at: int, said: list[str]) -> None:
        super().__init__(Path("unused"), 0)
        self._number, self._starts_at, self._said = number, starts_at, said

    def command(self) -> list[str]:
        return []

    def ready_path(self) -> str:
        return "/"

    def start(self) -> None:
        if self._number < self._starts_at:
            raise BenchmarkError(f"{self._number}: address already in use")
        self._said.append(f"started {self._number}")

    def stop(self) -> None:
        self._said.append(f"stopped {self._number}")


def test_server_whose_port_was_taken_is_started_on_another() -> None:
    """Ports are chosen before they are bound; a step of minutes must not fail for that."""
    said: list[str] = []
    with ExitStack() as until:
        start_one(until, lambda number: FakeServer(number, START_MAX_COUNT, said))
        assert said == [f"started {START_MAX_COUNT}"]
    assert said[1:] == [f"stopped {START_MAX_COUNT}"]


def test_server_that_never_starts_says_why() -> None:
    """Its reason stands in the report."""
    with ExitStack() as until, pytest.raises(BenchmarkError, match=f"{START_MAX_COUNT}: address already in use"):
        start_one(until, lambda number: FakeServer(number, START_MAX_COUNT + 1, []))


def test_keep_alives_are_taken_off_a_delivery() -> None:
    """At a million connections they are most of what is written meanwhile."""
    cost = DeliveryCost(Usage(3.0, 0.5, 2.0), items=1000, deliveries=100_000, missing=0, keep_alives_s=1.0)
    assert (cost.cpu_us, cost.hub_us, cost.workers_us) == pytest.approx((20.0, 500.0, 2000.0))
