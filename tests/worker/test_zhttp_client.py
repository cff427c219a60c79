"""A worker's connection to the hub for zhttp requests: made, lost and made again, and what is done by time."""

import contextlib
from typing import Any

import pytest
import tnetstring  # type: ignore[import-untyped]

from gripproxy.bus.zhttp_wire import HELLO, PACKET, SEND
from gripproxy.protocol.routes import parse_routes
from gripproxy.protocol.zhttp import IDS_MAX_COUNT
from gripproxy.protocol.zhttp_stream import KEEP_ALIVE_S, SILENT_MAX_S
from gripproxy.scoreboard import Field
from gripproxy_worker import zhttp_client
from gripproxy_worker.zhttp_client import ASK_MAX_S, BEHIND_BYTES
from gripproxy_worker.zhttp_conn import StreamConn
from tests.worker.bench import Client, WorkerBench
from tests.worker.socket_bench import real_handshake
from tests.worker.zhttp_hub import INSTANCE, zhttp_bench

STREAM = "*,debug zhttp/ipc:///x"
REQ = "*,debug zhttpreq/ipc:///x"
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
GENERIC = b"\r\n\r\nError while proxying to origin.\n"
OK: dict[str, Any] = {"code": 200, "reason": b"OK"}


def post(size: int) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size


def pass_time(bench: WorkerBench, seconds: float) -> None:
    """Let the client's clock, and nothing else, go on by so much, and let it look at it."""
    client, now = bench.driver.pool.zhttp, bench.driver.pool.zhttp.clock()
    client.clock = lambda: now + seconds
    client._sweep()


def is_answered(bench: WorkerBench, client: Client, ends: bytes) -> None:
    bench.until(lambda: client.received.endswith(b"\n"))
    assert client.received.endswith(ends)


def test_specs_of_the_routes_are_declared() -> None:
    """Once for all that name one; again when other routes are read, and to every hub."""
    with zhttp_bench(STREAM, is_listening=False) as (bench, hub):
        routes = "a zhttp/ipc:///x,ipc_file_mode=660\nb zhttp/ipc:///x zhttpreq/tcp://127.0.0.1:5000\nc test"
        bench.driver.use_routes(parse_routes(routes, "")[0])
        bench.turn()
        hub.listen()
        bench.until(lambda: hub.declared)
        first = [["ipc:///x", False, 0o660], ["tcp://127.0.0.1:5000", True, None]]
        assert hub.declared == [first]
        hub.sides[0].transport.abort()
        bench.until(lambda: len(hub.declared) == 2)
        assert hub.declared == [first, first]
        bench.driver.use_routes(parse_routes("c test", "")[0])
        bench.until(lambda: len(hub.declared) == 3)
        assert hub.declared[2] == []
        hub.sides[1].transport.abort()
        bench.until(lambda: bench.driver.pool.zhttp._link is None)
        assert bench.driver.pool.zhttp._connecting is None, "nobody needs it any more"


def test_specs_of_websockets_over_http_stay_declared() -> None:
    """They keep the target that they have; what the routes say of the same spec counts."""
    with zhttp_bench("* zhttp/ipc:///x,over_http") as (bench, hub):
        client = bench.client(real_handshake("/"))
        opened = hub.opened()
        events = [[b"Content-Type", b"application/websocket-events"]]
        hub.origin_says(opened[b"id"], **OK, headers=events, body=b"OPEN\r\n")
        assert hub.closed(opened[b"id"]) is False
        bench.until(lambda: client.received)
        for routes, uses in [
            ("a zhttpreq/ipc:///x", [["ipc:///x", True, None]]),
            ("c test", [["ipc:///x", False, None]]),
        ]:
            bench.driver.use_routes(parse_routes(routes, "")[0])
            bench.until(lambda: len(hub.declared) == 2)
            assert hub.declared.pop() == uses
        client.close()
        farewell = hub.opened()
        hub.origin_says(farewell[b"id"], **OK, headers=events)
        assert hub.closed(farewell[b"id"]) is False


