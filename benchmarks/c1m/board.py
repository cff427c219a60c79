"""What the client processes count, in memory that the measuring process reads while they write."""

import mmap
from enum import IntEnum

from benchmarks.latency_histogram import BUCKET_COUNT, LatencyHistogram, bucket_of

ROUNDS_MAX_COUNT = 200
ROUND_CELLS = 3  # deliveries, monotonic ns of the first and of the last


class Cell(IntEnum):
    """The counters at the start of a process's row."""

    HELD = 0
    FAILED = 1  # connections refused, reset or not answered with 200
    LOST = 2  # held connections that ended
    KEEP_ALIVES = 3
    DAMAGED = 4  # reads that end within an item, or hold what nobody sent
    BARE = 5  # keep-alives from the bare write loop


class Series(IntEnum):
    """What an item was published for; each has its own histogram of latencies."""

    CHANNEL = 0
    ROOMS = 1


ROUNDS_AT = 8
HISTOGRAMS_AT = ROUNDS_AT + ROUNDS_MAX_COUNT * ROUND_CELLS
ROW_CELLS = HISTOGRAMS_AT + len(Series) * BUCKET_COUNT


class Board:
    """A row of unsigned 64-bit cells per client process. Each writes its own; anybody reads.

    `extra_cells` more stand at the end of each row, for who counts more than this module knows of.
    """

    def __init__(self, process_count: int, extra_cells: int = 0) -> None:
        self._row_cells = ROW_CELLS + extra_cells
        self._cells = memoryview(mmap.mmap(-1, process_count * self._row_cells * 8)).cast("Q")
        self._rows = [self.row(process) for process in range(process_count)]

    def row(self, process: int) -> memoryview:
        """Give the cells of a process."""
        return self._cells[process * self._row_cells : (process + 1) * self._row_cells]

    def total(self, cell: int) -> int:
        """Add a cell up over the processes."""
        return sum(row[cell] for row in self._rows)

    def highest(self, cell: int) -> int:
        """Give the highest value of a cell over the processes."""
        return max(row[cell] for row in self._rows)

    def of(self, process: int, cell: Cell) -> int:
        """Give a counter of one process."""
        return int(self._rows[process][cell])

    def round_deliveries(self, number: int) -> int:
        """Count the deliveries of a round so far."""
        at = ROUNDS_AT + number * ROUND_CELLS
        return sum(row[at] for row in self._rows)

    def round_times_ns(self, number: int) -> tuple[int, int] | None:
        """Give when the first and the last delivery of a round came; None when there was none."""
        at = ROUNDS_AT + number * ROUND_CELLS
        times = [(row[at + 1], row[at + 2]) for row in self._rows if row[at]]
        return (min(first for first, _ in times), max(last for _, last in times)) if times else None

    def histogram(self, series: Series) -> LatencyHistogram:
        """Add up the latencies of a series."""
        first, end = HISTOGRAMS_AT + series * BUCKET_COUNT, HISTOGRAMS_AT + (series + 1) * BUCKET_COUNT
        return LatencyHistogram(map(sum, zip(*(row[first:end] for row in self._rows), strict=True)))


def record_delivery(row: memoryview, series: int, number: int, sent_ns: int, now_ns: int) -> None:
    """Enter one delivery in a process's own row."""
    at = ROUNDS_AT + number * ROUND_CELLS
    if not row[at]:
        row[at + 1] = now_ns
    row[at] += 1
    row[at + 2] = now_ns
    row[HISTOGRAMS_AT + series * BUCKET_COUNT + bucket_of(now_ns - sent_ns)] += 1
