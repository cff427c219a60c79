"""Requests to zhttp targets as clients see them, with an origin that the test speaks for."""

import contextlib
from typing import Any

import pytest

from gripproxy.bus.zhttp_wire import CLOSE
from gripproxy.engine.events import ClockTicked
from gripproxy.protocol.http1 import encode_chunk
from gripproxy.protocol.publish_format import HttpStreamFormat
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.protocol.websocket_frame import TEXT, encode_frame
from gripproxy.protocol.zhttp import CREDITS_BYTES, REQ_BODY_MAX_BYTES
from gripproxy_worker.client_conn import PREFETCH_BYTES
from gripproxy_worker.client_sockets import READ_MAX_BYTES
from gripproxy_worker.zhttp_conn import StreamConn
from gripproxy_worker.zhttp_socket import UNSENT_MAX_BYTES
from tests.worker.bench import Client, WorkerBench
from tests.worker.test_zhttp_socket import HANDSHAKE, masked
from tests.worker.zhttp_hub import Hub, zhttp_bench

STREAM = "* zhttp/ipc:///x"
REQ = "* zhttpreq/ipc:///x"
GET = b"GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n"
OK: dict[str, Any] = {"code": 200, "reason": b"OK"}
BROKEN = b"HTTP/1.1 502 Bad Gateway\r\n"
KEPT = b"Error while proxying to origin.\n"
START = b"x" * PREFETCH_BYTES  # of a body: with less of it here nobody is asked


def post(size: int) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size


@pytest.mark.parametrize("routes", [STREAM, REQ])
def test_request_and_response_in_one_packet_each(routes: str) -> None:
    """The connection stays for the next request."""
    with zhttp_bench(routes) as (bench, hub):
        client = bench.client()
        for _ in range(2):
            client.received.clear()
            client.send(GET)
            packet = hub.opened()
            assert (packet[b"method"], packet[b"uri"], packet[b"headers"][0]) == (
                b"GET",
                b"http://h/a?b",
                [b"Host", b"h"],
            )
            assert (packet.get(b"seq"), packet.get(b"stream")) == ((0, True) if routes == STREAM else (None, None))
            hub.origin_says(packet[b"id"], **OK, headers=[[b"X", b"y"]], body=b"hi")
            bench.until(lambda: client.received.endswith(b"hi"))
            assert bytes(client.received) == b"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 2\r\n\r\nhi"
            assert hub.closed(packet[b"id"]) is False


def test_response_in_parts_becomes_chunks() -> None:
    """Its end is told by a packet of its own."""
    with zhttp_bench(STREAM) as (bench, hub):
        client = bench.client(GET)
        name = hub.opened()[b"id"]
        hub.origin_says(name, **OK, body=b"a", more=True)
        bench.until(lambda: client.received.endswith(b"1\r\na\r\n"))
        hub.origin_says(name, body=b"bc", more=True)
        hub.origin_says(name)
        bench.until(lambda: client.received.endswith(b"2\r\nbc\r\n0\r\n\r\n"))
        assert hub.closed(name) is False


@pytest.mark.parametrize("is_chunked", [False, True])
def test_request_body_follows_credits(is_chunked: bool) -> None:
    """In the order and to the size that it came in, without HTTP's framing."""
    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" if is_chunked else post(len(START) + 4)
    parts = (encode_chunk(START), b"4\r\ndefg\r\n", b"0\r\n\r\n") if is_chunked else (START, b"de", b"fg")
    with zhttp_bench(STREAM) as (bench, hub):
        client = bench.client(head + parts[0])
        packet = hub.opened()
        assert (packet.get(b"body", b""), packet[b"more"]) == (START, True)
        assert [b"Transfer-Encoding", b"chunked"] not in packet[b"headers"]
        name = packet[b"id"]
        hub.origin_says(name, type=b"credit", credits=3)
        for part in parts[1:]:
            client.send(part)
        body = hub.sent()[b"body"]
        while len(body) < 3:
            body += hub.sent()[b"body"]
        assert body == b"def"
        hub.origin_says(name, type=b"credit", credits=1)
        last = hub.sent()
        assert last[b"body"] == b"g"
        if b"more" in last:
            last = hub.sent()
            assert b"body" not in last and b"more" not in last
        hub.origin_says(name, **OK)
        bench.until(lambda: client.received.endswith(b"\r\n\r\n"))
        assert hub.closed(name) is False


