"""Connections to origins: kept, counted, waited for, and never leaked, however they end."""

import asyncio
from typing import Any

import pytest

from gripproxy.engine.events import OriginFailure
from gripproxy.protocol.http1 import ResponseHead
from gripproxy.protocol.route_target import Target
from gripproxy.scoreboard import Field
from gripproxy_worker import origin_line
from gripproxy_worker.origin_conn import OriginConn
from gripproxy_worker.origin_line import Ask
from gripproxy_worker.origin_pool import CONNECTS_MAX_COUNT, IDLE_MAX_S, OriginPool
from tests.worker.bench import WorkerBench
from tests.worker.conftest import MakeBench
from tests.worker.socket_bench import SocketBench

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Wanter:
    """One request for a connection, and what became of it."""

    def __init__(self, bench: WorkerBench, target: Target | None = None, server_name: str = "", **options: Any) -> None:
        self.conns: list[OriginConn] = []
        self.errors: list[str] = []
        self.kinds: list[OriginFailure] = []
        self.failures: list[str] = []
        self.ends_count = 0
        target = target or Target(host="127.0.0.1", port=bench.origin_port)
        self.ask = Ask(target, server_name, self.on_conn, self.on_error, **options)
        bench.driver.pool.get(self.ask)

    def on_conn(self, origin: OriginConn) -> None:
        self.conns.append(origin)
        origin.ask(self, b"GET / HTTP/1.1\r\n\r\n", is_head=False)

    def on_error(self, failure: OriginFailure, reason: str) -> None:
        self.kinds.append(failure)
        self.errors.append(reason)

    def on_origin_head(self, head: ResponseHead) -> None: ...

    def on_origin_body(self, part: bytes) -> None: ...

    def on_origin_end(self) -> None:
        self.ends_count += 1

    def on_origin_failed(self, origin: OriginConn, detail: str) -> None:
        self.failures.append(detail)

    def on_origin_writable(self) -> None: ...

    def on_origin_read(self) -> None: ...


def pool_of(bench: WorkerBench) -> OriginPool:
    return bench.driver.pool


def test_kept_connection_is_used_again(bench: WorkerBench) -> None:
    bench.answer = OK
    first = Wanter(bench)
    bench.until(lambda: first.ends_count == 1)
    second = Wanter(bench)
    bench.until(lambda: second.ends_count == 1)
    assert first.conns == second.conns and second.conns[0].is_reused
    assert len(bench.origins) == 1


def test_fresh_ask_gets_a_new_connection(bench: WorkerBench) -> None:
    """The kept one has just proved to be stale; its like may be too."""
    bench.answer = OK
    first = Wanter(bench)
    bench.until(lambda: first.ends_count == 1)
    second = Wanter(bench, is_fresh=True)
    bench.until(lambda: second.ends_count == 1)
    assert first.conns != second.conns


def test_more_requests_than_connections_wait_their_turn(make_bench: MakeBench) -> None:
    bench = make_bench(connections_max=2)
    bench.answer = OK
    wanters = [Wanter(bench) for _ in range(20)]
    assert len(pool_of(bench)._open) == 2
    bench.until(lambda: all(wanter.ends_count == 1 for wanter in wanters))
    assert len(bench.origins) == 2


def test_burst_is_served_by_connections_that_come_free(make_bench: MakeBench) -> None:
    """A connection costs more than the request: a burst must not make one for each."""
    bench = make_bench(connections_max=2000)
    bench.answer = OK
    wanters = [Wanter(bench) for _ in range(2000)]
    assert len(pool_of(bench)._open) == CONNECTS_MAX_COUNT
    bench.until(lambda: all(wanter.ends_count == 1 for wanter in wanters))
    assert len(bench.origins) < 1500


def test_burst_to_a_slow_origin_gets_all_the_connections_it_needs(make_bench: MakeBench) -> None:
    """Nobody waits for an answer to another's request, however long that takes."""
    bench = make_bench(connections_max=1000)
    wanters = [Wanter(bench) for _ in range(3 * CONNECTS_MAX_COUNT)]
    bench.until(lambda: all(wanter.conns for wanter in wanters))
    assert len({wanter.conns[0] for wanter in wanters}) == len(wanters)
    bench.until(lambda: len(bench.origins) == len(wanters))


