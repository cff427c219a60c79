"""An origin's response, whatever comes and wherever it is cut off, over a transport that only writes down."""

import pytest

from gripproxy.protocol.http1 import BodyFraming
from gripproxy_worker.origin_conn import HEADERS_MAX_COUNT
from tests.worker.origin_bench import OriginBench

SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nT: r\r\n\r\n"
EMPTY = b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"
HEAD_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + SIZED


@pytest.mark.parametrize(
    ("response", "status", "body", "is_head"),
    [
        (SIZED, 200, b"hello", False),
        (CHUNKED, 201, b"hello", False),
        (EMPTY, 204, b"", False),
        (INTERIM, 200, b"hello", False),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, b"", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, b"", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, b"", True),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n\0", 200, b"\0", False),
    ],
)
def test_delimited_response_ends_and_frees_a_usable_connection(
    response: bytes, status: int, body: bytes, is_head: bool
) -> None:
    """Whole, in two parts cut anywhere, and byte by byte."""
    bytewise = [response[position : position + 1] for position in range(len(response))]
    splits = [[response[:position], response[position:]] for position in range(1, len(response))]
    for parts in [[response], bytewise, *splits]:
        bench = OriginBench(is_head).receive(*parts)
        statuses, got, ends_count, _ = bench.outcome()
        assert (statuses, got, ends_count, bench.failures) == ([status], body, 1, [])
        # Only the last bytes tell that nothing follows the head of an answer to HEAD.
        assert bench.freed == [not is_head or parts[-1].endswith(b"\r\n\r\n")]
        assert bench.heads[0].reason == response.rpartition(b"HTTP/1.")[2].split(b"\r\n")[0][6:]


def test_interim_headers_are_not_the_responses() -> None:
    """They are swallowed, as in Pushpin."""
    assert OriginBench().receive(INTERIM).heads[0].headers == [(b"Content-Length", b"5")]


