"""Bytes by route, as reports have them."""

from collections.abc import Iterator

import pytest

from gripproxy.engine.client_request import ClientRequest
from gripproxy.engine.observer import Nobody
from gripproxy.engine.traffic import RouteTraffic
from gripproxy.protocol.publish_format import Action
from gripproxy.protocol.telemetry import Traffic
from gripproxy.protocol.websocket_frame import BINARY, CLOSE, CONTINUATION, PING, TEXT, encode_frame
from gripproxy_worker.metering import Meter, chunks_size, head_size, written_messages
from tests.worker.bench import WorkerBench
from tests.worker.held_clients import held, response_item, stream_item
from tests.worker.socket_bench import masked, real_accept, real_handshake


def test_size_of_a_head_is_that_of_its_words() -> None:
    """Method and target, or status and reason, names and values; nothing between them."""
    assert head_size(b"GET /a?b=1 HTTP/1.1\r\nHost: h\r\nA: bc\r\n\r\n") == len("GET/a?b=1Hosth" + "Abc")
    assert head_size(b"HTTP/1.1 404 Not Found\r\nA: b\r\n\r\n") == len("404Not FoundAb")
    assert head_size(b"HTTP/1.1 200 OK\r\n\r\n") == len("200OK")


def test_size_of_chunks_is_that_of_their_content() -> None:
    """No sizes, no line ends."""
    assert chunks_size(b"") == chunks_size(b"0\r\n\r\n") == 0
    assert chunks_size(b"3\r\nabc\r\nA\r\n01\r\n4\r\n\r\n89\r\n0\r\n\r\n") == 3 + 10


class Metered(Nobody):
    """Tells the meter of requests and their ends, as telemetry does."""

    def __init__(self, bench: WorkerBench) -> None:
        self.meter = bench.driver.meter = Meter(bench.core)
        bench.core.accounts.observer = self

    def on_request(self, conn_id: int, request: ClientRequest) -> None:
        self.meter.began(conn_id, request)

    def on_end(self, conn_id: int, traffic: RouteTraffic) -> None:
        self.meter.ended(conn_id, traffic)


@pytest.fixture
def bench() -> Iterator[WorkerBench]:
    bench = WorkerBench(routes="*,id=r {origin}")
    Metered(bench)
    yield bench
    bench.close()


