"""How long a client may take: for a head, for a body, to read, and to ask again."""

import pytest

from gripproxy_worker.client_conn import PREFETCH_BYTES, ClientConn
from gripproxy_worker.client_patience import SHRINK_S
from tests.worker.bench import WorkerBench
from tests.worker.conftest import MakeBench

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TEST_ANSWER = b"Hello from the Pushpin test handler!\n"
FIRST = bytes(range(250)) * (PREFETCH_BYTES // 250)  # of a body: enough for the origin to be asked


def pass_time(bench: WorkerBench, seconds: float) -> None:
    """Let every client's deadline of the next `seconds` come."""
    now = bench.loop.time() + seconds
    for record in bench.driver.wheel.due(now, 1000):
        if not hasattr(record, "asker"):
            record.on_deadline(now)


def busy(bench: WorkerBench) -> list[ClientConn]:
    """Give the busy connections."""
    return [record for record in bench.driver.sockets.records if isinstance(record, ClientConn)]


@pytest.mark.parametrize("parts", [[b"GET / HT"], [b"G", b"ET / HTTP/1.1\r\n", b"Host: h\r\n"], [b"\r\n", b"GET"]])
def test_head_has_a_time_to_be_whole(make_bench: MakeBench, parts: list[bytes]) -> None:
    """It counts from its first byte: a client that sends one now and then gets no more of it."""
    bench = make_bench("* test", client_header_timeout=30.0)
    client = bench.client()
    for part in parts:
        client.send(part)
        bench.until(lambda part=part: busy(bench) and busy(bench)[0]._buffer.endswith(part))  # type: ignore[misc]
    pass_time(bench, 29.0)
    assert bench.driver.sockets.count == 1
    pass_time(bench, 31.0)
    bench.until(lambda: client.is_closed)
    assert client.received.startswith(b"HTTP/1.0 408 Request Timeout\r\n")
    assert client.received.endswith(b"\r\n\r\nRequest header did not arrive in time.\n")


def test_slow_head_keeps_its_deadline_when_more_of_it_comes(make_bench: MakeBench) -> None:
    """And its place in the wheel: bytes that trickle in cost no timer."""
    bench = make_bench("* test", client_header_timeout=30.0)
    client = bench.client(b"G")
    bench.until(lambda: busy(bench))
    (conn,) = busy(bench)
    conn.active_at -= 5.0
    bench.driver.wheel.schedule(conn, conn.active_at + 30.0)
    began_at, slot = conn.active_at, conn.slot
    for byte in b"ET / HTTP/1.1":
        client.send(bytes([byte]))
        bench.turn()
    bench.until(lambda: conn._buffer.endswith(b"1.1"))
    assert (conn.active_at, conn.slot) == (began_at, slot)


def test_next_head_has_its_own_time(bench: WorkerBench) -> None:
    """Its beginning may have come long before, during the request ahead of it."""
    client = bench.client(GET + b"GET /b HT")
    origin = bench.origin()
    (conn,) = busy(bench)
    conn.active_at -= 1000.0
    origin.send(OK)
    bench.until(lambda: client.received == OK)
    pass_time(bench, bench.settings.client_header_timeout - 2)
    assert bench.driver.sockets.count == 1
    client.send(b"TP/1.1\r\n\r\n")
    bench.origins[0].received = bytearray()
    bench.origin().send(OK)
    bench.until(lambda: client.received == OK + OK)


def test_only_line_ends_are_no_request_to_complain_about(make_bench: MakeBench) -> None:
    bench = make_bench("* test")
    client = bench.client(b"\r\n")
    bench.until(lambda: busy(bench))
    pass_time(bench, bench.settings.client_header_timeout + 1)
    bench.until(lambda: client.is_closed)
    assert client.received == b""


def test_line_ends_without_end_are_refused(make_bench: MakeBench) -> None:
    """They would keep a connection busy that asks for nothing."""
    bench = make_bench("* test")
    client = bench.client(b"\r\n" * 4097)
    bench.until(lambda: client.is_closed)
    assert client.received.startswith(b"HTTP/1.0 431 ")


@pytest.mark.parametrize("is_asking", [False, True])
def test_body_that_stops_coming(make_bench: MakeBench, is_asking: bool) -> None:
    """The client is told, and the origin is let go, if it was asked at all."""
    bench = make_bench(client_body_timeout=30.0)
    client = bench.client(b"POST / HTTP/1.1\r\nContent-Length: 20000\r\n\r\n" + FIRST[: 10_000 if is_asking else 1])
    if is_asking:
        bench.origin(ends=FIRST)
    else:
        bench.until(lambda: bench.driver.counts.requests_count)
    pass_time(bench, 29.0)
    assert bench.driver.sockets.count == 1
    pass_time(bench, 31.0)
    bench.until(lambda: client.is_closed and all(origin.is_closed for origin in bench.origins))
    assert client.received.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"Connection: close\r\n" in client.received
    assert client.received.endswith(b"\r\n\r\nRequest body did not arrive in time.\n")


def test_body_that_comes_slowly_has_time(make_bench: MakeBench) -> None:
    """The deadline is for the next byte, not for the whole."""
    bench = make_bench("* test", client_body_timeout=30.0)
    client = bench.client(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n")
    bench.until(lambda: bench.driver.counts.requests_count)
    (conn,) = busy(bench)
    for byte in b"abc":
        conn.active_at -= 29.0
        client.send(bytes([byte]))
        bench.until(lambda: conn.active_at > bench.loop.time() - 5.0)
        pass_time(bench, 1.5)
    bench.until(lambda: client.received.endswith(TEST_ANSWER))


def test_origin_that_takes_its_time_is_no_fault_of_the_client(bench: WorkerBench) -> None:
    """Neither while it answers nor while it does not take the body."""
    body = bytes(9_000_000)
    client = bench.client(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:PREFETCH_BYTES])
    origin = bench.origin(ends=body[:PREFETCH_BYTES])
    origin.transport.pause_reading()
    client.sock.settimeout(0.0)
    rest = body[PREFETCH_BYTES:]
    while all(conn.is_writable for conn in bench.driver.pool._open):
        rest = rest[client.sock.send(rest[:100_000]) :]
        bench.turn()
    pass_time(bench, bench.settings.client_body_timeout + 1)
    assert bench.driver.sockets.count == 1
    origin.transport.abort()
    bench.until(lambda: client.is_closed)


def test_reader_that_reads_a_little_keeps_its_response(make_bench: MakeBench) -> None:
    """`send_timeout` is for any progress at all."""
    bench = make_bench(send_timeout=30.0)
    client = bench.client(GET, receive_bytes=4096)
    client.is_reading = False
    bench.origin().send(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + bytes(9_000_000))
    bench.until(lambda: any(conn.is_paused for conn in bench.driver.pool._open))
    backlog = next(iter(bench.driver.sockets.backlogs.values()))
    (conn,) = busy(bench)
    now = bench.loop.time()
    for _ in range(3):
        waiting_bytes = backlog.bytes_count
        while backlog.bytes_count == waiting_bytes:
            client.sock.recv(1000)
            bench.turn()
        now += 31.0
        conn.on_deadline(now)
        assert bench.driver.sockets.count == 1
    conn.on_deadline(now + 31.0)
    assert bench.driver.sockets.count == 0


def test_short_keepalive_timeout_closes_without_a_word(make_bench: MakeBench) -> None:
    """Shorter than the time after which a connection shrinks."""
    bench = make_bench("* test", keepalive_timeout=2.0)
    client = bench.client(b"GET / HTTP/1.1\r\n\r\n")
    bench.until(lambda: client.received.endswith(TEST_ANSWER))
    received = bytes(client.received)
    pass_time(bench, 1.0)
    assert bench.driver.sockets.count == 1
    pass_time(bench, 2.5)
    bench.until(lambda: client.is_closed)
    assert client.received == received


def test_client_between_two_requests_is_not_forgotten_for_its_last_body(make_bench: MakeBench) -> None:
    """Whatever it waited for before: its deadline is now that of an idle connection."""
    bench = make_bench("* test", client_body_timeout=1000.0)
    client = bench.client(b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n")
    bench.until(lambda: bench.driver.counts.requests_count)
    bench.exchange(client, b"a", TEST_ANSWER)
    pass_time(bench, SHRINK_S + 0.5)
    assert not busy(bench)


def test_head_behind_a_body_does_not_have_the_time_of_the_body(make_bench: MakeBench) -> None:
    """A deadline that is too late is moved, one that is too early is looked at again."""
    bench = make_bench("* test", client_header_timeout=30.0, client_body_timeout=1000.0)
    client = bench.client(b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n")
    bench.until(lambda: bench.driver.counts.requests_count)
    client.send(b"aGET / HT")
    bench.until(lambda: client.received.endswith(TEST_ANSWER))
    pass_time(bench, 31.0)
    bench.until(lambda: client.is_closed)
    assert b"HTTP/1.0 408 " in client.received


def test_body_behind_a_slow_head_has_its_own_time(make_bench: MakeBench) -> None:
    """What the head took of its time is not the body's."""
    bench = make_bench("* test", client_header_timeout=30.0, client_body_timeout=30.0)
    client = bench.client(b"POST / HTTP/1.1\r\n")
    bench.until(lambda: busy(bench))
    (conn,) = busy(bench)
    conn.active_at -= 29.0
    client.send(b"Content-Length: 1\r\n\r\n")
    bench.until(lambda: bench.driver.counts.requests_count)
    pass_time(bench, 29.0)
    bench.exchange(client, b"a", TEST_ANSWER)


def test_client_that_sends_without_a_pause_is_never_late(make_bench: MakeBench) -> None:
    """Its turn is due again and again, and it is not waited for."""
    bench = make_bench("* test")
    client = bench.client(b"GET / HTTP/1.1\r\n\r\n" * 1000)
    bench.until(lambda: busy(bench) and busy(bench)[0]._is_turn_due)
    (conn,) = busy(bench)
    conn.on_deadline(bench.loop.time() + 10_000.0)
    bench.until(lambda: client.received.count(TEST_ANSWER) == 1000)
