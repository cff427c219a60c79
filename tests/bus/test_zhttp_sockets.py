"""The sockets of zhttp targets, with origins' sockets at the other end."""

import contextlib
import os
import socket

import pytest
import zmq

from gripproxy.bus import zhttp_sockets
from gripproxy.bus.watched_socket import AnySocket
from gripproxy.bus.zhttp_sockets import FIRST_HWM, NO_ORIGIN, ReqSocket, StreamSockets
from gripproxy.bus.zhttp_wire import SpecUse
from gripproxy.errors import ConfigError
from tests.bus.bench import BusBench


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Origins are joined here when a test says so: no time must pass."""
    monkeypatch.setattr(zhttp_sockets, "SETTLE_S", 0.0)


class StreamOrigin:
    """PULL, ROUTER and PUB of an origin, joined to the proxy's sockets."""

    def __init__(self, bench: BusBench, spec: str, identity: bytes = b"wk") -> None:
        self.pull = bench.socket(zmq.PULL)
        self.router = bench.socket(zmq.ROUTER)
        self.router.setsockopt(zmq.ROUTING_ID, identity)
        self.router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.pub = bench.socket(zmq.XPUB)  # which tells when it is subscribed to
        self.pull.connect(f"{spec}-out")
        self.router.connect(f"{spec}-out-stream")
        self.pub.connect(f"{spec}-in")
        bench.run_until(lambda: bool(self.pub.poll(0)))
        assert self.pub.recv() == b"\x01proxy "


