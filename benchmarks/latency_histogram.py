"""Latencies counted by client processes in shared memory, and their percentiles.

Buckets are as wide as 1/64 of their value at most, from a nanosecond to a quarter of an hour, so a percentile is
exact to 0.8%. Each process counts in a row of its own; whoever wants to know adds the rows up at any time.
"""

import itertools
import math
import mmap
import time
from collections.abc import Iterable

from benchmarks.item_mark import MARK, STAMP_DIGITS

STEPS_BITS = 6  # each doubling of the latency has 64 buckets
VALUE_MAX_BITS = 40  # 1,100 s
BUCKET_COUNT = (VALUE_MAX_BITS - STEPS_BITS + 1) << STEPS_BITS
ROW_BYTES = BUCKET_COUNT * 8


def bucket_of(latency_ns: int) -> int:
    """Give the bucket that counts a latency; what is less than 0 or too long is counted at the ends."""
    if latency_ns < 0:
        return 0
    shift = latency_ns.bit_length() - STEPS_BITS - 1
    if shift <= 0:
        return latency_ns
    return min((shift << STEPS_BITS) + (latency_ns >> shift), BUCKET_COUNT - 1)


def middle_ns(bucket: int) -> float:
    """Give the latency in the middle of a bucket."""
    shift = max(0, (bucket >> STEPS_BITS) - 1)
    first = (bucket - (shift << STEPS_BITS)) << shift
    return first + ((1 << shift) - 1) / 2


class LatencyHistogram:
    """How many latencies fell into each bucket: a value, made from the counts of one or more processes."""

    __slots__ = ("_counts", "count")

    def __init__(self, counts: Iterable[int] = ()) -> None:
        self._counts = list(counts) or [0] * BUCKET_COUNT
        self.count = sum(self._counts)

    def __add__(self, other: "LatencyHistogram") -> "LatencyHistogram":
        return LatencyHistogram(map(int.__add__, self._counts, other._counts))

    def __sub__(self, earlier: "LatencyHistogram") -> "LatencyHistogram":
        """Give what was counted since `earlier`."""
        return LatencyHistogram(map(int.__sub__, self._counts, earlier._counts))

    def percentile_ms(self, percent: float) -> float:
        """Give the latency that `percent` of all do not exceed, in milliseconds; 100 is the longest, 0 the shortest.

        Raises:
            ValueError: nothing was counted.
        """
        if not self.count:
            raise ValueError("no latency was counted")
        rank = max(1, math.ceil(round(self.count * percent / 100, 6)))  # 99.9 is no exact float
        counted = itertools.accumulate(self._counts)
        return middle_ns(next(bucket for bucket, so_far in enumerate(counted) if so_far >= rank)) / 1e6


class LatencyRecorder:
    """Counts, in one process, how old the items are that its connections receive."""

    __slots__ = ("_counts", "_tails")

    def __init__(self, counts: memoryview) -> None:
        self._counts = counts
        self._tails: dict[int, bytes] = {}  # fd -> a mark whose time has not come as a whole

    def count(self, latency_ns: int) -> None:
        """Count one latency."""
        self._counts[bucket_of(latency_ns)] += 1

    def record(self, fd: int, data: bytes) -> None:
        """Count the items in what was read from `fd` just now.

        A time that a server's framing cuts in two is not counted: received, but without a latency.
        """
        now_ns = time.monotonic_ns()
        if self._tails:
            data = self._tails.pop(fd, b"") + data
        find, start = data.find, data.find(MARK)
        while start >= 0:
            stamp = data[start + 1 : start + 1 + STAMP_DIGITS]
            if len(stamp) < STAMP_DIGITS:
                self._tails[fd] = data[start:]
                return
            if stamp.isdigit():
                self._counts[bucket_of(now_ns - int(stamp))] += 1
            start = find(MARK, start + 1)

    def forget(self, fd: int) -> None:
        """Drop what is kept for a connection that has ended."""
        self._tails.pop(fd, None)


class LatencyBoard:
    """Shared memory with a row of counts per process. Make it before the fork."""

    def __init__(self, process_count: int) -> None:
        self._cells = memoryview(mmap.mmap(-1, ROW_BYTES * process_count)).cast("Q")

    def recorder(self, row: int) -> LatencyRecorder:
        """Give the one writer of a row."""
        return LatencyRecorder(self._cells[row * BUCKET_COUNT : (row + 1) * BUCKET_COUNT])

    def read(self) -> LatencyHistogram:
        """Add up the rows as they are now; the difference of two readings is what came between them."""
        cells = self._cells
        return LatencyHistogram(
            sum(cells[bucket::BUCKET_COUNT])
            for bucket in range(BUCKET_COUNT)  # the same bucket of each row
        )
