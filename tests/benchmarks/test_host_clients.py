"""The clients of a host: they see what is missing, doubled or out of order."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.host_clients import OPENED, Cell, HostClients, line_of
from benchmarks.namespaces import Network
from tests.integration.deadline import wait_until

CLIENTS_COUNT = 3


class Streams:
    """A server by hand, and the clients that hold its streams."""

    def __init__(self, network: Network) -> None:
        host = network.add()
        with host.entered():
            listener = socket.create_server(("127.0.0.1", 0))
        self.connections: list[socket.socket] = []
        accepting = threading.Thread(target=self._accept, args=(listener,))
        accepting.start()
        self.clients = HostClients(host, listener.getsockname()[1], "news", CLIENTS_COUNT)
        accepting.join()
        listener.close()
        wait_until(lambda: self.clients.counted(Cell.HELD) == CLIENTS_COUNT, "all are held")

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(CLIENTS_COUNT):
            connection, _ = listener.accept()
            self.connections.append(connection)
        for connection in self.connections:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + OPENED)

    def send(self, data: bytes) -> None:
        for connection in self.connections:
            connection.sendall(data)

    def close(self) -> None:
        self.clients.close()
        for connection in self.connections:
            connection.close()


@pytest.fixture
def streams() -> Iterator[Streams]:
    with Network() as network, ExitStack() as opened:
        made = Streams(network)
        opened.callback(made.close)
        yield made


def test_items_are_counted_by_number(streams: Streams) -> None:
    """From whichever the first is, and in whatever pieces they come."""
    streams.send(line_of(7) + line_of(8)[:4])
    wait_until(lambda: streams.clients.got(7) == CLIENTS_COUNT, "the first")
    streams.send(line_of(8)[4:])
    wait_until(lambda: streams.clients.got(8) == CLIENTS_COUNT, "the second")
    streams.clients.check()


@pytest.mark.parametrize("numbers", [(0, 0), (0, 2), (1, 0)])
def test_what_does_not_follow_is_seen(streams: Streams, numbers: tuple[int, ...]) -> None:
    """Doubled, missing, out of order."""
    streams.send(b"".join(map(line_of, numbers)))
    wait_until(lambda: streams.clients.counted(Cell.WRONG) == CLIENTS_COUNT, "it is seen")
    with pytest.raises(BenchmarkError, match="3 items did not follow"):
        streams.clients.check()


def test_lost_connection_is_seen(streams: Streams) -> None:
    streams.connections[0].close()
    wait_until(lambda: streams.clients.counted(Cell.LOST) == 1, "it is seen")
    with pytest.raises(BenchmarkError, match="1 of 3 clients were cut off"):
        streams.clients.check()
