"""A client process that knows for each connection which item must come next."""

import time
from collections import Counter
from enum import IntEnum
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.c1m.board import HISTOGRAMS_AT, ROW_CELLS, Cell, Series
from benchmarks.c1m.crowd_client import CrowdClient
from benchmarks.c1m.plan import Plan
from benchmarks.latency_histogram import BUCKET_COUNT, bucket_of
from benchmarks.upgrade.numbered_item import CHUNK_BYTES, CHUNK_HEAD, decode_chunk

PHASES_MAX_COUNT = 100  # two digits of an item
END = b"0\r\n\r\n"  # of a stream that is ended in order
QUIET, UPGRADING = Series  # the histograms of a board: of phases with even numbers, and with odd ones


class Tally(IntEnum):
    """What is counted for each phase; an item counts for the phase that it was published in."""

    ITEMS = 0
    MISSING = 1  # of one client each
    DOUBLED = 2
    REORDERED = 3  # came behind one with a higher number
    FOREIGN = 4  # of a channel that the client has not asked for
    LONGEST_DELAY_NS = 5  # from when the item was due until it was read
    LONGEST_PAUSE_NS = 6  # between two items of one client


EXTRA_CELLS = PHASES_MAX_COUNT * len(Tally)


def cell_of(phase: int, tally: Tally) -> int:
    """Give the place of a counter in a row of the board."""
    return ROW_CELLS + phase * len(Tally) + tally


class Missed(Counter[tuple[int, int]]):
    """How many clients miss an item: channel and number -> clients."""


class CheckingClient(CrowdClient):
    """Takes one more order: ``("check", phase, counts)`` with the number of items that were published to each channel.

    What a client has not got of them by then is missing. The answer is what is missing, as `Missed`, and how many
    clients of each channel there are.
    """

    def __init__(self, plan: Plan, ports: tuple[int, ...], orders: Connection, row: memoryview) -> None:
        super().__init__(plan, ports, orders, row)
        self._channels = plan.channels
        self._published = [0] * plan.channels  # as far as we have been told
        self._next: dict[int, int] = {}  # fd -> number; what is not there has had no item
        self._skipped: dict[int, set[int]] = {}  # fd -> numbers
        self._seen_ns: dict[int, int] = {}  # fd -> when its last item came
        self._rest: dict[int, bytes] = {}  # fd -> the beginning of an item

    def _obey(self, order: str, *values: Any) -> None:
        if order == "check":
            self._orders.send(self._check(*values))
        else:
            super()._obey(order, *values)

    def _lose(self, fd: int) -> None:
        for table in (self._next, self._skipped, self._seen_ns, self._rest):
            table.pop(fd, None)
        super()._lose(fd)

    def _read_items(self, fd: int, data: bytes) -> None:
        """Enter what has come: items and keep-alives, byte by byte."""
        if fd in self._rest:
            data = self._rest.pop(fd) + data
        now_ns, at, end, keep_alive = time.monotonic_ns(), 0, len(data), self._plan.keep_alive
        while at < end:
            if end - at >= CHUNK_BYTES and data.startswith(CHUNK_HEAD, at):
                try:
                    self._enter(fd, now_ns, *decode_chunk(data, at))
                except ValueError:
                    self._row[Cell.DAMAGED] += 1
                    return
                at += CHUNK_BYTES
            elif data.startswith(keep_alive, at):
                self._row[Cell.KEEP_ALIVES] += 1
                at += len(keep_alive)
            elif data.startswith(END, at):
                self._lose(fd)  # with it may have come the end of the connection, which is not told again
                return
            elif _is_beginning(data[at:], keep_alive):
                self._rest[fd] = data[at:]
                return
            else:
                self._row[Cell.DAMAGED] += 1
                return

    def _enter(self, fd: int, now_ns: int, channel: int, number: int, phase: int, due_ns: int) -> None:
        row, cells = self._row, cell_of(phase, Tally.ITEMS)
        if channel != self._index_of[fd] % self._channels:
            row[cells + Tally.FOREIGN] += 1
            return
        row[cells] += 1
        due = self._next.get(fd, self._published[channel])
        if number >= due:
            self._next[fd] = number + 1
            if number > due:
                self._skipped.setdefault(fd, set()).update(range(due, number))
        elif number in self._skipped.get(fd, ()):
            self._skipped[fd].remove(number)
            row[cells + Tally.REORDERED] += 1
        else:
            row[cells + Tally.DOUBLED] += 1
        delay_ns = max(0, now_ns - due_ns)
        row[HISTOGRAMS_AT + phase % 2 * BUCKET_COUNT + bucket_of(delay_ns)] += 1
        if delay_ns > row[cells + Tally.LONGEST_DELAY_NS]:
            row[cells + Tally.LONGEST_DELAY_NS] = delay_ns
        pause_ns = now_ns - self._seen_ns.get(fd, now_ns)
        if pause_ns > row[cells + Tally.LONGEST_PAUSE_NS]:
            row[cells + Tally.LONGEST_PAUSE_NS] = pause_ns
        self._seen_ns[fd] = now_ns

    def _check(self, phase: int, counts: list[int]) -> tuple[Missed, Counter[int]]:
        missed, clients = Missed(), Counter[int]()
        for fd, index in self._index_of.items():
            channel = index % self._channels
            clients[channel] += 1
            due = self._next.get(fd, self._published[channel])
            numbers = {*self._skipped.get(fd, ()), *range(due, counts[channel])}
            missed.update((channel, number) for number in numbers)
        self._row[cell_of(phase, Tally.MISSING)] += sum(missed.values())
        self._row[Cell.DAMAGED] += len(self._rest)
        self._published = counts
        for table in (self._next, self._skipped, self._seen_ns, self._rest):
            table.clear()
        return missed, clients


def _is_beginning(data: bytes, keep_alive: bytes) -> bool:
    """Say whether the rest of an item, or of a keep-alive, may follow."""
    return data.startswith(CHUNK_HEAD) or any(whole.startswith(data) for whole in (CHUNK_HEAD, keep_alive, END))
