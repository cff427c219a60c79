"""An origin's response, whatever comes and wherever it is cut off, over a transport that only writes down."""

import asyncio
from typing import Any

import pytest

from gripproxy.protocol.http1 import BodyFraming, ResponseHead
from gripproxy_worker.origin_conn import OriginConn
from gripproxy_worker.outbox import Outbox


class Transport(asyncio.Transport):
    """What a connection does to its socket."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_aborted = False
        self.is_fed = True
        self.unsent_bytes = 0

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def write(self, payload: Any) -> None:
        self.written += payload

    def abort(self) -> None:
        self.is_aborted = True

    def is_closing(self) -> bool:
        return self.is_aborted

    def pause_reading(self) -> None:
        self.is_fed = False

    def resume_reading(self) -> None:
        self.is_fed = True


class Bench:
    """Both sides of a connection: who asked, and who takes it back."""

    def __init__(self, is_head: bool = False, is_asked: bool = True) -> None:
        self.transport = Transport()
        self.heads: list[ResponseHead] = []
        self.body = b""
        self.ends_count = 0
        self.failures: list[str] = []
        self.reads_count = 0
        self.writables_count = 0
        self.freed: list[bool] = []
        self.clock = lambda: 5.0
        self.outbox: Outbox[OriginConn] = Outbox(OriginConn.write, lambda flush: None)
        self.origin = OriginConn(("h", 80, False, False, ""), self)
        self.origin.connection_made(self.transport)
        if is_asked:
            self.ask(b"request", is_head)

    def ask(self, payload: bytes, is_head: bool = False) -> None:
        """Ask, and end the loop's turn."""
        self.origin.ask(self, payload, is_head)
        self.outbox.flush()

    def on_origin_free(self, origin: OriginConn, is_reusable: bool) -> None:
        self.freed.append(is_reusable)

    def on_deadline(self, origin: OriginConn, now: float) -> None: ...

    def on_origin_head(self, head: ResponseHead) -> None:
        self.heads.append(head)

    def on_origin_body(self, part: bytes) -> None:
        self.body += part

    def on_origin_end(self) -> None:
        self.ends_count += 1

    def on_origin_failed(self, origin: OriginConn, detail: str) -> None:
        self.failures.append(detail)

    def on_origin_writable(self) -> None:
        self.writables_count += 1

    def on_origin_read(self) -> None:
        self.reads_count += 1

    def receive(self, *parts: bytes) -> "Bench":
        for part in parts:
            if not self.transport.is_aborted:
                self.origin.data_received(part)
        return self

    def outcome(self) -> tuple[list[int], bytes, int, list[bool]]:
        return [head.status for head in self.heads], self.body, self.ends_count, self.freed


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
        bench = Bench(is_head).receive(*parts)
        statuses, got, ends_count, _ = bench.outcome()
        assert (statuses, got, ends_count, bench.failures) == ([status], body, 1, [])
        # Only the last bytes tell that nothing follows the head of an answer to HEAD.
        assert bench.freed == [not is_head or parts[-1].endswith(b"\r\n\r\n")]
        assert bench.heads[0].reason == response.rpartition(b"HTTP/1.")[2].split(b"\r\n")[0][6:]


def test_interim_headers_are_not_the_responses() -> None:
    """They are swallowed, as in Pushpin."""
    assert Bench().receive(INTERIM).heads[0].headers == [(b"Content-Length", b"5")]


@pytest.mark.parametrize("status", [102, 199])
def test_interim_response_with_a_body_is_a_failure(status: int) -> None:
    """It has none (RFC 9110 section 15.2): what it is would be told from the next response by nobody."""
    interim = b"HTTP/1.1 %d Wait\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" % status
    bench = Bench().receive(interim + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert (bench.heads, bench.body, bench.ends_count, len(bench.failures)) == ([], b"", 0, 1)


@pytest.mark.parametrize("response", [SIZED, CHUNKED, INTERIM])
def test_response_cut_off_anywhere_is_a_failure(response: bytes) -> None:
    """Before its head nothing was said to the client; after it the client must be cut off too."""
    for position in range(len(response)):
        bench = Bench()
        if position:
            bench.receive(response[:position])
        bench.origin.connection_lost(None)
        assert len(bench.failures) == 1 and bench.ends_count == 0
        assert ("before" in bench.failures[0]) is (not bench.heads)
        assert bench.origin.has_answered is (position > 0)
        assert bench.freed == [False]


def test_end_of_file_ends_an_undelimited_body() -> None:
    bench = Bench().receive(b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo")
    assert bench.outcome() == ([200], b"hello", 0, [])
    bench.origin.connection_lost(None)
    assert bench.outcome() == ([200], b"hello", 1, [False])


def test_reset_does_not_end_an_undelimited_body() -> None:
    """What is missing cannot be known."""
    bench = Bench().receive(b"HTTP/1.1 200 OK\r\n\r\nhel")
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
    bench = Bench().receive(response)
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
    bench = Bench(is_head).receive(response + extra)
    assert (bench.ends_count, bench.failures, len(bench.heads)) == (1, [], 1)
    assert bench.freed == [False] or bench.transport.is_aborted
    later = Bench(is_head).receive(response, extra)
    assert later.transport.is_aborted and later.failures == []


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_origin_that_says_so_is_not_used_again(response: bytes) -> None:
    assert Bench().receive(response).freed == [False]


def test_upgrade_offer_in_a_plain_response_is_no_upgrade() -> None:
    """Apache offers h2c with every response."""
    bench = Bench().receive(b"HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok")
    assert bench.outcome() == ([200], b"ok", 1, [True])


def test_endless_head_is_a_failure() -> None:
    bench = Bench().receive(b"HTTP/1.1 200 OK\r\n", *[b"A: %s\r\n" % (b"a" * 1000)] * 300)
    assert bench.failures == ["its response head exceeds 262144 bytes"]


@pytest.mark.parametrize(
    "barren", [b"0\r\nX: " + b"a" * 300_000, b"0\r\n" + b"X: a\r\n" * 50_000, b"1;" + b"a" * 300_000]
)
def test_endless_chunk_overhead_is_a_failure(barren: bytes) -> None:
    """Trailers and chunk extensions bring no content, so nothing slows them down: they filled 800 MB in seconds."""
    bench = Bench().receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", barren)
    assert bench.failures == ["its response chunk overhead exceeds 262144 bytes"]


def test_large_body_in_tiny_chunks_is_no_endless_overhead() -> None:
    """Only what comes without any content counts."""
    bench = Bench().receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"1\r\na\r\n" * 10_000] * 10)
    bench.receive(b"0\r\n\r\n")
    assert (len(bench.body), bench.failures, bench.freed) == (100_000, [], [True])


