"""A route's next target takes over a request as it was sent, or none does."""

import pytest

from gripproxy.scoreboard import Field
from gripproxy_worker.client_conn import REPLAY_MAX_BYTES
from tests.worker.conftest import MakeBench

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
LARGE = bytes(range(256)) * 4 * (REPLAY_MAX_BYTES // 500)
ERROR = b"Error while proxying to origin.\n"


@pytest.mark.parametrize(
    "parts",
    [
        [b"whole"],
        [b"in ", b"two parts"],
        [b"x" * 9_999, b"y" * 40_000, b"z" * 2],
        [LARGE],
        [LARGE[:10], LARGE[10:]],
    ],
    ids=len,
)
@pytest.mark.parametrize("is_chunked", [False, True])
def test_next_target_gets_the_whole_body(make_bench: MakeBench, parts: list[bytes], is_chunked: bool) -> None:
    """What the first one was about to get when it turned out to be down, too; the reference loses that."""
    bench = make_bench("* {dead} {dead} {origin}")
    body = b"".join(parts)
    framing = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % len(body)
    client = bench.client(b"POST / HTTP/1.1\r\nHost: h\r\n" + framing + b"\r\n\r\n")
    for part in parts:
        payload = b"%x\r\n%s\r\n" % (len(part), part) if is_chunked else part
        while payload:
            try:
                payload = payload[client.sock.send(payload) :]
            except BlockingIOError:
                bench.turn()
        bench.turn()
    if is_chunked:
        client.send(b"0\r\n\r\n")
    origin = bench.origin(ends=b"0\r\n\r\n" if is_chunked else body[-10:])
    content = bytes(origin.received).partition(b"\r\n\r\n")[2]
    if is_chunked:
        received = b""
        while content:
            size, _, content = content.partition(b"\r\n")
            received += content[: int(size, 16)]
            content = content[int(size, 16) + 2 :]
        content = received
    assert content == body
    origin.send(OK)
    bench.until(lambda: client.received.endswith(b"ok"))


def test_target_that_broke_off_is_the_last_one(make_bench: MakeBench) -> None:
    """It may have done what it was asked to."""
    bench = make_bench("* {origin} {origin}")
    client = bench.client(GET)
    bench.origin().transport.abort()
    bench.until(lambda: client.received.endswith(ERROR))
    assert len(bench.origins) == 1 and client.received.startswith(b"HTTP/1.1 502 ")


def test_untrusted_target_that_leads_inside_is_the_last_one(make_bench: MakeBench) -> None:
    bench = make_bench("*,debug {origin},untrusted {origin}")
    client = bench.client(GET)
    bench.until(lambda: client.received.endswith(b"Error: Origin host/IP blocked.\n"))
    assert bench.origins == [] and client.received.startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize(
    ("routes", "end"), [("* {origin} test", b"test handler!\n"), ("* {origin}", ERROR), ("* {origin} {dead}", ERROR)]
)
def test_target_without_a_free_connection_leads_to_the_next(make_bench: MakeBench, routes: str, end: bytes) -> None:
    """Its connections are with requests that hang; nobody waits for these for ever."""
    bench = make_bench(routes, connections_max=1)
    bench.client(GET)
    bench.origin()
    waiting = bench.client(GET)
    bench.until(lambda: len(bench.driver.pool._line) == 1)
    now = bench.loop.time() + bench.settings.origin_queue_timeout + 1
    for record in bench.driver.wheel.due(now, 1000):
        record.on_deadline(now)
    # With the pool full, the last target has to be waited for too.
    while bench.driver.pool._line:
        now += bench.settings.origin_queue_timeout + 1
        for record in bench.driver.wheel.due(now, 1000):
            record.on_deadline(now)
    bench.until(lambda: waiting.received.endswith(end))
    assert bench.row[Field.ORIGIN_UNSERVED] == (2 if "dead" in routes else 1)


def test_client_that_leaves_while_it_waits_gives_up_its_place(make_bench: MakeBench) -> None:
    bench = make_bench(connections_max=1)
    first = bench.client(GET)
    bench.origin()
    left, last = bench.client(GET), bench.client(GET)
    bench.until(lambda: len(bench.driver.pool._line) == 2)
    left.close()
    bench.until(lambda: len(bench.driver.pool._line) == 1)
    bench.answer = OK
    bench.origins[0].send(OK)
    bench.until(lambda: first.received.endswith(b"ok") and last.received.endswith(b"ok"))
