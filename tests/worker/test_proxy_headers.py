"""Listeners behind a load balancer: whom its header names is the client, and nobody else gets in."""

import dataclasses
import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gripproxy.child import ChildContext
from gripproxy.scoreboard import Field
from gripproxy.settings import ForwardedForRule, ListenAddress, LocalAddress
from gripproxy_worker.front_door import FrontDoor
from gripproxy_worker.proxy_headers import HEADER_MAX_S
from gripproxy_worker.shared_listeners import SharedListeners
from tests.certificates import make_pair
from tests.integration.ports import free_ports
from tests.protocol.test_proxy_header import TLS, binary, tcp4, tcp6
from tests.worker.bench import Client, WorkerBench
from tests.worker.conftest import MakeBench
from tests.worker.test_idle_conn import TEST_ANSWER, pass_time
from tests.worker.tls_peer import TlsClient

REQUEST = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
V1 = b"PROXY TCP4 192.0.2.7 192.0.2.1 4660 80\r\n"


class House:
    """A worker with a plain, a TLS and a unix listener, all for load balancers."""

    def __init__(
        self, make_bench: MakeBench, directory: Path, trusted: tuple[str, ...], maxconn: int | None = None
    ) -> None:
        make_pair(directory / "runner" / "certs", "a.test")
        ports = free_ports(2)
        self.path = str(directory / "server")
        plain, tls = (
            ListenAddress(host="127.0.0.1", port=port, maxconn=maxconn, proxy_protocol=True) for port in ports
        )
        self.bench: WorkerBench = make_bench(
            "* {origin}",
            config_path=str(directory / "gripproxy.conf"),
            http_port=(plain,),
            https_ports=(tls,),
            local_ports=(LocalAddress(path=self.path, proxy_protocol=True),),
            set_real_ip_from=trusted,
            x_forwarded_for=ForwardedForRule(is_append=True),
        )
        self.plain_port, self.tls_port = ports
        self.shared = SharedListeners(self.bench.settings)
        context = ChildContext("worker 0", 0, 1, self.bench.scoreboard, -1, -1)
        self.door = FrontDoor(self.bench.driver, self.bench.loop, context, 1000, self.shared)
        self.door.start()

    def connect(self, first: bytes = b"", port: int | None = None) -> Client:
        sock = socket.create_connection(("127.0.0.1", port or self.plain_port))
        client = Client(sock)
        client.send(first)
        self.bench.clients.append(client)
        return client

    def request_seen(self) -> bytes:
        """Give what the origin is asked for the last client."""
        self.bench.until(lambda: any(origin.received for origin in self.bench.origins))
        return bytes(self.bench.origins[-1].received)


MakeHouse = Callable[..., House]


@pytest.fixture
def make_house(make_bench: MakeBench, short_path: Path) -> Iterator[MakeHouse]:
    houses: list[House] = []

    def make(*trusted: str, maxconn: int | None = None) -> House:
        houses.append(House(make_bench, short_path, trusted, maxconn))
        return houses[-1]

    yield make
    for house in houses:
        house.door.close()
        house.shared.close()


@pytest.mark.parametrize(
    ("header", "client_ip", "is_https"),
    [
        (V1, b"192.0.2.7", False),
        (tcp4(), b"192.0.2.7", False),
        (tcp6(), b"2001:db8::7", False),
        (tcp4(TLS), b"192.0.2.7", True),
        (b"PROXY UNKNOWN\r\n", b"127.0.0.1", False),
        (binary(0, b"", command=0x20), b"127.0.0.1", False),
    ],
)
def test_header_says_who_the_client_is(make_house: MakeHouse, header: bytes, client_ip: bytes, is_https: bool) -> None:
    house = make_house()
    house.connect(header + REQUEST)
    seen = house.request_seen()
    assert b"X-Forwarded-For: " + client_ip + b"\r\n" in seen
    assert (b"X-Forwarded-Proto: https\r\n" in seen) == is_https


def test_header_may_come_byte_by_byte(make_house: MakeHouse) -> None:
    house = make_house()
    client = house.connect()
    for byte in tcp4() + REQUEST:
        client.send(bytes((byte,)))
        house.bench.turn()
    assert house.request_seen().startswith(b"GET / HTTP/1.1\r\n")


def test_held_client_keeps_its_address(make_house: MakeHouse) -> None:
    """It is not in the kernel's tables; the next request has it again."""
    house = make_house()
    bench = house.bench
    bench.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    client = house.connect(tcp4(TLS) + REQUEST)
    bench.until(lambda: client.received.endswith(b"ok"))
    pass_time(bench, 10)
    (fd,) = [fd for fd, record in enumerate(bench.driver.sockets.records) if record is not None]
    assert bench.driver.sockets.client_ip(fd) == "192.0.2.7"
    assert bench.driver.sockets.is_https(fd)
    client.close()
    bench.until(lambda: bench.driver.sockets.count == 0)
    assert bench.driver.sockets.proxied.get(fd) is None


