"""Where connections to origins lead, and whom they find there: real sockets, real TLS, certificates of our own."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gripproxy.engine.events import OriginFailure
from gripproxy.protocol.route_target import Target
from gripproxy.protocol.routes import parse_routes
from gripproxy_worker.origin_conn import OriginConn
from gripproxy_worker.origin_connector import ConnectError, OriginConnector
from tests.worker.authority import Authority
from tests.worker.bench import OriginSide, WorkerBench


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test's authority be all that the machine trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", authority.path)


class TlsOrigin:
    """A TLS server on loopback; `sessions` has what it knows of each client."""

    def __init__(self, bench: WorkerBench, certificate: tuple[str, str], client_authority: str | None = None) -> None:
        self.sessions: list[Any] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        if client_authority is not None:
            context.load_verify_locations(client_authority)
            context.verify_mode = ssl.CERT_REQUIRED
        self.server_names: list[str | None] = []
        context.sni_callback = lambda tls, name, context: self.server_names.append(name)  # type: ignore[assignment]
        self._bench = bench
        self.server = bench.run(bench.loop.create_server(self._side, "127.0.0.1", 0, ssl=context))
        self.port = self.server.sockets[0].getsockname()[1]

    def _side(self) -> OriginSide:
        sessions = self.sessions

        class Side(OriginSide):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                sessions.append(transport.get_extra_info("peercert"))

        return Side(self._bench)


class Dialer:
    """A connector, and what it made."""

    def __init__(self, bench: WorkerBench, timeout_s: float = 5.0) -> None:
        self.bench = bench
        self.connector = OriginConnector(bench.loop, timeout_s)
        self.conns: list[OriginConn] = []

    def dial(self, target: Target, server_name: str = "") -> OriginConn:
        origin = OriginConn(("test",), self.bench.driver.pool)
        self.bench.run(self.connector.connect(origin, target, server_name))
        assert origin.transport is not None
        self.conns.append(origin)
        return origin

    def refused(self, target: Target, server_name: str = "") -> ConnectError:
        with pytest.raises(ConnectError) as refusal:
            self.dial(target, server_name)
        return refusal.value


@pytest.fixture
def dialer(bench: WorkerBench) -> Iterator[Dialer]:
    dialer = Dialer(bench)
    yield dialer
    for conn in dialer.conns:
        conn.abandon()
    for _ in range(5):
        bench.turn()


def local(bench: WorkerBench, **options: Any) -> Target:
    return Target(**{"host": "127.0.0.1", "port": bench.origin_port, **options})


class Names:
    """A loop on which every name leads to `addresses`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, addresses: list[tuple[str, int]]) -> None:
        self._loop = loop
        self._addresses = addresses

    async def getaddrinfo(self, host: str, port: int, **options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in self._addresses]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


def resolve(dialer: Dialer, *addresses: tuple[str, int]) -> None:
    """Let every name lead to these addresses."""
    dialer.connector._loop = Names(dialer.bench.loop, list(addresses))  # type: ignore[assignment]


# Certificates.


@pytest.mark.parametrize(
    ("hosts", "server_name"),
    [
        (["origin.test"], "origin.test"),
        (["*.origin.test"], "a.origin.test"),
        (["127.0.0.1"], "127.0.0.1"),
        (["::1"], "::1"),
    ],
)
def test_certificate_that_names_the_origin_is_taken(
    bench: WorkerBench, dialer: Dialer, authority: Authority, hosts: list[str], server_name: str
) -> None:
    """An address as Host is looked for among the certificate's addresses, and is no name to ask for."""
    origin = TlsOrigin(bench, authority.issue("good", hosts))
    dialer.dial(local(bench, port=origin.port, is_ssl=True), server_name)
    assert origin.server_names == [server_name if "test" in server_name else None]
    origin.server.close()


@pytest.mark.parametrize(
    ("hosts", "server_name", "is_expired", "text"),
    [
        (["other.test"], "origin.test", False, "Hostname mismatch"),
        (["127.0.0.1"], "origin.test", False, "Hostname mismatch"),
        (["127.0.0.2"], "127.0.0.1", False, "IP address mismatch"),
        (["origin.test"], "127.0.0.1", False, "IP address mismatch"),
        (["origin.test"], "origin.test", True, "certificate has expired"),
    ],
)
def test_certificate_of_somebody_else_or_of_the_past_is_refused_unless_all_are_taken(
    bench: WorkerBench,
    dialer: Dialer,
    authority: Authority,
    hosts: list[str],
    server_name: str,
    is_expired: bool,
    text: str,
) -> None:
    origin = TlsOrigin(bench, authority.issue("bad", hosts, is_expired))
    target = local(bench, port=origin.port, is_ssl=True)
    error = dialer.refused(target, server_name)
    assert text in str(error) and error.failure is OriginFailure.CONNECT
    dialer.dial(local(bench, port=origin.port, is_ssl=True, insecure=True), server_name)
    origin.server.close()