def test_waiting_requests_of_two_origins_take_turns(make_bench: MakeBench) -> None:
    """The only one of the one need not wait for all of the other."""
    bench = make_bench(connections_max=1000)
    many = [Wanter(bench) for _ in range(5 * CONNECTS_MAX_COUNT)]
    other = Wanter(bench, Target(host="127.0.0.1", port=1))
    pool = pool_of(bench)
    pool._on_turn()
    assert len(pool._open) == 2 * CONNECTS_MAX_COUNT and other.ask.line is None
    for wanter in many:
        wanter.ask.cancel()
    bench.until(lambda: other.errors and not pool._tasks and not pool._line)
    bench.until(lambda: len(bench.origins) >= len(pool._open))


def test_waiting_request_gets_the_room_of_an_idle_connection_elsewhere(make_bench: MakeBench) -> None:
    """Else kept connections to one origin would shut every other origin out."""
    bench = make_bench(connections_max=1)
    bench.answer = OK
    first = Wanter(bench)
    bench.until(lambda: first.ends_count == 1)
    second = Wanter(bench, Target(host="localhost", port=bench.origin_port))
    bench.until(lambda: second.ends_count == 1)


def test_hung_origin_leaves_connections_for_the_others(make_bench: MakeBench) -> None:
    """It takes what it gets and gives nothing back, whatever the number of its requests."""
    bench = make_bench(connections_max=8)
    hung = [Wanter(bench) for _ in range(20)]
    bench.until(lambda: len(bench.origins) == 6)
    healthy = Target(host="localhost", port=bench.origin_port)
    for served_count in range(1, 4):
        wanter = Wanter(bench, healthy)
        bench.until(lambda wanter=wanter: wanter.conns)  # type: ignore[misc]
        bench.origin(6).send(OK)
        bench.until(lambda wanter=wanter: wanter.ends_count == 1)  # type: ignore[misc]
        bench.origins[6].received = bytearray()
        assert len(bench.origins) == 7, f"kept for the next request, also after {served_count}"
    assert sum(bool(wanter.conns) for wanter in hung) == 6
    for wanter in hung:
        wanter.ask.cancel()
    for wanter in hung:
        for conn in wanter.conns:
            conn.abandon()


def test_request_that_was_cancelled_while_it_waited_is_not_kept(make_bench: MakeBench) -> None:
    """Its client is gone; the origin may hang for hours."""
    bench = make_bench(connections_max=1)
    first = Wanter(bench)
    waiting = [Wanter(bench) for _ in range(3)]
    for wanter in waiting:
        wanter.ask.cancel()
        wanter.ask.cancel()
    assert not pool_of(bench)._line
    bench.origin().send(OK)
    bench.until(lambda: first.ends_count == 1)


def test_cancelled_waiting_request_is_passed_over(make_bench: MakeBench) -> None:
    bench = make_bench(connections_max=1)
    first, second, third = Wanter(bench), Wanter(bench), Wanter(bench)
    second.ask.cancel()
    bench.origin().send(OK)
    bench.until(lambda: third.conns)
    assert first.ends_count == 1 and second.conns == []


@pytest.mark.parametrize("turns", range(6))
def test_cancelling_while_connecting_keeps_the_count(bench: WorkerBench, turns: int) -> None:
    """Before the task's first step, in the middle, or when it is made: each connection is counted off once."""
    wanter = Wanter(bench)
    for _ in range(turns):
        bench.turn()
    wanter.ask.cancel()
    for conn in wanter.conns:
        conn.abandon()
    bench.until(lambda: not pool_of(bench)._tasks)
    assert len(wanter.conns) <= 1 and wanter.errors == []
    bench.until(lambda: len(pool_of(bench)._open) == sum(map(len, pool_of(bench)._idle.values())))


