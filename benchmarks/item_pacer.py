"""Publishes at a fixed rate, whatever the server does: an open loop.

Each item carries the time at which it should have been sent, not the one at which it was. So a server that does not
keep up, or that makes its publisher wait, is charged for what all later items waited (no coordinated omission).
"""

import ctypes
import math
import time

from benchmarks.item_publisher import ItemPublisher
from benchmarks.latency_histogram import LatencyBoard
from benchmarks.watch import Watch

_PR_SET_TIMERSLACK = 29  # linux/prctl.h


class ItemPacer:
    """Drives one publisher over its channels in turn; `lateness` has how late each item was sent.

    It sleeps for `nap_s` at least: at very high rates it then wakes for some items at once, and sends most a bit late.
    """

    def __init__(self, publisher: ItemPublisher, channels: int, nap_s: float = 0.0) -> None:
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1)  # else each sleep lasts 50 us longer than asked
        self.lateness = LatencyBoard(1)
        self._count_late = self.lateness.recorder(0).count
        self._publisher = publisher
        self._channels = channels
        self._next_channel = 0
        self._nap_ns = int(nap_s * 1e9)

    def publish(self, items_per_s: float, items: int, watch: Watch, limit_s: float = math.inf) -> int:
        """Publish so many items, evenly spaced; fewer if the server takes them so slowly that `limit_s` is over."""
        stop_ns = time.monotonic_ns() + limit_s * 1e9
        interval_ns, start_ns = 1e9 / items_per_s, time.monotonic_ns()
        for number in range(items):
            at_ns = start_ns + int(number * interval_ns)
            wait_ns = at_ns - time.monotonic_ns()
            if wait_ns > 0:
                time.sleep(max(wait_ns, self._nap_ns) / 1e9)
            now_ns = time.monotonic_ns()
            if now_ns > stop_ns:
                return number
            self._count_late(now_ns - at_ns)
            self._publisher.publish(self._next_channel, at_ns)
            self._next_channel = (self._next_channel + 1) % self._channels
            watch.check(f"{number:,} of {items:,} items at {items_per_s:,.0f}/s")
        return items