def test_request_and_response_count_on_both_sides(bench: WorkerBench) -> None:
    """A body counts where it comes in and where it goes out."""
    client = bench.client(b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde")
    bench.origin(ends=b"abcde").send(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n1234567")
    bench.until(lambda: client.received.endswith(b"1234567"))
    values = bench.core.accounts.traffic.of("r").values
    assert values[Traffic.CLIENT_CONTENT_BYTES_RECEIVED] == values[Traffic.SERVER_CONTENT_BYTES_SENT] == 5
    assert values[Traffic.CLIENT_CONTENT_BYTES_SENT] == values[Traffic.SERVER_CONTENT_BYTES_RECEIVED] == 7
    assert values[Traffic.CLIENT_HEADER_BYTES_RECEIVED] == len("POST/x" + "Hosth" + "Content-Length5")
    assert values[Traffic.SERVER_HEADER_BYTES_RECEIVED] == len("200OK" + "Content-Length7")
    assert values[Traffic.CLIENT_HEADER_BYTES_SENT] == len("200OK" + "Content-Length7")
    assert values[Traffic.SERVER_HEADER_BYTES_SENT] > len("POST/x")
    assert not any(bench.core.accounts.traffic.of("").values)


GET = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nGrip-Channel: a\r\nContent-Length: 3\r\n"
HOLD_STREAM = ANSWER + b"Grip-Hold: stream\r\nGrip-Keep-Alive: 12345; format=raw; timeout=1\r\n\r\nabc"
HOLD_RESPONSE = ANSWER + b"Grip-Hold: response\r\n\r\nabc"
LINK = b"HTTP/1.1 200 OK\r\nGrip-Link: </next>; rel=next\r\nContent-Length: 3\r\n\r\nxyz"


def values_of(bench: WorkerBench) -> list[int]:
    """Give the route's traffic; nothing may have been counted elsewhere."""
    assert not any(bench.core.accounts.traffic.of("").values)
    return bench.core.accounts.traffic.of("r").values


def test_parts_of_a_stream_count_without_their_framing(bench: WorkerBench) -> None:
    """Its beginning, items, keep-alives and end; its head has no more than the origin has said."""
    bench.driver.tick()
    bench.answer = HOLD_STREAM
    client = held(bench, GET)
    bench.publish(stream_item(b"0123456789"))
    bench.until(lambda: b"0123456789" in client.received)
    assert values_of(bench)[Traffic.CLIENT_CONTENT_BYTES_SENT] == 3 + 10
    assert values_of(bench)[Traffic.CLIENT_HEADER_BYTES_SENT] == len("200OK")
    bench.until(lambda: b"12345\r\n" in client.received)
    keep_alives_count = client.received.count(b"\r\n12345\r\n")
    bench.publish(stream_item(b"", Action.CLOSE))
    bench.until(lambda: client.received.endswith(b"0\r\n\r\n"))
    assert values_of(bench)[Traffic.CLIENT_CONTENT_BYTES_SENT] == 3 + 10 + 5 * keep_alives_count


def test_end_of_a_long_poll_is_its_routes(bench: WorkerBench) -> None:
    """Though the engine has forgotten it by then. Its request counts once, however often its origin is asked."""
    bench.answer = HOLD_RESPONSE
    client = held(bench, GET)
    bench.publish(response_item(b"", Action.HINT))
    bench.until(lambda: values_of(bench)[Traffic.SERVER_CONTENT_BYTES_RECEIVED] == 2 * 3)
    bench.until(lambda: bench.core.holds.responses_count)
    bench.publish(response_item(b"0123456789"))
    bench.until(lambda: client.received.endswith(b"0123456789"))
    values = values_of(bench)
    assert values[Traffic.CLIENT_HEADER_BYTES_RECEIVED] == len("GET/x" + "Hosth")
    assert values[Traffic.SERVER_HEADER_BYTES_RECEIVED] == 2 * len(
        "200OK" + "Grip-Channela" + "Content-Length3" + "Grip-Holdresponse"
    )
    assert values[Traffic.CLIENT_CONTENT_BYTES_SENT] == 10
    assert values[Traffic.CLIENT_HEADER_BYTES_SENT] == len("200OK")


def test_body_that_is_sent_again_came_once(bench: WorkerBench) -> None:
    """A long-poll by POST."""
    client = bench.client(b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde")
    bench.origin(ends=b"abcde").send(HOLD_RESPONSE)
    bench.until(lambda: bench.core.holds.responses_count)
    bench.publish(response_item(b"", Action.HINT))
    bench.until(lambda: bench.origins[0].received.count(b"abcde") == 2)
    assert values_of(bench)[Traffic.CLIENT_CONTENT_BYTES_RECEIVED] == 5
    assert values_of(bench)[Traffic.SERVER_CONTENT_BYTES_SENT] == 2 * 5
    client.close()


def test_next_part_counts_as_the_first_does(bench: WorkerBench) -> None:
    """What the origin is asked, what it says, and what the client gets."""
    bench.answer = LINK
    client = bench.client(GET)
    bench.until(lambda: b"xyz" in client.received)
    bench.answer = HOLD_STREAM
    bench.until(lambda: b"abc" in client.received)
    parts_count = client.received.count(b"xyz") + 1
    values = values_of(bench)
    assert values[Traffic.CLIENT_CONTENT_BYTES_SENT] == 3 * parts_count
    assert values[Traffic.SERVER_CONTENT_BYTES_RECEIVED] == 3 * parts_count
    assert values[Traffic.SERVER_HEADER_BYTES_SENT] > parts_count * len("GET/x" + "Hosth")


def test_messages_of_websockets_count_on_both_sides(bench: WorkerBench) -> None:
    """Without the framing; pings are none."""
    client = bench.client(real_handshake("/x"))
    origin = bench.origin()
    origin.send(real_accept(origin) + encode_frame(TEXT, b"down"))
    client.send(masked(TEXT, b"up", is_final=False) + masked(PING, b"?") + masked(CONTINUATION, b" and up"))
    bench.until(lambda: client.received.endswith(b"down"))
    values = values_of(bench)
    bench.until(lambda: values[Traffic.SERVER_MESSAGES_SENT])
    assert values[Traffic.CLIENT_MESSAGES_RECEIVED] == values[Traffic.SERVER_MESSAGES_SENT] == 1
    assert values[Traffic.SERVER_MESSAGES_RECEIVED] == values[Traffic.CLIENT_MESSAGES_SENT] == 1
    assert values[Traffic.CLIENT_CONTENT_BYTES_RECEIVED] == len("up and up")
    assert values[Traffic.SERVER_CONTENT_BYTES_SENT] == len("up and up")
    assert values[Traffic.SERVER_CONTENT_BYTES_RECEIVED] == len("down")
    assert values[Traffic.CLIENT_CONTENT_BYTES_SENT] == len("down")


def test_frames_that_were_written_are_told_apart() -> None:
    """One write may hold several, of any size, and pieces of messages."""
    sizes = (0, 125, 126, 65_535, 65_536)
    payload = b"".join(encode_frame(BINARY, b"x" * size) for size in sizes) + encode_frame(PING, b"?")
    payload += encode_frame(TEXT, b"abc", is_final=False) + encode_frame(CLOSE, b"\x03\xe8")
    assert written_messages(payload) == (sum(sizes) + 3, len(sizes))
    assert written_messages(b"") == (0, 0)
