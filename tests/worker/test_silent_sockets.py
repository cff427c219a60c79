"""WebSocket clients that are silent for too long."""

import os
import socket

import pytest

from gripproxy.engine.events import ClientGone
from gripproxy_worker import silent_sockets
from gripproxy_worker.silent_sockets import ROUND_S, SilentSockets, silence_s
from gripproxy_worker.ws_input import WsKind
from tests.integration.deadline import wait_until
from tests.worker.bench import WorkerBench
from tests.worker.socket_bench import SocketBench


def test_kernel_tells_how_long_a_client_is_silent() -> None:
    """Whoever of both has spoken last."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        served, _ = listener.accept()
        with served:
            client.send(b"x")
            silent_s = wait_until(lambda: (silence := silence_s(served.fileno())) > 0.3 and silence, "some silence")
            served.send(b"y")
            assert silence_s(served.fileno()) < silent_s
            assert served.fileno() >= 0, "only looked at, not taken over"
            silent_s = wait_until(lambda: (silence := silence_s(served.fileno())) > 0.3 and silence, "some silence")
            client.send(b"z")
            wait_until(lambda: silence_s(served.fileno()) < silent_s, "the byte that came")


def test_client_on_a_unix_socket_is_never_silent() -> None:
    """What is in front of it there ends with this host, or before."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert silence_s(ours.fileno()) == 0


def test_silent_client_is_dropped_and_others_are_not(bench: WorkerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    sockets = SocketBench(bench)
    silent, silent_id = sockets.open()
    busy, _ = sockets.open()
    idle = bench.client(b"GET / HTTP/1.1\r\n")  # has to do with other deadlines
    bench.turn()
    monkeypatch.setattr(silent_sockets, "silence_s", lambda fd: 1801.0 if fd == silent_id else 1799.0)
    for _ in range(int(ROUND_S / silent_sockets.TICK_S) + 1):
        bench.driver.silent_sockets.step()
    bench.until(lambda: silent.is_closed)
    assert not silent.received, "the reference says nothing either"
    assert sockets.events == [ClientGone(silent_id)]
    assert not busy.is_closed and not idle.is_closed


def test_round_comes_past_every_socket_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, and whoever joins or leaves."""
    looked_at: list[int] = []
    monkeypatch.setattr(silent_sockets, "silence_s", lambda fd: looked_at.append(fd) or 0.0)
    kind = WsKind(True, False)
    records: list[WsKind | None] = [kind if fd % 2 else None for fd in range(5000)]
    silent = SilentSockets(records, os.close)
    steps_count = 0
    while len(looked_at) < 2500:
        silent.step()
        steps_count += 1
    assert looked_at == list(range(1, 5000, 2))
    assert steps_count <= ROUND_S / silent_sockets.TICK_S
    silent.step()
    assert looked_at[2500] == 1
    del records[10:]
    silent.step()
    assert set(looked_at[2501:]) <= {1, 3, 5, 7, 9} | set(range(1, 20))