def listen_behind_free_ports() -> tuple[socket.socket, int]:
    """Listen on a port; the two before it are free."""
    while True:
        taken = socket.create_server(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        try:
            for neighbour in (port - 2, port - 1):
                socket.create_server(("127.0.0.1", neighbour)).close()
        except OSError:
            taken.close()
        else:
            return taken, port


def arrives(bench: BusBench, zmq_socket: AnySocket) -> list[bytes]:
    bench.run_until(lambda: bool(zmq_socket.poll(0)))
    return zmq_socket.recv_multipart()


def spec_of(bench: BusBench) -> str:
    return f"ipc://{bench.directory}/z"


def stream_sockets(bench: BusBench, packets: list[bytes], file_mode: int | None = None) -> StreamSockets:
    use = SpecUse(spec_of(bench), False, file_mode)
    sockets = StreamSockets(bench.loop, bench.zmq_context, b"proxy", use, packets.append)
    bench.opened.callback(sockets.close)
    return sockets


def req_socket(bench: BusBench, packets: list[bytes]) -> ReqSocket:
    dealer = ReqSocket(bench.loop, bench.zmq_context, SpecUse(spec_of(bench), True), packets.append)
    bench.opened.callback(dealer.close)
    return dealer


def test_packets_go_out_and_come_in(bench: BusBench) -> None:
    """First packets to whoever takes them, later ones to whom they name, answers over either of two sockets."""
    packets: list[bytes] = []
    sockets = stream_sockets(bench, packets)
    origin = StreamOrigin(bench, spec_of(bench))
    bench.run_until(lambda: sockets.open_request(b"a", b"first") is None)
    assert arrives(bench, origin.pull) == [b"first"]
    origin.pub.send(b"proxy Tanswer")
    bench.run_until(lambda: packets == [b"Tanswer"])
    origin.router.send_multipart([b"proxy", b"", b"Tother"])
    bench.run_until(lambda: packets == [b"Tanswer", b"Tother"])
    assert sockets.send(b"wk", b"later") is None
    assert arrives(bench, origin.router) == [b"proxy", b"", b"later"]


def test_answers_to_other_proxies_do_not_come_in(bench: BusBench) -> None:
    """One origin may serve several; ZeroMQ compares beginnings only."""
    packets: list[bytes] = []
    stream_sockets(bench, packets)
    origin = StreamOrigin(bench, spec_of(bench))
    for message in (b"proxy2 Tno", b"prox Tno", b"proxy Tyes"):
        origin.pub.send(message)
    bench.run_until(lambda: bool(packets))
    assert packets == [b"Tyes"]


def test_probe_is_answered(bench: BusBench) -> None:
    """An origin of the reference's own kind looks so whether the way is open."""
    stream_sockets(bench, [])
    origin = StreamOrigin(bench, spec_of(bench))
    origin.router.send_multipart([b"proxy", b"probe"])
    assert arrives(bench, origin.router) == [b"proxy", b"", b"probe-ack"]


def test_without_an_origin_a_stream_is_refused(bench: BusBench) -> None:
    """Its client hears so at once."""
    sockets = stream_sockets(bench, [])
    assert sockets.open_request(b"a", b"first") == NO_ORIGIN


def test_new_sockets_take_requests_when_origins_have_found_all_of_them(
    bench: BusBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An origin that gets a request before its PUB socket is back would answer to nobody."""
    monkeypatch.setattr(zhttp_sockets, "SETTLE_S", 1000.0)
    sockets = stream_sockets(bench, [])
    origin = StreamOrigin(bench, spec_of(bench))
    pushed_at = bench.loop.time()
    assert sockets.open_request(b"a", b"early") == NO_ORIGIN
    sockets._usable_at = pushed_at
    bench.run_until(lambda: sockets.open_request(b"b", b"late") is None)
    assert arrives(bench, origin.pull) == [b"late"]


def test_full_queue_refuses_a_stream(bench: BusBench) -> None:
    """What an origin does not fetch does not pile up without end."""
    sockets = stream_sockets(bench, [])
    pull = bench.socket(zmq.PULL)
    pull.setsockopt(zmq.RCVHWM, 1)
    pull.connect(f"{spec_of(bench)}-out")
    bench.run_until(lambda: sockets.open_request(b"a", b"x" * 100_000) is None)
    count = 0
    while sockets.open_request(b"a", b"x" * 100_000) is None:
        count += 1
        assert count < 3 * FIRST_HWM


def test_packet_for_an_origin_that_is_gone_goes_nowhere(bench: BusBench) -> None:
    """Its silence ends the request, or nothing does if the packet was not needed."""
    sockets = stream_sockets(bench, [])
    assert sockets.send(b"gone", b"later") is None


def test_full_origin_fails_the_request(bench: BusBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A packet that is dropped in silence would leave a hole in the body."""
    monkeypatch.setattr(zhttp_sockets, "PACKETS_HWM", 1000)
    sockets = stream_sockets(bench, [])
    origin = StreamOrigin(bench, spec_of(bench))
    origin.router.send_multipart([b"proxy", b"probe"])
    arrives(bench, origin.router)
    bench.run_until(lambda: sockets.send(b"wk", b"x" * 50_000) is not None)


def test_whole_requests_wait_for_an_origin(bench: BusBench) -> None:
    """In order, and not those that nobody waits for any more."""
    packets: list[bytes] = []
    dealer = req_socket(bench, packets)
    for name in (b"a", b"b", b"c"):
        assert dealer.open_request(name, b"T" + name) is None
    dealer.forget(b"b")
    rep = bench.socket(zmq.REP)
    rep.connect(spec_of(bench))
    assert arrives(bench, rep) == [b"Ta"]
    rep.send(b"answer a")
    bench.run_until(lambda: packets == [b"answer a"])
    assert arrives(bench, rep) == [b"Tc"]
    rep.send(b"answer c")
    bench.run_until(lambda: packets == [b"answer a", b"answer c"])
    assert dealer._queued == {} and dealer._queued_bytes == 0
    assert dealer.send(b"", b"") is None


def test_waiting_requests_are_bounded(bench: BusBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """By number and by bytes: no origin may ever come."""
    monkeypatch.setattr(zhttp_sockets, "QUEUED_MAX_COUNT", 3)
    monkeypatch.setattr(zhttp_sockets, "QUEUED_MAX_BYTES", 100)
    dealer = req_socket(bench, [])
    assert dealer.open_request(b"a", b"x" * 90) is None
    assert dealer.open_request(b"b", b"x" * 11) == NO_ORIGIN
    assert dealer.open_request(b"c", b"x") is None
    assert dealer.open_request(b"d", b"x") is None
    assert dealer.open_request(b"e", b"x") == NO_ORIGIN
    dealer.forget(b"a")
    assert dealer.open_request(b"b", b"x" * 11) is None


def test_file_mode_is_of_all_three_sockets(bench: BusBench) -> None:
    """Origins that run as another user may be let in."""
    stream_sockets(bench, [], file_mode=0o622)
    for suffix in ("-out", "-out-stream", "-in"):
        assert os.stat(f"{bench.directory}/z{suffix}").st_mode & 0o777 == 0o622


def test_address_that_is_taken_is_named_and_nothing_stays_open(bench: BusBench) -> None:
    """The next attempt must not fail for what this one has left."""
    taken, last_port = listen_behind_free_ports()
    use = SpecUse(f"tcp://127.0.0.1:{last_port - 2}", False)

    def open_sockets() -> StreamSockets:
        return StreamSockets(bench.loop, bench.zmq_context, b"proxy", use, print)

    with pytest.raises(ConfigError, match=f"zhttp target tcp://127.0.0.1:{last_port}: address already in use"):
        open_sockets()
    taken.close()
    opened: list[StreamSockets] = []

    def is_open() -> bool:
        with contextlib.suppress(ConfigError):  # ZeroMQ closes in a thread of its own
            opened.append(open_sockets())
        return bool(opened)

    bench.run_until(is_open)
    opened[0].close()


def test_bad_address_is_named(bench: BusBench) -> None:
    """It stands in a routes file, among many."""
    with pytest.raises(ConfigError, match="zhttp target tcp://256"):
        ReqSocket(bench.loop, bench.zmq_context, SpecUse("tcp://256.0.0.1:1", True), print)
