"""Accepting clients: up to the limits, with an answer past them, and on when the system is out of sockets."""

import errno
import os
import socket
from typing import Any

import pytest

from gripproxy.errors import ConfigError
from gripproxy.scoreboard import Field
from gripproxy.settings import ListenAddress
from gripproxy_worker.listener import BUSY, UNSENT_MAX_BYTES, Acceptor, bind, check_free
from tests.worker.bench import Client, WorkerBench
from tests.worker.conftest import MakeBench

LOCAL = ListenAddress(host="127.0.0.1", port=0)


def connect(bench: WorkerBench, listener: socket.socket, count: int) -> list[Client]:
    """Connect clients that wait to be accepted."""
    clients = [Client(socket.create_connection(listener.getsockname())) for _ in range(count)]
    bench.clients += clients
    return clients


def test_address_in_use_is_a_configuration_error() -> None:
    """The supervisor shows it and stops; SO_REUSEPORT shares with our own workers only."""
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConfigError, match=r"http_port: cannot listen on 127\.0\.0\.1:\d+: Address already in use"),
    ):
        bind(ListenAddress(host="127.0.0.1", port=taken.getsockname()[1]))


def test_port_of_another_gripproxy_is_not_free() -> None:
    """Its workers would share the port with ours: each instance would get half of the clients."""
    with bind(LOCAL) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use"):
            check_free(ListenAddress(host="127.0.0.1", port=port))
    check_free(ListenAddress(host="127.0.0.1", port=port))


def test_workers_share_a_port() -> None:
    with bind(LOCAL) as first, bind(ListenAddress(host="127.0.0.1", port=first.getsockname()[1])) as second:
        assert first.getsockname() == second.getsockname()


def test_accepted_sockets_send_at_once_and_notice_dead_clients() -> None:
    """The options are set on the listener once; the kernel hands them on."""
    with bind(LOCAL) as listener, socket.create_connection(listener.getsockname()):
        listener.setblocking(True)
        served, _ = listener.accept()
        assert served.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert served.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        served.close()


def test_kernel_queues_little_for_a_client_that_does_not_read() -> None:
    """Ten thousand of them, behind a TLS server on the same host, would fill gigabytes."""
    with bind(LOCAL) as listener, socket.create_connection(listener.getsockname()) as client:
        listener.setblocking(True)
        served, _ = listener.accept()
        served.setblocking(False)
        written_bytes = 0
        try:
            while written_bytes < 10 * UNSENT_MAX_BYTES:
                written_bytes += served.send(b"x" * 1024)
        except BlockingIOError:
            pass
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) < 10 * UNSENT_MAX_BYTES
        assert written_bytes < 4 * UNSENT_MAX_BYTES
        served.close()


def test_burst_beyond_the_limit_is_refused_with_an_answer(make_bench: MakeBench) -> None:
    """All at once, between two ticks: the count must not be an old one."""
    bench = make_bench("* test", client_maxconn=10)
    listener = bind(LOCAL)
    acceptor = Acceptor(listener, bench.driver, bench.loop, bench.scoreboard, worker_max=1000)
    clients = connect(bench, listener, 30)
    acceptor.start()
    bench.until(lambda: bench.row[Field.ACCEPTED] + bench.row[Field.REFUSED] == 30)
    assert (bench.row[Field.ACCEPTED], bench.row[Field.REFUSED]) == (10, 20)
    bench.until(lambda: sum(client.is_closed for client in clients) == 20)
    assert all(client.received == BUSY for client in clients if client.is_closed)
    next(client for client in clients if not client.is_closed).close()
    bench.until(lambda: bench.driver.sockets.count == 9)
    replacement = connect(bench, listener, 1)[0]
    bench.exchange(replacement, b"GET / HTTP/1.1\r\n\r\n", b"handler!\n")
    acceptor.close()


def test_worker_keeps_its_reserve_of_descriptors(bench: WorkerBench) -> None:
    listener = bind(LOCAL)
    acceptor = Acceptor(listener, bench.driver, bench.loop, bench.scoreboard, worker_max=2)
    connect(bench, listener, 5)
    acceptor.start()
    bench.until(lambda: bench.row[Field.REFUSED] == 3)
    assert bench.driver.sockets.count == 2
    acceptor.close()


class ScriptedListener:
    """A listening socket whose `_accept` raises what it is told."""

    def __init__(self, listener: socket.socket, errors: list[int]) -> None:
        self._listener = listener
        self._errors = errors

    def fileno(self) -> int:
        return self._listener.fileno()

    def _accept(self) -> tuple[int, Any]:
        if self._errors:
            code = self._errors.pop(0)
            raise OSError(code, os.strerror(code))
        # What `Acceptor` calls too; typeshed does not know it.
        return self._listener._accept()  # type: ignore[attr-defined, no-any-return]

    def close(self) -> None:
        self._listener.close()


def test_client_that_left_before_it_was_accepted_stops_nothing(bench: WorkerBench) -> None:
    listener: Any = ScriptedListener(bind(LOCAL), [errno.ECONNABORTED, errno.EPROTO])
    acceptor = Acceptor(listener, bench.driver, bench.loop, bench.scoreboard, worker_max=10)
    connect(bench, listener._listener, 1)
    acceptor.start()
    bench.until(lambda: bench.driver.sockets.count == 1)
    acceptor.close()


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_accepting_pauses_when_no_socket_is_left(bench: WorkerBench, code: int) -> None:
    """A listener that stays readable would otherwise spin, or be closed by the loop for good."""
    listener: Any = ScriptedListener(bind(LOCAL), [code])
    later: list[Any] = []

    class Loop:
        add_reader = bench.loop.add_reader
        remove_reader = bench.loop.remove_reader

        def call_later(self, delay_s: float, callback: Any) -> None:
            later.append(callback)

    loop: Any = Loop()
    acceptor = Acceptor(listener, bench.driver, loop, bench.scoreboard, worker_max=10)
    connect(bench, listener._listener, 1)
    acceptor.start()
    bench.until(lambda: later)
    bench.turn()
    assert bench.driver.sockets.count == 0 and len(later) == 1
    later[0]()
    bench.until(lambda: bench.driver.sockets.count == 1)
    acceptor.close()
    later[0]()
    assert listener.fileno() < 0, "a pause that outlives the listener does not open it again"
