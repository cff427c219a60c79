"""Clients that the built-in responder lets hold, and items for them."""

from gripproxy.protocol.publish_format import Action, HttpResponseFormat, HttpStreamFormat
from gripproxy.protocol.publish_item import PublishItem
from tests.worker.bench import Client, WorkerBench

LONG_POLL = b"GET /response?channel=a HTTP/1.1\r\n\r\n"
STREAM = b"GET /stream?channel=a HTTP/1.1\r\n\r\n"
SOCKET = (
    b"GET /ws?channel=a HTTP/1.1\r\nHost: d.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
TEST_ANSWER = b"Hello from the Pushpin test handler!\n"


def response_item(body: bytes, action: Action = Action.SEND) -> PublishItem:
    return PublishItem(channel="a", http_response=HttpResponseFormat(action, 200, b"OK", [], body))


def stream_item(content: bytes, action: Action = Action.SEND) -> PublishItem:
    return PublishItem(channel="a", http_stream=HttpStreamFormat(action, content))


def held(bench: WorkerBench, request: bytes) -> Client:
    """Connect a client and wait until it is held."""
    holds = bench.core.holds
    count = holds.responses_count + holds.streams_count + holds.sockets_count
    client = bench.client(request)
    bench.until(lambda: holds.responses_count + holds.streams_count + holds.sockets_count == count + 1)
    return client


def fds(bench: WorkerBench) -> list[int]:
    return [fd for fd, record in enumerate(bench.driver.sockets.records) if record is not None]


def only_fd(bench: WorkerBench) -> int:
    (fd,) = fds(bench)
    return fd


def held_at(bench: WorkerBench, request: bytes) -> tuple[Client, int]:
    """Hold a client, and say at which descriptor: these do not only grow."""
    before = fds(bench)
    client = held(bench, request)
    (fd,) = set(fds(bench)).difference(before)
    return client, fd
