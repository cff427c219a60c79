"""How many items per second a server takes in, with 0, 1 and 10 subscribers for each, and what one costs it.

One publisher sends as fast as the server takes and its clients receive: at most 1,000 items are under way, so nobody
is overrun. Where items have no subscriber, one in fifty has: it shows how far the server has come, for a publisher's
socket only says what the kernel and ZeroMQ took. Then items come at half of that rate, at fixed times, and the clients
record how old they are when they arrive.
"""

import time
from contextlib import closing
from dataclasses import dataclass

from benchmarks.benchmark import CaseBenchmark
from benchmarks.deliveries import Deliveries
from benchmarks.errors import BenchmarkError
from benchmarks.gripproxy_processes import ItemCpu
from benchmarks.hold_client import Counter, HoldTarget
from benchmarks.hold_swarm import HoldSwarm
from benchmarks.item_pacer import ItemPacer
from benchmarks.item_publisher import ItemPublisher
from benchmarks.item_pump import ItemPump
from benchmarks.report import Column
from benchmarks.servers.server import Server
from benchmarks.sizes import Sizes
from benchmarks.watch import Watch

ITEMS_PER_MARK = 50  # of items without a subscriber, one of so many has one
MARKS_UNDER_WAY_COUNT = 20
WARM_S = 0.5
ROUNDS_COUNT = 3
NAP_S = 0.0002  # of the paced publisher: it would else take a core to wake for each item


@dataclass(slots=True)
class Marked:
    """Publishes `ITEMS_PER_MARK` items for one: nobody hears them but the last, which is for channel 0."""

    publisher: ItemPublisher

    def publish(self, channel: int, at_ns: int = 0) -> None:
        """Publish them all."""
        publish = self.publisher.publish
        for unheard in range(1, ITEMS_PER_MARK):
            publish(unheard, at_ns)
        publish(channel, at_ns)

    def close(self) -> None:
        """Close the publisher."""
        self.publisher.close()


def cases(sizes: Sizes) -> tuple[str, ...]:
    """One case for each number of subscribers."""
    return tuple(f"{count} subscribers" for count in sizes.publish_rate.subscribers)


def measure(server: Server, sizes: Sizes, case: str, watch: Watch) -> dict[str, float]:
    """Find the maximum, take the CPU time while it lasts, then the latency at half of it."""
    size = sizes.publish_rate
    subscribers = size.subscribers[cases(sizes).index(case)]
    heard, per_mark = (size.channels, 1) if subscribers else (1, ITEMS_PER_MARK)
    channels = heard * per_mark
    target = HoldTarget((server.http_port,), server.hold_path(), heard)
    with HoldSwarm(target, sizes.client_processes, is_timed=True) as swarm:
        swarm.open(heard * max(1, subscribers), watch)
        time.sleep(sizes.settle_s)
        with closing(server.publisher(channels)) as publisher:
            if subscribers:
                pump = ItemPump(publisher, swarm, heard, subscribers)
            else:
                pump = ItemPump(Marked(publisher), swarm, 1, 1, MARKS_UNDER_WAY_COUNT)
            items_per_delivery = per_mark / max(1, subscribers)
            found = _pump(server, pump, items_per_delivery, sizes, watch)
            missing = pump.due - pump.received
            pacer = ItemPacer(publisher, channels, NAP_S)
            found |= _pace(pacer, swarm, found["rate"] / 2, items_per_delivery, sizes, watch)
            found["missing"] += missing
            found["lost"] = swarm.count(Counter.LOST)
    return found


def _pump(server: Server, pump: ItemPump, items_per_delivery: float, sizes: Sizes, watch: Watch) -> dict[str, float]:
    """Publish for some rounds; give the best round's rate, and the CPU time of all of them."""
    seconds = sizes.publish_rate.load_s / ROUNDS_COUNT
    pump.publish(1 << 62, min(WARM_S, seconds), watch)
    cpu, received_before, rates = ItemCpu(server), pump.received, []
    for _ in range(ROUNDS_COUNT):
        before, received = time.monotonic(), pump.received
        pump.publish(1 << 62, seconds, watch)
        if pump.received == received:
            raise BenchmarkError("nothing was delivered")
        rates.append((pump.received - received) * items_per_delivery / (pump.last_delivery_at - before))
    items = (pump.received - received_before) * items_per_delivery
    return {**cpu.per_item_us(items), "rate": max(rates), "items": items}


def _pace(
    pacer: ItemPacer, swarm: HoldSwarm, items_per_s: float, items_per_delivery: float, sizes: Sizes, watch: Watch
) -> dict[str, float]:
    """Publish at a fixed rate; give what the clients recorded."""
    time.sleep(sizes.settle_s)
    deliveries, latencies_before = Deliveries(swarm), swarm.latencies()
    items = max(ITEMS_PER_MARK, int(items_per_s * sizes.publish_rate.load_s)) // ITEMS_PER_MARK * ITEMS_PER_MARK
    pacer.publish(items_per_s, items, watch)
    deliveries.due = int(items / items_per_delivery)
    deliveries.wait(deliveries.due, watch)
    latencies = swarm.latencies() - latencies_before
    if not latencies.count:
        raise BenchmarkError(f"nothing was delivered at {items_per_s:,.0f} items/s")
    return {
        "p50_ms": latencies.percentile_ms(50),
        "p99_ms": latencies.percentile_ms(99),
        "late_ms": pacer.lateness.read().percentile_ms(99),
        "missing": deliveries.missing,
    }


PUBLISH_RATE = CaseBenchmark(
    name="publish_rate",
    title="Publish rate: items taken in from one publisher",
    columns=(
        Column("cpu_us", "CPU us per item", 1),
        Column("rate", "items/s"),
        Column("hub_us", "hub: CPU us per item", 1),
        Column("worker_us", "least busy worker", 2),
        Column("p50_ms", "p50 ms at half of it", 2),
        Column("p99_ms", "p99 ms", 2),
        Column("late_ms", "sent late, p99 ms", 2),
        Column("items", "items"),
        Column("missing", "missing"),
        Column("lost", "connections lost"),
    ),
    servers=("gripproxy", "pushpin"),
    cases=cases,
    measure=measure,
)
