"""The hub's HTTP server: one answer per connection, and nobody holds it up."""

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest

from gripproxy.bus import control_server
from gripproxy.bus.control_answer import ControlAnswer
from gripproxy.bus.control_request import ControlRequest
from gripproxy.bus.control_routes import ControlRoutes, Response
from gripproxy.bus.control_server import ControlServer, open_listener, open_unix_listener
from gripproxy.bus.control_stream import ControlStream
from gripproxy.errors import ConfigError
from tests.bus.bench import BusBench

PUBLISH = b"POST /publish/ HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"


class Site:
    """A control server on a socket file that says what it was asked."""

    def __init__(self, bench: BusBench) -> None:
        self._bench = bench
        self._path = str(Path(bench.directory, "control"))
        self.requests: list[ControlRequest] = []
        self.responses: list[Response | Exception] = []  # for the first requests; the others are just seen
        self.refusal: ControlAnswer | Exception | None = None
        routes = ControlRoutes(self._respond, lambda _, __: self._refuse())
        self.server = ControlServer(bench.loop, open_unix_listener("key", self._path), routes, 1000, 1000)
        bench.opened.callback(self.server.close)

    def _respond(self, request: ControlRequest) -> Response:
        self.requests.append(request)
        response = self.responses.pop(0) if self.responses else ControlAnswer(200, b"seen\n")
        if isinstance(response, Exception):
            raise response
        return response

    def _refuse(self) -> ControlAnswer | None:
        if isinstance(self.refusal, Exception):
            raise self.refusal
        return self.refusal

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        self._bench.opened.callback(client.close)
        client.connect(self._path)
        client.setblocking(False)
        return client

    def read_to_end(self, client: socket.socket) -> bytes:
        """Read until the server closes, or has shut its side."""
        pieces: list[bytes] = []

        def is_at_end() -> bool:
            try:
                pieces.append(client.recv(65536))
            except BlockingIOError:
                return False
            return pieces[-1] == b""

        self._bench.run_until(is_at_end)
        return b"".join(pieces)


def test_one_request_gets_one_answer_and_the_end(bench: BusBench) -> None:
    """The end of the connection is part of the answer."""
    site = Site(bench)
    client = site.connect()
    client.send(PUBLISH)
    answer = site.read_to_end(client)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nseen\n")
    assert [request.body for request in site.requests] == [b"abc"]


def test_client_may_shut_its_side_after_the_request(bench: BusBench) -> None:
    """Shell scripts with netcat do."""
    site = Site(bench)
    client = site.connect()
    client.send(PUBLISH)
    client.shutdown(socket.SHUT_WR)
    assert site.read_to_end(client).endswith(b"seen\n")


def test_cut_off_request_is_not_acted_on(bench: BusBench) -> None:
    """Half an item must never be published."""
    site = Site(bench)
    client = site.connect()
    client.send(PUBLISH[:-1])
    client.shutdown(socket.SHUT_WR)
    assert site.read_to_end(client) == b""
    assert site.requests == []


def test_refusal_is_read_although_the_request_goes_on(bench: BusBench) -> None:
    """The rest of a too large body is thrown away, so that the answer is not lost to a reset."""
    site = Site(bench)
    client = site.connect()
    client.send(b"POST / HTTP/1.1\r\nContent-Length: 5000\r\n\r\n")
    client.send(b"x" * 5000)
    assert site.read_to_end(client).endswith(b"Request body too large.\n")


def test_continue_comes_before_the_body_is_sent(bench: BusBench) -> None:
    """curl waits a second for it, with any body of more than 1 MB."""
    site = Site(bench)
    client = site.connect()
    client.send(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
    received = bytearray()

    def is_continued() -> bool:
        try:
            received.extend(client.recv(100))
        except BlockingIOError:
            return False
        return received.endswith(b"\r\n\r\n")

    bench.run_until(is_continued)
    assert received == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"x")
    assert site.read_to_end(client).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("size", [0, 1])
