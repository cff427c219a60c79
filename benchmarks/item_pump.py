"""Publishes to all channels in turn, with a bounded number of deliveries under way, and counts what is missing."""

import time

from benchmarks.hold_client import Counter
from benchmarks.hold_swarm import HoldSwarm
from benchmarks.item_publisher import ItemPublisher
from benchmarks.watch import Watch

# More under way would let a server write several items at once to a connection, which is another thing to
# measure, and would overrun Pushpin, whose inner sockets drop what is beyond 1,000 and lose the connection.
UNDER_WAY_MAX_COUNT = 500
STALL_LIMIT_S = 2.0  # without a delivery for so long, the rest is missing
LOOK_S = 0.0005


class ItemPump:
    """Drives one publisher at the speed at which the swarm receives.

    `under_way_max_count`: deliveries; two items' worth may be under way in any case.
    """

    def __init__(
        self,
        publisher: ItemPublisher,
        swarm: HoldSwarm,
        channels: int,
        subscribers: int,
        under_way_max_count: int = UNDER_WAY_MAX_COUNT,
    ) -> None:
        self.due = 0  # deliveries that the items published so far must make
        self._publisher = publisher
        self._swarm = swarm
        self._channels = channels
        self._subscribers = subscribers
        self._under_way_max_count = under_way_max_count
        self._next_channel = 0
        self._start = swarm.count(Counter.RECEIVED)
        self.last_delivery_at = time.monotonic()

    @property
    def received(self) -> int:
        """Deliveries since the pump was made."""
        return self._swarm.count(Counter.RECEIVED) - self._start

    def publish(self, deliveries_max: int, limit_s: float, watch: Watch) -> None:
        """Publish until `deliveries_max` more are due or time is up, then wait until they have come or none comes."""
        ahead = max(self._under_way_max_count, 2 * self._subscribers)
        per_look = max(1, ahead // self._subscribers // 4)  # items between two looks at the counters
        goal, stop = self.due + deliveries_max, time.monotonic() + limit_s
        missing = self.due - self.received
        while self.due < goal and time.monotonic() < stop:
            burst = per_look * self._subscribers
            if not self._wait(self.due + burst - ahead - missing, watch):
                return
            for _ in range(per_look):
                self._publisher.publish(self._next_channel)
                self._next_channel = (self._next_channel + 1) % self._channels
            self.due += burst
        self._wait(self.due - missing, watch)

    def _wait(self, received: int, watch: Watch) -> bool:
        """Wait until so many have come; False when STALL_LIMIT_S passes without any coming."""
        last, stalled_at = self.received, time.monotonic() + STALL_LIMIT_S
        while last < received:
            time.sleep(LOOK_S)
            watch.check(f"{last:,} of {self.due:,} deliveries")
            now = self.received
            if now != last:
                last, self.last_delivery_at = now, time.monotonic()
                stalled_at = self.last_delivery_at + STALL_LIMIT_S
            elif time.monotonic() > stalled_at:
                return False
        return True