@pytest.mark.parametrize("status", [102, 199])
def test_interim_response_with_a_body_is_a_failure(status: int) -> None:
    """It has none (RFC 9110 section 15.2): what it is would be told from the next response by nobody."""
    interim = b"HTTP/1.1 %d Wait\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" % status
    bench = OriginBench().receive(interim + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert (bench.heads, bench.body, bench.ends_count, len(bench.failures)) == ([], b"", 0, 1)


@pytest.mark.parametrize("response", [SIZED, CHUNKED, INTERIM])
def test_response_cut_off_anywhere_is_a_failure(response: bytes) -> None:
    """Before its head nothing was said to the client; after it the client must be cut off too."""
    for position in range(len(response)):
        bench = OriginBench()
        if position:
            bench.receive(response[:position])
        bench.origin.connection_lost(None)
        assert len(bench.failures) == 1 and bench.ends_count == 0
        assert ("before" in bench.failures[0]) is (not bench.heads)
        assert bench.origin.has_answered is (position > 0)
        assert bench.freed == [False]


def test_end_of_file_ends_an_undelimited_body() -> None:
    bench = OriginBench().receive(b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo")
    assert bench.outcome() == ([200], b"hello", 0, [])
    bench.origin.connection_lost(None)
    assert bench.outcome() == ([200], b"hello", 1, [False])


def test_reset_does_not_end_an_undelimited_body() -> None:
    """What is missing cannot be known."""
    bench = OriginBench().receive(b"HTTP/1.1 200 OK\r\n\r\nhel")
    bench.origin.connection_lost(ConnectionResetError())
    assert (bench.ends_count, len(bench.failures)) == (0, 1)


@pytest.mark.parametrize(
    "response",
    [
        b"garbage\r\n\r\n",
        b"\0",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 099 No\r\n\r\n",
        b"HTTP/1.1 1000 No\r\n\r\n",
        b"HTTP/1.1 200 O\0K\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        b"HTTP/1.1 200 OK\nA: b\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_garbage_fails_once_and_closes(response: bytes) -> None:
    bench = OriginBench().receive(response)
    bench.origin.connection_lost(None)
    assert (len(bench.failures), bench.ends_count, bench.transport.is_aborted) == (1, 0, True)


@pytest.mark.parametrize(
    ("response", "extra", "is_head"),
    [
        (SIZED, b"X", False),
        (SIZED, SIZED, False),
        (SIZED, b"HTTP/1.1 3", False),
        (CHUNKED, b"HTTP/1.1 100 Continue\r\n\r\n", False),
        (EMPTY, b"hello", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"hello", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", True),
    ],
)
def test_bytes_after_the_end_spoil_the_connection_and_nothing_else(
    response: bytes, extra: bytes, is_head: bool
) -> None:
    """They would be taken for the answer to the next request, which may be another client's."""
    bench = OriginBench(is_head).receive(response + extra)
    assert (bench.ends_count, bench.failures, len(bench.heads)) == (1, [], 1)
    assert bench.freed == [False] or bench.transport.is_aborted
    later = OriginBench(is_head).receive(response, extra)
    assert later.transport.is_aborted and later.failures == []


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_origin_that_says_so_is_not_used_again(response: bytes) -> None:
    assert OriginBench().receive(response).freed == [False]


def test_upgrade_offer_in_a_plain_response_is_no_upgrade() -> None:
    """Apache offers h2c with every response."""
    bench = OriginBench().receive(
        b"HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok"
    )
    assert bench.outcome() == ([200], b"ok", 1, [True])


def test_endless_head_is_a_failure() -> None:
    bench = OriginBench().receive(b"HTTP/1.1 200 OK\r\n", *[b"A: %s\r\n" % (b"a" * 1000)] * 300)
    assert bench.failures == ["its response head exceeds 262144 bytes"]


@pytest.mark.parametrize("count", [HEADERS_MAX_COUNT - 1, HEADERS_MAX_COUNT])
@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 103 Early Hints\r\n"])
def test_headers_are_counted(count: int, before: bytes) -> None:
    """Small ones are many in a head, and each of them costs time that the other clients wait for."""
    headers = b"A: b\r\n" * count
    response = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    if before:
        response = before + headers + b"\r\n" + response
    else:
        response = response.replace(b"\r\n\r\n", b"\r\n" + headers + b"\r\n")
    bench = OriginBench().receive(response)
    is_refused = count == HEADERS_MAX_COUNT
    assert bench.failures == (["its response has more than 1000 headers"] if is_refused else [])
    assert bench.ends_count == (not is_refused)


def test_trailers_are_counted_with_the_headers() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
    bench = OriginBench().receive(head + b"A: b\r\n" * HEADERS_MAX_COUNT + b"\r\n")
    assert bench.failures == ["its response has more than 1000 headers"]


@pytest.mark.parametrize(
    "barren", [b"0\r\nX: " + b"a" * 300_000, b"0\r\n" + b"X: %s\r\n" % (b"a" * 1000) * 500, b"1;" + b"a" * 300_000]
)
def test_endless_chunk_overhead_is_a_failure(barren: bytes) -> None:
    """Trailers and chunk extensions bring no content, so nothing slows them down: they filled 800 MB in seconds."""
    bench = OriginBench().receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", barren)
    assert bench.failures == ["its response chunk overhead exceeds 262144 bytes"]


def test_large_body_in_tiny_chunks_is_no_endless_overhead() -> None:
    """Only what comes without any content counts."""
    bench = OriginBench().receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    bench.receive(*[b"1\r\na\r\n" * 10_000] * 10)
    bench.receive(b"0\r\n\r\n")
    assert (len(bench.body), bench.failures, bench.freed) == (100_000, [], [True])


def test_trailer_is_not_a_header() -> None:
    """What decides about a hold came with the head; a trailer must not change it (RFC 9110 section 6.5.1)."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nGrip-Hold: stream\r\n\r\n"
    bench = OriginBench().receive(head, b"1\r\na\r\n0\r\nGrip-Channel: x\r\n\r\n")
    assert bench.heads[0].headers == [(b"Transfer-Encoding", b"chunked"), (b"Grip-Hold", b"stream")]
    assert bench.freed == [True]


def test_asker_may_ask_elsewhere_from_the_end() -> None:
    """By then this connection has let it go: a later failure here is not its failure there."""
    bench = OriginBench().receive(SIZED)
    bench.origin.fail("late")
    bench.origin.connection_lost(None)
    assert bench.failures == []


def test_connection_can_be_asked_again() -> None:
    bench = OriginBench().receive(SIZED)
    bench.ask(b"again")
    assert not bench.origin.has_answered
    bench.receive(CHUNKED)
    assert bench.outcome() == ([200, 201], b"hellohello", 2, [True, True])
    assert bench.transport.written == b"requestagain"


@pytest.mark.parametrize("first", [SIZED, CHUNKED, EMPTY, INTERIM, HEAD_ANSWER])
@pytest.mark.parametrize("second", [SIZED, CHUNKED, EMPTY, INTERIM, HEAD_ANSWER])
def test_nothing_of_a_response_is_left_for_the_next(first: bytes, second: bytes) -> None:
    """Both are parsed by the same object: the second must be what it is on a new connection."""
    alone = OriginBench(second is HEAD_ANSWER).receive(second)
    bench = OriginBench(first is HEAD_ANSWER).receive(first)
    bench.heads.clear()
    bench.body = b""
    bench.ask(b"again", second is HEAD_ANSWER)
    bench.receive(second)
    assert (bench.heads, bench.body, bench.ends_count) == (alone.heads, alone.body, 2)
    assert (bench.freed, bench.failures) == ([True, True], [])


def test_body_follows_the_head_that_waits_for_the_end_of_the_turn() -> None:
    bench = OriginBench(is_asked=False)
    bench.origin.ask(bench, b"head", is_head=False)
    assert bench.transport.written == b""
    bench.origin.send(b"body")
    bench.outbox.flush()
    assert bench.transport.written == b"headbody"


def test_connection_that_was_closed_before_the_end_of_the_turn_is_not_written_to() -> None:
    """A closed transport does not take it kindly."""
    bench = OriginBench(is_asked=False)
    bench.origin.ask(bench, b"head", is_head=False)
    bench.origin.abandon()
    bench.outbox.flush()
    assert bench.transport.written == b""


def test_silent_origin_is_not_taken_for_a_stale_connection() -> None:
    """Asking again would double the wait."""
    bench = OriginBench()
    bench.origin.is_reused = True
    bench.origin.fail("it was silent")
    assert not bench.origin.is_reused and bench.failures == ["it was silent"]


def test_abandoned_connection_tells_nobody() -> None:
    bench = OriginBench()
    bench.origin.abandon()
    bench.origin.data_received(SIZED)
    bench.origin.connection_lost(None)
    assert bench.outcome() == ([], b"", 0, [False]) and bench.failures == []


def test_unasked_bytes_close_the_connection() -> None:
    bench = OriginBench(is_asked=False).receive(b"x")
    assert bench.transport.is_aborted


def test_writing_resumes_with_the_asker() -> None:
    bench = OriginBench()
    bench.origin.pause_writing()
    assert not bench.origin.is_writable
    bench.origin.resume_writing()
    assert bench.origin.is_writable and bench.writables_count == 1


def test_reading_pauses_and_resumes() -> None:
    bench = OriginBench()
    bench.origin.pause_reading()
    assert bench.origin.is_paused and not bench.transport.is_fed
    bench.origin.resume_reading()
    assert not bench.origin.is_paused and bench.transport.is_fed


def test_no_body_is_named_none() -> None:
    assert OriginBench().receive(EMPTY).heads[0].framing is BodyFraming.NONE


SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def test_what_follows_a_101_is_none_of_http() -> None:
    """Whole and cut anywhere: the frames behind it wait until somebody takes the connection over."""
    stream = INTERIM[: INTERIM.index(SIZED)] + SWITCHED + b"\x81\x05hello"
    splits = [[stream[:position], stream[position:]] for position in range(1, len(stream))]
    for parts in [[stream], *splits]:
        bench = OriginBench(is_asked=False)
        bench.origin.ask(bench, b"request", False, is_websocket=True)
        bench.outbox.flush()
        bench.receive(*parts)
        assert [head.status for head in bench.heads] == [101] and bench.heads[0].headers[0] == (
            b"Upgrade",
            b"websocket",
        )
        assert not bench.failures and not bench.freed and bench.ends_count == 0
        assert bench.origin._switched_input == b"\x81\x05hello"


@pytest.mark.parametrize(
    ("answer", "is_websocket"),
    [
        (SWITCHED, False),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x05hello", True),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05hello", True),
    ],
)
def test_switch_that_is_none_fails(answer: bytes, is_websocket: bool) -> None:
    """Nobody asked for it, or it is not said what it leads to."""
    bench = OriginBench(is_asked=False)
    bench.origin.ask(bench, b"request", False, is_websocket=is_websocket)
    bench.outbox.flush()
    bench.receive(answer)
    assert len(bench.failures) == 1 and not bench.heads and bench.transport.is_aborted
