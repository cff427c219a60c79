"""Accepting clients: up to the limits, with an answer past them, and on when the system is out of sockets."""

import errno
import os
import socket
from typing import Any

import pytest

from gripproxy.bus.refusal_log import INTERVAL_S
from gripproxy.scoreboard import Field, Scoreboard
from gripproxy.settings import ListenAddress
from gripproxy_worker.acceptor import BUSY, LOG_PERIOD_S, TOTAL_CHECK_COUNT, Acceptor, ListenerLimit, WorkerLimit
from gripproxy_worker.listener import bind
from gripproxy_worker.shared_listeners import ListenerCounts
from tests.worker.bench import Client, WorkerBench
from tests.worker.conftest import MakeBench

LOCAL = ListenAddress(host="127.0.0.1", port=0)


def new_acceptor(bench: WorkerBench, listener: socket.socket, worker_max: int = 1000, **options: Any) -> Acceptor:
    limit = WorkerLimit(bench.driver, bench.scoreboard, worker_max)
    return Acceptor(listener, limit, options.pop("loop", bench.loop), bench.driver.accept, **options)


def connect(bench: WorkerBench, listener: socket.socket, count: int) -> list[Client]:
    """Connect clients that wait to be accepted."""
    clients = [Client(socket.create_connection(listener.getsockname())) for _ in range(count)]
    bench.clients += clients
    return clients


def test_burst_beyond_the_limit_is_refused_with_an_answer(make_bench: MakeBench) -> None:
    """All at once, between two ticks: the count must not be an old one."""
    bench = make_bench("* test", client_maxconn=10)
    listener = bind(LOCAL)
    acceptor = new_acceptor(bench, listener, worker_max=1000)
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
    acceptor = new_acceptor(bench, listener, worker_max=2)
    connect(bench, listener, 5)
    acceptor.start()
    bench.until(lambda: bench.row[Field.REFUSED] == 3)
    assert bench.driver.sockets.count == 2
    acceptor.close()


def test_origins_of_websockets_take_descriptors_too(bench: WorkerBench) -> None:
    listener = bind(LOCAL)
    acceptor = new_acceptor(bench, listener, worker_max=4)
    bench.driver.web_sockets.origin_fds_count = 1
    connect(bench, listener, 5)
    acceptor.start()
    bench.until(lambda: bench.row[Field.REFUSED] == 2)
    assert bench.driver.sockets.count == 3 and not bench.driver.web_sockets.has_room
    bench.driver.web_sockets.origin_fds_count = 0
    assert bench.driver.web_sockets.has_room
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
    acceptor = new_acceptor(bench, listener, worker_max=10)
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
    acceptor = new_acceptor(bench, listener, loop=loop)
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