def test_trailer_is_not_a_header() -> None:
    """What decides about a hold came with the head; a trailer must not change it (RFC 9110 section 6.5.1)."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nGrip-Hold: stream\r\n\r\n"
    bench = Bench().receive(head, b"1\r\na\r\n0\r\nGrip-Channel: x\r\n\r\n")
    assert bench.heads[0].headers == [(b"Transfer-Encoding", b"chunked"), (b"Grip-Hold", b"stream")]
    assert bench.freed == [True]


def test_asker_may_ask_elsewhere_from_the_end() -> None:
    """By then this connection has let it go: a later failure here is not its failure there."""
    bench = Bench().receive(SIZED)
    bench.origin.fail("late")
    bench.origin.connection_lost(None)
    assert bench.failures == []


def test_connection_can_be_asked_again() -> None:
    bench = Bench().receive(SIZED)
    bench.ask(b"again")
    assert not bench.origin.has_answered
    bench.receive(CHUNKED)
    assert bench.outcome() == ([200, 201], b"hellohello", 2, [True, True])
    assert bench.transport.written == b"requestagain"


@pytest.mark.parametrize("first", [SIZED, CHUNKED, EMPTY, INTERIM, HEAD_ANSWER])
@pytest.mark.parametrize("second", [SIZED, CHUNKED, EMPTY, INTERIM, HEAD_ANSWER])
def test_nothing_of_a_response_is_left_for_the_next(first: bytes, second: bytes) -> None:
    """Both are parsed by the same object: the second must be what it is on a new connection."""
    alone = Bench(second is HEAD_ANSWER).receive(second)
    bench = Bench(first is HEAD_ANSWER).receive(first)
    bench.heads.clear()
    bench.body = b""
    bench.ask(b"again", second is HEAD_ANSWER)
    bench.receive(second)
    assert (bench.heads, bench.body, bench.ends_count) == (alone.heads, alone.body, 2)
    assert (bench.freed, bench.failures) == ([True, True], [])


def test_body_follows_the_head_that_waits_for_the_end_of_the_turn() -> None:
    bench = Bench(is_asked=False)
    bench.origin.ask(bench, b"head", is_head=False)
    assert bench.transport.written == b""
    bench.origin.send(b"body")
    bench.outbox.flush()
    assert bench.transport.written == b"headbody"


def test_connection_that_was_closed_before_the_end_of_the_turn_is_not_written_to() -> None:
    """A closed transport does not take it kindly."""
    bench = Bench(is_asked=False)
    bench.origin.ask(bench, b"head", is_head=False)
    bench.origin.abandon()
    bench.outbox.flush()
    assert bench.transport.written == b""


def test_silent_origin_is_not_taken_for_a_stale_connection() -> None:
    """Asking again would double the wait."""
    bench = Bench()
    bench.origin.is_reused = True
    bench.origin.fail("it was silent")
    assert not bench.origin.is_reused and bench.failures == ["it was silent"]


def test_abandoned_connection_tells_nobody() -> None:
    bench = Bench()
    bench.origin.abandon()
    bench.origin.data_received(SIZED)
    bench.origin.connection_lost(None)
    assert bench.outcome() == ([], b"", 0, [False]) and bench.failures == []


def test_unasked_bytes_close_the_connection() -> None:
    bench = Bench(is_asked=False).receive(b"x")
    assert bench.transport.is_aborted


def test_writing_resumes_with_the_asker() -> None:
    bench = Bench()
    bench.origin.pause_writing()
    assert not bench.origin.is_writable
    bench.origin.resume_writing()
    assert bench.origin.is_writable and bench.writables_count == 1


def test_reading_pauses_and_resumes() -> None:
    bench = Bench()
    bench.origin.pause_reading()
    assert bench.origin.is_paused and not bench.transport.is_fed
    bench.origin.resume_reading()
    assert not bench.origin.is_paused and bench.transport.is_fed


def test_no_body_is_named_none() -> None:
    assert Bench().receive(EMPTY).heads[0].framing is BodyFraming.NONE


def test_origin_that_answers_before_it_has_read_the_request_is_not_used_again() -> None:
    """It would take the rest of the body for the next request, which may be another client's."""
    bench = Bench()
    bench.transport.unsent_bytes = 1
    bench.receive(SIZED)
    assert (bench.ends_count, bench.freed) == (1, [False])


