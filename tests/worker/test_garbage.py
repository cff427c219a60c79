"""The collector walks no record twice, and would find nothing: connections leave no cycles behind."""

import gc
from collections.abc import Callable, Iterator

import pytest

from gripproxy.protocol.publish_format import Action, HttpResponseFormat, HttpStreamFormat
from gripproxy.protocol.publish_item import PublishItem
from gripproxy_worker import garbage
from tests.worker.bench import Client, WorkerBench
from tests.worker.conftest import MakeBench

GET = b"GET / HTTP/1.1\r\n\r\n"
ROUTES = "* {origin}\n*,path_beg=/held test\n*,path_beg=/dead {dead}"


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
