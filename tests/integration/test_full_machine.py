"""No room left: for clients, for descriptors, for connections to the origin. What is connected goes on, and so does the
listener; publishers and the metrics page are answered throughout.
"""

import contextlib
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import make_pair
from tests.integration.deadline import wait_until
from tests.integration.origin import WAIT, ScriptedOrigin, answer
from tests.integration.ports import free_ports
from tests.integration.process_view import fd_targets
from tests.integration.raw_client import RawClient, fetch
from tests.integration.server import Server, ServerPlan
from tests.integration.test_listeners import LocalClient
from tests.integration.tls_client import TlsClient

pytestmark = pytest.mark.gripproxy_only

HELLO = b"Hello from the Pushpin test handler!\n"
PAUSE_MIN_S = 0.4  # between two attempts to accept when there is no descriptor: a little less than it is


class FullServer(Server):
    """A server with a metrics page, and with few file descriptors if `fd_limit` says so."""

    def __init__(self, plan: ServerPlan, directory: Path, fd_limit: int | None = None) -> None:
        directory.mkdir()
        self.metrics_port, self.tls_port = free_ports(2)
        runner = {"https_ports": self.tls_port, **plan.sections.get("runner", {})}
        plan.sections = {**plan.sections, "runner": runner, "handler": {"prometheus_port": self.metrics_port}}
        super().__init__(plan, directory)
        self._fd_limit = fd_limit
        make_pair(directory / "runner" / "certs", "a.test")

    def argv(self) -> list[str]:
        argv = super().argv()
        if self._fd_limit is None:
            return argv
        return ["sh", "-c", f'ulimit -n {self._fd_limit}; exec "$@"', "sh", *argv]

    def metric(self, name: str) -> int:
        """Add up a counter of all workers."""
        page = fetch(self.metrics_port, "/metrics").decode()
        return sum(int(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(f"gripproxy_{name}{{"))

    def check_publishing(self, held: RawClient, text: str) -> None:
        """Publish, and see it arrive at a client that was held before."""
        self.publish_stream("test", f"{text}\n")
        held.receive_until(text.encode())


@pytest.fixture
def servers() -> Iterator[list[FullServer]]:
    started: list[FullServer] = []
    yield started
    for server in started:
        server.stop()


@pytest.fixture
def origin() -> Iterator[ScriptedOrigin]:
    origin = ScriptedOrigin()
    origin.start()
    yield origin
    origin.stop()


def hold(port: int) -> RawClient:
    """Hold a stream; what was connected to see whether the server has started may have to leave first."""

    def attempt() -> RawClient | None:
        client = RawClient(port)
        client.get("/stream", host="held.test")
        while b"[stream opened]" not in client.received and client.poll(5.0):
            pass
        if client.is_ended:
            client.close()
            return None
        return client

    return wait_until(attempt, "a stream is held")


def is_served(port: int) -> bool:
    with contextlib.suppress(OSError), RawClient(port) as client:
        client.get("/", host="held.test")
        client.poll(5.0)
        return HELLO in client.received
    return False


def test_clients_beyond_the_limit_get_an_answer_and_the_listeners_live(
    servers: list[FullServer], short_path: Path
) -> None:
    """By plain HTTP a 503, by TLS a close; and whoever leaves makes room."""
    plan = ServerPlan(routes=["* test"], sections={"runner": {"client_maxconn": 20}})
    servers.append(server := FullServer(plan, short_path / "s"))
    server.start()
    held = [hold(server.http_port) for _ in range(20)]
    refused_before = server.metric("connections_refused_total")
    for number in range(30):
        with RawClient(server.http_port) as refused:
            refused.get("/")
            assert refused.receive_all().startswith(b"HTTP/1.0 503 "), number
        with pytest.raises(OSError):
            TlsClient(server.tls_port)
    assert server.metric("connections_refused_total") - refused_before == 60
    server.check_publishing(held[0], "while it is full")
    held.pop().close()
    wait_until(lambda: is_served(server.http_port), "a place is free")
    for client in held:
        client.close()
    wait_until(lambda: server.metric("connections") == 0, "all have left")
    with TlsClient(server.tls_port) as client:
        client.get("/")
        client.receive_until(HELLO)


def test_clients_beyond_the_descriptors_get_an_answer(
    servers: list[FullServer], origin: ScriptedOrigin, short_path: Path
) -> None:
    """With the origin's connections used up at the same time, by requests that it does not answer."""
    origin.play({"/": [WAIT, answer(body=b"at last")]})
    plan = ServerPlan(routes=["held.test test", f"* 127.0.0.1:{origin.port}"], workers=1)
    servers.append(server := FullServer(plan, short_path / "s", fd_limit=400))  # 200 for clients, 100 for the origin
    server.start()
    held = hold(server.http_port)
    asking = [RawClient(server.http_port) for _ in range(199)]
    for client in asking:
        client.get("/")
    # Three quarters of the 100: the others are kept for other origins.
    wait_until(lambda: len(origin.requests) == 75, "the origin has all connections that it may have")
    for _ in range(100):
        with RawClient(server.http_port) as refused:
            assert refused.receive_all().startswith(b"HTTP/1.0 503 ")
    server.check_publishing(held, "while nothing is left")
    assert "cannot accept" not in server.output(), "the limit is below that of the system"
    origin.release()
    for client in asking:
        client.receive_until(b"at last")
    for client in asking:
        client.close()
    wait_until(lambda: is_served(server.http_port), "clients are served again")
    assert server.metric("internal_errors_total") == 0
    held.close()


@pytest.mark.parametrize("way", ["plain", "tls", "local"])
def test_listener_survives_that_the_system_has_no_descriptor_left(
    servers: list[FullServer], short_path: Path, way: str
) -> None:
    """Nothing spins, nothing is lost: the clients wait in the kernel's queue and are served when there is room."""
    plan = ServerPlan(routes=["* test"], workers=1, sections={"runner": {"local_ports": "{rundir}/server"}})
    servers.append(server := FullServer(plan, short_path / "s"))
    server.start()
    held = hold(server.http_port)
    worker = server.holding_pids()[0]
    limits = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (len(fd_targets(worker)), limits[1]))
    started = time.monotonic()
    pauses_before = server.metric("accept_pauses_total")
    waiting = [connect(server, way) for _ in range(5)]
    wait_until(lambda: server.metric("accept_pauses_total") >= 5, "it has tried five times")
    server.check_publishing(held, "without a descriptor")
    tries_count = server.metric("accept_pauses_total") - pauses_before
    elapsed_s = time.monotonic() - started
    assert tries_count <= elapsed_s / PAUSE_MIN_S + 2
    assert 1 <= server.output().count("cannot accept: Too many open files") <= elapsed_s + 2
    resource.prlimit(worker, resource.RLIMIT_NOFILE, limits)
    for client in waiting:
        served = TlsClient.over(client) if way == "tls" else client
        served.get("/")
        served.receive_until(HELLO)
        served.close()
    assert server.holding_pids() == [worker]
    held.close()


def connect(server: FullServer, way: str) -> RawClient:
    if way == "local":
        return LocalClient(server.directory / "server")
    return RawClient(server.tls_port if way == "tls" else server.http_port)


def test_client_that_does_not_read_its_503_holds_nothing_up(servers: list[FullServer], short_path: Path) -> None:
    """Its socket is not waited for."""
    plan = ServerPlan(routes=["* test"], workers=1, sections={"runner": {"client_maxconn": 1}})
    servers.append(server := FullServer(plan, short_path / "s"))
    server.start()
    held = hold(server.http_port)
    refused_before = server.metric("connections_refused_total")
    deaf = [RawClient(server.http_port) for _ in range(200)]
    wait_until(lambda: server.metric("connections_refused_total") - refused_before == 200, "all are refused")
    fds = len(os.listdir(f"/proc/{server.holding_pids()[0]}/fd"))
    assert fds < 100
    server.check_publishing(held, "after 200 of them")
    for client in [*deaf, held]:
        client.close()
