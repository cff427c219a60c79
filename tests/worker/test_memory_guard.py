"""Who may come in while memory is short, and who may stay."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gripproxy.child import ChildContext
from gripproxy.memory_use import MemoryGauge
from gripproxy.scoreboard import Field
from gripproxy.settings import ListenAddress
from gripproxy_worker import memory_guard
from gripproxy_worker.acceptor import BUSY
from gripproxy_worker.front_door import FrontDoor
from gripproxy_worker.memory_guard import MemoryGuard
from gripproxy_worker.shared_listeners import SharedListeners
from tests.integration.ports import free_ports
from tests.worker.bench import Client, WorkerBench
from tests.worker.conftest import MakeBench
from tests.worker.held_clients import STREAM, TEST_ANSWER, held, stream_item

REQUEST = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
LIMIT_BYTES = 1_000_000


class House:
    """A worker with a door and a guard."""

    def __init__(self, make_bench: MakeBench) -> None:
        self.is_open = True
        (self.port,) = free_ports(1)
        address = ListenAddress(host="127.0.0.1", port=self.port)
        self.bench: WorkerBench = make_bench("* test", http_port=(address,), memory_limit=LIMIT_BYTES)
        self.row = self.bench.row
        scoreboard, driver, loop = self.bench.scoreboard, self.bench.driver, self.bench.loop
        self.shared = SharedListeners(self.bench.settings)
        context = ChildContext("worker 0", 0, 1, scoreboard, -1, -1)
        self.door = FrontDoor(driver, loop, context, 1000, self.shared)
        self.row[Field.MEMORY_REFUSED] = 1  # of a worker that was killed
        self.guard = MemoryGuard(driver, loop, self.door, scoreboard, MemoryGauge(scoreboard, Path("/nowhere")))
        assert not self.guard.is_holding
        self.guard.start()
        self.door.start()

    def use(self, share: float) -> None:
        """Let the hub need so much of the memory."""
        self.bench.scoreboard.row(0)[Field.RSS_BYTES] = int(share * LIMIT_BYTES)

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self.guard.close()
            self.door.close()

    def connect(self) -> Client:
        client = Client(socket.create_connection(("127.0.0.1", self.port)))
        self.bench.clients.append(client)
        client.send(REQUEST)
        return client


@pytest.fixture
def house(make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(memory_guard, "LOOK_S", 0.01)
    monkeypatch.setattr(memory_guard, "CLOSE_LOOK_S", 0.01)
    house = House(make_bench)
    yield house
    house.close()
    house.shared.close()


def test_new_clients_wait_until_there_is_memory_again(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """They are not refused: it may be a matter of seconds. Once each, the log says why."""
    bench = house.bench
    house.use(0.89)
    bench.exchange(house.connect(), REQUEST, TEST_ANSWER)
    house.use(0.9)
    bench.until(lambda: house.guard.is_holding)
    accepted = house.row[Field.ACCEPTED]
    client = house.connect()
    house.use(0.86)
    for _ in range(50):
        bench.turn()
    assert house.guard.is_holding
    assert (house.row[Field.ACCEPTED], bytes(client.received)) == (accepted, b"")
    house.use(0.5)
    bench.until(lambda: client.received.endswith(TEST_ANSWER))
    assert (house.row[Field.MEMORY_PAUSES], house.row[Field.MEMORY_REFUSED]) == (1, 0)
    assert [record.message for record in caplog.records if "memory" in record.message] == [
        "memory is short: 1 of 1 MB of memory_limit are used; new clients have to wait until it is less",
        "there is memory again: new clients are let in",
    ]


def test_who_is_here_stays_and_is_served(house: House) -> None:
    bench = house.bench
    stream = held(bench, STREAM)
    house.use(1.0)
    bench.until(lambda: house.guard.is_holding)
    bench.publish(stream_item(b"news"))
    bench.until(lambda: stream.received.endswith(b"news\r\n"))


def check_door_is_shut(house: House) -> None:
    """A client waits, until there is memory again."""
    client = house.connect()
    for _ in range(50):
        house.bench.turn()
    assert not client.received
    house.use(0.0)
    house.bench.until(lambda: client.received)


def test_listener_that_waits_for_sockets_does_not_open_by_itself(house: House) -> None:
    """Two reasons to wait are two."""
    house.use(1.0)
    house.bench.until(lambda: house.guard.is_holding)
    for acceptor in house.door._acceptors:
        acceptor._end_pause()
    check_door_is_shut(house)


def test_door_that_is_opened_while_memory_is_short_stays_shut(house: House) -> None:
    """The guard may have looked before the worker was ready."""
    house.use(1.0)
    house.bench.until(lambda: house.guard.is_holding)
    house.door.start()
    check_door_is_shut(house)


def test_who_waits_at_the_end_is_refused(house: House) -> None:
    """And not reset."""
    house.use(1.0)
    house.bench.until(lambda: house.guard.is_holding)
    client = house.connect()
    house.close()
    house.bench.until(lambda: client.is_closed)
    assert client.received == BUSY
    assert house.bench.driver.sockets.count == 0
