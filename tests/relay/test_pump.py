"""Items one way, subscriptions the other, and a full queue."""

import zmq

from gripproxy.bus.watched_socket import AnySocket
from gripproxy.relay.counters import Counters
from gripproxy.relay.pump import Pump
from tests.bus.bench import BusBench


class Pumped:
    """A pump between a publisher and hosts by hand, whose queues hold `queue_count` items."""

    def __init__(self, bench: BusBench, queue_count: int = 1000) -> None:
        self._bench = bench
        self.counters = Counters()
        xsub, xpub = bench.zmq_context.socket(zmq.XSUB), bench.zmq_context.socket(zmq.XPUB)
        xpub.setsockopt(zmq.SNDHWM, queue_count)
        xpub.setsockopt(zmq.SNDBUF, 4096)
        xsub.bind(f"ipc://{bench.directory}/in")
        xpub.bind(f"ipc://{bench.directory}/out")
        pump = Pump(bench.loop, xsub, xpub, self.counters, lambda: ["10.0.0.1:5"])
        bench.opened.callback(pump.close, 0)
        self.publisher = bench.socket(zmq.XPUB)
        self.publisher.connect(f"ipc://{bench.directory}/in")

    def host(self, *channels: bytes) -> AnySocket:
        host = self._bench.socket(zmq.SUB)
        host.setsockopt(zmq.RCVHWM, 1)
        host.setsockopt(zmq.RCVBUF, 4096)
        host.connect(f"ipc://{self._bench.directory}/out")
        for channel in channels:
            host.setsockopt(zmq.SUBSCRIBE, channel)
        return host

    def received(self, socket: AnySocket) -> list[bytes]:
        self._bench.run_until(lambda: bool(socket.poll(0)))
        frames: list[bytes] = socket.recv_multipart()
        return frames


def test_both_ways(bench: BusBench) -> None:
    """What comes is counted."""
    pumped = Pumped(bench)
    host = pumped.host(b"a", b"b")
    assert {pumped.received(pumped.publisher)[0] for _ in range(2)} == {b"\x01a", b"\x01b"}
    pumped.publisher.send_multipart([b"b", b"item"])
    assert pumped.received(host) == [b"b", b"item"]
    host.setsockopt(zmq.UNSUBSCRIBE, b"b")
    assert pumped.received(pumped.publisher) == [b"\x00b"]
    assert (pumped.counters.items, pumped.counters.bytes, pumped.counters.subscriptions) == (1, 5, 1)


def test_what_hosts_say_besides_is_not_passed_on(bench: BusBench) -> None:
    """ZeroMQ lets XSUB sockets send anything to publishers."""
    pumped = Pumped(bench)
    host = bench.socket(zmq.XSUB)
    host.connect(f"ipc://{bench.directory}/out")
    host.send(b"hello")
    host.send(b"\x01a")
    assert pumped.received(pumped.publisher) == [b"\x01a"]


def test_full_queue_holds_the_others_up_once(bench: BusBench) -> None:
    """The item that does not fit waits, then goes to whoever has room, in order; from there on nobody waits."""
    pumped = Pumped(bench, queue_count=4)
    stuck = pumped.host(b"a")
    assert pumped.received(pumped.publisher) == [b"\x01a"]
    quick = pumped.host(b"a", b"end")
    assert pumped.received(pumped.publisher) == [b"\x01end"]
    for number in range(60):
        pumped.publisher.send_multipart([b"a", b"%d" % number, b"x" * 10_000])
        assert pumped.received(quick)[1] == b"%d" % number
    assert pumped.counters.overflows == 1
    numbers = []
    while stuck.poll(200):
        numbers.append(int(stuck.recv_multipart()[1]))
        bench.run_until(lambda: True)
    assert numbers == list(range(len(numbers)))
    assert 0 < len(numbers) < 60