@pytest.mark.parametrize(
    ("target", "server_name", "text"),
    [
        (Target(host="127.0.0.1", port=1), "", "Connection refused"),
        (Target(host="x" * 70, port=80), "", "cannot connect"),
        (Target(host="a\0b", port=80), "", "cannot connect"),
        (Target(host="127.0.0.1", port=1, is_ssl=True), ".h", "cannot connect"),
    ],
)
def test_connection_that_cannot_be_made_is_said_and_counted_off(
    bench: WorkerBench, target: Target, server_name: str, text: str
) -> None:
    """Whatever kind of error it is: else the client would wait forever and the room would be lost."""
    wanter = Wanter(bench, target, server_name)
    bench.until(lambda: wanter.errors)
    assert len(wanter.errors) == 1 and text in wanter.errors[0]
    assert pool_of(bench)._open == set()


@pytest.mark.parametrize("server_name", ["h", "", ".h"])
def test_origin_that_does_not_speak_tls(bench: WorkerBench, server_name: str) -> None:
    """Also with names that no certificate can carry: a client chooses the Host."""
    bench.answer = b"plain"
    wanter = Wanter(bench, Target(host="127.0.0.1", port=bench.origin_port, is_ssl=True), server_name)
    for _ in range(20):
        bench.turn()
    for origin in bench.origins:
        origin.transport.close()
    bench.until(lambda: wanter.errors)
    bench.until(lambda: not pool_of(bench)._open)


def test_connection_closed_before_it_is_handed_over(bench: WorkerBench) -> None:
    """Nobody would ever tell a request on it that it is closed."""
    pool = pool_of(bench)

    async def create_connection(factory: Any, *arguments: Any, **options: Any) -> tuple[Any, Any]:
        origin = factory()
        transport = asyncio.Transport()
        origin.connection_made(transport)
        origin.connection_lost(None)
        return transport, origin

    class Loop:
        getaddrinfo = bench.loop.getaddrinfo

    loop: Any = Loop()
    loop.create_connection = create_connection
    pool._connector._loop = loop
    wanter = Wanter(bench)
    bench.until(lambda: wanter.errors)
    assert wanter.conns == [] and pool._open == set()


def test_idle_connection_is_closed_in_time(bench: WorkerBench) -> None:
    bench.answer = OK
    wanter = Wanter(bench)
    bench.until(lambda: wanter.ends_count == 1)
    now = bench.loop.time() + IDLE_MAX_S + 1
    for record in bench.driver.wheel.due(now, 1000):
        pool_of(bench).on_deadline(record, now)
    bench.until(lambda: bench.origins[0].is_closed and not pool_of(bench)._open)


def test_connection_that_was_used_meanwhile_is_closed_later(bench: WorkerBench) -> None:
    """Its deadline stayed where it was, and is set anew then: as long after the last use as after the first."""
    bench.answer = OK
    wanter = Wanter(bench)
    bench.until(lambda: wanter.ends_count == 1)
    conn, pool, now = wanter.conns[0], pool_of(bench), bench.loop.time()
    conn.active_at = now + IDLE_MAX_S - 5
    pool.on_deadline(conn, now + IDLE_MAX_S + 1)
    assert conn.transport is not None and not conn.transport.is_closing()
    (due,) = bench.driver.wheel.due(now + 2 * IDLE_MAX_S - 4, 10)
    pool.on_deadline(due, now + 2 * IDLE_MAX_S - 4)
    assert conn.transport.is_closing()


def test_idle_connection_that_the_origin_closes_is_forgotten(bench: WorkerBench) -> None:
    bench.answer = OK
    wanter = Wanter(bench)
    bench.until(lambda: wanter.ends_count == 1)
    bench.origins[0].transport.close()
    bench.until(lambda: not pool_of(bench)._open)
    assert not any(pool_of(bench)._idle.values())


def test_silent_origin_fails_its_request(bench: WorkerBench) -> None:
    """And one that is only paused, because the client does not read, does not."""
    wanter = Wanter(bench)
    bench.until(lambda: wanter.conns)
    conn = wanter.conns[0]
    conn.pause_reading()
    later = bench.loop.time() + bench.settings.origin_timeout + 1
    for record in bench.driver.wheel.due(later, 1000):
        pool_of(bench).on_deadline(record, later)
    assert wanter.failures == [] and conn.slot is not None
    conn.resume_reading()
    pool_of(bench).on_deadline(conn, later)
    assert wanter.failures == ["it was silent for 601 s"]