def test_client_is_read_no_faster_than_credits_come() -> None:
    """What an origin does not want yet stays with the client."""
    with zhttp_bench(STREAM) as (bench, hub):
        size = 4_000_000
        client = bench.client(post(size), receive_bytes=50_000)
        sent = 0

        def send_more() -> bool:
            nonlocal sent
            try:
                sent += client.sock.send(b"x" * min(50_000, size - sent))
            except BlockingIOError:
                return False
            return True

        send_more()
        packet = hub.opened()
        name = packet[b"id"]
        received = len(packet[b"body"])
        hub.origin_says(name, type=b"keep-alive")
        for _ in range(2000):
            send_more()
            bench.turn()
        (conn,) = bench.driver.pool.zhttp._conns.values()
        assert not conn.is_writable
        assert isinstance(conn, StreamConn)
        assert UNSENT_MAX_BYTES <= conn._session.unsent_bytes <= UNSENT_MAX_BYTES + READ_MAX_BYTES
        while received < size:
            hub.origin_says(name, type=b"credit", credits=300_000)
            granted = 300_000
            while granted and received < size:
                send_more()
                bench.turn()
                while hub.messages:
                    part = len(hub.sent().get(b"body", b""))
                    received += part
                    granted -= part
        hub.origin_says(name, **OK)
        assert hub.closed(name) is False


def test_credits_are_granted_as_the_client_reads() -> None:
    """A client that does not read holds its origin up, and nobody else."""
    with zhttp_bench(STREAM) as (bench, hub):
        client = bench.client(GET, receive_bytes=4_096)
        client.is_reading = False
        name = hub.opened()[b"id"]
        hub.origin_says(name, **OK, more=True)
        left = CREDITS_BYTES
        total = 0
        while left:
            part = min(left, 50_000)
            hub.origin_says(name, body=b"x" * part, more=True)
            left -= part
            total += part
            bench.until(lambda: not bench.driver.pool.outbox)
            for _ in range(50):
                bench.turn()
            while hub.messages:
                left += hub.sent()[b"credits"]
            assert total < 600_000, "credits were granted although nobody reads"
        (conn,) = bench.driver.pool.zhttp._conns.values()
        assert isinstance(conn, StreamConn) and conn.is_paused
        client.is_reading = True
        assert hub.sent()[b"credits"] > 0
        hub.origin_says(name)
        bench.until(lambda: client.received.endswith(b"0\r\n\r\n"))
        assert client.received.count(b"x") == total
        bench.until(lambda: hub.messages and hub.messages[-1][0] == CLOSE)
        while len(hub.messages) > 1:
            hub.sent()
        assert hub.closed(name) is False


def test_client_that_leaves_cancels() -> None:
    """Before an answer, and in the middle of it. A REP socket has to answer anyway."""
    for routes, is_cancel in ((STREAM, True), (REQ, False)):
        with zhttp_bench(routes) as (bench, hub):
            client = bench.client(GET)
            name = hub.opened()[b"id"]
            client.close()
            assert hub.closed(name) is is_cancel
    with zhttp_bench(STREAM) as (bench, hub):
        client = bench.client(GET)
        name = hub.opened()[b"id"]
        hub.origin_says(name, **OK, body=b"a", more=True)
        bench.until(lambda: client.received)
        client.close()
        assert hub.closed(name) is True


@pytest.mark.parametrize(
    ("condition", "head", "text"),
    [
        (b"disconnected", BROKEN, KEPT),
        (b"policy-violation", BROKEN, b"Error: Origin host/IP blocked.\n"),
        (b"length-required", b"HTTP/1.1 411 Length Required\r\n", b"Must provide Content-Length header.\n"),
        (b"tls-error", BROKEN, b"Unable to connect to any targets. Tried: zhttp/ipc:///x\n"),
    ],
)
def test_error_of_an_origin_is_answered(condition: bytes, head: bytes, text: bytes) -> None:
    """With debug, in words of its own where the reference has some."""
    with zhttp_bench("*,debug zhttp/ipc:///x") as (bench, hub):
        client = bench.client(GET)
        name = hub.opened()[b"id"]
        hub.origin_says(name, type=b"error", condition=condition)
        bench.until(lambda: client.received.endswith(b"\n"))
        assert client.received.startswith(head) and client.received.endswith(b"\r\n\r\n" + text)
        assert hub.closed(name) is False