def test_certificate_of_an_unknown_authority_is_refused_unless_all_are_taken(
    bench: WorkerBench, dialer: Dialer, tmp_path: Path
) -> None:
    origin = TlsOrigin(bench, Authority(tmp_path, "unknown authority").issue("unknown", ["origin.test"]))
    assert "unable to get local issuer" in str(
        dialer.refused(local(bench, port=origin.port, is_ssl=True), "origin.test")
    )
    dialer.dial(local(bench, port=origin.port, is_ssl=True, insecure=True), "origin.test")
    origin.server.close()


def test_origin_that_wants_to_know_who_asks_is_told(bench: WorkerBench, dialer: Dialer, authority: Authority) -> None:
    origin = TlsOrigin(bench, authority.issue("server", ["origin.test"]), client_authority=authority.path)
    certificate, key = authority.issue("proxy", ["proxy.test"])
    target = local(bench, port=origin.port, is_ssl=True, client_cert=certificate, client_key=key)
    dialer.dial(target, "origin.test")
    bench.until(lambda: origin.sessions)
    assert origin.sessions[0]["subject"] == ((("commonName", "proxy"),),)
    origin.server.close()


@pytest.mark.parametrize("fault", ["missing", "encrypted", "garbage"])
def test_client_certificate_that_cannot_be_used_is_named(
    bench: WorkerBench, dialer: Dialer, authority: Authority, tmp_path: Path, fault: str
) -> None:
    """The next target may do, and nobody is at the terminal to be asked for a password."""
    certificate, key = authority.issue("locked", ["proxy.test"], password=b"secret")
    if fault == "missing":
        certificate = str(tmp_path / "nowhere.crt")
    elif fault == "garbage":
        Path(key).write_text("garbage")
    target = local(bench, is_ssl=True, client_cert=certificate, client_key=key)
    error = dialer.refused(target, "origin.test")
    assert f"client certificate {certificate}: " in str(error) and error.failure is OriginFailure.CONNECT


def test_certificates_are_read_once_until_the_routes_are_read_again(
    bench: WorkerBench, dialer: Dialer, authority: Authority
) -> None:
    origin = TlsOrigin(bench, authority.issue("server", ["origin.test"]), client_authority=authority.path)
    certificate, key = authority.issue("old", ["proxy.test"])
    new_certificate, new_key = authority.issue("new", ["proxy.test"])
    target = local(bench, port=origin.port, is_ssl=True, client_cert=certificate, client_key=key)
    for number, subject in enumerate(["old", "old", "new"]):
        if number == 1:
            Path(certificate).write_bytes(Path(new_certificate).read_bytes())
            Path(key).write_bytes(Path(new_key).read_bytes())
        if number == 2:
            dialer.connector.reload()
        dialer.dial(target, "origin.test")
        bench.until(lambda number=number: len(origin.sessions) > number)  # type: ignore[misc]
        assert origin.sessions[number]["subject"] == ((("commonName", subject),),)
    origin.server.close()


# Addresses.


def test_unix_socket(bench: WorkerBench, dialer: Dialer, tmp_path: Path) -> None:
    path = str(tmp_path / "origin")
    server = bench.run(bench.loop.create_unix_server(lambda: OriginSide(bench), path))
    dialer.dial(Target(unix_path=path))
    bench.until(lambda: bench.origins)
    server.close()
    error = dialer.refused(Target(unix_path=str(tmp_path / "nowhere")))
    assert "No such file" in str(error) and error.failure is OriginFailure.CONNECT


def test_ipv6(bench: WorkerBench, dialer: Dialer) -> None:
    server = bench.run(bench.loop.create_server(lambda: OriginSide(bench), "::1", 0))
    dialer.dial(Target(host="::1", port=server.sockets[0].getsockname()[1]))
    bench.until(lambda: bench.origins)
    server.close()


def dead_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return int(unused.getsockname()[1])


