"""How a run's connections are dealt out to processes, channels and rooms."""

from collections import Counter

import pytest

from benchmarks.c1m.__main__ import build_parser, make_plan
from benchmarks.c1m.plan import Plan, client_capacity, room_sizes, worker_count
from benchmarks.errors import BenchmarkError


def plan_of(*arguments: str, limit_fds: int = 20_000) -> Plan:
    """Give the plan for a command line, on two cores."""
    return make_plan(build_parser().parse_args(arguments), limit_fds, 2)


def test_a_million_fits_in_fifty_five_workers_of_twenty_thousand_files() -> None:
    """Some more would be spare; some less would answer 503."""
    plan = plan_of("--connections", "1000000")
    assert (plan.workers, plan.channels, plan.rooms, plan.room_members) == (55, 1000, 250, 100)
    assert plan.client_processes * client_capacity(20_000) >= 1_000_000


def test_too_few_workers_are_refused_with_the_number_needed() -> None:
    """They would answer 503 after minutes of connecting."""
    with pytest.raises(BenchmarkError, match="it takes 55"):
        worker_count(54, 1_000_000, 20_000, 2)


def test_client_processes_open_every_connection_once() -> None:
    """A gap or an overlap would show as missing deliveries."""
    plan = plan_of("--connections", "100003")
    opened = [range(first, first + count) for first, count in map(plan.range_of, range(plan.client_processes))]
    assert [index for one in opened for index in one] == list(range(100_003))
    assert max(map(len, opened)) <= client_capacity(20_000)


def test_channels_have_the_subscribers_that_are_waited_for() -> None:
    """Every round of publishing waits for exactly so many deliveries."""
    plan = plan_of("--connections", "1005", "--channels", "10")
    counts = Counter(plan.path_of(index).partition("&")[0] for index in range(1005))
    assert counts == {f"/hold?c=c{channel}": plan.subscribers(channel) for channel in range(10)}


@pytest.mark.parametrize(("connections", "rooms"), [(25_000, 250), (60_001, 250), (1234, 12), (30, 1)])
def test_every_room_has_all_its_members(connections: int, rooms: int) -> None:
    """The chat-room case counts what is missing."""
    plan = plan_of("--connections", str(connections))
    members = Counter(room for index in range(connections) if (room := plan.room_of(index)) is not None)
    assert members == dict.fromkeys(range(rooms), plan.room_members)


def test_room_members_are_spread_over_all_client_processes() -> None:
    """Members in one process only would wait for that one's turn."""
    plan = plan_of("--connections", "100000")
    for first, count in map(plan.range_of, range(plan.client_processes)):
        assert any(plan.room_of(index) is not None for index in range(first, first + count))


def test_rooms_are_cut_down_to_what_the_connections_can_fill() -> None:
    """A small run is for trying out."""
    assert room_sizes(40, 250, 100) == (1, 40)
    assert room_sizes(1000, 250, 100) == (10, 100)


def test_memory_grows_by_what_both_ends_of_a_connection_take() -> None:
    """The check before the start decides by it."""
    small, large = plan_of("--connections", "1000000"), plan_of("--connections", "2000000")
    assert 6_500 <= (large.memory_bytes - small.memory_bytes) / 1_000_000 <= 10_000


def test_websockets_ask_for_the_same_as_streams() -> None:
    """The two kinds of run differ in nothing else."""
    streams, sockets = plan_of("--connections", "100"), plan_of("--connections", "100", "--websockets")
    for index in range(100):
        path = streams.path_of(index).encode()
        assert streams.request_of(index).startswith(b"GET %b HTTP/1.1\r\n" % path)
        assert sockets.request_of(index).startswith(b"GET %b HTTP/1.1\r\n" % path)
        assert b"\r\nUpgrade: websocket\r\n" in sockets.request_of(index)
    assert (streams.keep_alive, sockets.keep_alive) == (b"3\r\n:\n\n\r\n", b"\x81\x01:")


@pytest.mark.parametrize("arguments", [("--connections", "0"), ("--rounds", "0"), ("--rounds", "101")])
def test_numbers_that_do_not_fit_are_refused(arguments: tuple[str, str]) -> None:
    """More rounds than the board has rows would write over its histograms."""
    with pytest.raises(BenchmarkError):
        plan_of(*arguments)
