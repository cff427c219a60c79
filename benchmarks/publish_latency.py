"""Publish-to-client latency at a tenth, a half and nine tenths of what each server can deliver at the most.

A server's maximum is found first, by publishing as fast as its clients receive. Then items come at fixed rates. The
latency runs from when an item should have been sent until a client has read it, so it includes the publisher's ZeroMQ
or HTTP and the clients' own turn on the CPU, which is the same for all. gripproxy comes last, and is measured at its
own rates and at those of each rival: so there are rows of two servers under the same load.
"""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from benchmarks.benchmark import Benchmark, running
from benchmarks.deliveries import Deliveries
from benchmarks.errors import BenchmarkError
from benchmarks.hold_client import Counter, HoldTarget
from benchmarks.hold_swarm import HoldSwarm
from benchmarks.item_pacer import ItemPacer
from benchmarks.item_publisher import ItemPublisher
from benchmarks.item_pump import ItemPump
from benchmarks.report import OURS, Column, Figure
from benchmarks.servers.server import Server
from benchmarks.sizes import Sizes
from benchmarks.watch import Watch

SEARCH_ROUNDS_COUNT = 3
ITEMS_MIN_COUNT = 20  # at the lowest rate of a short run


@dataclass(frozen=True, slots=True)
class Load:
    """A rate of deliveries, and whose maximum it is a part of."""

    case: str
    rate: float  # deliveries per second


def loads_of(name: str, maximum_rate: float, percents: tuple[int, ...]) -> list[Load]:
    """Give the loads that a server's maximum leads to."""
    rates = ((percent, maximum_rate * percent / 100) for percent in percents)
    return [Load(f"{percent}% of {name}'s maximum, {rate:,.0f}/s", rate) for percent, rate in rates]


@dataclass(frozen=True)
class PublishLatency(Benchmark):
    """Every server is started once, holds all streams, and gets all its loads, the lightest first."""

    def figures(self, servers: list[str], sizes: Sizes) -> list[Figure]:
        """Measure the rivals, then gripproxy at their loads and at its own; sorted by load in the order found."""
        found: list[Load] = []
        figures: list[Figure] = []
        for name in sorted(servers, key=OURS.__eq__):
            case, watch = "maximum", Watch(f"{self.name}, {name}", sizes.limit_s)
            try:
                with running(name, watch) as server, held(server, sizes, watch) as run:
                    own = loads_of(name, run.find_maximum(watch), sizes.publish_latency.percents)
                    loads = sorted(found + own if name == OURS else own, key=lambda load: load.rate)
                    found += own
                    for load in loads:
                        case, watch = load.case, Watch(f"{self.name}, {name}", sizes.limit_s)
                        figures.append(Figure(name, case, run.measure(load.rate, watch)))
            except BenchmarkError as error:
                watch.say(f"failed: {error}")
                figures.append(Figure(name, case, failure=str(error)))
        cases = [load.case for load in found]
        return sorted(figures, key=lambda figure: cases.index(figure.case) if figure.case in cases else len(cases))


@contextmanager
def held(server: Server, sizes: Sizes, watch: Watch) -> Iterator["LatencyRun"]:
    """Hold all streams at a server, and connect a publisher."""
    size = sizes.publish_latency
    target = HoldTarget((server.http_port,), server.hold_path(), size.channels)
    with HoldSwarm(target, sizes.client_processes, is_timed=True) as swarm:
        swarm.open(size.channels * size.subscribers, watch)
        time.sleep(sizes.settle_s)
        with closing(server.publisher(size.channels)) as publisher:
            yield LatencyRun(server, swarm, publisher, sizes)


@dataclass(slots=True)
class LatencyRun:
    """A server with all its streams held, and a publisher."""

    server: Server
    swarm: HoldSwarm
    publisher: ItemPublisher
    sizes: Sizes

    def find_maximum(self, watch: Watch) -> float:
        """Give the deliveries per second of publishing as fast as the clients receive: the best of some rounds.

        Raises:
            BenchmarkError: nothing was delivered.
        """
        size = self.sizes.publish_latency
        pump = ItemPump(self.publisher, self.swarm, size.channels, size.subscribers)
        pump.publish(size.channels * size.subscribers, size.search_s, watch)
        rates = []
        for _ in range(SEARCH_ROUNDS_COUNT):
            before, received = time.monotonic(), pump.received
            pump.publish(1 << 62, size.search_s / SEARCH_ROUNDS_COUNT, watch)
            if pump.received == received:
                raise BenchmarkError("nothing was delivered")
            rates.append((pump.received - received) / (pump.last_delivery_at - before))
        return max(rates)

    def measure(self, rate: float, watch: Watch) -> dict[str, float]:
        """Publish at `rate` deliveries per second, and give what the clients recorded."""
        size = self.sizes.publish_latency
        items_per_s = rate / size.subscribers
        items = max(ITEMS_MIN_COUNT, int(items_per_s * size.load_s))
        time.sleep(self.sizes.settle_s)
        pacer = ItemPacer(self.publisher, size.channels)
        deliveries, latencies_before = Deliveries(self.swarm), self.swarm.latencies()
        lost_before, cpu_before = self.swarm.count(Counter.LOST), self.server.tree.cpu_s()
        pacer.publish(items_per_s, items, watch)
        deliveries.due = items * size.subscribers
        deliveries.wait(deliveries.due, watch)
        latencies = self.swarm.latencies() - latencies_before
        if not latencies.count:
            raise BenchmarkError(f"nothing was delivered at {rate:,.0f} deliveries/s")
        return {
            "p99_ms": latencies.percentile_ms(99),
            "p50_ms": latencies.percentile_ms(50),
            "p999_ms": latencies.percentile_ms(99.9),
            "max_ms": latencies.percentile_ms(100),
            "late_ms": pacer.lateness.read().percentile_ms(99),
            "cpu_us": (self.server.tree.cpu_s() - cpu_before) / latencies.count * 1e6,
            "deliveries": latencies.count,
            "missing": deliveries.missing,
            "lost": self.swarm.count(Counter.LOST) - lost_before,
        }


PUBLISH_LATENCY = PublishLatency(
    name="publish_latency",
    title="Publish-to-client latency at fixed rates, from when the item should have been sent",
    columns=(
        Column("p99_ms", "p99 ms", 2),
        Column("p50_ms", "p50 ms", 2),
        Column("p999_ms", "p99.9 ms", 2),
        Column("max_ms", "max ms", 1),
        Column("late_ms", "sent late, p99 ms", 2),
        Column("cpu_us", "CPU us per delivery", 1),
        Column("deliveries", "deliveries"),
        Column("missing", "missing"),
        Column("lost", "connections lost"),
    ),
    servers=("pushpin", "nchan", "gripproxy"),
)