def test_handshake_follows_the_header(make_house: MakeHouse) -> None:
    house = make_house()
    sock = socket.create_connection(("127.0.0.1", house.tls_port))
    sock.sendall(V1)
    client = TlsClient(sock)
    house.bench.clients.append(client)
    house.bench.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(TEST_ANSWER), TEST_ANSWER)
    house.bench.until(lambda: client.peer.is_shaken)
    house.bench.exchange(client, REQUEST, TEST_ANSWER)
    assert house.bench.row[Field.HANDSHAKES] == 1


def test_unix_socket_takes_headers_too(make_house: MakeHouse) -> None:
    house = make_house()
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(house.path)
    sock.sendall(tcp4() + REQUEST)
    house.bench.clients.append(Client(sock))
    assert house.request_seen().startswith(b"GET / HTTP/1.1\r\n")


@pytest.mark.parametrize("data", [REQUEST, b"\x16\x03\x01", b"PROXY TCP4 x\r\n", tcp4()[:13] + b"\xff\xff\xff"])
def test_client_without_a_header_is_closed(
    make_house: MakeHouse, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever gets round the balancer could say to be anybody."""
    house = make_house()
    with caplog.at_level(logging.WARNING):
        client = house.connect(data)
        house.bench.until(lambda: client.is_closed)
    assert client.received == b""
    assert "connection of 127.0.0.1 closed: " in caplog.text
    assert house.bench.driver.sockets.count == 0
    assert house.bench.row[Field.CLIENT_ERRORS] == 1


def test_only_balancers_that_are_named_may_speak_for_others(
    make_house: MakeHouse, caplog: pytest.LogCaptureFixture
) -> None:
    house = make_house("10.0.0.0/8")
    with caplog.at_level(logging.WARNING):
        client = house.connect(V1 + REQUEST)
        house.bench.until(lambda: client.is_closed)
    assert "connection of 127.0.0.1 closed: set_real_ip_from does not name it" in caplog.text
    assert not house.bench.origins


def test_balancers_that_a_reload_names_count_from_then_on(make_house: MakeHouse) -> None:
    """The listener stays as it is."""
    house = make_house("10.0.0.0/8")
    driver = house.bench.driver
    driver.use_settings(dataclasses.replace(driver.settings, set_real_ip_from=("127.0.0.1",)))
    house.connect(V1 + REQUEST)
    assert b"X-Forwarded-For: " in house.request_seen()
    driver.use_settings(dataclasses.replace(driver.settings, set_real_ip_from=("10.0.0.0/8",)))
    client = house.connect(V1 + REQUEST)
    house.bench.until(lambda: client.is_closed)


def test_named_balancer_speaks_for_its_clients_only(make_house: MakeHouse) -> None:
    """What the client itself claims is not believed: its own address is no proxy's."""
    house = make_house("127.0.0.1")
    house.connect(V1 + b"GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n")
    assert b"203.0.113.9" not in house.request_seen()


def test_probe_that_only_connects_is_no_news(make_house: MakeHouse, caplog: pytest.LogCaptureFixture) -> None:
    """Balancers look in this way whether somebody listens."""
    house = make_house()
    with caplog.at_level(logging.INFO):
        house.connect().close()
        house.bench.until(lambda: house.bench.row[Field.ACCEPTED] == 1)
        house.bench.until(lambda: house.bench.driver.sockets.count == 0)
    assert not caplog.records


def test_silent_connection_is_closed_in_time(make_house: MakeHouse) -> None:
    house = make_house()
    client = house.connect(V1[:9])
    house.bench.until(lambda: house.bench.driver.sockets.count == 1)
    pass_time(house.bench, HEADER_MAX_S + 1)
    house.bench.until(lambda: client.is_closed)


def test_connection_that_is_turned_away_takes_no_place_of_its_listener(make_house: MakeHouse) -> None:
    """Or strangers would fill the listener for good, and the balancer could not come in."""
    house = make_house("10.0.0.0/8", maxconn=2)
    driver = house.bench.driver
    for _ in range(3):
        client = house.connect(V1 + REQUEST)
        house.bench.until(lambda client=client: client.is_closed)  # type: ignore[misc]
    assert not driver.sockets.limited
    driver.use_settings(dataclasses.replace(driver.settings, set_real_ip_from=("127.0.0.1",)))
    house.connect(V1 + REQUEST)
    assert b"X-Forwarded-For: " in house.request_seen()