def test_closed_pool_connects_no_more(bench: WorkerBench) -> None:
    """At the end of the process nobody is told: there is nobody left."""
    wanters = [Wanter(bench) for _ in range(20)]
    pool_of(bench).close()
    bench.until(lambda: not pool_of(bench)._tasks)
    assert not any(wanter.conns or wanter.errors for wanter in wanters)


def test_bug_while_connecting_ends_the_ask_and_is_logged(bench: WorkerBench, caplog: pytest.LogCaptureFixture) -> None:
    """A task that dies unheard would leave its client waiting, and its connection counted for ever."""

    def fail(origin: OriginConn) -> None:
        raise KeyError("bug")

    errors: list[str] = []
    pool_of(bench).get(
        Ask(Target(host="127.0.0.1", port=bench.origin_port), "", fail, lambda failure, reason: errors.append(reason))
    )
    bench.until(lambda: not pool_of(bench)._open)
    assert errors == ["internal error: KeyError('bug')"]
    assert f"internal error while connecting to 127.0.0.1:{bench.origin_port}" in caplog.text
    assert bench.row[Field.INTERNAL_ERRORS] == 1
    bench.row[Field.INTERNAL_ERRORS] = 0


def test_request_that_waits_too_long_for_a_connection_fails(make_bench: MakeBench) -> None:
    """Its next target may be asked; without one it is answered, and not left to a hung origin's patience."""
    bench = make_bench(connections_max=1)
    hung, waiting = Wanter(bench), Wanter(bench)
    bench.until(lambda: hung.conns)
    now = bench.loop.time() + bench.settings.origin_queue_timeout + 1
    for record in bench.driver.wheel.due(now, 1000):
        record.on_deadline(now)
    assert waiting.errors == ["no connection became free within 30 s"]
    assert waiting.kinds == [OriginFailure.CONNECT] and hung.failures == []
    assert bench.row[Field.ORIGIN_UNSERVED] == 1
    bench.origin().send(OK)
    bench.until(lambda: hung.ends_count == 1)
    assert waiting.conns == []


