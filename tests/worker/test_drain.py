"""The end of a worker: who is sent away, when, and with which words."""

from collections.abc import Iterator
from typing import Any

import pytest

from gripproxy.engine.events import FarewellDue
from gripproxy.scoreboard import Field
from gripproxy_worker import drain as drain_module
from gripproxy_worker.client_conn import ClientConn
from gripproxy_worker.drain import Drain
from gripproxy_worker.idle_conn import ClosingConn
from tests.worker.bench import WorkerBench
from tests.worker.conftest import MakeBench
from tests.worker.held_clients import LONG_POLL, SOCKET, STREAM, held, only_fd, response_item, stream_item
from tests.worker.socket_bench import close_frame, real_accept, real_handshake

REQUEST = b"GET / HTTP/1.1\r\nHost: d.test\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Clock:
    """The loop's time, which the tests let pass."""

    def __init__(self, bench: WorkerBench) -> None:
        self.ahead_s = 0.0
        self._loop = bench.loop

    def time(self) -> float:
        return self._loop.time() + self.ahead_s

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


class Ending:
    """A drain that is under way."""

    def __init__(self, bench: WorkerBench, timeout_s: float) -> None:
        self.bench = bench
        self.clock = Clock(bench)
        self.drain = Drain(bench.driver, self.clock, timeout_s)  # type: ignore[arg-type]
        self.task = bench.loop.create_task(self.drain.run())
        bench.turn()

    def passes(self, seconds: float) -> None:
        self.clock.ahead_s += seconds

    def is_over(self) -> bool:
        return self.task.done()

    def finish(self) -> None:
        self.bench.until(self.is_over)
        self.task.result()


@pytest.fixture
def plain(make_bench: MakeBench) -> Iterator[WorkerBench]:
    yield make_bench("* test")


def test_worker_without_clients_is_done_at_once(plain: WorkerBench) -> None:
    Ending(plain, 1000.0).finish()
    assert plain.row[Field.DRAINED] == 0


def test_held_clients_leave_one_after_the_other(plain: WorkerBench) -> None:
    """At half of the time about half of them are left, and none when the time is up; who it is decides chance."""
    clients = [held(plain, STREAM) for _ in range(60)]
    ending = Ending(plain, 1000.0)
    plain.turn()
    assert not any(client.is_closed for client in clients)
    ending.passes(500.0)
    plain.until(lambda: plain.core.holds.streams_count == 30)
    ending.passes(499.0)
    plain.until(lambda: all(client.is_closed for client in clients))
    ending.finish()
    assert all(bytes(client.received).endswith(b"0\r\n\r\n") for client in clients)
    assert plain.row[Field.DRAINED] == 60


def test_items_still_reach_those_who_are_left(plain: WorkerBench) -> None:
    """They are served until they are sent away."""
    client = held(plain, STREAM)
    ending = Ending(plain, 1000.0)
    plain.publish(stream_item(b"late news"))
    plain.until(lambda: client.received.endswith(b"late news\r\n"))
    ending.passes(1000.0)
    ending.finish()


def test_long_poll_is_answered(plain: WorkerBench) -> None:
    """By an item as long as it waits, else as at its timeout: both times it hears that the connection ends."""
    lucky, other = held(plain, LONG_POLL), held(plain, LONG_POLL.replace(b"channel=a", b"channel=b"))
    ending = Ending(plain, 1000.0)
    plain.publish(response_item(b"news"))
    plain.until(lambda: lucky.is_closed)
    assert lucky.received.endswith(b"news")
    ending.passes(999.0)
    plain.until(lambda: other.is_closed)
    for client in (lucky, other):
        assert b"\r\nConnection: close\r\n" in client.received
    ending.finish()


def test_web_socket_client_is_told(plain: WorkerBench) -> None:
    """It may answer, and is closed after that."""
    client = held(plain, SOCKET)
    ending = Ending(plain, 1000.0)
    ending.passes(999.0)
    plain.until(lambda: client.received.endswith(b"\x88\x02\x03\xe9"))
    client.send(close_frame(1001))
    plain.until(lambda: client.is_closed)
    ending.finish()