@pytest.mark.parametrize("is_reused", [True, False])
def test_what_comes_before_the_request_is_sent_is_not_its_answer(is_reused: bool) -> None:
    """Some origins say 408 on a kept connection that they are about to close; others may try worse."""
    bench = Bench(is_asked=False)
    bench.origin.is_reused = is_reused
    bench.origin.ask(bench, b"request", is_head=False)
    bench.origin.data_received(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    assert bench.heads == [] and bench.failures == ["it sent something before it was asked"]
    assert bench.transport.is_aborted and not bench.origin.has_answered
    assert bench.origin.is_reused is is_reused  # a kept one is asked again elsewhere


def test_time_for_a_head_counts_from_its_first_byte() -> None:
    """Else an origin that sends a byte now and then keeps a client waiting for ever."""
    bench = Bench()
    now = 5.0
    bench.clock = lambda: now
    now = 7.0
    bench.receive(b"HTTP/1.1 20")
    now = 9.0
    bench.receive(b"0 OK\r\n")
    assert bench.origin.active_at == 7.0 and bench.origin.is_in_head
    bench.receive(b"Content-Length: 5\r\n\r\n")
    assert bench.origin.active_at == 9.0 and not bench.origin.is_in_head
    now = 11.0
    bench.receive(b"h")
    assert bench.origin.active_at == 11.0


def test_interim_response_gives_the_final_one_its_own_time() -> None:
    """That is what 102 is for."""
    bench = Bench()
    bench.clock = lambda: 9.0
    bench.receive(b"HTTP/1.1 102 Processing\r\n\r\n")
    bench.origin.active_at = 0.0
    bench.receive(b"HTTP/1.1 102 Processing\r\n\r\nHT")
    assert bench.origin.active_at == 9.0


def test_endless_interim_responses_are_a_failure() -> None:
    bench = Bench().receive(*[b"HTTP/1.1 100 Continue\r\n\r\n" * 1000] * 20)
    assert bench.failures == ["its response head exceeds 262144 bytes"] and bench.heads == []


@pytest.mark.parametrize(
    "line",
    [
        b"A: b\rSet-Cookie: c",
        b"A: b\nSet-Cookie: c",
        b"A: b\r\r\nSet-Cookie: c",
        b"A: b\0",
        b"A\r: b",
        b"A b: c",
        b": b",
        b" A: b",
        b"A : b",
        b"A",
    ],
)
def test_header_that_two_readers_could_split_differently_is_refused(line: bytes) -> None:
    """The client, or a cache before it, would see headers or whole responses that the origin never meant."""
    bench = Bench().receive(b"HTTP/1.1 200 OK\r\n" + line + b"\r\nContent-Length: 0\r\n\r\n")
    assert bench.heads == [] and len(bench.failures) == 1


@pytest.mark.parametrize("reason", [b"O\rK", b"O\nK", b"OK\r\r", b"O\0K"])
def test_reason_that_breaks_its_line_is_refused(reason: bytes) -> None:
    bench = Bench().receive(b"HTTP/1.1 200 " + reason + b"\r\nContent-Length: 0\r\n\r\n")
    assert bench.heads == [] and len(bench.failures) == 1


@pytest.mark.parametrize(
    "chunks",
    [
        b"-1\r\n",
        b"0x1\r\na\r\n",
        b"1 \r\na\r\n",
        b"ffffffffffffffff1\r\n",
        b"1\na\n",
        b"1\r\nab\r\n",
        b"1;\n\r\na\r\n",
        b"\r\n",
    ],
)
def test_chunk_that_two_readers_could_measure_differently_is_refused(chunks: bytes) -> None:
    bench = Bench().receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
    assert len(bench.failures) == 1 and bench.ends_count == 0 and bench.transport.is_aborted


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: +5",
        b"Content-Length: -5",
        b"Content-Length: 5, 5",
        b"Content-Length: 0x5",
        b"Content-Length: 5 5",
        b"Content-Length:",
        b"Content-Length: 99999999999999999999999",
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: \x0bchunked",
    ],
)
def test_length_that_two_readers_could_take_differently_is_refused(headers: bytes) -> None:
    bench = Bench().receive(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    assert bench.heads == [] and len(bench.failures) == 1
