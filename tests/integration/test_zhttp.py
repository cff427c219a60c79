"""Origins behind zhttp and zhttpreq targets: real processes, real sockets, and what becomes of requests if one dies."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.deadline import wait_until
from tests.integration.load_clients import body_of as body_of_chunked
from tests.integration.ports import can_connect, free_ports
from tests.integration.raw_client import RawClient, fetch
from tests.integration.server import PUSHPIN, Server, ServerKind, ServerPlan
from tests.integration.zhttp_origin import ReqOrigin, StreamOrigin, ZmqThread

StartServer = Callable[[ServerPlan], Server]
StartOrigin = Callable[[ZmqThread], ZmqThread]

MANY_COUNT = 200
BODY_BYTES = 900_000  # more than a stream's credits, less than a whole request may have


def body_of(received: bytes) -> bytes:
    """Give the body of a whole response, which may come in chunks or not."""
    head, _, body = received.partition(b"\r\n\r\n")
    return body_of_chunked(received) if b"chunked" in head else body


def post(target: str, body: bytes, host: str) -> bytes:
    head = f"POST {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def free_ports_in_a_row() -> int:
    """Give the first of three free ports."""
    while True:
        first = free_ports(1)[0]
        if not any(can_connect(first + number) for number in (1, 2)):
            return first


class Bed:
    """A server with a route for each way to an origin, named by its host."""

    def __init__(self, server: Server, specs: dict[str, str]) -> None:
        self.server = server
        self.specs = specs

    def stream_addresses(self, host: str) -> tuple[str, str, str]:
        spec = self.specs[host]
        if spec.startswith("ipc"):
            return f"{spec}-out", f"{spec}-out-stream", f"{spec}-in"
        base, _, port = spec.rpartition(":")
        return spec, f"{base}:{int(port) + 1}", f"{base}:{int(port) + 2}"

    def fetch(self, host: str, target: str, timeout_s: float = 10.0) -> bytes:
        return fetch(self.server.http_port, target, host=host, timeout_s=timeout_s)

    def wait_for(self, host: str, status: bytes = b"200") -> None:
        """Wait until an origin answers, or with another `status` until its end is noticed."""

        def is_answered() -> bool:
            # An origin that was back by half has answered to nobody, one that is going takes a last request with it.
            with contextlib.suppress(AssertionError):
                return b" %b " % status in self.fetch(host, "/", timeout_s=2.0).partition(b"\r\n")[0]
            return False

        wait_until(is_answered, f"status {status!r} for {host}")


@pytest.fixture
def bed(start_server: StartServer, short_path: object) -> Bed:
    """One target of each kind."""
    first_port = free_ports_in_a_row()
    specs = {
        "stream": f"ipc://{short_path}/str",
        "tcp": f"tcp://127.0.0.1:{first_port}",
        "req": f"ipc://{short_path}/r",
    }
    routes = [f"{host} zhttp{'req' if host == 'req' else ''}/{spec}" for host, spec in specs.items()]
    return Bed(start_server(ServerPlan(routes=routes)), specs)


@pytest.fixture
def start_origin() -> Iterator[StartOrigin]:
    """Give a function that starts an origin; all of them end with the test, and none may have seen a breach."""
    origins: list[ZmqThread] = []

    def start(origin: ZmqThread) -> ZmqThread:
        origins.append(origin)
        origin.start()
        return origin

    yield start
    for origin in origins:
        origin.stop()
        if isinstance(origin, StreamOrigin):
            assert origin.errors == []


@pytest.fixture(params=["stream", "tcp", "router", "req"])
def host(request: pytest.FixtureRequest, bed: Bed, start_origin: StartOrigin, server_kind: ServerKind) -> Iterator[str]:
    """A host whose origin is there: each kind, and one that answers over its ROUTER socket."""
    way: str = request.param
    if way == "router" and server_kind is PUSHPIN:
        pytest.skip("pushpin 1.36 does not take answers on its ROUTER socket")
    host = "stream" if way == "router" else way
    if way == "req":
        start_origin(ReqOrigin(bed.specs["req"]))
    else:
        start_origin(StreamOrigin(bed.stream_addresses(host), is_router=way == "router"))
    bed.wait_for(host)
    yield host


def test_request_is_answered_and_held(bed: Bed, host: str, server_kind: ServerKind) -> None:
    """All that an HTTP origin can do: answers, bodies of any size, statuses, holds and next links."""
    assert body_of(bed.fetch(host, "/hello?x=1")) == b"hello from /hello?x=1\n"
    assert bed.fetch(host, "/status/404").startswith(b"HTTP/1.1 404 Chosen\r\n")
    assert b"\r\nX-A: 1\r\nx-a: 2\r\n" in bed.fetch(host, "/headers")
    assert body_of(bed.fetch(host, f"/size/{BODY_BYTES}")) == b"0123456789abcdef" * (BODY_BYTES // 16)
    size = 90_000 if (server_kind, host) == (PUSHPIN, "req") else BODY_BYTES  # pushpin 1.36 waits forever with more
    with RawClient(bed.server.http_port) as client:
        client.send(post("/echo", b"e" * size, host))
        assert body_of(client.receive_all()) == b"e" * size
    with RawClient(bed.server.http_port) as stream, RawClient(bed.server.http_port) as poll:
        stream.get("/hold", host=host)
        stream.receive_until(b"[open]\n")
        poll.get("/poll", "Connection: close", host=host)
        bed.server.publish({"channel": "news", "http-stream": {"content": "item\n"}})
        stream.receive_until(b"item\n")

        def is_answered() -> bool:
            bed.server.publish({"channel": "news", "http-response": {"body": "news\n"}})
            poll.poll(0.1)
            return poll.is_ended

        wait_until(is_answered, "the long-poll is answered")
        assert body_of(poll.received) == b"news\n"
    with RawClient(bed.server.http_port) as linked:
        linked.get("/linked", host=host, version="1.0")
        assert linked.receive_all().endswith(b"\r\n\r\n[first]\nhello from /after\n")


def test_many_at_once(bed: Bed, start_origin: StartOrigin) -> None:
    """Several origins share the requests, and no answer goes astray."""
    for number in range(3):
        start_origin(StreamOrigin(bed.stream_addresses("stream"), b"wk%d" % number))
        start_origin(ReqOrigin(bed.specs["req"]))
    for host in ("stream", "req"):
        bed.wait_for(host)

    def ask(number: int) -> tuple[bytes, bytes]:
        with RawClient(bed.server.http_port) as client:
            body = b"%d." % number * 20_000
            client.send(post("/echo", body, ("stream", "req")[number % 2]))
            return body_of(client.receive_all(30.0)), body

    with ThreadPoolExecutor(20) as pool:
        for answer, wanted in pool.map(ask, range(MANY_COUNT)):
            assert answer == wanted


def test_origin_that_is_restarted_is_found_again(bed: Bed, start_origin: StartOrigin) -> None:
    """Without one a stream is refused at once, and the same id may come back."""
    assert bed.fetch("stream", "/").endswith(b"\r\n\r\nError while proxying to origin.\n")
    for _ in range(2):
        origin = start_origin(StreamOrigin(bed.stream_addresses("stream")))
        bed.wait_for("stream")
        assert len(body_of(bed.fetch("stream", "/size/800000"))) == 800_000
        origin.stop()
        bed.wait_for("stream", b"502")


def test_whole_request_waits_for_an_origin(bed: Bed, start_origin: StartOrigin) -> None:
    """A REP socket need not be there first."""
    with RawClient(bed.server.http_port) as client:
        client.get("/hello", "Connection: close", host="req")
        assert client.receive_for(0.3) == b""
        start_origin(ReqOrigin(bed.specs["req"]))
        assert body_of(client.receive_all()) == b"hello from /hello\n"


@pytest.mark.gripproxy_only  # pushpin 1.36 says nothing
def test_origin_hears_that_a_client_left(bed: Bed, start_origin: StartOrigin) -> None:
    """It need not go on with what nobody will read."""
    origin = start_origin(StreamOrigin(bed.stream_addresses("stream")))
    assert isinstance(origin, StreamOrigin)
    bed.wait_for("stream")
    with RawClient(bed.server.http_port) as client:
        client.get("/die", host="stream")
        client.receive_until(b"\r\n\r\n")
    wait_until(lambda: any(packet.get(b"type") == b"cancel" for packet in origin.packets), "a cancel comes")


@pytest.mark.gripproxy_only
def test_killed_worker_s_requests_are_cancelled(bed: Bed, start_origin: StartOrigin) -> None:
    """Nobody else would tell the origin."""
    origin = start_origin(StreamOrigin(bed.stream_addresses("stream")))
    assert isinstance(origin, StreamOrigin)
    bed.wait_for("stream")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawClient(bed.server.http_port)) for _ in range(20)]
        for client in clients:
            client.get("/die", host="stream")
        for client in clients:
            client.receive_until(b"\r\n\r\n")
        os.kill(bed.server.child_pids("gripproxy: worker")[0], signal.SIGKILL)

        def cut_count() -> int:
            for client in clients:
                client.poll(0.0)
            return sum(client.is_ended for client in clients)

        wait_until(cut_count, "clients are cut")
        wait_until(
            lambda: sum(packet.get(b"type") == b"cancel" for packet in origin.packets) == cut_count(), "cancels come"
        )
    bed.wait_for("stream")


@pytest.mark.gripproxy_only
def test_killed_hub_fails_its_requests_and_comes_back(bed: Bed, start_origin: StartOrigin) -> None:
    """Clients hear at once, and origins find the new one by themselves."""
    start_origin(StreamOrigin(bed.stream_addresses("stream")))
    start_origin(ReqOrigin(bed.specs["req"]))
    bed.wait_for("stream")
    bed.wait_for("req")
    with RawClient(bed.server.http_port) as waiting, RawClient(bed.server.http_port) as reading:
        waiting.get("/mute", "Connection: close", host="stream")
        reading.get("/die", host="stream")
        reading.receive_until(b"\r\n\r\n")
        (hub,) = bed.server.child_pids("gripproxy: hub")
        os.kill(hub, signal.SIGKILL)
        assert waiting.receive_all().endswith(b"\r\n\r\nError while proxying to origin.\n")
        assert reading.receive_all().endswith(b"\r\n\r\n"), "its response was cut"
    bed.wait_for("stream")
    bed.wait_for("req")


def test_new_routes_open_new_sockets(bed: Bed, start_origin: StartOrigin, short_path: object) -> None:
    """Without a restart; requests under way on the old ones go on."""
    origin = start_origin(StreamOrigin(bed.stream_addresses("stream")))
    bed.wait_for("stream")
    with RawClient(bed.server.http_port) as client:
        body = b"b" * 500_000
        request = post("/echo", body, "stream")
        client.send(request[:300_000])
        wait_until(lambda: any(b"more" in packet for packet in origin.requests), "the request is under way")
        bed.specs["new"] = f"ipc://{short_path}/new"
        bed.server.write_routes([f"new zhttp/{bed.specs['new']}"])
        assert bed.server.process is not None
        bed.server.process.signal(signal.SIGHUP)
        start_origin(StreamOrigin(bed.stream_addresses("new"), b"wk2"))
        bed.wait_for("new")
        client.send(request[300_000:])
        assert body_of(client.receive_all()) == body
