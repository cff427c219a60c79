"""The stats socket, to monitors that were written for Pushpin; with ``--server pushpin`` they show the reference."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import StartServer, new_server
from tests.integration.deadline import wait_until
from tests.integration.origin import ScriptedOrigin, answer
from tests.integration.raw_client import RawClient
from tests.integration.reference import try_reference
from tests.integration.server import GRIPPROXY, PUSHPIN, Server, ServerKind, ServerPlan
from tests.integration.stats_monitor import TIMEOUT_S, Monitor, end_monitors
from tests.integration.stats_reader import Fields

HANDLER = {
    "stats_spec": "ipc://{rundir}/{ipc_prefix}stats",
    "stats_report_interval": 1,
    "subscription_linger": 1,
    "message_block_size": 10,
    "update_on_first_subscription": "false",
}
STREAM = answer("200 OK", "Content-Type: text/plain", "Grip-Hold: stream", "Grip-Channel: news", body=b"hi\n")
POLL = answer("200 OK", "Content-Type: text/plain", "Grip-Hold: response", "Grip-Channel: polls", "Grip-Timeout: 60")
PLAIN = answer("200 OK", "Content-Type: text/plain", body=b"plain")
# Those of requests to origins differ, as some of their headers do.
BYTES = [
    f"{side}-bytes-{way}"
    for side in ("client-header", "client-content", "server-header", "server-content")
    for way in ("received", "sent")
    if (side, way) != ("server-header", "sent")
]


@pytest.fixture(autouse=True)
def monitors_end() -> Iterator[None]:
    """Leave none behind, also after a failure."""
    yield
    end_monitors()


def start_origin() -> ScriptedOrigin:
    origin = ScriptedOrigin()
    origin.start()
    origin.play({"/stream": [STREAM], "/poll": [POLL], "/plain": [PLAIN]})
    return origin


def plan_for(origin: ScriptedOrigin, **handler: str | int) -> ServerPlan:
    """Route to the origin, on one host by a route with an id."""
    target = f"127.0.0.1:{origin.port}"
    sections = {"handler": {**HANDLER, **handler}, "proxy": {"stats_report_interval": 1}}
    return ServerPlan(routes=[f"main.test,id=main {target}", f"* {target}"], sections=sections)


def hold(server: Server, host: str = "localhost") -> RawClient:
    client = RawClient(server.http_port)
    client.get("/stream", host=host)
    client.receive_until(b"hi\n")
    return client


def test_reader_prints_reports_with_connections(start_server: StartServer) -> None:
    """What people watch Pushpin with: lines ``report {... 'connections': N ...}``, tnetstrings, nothing configured."""
    origin = start_origin()
    server = start_server(plan_for(origin))
    monitor = Monitor(server, "report")
    clients = [hold(server) for _ in range(3)]
    monitor.wait("report", connections=3)
    server.publish_stream("news", "x")
    wait_until(lambda: monitor.total("sent") == 3 and monitor.total("received") == 1, "the item is reported", TIMEOUT_S)
    for client in clients:
        client.close()
    monitor.wait("report", connections=0)
    assert monitor.total("minutes") >= 3
    assert all(900 < packet["duration"] < 60_000 for packet in monitor.packets("report")[1:])
    origin.stop()


def run_script(server: Server) -> Monitor:
    """Hold, publish and leave before the eyes of a monitor."""
    monitor = Monitor(server)
    monitor.wait_subscribed(server)
    first = hold(server, "main.test")
    monitor.wait("sub", mode="stream", subscribers=1)
    second = hold(server)
    monitor.wait("sub", mode="stream", subscribers=2)
    poll = RawClient(server.http_port)
    poll.get("/poll")
    monitor.wait("sub", mode="response", subscribers=1)
    stream_item = {
        "channel": "news",
        "id": "1",
        "http-stream": {"content": "0123456789ab"},
        "ws-message": {"content": ""},
    }
    server.publish(stream_item)
    monitor.wait("message", item_id="1")
    server.publish(stream_item, {"channel": "nobody", "http-stream": {"content": "x"}})
    server.publish({"channel": "polls", "http-response": {"body": "x"}, "http-stream": {"content": "longer than it"}})
    poll.receive_until(b"x")
    monitor.wait("message", channel="polls")
    poll.close()
    monitor.wait("sub", mode="response", unavailable=True)
    first.close()
    monitor.wait("sub", mode="stream", subscribers=1, count=2)
    second.close()
    monitor.wait("sub", mode="stream", unavailable=True)
    wait_until(lambda: monitor.total("received") == monitor.total("sent") == 3, "all items are reported", TIMEOUT_S)
    wait_until(lambda: all(ends_count for _, ends_count in monitor.lives()), "all connections have ended", TIMEOUT_S)
    monitor.wait("activity")
    monitor.wait("counts")
    monitor.process.stop()  # it has seen the script, and none of the server's end
    return monitor


def watch(plan: ServerPlan, kind: ServerKind, directory: Path) -> Monitor:
    """Play the script on a server of its own."""
    plan.kind = kind
    server = new_server(plan, directory)
    try:
        server.start()
        return run_script(server)
    finally:
        server.stop()


def without(packets: list[Fields], *names: str) -> list[Fields]:
    return [{name: value for name, value in packet.items() if name not in names} for packet in packets]


@pytest.mark.gripproxy_only
@pytest.mark.parametrize("stats_format", ["tnetstring", "json"])
def test_packets_are_those_of_the_reference(short_path: Path, stats_format: str) -> None:
    """The same script on both servers, seen by the same monitor."""
    origin = start_origin()
    theirs = try_reference(partial(watch, plan_for(origin, stats_format=stats_format), PUSHPIN), short_path)
    ours = watch(plan_for(origin, stats_format=stats_format), GRIPPROXY, short_path / "gripproxy")
    origin.stop()
    assert without(ours.packets("message"), "from") == without(theirs.packets("message"), "from")
    assert ours.subscriptions() == theirs.subscriptions()
    # How often the origin was asked until the monitor was subscribed differs.
    for first, ends_count in ours.lives():
        assert (
            first in [theirs_first | {"from": first["from"]} for theirs_first, _ in theirs.lives()],
            ends_count,
        ) == (True, 1)
    assert [sum("route" in first for first, _ in monitor.lives()) for monitor in (ours, theirs)] == [1, 1]
    for name in ("received", "sent", "http-response-sent", "blocks-received", "blocks-sent"):
        assert (name, ours.total(name)) == (name, theirs.total(name))
    for kind_of_packet in ("activity", "counts", "conn", "sub", "report"):
        names_of_theirs = {name for packet in theirs.packets(kind_of_packet) for name in packet}
        names_of_ours = {name for packet in ours.packets(kind_of_packet) for name in packet}
        assert names_of_ours >= names_of_theirs
    most = [max(packet["connections"] for packet in monitor.packets("report")) for monitor in (ours, theirs)]
    assert most[0] >= 2  # a route's own; the reference adds those that are held to the packet without a route
    assert most[1] >= 2


def count_bytes(kind: ServerKind, directory: Path) -> Fields:
    """Hold, publish, post and leave; give what the reports have of it."""
    origin = start_origin()
    plan = plan_for(origin, update_on_first_subscription="true")
    plan.kind = kind
    server = new_server(plan, directory)
    try:
        server.start()
        monitor = Monitor(server, "report,conn")
        monitor.wait_subscribed(server)
        monitor.wait("report", connections=0)
        before = {name: monitor.total(name) for name in BYTES}
        connections_count = monitor.total("minutes")
        stream, poll, post = hold(server, "main.test"), RawClient(server.http_port), RawClient(server.http_port)
        poll.get("/poll", "User-Agent: poller", host="main.test")
        # A second after the first subscription the origin is asked again: what comes meanwhile the reference loses.
        wait_until(lambda: [request.target for request in origin.requests].count("/poll") >= 2, "update", TIMEOUT_S)
        reports_count = len([packet for packet in monitor.packets("report") if packet["connections"] == 2])
        monitor.wait("report", connections=2, count=reports_count + 1)
        server.publish({"channel": "news", "http-stream": {"content": "0123456789ab"}})
        stream.receive_until(b"0123456789ab")
        server.publish({"channel": "polls", "http-response": {"body": "answer", "headers": {"X-Some": "thing"}}})
        poll.receive_until(b"answer")
        post.send(b"POST /plain?a=b HTTP/1.1\r\nHost: main.test\r\nContent-Length: 5\r\n\r\n12345")
        post.receive_until(b"plain")
        for client in (stream, poll, post):
            client.close()
        ends_count = len([packet for packet in monitor.packets("report") if not packet["connections"]])
        monitor.wait("report", connections=0, count=ends_count + 1)
        wait_until(lambda: monitor.total("minutes") == connections_count + 3, "all are reported", TIMEOUT_S)
        return {name: monitor.total(name) - before[name] for name in BYTES}
    finally:
        server.stop()
        origin.stop()


@pytest.mark.gripproxy_only
def test_bytes_are_those_of_the_reference(short_path: Path) -> None:
    """Of every report together, as held connections have no route there."""
    theirs = try_reference(partial(count_bytes, PUSHPIN), short_path)
    assert count_bytes(GRIPPROXY, short_path / "gripproxy") == theirs


@pytest.mark.gripproxy_only
def test_monitor_hears_all_again_after_the_hub_was_killed(start_server: StartServer) -> None:
    """The next hub knows nothing, and the workers tell it."""
    origin = start_origin()
    server = start_server(plan_for(origin))
    monitor = Monitor(server, "sub,conn")
    monitor.wait_subscribed(server)
    clients = [hold(server), hold(server)]
    monitor.wait("sub", subscribers=2)
    [hub_pid] = server.child_pids("gripproxy: hub")
    os.kill(hub_pid, signal.SIGKILL)
    before_count = len(monitor.packets("sub"))
    wait_until(lambda: len(monitor.packets("sub")) > before_count, "subscriptions are told again", TIMEOUT_S)
    clients.append(hold(server))
    monitor.wait("sub", subscribers=3)
    for client in clients:
        client.close()
    monitor.wait("sub", unavailable=True)
    origin.stop()


@pytest.mark.gripproxy_only
def test_worker_that_did_not_notice_a_new_hub_tells_it_all(start_server: StartServer) -> None:
    """It stood still meanwhile, so to it the same was watched all the time."""
    origin = start_origin()
    plan = plan_for(origin)
    plan.workers = 1
    server = start_server(plan)
    monitor = Monitor(server, "sub,conn,report")
    monitor.wait_subscribed(server)
    with hold(server):
        monitor.wait("sub", subscribers=1)
        before_count = len(monitor.packets("sub"))
        [worker_pid] = server.child_pids("gripproxy: worker")
        [hub_pid] = server.child_pids("gripproxy: hub")
        os.kill(worker_pid, signal.SIGSTOP)
        os.kill(hub_pid, signal.SIGKILL)
        wait_until(lambda: has_published(server), "the next hub takes items", TIMEOUT_S)
        monitor.wait("report", received=1)  # so it knows what is watched
        os.kill(worker_pid, signal.SIGCONT)
        wait_until(lambda: len(monitor.packets("sub")) > before_count, "subscriptions are told again", TIMEOUT_S)
    origin.stop()


def has_published(server: Server) -> bool:
    """Publish an item, if there is a hub that takes it."""
    try:
        server.publish_stream("nobody", "x")
    except OSError:
        return False
    return True


@pytest.mark.gripproxy_only
def test_killed_worker_takes_its_subscribers_with_it(start_server: StartServer) -> None:
    """Its clients are gone, so a monitor must not go on counting them."""
    origin = start_origin()
    plan = plan_for(origin)
    plan.workers = 1
    server = start_server(plan)
    monitor = Monitor(server)
    monitor.wait_subscribed(server)
    client = hold(server)
    monitor.wait("sub", subscribers=1)
    monitor.wait("report", connections=1)
    [worker_pid] = server.child_pids("gripproxy: worker")
    os.kill(worker_pid, signal.SIGKILL)
    monitor.wait("sub", unavailable=True)
    monitor.wait("report", connections=0)
    client.close()
    origin.stop()
