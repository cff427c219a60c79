"""Keeps a measurement within bounds: a time limit, a floor of free memory, and a progress line while it runs."""

import sys
import time
from pathlib import Path

from benchmarks.errors import BenchmarkError

MEMORY_FLOOR_BYTES = 1 << 30  # stop before the machine starts to reclaim
CHECK_INTERVAL_S = 0.25
PROGRESS_INTERVAL_S = 1.0


class Watch:
    """Bounds one server's measurement in one benchmark. `check` is cheap enough for every turn of a wait loop."""

    __slots__ = ("_deadline", "_label", "_next_check", "_next_progress", "_limit_s")

    def __init__(self, label: str, limit_s: float) -> None:
        self._label = label
        self._limit_s = limit_s
        now = time.monotonic()
        self._deadline = now + limit_s
        self._next_check = now
        self._next_progress = now

    def check(self, progress: str) -> None:
        """Print `progress` at most once a second on stderr, and stop what has run for too long.

        Raises:
            BenchmarkError: the time limit has passed, or less than MEMORY_FLOOR_BYTES is available.
        """
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + CHECK_INTERVAL_S
        if now >= self._deadline:
            raise BenchmarkError(f"stopped after {self._limit_s:g} s: {progress}")
        available = available_memory_bytes()
        if available < MEMORY_FLOOR_BYTES:
            raise BenchmarkError(f"stopped with {available >> 20} MiB of memory left: {progress}")
        if now >= self._next_progress:
            self._next_progress = now + PROGRESS_INTERVAL_S
            self.say(progress)

    def say(self, progress: str) -> None:
        """Print a progress line on stderr, over the last one when it is a terminal."""
        end = "\r" if sys.stderr.isatty() else "\n"
        print(f"  {self._label}: {progress}".ljust(100), end=end, file=sys.stderr, flush=True)


def available_memory_bytes() -> int:
    """Read MemAvailable of /proc/meminfo."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise BenchmarkError("/proc/meminfo has no MemAvailable line")