def test_too_many_waiting_requests_are_refused_in_a_later_turn(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks is not told before he knows that he has asked."""
    monkeypatch.setattr(origin_line, "WAITING_MAX_COUNT", 1)
    bench = make_bench(connections_max=1)
    bench.answer = OK
    first, second, third, left = [Wanter(bench) for _ in range(4)]
    assert third.errors == [] and left.errors == []
    left.ask.cancel()
    bench.until(lambda: third.errors)
    assert third.errors == ["1 requests wait for a connection already"] and left.errors == []
    bench.until(lambda: first.ends_count == second.ends_count == 1)


def test_full_pool_does_not_spin(make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits costs nothing until something becomes free, and then it is his at once."""
    bench = make_bench(connections_max=2)
    wanters = [Wanter(bench) for _ in range(50)]
    bench.until(lambda: len(bench.origins) == 2)
    pool = pool_of(bench)
    calls: list[str] = []
    monkeypatch.setattr(pool, "_serve_waiting", lambda: calls.append("served"))
    for _ in range(50):
        bench.turn()
    assert calls == []
    monkeypatch.undo()
    bench.answer = OK
    for origin in bench.origins:
        origin.send(OK)
    bench.until(lambda: all(wanter.ends_count == 1 for wanter in wanters))


def test_room_that_origins_give_back_by_dying_is_used_at_once(make_bench: MakeBench) -> None:
    bench = make_bench(connections_max=2)
    hung = [Wanter(bench) for _ in range(2)]
    bench.until(lambda: len(bench.origins) == 2)
    waiting = Wanter(bench, Target(host="localhost", port=bench.origin_port))
    bench.answer = OK
    for origin in list(bench.origins):
        origin.transport.abort()
    bench.until(lambda: waiting.ends_count == 1)
    assert all(wanter.failures for wanter in hung)


@pytest.mark.parametrize(
    ("max_open_requests", "workers", "expected"), [(4, 2, 2), (3, 2, 2), (1, 8, 1), (0, 1, 8), (-1, 1, 8)]
)
def test_operator_bounds_the_requests_on_their_way(
    make_bench: MakeBench, max_open_requests: int, workers: int, expected: int
) -> None:
    """Each worker takes its share; the others wait in line."""
    bench = make_bench(connections_max=10, max_open_requests=max_open_requests, workers=workers)
    wanters = [Wanter(bench) for _ in range(12)]
    assert len(pool_of(bench)._open) == expected
    bench.until(lambda: len(bench.origins) == expected)
    bench.answer = OK
    for origin in list(bench.origins):
        origin.send(OK)
    bench.until(lambda: all(wanter.ends_count == 1 for wanter in wanters))


@pytest.mark.parametrize(("max_open_requests", "is_next_served"), [(1, False), (0, True)])
def test_websocket_counts_only_where_the_operator_bounds_their_number(
    make_bench: MakeBench, max_open_requests: int, is_next_served: bool
) -> None:
    """Else a thousand of them would leave no connection for requests."""
    bench = make_bench(connections_max=1, max_open_requests=max_open_requests, workers=1)
    sockets = SocketBench(bench)
    client, _, _ = sockets.proxied()
    bench.answer = OK
    waiting = Wanter(bench)
    if is_next_served:
        bench.until(lambda: waiting.ends_count == 1)
        return
    for _ in range(5):
        bench.turn()
    assert len(bench.origins) == 1 and len(pool_of(bench)._line) == 1
    client.close()
    bench.until(lambda: waiting.ends_count == 1)


def test_request_behind_a_handshake_gets_the_room_of_an_idle_connection_elsewhere(make_bench: MakeBench) -> None:
    """While the handshake lasted, its origin had all that one origin may have. The WebSocket counts for no origin."""
    bench = make_bench(max_open_requests=2, workers=1)
    bench.answer = OK
    elsewhere = Wanter(bench, Target(host="localhost", port=bench.origin_port))
    bench.until(lambda: elsewhere.ends_count == 1)
    bench.answer = None
    shaking = Wanter(bench)
    bench.until(lambda: shaking.conns)
    waiting = Wanter(bench)
    bench.answer = OK
    switched = shaking.conns[0].open_socket(bench.driver.web_sockets, 0, is_deflating=False)
    bench.until(lambda: waiting.ends_count == 1)
    switched.close()


def test_untrusted_target_gets_no_kept_connection_of_a_trusted_one(bench: WorkerBench) -> None:
    """It would lead where the target may not."""
    bench.answer = OK
    first = Wanter(bench)
    bench.until(lambda: first.ends_count == 1)
    second = Wanter(bench, Target(host="127.0.0.1", port=bench.origin_port, untrusted=True))
    bench.until(lambda: second.errors)
    assert second.kinds == [OriginFailure.BLOCKED] and second.conns == []


def test_reload_uses_no_kept_connection_again(bench: WorkerBench) -> None:
    """It was made with certificates that may have been replaced since."""
    bench.answer = OK
    first = Wanter(bench)
    bench.until(lambda: first.ends_count == 1)
    pool_of(bench).reload()
    second = Wanter(bench)
    bench.until(lambda: second.ends_count == 1)
    assert first.conns != second.conns
    bench.until(lambda: bench.origins[0].is_closed)


def test_names_that_clients_chose_are_not_kept(bench: WorkerBench) -> None:
    """There is no end to them."""
    bench.answer = OK
    for number in range(3):
        wanter = Wanter(bench, Target(host=f"127.0.0.{number + 1}", port=bench.origin_port))
        bench.until(lambda wanter=wanter: wanter.ends_count == 1 or wanter.errors)  # type: ignore[misc]
    for origin in bench.origins:
        origin.transport.close()
    bench.until(lambda: not pool_of(bench)._open)
    assert pool_of(bench)._idle == {} and not pool_of(bench)._open_counts