def test_idle_client_is_closed_soon(plain: WorkerBench) -> None:
    """Not at once: one that has just connected is about to send its request."""
    old, new = plain.client(REQUEST), plain.client()
    plain.until(lambda: old.received)
    ending = Ending(plain, 1000.0)
    new.send(REQUEST)
    plain.until(lambda: new.is_closed)
    assert b"\r\nConnection: close\r\n" in new.received
    assert not old.is_closed
    ending.passes(drain_module.NEW_MAX_S)
    plain.until(lambda: old.is_closed)
    ending.finish()
    assert plain.row[Field.DRAINED] == 2


def test_request_that_comes_in_the_last_moment_is_answered(plain: WorkerBench) -> None:
    """What the kernel has already when an idle connection would be closed is looked at."""
    client = plain.client()
    client.send(REQUEST)
    Ending(plain, 0.0).finish()
    plain.until(lambda: b" 200 OK\r\n" in client.received)


def test_request_under_way_is_answered_first(bench: WorkerBench) -> None:
    """Its response says that the connection ends, if it had not begun."""
    client = bench.client(REQUEST)
    origin = bench.origin()
    ending = Ending(bench, 1000.0)
    ending.passes(500.0)
    bench.turn()
    origin.send(OK)
    bench.until(lambda: client.is_closed)
    assert b"\r\nConnection: close\r\n" in client.received and client.received.endswith(b"hi")
    ending.finish()


def test_response_that_has_begun_is_sent_to_its_end(bench: WorkerBench) -> None:
    client = bench.client(REQUEST)
    origin = bench.origin()
    origin.send(OK[:-1])
    bench.until(lambda: client.received.endswith(b"h"))
    ending = Ending(bench, 1000.0)
    origin.send(OK[-1:])
    bench.until(lambda: client.is_closed)
    assert client.received.endswith(b"hi")
    ending.finish()


def test_who_is_busy_for_too_long_is_cut_off(bench: WorkerBench, caplog: pytest.LogCaptureFixture) -> None:
    """The worker does not outstay its time for anybody; and says so."""
    bench.client(REQUEST)
    bench.origin()
    ending = Ending(bench, 1000.0)
    ending.passes(1000.0)
    ending.finish()
    assert bench.driver.sockets.count == 1
    assert bench.row[Field.DRAINED] == 1
    assert caplog.messages[-1] == "drained, but 1 connections were still busy after 1000 s"


