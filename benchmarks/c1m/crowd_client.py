"""One client process: connects, and from then on reads what arrives, with as little CPU and memory as it can.

A held connection is a descriptor in an edge-triggered epoll and nothing else.
"""

import os
import select
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.c1m.board import Cell, record_delivery
from benchmarks.c1m.plan import Plan
from benchmarks.c1m.stamp import STAMP_BYTES, decode_stamp
from benchmarks.hold_client import connect, source_address
from benchmarks.item_mark import MARK

READ_BYTES = 4096
EVENTS_MAX_COUNT = 512


class CrowdClient:
    """The loop of one client process.

    It takes orders from its pipe: ``("open", first_index, count)``, ``("bare", port, count)`` for connections to the
    bare write loop, ``("end bare",)``, and ``("reopen",)`` to connect again for what was lost. The end of the pipe ends
    it.
    """

    def __init__(self, plan: Plan, ports: tuple[int, ...], orders: Connection, row: memoryview) -> None:
        self._plan = plan
        self._ports = ports
        self._orders = orders
        self._row = row
        self._epoll = select.epoll()
        self._epoll.register(orders.fileno(), select.EPOLLIN)
        self._opening: dict[int, bytes] = {}  # fd -> what of the response head has come
        self._bare: set[int] = set()
        self._index_of: dict[int, int] = {}  # fd -> connection
        self._lost: list[int] = []  # connections
        self._to_open: Sequence[int] = ()
        self._opened_count = 0  # of those

    def run(self) -> None:
        """Work until the pipe ends; raises EOFError then."""
        read, poll, keep_alive = os.read, self._epoll.poll, self._plan.keep_alive
        opening, bare, orders_fd, row = self._opening, self._bare, self._orders.fileno(), self._row
        while True:
            if self._opened_count < len(self._to_open):
                self._open_more()
            keep_alives = 0
            for fd, _ in poll(-1, EVENTS_MAX_COUNT):
                if fd == orders_fd:
                    self._obey(*self._orders.recv())
                    continue
                try:
                    data = read(fd, READ_BYTES)
                    while data and not len(data) % READ_BYTES:
                        data += read(fd, READ_BYTES)
                except BlockingIOError:
                    continue
                except OSError:
                    data = b""
                if data == keep_alive:
                    if fd in bare:
                        row[Cell.BARE] += 1
                    else:
                        keep_alives += 1
                elif fd in opening:
                    self._read_head(fd, data)
                elif data:
                    self._read_items(fd, data)
                else:
                    self._lose(fd)
            if keep_alives:
                row[Cell.KEEP_ALIVES] += keep_alives

    def _obey(self, order: str, *values: Any) -> None:
        if order == "open":
            first_index, count = values
            self._to_open, self._opened_count = range(first_index, first_index + count), 0
        elif order == "reopen":
            self._to_open, self._opened_count, self._lost = self._lost, 0, []
        elif order == "bare":
            port, count = values
            for _ in range(count):
                try:
                    fd = connect("127.0.0.1", port)
                except OSError:
                    return  # the writer counts what it has
                self._bare.add(fd)
                self._epoll.register(fd, select.EPOLLIN | select.EPOLLET)
        else:
            for fd in self._bare:
                os.close(fd)
            self._bare.clear()

    def _open_more(self) -> None:
        plan, opening = self._plan, self._opening
        while self._opened_count < len(self._to_open) and len(opening) < plan.opening_max_count:
            index = self._to_open[self._opened_count]
            self._opened_count += 1
            try:
                fd = connect(source_address(index), self._ports[index % len(self._ports)], plan.request_of(index))
            except OSError as error:
                self._fail(f"connection {index}: {error}")
                continue
            opening[fd] = b""
            self._index_of[fd] = index
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLET)

    def _read_head(self, fd: int, data: bytes) -> None:
        head = self._opening[fd] + data
        if data and b"\r\n\r\n" not in head:
            self._opening[fd] = head
            return
        del self._opening[fd]
        if head.startswith(self._plan.answer):
            self._row[Cell.HELD] += 1
        else:
            os.close(fd)
            del self._index_of[fd]
            self._fail(f"not held: {head[:120]!r}")

    def _fail(self, reason: str) -> None:
        if not self._row[Cell.FAILED]:
            print(f"\n  first failure of a client process: {reason}", file=sys.stderr, flush=True)
        self._row[Cell.FAILED] += 1

    def _lose(self, fd: int) -> None:
        self._bare.discard(fd)
        if fd in self._index_of:
            self._lost.append(self._index_of.pop(fd))
        os.close(fd)
        self._row[Cell.LOST] += 1

    def _read_items(self, fd: int, data: bytes) -> None:
        """Enter the items; keep-alives may stand around them, or several in a row."""
        row, now_ns, keep_alive = self._row, time.monotonic_ns(), self._plan.keep_alive
        keep_alives = data.count(keep_alive)
        row[Cell.BARE if fd in self._bare else Cell.KEEP_ALIVES] += keep_alives
        at = data.find(MARK)
        if at < 0 and keep_alives * len(keep_alive) != len(data):
            row[Cell.DAMAGED] += 1
        while at >= 0:
            try:
                series, number, sent_ns = decode_stamp(data, at)
            except ValueError:
                row[Cell.DAMAGED] += 1
                return
            record_delivery(row, series, number, sent_ns, now_ns)
            at = data.find(MARK, at + STAMP_BYTES)