def test_next_target_gets_the_whole_request() -> None:
    """Another origin over ZeroMQ, and then one over HTTP."""
    with zhttp_bench("* zhttp/ipc:///x zhttpreq/ipc:///y {origin}") as (bench, hub):
        client = bench.client(post(5) + b"hello")
        for _ in range(2):
            packet = hub.opened()
            assert packet[b"body"] == b"hello"
            hub.origin_says(packet[b"id"], type=b"error", condition=b"remote-connection-failed")
            assert hub.closed(packet[b"id"]) is False
        origin = bench.origin(ends=b"hello")
        origin.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        bench.until(lambda: client.received.endswith(b"hi"))


def test_body_that_was_not_kept_goes_to_no_other_target() -> None:
    """The next one would get half of it."""
    with zhttp_bench("*,debug zhttp/ipc:///x zhttp/ipc:///y") as (bench, hub):
        client = bench.client(post(400_000) + b"x" * 150_000)
        packet = hub.opened()
        received = len(packet[b"body"])
        while received < 150_000:
            hub.origin_says(packet[b"id"], type=b"credit", credits=200_000)
            received += len(hub.sent()[b"body"])
        hub.origin_says(packet[b"id"], type=b"error", condition=b"remote-connection-failed")
        bench.until(lambda: client.received.endswith(KEPT))
        assert hub.closed(packet[b"id"]) is False


def test_broken_protocol_cuts_a_response_that_has_begun() -> None:
    """An honest end would look like a whole response."""
    with zhttp_bench(STREAM) as (bench, hub):
        client = bench.client(GET)
        name = hub.opened()[b"id"]
        hub.origin_says(name, **OK, body=b"a", more=True)
        bench.until(lambda: client.received.endswith(b"a\r\n"))
        hub.origin_says(name, seq=7, body=b"b", more=True)
        bench.until(lambda: client.is_closed)
        assert client.received.endswith(b"a\r\n")
        assert hub.closed(name) is True


def test_early_response_ends_the_request() -> None:
    """The rest of the body is read by nobody, and the origin hears so."""
    with zhttp_bench(STREAM) as (bench, hub):
        client = bench.client(post(2 * len(START)) + START)
        name = hub.opened()[b"id"]
        hub.origin_says(name, **OK, body=b"early")
        bench.until(lambda: client.received.endswith(b"early"))
        assert b"Connection: close" in client.received
        assert hub.closed(name) is True