def test_bug_keeps_nobody_from_being_told(plain: WorkerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker ends in time, too."""
    idle, stream = plain.client(REQUEST), held(plain, STREAM)
    plain.until(lambda: idle.received)

    def fail(_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(ClientConn, "end_with_response", fail)
    monkeypatch.setattr(drain_module, "SLICE_MAX_COUNT", 1)
    ending = Ending(plain, 1000.0)
    ending.passes(1000.0)
    ending.finish()
    plain.until(lambda: stream.received.endswith(b"\r\n0\r\n\r\n"))
    assert plain.row[Field.INTERNAL_ERRORS]
    plain.row[Field.INTERNAL_ERRORS] = 0


def test_without_time_all_hear_it_at_once(plain: WorkerBench) -> None:
    """It costs nothing to say it."""
    stream, poll, socket = held(plain, STREAM), held(plain, LONG_POLL), held(plain, SOCKET)
    Ending(plain, 0.0).finish()
    plain.until(lambda: stream.received.endswith(b"0\r\n\r\n"))
    plain.until(lambda: b"\r\nConnection: close\r\n" in poll.received)
    plain.until(lambda: socket.received.endswith(b"\x88\x02\x03\xe9"))
    assert plain.row[Field.DRAINED] == 3


def test_orphan_hurries(plain: WorkerBench) -> None:
    """Its supervisor is gone, and the next one wants its sockets."""
    held(plain, STREAM)
    ending = Ending(plain, 100_000.0)
    ending.drain.hurry()
    ending.finish()


def test_what_another_process_takes_over_stays(plain: WorkerBench) -> None:
    """As long as there is one; and its answers do not send it away."""
    stream, poll = held(plain, STREAM), held(plain, LONG_POLL)
    sockets = plain.driver.sockets
    sockets.can_stay = lambda fd: True
    ending = Ending(plain, 1000.0)
    ending.passes(999.0)
    plain.publish(response_item(b"news"))
    plain.until(lambda: poll.received.endswith(b"news"))
    assert b"Connection: close" not in poll.received
    assert not stream.is_closed and not poll.is_closed
    sockets.can_stay = None
    plain.until(lambda: stream.is_closed and poll.is_closed)
    ending.finish()


def test_those_who_stay_are_told_in_time_that_it_gets_late(plain: WorkerBench) -> None:
    """Who is still busy then has a fifth of the time to hear it."""
    poll = held(plain, LONG_POLL)
    sockets = plain.driver.sockets
    sockets.can_stay = lambda fd: not sockets.is_late
    ending = Ending(plain, 1000.0)
    ending.passes(900.0)
    plain.until(lambda: ending.drain._looked_at > ending.drain._began_at + 900.0)
    assert not poll.is_closed
    ending.passes(99.0)
    plain.until(lambda: poll.is_closed)
    ending.finish()


def test_moved_connections_are_not_counted_as_ended(plain: WorkerBench) -> None:
    client = held(plain, STREAM)
    ending = Ending(plain, 1000.0)
    plain.driver.end(only_fd(plain))
    plain.row[Field.HANDED_OVER] += 1
    plain.until(lambda: client.is_closed)
    ending.finish()
    assert plain.row[Field.DRAINED] == 0


def test_turns_are_short_however_many_there_are(plain: WorkerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are served between them."""
    monkeypatch.setattr(drain_module, "SLICE_MAX_COUNT", 2)
    clients = [held(plain, STREAM) for _ in range(7)]
    ended: list[int] = []
    dispatch = plain.driver.dispatch

    def note(conn: object, event: Any) -> None:
        if hasattr(event, "is_last"):
            ended.append(len(event.conn_ids))
        dispatch(conn, event)  # type: ignore[arg-type]

    plain.driver.dispatch = note  # type: ignore[method-assign]
    Ending(plain, 0.0).finish()
    assert ended == [2, 2, 2, 1]
    plain.until(lambda: all(client.is_closed for client in clients))


def test_end_waits_for_what_origins_are_still_to_hear(make_bench: MakeBench) -> None:
    """But not for long."""
    bench = make_bench()
    client = bench.client(REQUEST)
    bench.origin().send(
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nGrip-Hold: stream\r\nGrip-Channel: a\r\n"
        b"Grip-Link: </g>; rel=gone\r\n\r\n"
    )
    bench.until(lambda: bench.core.holds.streams_count)
    bench.origins[0].received.clear()
    ending = Ending(bench, 1000.0)
    ending.passes(999.0)
    bench.until(lambda: client.is_closed)
    client.close()
    bench.until(lambda: any(origin.received.startswith(b"POST /g ") for origin in bench.origins))
    assert not ending.is_over()
    ending.passes(1.0)
    ending.finish()


def test_client_that_does_not_close_is_not_waited_for(plain: WorkerBench) -> None:
    """It has got all that it will get."""
    held(plain, STREAM).is_reading = False
    ending = Ending(plain, 1000.0)
    ending.passes(999.0)
    plain.until(lambda: isinstance(plain.driver.sockets.records[only_fd(plain)], ClosingConn))
    ending.passes(1.0)
    ending.finish()


def test_client_that_has_not_read_its_end_is_cut_off_and_said(
    plain: WorkerBench, caplog: pytest.LogCaptureFixture
) -> None:
    """Its response is not whole."""
    client = plain.client(STREAM, receive_bytes=4096)
    plain.until(lambda: plain.driver.core.holds.streams_count == 1)
    client.is_reading = False
    plain.publish(stream_item(b"n" * 10_000_000))
    plain.until(lambda: plain.driver.sockets.backlogs)
    ending = Ending(plain, 1000.0)
    ending.passes(1000.0)
    ending.finish()
    assert caplog.messages[-1] == "drained, but 1 connections were still busy after 1000 s"


def test_nothing_is_done_for_clients_after_the_end() -> None:
    """What was to come in the next turn has nobody any more."""
    bench = WorkerBench()
    errors: list[dict[str, Any]] = []
    bench.loop.set_exception_handler(lambda _, context: errors.append(context))
    bench.client(real_handshake("/chat"))
    origin = bench.origin()
    origin.send(real_accept(origin))
    bench.until(lambda: bench.core.holds.sockets_count == 1)
    bench.driver.dispatch(None, FarewellDue([only_fd(bench)], True))
    assert bench.driver.web_sockets._turns
    bench.close()
    assert not errors
