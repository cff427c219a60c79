"""Clients that want to be in the way: they get what they ask for, or a refusal, and nobody else notices.

``GRIPPROXY_HOSTILE_COUNT`` says how many there are of each kind. What they cost in time and memory is measured by
``python -m benchmarks hostile``.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.integration.deadline import wait_until
from tests.integration.origin import ScriptedOrigin, answer
from tests.integration.process_view import established, private_memory_bytes
from tests.integration.raw_client import RawClient, fetch
from tests.integration.server import Server, ServerPlan
from tests.worker.odd_requests import read_corpus
from tests.worker.test_framing_against_h11 import ours

COUNT = int(os.environ.get("GRIPPROXY_HOSTILE_COUNT", "200"))
PIPELINED_COUNT = 1000
TIMEOUT_S = 2  # for a head, and between bytes of a body
ROUND_GROWTH_MAX_BYTES = 2_000_000  # of a process, from the second round of refusals to the third
LARGE = bytes(range(256)) * 2000

pytestmark = pytest.mark.gripproxy_only


@pytest.fixture
def origin() -> Iterator[ScriptedOrigin]:
    origin = ScriptedOrigin()
    origin.play({"/hello": answer(body=b"hello\n"), "/large": answer(body=LARGE)})
    origin.start()
    yield origin
    origin.stop()


@pytest.fixture
def server(start_server: Callable[[ServerPlan], Server], origin: ScriptedOrigin) -> Server:
    """One worker, so that everybody is in everybody's way."""
    sections = {
        "runner": {
            "client_header_timeout": TIMEOUT_S,
            "client_body_timeout": TIMEOUT_S,
            "client_max_body_size": 100_000,
        }
    }
    routes = [f"* 127.0.0.1:{origin.port}", "builtin.test test"]
    return start_server(ServerPlan(routes=routes, workers=1, sections=sections))


def hostile_clients(stack: ExitStack, server: Server, payload: bytes) -> list[RawClient]:
    """Connect them, and let each send the same."""
    clients = [stack.enter_context(RawClient(server.http_port)) for _ in range(COUNT)]
    for client in clients:
        client.send(payload)
    return clients


@pytest.mark.parametrize(
    ("payload", "begin", "end"),
    [
        (b"GET /hello HTTP/1.1\r\nHost: a\r\nA", b"HTTP/1.0 408 ", b"Request header did not arrive in time.\n"),
        (b"POST /hello HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc", b"HTTP/1.1 408 ", b"body did not arrive in time.\n"),
        (
            b"POST /hello HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
            b"HTTP/1.1 408 ",
            b"body did not arrive in time.\n",
        ),
    ],
    ids=["head", "body", "chunks"],
)
def test_clients_that_are_slow_to_ask(
    server: Server, origin: ScriptedOrigin, payload: bytes, begin: bytes, end: bytes
) -> None:
    """The origin never hears of them, the others are served, and each is told before it is left."""
    with ExitStack() as stack:
        clients = hostile_clients(stack, server, payload)
        assert fetch(server.http_port, "/hello").endswith(b"hello\n")
        for client in clients:
            received = client.receive_all()
            assert received.startswith(begin) and received.endswith(end)
            assert not client.is_reset
    assert len(origin.requests) == 1
    wait_until(lambda: established(server.holding_pids()[0], server.http_port) == 0, "all are gone")


def test_clients_that_are_slow_to_read(server: Server) -> None:
    """Their answers wait at the origin, and come whole in the end."""
    with ExitStack() as stack:
        clients = hostile_clients(stack, server, b"GET /large HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert fetch(server.http_port, "/hello").endswith(b"hello\n")
        for client in clients:
            assert client.receive_all(30.0).endswith(b"\r\n\r\n" + LARGE)


def test_clients_that_ask_for_much_in_one_breath(server: Server, origin: ScriptedOrigin) -> None:
    """Each answer in its place, with an origin behind it and without."""
    requests = [f"GET /hello?{number} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for number in range(PIPELINED_COUNT)]
    with RawClient(server.http_port) as client, RawClient(server.http_port) as other:
        client.send(b"".join(requests))
        other.send(b"GET / HTTP/1.1\r\nHost: builtin.test\r\n\r\n" * PIPELINED_COUNT)
        assert fetch(server.http_port, "/hello").endswith(b"hello\n")
        assert client.receive_until(b"hello\n", 30.0, PIPELINED_COUNT).count(b"HTTP/1.1 200 OK") == PIPELINED_COUNT
        assert other.receive_until(b"test handler!\n", 30.0, PIPELINED_COUNT).count(b" 200 OK") == PIPELINED_COUNT
    asked = [request.target for request in origin.requests if "?" in request.target]
    assert asked == [f"/hello?{number}" for number in range(PIPELINED_COUNT)]


def test_clients_that_speak_no_http(server: Server, origin: ScriptedOrigin) -> None:
    """Every refusal is read by its client, none reaches the origin, and nothing of them stays in memory."""
    refused = [odd.data for odd in read_corpus() if ours(odd.data) == ([], True)]
    assert len(refused) > 200
    sizes = []
    for _ in range(3):
        for data in refused * (1 + COUNT // len(refused)):
            with RawClient(server.http_port) as client:
                client.send(data)
                assert client.receive_all().startswith((b"HTTP/1.0 4", b"HTTP/1.1 4", b"HTTP/1.0 5")), data
                assert not client.is_reset, data
        sizes.append(sum(map(private_memory_bytes, server.holding_pids())))
    assert sizes[2] - sizes[1] < ROUND_GROWTH_MAX_BYTES, sizes
    assert origin.requests == []


def test_refusal_is_read_by_a_client_that_sends_on(server: Server) -> None:
    """With its hands full it reads nothing until it has sent all: the answer must not be lost to a reset."""
    with RawClient(server.http_port) as client:
        sender = threading.Thread(
            target=client.send, args=(b"POST /hello HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n" + bytes(3_000_000),)
        )
        sender.start()
        sender.join(20.0)
        assert not sender.is_alive()
        assert client.receive_all().endswith(b"Request body size exceeded limit of 100000 bytes.\n")
        assert not client.is_reset
