"""One gripproxy under measurement with its origin, and the readings that the dimensions have in common."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks.errors import BenchmarkError
from benchmarks.growth.growth_server import GrowthOrigin, GrowthServer
from benchmarks.growth.steps import Steps
from benchmarks.growth.usage import Usage, UsageReader
from benchmarks.hold_client import Counter, HoldTarget
from benchmarks.hold_swarm import HoldSwarm
from benchmarks.item_mark import ITEM_BYTES, MARK
from benchmarks.item_pump import UNDER_WAY_MAX_COUNT, ItemPump
from benchmarks.metrics_page import read_metric
from benchmarks.servers.server import Server
from benchmarks.watch import Watch

START_MAX_COUNT = 3
UNDER_WAY_EACH_MAX_COUNT = 100  # to one connection: what a backlog takes when its client is late
QUIET_S = 0.25  # so long without CPU: the server has done all that it had put off
QUIET_CPU_S = 0.01  # with so little more than the processes' own ticks
TICKS_CPU_S = 0.0005  # of each process
QUIET_LIMIT_S = 60.0

AnyServer = TypeVar("AnyServer", bound=Server)


@dataclass(frozen=True, slots=True)
class DeliveryCost:
    """CPU of publishing `items`, and what came of it."""

    cpu: Usage
    items: int
    deliveries: int
    missing: int
    keep_alives_s: float = 0.0  # CPU that went into keep-alives meanwhile

    @property
    def cpu_us(self) -> float:
        """CPU of all processes for each delivery."""
        return max(0.0, self.cpu.cpu_s - self.keep_alives_s) / self.deliveries * 1e6

    @property
    def hub_us(self) -> float:
        """CPU of the hub for each item."""
        return self.cpu.hub_cpu_s / self.items * 1e6

    @property
    def workers_us(self) -> float:
        """CPU of all workers for each item."""
        return self.cpu.workers_cpu_s / self.items * 1e6


@dataclass(frozen=True, slots=True)
class Held:
    """What connections cost that were opened, held, published to and left.

    `added` is what the last `added_count` of them took; the first quarter fills what would be filled only once.
    """

    added: Usage
    added_count: int
    accept_us: float
    keep_alive_us: float
    delivered: DeliveryCost
    leave_us: float
    lost: int

    def values(self) -> dict[str, float]:
        """Give the costs of each by the names that columns have."""
        return {
            "memory_bytes": self.added.data_bytes / self.added_count,
            "accept_us": self.accept_us,
            "delivery_us": self.delivered.cpu_us,
            "keep_alive_us": self.keep_alive_us,
            "leave_us": self.leave_us,
            "missing": self.delivered.missing,
            "lost": self.lost,
        }


class Session:
    """A server that runs; `start_s` is how long it took to answer. Made by `running`."""

    def __init__(self, server: GrowthServer, steps: Steps, watch: Watch, start_s: float, keep_alive_s: int) -> None:
        self.server = server
        self.steps = steps
        self.watch = watch
        self.start_s = start_s
        self.keep_alive_s = keep_alive_s
        self.usage = UsageReader(server.tree)

    def swarm(self, connections_max: int, channels: int) -> HoldSwarm:
        """Make clients for so many connections, connection i for the channels of group i mod `channels`."""
        target = HoldTarget((self.server.http_port,), self.server.hold_path(), channels)
        return HoldSwarm(target, self.steps.client_processes(connections_max))

    def warm_up(self) -> None:
        """Fill pools and caches, and let the first garbage collections pass."""
        with self.swarm(self.steps.warm_count, self.steps.warm_count) as swarm:
            swarm.open(self.steps.warm_count, self.watch)
        self.wait_quiet()

    def wait_quiet(self) -> None:
        """Wait until the server needs no CPU any more."""
        time.sleep(self.steps.settle_s)
        deadline = time.monotonic() + QUIET_LIMIT_S
        limit_s = QUIET_CPU_S + TICKS_CPU_S * len(self.server.tree.pids())
        while time.monotonic() < deadline:
            before = self.server.tree.cpu_s()
            time.sleep(QUIET_S)
            if self.server.tree.cpu_s() - before < limit_s:
                return

    def idle_cpu_s(self) -> float:
        """Read the CPU of a keep-alive period in which nothing happens but ticks and keep-alives."""
        before = self.usage.cpu()
        time.sleep(self.keep_alive_s)
        return self.usage.cpu().minus(before).cpu_s

    def hold(self, connections: int, groups: int, name_of: Callable[[int], str], subscriptions: int = 1) -> Held:
        """Warm up, hold so many in groups with the same channels, publish to all channels, and let all leave."""
        self.warm_up()
        base_s = self.idle_cpu_s()
        first = connections // 4
        with self.swarm(connections, groups) as swarm:
            swarm.open(first, self.watch)
            time.sleep(self.steps.settle_s)
            kept, before = self.keep_alives(), self.usage.read()
            swarm.open(connections, self.watch)
            time.sleep(self.steps.settle_s)
            added = self.usage.read().minus(before)
            kept_then = self.keep_alives()
            idle_s = self.idle_cpu_s()
            keep_alive_us = max(0.0, idle_s - base_s) / max(1, self.keep_alives() - kept_then) * 1e6
            delivered = self.deliver(
                swarm, name_of, groups * subscriptions, connections // groups, keep_alive_us=keep_alive_us
            )
            lost = swarm.count(Counter.LOST)
            before = self.usage.cpu()
        self.wait_quiet()
        leave_s = self.usage.cpu().minus(before).cpu_s
        accept_s = added.cpu_s - (kept_then - kept) * keep_alive_us / 1e6
        return Held(
            added,
            connections - first,
            accept_s / (connections - first) * 1e6,
            keep_alive_us,
            delivered,
            leave_s / connections * 1e6,
            lost,
        )

    def keep_alives(self) -> int:
        """Count the keep-alives that were written so far. Costs the hub a millisecond."""
        return read_metric(self.server.metrics_port, "gripproxy_keep_alives_total")

    def deliver(
        self,
        swarm: HoldSwarm,
        name_of: Callable[[int], str],
        channels: int,
        subscribers: int,
        item_bytes: int = ITEM_BYTES,
        under_way_max_count: int = UNDER_WAY_MAX_COUNT,
        keep_alive_us: float = 0.0,
    ) -> DeliveryCost:
        """Publish round and round over the channels, a tenth to warm up, then for the record.

        `keep_alive_us`: what each keep-alive costs that is written meanwhile.

        Raises:
            BenchmarkError: nothing was delivered.
        """
        publisher = self.server.channel_publisher(name_of, MARK.decode().ljust(item_bytes, "x"))
        under_way = min(under_way_max_count, UNDER_WAY_EACH_MAX_COUNT * channels * subscribers)
        pump = ItemPump(publisher, swarm, channels, subscribers, under_way)
        steps = self.steps
        pump.publish(max(steps.deliveries_max // 10, subscribers), steps.deliver_s / 4, self.watch)
        due, received = pump.due, pump.received
        kept, before = self.keep_alives(), self.usage.cpu()
        pump.publish(steps.deliveries_max, steps.deliver_s, self.watch)
        publisher.close()
        self.wait_for_hub()
        cpu = self.usage.cpu().minus(before)
        if pump.received == received:
            raise BenchmarkError("nothing was delivered")
        return DeliveryCost(
            cpu,
            (pump.due - due) // subscribers,
            pump.received - received,
            pump.due - pump.received,
            (self.keep_alives() - kept) * keep_alive_us / 1e6,
        )

    def wait_for_hub(self) -> None:
        """Let what a delivery still costs after it has come be counted, but little of the ticks."""
        time.sleep(min(0.2, self.steps.settle_s))


@contextmanager
def running(label: str, steps: Steps, workers: int, connections_max: int, subscriptions: int = 1) -> Iterator[Session]:
    """Start gripproxy and its origin; both are gone when the `with` block ends.

    Raises:
        BenchmarkError: one of them does not start.
    """
    watch = Watch(label, steps.step_limit_s)
    keep_alive_s = steps.keep_alive_s(connections_max)
    with tempfile.TemporaryDirectory(prefix="gripproxy-bench-") as directory, ExitStack() as started:
        origin = start_one(
            started, lambda number: GrowthOrigin(Path(directory) / f"origin-{number}", subscriptions, keep_alive_s)
        )
        before = time.monotonic()
        server = start_one(
            started,
            lambda number: GrowthServer(
                Path(directory) / f"server-{number}", origin.http_port, workers, connections_max
            ),
        )
        start_s = time.monotonic() - before
        watch.say("started")
        yield Session(server, steps, watch, start_s, keep_alive_s)


def start_one(until: ExitStack, make: Callable[[int], AnyServer]) -> AnyServer:
    """Start what `make` gives, to be stopped with `until`. A port that was free may be taken by then."""
    for number in range(1, START_MAX_COUNT):
        with suppress(BenchmarkError):
            return _start(until, make(number))
    return _start(until, make(START_MAX_COUNT))


def _start(until: ExitStack, server: AnyServer) -> AnyServer:
    server.start()
    until.callback(server.stop)
    return server
