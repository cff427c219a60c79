"""The hub's HTTP server: one answer per connection, and nobody holds it up."""

import socket
from pathlib import Path

import pytest

from gripproxy.bus import control_server
from gripproxy.bus.control_answer import ControlAnswer
from gripproxy.bus.control_request import ControlRequest
from gripproxy.bus.control_server import ControlServer, open_listener, open_unix_listener
from gripproxy.errors import ConfigError
from tests.bus.bench import BusBench

PUBLISH = b"POST /publish/ HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"


class Site:
    """A control server on a socket file that says what it was asked."""

    def __init__(self, bench: BusBench) -> None:
        self._bench = bench
        self._path = str(Path(bench.directory, "control"))
        self.requests: list[ControlRequest] = []
        server = ControlServer(bench.loop, open_unix_listener("key", self._path), self._respond, 1000, 1000)
        bench.opened.callback(server.close)

    def _respond(self, request: ControlRequest) -> ControlAnswer:
        self.requests.append(request)
        return ControlAnswer(200, b"seen\n")

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
