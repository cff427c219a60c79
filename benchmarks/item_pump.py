"""Publishes to all channels in turn, with a bounded number of deliveries under way, and counts what is missing."""

import time

from benchmarks.deliveries import Deliveries
from benchmarks.hold_swarm import HoldSwarm
from benchmarks.item_publisher import ItemPublisher
from benchmarks.watch import Watch

# More under way would let a server write several items at once to a connection, which is another thing to
# measure, and would overrun Pushpin, whose inner sockets drop what is beyond 1,000 and lose the connection.
UNDER_WAY_MAX_COUNT = 500


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
        self._deliveries = Deliveries(swarm)
        self._publisher = publisher
        self._channels = channels
        self._subscribers = subscribers
        self._under_way_max_count = under_way_max_count
        self._next_channel = 0

    @property
    def due(self) -> int:
        """Deliveries that the items published so far must make."""
        return self._deliveries.due

    @property
    def received(self) -> int:
        """Deliveries since the pump was made."""
        return self._deliveries.received

    @property
    def last_delivery_at(self) -> float:
        """Monotonic seconds when the last delivery was seen that the pump waited for."""
        return self._deliveries.last_at

    def publish(self, deliveries_max: int, limit_s: float, watch: Watch) -> None:
        """Publish until `deliveries_max` more are due or time is up, then wait until they have come or none comes."""
        ahead = max(self._under_way_max_count, 2 * self._subscribers)
        per_look = max(1, ahead // self._subscribers // 4)  # items between two looks at the counters
        goal, stop = self.due + deliveries_max, time.monotonic() + limit_s
        missing = self._deliveries.missing
        while self.due < goal and time.monotonic() < stop:
            burst = per_look * self._subscribers
            if not self._deliveries.wait(self.due + burst - ahead - missing, watch):
                return
            for _ in range(per_look):
                self._publisher.publish(self._next_channel)
                self._next_channel = (self._next_channel + 1) % self._channels
            self._deliveries.due += burst
        self._deliveries.wait(self.due - missing, watch)
