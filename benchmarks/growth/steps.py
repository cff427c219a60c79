"""The steps of each dimension: `tiny` to see that it works, `modest` on a shared machine, `full` for the record."""

from dataclasses import dataclass

CONNECTIONS_PER_PROCESS_COUNT = 17_500  # server or client, of the 20,000 files that a process may open

KEEP_ALIVES_PER_S = 40_000  # at the most: half a core here, so that the clients can read them on the other


@dataclass(frozen=True, slots=True)
class Steps:
    """Values of each dimension, ascending, and how long each reading takes."""

    connections: tuple[int, ...]
    subscribers_per_channel: int  # of the connections; the same in all steps, so that an item costs the same
    channels: tuple[int, ...]
    channel_connections_max: int  # more channels than this: several per connection
    subscriptions: tuple[int, ...]
    subscription_connections: int
    workers: tuple[int, ...]
    item_bytes: tuple[int, ...]
    item_subscribers: tuple[int, ...]
    item_fan_out_max_bytes: int  # an item to all its subscribers at once; kernel buffers hold that
    deliveries_max: int  # in one reading
    deliver_s: float  # a reading ends after so long
    idle_s: float
    rounds: int = 1  # over all steps; of each value the least counts, as other work only adds to it
    warm_count: int = 500  # connections opened and closed before anything is read
    settle_s: float = 1.0
    step_limit_s: float = 120.0

    def keep_alive_s(self, connections: int) -> int:
        """Give the keep-alives' period, which is also how long idling is read: each connection gets one in it."""
        return max(1, int(self.idle_s), connections // KEEP_ALIVES_PER_S)

    def client_processes(self, connections: int) -> int:
        """Give how many client processes hold so many connections."""
        return -(-connections // CONNECTIONS_PER_PROCESS_COUNT)

    def worker_count(self, connections: int) -> int:
        """Give how many workers hold so many; two at least, as with one nothing is said about the others."""
        return max(2, -(-connections // (CONNECTIONS_PER_PROCESS_COUNT - 500)))  # the kernel does not share evenly


STEPS = {
    "tiny": Steps(
        connections=(10, 40),
        subscribers_per_channel=10,
        channels=(1, 40),
        channel_connections_max=10,
        subscriptions=(1, 10),
        subscription_connections=20,
        workers=(1, 2),
        item_bytes=(10, 1000),
        item_subscribers=(1, 10),
        item_fan_out_max_bytes=100_000,
        deliveries_max=200,
        deliver_s=1.0,
        idle_s=1.0,
        warm_count=10,
        settle_s=0.2,
        step_limit_s=30.0,
    ),
    "modest": Steps(
        connections=(1000, 4000, 15_000),
        subscribers_per_channel=100,
        channels=(1, 10, 100, 1000, 10_000, 100_000),
        channel_connections_max=1000,
        subscriptions=(1, 10, 100),
        subscription_connections=1000,
        workers=(1, 2, 4, 8, 16),
        item_bytes=(10, 100, 1000, 10_000, 100_000, 1_000_000),
        item_subscribers=(1, 1000),
        item_fan_out_max_bytes=100_000_000,
        deliveries_max=20_000,
        deliver_s=2.0,
        idle_s=4.0,
        rounds=2,
    ),
    "full": Steps(
        connections=(1000, 10_000, 100_000, 1_000_000),
        subscribers_per_channel=100,
        channels=(1, 10, 100, 1000, 10_000, 100_000, 1_000_000),
        channel_connections_max=10_000,
        subscriptions=(1, 10, 100, 1000),
        subscription_connections=5000,
        workers=(1, 2, 4, 8, 16, 32, 56),
        item_bytes=(10, 100, 1000, 10_000, 100_000, 1_000_000),
        item_subscribers=(1, 1000),
        item_fan_out_max_bytes=1_000_000_000,
        deliveries_max=100_000,
        deliver_s=5.0,
        idle_s=10.0,
        rounds=3,
        settle_s=2.0,
        step_limit_s=1800.0,
    ),
}
