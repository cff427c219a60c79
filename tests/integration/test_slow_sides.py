"""A client, an origin or a subscriber that does not read: it waits, nobody else does, and memory stays bounded."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import zmq

from tests.integration.deadline import wait_until
from tests.integration.load_clients import body_of
from tests.integration.origin import READ_BODY, SKIP_BODY, WAIT, ScriptedOrigin, answer
from tests.integration.process_view import established, private_memory_bytes
from tests.integration.raw_client import RawClient, fetch
from tests.integration.server import Server, ServerPlan

BODY_BYTES = 64_000_000
GROWTH_MAX_BYTES = 16_000_000  # far less than the body: what waits must wait at its sender
SETTLED_S = 0.6  # memory that has not grown for so long is taken to have stopped growing
STREAM = answer("200 OK", "Content-Type: text/plain", "Grip-Hold: stream", "Grip-Channel: news", body=b"open\n")


@pytest.fixture
def origin() -> Iterator[ScriptedOrigin]:
    """An origin with a large answer, a slow eye for bodies, and a stream."""
    origin = ScriptedOrigin()
    origin.play(
        {
            "/large": answer(body=b"x" * BODY_BYTES),
            "/upload": [SKIP_BODY, WAIT, READ_BODY, answer(body=b"thanks\n")],
            "/hello": answer(body=b"hello\n"),
            "/stream": STREAM,
        }
    )
    origin.start()
    yield origin
    origin.release()
    origin.stop()


@pytest.fixture
def server(start_server: Callable[[ServerPlan], Server], origin: ScriptedOrigin) -> Server:
    """One worker, so that everything goes through it."""
    server = start_server(ServerPlan(routes=[f"* 127.0.0.1:{origin.port}"], workers=1))
    fetch(server.http_port, "/hello")
    return server


def settled_memory_bytes(server: Server) -> int:
    """Wait until the holding processes' memory has stopped growing, and give it."""
    highest = [0, time.monotonic()]

    def is_settled() -> bool:
        now_bytes = sum(map(private_memory_bytes, server.holding_pids()))
        if now_bytes > highest[0] + 100_000:
            highest[:] = [now_bytes, time.monotonic()]
        return time.monotonic() - highest[1] > SETTLED_S

    wait_until(is_settled, "memory has stopped growing", 30.0)
    return int(highest[0])


@pytest.mark.gripproxy_only
def test_client_that_does_not_read_holds_the_origin_back(server: Server) -> None:
    """A large answer waits at the origin, others are served meanwhile, and then every byte arrives."""
    before_bytes = settled_memory_bytes(server)
    with RawClient(server.http_port) as client:
        client.get("/large", "Connection: close")
        client.receive_until(b"\r\n\r\n")
        assert settled_memory_bytes(server) - before_bytes < GROWTH_MAX_BYTES
        assert fetch(server.http_port, "/hello").endswith(b"hello\n")
        parts = [client.received.partition(b"\r\n\r\n")[2]]
        while not client.is_ended:
            client.received = b""
            assert client.poll(10.0)
            parts.append(client.received)
    assert sum(map(len, parts)) == BODY_BYTES
    assert set(b"".join(parts)) == set(b"x")


@pytest.mark.gripproxy_only
def test_origin_that_does_not_read_holds_the_client_back(server: Server, origin: ScriptedOrigin) -> None:
    """A large request waits at the client, others are served meanwhile, and then every byte arrives."""
    before_bytes = settled_memory_bytes(server)
    body = bytes(range(250)) * (BODY_BYTES // 250)
    with RawClient(server.http_port) as client:
        head = f"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        client.socket.settimeout(60.0)
        sender = threading.Thread(target=client.send, args=(head + body,), daemon=True)
        sender.start()
        wait_until(lambda: any(request.target == "/upload" for request in origin.requests), "the origin has the head")
        assert settled_memory_bytes(server) - before_bytes < GROWTH_MAX_BYTES
        assert sender.is_alive(), "not all has been sent"
        assert fetch(server.http_port, "/hello").endswith(b"hello\n")
        origin.release()
        client.receive_until(b"thanks\n", timeout_s=60.0)
        sender.join(10.0)
    (request,) = [request for request in origin.requests if request.target == "/upload"]
    assert request.body == body


@pytest.mark.gripproxy_only
def test_subscriber_that_does_not_read_loses_whole_items_only(
    server: Server, context: "zmq.Context[zmq.Socket[bytes]]"
) -> None:
    """The others get everything; the slow one gets whole items in order, and memory is bounded meanwhile."""
    before_bytes = settled_memory_bytes(server)
    items = [b"%d:" % number + b"y" * 50_000 + b"\n" for number in range(600)]  # more than kernel and backlog hold
    push = context.socket(zmq.PUSH)
    push.setsockopt(zmq.SNDHWM, 0)
    push.connect(f"tcp://127.0.0.1:{server.push_port}")
    with RawClient(server.http_port) as slow, RawClient(server.http_port) as quick:
        for client in (slow, quick):
            client.get("/stream")
            client.receive_until(b"open\n")
        received = []
        for start in range(0, len(items), 40):  # in steps, as the quick one is a Python program, too
            for content in items[start : start + 40]:
                push.send(b'J{"channel":"news","http-stream":{"content":"' + content[:-1] + b'\\n"}}')
            quick.receive_until(b"\n%d:" % (start + 39), timeout_s=20.0)
            received.append(quick.received[:-100])
            quick.received = quick.received[-100:]
        assert sum(map(private_memory_bytes, server.holding_pids())) - before_bytes < GROWTH_MAX_BYTES
        slow.receive_for(1.0)
        server.publish_stream("news", "after\n")
        for client in (slow, quick):
            client.receive_until(b"after\n")
        assert body_of(b"".join(received) + quick.received) == b"open\n" + b"".join(items) + b"after\n"
        lines = body_of(slow.received).splitlines(keepends=True)
    assert lines[0] == b"open\n"
    assert lines[-1] == b"after\n"
    numbers = [int(line.partition(b":")[0]) for line in lines[1:-1]]
    assert lines[1:-1] == [items[number] for number in numbers], "whole items"
    assert numbers == sorted(set(numbers)), "in order, each once"
    assert 0 < len(numbers) < len(items)


@pytest.mark.gripproxy_only
def test_client_over_the_limit_is_told_so(start_server: Callable[[ServerPlan], Server], origin: ScriptedOrigin) -> None:
    """At `client_maxconn` the next one gets a 503 at once, the held ones stay, and a free place is taken."""
    limit = {"runner": {"client_maxconn": 10}}
    server = start_server(ServerPlan(routes=[f"* 127.0.0.1:{origin.port}"], workers=1, sections=limit))
    (worker,) = server.holding_pids()

    def wait_for_held(count: int) -> None:
        wait_until(lambda: established(worker, server.http_port) == count, f"{count} connections")

    wait_for_held(0)
    with contextlib.ExitStack() as stack:
        holders = [stack.enter_context(RawClient(server.http_port)) for _ in range(10)]
        for holder in holders:
            holder.get("/stream")
            holder.receive_until(b"open\n")
        assert fetch(server.http_port, "/hello").startswith(b"HTTP/1.0 503 Service Unavailable\r\n")
        holders[0].close()
        wait_for_held(9)
        assert fetch(server.http_port, "/hello").endswith(b"hello\n")
        server.publish_stream("news", "after\n")
        for holder in holders[1:]:
            holder.receive_until(b"after\n")
