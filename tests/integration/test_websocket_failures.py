"""Processes end while items are published to WebSockets: who is cut, and that nobody misses any or gets one twice."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.client import ClientConnection
from websockets.sync.server import ServerConnection, serve

from gripproxy.protocol.websocket_events import WsEvent
from tests.integration.deadline import wait_until
from tests.integration.process_view import established
from tests.integration.restartable_origin import Events, RestartableOrigin, echo
from tests.integration.server import Server, ServerPlan
from tests.integration.websocket_client import ask, next_message, open_websocket

pytestmark = pytest.mark.gripproxy_only

SUBSCRIBING = 'c:{"type": "subscribe", "channel": "news"}'
DETACHING = 'c:{"type": "detach"}'
WAYS = ("/socket", "/http", "/detached")
CLIENTS_COUNT = 24  # over two workers: the chance that one of them gets none is 1 in 8,000,000
ITEMS_COUNT = 400


def answer(path: str, event: WsEvent) -> Events:
    """Accept and subscribe; echo."""
    if event.kind == b"OPEN":
        controls = [SUBSCRIBING, "m:welcome"] + [DETACHING] * (path == "/detached")
        return [(b"OPEN", b""), *((b"TEXT", control.encode()) for control in controls)]
    return [(kind, b"m:" + content if kind == b"TEXT" else content) for kind, content in echo(path, event)]


def agree(connection: ServerConnection, request: Request, response: Response) -> None:
    response.headers["Sec-WebSocket-Extensions"] = "grip"


def talk(connection: ServerConnection) -> None:
    """Do the same as a WebSocket origin."""
    connection.send(SUBSCRIBING)
    connection.send("m:welcome")
    for message in connection:
        connection.send(f"m:{message!s}")


@pytest.fixture
def origin() -> Iterator[RestartableOrigin]:
    server = RestartableOrigin(answer, is_grip=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(start_server: Callable[[ServerPlan], Server], origin: RestartableOrigin) -> Iterator[Server]:
    """Two workers, a WebSocket origin, and one that speaks HTTP."""
    with serve(talk, "127.0.0.1", 0, compression=None, process_response=agree, ping_interval=None) as sockets:
        thread = threading.Thread(target=sockets.serve_forever)
        thread.start()
        port = sockets.socket.getsockname()[1]
        routes = [f"*,path_beg=/socket 127.0.0.1:{port}", f"* 127.0.0.1:{origin.port},over_http"]
        server = start_server(ServerPlan(routes=routes, workers=2))
        yield server
        assert "internal error" not in server.output()
        sockets.shutdown()
        thread.join()


@pytest.fixture
def clients(server: Server) -> Iterator[list[ClientConnection]]:
    """Clients of each way in turn, some in each worker, all subscribed."""
    with ExitStack() as stack:
        clients = [
            stack.enter_context(open_websocket(server.http_port, WAYS[number % len(WAYS)]))
            for number in range(CLIENTS_COUNT)
        ]
        for client in clients:
            assert next_message(client) == "welcome"
        yield clients


def publish(server: Server, numbers: range) -> None:
    for number in numbers:
        server.publish({"channel": "news", "ws-message": {"content": f"{number}"}})


def numbers_until(client: ClientConnection, last: int) -> list[int]:
    """Take items until one is `last`, or the connection ends without a close frame."""
    taken: list[int] = []
    try:
        while last not in taken:
            taken.append(int(next_message(client)))
    except ConnectionClosed as closed:
        assert closed.rcvd is None
    return taken


def all_numbers(clients: list[ClientConnection], last: int) -> list[list[int]]:
    """Read from all clients at once."""
    with ThreadPoolExecutor(len(clients)) as readers:
        return list(readers.map(lambda client: numbers_until(client, last), clients))


def test_killed_worker_cuts_only_its_clients(server: Server, clients: list[ClientConnection]) -> None:
    """What these got until then has no gap, and the others get everything."""
    victim, other = server.child_pids("gripproxy: worker")
    survivors_count = established(other, server.http_port)
    assert established(victim, server.http_port) + survivors_count == CLIENTS_COUNT
    with ThreadPoolExecutor(1) as reader:
        reading = reader.submit(all_numbers, clients, ITEMS_COUNT - 1)
        publish(server, range(ITEMS_COUNT // 2))
        os.kill(victim, signal.SIGKILL)
        publish(server, range(ITEMS_COUNT // 2, ITEMS_COUNT))
        taken = reading.result()
    assert sum(numbers == list(range(ITEMS_COUNT)) for numbers in taken) == survivors_count
    assert all(numbers == list(range(len(numbers))) for numbers in taken)


def test_killed_hub_cuts_nobody(server: Server, clients: list[ClientConnection]) -> None:
    """What clients and origins say passes without it, and items go on behind those that were published before."""
    publish(server, range(ITEMS_COUNT // 2))
    assert all_numbers(clients, ITEMS_COUNT // 2 - 1) == [list(range(ITEMS_COUNT // 2))] * CLIENTS_COUNT
    (hub,) = server.child_pids("gripproxy: hub")
    os.kill(hub, signal.SIGKILL)
    for client in clients:
        assert client.request is not None
        if client.request.path != "/detached":
            assert ask(client, "echo") == "echo"
    wait_until(lambda: server.child_pids("gripproxy: hub") not in ([], [hub]), "another hub")
    wait_until(server.is_serving, "it takes items")
    publish(server, range(ITEMS_COUNT // 2, ITEMS_COUNT))
    assert all_numbers(clients, ITEMS_COUNT - 1) == [list(range(ITEMS_COUNT // 2, ITEMS_COUNT))] * CLIENTS_COUNT


def test_clients_are_published_to_while_their_origin_is_away(
    server: Server, clients: list[ClientConnection], origin: RestartableOrigin
) -> None:
    """What they say meanwhile waits for it."""
    origin.stop()
    speaking = [client for client in clients if client.request is not None and client.request.path == "/http"]
    for client in speaking:
        client.send("away")
    publish(server, range(ITEMS_COUNT))
    assert all_numbers(clients, ITEMS_COUNT - 1) == [list(range(ITEMS_COUNT))] * CLIENTS_COUNT
    origin.start()
    assert [next_message(client) for client in speaking] == ["away"] * len(speaking)
