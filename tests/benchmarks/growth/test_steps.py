"""How many processes the steps take, and that every size has something to judge."""

import pytest

from benchmarks.growth.growth_server import SUBSCRIPTIONS_MAX_COUNT
from benchmarks.growth.steps import STEPS


@pytest.mark.parametrize("name", STEPS)
def test_steps_are_curves_that_can_be_held(name: str) -> None:
    """A curve needs two points in ascending order, and whole groups of subscribers."""
    steps = STEPS[name]
    for values in (steps.connections, steps.channels, steps.subscriptions, steps.workers, steps.item_bytes):
        assert len(values) >= 2
        assert list(values) == sorted(set(values))
    assert all(count % steps.subscribers_per_channel == 0 for count in steps.connections)
    for count in steps.channels:
        connections = min(count, steps.channel_connections_max)
        assert count % connections == 0
        assert count // connections <= SUBSCRIPTIONS_MAX_COUNT
    assert max(steps.subscriptions) <= SUBSCRIPTIONS_MAX_COUNT


def test_processes_are_as_many_as_their_files_ask_for() -> None:
    """A process opens 20,000 files at the most."""
    steps = STEPS["full"]
    assert [steps.client_processes(count) for count in (10, 17_500, 17_501, 1_000_000)] == [1, 1, 2, 58]
    assert [steps.worker_count(count) for count in (10, 17_000, 100_000, 1_000_000)] == [2, 2, 6, 59]


def test_keep_alives_of_many_take_longer_than_the_clients_need_to_read_them() -> None:
    """All of them in ten seconds would need the whole machine at a million."""
    assert [STEPS["full"].keep_alive_s(count) for count in (1000, 400_000, 1_000_000)] == [10, 10, 25]
