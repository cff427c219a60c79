"""The collector walks no record twice, and would find nothing: connections leave no cycles behind."""

import gc
from collections.abc import Callable, Iterator

import pytest

from gripproxy.protocol.publish_format import Action, HttpResponseFormat, HttpStreamFormat
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.protocol.websocket_frame import BINARY, CLOSE, CONTINUATION, TEXT, encode_frame
from gripproxy_worker import garbage
from tests.worker.bench import Client, OriginSide, WorkerBench
from tests.worker.conftest import MakeBench
from tests.worker.socket_bench import frames_of, masked, real_accept, real_handshake

SUBSCRIBING = b'TEXT 24\r\nc:{"type":"subscribe","channel":"a"}\r\n'
GET = b"GET / HTTP/1.1\r\n\r\n"
ROUTES = "* {origin}\n*,path_beg=/held test\n*,path_beg=/dead {dead}\n*,path_beg=/events {origin},over_http"


@pytest.fixture
def frozen() -> Iterator[None]:
    garbage.begin()
    yield
    garbage.end()


def test_survivors_of_a_full_collection_are_not_walked_again(frozen: None) -> None:
    before = gc.get_freeze_count()
    kept = [[number] for number in range(1000)]
    gc.collect()
    assert gc.get_freeze_count() >= before + len(kept)


def test_young_cycles_are_still_collected(frozen: None) -> None:
    """What fails raises exceptions, whose tracebacks often are cycles."""
    for _ in range(100):
        cycle: list[object] = []
        cycle.append(cycle)
    del cycle
    assert gc.collect(1) >= 100


def answered(bench: WorkerBench, client: Client) -> None:
    bench.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    bench.exchange(client, GET, b"ok")


def held_stream(bench: WorkerBench, client: Client) -> None:
    client.send(b"GET /held/stream?channel=a HTTP/1.1\r\n\r\n")
    bench.until(lambda: bench.core.holds.streams_count)
    bench.publish(PublishItem("a", http_stream=HttpStreamFormat(content=b"x")))
    bench.publish(PublishItem("a", http_stream=HttpStreamFormat(Action.CLOSE)))
    bench.until(lambda: client.received.endswith(b"0\r\n\r\n"))


def held_stream_that_leaves(bench: WorkerBench, client: Client) -> None:
    client.send(b"GET /held/stream?channel=a HTTP/1.1\r\n\r\n")
    bench.until(lambda: bench.core.holds.streams_count)
    client.close()
    bench.until(lambda: not bench.core.holds.streams_count)


def stream_held_for_an_origin(bench: WorkerBench, client: Client) -> None:
    head = b"HTTP/1.1 200 OK\r\nGrip-Hold: stream\r\nGrip-Channel: a\r\nContent-Length: 2\r\n\r\n"
    bench.answer = head + b"hi"
    client.send(GET)
    bench.until(lambda: bench.core.holds.streams_count)
    client.close()
    bench.until(lambda: not bench.core.holds.streams_count)


def long_poll_held_for_an_origin(bench: WorkerBench, client: Client) -> None:
    bench.answer = b"HTTP/1.1 200 OK\r\nGrip-Hold: response\r\nGrip-Channel: a\r\nContent-Length: 0\r\n\r\n"
    client.send(GET)
    bench.until(lambda: bench.core.holds.responses_count)
    bench.publish(PublishItem("a", http_response=HttpResponseFormat(body=b"news")))
    bench.until(lambda: client.received.endswith(b"news"))


def answered_long_poll(bench: WorkerBench, client: Client) -> None:
    client.send(b"GET /held/response?channel=a HTTP/1.1\r\n\r\n")
    bench.until(lambda: bench.core.holds.responses_count)
    bench.publish(PublishItem("a", http_response=HttpResponseFormat(body=b"news")))
    bench.until(lambda: client.received.endswith(b"news"))


def dead_origin(bench: WorkerBench, client: Client) -> None:
    client.send(b"GET /dead HTTP/1.1\r\n\r\n")
    bench.until(lambda: b" 502 " in client.received)


def broken_origin(bench: WorkerBench, client: Client) -> None:
    bench.answer = None
    count = len(bench.origins)
    client.send(GET)
    bench.origin(count).transport.close()
    bench.until(lambda: b" 502 " in client.received)


def client_that_leaves_its_request(bench: WorkerBench, client: Client) -> None:
    bench.answer = None
    count = len(bench.origins)
    client.send(GET)
    bench.origin(count)
    client.close()
    bench.until(lambda: not bench.core.exchanges)