def test_first_route_decides_how_a_spec_is_used() -> None:
    """There is one set of sockets for it."""
    routes = "other zhttpreq/ipc:///x\n* zhttp/ipc:///x"
    with zhttp_bench(routes) as (bench, hub):
        bench.driver.use_routes(parse_routes(routes, "")[0])
        client = bench.client(GET)
        packet = hub.opened()
        assert b"max-size" in packet and b"stream" not in packet
        hub.origin_says(packet[b"id"], **OK)
        assert hub.closed(packet[b"id"]) is False
        bench.until(lambda: client.received)


def test_request_waits_for_the_hub() -> None:
    """It may be restarting; only its hello says who packets are from."""
    with zhttp_bench(STREAM, is_listening=False) as (bench, hub):
        client = bench.client(GET)
        gone = bench.client(GET)
        bench.until(lambda: len(bench.driver.pool.zhttp) == 2)
        gone.close()
        hub.is_greeting = False
        hub.listen()
        bench.until(lambda: hub.sides)
        for _ in range(10):
            bench.turn()
        assert hub.messages == []
        hub.sides[0].say(HELLO, INSTANCE)
        name = hub.opened()[b"id"]
        hub.origin_says(name, **OK, body=b"hi")
        assert hub.closed(name) is False
        bench.until(lambda: client.received.endswith(b"hi"))
        assert hub.messages == [], "the client that left asks for nothing"


def test_hub_that_does_not_come_is_not_waited_for_long() -> None:
    """The next target may do."""
    with zhttp_bench(STREAM + " {origin}", is_listening=False) as (bench, hub):
        client = bench.client(GET)
        bench.until(lambda: len(bench.driver.pool.zhttp) == 1)
        pass_time(bench, ASK_MAX_S - 0.1)
        assert len(bench.driver.pool.zhttp) == 1
        pass_time(bench, ASK_MAX_S)
        bench.origin().send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
        is_answered(bench, client, b"ok\n")
        assert bench.row[Field.ORIGIN_UNSERVED] == 1


def test_not_more_requests_than_fit_wait_for_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that come and go would fill the memory while there is none."""
    monkeypatch.setattr(zhttp_client, "WAITING_MAX_COUNT", 2)
    with zhttp_bench(STREAM, is_listening=False) as (bench, hub):
        waiting = [bench.client(GET) for _ in range(2)]
        bench.until(lambda: len(bench.driver.pool.zhttp) == 2)
        is_answered(bench, bench.client(GET), b"Unable to connect to any targets. Tried: zhttp/ipc:///x\n")
        assert bench.row[Field.ORIGIN_UNSERVED] == 1
        hub.listen()
        for _ in waiting:
            hub.origin_says(hub.opened()[b"id"], **OK, body=b"ok\n")
        for client in waiting:
            is_answered(bench, client, b"ok\n")


def test_bug_in_handling_a_message_is_counted_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The hub passes on valid packets only, so that one that is not is our own fault."""
    with zhttp_bench(STREAM) as (bench, hub):
        client = bench.client(GET)
        name = hub.opened()[b"id"]
        hub.sides[0].say(PACKET, b"garbage")
        hub.origin_says(name, **OK, body=b"ok\n")
        is_answered(bench, client, b"ok\n")
        assert hub.closed(name) is False
        assert bench.row[Field.INTERNAL_ERRORS] == 1
        bench.row[Field.INTERNAL_ERRORS] = 0
        assert "internal error while handling the hub's zhttp message" in caplog.text


@pytest.mark.parametrize("routes", [STREAM, REQ])
def test_requests_fail_with_the_hub(routes: str) -> None:
    """Its sockets are gone, and with them the way back."""
    with zhttp_bench(routes) as (bench, hub):
        client = bench.client(GET)
        hub.opened()
        hub.sides[0].transport.abort()
        is_answered(bench, client, GENERIC)
        client.received.clear()
        client.send(GET)
        name = hub.opened()[b"id"]
        hub.origin_says(name, **OK, body=b"again\n")
        is_answered(bench, client, b"again\n")
        assert hub.closed(name) is False


def test_refused_request_is_answered_at_once() -> None:
    """The hub knows when there is no origin."""
    with zhttp_bench(STREAM + " {origin}") as (bench, hub):
        client = bench.client(GET)
        hub.refuse(hub.opened()[b"id"], "no origin")
        is_answered(bench, client, GENERIC)


