"""WebSockets in statistics and commands: by the id that their origin knows; monitors see what they see of Pushpin."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import zmq
from websockets.sync.client import ClientConnection

from tests.conftest import StartServer, new_server
from tests.integration.command import command
from tests.integration.deadline import wait_until
from tests.integration.over_http_origin import EventsOrigin
from tests.integration.raw_client import fetch
from tests.integration.reference import try_reference
from tests.integration.server import GRIPPROXY, PUSHPIN, Server, ServerKind, ServerPlan, post
from tests.integration.stats_monitor import TIMEOUT_S, Monitor, end_monitors
from tests.integration.stats_reader import Fields
from tests.integration.websocket_client import next_message, open_websocket

HANDLER = {"stats_spec": "ipc://{rundir}/{ipc_prefix}stats", "stats_report_interval": 1}
ITEM = {"channel": "news", "id": "1", "ws-message": {"content": "hello"}, "http-stream": {"content": "x"}}


@pytest.fixture(autouse=True)
def monitors_end() -> Iterator[None]:
    """Leave none behind, also after a failure."""
    yield
    end_monitors()


@pytest.fixture
def origin() -> Iterator[EventsOrigin]:
    origin = EventsOrigin()
    origin.start()
    yield origin
    origin.stop()


def plan_for(origin: EventsOrigin, kind: ServerKind = GRIPPROXY) -> ServerPlan:
    sections = {"handler": HANDLER, "proxy": {"stats_report_interval": 1}}
    return ServerPlan(kind=kind, routes=[f"* 127.0.0.1:{origin.port},over_http"], sections=sections)


def opened(server: Server) -> ClientConnection:
    """Open a WebSocket that is subscribed."""
    client = open_websocket(server.http_port, "/socket").__enter__()
    assert next_message(client) == "welcome"
    return client


def watch(origin: EventsOrigin, kind: ServerKind, directory: Path) -> tuple[Monitor, set[str]]:
    """Play a script before the eyes of a monitor; give it, and the ids that the origin knows."""
    origin.asked.clear()
    server = new_server(plan_for(origin, kind), directory)
    try:
        server.start()
        monitor = Monitor(server)
        wait_until(lambda: is_told(server, monitor), "the monitor is subscribed", TIMEOUT_S)
        first = opened(server)
        wait_subscribers(monitor, [1])
        second = opened(server)
        wait_subscribers(monitor, [1, 2])
        server.publish(ITEM)
        monitor.wait("message", item_id="1")
        assert [next_message(client) for client in (first, second)] == ["hello", "hello"]
        first.close()
        wait_subscribers(monitor, [1, 2, 1])
        second.close()
        wait_subscribers(monitor, [1, 2, 1, 0])
        wait_until(lambda: monitor.total("received") == 1 and monitor.total("sent") == 2, "it is reported", TIMEOUT_S)
        wait_until(lambda: all(ends_count for _, ends_count in monitor.lives()), "all have ended", TIMEOUT_S)
        monitor.process.stop()  # it has seen the script, and none of the server's end
    finally:
        server.stop()
    return monitor, {asked.connection_id for asked in origin.asked}


def wait_subscribers(monitor: Monitor, numbers: list[int]) -> None:
    """Wait until the monitor has heard of these numbers, one after the other; how often of each does not matter."""
    wait_until(lambda: monitor.subscriptions() == {("ws", "news"): numbers}, f"{numbers} subscribers", TIMEOUT_S)


def is_told(server: Server, monitor: Monitor) -> bool:
    """Let a connection come and go: who has just subscribed may miss it."""
    fetch(server.http_port, "/socket")
    return bool(monitor.packets("conn"))


def told(monitor: Monitor, kind: str, **wanted: object) -> list[Fields]:
    """Give the packets of a type, without the name of the server, that have these fields."""
    packets = [{name: value for name, value in packet.items() if name != "from"} for packet in monitor.packets(kind)]
    return [packet for packet in packets if wanted.items() <= packet.items()]


@pytest.mark.gripproxy_only
def test_packets_are_those_of_the_reference(short_path: Path, origin: EventsOrigin) -> None:
    """The same script on both servers: two clients, an item for them."""
    theirs, their_ids = try_reference(partial(watch, origin, PUSHPIN), short_path)
    ours, our_ids = watch(origin, GRIPPROXY, short_path / "gripproxy")
    assert told(ours, "message") == told(theirs, "message")
    for monitor, ids in ((theirs, their_ids), (ours, our_ids)):
        conns = told(monitor, "conn", type="ws")
        assert len(ids) == 2
        assert {conn["id"] for conn in conns} == ids
        assert {tuple(sorted(conn)) for conn in conns} == {("id", "peer-address", "ttl", "type")}
        assert {packet["id"] for packet in told(monitor, "conn", unavailable=True)} >= ids


@pytest.mark.gripproxy_only
def test_publisher_hears_how_many_websockets_got_the_item(start_server: StartServer, origin: EventsOrigin) -> None:
    """As he does of streams."""
    server = start_server(plan_for(origin))
    with opened(server), opened(server):
        body = b'{"items":[{"channel":"news","ws-message":{"content":"hello"}}]}'
        status, answer = post(server.control_port, body, "/publish/?wait=delivered")
        assert (status, b'"receivers": 2, "delivered": 2' in answer or b'"receivers":2,"delivered":2' in answer) == (
            200,
            True,
        ), answer


def test_refresh_asks_the_origin_for_news(start_server: StartServer, origin: EventsOrigin) -> None:
    """By the connection's id, or for all on a channel: the origin is asked with an empty body."""
    server = start_server(plan_for(origin))
    with zmq.Context() as context, opened(server) as client:
        connection_id = origin.asked[0].connection_id
        origin.say(b"by id")
        assert command(server, context, "refresh", cid=connection_id)[b"success"] is True
        assert next_message(client) == "by id"
        assert origin.asked[-1].body == b""
        origin.say(b"by channel")
        assert command(server, context, "refresh", channel="news")[b"success"] is True
        assert next_message(client) == "by channel"
        assert command(server, context, "refresh", channel="nobody")[b"success"] is True
        reply = command(server, context, "refresh", cid="00000000-0000-4000-8000-000000000000")
        assert (reply[b"success"], reply[b"condition"]) == (False, b"item-not-found")


def test_conncheck_knows_websockets(start_server: StartServer, origin: EventsOrigin) -> None:
    """By the same id, and until they are gone."""
    server = start_server(plan_for(origin))
    with zmq.Context() as context:
        with opened(server):
            connection_id = origin.asked[0].connection_id
            reply = command(server, context, "conncheck", ids=[connection_id, "nobody"])
            assert reply[b"value"] == [connection_id.encode()]
        wait_until(
            lambda: command(server, context, "conncheck", ids=[connection_id])[b"value"] == [],
            "it is no connection any more",
            TIMEOUT_S,
        )


@pytest.mark.gripproxy_only
def test_published_refresh_asks_the_origin(start_server: StartServer, origin: EventsOrigin) -> None:
    """Pushpin 1.36 knows no such action."""
    server = start_server(plan_for(origin))
    with opened(server) as client:
        origin.say(b"news")
        server.publish({"channel": "news", "ws-message": {"action": "refresh"}})
        assert next_message(client) == "news"
