"""A stop as clients, publishers and a load balancer see it; and what they see while memory is short."""

import contextlib
import signal
from collections.abc import Callable

import pytest

from benchmarks.books import Books
from tests.integration.deadline import wait_until
from tests.integration.ports import free_ports
from tests.integration.process_view import is_gone
from tests.integration.raw_client import RawClient, fetch
from tests.integration.server import Server, ServerPlan
from tests.integration.websocket_client import ending, open_websocket

pytestmark = pytest.mark.gripproxy_only

DRAIN_S = 4
CLIENTS_COUNT = 30  # of each kind, over two workers
PATIENCE_S = 30.0
HOLDS = ("held_streams", "held_responses", "held_websockets")
StartServer = Callable[[ServerPlan], Server]


def readiness(server: Server) -> str:
    """Give the answer of ``/readyz``, empty when nobody gives one."""
    with contextlib.suppress(OSError, AssertionError):
        return fetch(server.control_port, "/readyz").decode()
    return ""


def test_stop_sends_everybody_elsewhere(start_server: StartServer) -> None:
    """Not ready at once; who is left still gets items; each end is a whole one; and the server is gone in time."""
    (metrics_port,) = free_ports(1)
    sections = {"runner": {"drain_timeout": DRAIN_S}, "handler": {"prometheus_port": metrics_port}}
    server = start_server(ServerPlan(routes=["* test"], workers=2, sections=sections))
    process = server.process
    assert process is not None
    assert "200 OK" in readiness(server)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawClient(server.http_port)) for _ in range(2 * CLIENTS_COUNT + 1)]
        streams, polls, idle = clients[:CLIENTS_COUNT], clients[CLIENTS_COUNT:-1], clients[-1]
        for stream, poll in zip(streams, polls, strict=True):
            stream.get("/stream?channel=news")
            poll.get("/response?channel=news")
        idle.get("/")
        idle.receive_until(b"handler!\n")
        socket = stack.enter_context(open_websocket(server.http_port, "/ws"))
        held_count = len(clients)
        wait_until(lambda: sum(map(Books.read(metrics_port).total, HOLDS)) == held_count, "all are held", PATIENCE_S)
        children = server.child_pids("gripproxy: ")
        process.signal(signal.SIGTERM)
        wait_until(lambda: '"draining"' in readiness(server), "the load balancer hears of it")
        server.publish({"channel": "news", "http-stream": {"content": "late\n"}})
        for client in clients:
            client.receive_all(PATIENCE_S)
            client.close()
        assert ending(socket) == (1001, "")
        assert process.wait(PATIENCE_S) == 0
    assert all(stream.received.endswith(b"\r\n0\r\n\r\n") for stream in streams)
    assert any(b"late\n" in stream.received for stream in streams)
    assert all(b"\r\nConnection: close\r\n" in poll.received for poll in polls)
    assert not any(client.is_reset for client in clients)
    assert all(map(is_gone, children))
    assert "killing" not in server.output()


def test_clients_wait_while_memory_is_short(start_server: StartServer) -> None:
    """With a limit that is reached from the beginning nobody comes in; a reload that lifts it lets them in."""
    plan = ServerPlan(routes=["* test"], workers=2, sections={"runner": {"memory_limit": 1_000_000}})
    server = start_server(plan)
    assert server.process is not None
    wait_until(lambda: readiness(server).count("takes no new clients: memory is short") == 2, "both workers look")
    with RawClient(server.http_port) as client:
        client.get("/", "Connection: close")
        assert client.receive_for(0.2) == b""
        plan.sections = {"runner": {"memory_limit": 0}}
        server.config_path.write_text(server.config_text())
        server.process.signal(signal.SIGHUP)
        assert client.receive_all().endswith(b"handler!\n")
    wait_until(lambda: "200 OK" in readiness(server), "the load balancer hears of it")
