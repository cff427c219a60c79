"""HTTPS with the real program: certificates by name, holds by TLS, resumption in any worker, and rude clients."""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.certificates import make_pair
from tests.conftest import StartServer
from tests.installed import require
from tests.integration.deadline import wait_until
from tests.integration.ports import free_ports
from tests.integration.process_view import is_gone
from tests.integration.raw_client import RawClient, fetch
from tests.integration.server import Server, ServerPlan
from tests.integration.tls_client import TlsClient, client_context

pytestmark = pytest.mark.gripproxy_only

HELLO = b"Hello from the Pushpin test handler!\n"
SILENT_COUNT = 1000


class TlsSite:
    """A server with a TLS port, and its certificates' directory."""

    def __init__(self, start_server: StartServer, routes: tuple[str, ...] = ("* test",), workers: int = 2) -> None:
        self.port, self.metrics_port = free_ports(2)
        sections = {"runner": {"https_ports": self.port}, "handler": {"prometheus_port": self.metrics_port}}
        self.server: Server = start_server(ServerPlan(routes=routes, workers=workers, sections=sections))
        self.certificates: Path = self.server.directory / "runner" / "certs"
        make_pair(self.certificates, "a.test")

    def metric(self, name: str) -> int:
        """Add up a counter of all workers."""
        page = fetch(self.metrics_port, "/metrics").decode()
        return sum(int(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(f"gripproxy_{name}{{"))


@pytest.fixture
def site(start_server: StartServer) -> TlsSite:
    return TlsSite(start_server)


def test_certificate_that_comes_after_the_start_is_used(site: TlsSite) -> None:
    """The start said that there is none; nobody has to do it again."""
    assert "nobody can connect by https" in site.server.output()
    with TlsClient(site.port) as client:
        assert client.certificate_name == "a.test"
        client.get("/")
        client.receive_until(HELLO)


def test_certificates_are_chosen_by_name(site: TlsSite) -> None:
    make_pair(site.certificates, "_.test", "wildcard")
    for name, expected in (("a.test", "a.test"), ("b.test", "wildcard"), ("A.TEST", "a.test")):
        with TlsClient(site.port, name) as client:
            assert client.certificate_name == expected
    for unknown in ("a.b.test", None):
        with pytest.raises(ssl.SSLError, match="(?i)unrecognized.name"):
            TlsClient(site.port, unknown)
    make_pair(site.certificates, f"default_{site.port}", "default")
    for unknown in ("a.b.test", None):
        with TlsClient(site.port, unknown) as client:
            assert client.certificate_name == "default"


def test_renewed_certificate_is_used_and_held_clients_stay(site: TlsSite) -> None:
    """As every three months; and half of a renewal does no harm."""
    site.server.stop()
    site.server.start()  # every worker has the old one then, whoever was asked for it
    with TlsClient(site.port) as held:
        held.get("/stream")
        held.receive_until(b"[stream opened]")
        (site.certificates / "a.test.key").write_text("half of it")
        with TlsClient(site.port) as client:
            assert client.certificate_name == "a.test"
        make_pair(site.certificates, "a.test", "renewed")
        with TlsClient(site.port) as client:
            assert client.certificate_name == "renewed"
        site.server.publish_stream("test", "still here\n")
        held.receive_until(b"still here")
    assert "certificate not reloaded, the old one stays: " in site.server.output()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_hold_poll_and_close_by_tls(site: TlsSite, version: ssl.TLSVersion) -> None:
    """The whole life of a client, as by plain HTTP."""
    context = client_context()
    context.maximum_version = version
    with TlsClient(site.port, context=context) as client:
        client.get("/response")
        wait_until(lambda: site.metric("held_responses") == 1, "the poll is held")
        site.server.publish({"channel": "test", "http-response": {"body": "answered\n"}})
        client.receive_until(b"answered\n")
        client.get("/", "Connection: close")
        assert client.receive_all().endswith(HELLO) and not client.is_truncated
    with TlsClient(site.port, context=context) as client:
        client.get("/stream")
        client.receive_until(b"[stream opened]")
        for number in range(100):
            site.server.publish_stream("test", f"<{number}>")
        client.receive_until(b"<99>")
        assert [client.received.index(b"<%d>" % number) for number in range(100)] == sorted(
            client.received.index(b"<%d>" % number) for number in range(100)
        )


def test_stream_that_is_cut_is_not_ended_by_tls(site: TlsSite) -> None:
    """An end that is said would pass for the whole of it."""
    with TlsClient(site.port) as client:
        client.get("/stream")
        client.receive_until(b"[stream opened]")
        for pid in site.server.holding_pids():
            os.kill(pid, signal.SIGKILL)
        client.receive_all()
        assert client.is_truncated


def test_held_client_that_leaves_is_forgotten(site: TlsSite) -> None:
    clients = [TlsClient(site.port) for _ in range(10)]
    for client in clients:
        client.get("/stream")
        client.receive_until(b"[stream opened]")
    wait_until(lambda: site.metric("held_streams") == 10, "all are held")
    for client in clients[:5]:
        with contextlib.suppress(ssl.SSLError, TimeoutError):
            client.tls.settimeout(0.05)
            client.tls.unwrap()  # says its end and stays
    for client in clients[5:]:
        client.close()
    wait_until(lambda: site.metric("held_streams") == 0, "all are forgotten")
    for client in clients:
        client.close()


def test_route_knows_https(start_server: StartServer) -> None:
    site = TlsSite(start_server, ("*,ssl=yes test", "*,ssl=no 127.0.0.1:1"))
    with TlsClient(site.port) as client:
        client.get("/")
        client.receive_until(HELLO)
    assert fetch(site.server.http_port).startswith(b"HTTP/1.1 502 ")


def test_session_is_resumed_in_any_worker(site: TlsSite) -> None:
    """A client that comes back costs no signature, and it cannot choose its worker."""
    context = client_context()
    with TlsClient(site.port, context=context) as client:
        client.get("/")
        client.receive_until(HELLO)
        session = client.tls.session
    for _ in range(12):
        with TlsClient(site.port, context=context, session=session) as client:
            assert client.tls.session_reused
            client.get("/")
            client.receive_until(HELLO)
    for pid in site.server.holding_pids():
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: is_gone(pid), "the worker is gone")
    wait_until(lambda: site.metric("up") == 3, "new workers serve")
    with TlsClient(site.port, context=context, session=session) as client:
        assert client.tls.session_reused


