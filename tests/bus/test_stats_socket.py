"""The stats socket is a PUB socket to monitors, and the hub knows what they want."""

import os
import stat

import pytest
import zmq

from gripproxy.bus import stats_socket
from gripproxy.bus.stats_socket import StatsSocket
from gripproxy.errors import ConfigError
from gripproxy.protocol.stats_packet import KINDS
from tests.bus.bench import BusBench


class StatsBench:
    """A stats socket, and how often it said that something else is wanted."""

    def __init__(self, bench: BusBench, file_mode: int | None = None) -> None:
        self.bench = bench
        self.spec = f"ipc://{bench.directory}/stats"
        self.changes: list[frozenset[str]] = []
        self.socket = StatsSocket(bench.loop, bench.zmq_context, self.spec, file_mode, self._on_change)
        bench.opened.callback(self.socket.close)

    def monitor(self, *topics: bytes) -> "zmq.Socket[bytes]":
        sub = self.bench.socket(zmq.SUB)
        sub.setsockopt(zmq.RCVTIMEO, 10_000)
        for topic in topics:
            sub.setsockopt(zmq.SUBSCRIBE, topic)
        sub.connect(self.spec)
        return sub

    def wait_wanted(self, *kinds: str) -> None:
        self.bench.run_until(lambda: self.socket.wanted == set(kinds))

    def _on_change(self) -> None:
        self.changes.append(self.socket.wanted)


def test_subscriptions_say_what_is_wanted(bench: BusBench) -> None:
    """Nothing is made that nobody gets."""
    stats = StatsBench(bench)
    first, second = stats.monitor(b"sub ", b"report "), stats.monitor(b"sub ")
    stats.wait_wanted("sub", "report")
    first.close(0)
    stats.wait_wanted("sub")
    second.setsockopt(zmq.SUBSCRIBE, b"")
    stats.wait_wanted("activity", "counts", "message", "conn", "sub", "report")
    second.setsockopt(zmq.UNSUBSCRIBE, b"")
    stats.wait_wanted("sub")
    second.close(0)
    stats.wait_wanted()
    assert stats.changes[-1] == frozenset()


@pytest.mark.parametrize(
    ("topic", "kinds"),
    [(b"co", ["counts", "conn"]), (b"sub T84:", ["sub"]), (b"report J{", ["report"]), (b"s", ["sub"])],
)
def test_topic_may_be_a_part_of_a_packet_or_more_than_its_type(bench: BusBench, topic: bytes, kinds: list[str]) -> None:
    """ZeroMQ compares bytes and knows nothing of types."""
    stats = StatsBench(bench)
    stats.monitor(topic)
    stats.wait_wanted(*kinds)


def test_each_topic_is_looked_at_once(bench: BusBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """One monitor with very many must not hold up the hub at every change."""
    looks: list[bytes] = []
    fits = stats_socket._fits

    def count_look(topic: bytes, kind: str) -> bool:
        looks.append(topic)
        return fits(topic, kind)

    monkeypatch.setattr(stats_socket, "_fits", count_look)
    stats = StatsBench(bench)
    monitor = stats.monitor(*[b"sub T%d" % number for number in range(300)])
    stats.wait_wanted("sub")
    bench.run_until(lambda: len(stats.socket._topics) == 300)
    monitor.setsockopt(zmq.SUBSCRIBE, b"conn ")
    stats.wait_wanted("sub", "conn")
    assert len(looks) == 301 * len(KINDS)
    monitor.setsockopt(zmq.SUBSCRIBE, b"other")
    monitor.setsockopt(zmq.UNSUBSCRIBE, b"conn ")
    stats.wait_wanted("sub")
    assert len(stats.socket._topics) == 300


def test_packets_reach_those_who_are_subscribed(bench: BusBench) -> None:
    """One frame each, by prefix."""
    stats = StatsBench(bench)
    subs, all_kinds = stats.monitor(b"sub "), stats.monitor(b"")
    stats.wait_wanted("activity", "counts", "message", "conn", "sub", "report")
    bench.run_until(lambda: len(stats.socket._topics) == 2)
    for packet in (b"conn J{}", b"sub J{}", b"subs J{}"):
        stats.socket.send(packet)
    assert [all_kinds.recv() for _ in range(3)] == [b"conn J{}", b"sub J{}", b"subs J{}"]
    assert subs.recv() == b"sub J{}"
    with pytest.raises(zmq.Again):
        subs.recv(zmq.NOBLOCK)


def test_what_is_no_subscription_is_passed_over(bench: BusBench) -> None:
    """Anybody may send messages up such a socket."""
    stats = StatsBench(bench)
    xsub = bench.socket(zmq.XSUB)
    xsub.connect(stats.spec)
    for message in (b"hello", b"\x02sub ", b"\x01report "):
        xsub.send(message)
    stats.wait_wanted("report")


def test_mode_of_the_file(bench: BusBench) -> None:
    """As `ipc_file_mode` says, as for all sockets that others connect to."""
    StatsBench(bench, file_mode=0o620)
    assert stat.S_IMODE(os.stat(bench.directory / "stats").st_mode) == 0o620


def test_address_that_cannot_be_bound_is_named(bench: BusBench) -> None:
    """The operator reads the key and what is wrong with it."""
    with pytest.raises(ConfigError, match="stats_spec ipc:///missing/stats: no such file or directory"):
        StatsSocket(bench.loop, bench.zmq_context, "ipc:///missing/stats", None, lambda: None)