def test_excess_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Its author may wonder why a slow client fails."""
    with zhttp_bench(STREAM) as (bench, hub):
        client = bench.client(GET)
        name = hub.opened()[b"id"]
        hub.origin_says(name, **OK, body=b"x" * (CREDITS_BYTES + 5))
        bench.until(lambda: client.received.endswith(b"x" * (CREDITS_BYTES + 5)))
        assert "zhttp/ipc:///x sent 5 bytes more than it had credits for" in caplog.text
        assert hub.closed(name) is False


def test_whole_request_is_sent_when_its_body_is_here() -> None:
    """One packet has room for 1,000,000 bytes."""
    with zhttp_bench(REQ) as (bench, hub):
        client = bench.client(post(REQ_BODY_MAX_BYTES))
        sent = 0
        while sent < REQ_BODY_MAX_BYTES:
            assert hub.messages == []
            part = b"x" * min(20_000, REQ_BODY_MAX_BYTES - sent)
            client.send(part)
            sent += len(part)
            for _ in range(5):
                bench.turn()
        packet = hub.opened()
        assert packet[b"body"] == b"x" * REQ_BODY_MAX_BYTES
        hub.origin_says(packet[b"id"], **OK, body=b"y" * 2_000_000)
        bench.until(lambda: client.received.count(b"y") >= 2_000_000)
        assert hub.closed(packet[b"id"]) is False


@pytest.mark.parametrize(
    "request_start",
    [
        post(REQ_BODY_MAX_BYTES + 1) + START,
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nf4241\r\n" + b"x" * 1_000_001 + b"\r\n",
    ],
)
def test_whole_request_that_is_too_large_is_never_sent(request_start: bytes) -> None:
    """Hardly read, if its length says so."""
    with zhttp_bench(REQ) as (bench, hub):
        client = bench.client()
        rest = request_start
        while rest and not client.received:
            with contextlib.suppress(BlockingIOError, ConnectionError):
                rest = rest[client.sock.send(rest) :]
            bench.turn()
        bench.until(lambda: client.received.endswith(KEPT))
        assert hub.messages == []


@pytest.mark.parametrize("routes", [STREAM, REQ])
def test_instruct_holds_the_client(routes: str) -> None:
    """An origin over ZeroMQ can do all that one over HTTP can."""
    with zhttp_bench(routes) as (bench, hub):
        client = bench.client(GET)
        name = hub.opened()[b"id"]
        hub.origin_says(name, **OK, headers=[[b"Grip-Hold", b"stream"], [b"Grip-Channel", b"c"]], body=b"open\n")
        bench.until(lambda: client.received.endswith(b"open\n\r\n"))
        assert hub.closed(name) is False
        bench.publish(PublishItem("c", http_stream=HttpStreamFormat(content=b"item\n")))
        bench.until(lambda: client.received.endswith(b"item\n\r\n"))


def open_over_http(bench: WorkerBench, hub: Hub) -> Client:
    """Give a WebSocket client that its origin has accepted, and nothing is under way."""
    client = bench.client(HANDSHAKE)
    opened = hub.opened()
    assert (opened[b"method"], opened[b"uri"], opened[b"body"]) == (b"POST", b"http://h/a?b", b"OPEN\r\n")
    answer_events(hub, opened[b"id"], b"OPEN\r\n")
    bench.until(lambda: client.received.endswith(b"\r\n\r\n"))
    client.received.clear()
    return client


def answer_events(hub: Hub, name: bytes, events: bytes) -> None:
    hub.origin_says(name, **OK, headers=[[b"Content-Type", b"application/websocket-events"]], body=events)
    assert hub.closed(name) is False


@pytest.mark.parametrize("routes", [STREAM, REQ])
def test_websocket_over_http_waits_for_an_origin(routes: str) -> None:
    """What no origin had is sent again: its client must not be lost because an origin, or the hub, is restarted."""
    with zhttp_bench(f"{routes},over_http") as (bench, hub):
        client = open_over_http(bench, hub)
        client.send(masked(TEXT, b"hello"))
        asked = hub.opened()
        assert asked[b"body"] == b"TEXT 5\r\nhello\r\n"
        hub.refuse(asked[b"id"], "no origin")
        clock = bench.driver.clock
        bench.driver.clock = lambda: clock() + 3.0

        def is_asked_again() -> bool:
            bench.driver.dispatch(None, ClockTicked())
            return bool(hub.messages)

        bench.until(is_asked_again)
        again = hub.opened()
        assert again[b"body"] == asked[b"body"] and again[b"id"] != asked[b"id"]
        answer_events(hub, again[b"id"], b"TEXT 2\r\nhi\r\n")
        bench.until(lambda: client.received == encode_frame(TEXT, b"hi"))
        client.close()
        farewell = hub.opened()
        assert farewell[b"body"] == b"DISCONNECT\r\n"
        answer_events(hub, farewell[b"id"], b"")


def test_websocket_over_http_ends_with_a_request_that_may_have_been_read() -> None:
    """A message must not come twice."""
    with zhttp_bench(f"{STREAM},over_http") as (bench, hub):
        client = open_over_http(bench, hub)
        client.send(masked(TEXT, b"hello"))
        hub.refuse(hub.opened()[b"id"], "the origin's queue is full", is_untaken=False)
        bench.until(lambda: client.is_closed)
        assert not client.received
