"""A publisher's connection is ended, and nothing that was on its way is lost."""

import zmq

from gripproxy.bus.publisher_drain import PublisherDrain, find_sockets
from gripproxy.bus.watched_socket import bind
from gripproxy.bus.zmq_inputs import ZmqInput
from tests.bus.bench import BusBench


class Site:
    """A PULL socket that is read, in the test's own process, and a publisher at it."""

    def __init__(self, bench: BusBench, spec: str) -> None:
        self.bench = bench
        self.got: list[bytes] = []
        pull = bench.zmq_context.socket(zmq.PULL)
        bind(pull, "push_in_spec", spec)
        self.input = ZmqInput(bench.loop, pull, bench.outlet(), lambda frames: self.got.append(frames[0]))
        bench.opened.callback(self.input.close)
        self.endpoint = pull.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()
        self.push = self.publisher()

    def publisher(self) -> "zmq.Socket[bytes]":
        push = self.bench.zmq_context.socket(zmq.PUSH)
        push.setsockopt(zmq.RECONNECT_IVL, 10)
        push.connect(self.endpoint)
        self.bench.opened.callback(push.close, 0)
        return push


def test_listener_and_connections_are_found(bench: BusBench) -> None:
    """By what ZeroMQ is bound to; other sockets of the process are left alone."""
    for spec in ("tcp://127.0.0.1:*", f"ipc://{bench.directory}/drained"):
        site = Site(bench, spec)
        other = Site(bench, spec.replace("drained", "other"))
        for each in (site, other):
            each.push.send(b"x")
            bench.run_until(lambda each=each: each.got == [b"x"])
        listener, connections = find_sockets(site.input.zmq_socket)
        assert listener is not None
        assert len(connections) == 1
        assert find_sockets(other.input.zmq_socket)[0] not in {listener, None}


def test_connections_end_and_all_that_was_sent_is_read(bench: BusBench) -> None:
    """The publisher keeps what it sends from then on, and is taken up again when connections are."""
    site = Site(bench, "tcp://127.0.0.1:*")
    for number in range(5_000):
        site.push.send(b"%d" % number)
        bench.loop.run_until_complete(_turn())
    drain = PublisherDrain(site.input.zmq_socket, site.input)
    drain.stop_accepting()
    bench.run(drain.run())
    assert site.got == [b"%d" % number for number in range(5_000)]
    assert find_sockets(site.input.zmq_socket)[1] == set()
    site.push.send(b"later")
    late = site.publisher()
    late.send(b"from another")
    bench.run(drain.run())
    assert len(site.got) == 5_000
    drain.resume()
    bench.run_until(lambda: len(site.got) == 5_002)
    assert set(site.got[5_000:]) == {b"later", b"from another"}


async def _turn() -> None:
    """Let the loop turn once."""
