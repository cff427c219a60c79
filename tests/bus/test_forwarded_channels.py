"""What publishers on the SUB input are asked for."""

import zmq

from gripproxy.bus.channel_union import ChannelUnion
from gripproxy.bus.forwarded_channels import BATCH_MAX_COUNT, NAME_MAX_BYTES, ForwardedChannels
from gripproxy.bus.watched_socket import WatchedSocket
from tests.bus.bench import BusBench


class Publisher:
    """An XPUB publisher: it sees the subscriptions that arrive."""

    def __init__(self, bench: BusBench, path: str) -> None:
        self._bench = bench
        self._xpub = bench.socket(zmq.XPUB)
        self._xpub.connect(f"ipc://{path}")

    def sees(self, count: int) -> set[bytes]:
        notices = []
        while len(notices) < count:
            self._bench.run_until(lambda: bool(self._xpub.poll(0)))
            notices.append(self._xpub.recv())
        assert not self._xpub.poll(0)
        return set(notices)


def forwarded(bench: BusBench) -> tuple[ForwardedChannels, str]:
    sub, path = bench.socket(zmq.SUB), str(bench.directory / "sub")
    sub.setsockopt(zmq.SNDHWM, 0)
    sub.bind(f"ipc://{path}")
    channels = ForwardedChannels(bench.loop, ChannelUnion())

    def read_batch() -> bool:
        try:
            sub.recv(zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    watched = WatchedSocket(bench.loop, sub, read_batch)
    bench.opened.callback(watched.close)
    channels.attach(sub, watched.wake)
    bench.opened.callback(channels.close)
    return channels, path


def report(channels: ForwardedChannels, worker_index: int, added: list[str], removed: list[str]) -> None:
    channels.on_change(*channels.wanted.change(worker_index, added, removed))


def test_publisher_sees_the_union_of_the_workers(bench: BusBench) -> None:
    """One subscription per channel, from the first worker that has a subscriber to the last that loses its last."""
    channels, path = forwarded(bench)
    publisher = Publisher(bench, path)
    report(channels, 0, ["a", "b"], [])
    report(channels, 1, ["b"], [])
    assert publisher.sees(2) == {b"\x01a", b"\x01b"}
    channels.on_change([], channels.wanted.forget_worker(0))
    assert publisher.sees(1) == {b"\x00a"}
    report(channels, 1, [], ["b"])
    assert publisher.sees(1) == {b"\x00b"}


def test_publisher_that_comes_late_sees_all(bench: BusBench) -> None:
    """Nothing was subscribed while there was no publisher, and more than one batch is due now."""
    channels, path = forwarded(bench)
    names = [f"channel {number}" for number in range(BATCH_MAX_COUNT + 500)]
    report(channels, 0, names, [])
    report(channels, 0, [], names[:10])
    publisher = Publisher(bench, path)
    assert publisher.sees(len(names) - 10) == {b"\x01" + name.encode() for name in names[10:]}


def test_channel_that_is_left_and_taken_again_stays(bench: BusBench) -> None:
    """ZeroMQ counts subscriptions: each must be undone exactly once."""
    channels, path = forwarded(bench)
    publisher = Publisher(bench, path)
    report(channels, 0, ["a"], [])
    assert publisher.sees(1) == {b"\x01a"}
    report(channels, 0, [], ["a"])
    report(channels, 0, ["a"], [])
    report(channels, 0, [], ["a"])
    report(channels, 0, ["marker"], [])
    seen = publisher.sees(4)
    assert seen == {b"\x00a", b"\x01a", b"\x01marker"}


def test_name_that_zeromq_would_end_the_process_for_is_left_out(bench: BusBench) -> None:
    """An origin may make names of what clients send it."""
    channels, path = forwarded(bench)
    publisher = Publisher(bench, path)
    names = ["x" * 1_000_000, "y" * NAME_MAX_BYTES]
    report(channels, 0, names, [])
    assert publisher.sees(1) == {b"\x01" + names[1].encode()}
    report(channels, 0, [], names)
    assert publisher.sees(1) == {b"\x00" + names[1].encode()}
