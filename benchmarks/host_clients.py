"""The clients of one host, in a process of their own: each checks that it gets every item once and in order."""

import mmap
import multiprocessing
import os
import select
import socket
import struct
from enum import IntEnum
from multiprocessing.connection import Connection

from benchmarks.errors import BenchmarkError
from benchmarks.namespaces import Host

LINE_BYTES = 10
OPENED = b"[stream opened]\n"
NUMBERS_MAX_COUNT = 10_000
OPENING_COUNT = 100  # connections that wait for their answer
OPEN_LIMIT_S = 60.0
EVENTS_MAX_COUNT = 1024
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: no TIME_WAIT
_FORK = multiprocessing.get_context("fork")


class Cell(IntEnum):
    """What is counted; behind these, for each number, the clients that have got it."""

    HELD = 0
    LOST = 1
    WRONG = 2  # items that did not follow the one before
    FIRST_NUMBER = 3


def line_of(number: int) -> bytes:
    """Give an item's text."""
    return b"#%08d\n" % number


class HostClients:
    """`count` streams from `host` to itself, so that nothing of theirs goes over its cable. `open` returns at once."""

    def __init__(self, host: Host, port: int, channel: str, count: int) -> None:
        self.count = count
        self._cells = mmap.mmap(-1, 8 * (Cell.FIRST_NUMBER + NUMBERS_MAX_COUNT))
        ours, theirs = _FORK.Pipe()
        self._pipe = ours
        client = _Client(memoryview(self._cells).cast("Q"), theirs)
        with host.entered():
            self._process = _FORK.Process(target=client.run, args=(port, channel, count), daemon=True)
            self._process.start()
        theirs.close()

    def counted(self, cell: Cell) -> int:
        return int(memoryview(self._cells).cast("Q")[cell])

    def got(self, number: int) -> int:
        """Count the clients that have got this item."""
        return int(memoryview(self._cells).cast("Q")[Cell.FIRST_NUMBER + number])

    def check(self) -> None:
        """Make sure that all is well so far.

        Raises:
            BenchmarkError: a client lost its connection, or got an item twice, too late or not at all.
        """
        lost, wrong = self.counted(Cell.LOST), self.counted(Cell.WRONG)
        if lost or wrong or not self._process.is_alive():
            raise BenchmarkError(f"{lost} of {self.count} clients were cut off, {wrong} items did not follow")

    def close(self) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.join()


class _Client:
    """What runs in the process."""

    def __init__(self, cells: memoryview, pipe: Connection) -> None:
        self._cells = cells
        self._pipe = pipe
        self._epoll = select.epoll()
        self._next: dict[int, int] = {}  # by descriptor: the number that must come; -1: any
        self._parts: dict[int, bytes] = {}  # of a line that has not come whole

    def run(self, port: int, channel: str, count: int) -> None:
        request = f"GET /stream?channel={channel} HTTP/1.0\r\nHost: bench\r\n\r\n".encode()
        for start in range(0, count, OPENING_COUNT):
            opening = [_connect(port, request) for _ in range(min(OPENING_COUNT, count - start))]
            for connection in opening:
                self._hold(connection)
            self._take(0)
        while True:
            self._take(-1)

    def _hold(self, connection: socket.socket) -> None:
        head = b""
        while OPENED not in head:
            data = connection.recv(4096)
            if not data:
                self._cells[Cell.LOST] += 1
                return
            head += data
        connection.setblocking(False)
        fd = connection.detach()
        self._next[fd] = -1
        self._cells[Cell.HELD] += 1
        self._note(fd, head.partition(OPENED)[2])
        self._epoll.register(fd, select.EPOLLIN)

    def _take(self, timeout_s: float) -> None:
        for fd, _ in self._epoll.poll(timeout_s, EVENTS_MAX_COUNT):
            try:
                data = os.read(fd, 65_536)
            except OSError:
                data = b""
            if data:
                self._note(fd, data)
            else:
                self._cells[Cell.LOST] += 1
                self._epoll.unregister(fd)
                os.close(fd)

    def _note(self, fd: int, data: bytes) -> None:
        if self._parts:
            data = self._parts.pop(fd, b"") + data
        whole_bytes = len(data) - len(data) % LINE_BYTES
        for start in range(0, whole_bytes, LINE_BYTES):
            number = int(data[start + 1 : start + LINE_BYTES - 1])
            expected = self._next[fd]
            if number != expected and expected != -1:
                self._cells[Cell.WRONG] += 1
            self._next[fd] = number + 1
            self._cells[Cell.FIRST_NUMBER + number] += 1
        if whole_bytes < len(data):
            self._parts[fd] = data[whole_bytes:]


def _connect(port: int, request: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), OPEN_LIMIT_S)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    connection.sendall(request)
    return connection
