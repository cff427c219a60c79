"""WebSockets whose origin is behind a zhttp target: real processes, real sockets, a client's library."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

import pytest
from websockets.exceptions import InvalidStatus

from tests.integration.deadline import wait_until
from tests.integration.server import PUSHPIN, Server, ServerKind, ServerPlan
from tests.integration.test_zhttp import Bed, free_ports_in_a_row
from tests.integration.websocket_client import ask, ending, next_message, open_websocket
from tests.integration.zhttp_socket_origin import SocketOrigin

LARGE_BYTES = 900_000  # several times a direction's credits
MANY_COUNT = 60
NORMAL = (1000, "")


class Scene(Bed):
    """A server and an origin of its route; `port` is for clients."""

    def __init__(self, server: Server, specs: dict[str, str], host: str, is_router: bool) -> None:
        super().__init__(server, specs)
        self.host = host
        self.origin = SocketOrigin(self.stream_addresses(host), is_router=is_router)

    @property
    def port(self) -> int:
        return self.server.http_port


@pytest.fixture(params=["stream", "tcp", "router"])
def scene(
    request: pytest.FixtureRequest,
    start_server: Callable[[ServerPlan], Server],
    server_kind: ServerKind,
    short_path: object,
) -> Iterator[Scene]:
    """Each way to an origin. None may have seen a breach of the protocol."""
    if request.param == "router" and server_kind is PUSHPIN:
        pytest.skip("pushpin 1.36 does not take answers on its ROUTER socket")
    host = "tcp" if request.param == "tcp" else "stream"
    spec = f"tcp://127.0.0.1:{free_ports_in_a_row()}" if host == "tcp" else f"ipc://{short_path}/ws"
    server = start_server(ServerPlan(routes=[f"{host} zhttp/{spec}"]))
    scene = Scene(server, {host: spec}, host, request.param == "router")
    scene.origin.start()
    try:
        scene.wait_for(host)
        yield scene
    finally:
        scene.origin.stop()
    assert scene.origin.errors == []


def test_messages_both_ways(scene: Scene) -> None:
    """With their types, and the end's code and reason; the origin's headers too."""
    with open_websocket(scene.port, "/echo", scene.host) as client:
        assert client.response is not None and client.response.headers["X-Origin"] == "zeromq"
        assert client.response.reason_phrase == "Welcome"
        for message in ("text", b"binary", "", "ä" * 5000, b"\xff" * 10_000):
            assert ask(client, message) == message
        assert client.ping(b"payload").wait(30.0)
        client.send(["in ", "three ", "fragments"])
        assert next_message(client) == "in three fragments"
        client.close(4001, "bye")
        assert ending(client) == (4001, "bye")
    wait_until(lambda: not scene.origin.talks, "the origin hears of the end")


@pytest.mark.gripproxy_only  # pushpin 1.36 breaks off
def test_large_messages_both_ways(scene: Scene) -> None:
    """Credits are granted again and again."""
    with open_websocket(scene.port, "/echo", scene.host) as client:
        for message in ("ä" * (LARGE_BYTES // 2), b"\xff" * LARGE_BYTES):
            assert ask(client, message) == message


def test_origin_closes(scene: Scene) -> None:
    """It gets the client's answer, which ends it."""
    with open_websocket(scene.port, "/echo", scene.host) as client:
        client.send("close 4002")
        assert ending(client) == (4002, "as you wish")
    wait_until(lambda: scene.origin.ended_count == 1, "the origin hears of the end")


def test_origin_breaks_off(scene: Scene) -> None:
    """There is no close frame for that."""
    with open_websocket(scene.port, "/cancel", scene.host) as client:
        client.send("now")
        assert ending(client) == (1006, "")


def test_client_breaks_off(scene: Scene) -> None:
    """The origin is told."""
    with open_websocket(scene.port, "/echo", scene.host) as client:
        assert ask(client, "here") == "here"
        client.socket.close()
    wait_until(lambda: scene.origin.ended_count == 1, "the origin hears of the end")
    assert scene.origin.packets[-1][b"type"] == b"cancel"


def test_origin_refuses(scene: Scene) -> None:
    """Its whole response is the client's."""
    with pytest.raises(InvalidStatus) as refused, open_websocket(scene.port, "/refuse", scene.host):
        raise AssertionError("it was accepted")
    response = refused.value.response
    assert (response.status_code, response.reason_phrase, response.body) == (403, "Nobody", b"refused\n")
    assert response.headers["X-Origin"] == "zeromq"


def test_publishing_to_clients(scene: Scene) -> None:
    """The origin subscribes them, and echoes through the prefix."""
    with open_websocket(scene.port, "/grip", scene.host) as client:
        assert ask(client, "echo") == "echo"
        scene.server.publish({"channel": "room", "ws-message": {"content": "published"}})
        assert next_message(client) == "published"
        client.close()
        assert ending(client) == NORMAL


def test_many_at_once(scene: Scene) -> None:
    """No message goes astray."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(open_websocket(scene.port, "/echo", scene.host)) for _ in range(MANY_COUNT)]
        for turn in range(5):
            for number, client in enumerate(clients):
                client.send(f"{number}.{turn}." * 2000)
            for number, client in enumerate(clients):
                assert next_message(client) == f"{number}.{turn}." * 2000
    wait_until(lambda: not scene.origin.talks, "the origin hears of all ends")


@pytest.mark.gripproxy_only  # pushpin 1.36 has no workers
def test_killed_worker_s_sockets_are_cancelled(scene: Scene) -> None:
    """Nobody else would tell the origin."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(open_websocket(scene.port, "/echo", scene.host)) for _ in range(10)]
        for client in clients:
            ask(client, "here")
        for pid in scene.server.child_pids("gripproxy: worker"):
            os.kill(pid, signal.SIGKILL)
        for client in clients:
            assert ending(client) == (1006, "")
        wait_until(lambda: scene.origin.ended_count == len(clients), "cancels come")


@pytest.mark.gripproxy_only
@pytest.mark.parametrize("scene", ["stream", "tcp"], indirect=True)  # a ROUTER socket knows nobody by a second name
def test_killed_hub_ends_its_sockets_and_comes_back(scene: Scene) -> None:
    """Clients hear at once, and the origin finds the new one by itself."""
    with open_websocket(scene.port, "/echo", scene.host) as client:
        ask(client, "here")
        (hub,) = scene.server.child_pids("gripproxy: hub")
        os.kill(hub, signal.SIGKILL)
        assert ending(client) == (1006, "")
    scene.wait_for(scene.host)
    with open_websocket(scene.port, "/echo", scene.host) as client:
        assert ask(client, "again") == "again"