@pytest.mark.parametrize("routes", [STREAM, REQ])
def test_silent_origin_is_given_up(routes: str) -> None:
    """The reference's words, for those who may read them."""
    with zhttp_bench(routes) as (bench, hub):
        client = bench.client(GET)
        name = hub.opened()[b"id"]
        pass_time(bench, SILENT_MAX_S - 1)
        assert not client.received
        pass_time(bench, SILENT_MAX_S)
        is_answered(bench, client, b"\r\n\r\nError: zhttp service for route is unreachable.\n")
        assert hub.closed(name) is (routes == STREAM)


@pytest.mark.parametrize("is_multi", [False, True])
def test_origins_are_told_that_requests_are_wanted(is_multi: bool) -> None:
    """In one packet for many, if the origin takes that."""
    with zhttp_bench(STREAM) as (bench, hub):
        count = IDS_MAX_COUNT + 2
        clients = [bench.client(GET) for _ in range(count)]
        names = [hub.opened()[b"id"] for _ in range(count)]
        extension = {"ext": {"multi": True}} if is_multi else {}
        for name in names:
            hub.origin_says(name, type=b"keep-alive", **extension)
        conns = bench.driver.pool.zhttp._conns
        bench.until(lambda: all(conn.address is not None for conn in conns.values() if isinstance(conn, StreamConn)))
        pass_time(bench, KEEP_ALIVE_S)
        wanted_count = 2 if is_multi else count
        bench.until(lambda: len(hub.messages) == wanted_count)
        told: list[bytes] = []
        for kind, ids, message in hub.messages:
            packet = tnetstring.loads(message[1:])
            assert kind == SEND and packet[b"type"] == b"keep-alive"
            entries = packet[b"id"] if len(ids) > 1 else [{b"id": packet[b"id"], b"seq": packet[b"seq"]}]
            assert entries == [{b"id": name, b"seq": 1} for name in ids]
            told += ids
        assert sorted(told) == sorted(names)
        hub.messages.clear()
        for client in clients:
            client.close()
        assert all(hub.receive(3)[1] for _ in range(count))


def test_hub_that_reads_too_slowly_gets_no_more_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for it is bounded."""
    monkeypatch.setattr(zhttp_client, "UNREAD_MAX_BYTES", 100_000)
    with zhttp_bench(STREAM) as (bench, hub):
        bench.driver.use_routes(parse_routes(STREAM, "")[0])
        bench.until(lambda: hub.declared)
        hub.sides[0].transport.pause_reading()
        for _ in range(100):
            client = bench.client(post(60_000) + b"x" * 60_000)
            for _ in range(10):
                bench.turn()
            if client.received:
                break
        is_answered(bench, client, b"Unable to connect to any targets. Tried: zhttp/ipc:///x\n")
        hub.sides[0].transport.resume_reading()
        transport = bench.driver.pool.zhttp._transport
        assert transport is not None
        bench.until(lambda: not transport.get_write_buffer_size())


def test_body_waits_for_a_hub_that_reads_too_slowly() -> None:
    """Credits are the origin's; the way there has bounds of its own."""
    size = 8_000_000
    with zhttp_bench(STREAM) as (bench, hub):
        client = bench.client(post(size) + b"x" * 100_000)
        packet = hub.opened()
        name, received = packet[b"id"], len(packet[b"body"])
        hub.sides[0].transport.pause_reading()
        hub.origin_says(name, type=b"credit", credits=size)
        zhttp = bench.driver.pool.zhttp
        sent = 100_000

        def send_more() -> None:
            nonlocal sent
            with contextlib.suppress(BlockingIOError):
                sent += client.sock.send(b"x" * min(100_000, size - sent))
            bench.turn()

        while not zhttp.is_behind:
            send_more()
        for _ in range(200):
            send_more()
        assert zhttp._transport is not None and zhttp._transport.get_write_buffer_size() < 2 * BEHIND_BYTES
        hub.sides[0].transport.resume_reading()

        def is_all_here() -> bool:
            nonlocal received
            while hub.messages:
                received += len(hub.sent().get(b"body", b""))
            return received == sent

        bench.until(is_all_here)  # also what the client has sent meanwhile, without another byte of it
        while received < size:
            send_more()
            is_all_here()
        hub.origin_says(name, **OK, body=b"done\n")
        is_answered(bench, client, b"done\n")
        assert hub.closed(name) is False
