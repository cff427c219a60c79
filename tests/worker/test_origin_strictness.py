"""What an origin sends out of place, out of time, or so that two readers could take it differently."""

import pytest

from tests.worker.origin_bench import OriginBench

SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def test_origin_that_answers_before_it_has_read_the_request_is_not_used_again() -> None:
    """It would take the rest of the body for the next request, which may be another client's."""
    bench = OriginBench()
    bench.transport.unsent_bytes = 1
    bench.receive(SIZED)
    assert (bench.ends_count, bench.freed) == (1, [False])


@pytest.mark.parametrize("is_reused", [True, False])
def test_what_comes_before_the_request_is_sent_is_not_its_answer(is_reused: bool) -> None:
    """Some origins say 408 on a kept connection that they are about to close; others may try worse."""
    bench = OriginBench(is_asked=False)
    bench.origin.is_reused = is_reused
    bench.origin.ask(bench, b"request", is_head=False)
    bench.origin.data_received(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    assert bench.heads == [] and bench.failures == ["it sent something before it was asked"]
    assert bench.transport.is_aborted and not bench.origin.has_answered
    assert bench.origin.is_reused is is_reused  # a kept one is asked again elsewhere


def test_time_for_a_head_counts_from_its_first_byte() -> None:
    """Else an origin that sends a byte now and then keeps a client waiting for ever."""
    bench = OriginBench()
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
    bench = OriginBench()
    bench.clock = lambda: 9.0
    bench.receive(b"HTTP/1.1 102 Processing\r\n\r\n")
    bench.origin.active_at = 0.0
    bench.receive(b"HTTP/1.1 102 Processing\r\n\r\nHT")
    assert bench.origin.active_at == 9.0


def test_endless_interim_responses_are_a_failure() -> None:
    bench = OriginBench().receive(*[b"HTTP/1.1 100 Continue\r\n\r\n" * 1000] * 20)
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
    bench = OriginBench().receive(b"HTTP/1.1 200 OK\r\n" + line + b"\r\nContent-Length: 0\r\n\r\n")
    assert bench.heads == [] and len(bench.failures) == 1


@pytest.mark.parametrize("reason", [b"O\rK", b"O\nK", b"OK\r\r", b"O\0K"])
def test_reason_that_breaks_its_line_is_refused(reason: bytes) -> None:
    bench = OriginBench().receive(b"HTTP/1.1 200 " + reason + b"\r\nContent-Length: 0\r\n\r\n")
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
    bench = OriginBench().receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
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
    bench = OriginBench().receive(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    assert bench.heads == [] and len(bench.failures) == 1