def bad_request(bench: WorkerBench, client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n")
    bench.until(lambda: client.is_closed)


def websocket_that_leaves(bench: WorkerBench, client: Client) -> None:
    """In the middle of a frame, and of a message."""
    _leave_in_the_middle(bench, client, masked(CONTINUATION, b"half")[:-2])


def websocket_that_breaks_the_protocol(bench: WorkerBench, client: Client) -> None:
    """An exception's traceback knows who has raised it."""
    _leave_in_the_middle(bench, client, masked(BINARY, b"within a text"))


def _leave_in_the_middle(bench: WorkerBench, client: Client, last: bytes) -> None:
    bench.answer = None
    count = len(bench.origins)
    client.send(real_handshake("/socket"))
    origin = bench.origin(count)
    origin.send(real_accept(origin))
    client.send(masked(TEXT, b"a", is_final=False) + last)
    bench.until(lambda: frames_of(origin.received, is_client=False))
    client.close()
    bench.until(lambda: origin.is_closed)


def websocket_whose_origin_leaves(bench: WorkerBench, client: Client) -> None:
    bench.answer = None
    count = len(bench.origins)
    client.send(real_handshake("/socket"))
    origin = bench.origin(count)
    origin.send(real_accept(origin) + encode_frame(TEXT, b"bye"))
    origin.transport.close()
    bench.until(lambda: client.is_closed)


def websocket_that_is_closed(bench: WorkerBench, client: Client) -> None:
    client.send(real_handshake("/held/ws") + masked(TEXT, b"echo") + masked(CLOSE))
    bench.until(lambda: client.is_closed)
    assert b"echo" in client.received


def events(body: bytes) -> bytes:
    """Give an answer of an origin over HTTP."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/websocket-events\r\nSec-WebSocket-Extensions: grip\r\n"
    return b"%sContent-Length: %d\r\n\r\n%s" % (head, len(body), body)


def _open_over_http(bench: WorkerBench, client: Client) -> None:
    bench.answer = events(b"OPEN\r\n" + SUBSCRIBING)
    client.send(real_handshake("/events"))
    bench.until(lambda: bench.core.holds.sockets_count)


def _ask_without_an_answer(bench: WorkerBench, client: Client, request: bytes, ends: bytes) -> OriginSide:
    bench.answer = None
    client.send(request)
    bench.until(lambda: any(origin.received.endswith(ends) for origin in bench.origins))
    origin = next(origin for origin in bench.origins if origin.received.endswith(ends))
    origin.received.clear()
    return origin


def _leave_over_http(bench: WorkerBench, client: Client) -> None:
    bench.answer = events(b"")
    client.close()
    bench.until(lambda: not bench.core.holds.sockets_count and not bench.driver.links)


def websocket_over_http(bench: WorkerBench, client: Client) -> None:
    _open_over_http(bench, client)
    bench.answer = events(b"TEXT 5\r\nm:hey\r\n")
    client.send(masked(TEXT, b"hello"))
    bench.until(lambda: client.received.endswith(b"hey"))
    _leave_over_http(bench, client)


def websocket_over_http_that_is_closed(bench: WorkerBench, client: Client) -> None:
    _open_over_http(bench, client)
    bench.answer = events(b"CLOSE\r\n")
    client.send(masked(CLOSE))
    bench.until(lambda: client.is_closed)


def websocket_over_http_that_leaves_its_request(bench: WorkerBench, client: Client) -> None:
    _open_over_http(bench, client)
    origin = _ask_without_an_answer(bench, client, masked(TEXT, b"hello"), b"hello\r\n")
    client.close()
    bench.until(lambda: not bench.core.holds.sockets_count)
    bench.answer = events(b"")
    origin.send(events(b"TEXT 5\r\nm:hey\r\n"))
    bench.until(lambda: not bench.driver.links)


def websocket_over_http_that_leaves_its_handshake(bench: WorkerBench, client: Client) -> None:
    """The origin accepts it all the same, and is told."""
    origin = _ask_without_an_answer(bench, client, real_handshake("/events"), b"OPEN\r\n")
    client.close()
    bench.until(lambda: not bench.core.exchanges)
    bench.answer = events(b"")
    origin.send(events(b"OPEN\r\n"))
    bench.until(lambda: not bench.driver.links)


def websocket_over_http_whose_origin_fails(bench: WorkerBench, client: Client) -> None:
    _open_over_http(bench, client)
    bench.answer = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
    client.send(masked(TEXT, b"hello"))
    bench.until(lambda: client.is_closed)


def websocket_over_http_that_is_refused(bench: WorkerBench, client: Client) -> None:
    bench.answer = b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"
    client.send(real_handshake("/events"))
    bench.until(lambda: b" 401 " in client.received)


@pytest.mark.parametrize(
    "conversation",
    [
        answered,
        held_stream,
        held_stream_that_leaves,
        answered_long_poll,
        stream_held_for_an_origin,
        long_poll_held_for_an_origin,
        dead_origin,
        broken_origin,
        client_that_leaves_its_request,
        bad_request,
        websocket_that_leaves,
        websocket_that_breaks_the_protocol,
        websocket_whose_origin_leaves,
        websocket_that_is_closed,
        websocket_over_http,
        websocket_over_http_that_is_closed,
        websocket_over_http_that_leaves_its_request,
        websocket_over_http_that_leaves_its_handshake,
        websocket_over_http_whose_origin_fails,
        websocket_over_http_that_is_refused,
    ],
    ids=lambda conversation: conversation.__name__,
)
def test_connections_leave_no_cycles(
    make_bench: MakeBench, conversation: Callable[[WorkerBench, Client], None]
) -> None:
    """One that lived long would never be found again."""
    bench = make_bench(ROUTES, subscription_linger=0)
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(3):
            client = bench.client()
            conversation(bench, client)
            client.close()
            bench.clients.remove(client)
            bench.until(lambda: bench.driver.sockets.count == 0)
        del client
        gc.collect()
        ours = [thing for thing in gc.garbage if type(thing).__module__.startswith("gripproxy")]
        assert ours == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
