"""A client process finds out whatever is wrong with what comes."""

import os
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import pytest

from benchmarks.c1m.board import Board, Cell, Series
from benchmarks.c1m.origin import KEEP_ALIVE_CHUNK
from benchmarks.c1m.plan import Plan
from benchmarks.upgrade.checking_client import EXTRA_CELLS, CheckingClient, Tally, cell_of
from benchmarks.upgrade.numbered_item import encode_event

PHASE = 3
FD, OTHER_FD = 1001, 1002  # of channels 0 and 1
PLAN = Plan(connections=2, workers=1, channels=2, client_processes=1, rooms=0, room_members=0)


class Bench:
    """A client that is given bytes by hand."""

    def __init__(self, orders: Connection) -> None:
        self.board = Board(1, EXTRA_CELLS)
        self.client = CheckingClient(PLAN, (1,), orders, self.board.row(0))
        self.client._index_of.update({FD: 0, OTHER_FD: 1})

    def read(self, *parts: bytes, fd: int = FD) -> None:
        for part in parts:
            self.client._read_items(fd, part)

    def tallies(self) -> dict[str, int]:
        """Give what is counted beside the times."""
        counted = {tally.name.lower(): self.board.total(cell_of(PHASE, tally)) for tally in list(Tally)[:5]}
        counted["damaged"] = self.board.total(Cell.DAMAGED)
        return {name: count for name, count in counted.items() if count}


@pytest.fixture(name="bench")
def fixture_bench() -> Iterator[Bench]:
    """Give a bench with nothing received."""
    ours, theirs = Pipe()
    with ours, theirs:
        yield Bench(theirs)


def item(number: int, channel: int = 0) -> bytes:
    """Give an item as it comes."""
    event = encode_event(channel, number, PHASE, 1).encode()
    return b"%x\r\n%b\r\n" % (len(event), event)


def test_items_in_order_are_fine(bench: Bench) -> None:
    """However the network cuts them, and with keep-alives between them."""
    data = KEEP_ALIVE_CHUNK + item(0) + item(1) + KEEP_ALIVE_CHUNK + item(2)
    bench.read(*(data[at : at + 7] for at in range(0, len(data), 7)))
    assert bench.client._check(PHASE, [3, 0]) == ({}, {0: 1, 1: 1})
    assert bench.tallies() == {"items": 3}
    assert bench.board.histogram(Series(PHASE % 2)).count == 3
    assert bench.board.total(cell_of(PHASE, Tally.LONGEST_DELAY_NS)) > 0
    assert bench.board.total(cell_of(PHASE, Tally.LONGEST_PAUSE_NS)) > 0


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (item(0) + item(2), {"missing": 1}),
        (item(1) + item(2), {"missing": 1}),
        (item(0) + item(1), {"missing": 1}),
        (b"", {"missing": 3}),
        (item(0) + item(1) + item(1) + item(2), {"doubled": 1}),
        (item(0) + item(2) + item(1), {"reordered": 1}),
        (item(0) + item(2) + item(1) + item(1), {"reordered": 1, "doubled": 1}),
        (item(0) + item(1) + item(2) + item(0, channel=1), {"foreign": 1}),
        (item(0) + item(1) + item(2) + b"HTTP/1.1", {"damaged": 1}),
        (item(0) + item(1) + item(2) + item(3)[:-1], {"damaged": 1}),
        (item(0) + item(1) + item(2) + item(3)[:20] + KEEP_ALIVE_CHUNK + b" " * 99, {"damaged": 1}),
    ],
)
def test_what_is_wrong_is_counted(bench: Bench, data: bytes, wrong: dict[str, int]) -> None:
    """Each kind by itself."""
    bench.read(data)
    bench.client._check(PHASE, [3, 0])
    assert {name: count for name, count in bench.tallies().items() if name != "items"} == wrong


def test_a_stream_that_is_ended_is_lost(bench: Bench) -> None:
    """Not only one that is cut off: with the last chunk may come the end of the connection, which is told once."""
    fd = os.open(os.devnull, os.O_RDONLY)
    bench.client._index_of = {fd: 0}
    bench.read(item(0) + b"0\r\n", b"\r\n", fd=fd)
    assert bench.board.total(Cell.LOST) == 1
    assert bench.client._check(PHASE, [3, 0]) == ({}, {})


def test_missing_items_are_named(bench: Bench) -> None:
    """Whether all clients of a channel miss one, or some of them, makes a difference."""
    bench.read(item(1))
    bench.read(item(0, channel=1), fd=OTHER_FD)
    missed, clients = bench.client._check(PHASE, [3, 1])
    assert (missed, clients) == ({(0, 0): 1, (0, 2): 1}, {0: 1, 1: 1})


def test_a_check_begins_anew(bench: Bench) -> None:
    """What was published before a client connects again is nothing that it misses."""
    fd = os.open(os.devnull, os.O_RDONLY)
    bench.client._index_of = {fd: 0}
    bench.client._check(PHASE, [3, 0])
    bench.client._lose(fd)
    bench.client._index_of[FD] = 0
    bench.read(item(3))
    assert bench.client._check(PHASE, [4, 0])[0] == {}
    assert bench.tallies() == {"items": 1, "missing": 3}
