"""TLS clients before their first request: quick, slow, rude, and many at once."""

import socket
import ssl
from collections.abc import Iterator

import pytest

from gripproxy.scoreboard import Field
from gripproxy_worker import handshakes as handshakes_module
from gripproxy_worker.handshakes import HANDSHAKE_MAX_S, NOT_TLS, STEPS_MAX_COUNT, Handshakes
from tests.worker.bench import WorkerBench
from tests.worker.conftest import MakeBench
from tests.worker.test_idle_conn import TEST_ANSWER, pass_time
from tests.worker.tls_peer import TlsClient, TlsPeer, server_context

REQUEST = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"


class Door:
    """A TLS listener of a bench."""

    def __init__(self, bench: WorkerBench) -> None:
        self.bench = bench
        self.handshakes = Handshakes(bench.driver, server_context())

    def client(self, peer: TlsPeer | None = None, is_manual: bool = False) -> TlsClient:
        sock = socket.create_connection(self.bench.listener.getsockname())
        served, address = self.bench.listener.accept()
        served.setblocking(False)
        self.handshakes.accept(served.detach(), address[0])
        client = TlsClient(sock, peer, is_manual)
        self.bench.clients.append(client)
        return client


@pytest.fixture
def door(make_bench: MakeBench) -> Iterator[Door]:
    yield Door(make_bench("* test"))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_is_like_any_other_after_its_handshake(door: Door, version: ssl.TLSVersion) -> None:
    client = door.client(TlsPeer(version=version))
    door.bench.until(lambda: client.peer.is_shaken)
    for _ in range(3):
        assert door.bench.exchange(client, REQUEST, TEST_ANSWER).startswith(b"HTTP/1.1 200 OK\r\n")
    assert door.bench.row[Field.HANDSHAKES] == 1


def test_request_that_comes_with_the_end_of_the_handshake_is_not_forgotten(door: Door) -> None:
    """The kernel tells of both by one edge, and OpenSSL takes both in."""
    client = door.client(is_manual=True)
    client.send_raw(client.peer.hello())
    door.bench.until(lambda: client.raw)
    client.peer.take(bytes(client.raw))
    client.raw.clear()
    client.send_raw(client.peer.outgoing() + client.peer.encrypt(REQUEST))
    client.is_manual = False
    door.bench.until(lambda: client.received.endswith(TEST_ANSWER))


def test_handshake_may_come_byte_by_byte(door: Door) -> None:
    client = door.client(is_manual=True)
    for byte in client.peer.hello():
        client.send_raw(bytes([byte]))
        door.bench.turn()
    door.bench.until(lambda: client.raw)
    client.peer.take(bytes(client.raw))
    client.is_manual = False
    client.send_raw(client.peer.outgoing())
    door.bench.exchange(client, REQUEST, TEST_ANSWER)


