"""The time of a plain request through the proxy: some every second all along, and series when told."""

import mmap
import socket
import time
from functools import partial
from multiprocessing.connection import Connection

from benchmarks.c1m.forked import Forked
from benchmarks.c1m.origin import PLAIN_BODY

PERIOD_S = 0.2
ANSWER_LIMIT_S = 10.0
ENTRIES_MAX_COUNT = 100_000  # more than five hours of probes
_REQUEST = b"GET /plain HTTP/1.1\r\nHost: bench\r\n%b\r\n"
_CLOSING = _REQUEST % b"Connection: close\r\n"
_KEEPING = _REQUEST % b""


class Probe:
    """A process that asks for ``/plain``, with a new connection each time. `entries` fills up while it runs."""

    def __init__(self, port: int) -> None:
        self._cells = memoryview(mmap.mmap(-1, (1 + 2 * ENTRIES_MAX_COUNT) * 8)).cast("d")
        self._process = Forked("probe", partial(_run, port, self._cells))

    def entries(self) -> list[tuple[float, float | None]]:
        """Give every request so far: monotonic seconds when it began, and how many it took; None when it failed."""
        cells = self._cells
        return [
            (cells[2 * index + 1], cells[2 * index + 2] if cells[2 * index + 2] >= 0 else None)
            for index in range(int(cells[0]))
        ]

    def start_series(self, count: int, is_kept: bool) -> None:
        """Order `count` requests one after the other, on new connections or all on one."""
        self._process.pipe.send((count, is_kept))

    def series_result(self) -> list[float | None] | None:
        """Give the series' seconds, None for those that failed; None while it runs."""
        if not self._process.pipe.poll():
            return None
        result: list[float | None] = self._process.pipe.recv()
        return result

    def close(self) -> None:
        """End the process."""
        self._process.close()


def _run(port: int, cells: "memoryview[float]", orders: Connection) -> None:
    due = time.monotonic()
    while True:
        if orders.poll(max(0.0, due - time.monotonic())):
            orders.send(_measure_series(port, cells, *orders.recv()))
            due = time.monotonic()
            continue
        _enter(cells, *_ask(port))
        due = max(due + PERIOD_S, time.monotonic())


def _measure_series(port: int, cells: "memoryview[float]", count: int, is_kept: bool) -> list[float | None]:
    taken: list[float | None] = []
    kept: socket.socket | None = None
    for _ in range(count):
        if is_kept:
            try:
                kept = kept or socket.create_connection(("127.0.0.1", port), ANSWER_LIMIT_S)
            except OSError:
                kept = None
        began_s, taken_s = _ask(port, kept)
        if taken_s is None:
            kept = None
        _enter(cells, began_s, taken_s)
        taken.append(taken_s)
    if kept is not None:
        kept.close()
    return taken


def _ask(port: int, kept: socket.socket | None = None) -> tuple[float, float | None]:
    began_s = time.monotonic()
    try:
        if kept is not None:
            is_answered = _exchange(kept, _KEEPING)
        else:
            with socket.create_connection(("127.0.0.1", port), ANSWER_LIMIT_S) as asking:
                is_answered = _exchange(asking, _CLOSING)
    except OSError:
        is_answered = False
    return began_s, time.monotonic() - began_s if is_answered else None


def _exchange(asking: socket.socket, request: bytes) -> bool:
    asking.sendall(request)
    answer = b""
    while not answer.endswith(PLAIN_BODY):
        data = asking.recv(4096)
        if not data:
            return False
        answer += data
    return answer.startswith(b"HTTP/1.1 200 ")


def _enter(cells: "memoryview[float]", began_s: float, taken_s: float | None) -> None:
    index = int(cells[0])
    if index < ENTRIES_MAX_COUNT:
        cells[2 * index + 1] = began_s
        cells[2 * index + 2] = -1.0 if taken_s is None else taken_s
        cells[0] = index + 1