def test_stranger_is_refused_before_his_body_has_come(bench: BusBench, size: int) -> None:
    """He gets no room for it, nor is he told to go on."""
    site = Site(bench)
    site.refusal = ControlAnswer(401, b"no\n")
    client = site.connect()
    client.send(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n" + b"x" * size)
    answer = site.read_to_end(client)
    assert answer.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert answer.endswith(b"\r\n\r\nno\n")
    assert site.requests == []


def test_body_that_comes_in_pieces_is_no_reason_to_refuse(bench: BusBench) -> None:
    """Large items are always sent so."""
    site = Site(bench)
    client = site.connect()
    client.send(PUBLISH[:-2])
    bench.turn()
    client.send(PUBLISH[-2:-1])
    bench.turn()
    client.send(PUBLISH[-1:])
    assert site.read_to_end(client).endswith(b"seen\n")


def test_slow_request_is_given_up(bench: BusBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A publisher that vanished must not hold one of the connections for ever."""
    monkeypatch.setattr(control_server, "REQUEST_TIMEOUT_S", 0.0)
    site = Site(bench)
    client = site.connect()
    client.send(PUBLISH[:-1])
    assert site.read_to_end(client).startswith(b"HTTP/1.1 408 Request Timeout\r\n")


def test_connections_past_the_limit_wait_their_turn(bench: BusBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle connections cannot exhaust the hub, and whoever waits is served when one of them ends."""
    monkeypatch.setattr(control_server, "CONNECTIONS_MAX_COUNT", 2)
    site = Site(bench)
    idle = [site.connect(), site.connect()]
    for client in idle:
        client.send(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
    waiting = site.connect()
    waiting.send(PUBLISH)
    idle[0].send(b"x")
    assert site.read_to_end(idle[0]).endswith(b"seen\n")
    assert site.read_to_end(waiting).endswith(b"seen\n")
    assert [request.body for request in site.requests] == [b"x", b"abc"]


def test_who_says_nothing_leaves_his_place_to_others(bench: BusBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers need no key to connect: a few of them must not keep publishers out. Nor are publishers given up."""
    monkeypatch.setattr(control_server, "CONNECTIONS_MAX_COUNT", 3)
    monkeypatch.setattr(control_server, "SILENCE_S", 0.0)
    monkeypatch.setattr(control_server, "ROOM_S", 0.001)
    site = Site(bench)
    slow = site.connect()
    slow.send(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
    received = bytearray()

    def is_continued() -> bool:
        with contextlib.suppress(BlockingIOError):
            received.extend(slow.recv(1000))
        return received == b"HTTP/1.1 100 Continue\r\n\r\n"

    bench.run_until(is_continued)
    silent, half = site.connect(), site.connect()
    half.send(b"POST /publish/ HTTP/1.1\r\nContent-Length: 3\r\n")
    others = [site.connect() for _ in range(4)]
    for other in others:
        other.send(PUBLISH)
    for client in (silent, half):
        assert site.read_to_end(client).startswith(b"HTTP/1.1 408 ")
    for other in others:
        assert site.read_to_end(other).endswith(b"seen\n")
    slow.send(b"x")
    assert site.read_to_end(slow).endswith(b"seen\n")


def test_listen_error_names_setting_address_and_reason(bench: BusBench) -> None:
    """The one line that the supervisor prints has to be enough to mend it."""
    with pytest.raises(ConfigError, match=r"push_in_http_addr 192\.0\.2\.1:1: cannot assign requested address"):
        open_listener("push_in_http_addr", "192.0.2.1", 1)
    with pytest.raises(ConfigError, match="prometheus_port /missing/socket: no such file or directory"):
        open_unix_listener("prometheus_port", "/missing/socket")


def test_socket_file_of_a_killed_hub_is_replaced(bench: BusBench) -> None:
    """Nobody is there to remove it after kill -9."""
    path = str(Path(bench.directory, "metrics"))
    first = open_unix_listener("prometheus_port", path)
    first.close()
    open_unix_listener("prometheus_port", path).close()


def test_answer_may_come_later(bench: BusBench) -> None:
    """Meanwhile others are answered, and the client may have shut its side."""
    site = Site(bench)
    answer: asyncio.Future[ControlAnswer] = bench.loop.create_future()
    site.responses.append(answer)
    waiting = site.connect()
    waiting.send(PUBLISH)
    waiting.shutdown(socket.SHUT_WR)
    bench.run_until(lambda: bool(site.requests))
    other = site.connect()
    other.send(PUBLISH)
    assert site.read_to_end(other).endswith(b"seen\n")
    answer.set_result(ControlAnswer(200, b"later\n"))
    assert site.read_to_end(waiting).endswith(b"\r\n\r\nlater\n")


def test_connection_that_is_cut_cancels_its_late_answer(bench: BusBench) -> None:
    """The handler has nobody to work for; and at the hub's end nothing is left that waits."""
    site = Site(bench)
    answer: asyncio.Future[ControlAnswer] = bench.loop.create_future()
    site.responses.append(answer)
    client = site.connect()
    client.send(PUBLISH)
    bench.run_until(lambda: bool(site.requests))
    site.server.close()
    bench.run_until(answer.cancelled)


def test_those_who_wait_leave_their_places_to_publishers(bench: BusBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a hundred that wait for a hung worker would stop all that do not."""
    monkeypatch.setattr(control_server, "CONNECTIONS_MAX_COUNT", 1)
    monkeypatch.setattr(control_server, "WAITERS_MAX_COUNT", 1)
    site = Site(bench)
    first: asyncio.Future[ControlAnswer] = bench.loop.create_future()
    second: asyncio.Future[ControlAnswer] = bench.loop.create_future()
    site.responses += [first, second]
    clients = [site.connect() for _ in range(3)]
    for client in clients:
        client.send(PUBLISH)
    bench.run_until(lambda: len(site.requests) == 2)  # the second found no place to wait, and keeps its own
    second.set_result(ControlAnswer(200, b"second\n"))
    assert site.read_to_end(clients[1]).endswith(b"second\n")
    assert site.read_to_end(clients[2]).endswith(b"seen\n")
    first.set_result(ControlAnswer(200, b"first\n"))
    assert site.read_to_end(clients[0]).endswith(b"first\n")


@pytest.mark.parametrize("is_late", [False, True])
def test_bug_of_a_handler_is_answered_and_logged(
    bench: BusBench, is_late: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The client must not wait for what never comes."""
    site = Site(bench)
    failed: asyncio.Future[ControlAnswer] = bench.loop.create_future()
    failed.set_exception(ZeroDivisionError("bug"))
    site.responses.append(failed if is_late else ZeroDivisionError("bug"))
    client = site.connect()
    client.send(PUBLISH)
    assert site.read_to_end(client).startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert "ZeroDivisionError: bug" in caplog.text
    if not is_late:
        failed.exception()  # it was looked at


def test_bug_of_a_guard_is_answered_before_the_body_has_come(bench: BusBench) -> None:
    """Nothing of the body may be waited for, and nothing be done."""
    site = Site(bench)
    site.refusal = RuntimeError("no")
    client = site.connect()
    client.send(PUBLISH[:-1])
    assert site.read_to_end(client).startswith(b"HTTP/1.1 500 ")
    assert not site.requests


class Listening:
    """A stream that a site answers with, and how often it was said to be gone."""

    def __init__(self, site: Site) -> None:
        self.gone_count = 0
        self.stream = ControlStream(b"text/event-stream", lambda count: b"lost %d\n" % count, self._on_closed)
        site.responses.append(self.stream)

    def _on_closed(self) -> None:
        self.gone_count += 1


def test_stream_goes_on_until_it_is_closed(bench: BusBench) -> None:
    """Chunked, so that its reader knows a whole body from one that was cut off."""
    site = Site(bench)
    listening = Listening(site)
    client = site.connect()
    client.send(b"GET /events HTTP/1.1\r\n\r\n")
    bench.run_until(lambda: bool(site.requests))
    listening.stream.send(b"one\n")
    listening.stream.send(b"two\n")
    listening.stream.close()
    assert site.read_to_end(client) == (
        b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Type: text/event-stream\r\nConnection: close\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n4\r\ntwo\n\r\n0\r\n\r\n"
    )
    assert listening.gone_count == 1


def test_listener_who_leaves_is_noticed(bench: BusBench) -> None:
    """Nothing is made for nobody."""
    site = Site(bench)
    listening = Listening(site)
    client = site.connect()
    client.send(b"GET /events HTTP/1.1\r\n\r\n")
    bench.run_until(lambda: bool(site.requests))
    client.close()
    bench.run_until(lambda: listening.gone_count == 1)


def test_listener_who_does_not_read_costs_bounded_memory(bench: BusBench) -> None:
    """And he learns how much he missed when he reads on."""
    site = Site(bench)
    listening = Listening(site)
    client = site.connect()
    client.send(b"GET /events HTTP/1.0\r\n\r\n")
    bench.run_until(lambda: bool(site.requests))
    sent_count = 0
    while not listening.stream.lost_count:
        listening.stream.send(b"x" * 65_536)
        sent_count += 1
        bench.turn()
        assert sent_count < 1_000
    pieces = [b""]

    def is_told() -> bool:
        with contextlib.suppress(BlockingIOError):
            pieces.append(client.recv(1 << 20))
        return b"lost 1\n" in pieces[-1]

    bench.run_until(is_told)


def test_too_many_listeners_are_refused(bench: BusBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publishers come first; and a stream that nobody will read is said to be gone."""
    monkeypatch.setattr(control_server, "STREAMS_MAX_COUNT", 1)
    monkeypatch.setattr(control_server, "CONNECTIONS_MAX_COUNT", 1)
    site = Site(bench)
    first, second, head = Listening(site), Listening(site), Listening(site)
    clients = [site.connect() for _ in range(3)]
    clients[0].send(b"GET /events HTTP/1.1\r\n\r\n")
    bench.run_until(lambda: len(site.requests) == 1)
    clients[1].send(b"GET /events HTTP/1.1\r\n\r\n")
    assert site.read_to_end(clients[1]).startswith(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\n")
    clients[2].send(b"HEAD /events HTTP/1.1\r\n\r\n")
    assert site.read_to_end(clients[2]).startswith(b"HTTP/1.1 200 OK\r\n")
    assert (first.gone_count, second.gone_count, head.gone_count) == (0, 1, 1)