def test_bug_in_a_handshake_ends_no_other(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They take turns, and one that fails must not end the turns."""
    tls = door.bench.driver.sockets.tls
    shake_hands = tls.shake_hands
    failed_fds: list[int] = []

    def fail_once(fd: int, data: bytes) -> bytes | None:
        if not failed_fds:
            failed_fds.append(fd)
            raise KeyError("bug")
        return shake_hands(fd, data)

    monkeypatch.setattr(tls, "shake_hands", fail_once)
    clients = [door.client() for _ in range(STEPS_MAX_COUNT + 2)]
    door.bench.until(lambda: sum(client.peer.is_shaken for client in clients) == len(clients) - 1)
    assert door.bench.driver.sockets.count == len(clients) - 1
    assert door.bench.row[Field.INTERNAL_ERRORS] == 1
    door.bench.row[Field.INTERNAL_ERRORS] = 0
    assert "internal error in a handshake" in caplog.text


def test_client_that_says_nothing_costs_no_tls_and_is_closed(door: Door) -> None:
    """Ten thousand of them should cost as little as ten thousand idle plain ones."""
    client = door.client(is_manual=True)
    door.bench.turn()
    assert door.bench.driver.sockets.tls == {}
    pass_time(door.bench, HANDSHAKE_MAX_S - 1)
    assert door.bench.driver.sockets.count == 1
    pass_time(door.bench, HANDSHAKE_MAX_S + 2)
    door.bench.until(lambda: client.is_closed)
    assert door.bench.row[Field.HANDSHAKE_ERRORS] == 1


def test_client_that_stops_in_the_middle_is_closed(door: Door) -> None:
    client = door.client(is_manual=True)
    client.send_raw(client.peer.hello()[:100])
    door.bench.until(lambda: door.bench.driver.sockets.tls)
    pass_time(door.bench, HANDSHAKE_MAX_S + 2)
    door.bench.until(lambda: client.is_closed)


def test_client_that_leaves_in_the_middle_is_forgotten(door: Door) -> None:
    client = door.client(is_manual=True)
    client.send_raw(client.peer.hello())
    client.close()
    door.bench.until(lambda: door.bench.driver.sockets.count == 0)
    assert door.bench.row[Field.HANDSHAKE_ERRORS] == 1


def test_garbage_gets_an_alert_and_a_close(door: Door) -> None:
    client = door.client(is_manual=True)
    client.send_raw(b"\x16\x03\x01\x00\x05hello")
    door.bench.until(lambda: client.is_closed)
    assert client.raw[:1] == b"\x15", "a TLS alert"
    assert door.bench.row[Field.HANDSHAKE_ERRORS] == 1


def test_plain_request_is_told_what_is_wrong(door: Door) -> None:
    """Whoever typed http:// sees why, as with nginx."""
    client = door.client(is_manual=True)
    client.send_raw(REQUEST)
    door.bench.until(lambda: client.is_closed)
    assert client.raw == NOT_TLS
    assert NOT_TLS.startswith(b"HTTP/1.0 400 ") and b"HTTPS only" in NOT_TLS


def test_client_without_a_version_in_common_is_refused(door: Door) -> None:
    """TLS 1.1 and older are broken."""
    hello = bytearray(TlsPeer(version=ssl.TLSVersion.TLSv1_2).hello())
    hello[9:11] = b"\x03\x02"  # the newest that it offers
    client = door.client(is_manual=True)
    client.send_raw(bytes(hello))
    door.bench.until(lambda: client.is_closed)
    assert client.raw[:1] == b"\x15" and client.raw[-1] == 70, "protocol_version"


def test_burst_of_handshakes_is_spread_over_turns(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs up to a millisecond: a hundred in one turn would be seen by everybody who is connected."""
    steps_in_turn: list[int] = []
    step = Handshakes._step

    def counted(handshakes: Handshakes) -> None:
        before = len(handshakes._ready)
        step(handshakes)
        steps_in_turn.append(before - len(handshakes._ready))

    monkeypatch.setattr(handshakes_module.Handshakes, "_step", counted)
    clients = [door.client() for _ in range(20)]
    door.bench.until(lambda: all(client.peer.is_shaken for client in clients))
    assert max(steps_in_turn) == STEPS_MAX_COUNT
    for client in clients:
        door.bench.exchange(client, REQUEST, TEST_ANSWER)


def test_response_that_ends_the_connection_ends_tls_too(door: Door) -> None:
    client = door.client()
    door.bench.until(lambda: client.peer.is_shaken)
    client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
    door.bench.until(lambda: client.is_closed)
    assert client.received.endswith(TEST_ANSWER) and client.peer.has_heard_end


def test_idle_client_is_told_the_end(door: Door) -> None:
    client = door.client()
    door.bench.until(lambda: door.bench.row[Field.HANDSHAKES] == 1)
    pass_time(door.bench, door.bench.settings.keepalive_timeout + 2)
    door.bench.until(lambda: client.is_closed)
    assert client.peer.has_heard_end


def test_engine_knows_that_the_request_was_https(make_bench: MakeBench) -> None:
    """Routes with ssl=yes, and X-Forwarded-Proto, depend on it."""
    door = Door(make_bench("*,ssl=yes test\n*,ssl=no {origin}"))
    client = door.client()
    door.bench.until(lambda: client.peer.is_shaken)
    door.bench.exchange(client, REQUEST, TEST_ANSWER)