def test_large_bodies_go_both_ways(site: TlsSite) -> None:
    """More than a record, a read, and the kernel's buffers."""
    with TlsClient(site.port) as client:
        client.get("/stream")
        client.receive_until(b"[stream opened]")
        content = "~" * 900_000 + "end"
        site.server.publish_stream("test", content)
        received = client.receive_until(b"~end")
        assert received.count(b"~") == 900_000
    with TlsClient(site.port) as client:
        body = b"y" * 300_000
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + body)
        client.receive_until(b"HTTP/1.1 ")


def test_thousand_silent_clients_and_garbage_do_no_harm(site: TlsSite) -> None:
    """Half of them say nothing, the others something that is no TLS."""
    sockets = []
    hello = b"\x16\x03\x01\x00\x80\x01\x00\x00\x7c\x03\x03"  # the beginning of one
    for number in range(SILENT_COUNT):
        client = socket.create_connection(("127.0.0.1", site.port))
        if number % 2:
            client.sendall(hello if number % 4 == 1 else b"\x00\xff\x80" * 20)
        sockets.append(client)
    with TlsClient(site.port) as client:
        client.get("/")
        client.receive_until(HELLO)
    wait_until(lambda: site.metric("tls_handshake_errors_total") >= SILENT_COUNT // 4, "garbage is refused")
    for socket_ in sockets:
        socket_.close()
    wait_until(lambda: site.metric("connections") == 0, "all are forgotten")
    assert site.metric("internal_errors_total") == 0


def test_plain_request_on_the_tls_port_is_told_so(site: TlsSite) -> None:
    with RawClient(site.port) as client:
        client.get("/")
        assert client.receive_all().startswith(b"HTTP/1.0 400 ")


def test_curl_verifies_the_certificate(site: TlsSite) -> None:
    """A client that is not Python's, with its own idea of TLS."""
    require("curl")
    command = ["curl", "-sS", "--http1.1", "--cacert", str(site.certificates / "a.test.crt")]
    command += ["--resolve", f"a.test:{site.port}:127.0.0.1", f"https://a.test:{site.port}/"]
    result = subprocess.run(command, capture_output=True, timeout=20)
    assert (result.returncode, result.stdout) == (0, HELLO), result.stderr