def test_pauses_are_logged_once_a_second(
    bench: WorkerBench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With eight listeners of 56 workers the log would be the next thing to fill up."""
    now = 100.0
    monkeypatch.setattr(bench.driver, "clock", lambda: now)
    limit = WorkerLimit(bench.driver, bench.scoreboard, 10)
    for _ in range(5):
        limit.say_pause(OSError(errno.EMFILE, "Too many open files"))
    assert caplog.text.count("cannot accept: Too many open files") == 1
    now += LOG_PERIOD_S
    limit.say_pause(OSError(errno.EMFILE, "Too many open files"))
    assert caplog.text.count("cannot accept: Too many open files") == 2
    assert bench.row[Field.ACCEPT_PAUSES] == 6


def test_refusals_are_logged_once_a_second(
    bench: WorkerBench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of clients must not become a flood of lines; its size is in the next one."""
    now = 100.0
    monkeypatch.setattr(bench.driver, "clock", lambda: now)
    limit = WorkerLimit(bench.driver, bench.scoreboard, 0)
    for _ in range(5):
        assert not limit.take_place()
    text = "client refused: this worker has 0, as many as its limit of file descriptors allows"
    assert caplog.messages == [text]
    now += INTERVAL_S
    assert not limit.take_place()
    assert caplog.messages[1:] == [f"{text} (5 clients refused since the last line)"]


def test_refusal_names_the_limit(make_bench: MakeBench, caplog: pytest.LogCaptureFixture) -> None:
    """Each is changed at another place."""
    bench = make_bench("* test", client_maxconn=0)
    assert not WorkerLimit(bench.driver, bench.scoreboard, 10).take_place()
    assert caplog.messages == ["client refused: there are client_maxconn=0"]
    caplog.clear()
    counts = ListenerCounts(1, 1)
    listener = bind(LOCAL)
    acceptor = new_acceptor(bench, listener, own_limit=ListenerLimit(counts, 0, 0, maxconn=0))
    connect(bench, listener, 1)
    acceptor.start()
    bench.until(lambda: bench.row[Field.REFUSED] == 1)
    assert caplog.messages == ["client refused: its listener has maxconn=0"]
    acceptor.close()


def test_kernel_without_memory_to_watch_a_client_stops_nothing(bench: WorkerBench) -> None:
    """It was accepted already: it is closed, and the listener waits as if it could not have been."""
    later: list[Any] = []

    class Loop:
        add_reader = bench.loop.add_reader
        remove_reader = bench.loop.remove_reader

        def call_later(self, delay_s: float, callback: Any) -> None:
            later.append(callback)

    def welcome(fd: int, client_ip: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    listener = bind(LOCAL)
    loop: Any = Loop()
    acceptor = Acceptor(listener, WorkerLimit(bench.driver, bench.scoreboard, 10), loop, welcome)
    client = connect(bench, listener, 1)[0]
    acceptor.start()
    bench.until(lambda: client.is_closed)
    assert len(later) == 1
    acceptor.close()


def test_listener_has_a_limit_of_its_own(bench: WorkerBench) -> None:
    """Counted over all workers; a client that leaves makes room."""
    counts = ListenerCounts(2, 3)
    counts.row(1)[2] = 4  # in the other worker
    listener = bind(LOCAL)
    acceptor = new_acceptor(bench, listener, own_limit=ListenerLimit(counts, 0, 2, maxconn=6))
    clients = connect(bench, listener, 5)
    acceptor.start()
    bench.until(lambda: bench.row[Field.REFUSED] == 3)
    assert counts.total(2) == 6 and bench.driver.sockets.count == 2
    bench.until(lambda: sum(client.is_closed for client in clients) == 3)
    next(client for client in clients if not client.is_closed).close()
    bench.until(lambda: counts.total(2) == 5)
    replacement = connect(bench, listener, 1)[0]
    bench.until(lambda: counts.total(2) == 6)
    assert not replacement.is_closed
    acceptor.close()


def test_refused_client_gets_its_answer_although_its_request_came_too(make_bench: MakeBench) -> None:
    """Closed with input unread, the kernel would send a reset that may overtake the answer."""
    bench = make_bench()
    listener = bind(LOCAL)
    acceptor = new_acceptor(bench, listener, worker_max=0)
    client = connect(bench, listener, 1)[0]
    client.is_reading = False
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    acceptor.start()
    bench.until(lambda: bench.row[Field.REFUSED] == 1)
    assert client.sock.recv(1000) == BUSY
    assert client.sock.recv(1000) == b"", "an end, not a reset"
    acceptor.close()


def test_unix_client_has_no_address(bench: WorkerBench) -> None:
    """The kernel gives an empty one, in another shape than of TCP."""
    path = "\0gripproxy-test-" + os.urandom(8).hex()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    listener.setblocking(False)
    acceptor = new_acceptor(bench, listener)
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    client = Client(sock)
    bench.clients.append(client)
    acceptor.start()
    bench.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    bench.exchange(client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\r\n\r\n")
    acceptor.close()


def test_workers_do_not_take_the_last_places_twice(bench: WorkerBench) -> None:
    """Each may take some without a look at the others only while there is room for that in all of them."""
    scoreboard = Scoreboard(4)
    others = scoreboard.row(2)
    bench.driver.row = scoreboard.row(1)
    object.__setattr__(bench.driver.settings, "client_maxconn", 200)
    limit = WorkerLimit(bench.driver, scoreboard, 1000)
    others[Field.CONNECTIONS] = 200 - 4 * TOTAL_CHECK_COUNT
    assert limit.take_place()
    others[Field.CONNECTIONS] = 200 - TOTAL_CHECK_COUNT
    assert [limit.take_place() for _ in range(TOTAL_CHECK_COUNT)] == [True] * TOTAL_CHECK_COUNT
    others[Field.CONNECTIONS] = 199
    assert limit.take_place()
    others[Field.CONNECTIONS] = 200
    assert not limit.take_place()
