"""Clients between requests and clients that are let go."""

import logging

import pytest

from gripproxy_worker.client_conn import ClientConn
from gripproxy_worker.client_patience import SHRINK_S
from gripproxy_worker.idle_conn import CLOSING_MAX_S, LINGER_MAX_S, ClosingConn, IdleConn
from tests.worker.bench import WorkerBench
from tests.worker.conftest import MakeBench

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TEST_ANSWER = b"Hello from the Pushpin test handler!\n"


def pass_time(bench: WorkerBench, seconds: float) -> None:
    """Let every deadline of the next `seconds` come."""
    now = bench.loop.time() + seconds
    for record in bench.driver.wheel.due(now, 1000):
        record.on_deadline(now)


def test_client_that_says_nothing_is_closed(bench: WorkerBench) -> None:
    client = bench.client()
    pass_time(bench, bench.settings.keepalive_timeout - 2)
    assert bench.driver.sockets.count == 1
    pass_time(bench, bench.settings.keepalive_timeout + 2)
    bench.until(lambda: client.is_closed)


def test_connection_shrinks_between_requests(make_bench: MakeBench) -> None:
    """A client that is in no hurry owns no parser and no buffer; a busy one keeps them."""
    bench = make_bench("* test")
    client = bench.client(b"GET / HTTP/1.1\r\n\r\n")
    bench.until(lambda: client.received.endswith(TEST_ANSWER))
    pass_time(bench, SHRINK_S - 1)
    assert [type(record) for record in bench.driver.sockets.records if record is not None] == [ClientConn]
    pass_time(bench, SHRINK_S + 1)
    assert [type(record) for record in bench.driver.sockets.records if record is not None] == [IdleConn]
    bench.exchange(client, b"GET / HTTP/1.1\r\n\r\n", TEST_ANSWER)
    pass_time(bench, SHRINK_S + 2)
    pass_time(bench, bench.settings.keepalive_timeout + 1)
    bench.until(lambda: client.is_closed)


def test_connection_shrinks_after_a_request_that_came_in_parts(bench: WorkerBench) -> None:
    """The deadline that it had while its body was awaited is half an hour away."""
    client = bench.client(b"POST / HTTP/1.1\r\nContent-Length: 10002\r\n\r\n" + b"ab" * 5000)
    bench.origin(ends=b"ab")
    client.send(b"cd")
    bench.origin(ends=b"cd").send(OK)
    bench.until(lambda: client.received == OK)
    pass_time(bench, SHRINK_S + 1)
    assert [type(record) for record in bench.driver.sockets.records if record is not None] == [IdleConn]


def test_slow_request_does_not_shrink(bench: WorkerBench) -> None:
    """Its client may be asked to wait for as long as the origin likes."""
    client = bench.client(b"GET / HTTP/1.1\r\n\r\n")
    bench.origin().send(OK)
    bench.until(lambda: client.received == OK)
    bench.origins[0].received = bytearray()
    client.send(b"GET / HTTP/1.1\r\n\r\n")
    bench.origin()
    for record in bench.driver.wheel.due(bench.loop.time() + bench.settings.keepalive_timeout + 1, 100):
        if not hasattr(record, "asker"):
            record.on_deadline(bench.loop.time() + bench.settings.keepalive_timeout + 1)
    bench.origins[0].send(OK)
    bench.until(lambda: client.received == OK + OK)


def test_bare_line_ends_between_requests_are_skipped(make_bench: MakeBench) -> None:
    """Some old clients send one after a body."""
    bench = make_bench("* test")
    client = bench.client(b"\r\n\r\n")
    bench.exchange(client, b"\r\n\nGET / HTTP/1.1\r\n\r\n", TEST_ANSWER)


def test_refused_client_that_still_sends_gets_its_answer(bench: WorkerBench) -> None:
    """Closing with unread input would make the kernel throw the answer away."""
    client = bench.client(b"GET / HTTP/9.9\r\n\r\n" + b"x" * 200_000)
    bench.until(lambda: client.is_closed)
    assert client.received.startswith(b"HTTP/1.0 505 ")


@pytest.mark.parametrize("lines", [b"Authorization: Basic s3cr3t\0\r\n", b"Authorization: Basic\r\n s3cr3t\r\n"])
def test_log_does_not_show_the_header_that_was_refused(
    bench: WorkerBench, lines: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be a password. Its client is told, as it knows it."""
    with caplog.at_level(logging.INFO):
        client = bench.client(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n")
        bench.until(lambda: b"s3cr3t" in client.received)
    assert "Failed to parse request: invalid header" in caplog.text
    assert "s3cr3t" not in caplog.text


def test_refused_client_that_does_not_leave_is_reset(bench: WorkerBench) -> None:
    bench.client(b"bad\r\n\r\n").is_reading = False
    bench.until(lambda: any(isinstance(record, ClosingConn) for record in bench.driver.sockets.records))
    pass_time(bench, CLOSING_MAX_S + 1)
    assert bench.driver.sockets.count == 0


def test_slow_reader_gets_its_last_answer_whole(bench: WorkerBench) -> None:
    """The short deadline begins when everything is written: a response may take longer than that."""
    client = bench.client(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", receive_bytes=4096)
    client.is_reading = False
    body = b"x" * 50_000
    bench.origin().send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    bench.until(lambda: any(isinstance(record, ClosingConn) for record in bench.driver.sockets.records))
    pass_time(bench, CLOSING_MAX_S + 1)
    client.is_reading = True
    bench.until(lambda: client.is_closed)
    assert client.received.endswith(body)


def test_refused_client_may_send_for_a_while(bench: WorkerBench) -> None:
    """An upload is not over at once because we do not want it; but it must be over some time."""
    client = bench.client(b"bad\r\n\r\n")
    bench.until(lambda: any(isinstance(record, ClosingConn) for record in bench.driver.sockets.records))
    rest = bytes(8_000_000)
    while rest:
        try:
            rest = rest[client.sock.send(rest) :]
        except BlockingIOError:
            bench.turn()
    conn = next(record for record in bench.driver.sockets.records if isinstance(record, ClosingConn))
    began_at = bench.loop.time()
    while bench.loop.time() < began_at + 0.02:
        bench.turn()
    client.send(b"more")
    bench.until(lambda: conn._active_at > began_at)
    conn.on_deadline(began_at + CLOSING_MAX_S)
    assert bench.driver.sockets.count == 1
    conn._active_at = began_at + LINGER_MAX_S
    conn.on_deadline(began_at + LINGER_MAX_S + 1)
    assert bench.driver.sockets.count == 0