class SilentPort:
    """A listener whose queue is full: connecting to it neither succeeds nor fails."""

    def __init__(self) -> None:
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.address = self.listener.getsockname()
        self.fillers = [socket.socket() for _ in range(4)]
        for filler in self.fillers:
            filler.setblocking(False)
            filler.connect_ex(self.address)

    def close(self) -> None:
        for sock in [self.listener, *self.fillers]:
            sock.close()


@pytest.fixture
def silent_port() -> Iterator[SilentPort]:
    port = SilentPort()
    yield port
    port.close()


def test_every_address_of_a_name_is_tried(bench: WorkerBench, dialer: Dialer) -> None:
    dead = ("127.0.0.1", dead_port())
    resolve(dialer, dead, dead, ("127.0.0.1", bench.origin_port))
    dialer.dial(Target(host="many.test", port=80))
    bench.until(lambda: bench.origins)
    resolve(dialer, dead, dead)
    assert "refused" in str(dialer.refused(Target(host="many.test", port=80)))


def test_silent_address_does_not_keep_the_next_from_being_tried(
    bench: WorkerBench, dialer: Dialer, silent_port: SilentPort
) -> None:
    """An address family that leads nowhere is not rare, and its silence lasts for minutes."""
    resolve(dialer, silent_port.address, ("127.0.0.1", bench.origin_port))
    dialer.dial(Target(host="many.test", port=80))
    bench.until(lambda: bench.origins)


@pytest.mark.parametrize("count", [1, 2])
def test_silence_of_all_addresses_ends_in_time(bench: WorkerBench, silent_port: SilentPort, count: int) -> None:
    dialer = Dialer(bench, timeout_s=0.4)
    resolve(dialer, *[silent_port.address] * count)
    assert str(dialer.refused(Target(host="silent.test", port=80))) == "no connection within 0.4 s"


def test_name_that_does_not_resolve_leads_to_the_next_target(bench: WorkerBench, dialer: Dialer) -> None:
    error = dialer.refused(Target(host="nowhere.invalid", port=80))
    assert "cannot connect" in str(error) and error.failure is OriginFailure.CONNECT


@pytest.mark.parametrize(
    "target",
    [
        Target(host="127.0.0.1", port=80, untrusted=True),
        Target(host="::ffff:127.0.0.1", port=80, untrusted=True),
        Target(host="localhost", port=80, untrusted=True),
        Target(host="10.1.2.3", port=80, untrusted=True),
        Target(unix_path="/run/origin", untrusted=True),
    ],
)
def test_untrusted_target_leads_to_no_address_of_ours(dialer: Dialer, target: Target) -> None:
    error = dialer.refused(target)
    assert error.failure is OriginFailure.BLOCKED


def test_untrusted_name_is_judged_by_where_it_leads(
    bench: WorkerBench, dialer: Dialer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner decides what it resolves to, each time anew."""
    target = Target(host="rebind.test", port=80, untrusted=True)
    dead = dead_port()
    resolve(dialer, ("127.0.0.1", bench.origin_port), ("169.254.169.254", 80))
    assert dialer.refused(target).failure is OriginFailure.BLOCKED
    monkeypatch.setattr("gripproxy_worker.origin_connector.is_public", lambda text: text == "127.0.0.2")
    resolve(dialer, ("127.0.0.1", bench.origin_port), ("127.0.0.2", dead))
    assert dialer.refused(target).failure is OriginFailure.CONNECT
    assert bench.origins == []


def test_trusted_target_may_lead_anywhere(bench: WorkerBench, dialer: Dialer) -> None:
    dialer.dial(local(bench))


def test_request_over_tls_asks_for_the_requests_host(bench: WorkerBench, authority: Authority) -> None:
    """Through the whole worker: the name in the certificate is the Host's, without its port."""
    origin = TlsOrigin(bench, authority.issue("whole", ["origin.test"]))
    bench.driver.use_routes(parse_routes(f"* 127.0.0.1:{origin.port},ssl", "test")[0])
    bench.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    client = bench.client()
    bench.exchange(client, b"GET / HTTP/1.1\r\nHost: origin.test:8443\r\n\r\n", b"ok")
    bench.exchange(client, b"GET / HTTP/1.1\r\nHost: other.test\r\n\r\n", b"Error while proxying to origin.\n")
    assert origin.server_names == ["origin.test", "other.test"]
    origin.server.close()


def test_certificates_are_read_again_with_the_routes(
    bench: WorkerBench, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    reloads: list[str] = []
    monkeypatch.setattr(OriginConnector, "reload", lambda connector: reloads.append("reload"))
    bench.driver.use_routes(parse_routes("* test", "test")[0])
    assert reloads == ["reload"]
