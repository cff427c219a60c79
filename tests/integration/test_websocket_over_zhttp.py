"""WebSockets whose origin gets their events in requests over ZeroMQ, and what becomes of them when a process ends."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

import pytest

from gripproxy.protocol.websocket_events import MEDIA_TYPE, WsEvent, decode_events
from tests.integration.deadline import wait_until
from tests.integration.restartable_origin import Events, echo, write_events
from tests.integration.server import Server, ServerPlan
from tests.integration.test_zhttp import Bed
from tests.integration.websocket_client import ask, ending, messages_until, next_message, open_websocket
from tests.integration.zhttp_origin import Answer, ReqOrigin, StreamOrigin, ZmqThread, answer_to

HOST = "events"
CLIENTS_COUNT = 10
SUBSCRIBING = b'c:{"type": "subscribe", "channel": "room"}'


def answer_events(path: str, event: WsEvent) -> Events:
    """Echo; clients of `/grip` get what is published to ``room``, too."""
    answered = echo(path, event)
    if path != "/grip":
        return answered
    if event.kind == b"OPEN":
        return [*answered, (b"TEXT", SUBSCRIBING)]
    return [(kind, b"m:" + content if kind == b"TEXT" else content) for kind, content in answered]


class Scene(Bed):
    """A server and an origin, which can be stopped and started; `seen` are the events that it got."""

    def __init__(self, server: Server, spec: str, is_req: bool) -> None:
        super().__init__(server, {HOST: spec})
        self.is_req = is_req
        self.seen: list[WsEvent] = []
        self.origin: ZmqThread | None = None

    def start_origin(self) -> None:
        self.origin = ReqOrigin(self.specs[HOST]) if self.is_req else StreamOrigin(self.stream_addresses(HOST))
        self.origin.answer_to = self.answer
        self.origin.start()

    def stop_origin(self) -> None:
        """End it. It must not have seen a breach of the protocol."""
        origin, self.origin = self.origin, None
        assert origin is not None
        origin.stop()
        assert not isinstance(origin, StreamOrigin) or origin.errors == []

    def answer(self, path: str, body: bytes) -> Answer:
        if path == "/":
            return answer_to(path, body)
        events = decode_events(body)
        self.seen += events
        headers = [[b"Content-Type", MEDIA_TYPE]]
        if path == "/grip":
            headers.append([b"Sec-WebSocket-Extensions", b"grip"])
        answers = [answer for event in events for answer in answer_events(path, event)]
        return Answer(headers=headers, body=write_events(answers))


@pytest.fixture(params=["zhttp", "zhttpreq"])
def scene(
    request: pytest.FixtureRequest, start_server: Callable[[ServerPlan], Server], short_path: object
) -> Iterator[Scene]:
    """Each kind of target."""
    spec = f"ipc://{short_path}/events"
    server = start_server(ServerPlan(routes=[f"{HOST} {request.param}/{spec},over_http"]))
    scene = Scene(server, spec, request.param == "zhttpreq")
    scene.start_origin()
    try:
        scene.wait_for(HOST)
        yield scene
    finally:
        if scene.origin is not None:
            scene.stop_origin()
    assert "internal error" not in server.output()


def test_messages_both_ways(scene: Scene) -> None:
    """In order, large ones too, and the end's code and reason."""
    with open_websocket(scene.server.http_port, "/echo", HOST) as client:
        for number in range(100):
            client.send(f"{number}")
        assert messages_until(client, "99") == [f"{number}" for number in range(100)]
        for message in (b"\xff" * 10_000, "", "x" * 200_000):
            assert ask(client, message) == message
        client.close(4001, "bye")
        assert ending(client) == (4001, "bye")


def test_publishing_to_clients(scene: Scene) -> None:
    with open_websocket(scene.server.http_port, "/grip", HOST) as client:
        assert ask(client, "echo") == "echo"
        scene.server.publish({"channel": "room", "ws-message": {"content": "published"}})
        assert next_message(client) == "published"


def test_origin_hears_of_a_lost_client(scene: Scene) -> None:
    with open_websocket(scene.server.http_port, "/echo", HOST) as client:
        assert ask(client, "here") == "here"
        client.socket.close()
        wait_until(lambda: scene.seen[-1].kind == b"DISCONNECT", "a DISCONNECT")


def test_origin_is_restarted_under_its_clients(scene: Scene) -> None:
    """None of them is lost, nor any message, and none comes twice."""
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(open_websocket(scene.server.http_port, "/echo", HOST)) for _ in range(CLIENTS_COUNT)
        ]
        scene.stop_origin()
        if not scene.is_req:  # for whose origin requests wait
            scene.wait_for(HOST, b"502")
        for number, client in enumerate(clients):
            client.send(f"away {number}")
            client.send(f"still away {number}")
        scene.start_origin()
        for number, client in enumerate(clients):
            client.send(f"after {number}")
            expected = [f"away {number}", f"still away {number}", f"after {number}"]
            assert messages_until(client, f"after {number}") == expected


def test_hub_is_killed_under_idle_clients(scene: Scene) -> None:
    """They do not notice: nothing of theirs is in the hub."""
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(open_websocket(scene.server.http_port, "/grip", HOST)) for _ in range(CLIENTS_COUNT)
        ]
        for client in clients:
            assert ask(client, "before") == "before"
        (hub,) = scene.server.child_pids("gripproxy: hub")
        os.kill(hub, signal.SIGKILL)
        wait_until(lambda: scene.server.child_pids("gripproxy: hub") not in ([], [hub]), "another hub")
        scene.wait_for(HOST)
        for number, client in enumerate(clients):
            assert ask(client, f"after {number}") == f"after {number}"
        scene.server.publish({"channel": "room", "ws-message": {"content": "published"}})
        for client in clients:
            assert next_message(client) == "published"
