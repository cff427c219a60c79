"""Every kind of listener leads to the same driver, each with its own limit and its own answer when it is full."""

import os
import socket
from pathlib import Path

from gripproxy.child import ChildContext
from gripproxy.scoreboard import Field
from gripproxy.settings import ListenAddress, LocalAddress
from gripproxy_worker.acceptor import BUSY
from gripproxy_worker.front_door import FrontDoor
from gripproxy_worker.shared_listeners import SharedListeners
from tests.certificates import make_pair
from tests.integration.ports import free_ports
from tests.worker.bench import Client, WorkerBench
from tests.worker.conftest import MakeBench
from tests.worker.test_idle_conn import TEST_ANSWER
from tests.worker.tls_peer import TlsClient

REQUEST = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"


class House:
    """A worker with one listener of each kind, each for one client only."""

    def __init__(self, make_bench: MakeBench, directory: Path) -> None:
        make_pair(directory / "runner" / "certs", "a.test")
        self.plain_port, self.tls_port = free_ports(2)
        self.path = str(directory / "server")
        self.bench: WorkerBench = make_bench(
            "* test",
            config_path=str(directory / "gripproxy.conf"),
            http_port=(ListenAddress(host="127.0.0.1", port=self.plain_port, maxconn=1),),
            https_ports=(ListenAddress(host="127.0.0.1", port=self.tls_port, maxconn=1),),
            local_ports=(LocalAddress(path=self.path, maxconn=1),),
        )
        self.shared = SharedListeners(self.bench.settings)
        self.shared.counts.row(0)[1] = 99  # of a worker that was killed
        context = ChildContext("worker 0", 0, 1, self.bench.scoreboard, -1, -1)
        self.door = FrontDoor(self.bench.driver, self.bench.loop, context, 1000, self.shared)

    def connect(self, kind: str) -> Client:
        if kind == "local":
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(self.path)
        else:
            sock = socket.create_connection(("127.0.0.1", self.plain_port if kind == "plain" else self.tls_port))
        client = TlsClient(sock) if kind == "tls" else Client(sock)
        self.bench.clients.append(client)
        return client


def test_every_listener_serves_and_has_its_limit(make_bench: MakeBench, short_path: Path) -> None:
    """A full one refuses its own clients only."""
    house = House(make_bench, short_path)
    bench = house.bench
    house.door.start()
    for kind in ("plain", "tls", "local"):
        client = house.connect(kind)
        if isinstance(client, TlsClient):
            bench.until(lambda client=client: client.peer.is_shaken)
        bench.exchange(client, REQUEST, TEST_ANSWER)
        refused = house.connect(kind)
        bench.until(lambda refused=refused: refused.is_closed)
        assert bytes(refused.raw if isinstance(refused, TlsClient) else refused.received) == (
            b"" if kind == "tls" else BUSY
        )
    assert bench.row[Field.REFUSED] == 3
    assert [house.shared.counts.total(listener) for listener in range(3)] == [1, 1, 1]
    house.door.close()
    house.shared.close()


def test_closed_door_leaves_the_unix_socket_to_the_other_workers(make_bench: MakeBench, short_path: Path) -> None:
    house = House(make_bench, short_path)
    house.door.start()
    other = os.dup(house.shared.local[0].fileno())
    house.door.close()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(house.path)
    os.close(other)
    house.shared.close()
