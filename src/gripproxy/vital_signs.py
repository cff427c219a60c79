"""How a process feels: how late its loop's timers are, and how much memory it has. It writes both to its row."""

import asyncio
import os
import time

from gripproxy.scoreboard import Field, Histogram, observe

PROBE_S = 0.1  # between two looks at the loop's lag; each costs some 10 us
PROBES_MAX_COUNT = 600  # that a long stop stands for: a minute of them
MEMORY_S = 1.0  # between two looks at the memory

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STATM = "/proc/self/statm"


class VitalSigns:
    """Measures the process of `loop` from `start` on. `row` is its row of the scoreboard."""

    def __init__(self, loop: asyncio.AbstractEventLoop, row: memoryview) -> None:
        self._loop = loop
        self._row = row
        self._due_at = 0.0
        self._memory_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look now, and from now on by the loop's own timer."""
        self._due_at = time.monotonic()
        self._memory_at = self._due_at
        self._probe()

    def close(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _probe(self) -> None:
        now = time.monotonic()  # the loop's own clock stands still during a turn
        observe_lag(self._row, now - self._due_at)
        if now >= self._memory_at:
            self._memory_at = now + MEMORY_S
            rss_bytes = read_rss_bytes()
            if rss_bytes is not None:
                self._row[Field.RSS_BYTES] = rss_bytes
        self._due_at = now + PROBE_S
        self._timer = self._loop.call_later(PROBE_S, self._probe)


def observe_lag(row: memoryview, lag_s: float) -> None:
    """Count a probe that came `lag_s` late, and each probe that would have come due meanwhile.

    Else a loop that stands still for a second would look like one that is late once, and every client that came
    within that second waited.
    """
    for _ in range(PROBES_MAX_COUNT):
        observe(row, Histogram.LOOP, lag_s)
        lag_s -= PROBE_S
        if lag_s <= 0.0:
            return


def read_rss_bytes(path: str = _STATM) -> int | None:
    """Give the resident memory of this process, shared pages included; None where there is no /proc."""
    try:
        with open(path, "rb", buffering=0) as file:
            return int(file.read(256).split()[1]) * _PAGE_BYTES
    except OSError:
        return None
