"""Clients' ways in: IPv6, unix sockets that outlive a worker, and limits of a listener's own."""

import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import StartServer
from tests.integration.deadline import wait_until
from tests.integration.origin import ScriptedOrigin, answer
from tests.integration.ports import free_ports
from tests.integration.process_view import is_gone
from tests.integration.raw_client import RawClient
from tests.integration.server import Server, ServerPlan
from tests.integration.test_start import run_to_end

pytestmark = pytest.mark.gripproxy_only

HELLO = b"Hello from the Pushpin test handler!\n"


class LocalClient(RawClient):
    """The raw client on a unix socket."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10.0)
        self.socket.connect(str(path))
        self.received = b""
        self.is_ended = False
        self.is_reset = False


@pytest.fixture
def origin() -> Iterator[ScriptedOrigin]:
    origin = ScriptedOrigin()
    origin.start()
    yield origin
    origin.stop()


def start_local(start_server: StartServer, **keys: str | int) -> tuple[Server, Path]:
    options = "?mode=660&group=root"
    runner = {"local_ports": "{rundir}/{ipc_prefix}server" + options, **keys}
    server = start_server(ServerPlan(routes=["* test"], sections={"runner": runner}))
    return server, server.directory / "t-server"


def test_unix_socket_serves_with_mode_and_group(start_server: StartServer) -> None:
    """As the example of the reference's configuration has it."""
    server, path = start_local(start_server)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660 and path.stat().st_gid == 0
    with LocalClient(path) as client:
        client.get("/")
        client.receive_until(HELLO)
        client.get("/stream")
        client.receive_until(b"[stream opened]")
        server.publish_stream("test", "hello by unix socket\n")
        client.receive_until(b"hello by unix socket")
    server.stop()
    assert not path.exists()


def test_every_worker_accepts_on_the_unix_socket(start_server: StartServer) -> None:
    """One that got all of the clients would be full while the others idle."""
    server, path = start_local(start_server)
    pids = set(server.holding_pids())
    clients = [LocalClient(path) for _ in range(60)]
    for client in clients:
        client.get("/stream")
    for client in clients:
        client.receive_until(b"[stream opened]")
    server.publish_stream("test", "for all\n")
    for client in clients:
        client.receive_until(b"for all")
    accepted = [unix_clients(pid, path) for pid in pids]
    assert sum(accepted) == 60 and min(accepted) > 0, accepted
    for client in clients:
        client.close()


def unix_clients(pid: int, path: Path) -> int:
    """Count a worker's connections on a unix socket, its listener left out."""
    table = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    connected = {fields[6] for fields in table if fields[-1] == str(path) and fields[5] == "03"}
    found = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(entry)
        except OSError:
            continue
        found += target.startswith("socket:[") and target[len("socket:[") : -1] in connected
    return found


def test_unix_socket_outlives_its_workers(start_server: StartServer) -> None:
    """A client that comes between two of them waits and is served by the next."""
    server, path = start_local(start_server, workers=1)
    worker = server.holding_pids()[0]
    os.kill(worker, signal.SIGSTOP)
    with LocalClient(path) as client:
        client.get("/")
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: is_gone(worker), "the worker is gone")
        client.receive_until(HELLO)


def test_unix_socket_of_a_killed_instance_is_replaced(start_server: StartServer) -> None:
    server, path = start_local(start_server)
    assert server.process is not None
    server.process.signal(signal.SIGKILL)
    server.process.stop()
    assert path.exists()
    server.start()
    with LocalClient(path) as client:
        client.get("/")
        client.receive_until(HELLO)


def test_client_on_a_unix_socket_adds_no_address(start_server: StartServer, origin: ScriptedOrigin) -> None:
    """It has none; what the web server in front says of the real client stays."""
    origin.play({"/": answer()})
    sections = {
        "runner": {"local_ports": "{rundir}/server"},
        "proxy": {"x_forwarded_for": "append", "x_forwarded_for_trusted": "append"},
    }
    server = start_server(ServerPlan(routes=[f"* 127.0.0.1:{origin.port}"], sections=sections))
    with LocalClient(server.directory / "server") as client:
        client.get("/")
        client.receive_until(b"Content-Length: 0\r\n\r\n")
    assert origin.requests[0].header("X-Forwarded-For") is None
    with RawClient(server.http_port) as client:
        client.get("/")
        client.receive_until(b"Content-Length: 0\r\n\r\n")
    assert origin.requests[1].header("X-Forwarded-For") == "127.0.0.1"


def test_ipv6_listener_serves(start_server: StartServer, origin: ScriptedOrigin) -> None:
    """Beside IPv4 on the same port number."""
    origin.play({"/": answer()})
    port = free_ports(1)[0]
    runner = {"http_port": f"127.0.0.1:{port},[::1]:{port}"}
    sections = {"runner": runner, "proxy": {"x_forwarded_for": "append"}}
    plan = ServerPlan(routes=[f"* 127.0.0.1:{origin.port}"], sections=sections)
    plan.http_port_count = 0
    start_server(plan)
    for host in ("127.0.0.1", "::1"):
        with RawClient(port, host) as client:
            client.get("/")
            client.receive_until(b"Content-Length: 0\r\n\r\n")
        assert origin.requests[-1].header("X-Forwarded-For") == host


def test_listener_with_a_limit_leaves_the_others_alone(start_server: StartServer) -> None:
    """Over all workers; and there is room again when somebody leaves."""
    runner = {"local_ports": "{rundir}/server?maxconn=4"}
    server = start_server(ServerPlan(routes=["* test"], sections={"runner": runner}))
    path = server.directory / "server"
    clients = [LocalClient(path) for _ in range(4)]
    for client in clients:
        client.get("/stream")
        client.receive_until(b"[stream opened]")
    with LocalClient(path) as refused:
        assert refused.receive_all().startswith(b"HTTP/1.0 503 ")
    with RawClient(server.http_port) as other:
        other.get("/")
        other.receive_until(HELLO)
    clients.pop().close()

    def is_served() -> bool:
        with LocalClient(path) as client:
            client.get("/")
            client.poll(5.0)
            return HELLO in client.received

    wait_until(is_served, "a place is free again")
    for client in clients:
        client.close()


def test_file_without_any_listener_does_not_start(short_path: Path) -> None:
    """In the reference's words."""
    config = short_path / "a.conf"
    config.write_text("[runner]\nlocal_ports=\n[proxy]\nroutesfile=r\n")
    status, output = run_to_end(short_path, "--config", str(config))
    assert status == 1 and "no server ports configured" in output
