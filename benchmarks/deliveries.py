"""How many deliveries have come since a point in time, and waiting for those that are still under way."""

import math
import time

from benchmarks.hold_client import Counter
from benchmarks.hold_swarm import HoldSwarm
from benchmarks.watch import Watch

STALL_LIMIT_S = 2.0  # without a delivery for so long, the rest is missing
LOOK_S = 0.0005


class Deliveries:
    """Counts what a swarm receives, from now on."""

    def __init__(self, swarm: HoldSwarm) -> None:
        self.due = 0  # that the items published so far must make
        self.last_at = time.monotonic()
        self._swarm = swarm
        self._start = swarm.count(Counter.RECEIVED)

    @property
    def received(self) -> int:
        """Deliveries that have come."""
        return self._swarm.count(Counter.RECEIVED) - self._start

    @property
    def missing(self) -> int:
        """Those due that have not come; one that came twice takes one off."""
        return self.due - self.received

    def wait(self, count: int, watch: Watch, limit_s: float = math.inf) -> bool:
        """Wait until `count` have come; False when STALL_LIMIT_S passes without any coming, or `limit_s` in all."""
        stop = time.monotonic() + limit_s
        last, stalled_at = self.received, time.monotonic() + STALL_LIMIT_S
        while last < count:
            time.sleep(LOOK_S)
            watch.check(f"{last:,} of {self.due:,} deliveries")
            now = self.received
            if now != last:
                last, self.last_at = now, time.monotonic()
                stalled_at = self.last_at + STALL_LIMIT_S
            if time.monotonic() > min(stalled_at, stop):
                return False
        return True
