"""A busy client: what it sends goes to the origin, what the origin says comes back, whoever is early, slow or gone."""

import asyncio
import random
import time

import pytest

from gripproxy.scoreboard import Field, Histogram, read_histogram
from gripproxy_worker.client_conn import PREFETCH_BYTES
from tests.worker.bench import WorkerBench
from tests.worker.conftest import MakeBench

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TEST_ANSWER = b"Hello from the Pushpin test handler!\n"
FIRST = bytes(range(250)) * (PREFETCH_BYTES // 250)  # of a body: enough for the origin to be asked
CHUNKED_HEAD = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_response_is_relayed_and_both_connections_are_kept(bench: WorkerBench) -> None:
    """The plain case, twice on the same two connections."""
    client = bench.client(GET)
    bench.origin().send(OK)
    bench.until(lambda: client.received == OK)
    bench.origins[0].received = bytearray()
    client.send(GET)
    bench.origin().send(OK)
    bench.until(lambda: client.received == OK + OK)
    assert len(bench.origins) == 1


def test_request_split_at_every_byte_is_one_request(make_bench: MakeBench) -> None:
    """Edge-triggered reading must not lose a wake-up, wherever the network cuts."""
    bench = make_bench("* test")
    request = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
    for position in range(1, len(request)):
        client = bench.client(request[:position])
        bench.turn()
        client.send(request[position:])
        bench.until(lambda client=client: client.received.endswith(TEST_ANSWER))  # type: ignore[misc]
        assert client.received.count(b"HTTP/1.1 200 OK\r\n") == 1


@pytest.mark.parametrize("requests_count", [2, 1000])
def test_pipelined_requests_to_the_test_target_are_answered_in_order(
    make_bench: MakeBench, requests_count: int
) -> None:
    """A thousand requests in one read must neither recurse nor stop half-way when the client reads slowly."""
    bench = make_bench("* test")
    client = bench.client(b"".join(b"GET /?%d HTTP/1.1\r\n\r\n" % number for number in range(requests_count)))
    bench.until(lambda: client.received.count(TEST_ANSWER) == requests_count)
    assert client.received.count(b"HTTP/1.1 200 OK") == requests_count


def test_thousand_pipelined_requests_reach_the_origin_in_order(bench: WorkerBench) -> None:
    """Every answer starts the next request from inside the last one's callbacks."""
    bench.answer = OK
    client = bench.client(b"".join(b"GET /%d HTTP/1.1\r\n\r\n" % number for number in range(1000)))
    bench.until(lambda: client.received.count(b"ok") == 1000)
    assert len(bench.origins) <= 2


def test_pipelined_answers_wait_for_a_slow_reader(make_bench: MakeBench) -> None:
    """A client that sends and does not read must not fill our memory: its next request waits in its buffer."""
    bench = make_bench("* test")
    client = bench.client(receive_bytes=4096)
    client.is_reading = False
    client.send(b"GET / HTTP/1.1\r\n\r\n" * 2000)
    bench.until(lambda: bench.driver.sockets.backlogs)
    # The answers of one turn are written together.
    assert all(backlog.bytes_count < 4000 for backlog in bench.driver.sockets.backlogs.values())
    client.is_reading = True
    bench.until(lambda: client.received.count(TEST_ANSWER) == 2000)


def test_slow_reader_stops_the_origin(bench: WorkerBench) -> None:
    """A response larger than memory flows at the client's pace, and comes whole."""
    body = random.Random(1).randbytes(10_000_000)
    client = bench.client(GET, receive_bytes=4096)
    client.is_reading = False
    origin = bench.origin()
    origin.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    bench.until(lambda: any(conn.is_paused for conn in bench.driver.pool._open))
    assert sum(backlog.bytes_count for backlog in bench.driver.sockets.backlogs.values()) < 1_000_000
    assert origin.transport.get_write_buffer_size() > 0
    client.is_reading = True
    bench.until(lambda: client.received.endswith(body))


def test_cut_comes_after_what_was_said(bench: WorkerBench) -> None:
    """An origin's part of a response and its end may come in one turn: the client gets the part."""
    client = bench.client(GET)
    origin = bench.origin()
    conn = next(iter(bench.driver.pool._open))
    conn.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart")
    conn.fail("in the same turn")
    bench.until(lambda: client.is_closed)
    assert client.received.endswith(b"\r\n\r\npart")
    bench.until(lambda: origin.is_closed)


def test_last_response_is_written_before_the_end(bench: WorkerBench) -> None:
    """All of it, although the client takes little at a time."""
    client = bench.client(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", receive_bytes=4096)
    client.is_reading = False
    body = bytes(range(250)) * 60
    bench.origin().send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    bench.until(lambda: bench.driver.sockets.backlogs)
    client.is_reading = True
    bench.until(lambda: client.is_closed)
    assert client.received.endswith(body)


def test_refusal_comes_after_the_answer_before_it(make_bench: MakeBench) -> None:
    """A good request and a bad one in one read: one answer each, in order."""
    bench = make_bench("* test")
    client = bench.client(b"GET / HTTP/1.1\r\n\r\nbad\r\n\r\n")
    bench.until(lambda: client.is_closed)
    assert client.received.startswith(b"HTTP/1.1 200 OK\r\n") and client.received.count(b"HTTP/1.") == 2


def test_client_that_never_reads_is_closed_at_last(bench: WorkerBench) -> None:
    """A client that stopped reading in the middle of a response would else stay forever, with its origin."""
    client = bench.client(GET, receive_bytes=4096)
    client.is_reading = False
    bench.origin().send(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + bytes(9_000_000))
    bench.until(lambda: any(conn.is_paused for conn in bench.driver.pool._open))
    for record in bench.driver.wheel.due(bench.loop.time() + bench.settings.send_timeout + 1, 1000):
        if not hasattr(record, "asker"):
            record.on_deadline(bench.loop.time() + bench.settings.send_timeout + 1)
    bench.until(lambda: bench.driver.sockets.count == 0 and bench.origins[0].is_closed)


def test_large_request_body_flows_at_the_pace_of_the_origin(bench: WorkerBench) -> None:
    """What the origin does not take stays with the client, and nothing of it is lost."""
    body = random.Random(1).randbytes(10_000_000)
    client = bench.client(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:PREFETCH_BYTES])
    origin = bench.origin(ends=body[:PREFETCH_BYTES])
    origin.transport.pause_reading()
    rest = memoryview(body)[PREFETCH_BYTES:]
    is_full = 0
    while is_full < 20:
        try:
            rest = rest[client.sock.send(rest) :]
            is_full = 0
        except BlockingIOError:
            is_full += 1
        bench.turn()
    assert not any(conn.is_writable for conn in bench.driver.pool._open)
    origin.transport.resume_reading()
    while rest:
        try:
            rest = rest[client.sock.send(rest) :]
        except BlockingIOError:
            bench.turn()
    bench.until(lambda: len(origin.received) > len(body) and origin.received.endswith(body))
    assert origin.received.index(body[:100]) == len(origin.received) - len(body)
    origin.send(OK)
    bench.until(lambda: client.received == OK)


def test_chunked_body_is_framed_anew(bench: WorkerBench) -> None:
    """The client's chunk extensions and trailers end here."""
    client = bench.client(CHUNKED_HEAD + b"3;x=y\r\nabc\r\n" + b"2710\r\n" + FIRST + b"\r\n")
    origin = bench.origin(ends=b"2713\r\nabc" + FIRST + b"\r\n")
    client.send(b"2\r\nde\r\n0\r\nT: r\r\n\r\n")
    assert bench.origin(ends=b"2\r\nde\r\n0\r\n\r\n").received.count(b"Transfer-Encoding: chunked") == 1
    origin.send(OK)
    bench.until(lambda: client.received == OK)


def test_early_answer_spoils_both_connections(bench: WorkerBench) -> None:
    """The next request on that origin connection would be read as the rest of the unsent body."""
    client = bench.client(b"POST / HTTP/1.1\r\nContent-Length: 10004\r\n\r\nabc" + FIRST)
    bench.origin(ends=b"abc" + FIRST).send(OK)
    bench.until(lambda: client.is_closed)
    assert client.received == b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
    bench.until(lambda: bench.origins[0].is_closed)
    bench.client(GET)
    bench.origin(1)


def test_early_instruct_answer_spoils_the_origin_connection(bench: WorkerBench) -> None:
    """The same when the response is gathered for the engine."""
    client = bench.client(b"POST / HTTP/1.1\r\nContent-Length: 10004\r\n\r\nabc" + FIRST)
    bench.origin(ends=b"abc" + FIRST).send(b"HTTP/1.1 200 OK\r\nGrip-Status: 201\r\nContent-Length: 2\r\n\r\nok")
    bench.until(lambda: client.is_closed and bench.origins[0].is_closed)
    assert client.received.startswith(b"HTTP/1.1 201 ")


def test_origin_that_dies_in_the_middle_cuts_the_client_off(bench: WorkerBench) -> None:
    """A well-formed end of a broken response would be a lie."""
    client = bench.client(GET)
    origin = bench.origin()
    origin.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
    bench.until(lambda: client.received.endswith(b"2\r\nok\r\n"))
    origin.transport.close()
    bench.until(lambda: client.is_closed)
    assert not client.received.endswith(b"0\r\n\r\n")


def test_origin_that_dies_before_its_answer_gives_502(bench: WorkerBench) -> None:
    """The client's connection stays usable: its request was whole."""
    client = bench.client(GET)
    bench.origin().transport.close()
    bench.until(lambda: client.received.endswith(b"Error while proxying to origin.\n"))
    assert client.received.startswith(b"HTTP/1.1 502 ")
    client.send(GET)
    bench.origin(1).send(OK)
    bench.until(lambda: client.received.endswith(OK))


def test_second_target_gets_the_whole_request(make_bench: MakeBench) -> None:
    """The first target refused the connection: the body that came already is sent again."""
    bench = make_bench("* {dead} {origin}")
    client = bench.client(b"POST / HTTP/1.1\r\nContent-Length: 10006\r\n\r\nabc" + FIRST)
    origin = bench.origin(ends=b"\r\n\r\nabc" + FIRST)
    client.send(b"def")
    bench.origin(ends=b"\r\n\r\nabc" + FIRST + b"def")
    origin.send(OK)
    bench.until(lambda: client.received.endswith(b"\r\n\r\nok"))


def test_all_targets_dead_is_502(make_bench: MakeBench) -> None:
    bench = make_bench("*,debug {dead}")
    client = bench.client(GET)
    bench.until(lambda: b"Unable to connect to any targets. Tried: 127.0.0.1:" in client.received)


@pytest.mark.parametrize(("method", "is_repeated"), [(b"GET", True), (b"POST", False)])
def test_stale_kept_connection(bench: WorkerBench, method: bytes, is_repeated: bool) -> None:
    """An origin may close a kept connection just when it is used: harmless requests are asked again."""
    client = bench.client(GET)
    bench.origin().send(OK)
    bench.until(lambda: client.received == OK)
    client.received, bench.origins[0].received = bytearray(), bytearray()
    client.send(method + b" /a HTTP/1.1\r\n\r\n")
    bench.origin().transport.abort()
    if is_repeated:
        bench.origin(1).send(OK)
        bench.until(lambda: client.received == OK)
    else:
        bench.until(lambda: client.received.startswith(b"HTTP/1.1 502 "))
        assert len(bench.origins) == 1


def test_client_that_leaves_lets_the_origin_go(bench: WorkerBench) -> None:
    """Nobody wants that response any more."""
    client = bench.client(GET)
    bench.origin()
    client.close()
    bench.until(lambda: bench.origins[0].is_closed)


def test_half_closed_client_counts_as_gone(bench: WorkerBench) -> None:
    """As in Pushpin: the end of the client's input ends its session."""
    client = bench.client(GET)
    bench.origin()
    client.sock.shutdown(1)
    bench.until(lambda: client.is_closed and bench.origins[0].is_closed)
    assert client.received == b""


def test_client_that_leaves_before_the_connection_is_made(bench: WorkerBench) -> None:
    """Its connecting task may not have made its first step yet."""
    for _ in range(3):
        client = bench.client(GET)
        while not bench.core.exchanges:
            bench.driver.sockets.on_ready()
        client.close()
        bench.driver.sockets.on_ready()
        assert not bench.core.exchanges


def test_bad_chunk_after_the_response_began_leaves_no_deadline(bench: WorkerBench) -> None:
    """A forgotten deadline would close whoever gets the same descriptor half an hour later."""
    client = bench.client(CHUNKED_HEAD + b"2710\r\n" + FIRST + b"\r\n")
    origin = bench.origin(ends=FIRST + b"\r\n")
    origin.send(b"HTTP/1.1 200 OK\r\n\r\nbegun")
    bench.until(lambda: b"begun" in client.received)
    client.send(b"zz\r\n")
    bench.until(lambda: client.is_closed)
    assert [record for slot in bench.driver.wheel._slots.values() for record in slot if hasattr(record, "fd")] == []


@pytest.mark.parametrize("is_asking", [False, True])
def test_bad_chunk_before_the_response_is_answered(bench: WorkerBench, is_asking: bool) -> None:
    """Whether the origin was asked already or not."""
    client = bench.client(CHUNKED_HEAD)
    if is_asking:
        client.send(b"2710\r\n" + FIRST + b"\r\n")
        bench.origin(ends=FIRST + b"\r\n")
    client.send(b"zz\r\n")
    bench.until(lambda: client.is_closed)
    assert client.received.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert client.received.endswith(b"Failed to parse request: invalid chunk size\n")
    assert bench.row[Field.CLIENT_ERRORS] == 1
    bench.until(lambda: all(origin.is_closed for origin in bench.origins))


def test_small_body_is_whole_before_the_origin_is_asked(bench: WorkerBench) -> None:
    """A client that is slow with a form or a JSON document must not keep an origin waiting for it, as in Pushpin."""
    client = bench.client(b"POST / HTTP/1.1\r\nContent-Length: 10000\r\n\r\n" + FIRST[:5000])
    client.send(FIRST[5000:-1])
    for _ in range(20):
        bench.turn()
    assert not bench.origins and not bench.core.exchanges
    client.send(FIRST[-1:])
    bench.origin(ends=b"\r\n\r\n" + FIRST).send(OK)
    bench.until(lambda: client.received == OK)


def test_head_of_exactly_the_limit_is_served(make_bench: MakeBench) -> None:
    """8,192 bytes work and 8,193 do not, as in Pushpin."""
    bench = make_bench("* test")
    head = b"GET / HTTP/1.1\r\nA: " + b"a" * 8169
    served = bench.client(head + b"\r\n\r\n")
    refused = bench.client(head + b"a\r\n\r\n")
    bench.until(lambda: TEST_ANSWER in served.received and refused.is_closed)
    assert refused.received.startswith(b"HTTP/1.0 431 ")


def test_continue_is_said_before_the_body(bench: WorkerBench) -> None:
    """The client waits for it, and the origin is not asked for it."""
    client = bench.client(b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    bench.until(lambda: client.received == b"HTTP/1.1 100 Continue\r\n\r\n")
    client.send(b"hi")
    bench.origin(ends=b"\r\n\r\nhi").send(OK)
    bench.until(lambda: client.received.endswith(OK))


def test_old_client_gets_an_unsized_body_until_close(bench: WorkerBench) -> None:
    """HTTP/1.0 knows no chunks."""
    client = bench.client(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    origin = bench.origin()
    origin.send(b"HTTP/1.1 200 OK\r\n\r\nbody")
    origin.transport.close()
    bench.until(lambda: client.is_closed)
    assert client.received == b"HTTP/1.0 200 OK\r\n\r\nbody"


def test_head_gets_a_length_and_no_body(bench: WorkerBench) -> None:
    client = bench.client(b"HEAD / HTTP/1.1\r\n\r\n")
    bench.origin().send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    bench.until(lambda: client.received == b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    bench.origins[0].received = bytearray()
    client.send(GET)
    bench.origin().send(OK)
    bench.until(lambda: client.received.endswith(OK))


def test_second_response_is_not_the_next_clients(bench: WorkerBench) -> None:
    """An origin that says more than it was asked is not used again, and breaks nothing that came after."""
    client = bench.client(GET + GET)
    bench.origin().send(OK + b"HTTP/1.1 666 No\r\nContent-Length: 0\r\n\r\n")
    bench.origin(1).send(OK)
    bench.until(lambda: client.received == OK + OK)
    assert bench.origins[0].is_closed


def test_too_large_instruct_is_502_and_the_next_request_is_served(bench: WorkerBench) -> None:
    """The rest of the response is dropped with its connection."""
    client = bench.client(GET + GET)
    bench.origin().send(b"HTTP/1.1 200 OK\r\nGrip-Hold: response\r\nContent-Length: 200000\r\n\r\n" + bytes(200_000))
    bench.origin(1).send(OK)
    bench.until(lambda: client.received.endswith(OK))
    assert client.received.startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n",
        CHUNKED_HEAD + b"3e8\r\n" + bytes(1000) + b"\r\n1\r\na\r\n",
    ],
)
def test_body_that_is_too_large(make_bench: MakeBench, request_bytes: bytes) -> None:
    """By what it says, or by what came; and nobody is asked to continue with it."""
    bench = make_bench(client_max_body_size=1000)
    client = bench.client(request_bytes)
    bench.until(lambda: client.is_closed)
    assert client.received.startswith(b"HTTP/1.1 413 Content Too Large\r\n")
    assert client.received.endswith(b"\r\n\r\nRequest body size exceeded limit of 1000 bytes.\n")
    assert bench.origins == []


def test_body_that_grows_too_large_on_its_way(make_bench: MakeBench) -> None:
    """The origin has seen the beginning: it must not take that for the whole."""
    bench = make_bench(client_max_body_size=15_000)
    client = bench.client(CHUNKED_HEAD + b"2710\r\n" + FIRST + b"\r\n")
    origin = bench.origin(ends=FIRST + b"\r\n")
    client.send(b"2710\r\n" + FIRST + b"\r\n0\r\n\r\n")
    bench.until(lambda: client.is_closed and origin.is_closed)
    assert client.received.startswith(b"HTTP/1.1 413 ")
    assert not origin.received.endswith(b"0\r\n\r\n")


def test_body_of_just_the_size_is_taken(make_bench: MakeBench) -> None:
    bench = make_bench("* test", client_max_body_size=1000)
    client = bench.client(b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n" + bytes(1000))
    bench.until(lambda: client.received.endswith(TEST_ANSWER))
    bench.exchange(client, CHUNKED_HEAD + b"3e8\r\n" + bytes(1000) + b"\r\n0\r\n\r\n", TEST_ANSWER)


def test_answer_with_413_is_read_by_a_client_that_sends_on(make_bench: MakeBench) -> None:
    """A reset would reach it first."""
    bench = make_bench("* test", client_max_body_size=1000)
    client = bench.client(b"POST / HTTP/1.1\r\nContent-Length: 900000\r\n\r\n")
    rest = bytes(900_000)
    while rest:
        try:
            rest = rest[client.sock.send(rest) :]
        except BlockingIOError:
            bench.run(asyncio.sleep(0))
    bench.until(lambda: client.is_closed)
    assert client.received.endswith(b"exceeded limit of 1000 bytes.\n")


def test_chunks_of_one_read_leave_as_one(bench: WorkerBench) -> None:
    """A chunk of one byte costs a client six, and us a turn of the loop for a few ten thousand of them."""
    client = bench.client(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    origin = bench.origin()
    origin.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 5000)
    bench.until(lambda: client.received.count(b"a") >= 5000)
    assert len(client.received) < 6000
    origin.send(b"1\r\nb\r\n")
    bench.until(lambda: client.received.endswith(b"\r\n1\r\nb\r\n"))
    origin.send(b"0\r\n\r\n")
    bench.until(lambda: client.received.endswith(b"\r\nb\r\n0\r\n\r\n"))


def test_time_of_an_origin_is_measured_to_its_head(bench: WorkerBench) -> None:
    """What it takes over its body is the body's size, not its slowness. A connection that was lost counts in it."""
    client = bench.client(GET)
    bench.origin().send(OK)
    bench.until(lambda: client.received == OK)
    _, before_s = read_histogram(bench.row, Histogram.ORIGIN)
    bench.origins[0].received = bytearray()
    client.send(GET)
    bench.until(lambda: bench.origins[0].received)
    asked_at = time.monotonic()
    bench.run(asyncio.sleep(0.02))
    bench.origins[0].transport.abort()
    lowest_s = time.monotonic() - asked_at
    bench.origin(1).send(OK[:-2])
    bench.until(lambda: client.received == OK + OK[:-2])
    counts, after_s = read_histogram(bench.row, Histogram.ORIGIN)
    assert sum(counts) == 2 and after_s - before_s >= lowest_s
    bench.origins[1].send(b"ok")
    bench.until(lambda: client.received == OK + OK)
    assert read_histogram(bench.row, Histogram.ORIGIN) == (counts, after_s)


def test_origin_that_does_not_answer_has_no_time(make_bench: MakeBench) -> None:
    """How long it took to fail would make the others look slow, or fast."""
    bench = make_bench("* {dead}")
    client = bench.client(GET)
    bench.until(lambda: b" 502 " in client.received)
    assert sum(read_histogram(bench.row, Histogram.ORIGIN)[0]) == 0
