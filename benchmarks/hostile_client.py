"""A process of clients that are slow, that ask for much at once, or that speak no HTTP, until it is told to stop."""

import contextlib
import multiprocessing
import multiprocessing.synchronize
import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized

from benchmarks.errors import BenchmarkError
from benchmarks.hold_client import connect, source_address
from benchmarks.watch import Watch

TRICKLE_S = 10.0  # between two bytes of one slow client, or two reads of a little
TURN_S = 0.05
SLOW_READ_BYTES = 100
SLOW_RECEIVE_BYTES = 4096
PIPELINED_COUNT = 1000  # requests in one write
READ_BYTES = 65_536
STOP_LIMIT_S = 10.0

SLOW_HEAD = b"GET /plain HTTP/1.1\r\nHost: bench\r\nA: "
SLOW_BODY = b"POST /plain HTTP/1.1\r\nHost: bench\r\nContent-Length: 9000\r\n\r\nbody"
SLOW_READ = b"GET /large HTTP/1.1\r\nHost: bench\r\n\r\n"
PLAIN = b"GET /plain HTTP/1.1\r\nHost: bench\r\n\r\n"
PLAIN_END = b"hello from the origin\n"
MALFORMED = (
    b"GET /\0 HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nA : b\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3x\r\n\r\nabcd",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
)


@dataclass(slots=True)
class Board:
    """What parent and child tell each other."""

    opened: "Synchronized[int]"  # connections that stand, or that are over
    done: "Synchronized[int]"  # requests answered or refused
    ended: "Synchronized[int]"  # slow connections that the server ended
    stop: multiprocessing.synchronize.Event


def trickle(port: int, count: int, board: Board, opening: bytes, is_reading: bool) -> None:
    """Hold `count` connections, each of which sends or reads a little every `TRICKLE_S`."""
    receive_bytes = SLOW_RECEIVE_BYTES if is_reading else None
    fds = []
    for index in range(count):
        fds.append(connect(source_address(index), port, opening, receive_bytes))
        board.opened.value += 1
    begun_at, position = time.monotonic(), 0
    while not board.stop.wait(TURN_S):
        due = int((time.monotonic() - begun_at) / TRICKLE_S * count)
        for number in range(position, due):
            fd = fds[number % count]
            try:
                is_ended = fd >= 0 and (os.read(fd, SLOW_READ_BYTES) == b"" if is_reading else os.write(fd, b"a") == 0)
            except BlockingIOError:
                continue
            except OSError:
                is_ended = True
            if is_ended:
                board.ended.value += 1
                os.close(fd)
                fds[number % count] = -1
        position = due


def pipeline(port: int, count: int, board: Board) -> None:
    """Keep `count` connections busy with `PIPELINED_COUNT` requests in each write."""
    epoll, awaited, payload = select.epoll(), {}, PLAIN * PIPELINED_COUNT
    for index in range(count):
        client = socket.create_connection(("127.0.0.1", port), source_address=(source_address(index), 0))
        client.sendall(payload)
        client.setblocking(False)
        epoll.register(client, select.EPOLLIN)
        awaited[client.fileno()] = (client, PIPELINED_COUNT)
        board.opened.value += 1
    while not board.stop.is_set():
        for fd, _ in epoll.poll(TURN_S):
            client, left = awaited[fd]
            answered = client.recv(READ_BYTES).count(PLAIN_END[-8:])  # one cut in two is missed, and made up for below
            board.done.value += answered
            left -= answered
            if left <= PIPELINED_COUNT // 100:
                client.setblocking(True)
                client.sendall(payload)
                client.setblocking(False)
                left += PIPELINED_COUNT
            awaited[fd] = (client, left)


def speak_nonsense(port: int, count: int, board: Board) -> None:
    """Send `count` requests that are none, on a connection each, and read the refusals."""
    for index in range(count):
        if board.stop.is_set():
            return
        with socket.create_connection(("127.0.0.1", port), source_address=(source_address(index), 0)) as client:
            client.sendall(MALFORMED[index % len(MALFORMED)])
            with contextlib.suppress(ConnectionResetError):
                while client.recv(READ_BYTES):
                    pass
        board.done.value += 1
        board.opened.value += 1


Kind = Callable[[int, int, Board], None]

KINDS: dict[str, Kind] = {
    "slow heads": lambda port, count, board: trickle(port, count, board, SLOW_HEAD, is_reading=False),
    "slow bodies": lambda port, count, board: trickle(port, count, board, SLOW_BODY, is_reading=False),
    "slow readers": lambda port, count, board: trickle(port, count, board, SLOW_READ, is_reading=True),
    "pipelines": pipeline,
    "malformed requests": speak_nonsense,
}


@contextmanager
def hostile_clients(kind: str, port: int, count: int, watch: Watch) -> Iterator[Board]:
    """Run a process of them; for the malformed `count` is of requests, for the others of connections.

    Raises:
        BenchmarkError: they cannot connect.
    """
    context = multiprocessing.get_context("fork")
    board = Board(context.Value("q"), context.Value("q"), context.Value("q"), context.Event())
    process = context.Process(target=KINDS[kind], args=(port, count, board), daemon=True)
    process.start()
    try:
        if kind != "malformed requests":
            while board.opened.value < count:
                watch.check(f"{board.opened.value:,} {kind}")
                if not process.is_alive():
                    raise BenchmarkError(f"{kind} ended after {board.opened.value} connections")
                time.sleep(TURN_S)
        yield board
    finally:
        board.stop.set()
        process.join(STOP_LIMIT_S)
        process.terminate()
        process.join()
