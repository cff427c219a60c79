"""A load balancer in front of two hosts, as deploy/haproxy has it: who the client is, who is ready, and who drains."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import StartServer
from tests.installed import require
from tests.integration.deadline import wait_until
from tests.integration.haproxy import EXAMPLE, Haproxy
from tests.integration.origin import ScriptedOrigin
from tests.integration.ports import free_ports
from tests.integration.raw_client import RawClient, fetch
from tests.integration.server import Server, ServerPlan
from tests.integration.tls_client import TlsClient

pytestmark = pytest.mark.gripproxy_only

DRAIN_S = 5  # longer than the load balancer needs to notice: two checks, a second apart
STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n"
    b"Grip-Hold: stream\r\nGrip-Channel: news\r\n\r\nopen\n"
)


class Site:
    """An origin, two hosts, and the load balancer."""

    def __init__(self, start_server: StartServer, directory: Path) -> None:
        self.origin = ScriptedOrigin()
        self.origin.start()
        self.origin.play({"/": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n", "/stream": STREAM})
        metrics_ports = free_ports(2)
        self.hosts: list[Server] = [self._start_host(start_server, port) for port in metrics_ports]
        self.balancer = Haproxy(
            directory, [(host.http_port, port) for host, port in zip(self.hosts, metrics_ports, strict=True)]
        )
        self.balancer.start()

    def _start_host(self, start_server: StartServer, metrics_port: int) -> Server:
        sections = {
            "runner": {"drain_timeout": DRAIN_S},
            "proxy": {"set_real_ip_from": "127.0.0.1", "x_forwarded_for": "append"},
            "handler": {"prometheus_port": f"127.0.0.1:{metrics_port}"},
        }
        routes = (f"* 127.0.0.1:{self.origin.port}",)
        return start_server(ServerPlan(routes=routes, listener_options="?proxy_protocol=true", sections=sections))

    def publish(self, content: str) -> None:
        for host in self.hosts:
            if host.process is not None and host.process.is_running():
                host.publish_stream("news", content)

    def close(self) -> None:
        self.balancer.stop()
        self.origin.stop()


@pytest.fixture
def site(start_server: StartServer, tmp_path: Path) -> Iterator[Site]:
    require("haproxy")
    site = Site(start_server, tmp_path)
    yield site
    site.close()


def test_example_is_accepted(tmp_path: Path) -> None:
    """Byte for byte what the reader copies, but for the certificate, which HAProxy wants to see."""
    require("haproxy")
    balancer = Haproxy(tmp_path, [(1, 2)])
    text = EXAMPLE.read_text().replace("/etc/haproxy/certs", str(tmp_path / "certs"))
    balancer.config.write_text(text)
    checked = subprocess.run(["haproxy", "-c", "-f", str(balancer.config)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr.upper(), checked.stderr


def test_origin_learns_who_the_client_is(site: Site) -> None:
    """Not the load balancer, and not what the client says of itself."""
    plain_client = RawClient(site.balancer.plain_port, source="127.0.0.2")
    tls_client = TlsClient.over(RawClient(site.balancer.tls_port, source="127.0.0.3"))
    for client in (plain_client, tls_client):
        with client:
            client.get("/", "X-Forwarded-For: 203.0.113.9")
            client.receive_until(b"ok\n")
    plain, by_tls = site.origin.requests
    assert plain.header("X-Forwarded-For") == "127.0.0.2"
    assert by_tls.header("X-Forwarded-For") == "127.0.0.3"
    assert plain.header("X-Forwarded-Proto") is None
    assert by_tls.header("X-Forwarded-Proto") == "https"


def test_nobody_gets_round_the_balancer(site: Site) -> None:
    with RawClient(site.hosts[0].http_port) as client:
        client.get("/")
        assert client.receive_all() == b""
    assert not site.origin.requests


def test_held_clients_get_what_is_published(site: Site) -> None:
    """Both hosts have some of them."""
    with TlsClient(site.balancer.tls_port) as first, TlsClient(site.balancer.tls_port) as second:
        for client in (first, second):
            client.get("/stream")
            client.receive_until(b"open\n")
        site.publish("hello\n")
        for client in (first, second):
            client.receive_until(b"hello\n")


def test_host_that_drains_gets_no_new_clients(site: Site) -> None:
    """Its streams end whole, so that browsers connect again; and nobody is refused in the meantime."""
    with TlsClient(site.balancer.tls_port) as first, TlsClient(site.balancer.tls_port) as second:
        for client in (first, second):
            client.get("/stream")
            client.receive_until(b"open\n")
        leaving = site.hosts[0]
        process = leaving.process
        assert process is not None
        process.signal(signal.SIGTERM)

        def is_gone_and_nobody_noticed() -> bool:
            assert fetch(site.balancer.plain_port, "/").endswith(b"ok\n")
            return not process.is_running()

        wait_until(is_gone_and_nobody_noticed, "the host has drained", timeout_s=30.0)
        assert process.wait() == 0
        ended = [client for client in (first, second) if client.poll(0.0)]
        assert len(ended) == 1
        assert ended[0].receive_all().endswith(b"0\r\n\r\n")
        site.publish("still here\n")
        (kept,) = {first, second} - set(ended)
        kept.receive_until(b"still here\n")
