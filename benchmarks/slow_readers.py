"""Clients that never read: what they cost a server's memory, and the other clients' latency.

Two channels get items at the same rate. Readers on both are timed, first alone, then while the sockets of the slow
clients on one of the channels fill up, and then once these are full, which is the state that lasts. The slow clients
have small receive buffers and segments as on Ethernet: with those of loopback, the kernel would queue over a megabyte
for each of them.
"""

import time
from contextlib import ExitStack, closing
from dataclasses import dataclass

from benchmarks.benchmark import CaseBenchmark
from benchmarks.deliveries import Deliveries
from benchmarks.errors import BenchmarkError
from benchmarks.hold_client import Counter, HoldTarget
from benchmarks.hold_swarm import HoldSwarm
from benchmarks.item_pacer import ItemPacer
from benchmarks.machine import tcp_memory_bytes
from benchmarks.report import Column
from benchmarks.servers.server import Server
from benchmarks.sizes import Sizes, SlowReadersSize
from benchmarks.watch import Watch

OTHER_CHANNEL, SLOW_CHANNEL = 0, 1
SLOW_RECEIVE_BYTES = 4096  # the kernel doubles it
WAIT_LIMIT_S = 15.0  # for a server that cannot keep up, beyond the time the items are due in
MIB = 1 << 20


def cases(sizes: Sizes) -> tuple[str, ...]:
    """One case."""
    size = sizes.slow_readers
    return (f"{size.slow_count:,} never read {size.items_per_s} x {size.item_bytes:,} bytes/s",)


@dataclass(frozen=True, slots=True)
class Phase:
    """What the readers saw while items came: percentiles, and deliveries that never came."""

    other_p50_ms: float
    other_p99_ms: float
    same_p99_ms: float
    missing: int
    items_per_s: float  # on each channel: less than asked when the server makes its publisher wait


class Readers:
    """Timed readers on the two channels, and what publishes to both."""

    def __init__(self, server: Server, size: SlowReadersSize, stack: ExitStack) -> None:
        counts = (size.other_readers, size.same_readers)
        self._readers = [
            (stack.enter_context(HoldSwarm(hold_target(server, channel), 1, is_timed=True)), count)
            for channel, count in enumerate(counts)
        ]
        publisher = stack.enter_context(closing(server.publisher(len(counts), size.item_bytes)))
        self._pacer = ItemPacer(publisher, len(counts))
        self._items_per_s = size.items_per_s * len(counts)

    def open(self, watch: Watch) -> None:
        """Connect all."""
        for swarm, count in self._readers:
            swarm.open(count, watch)

    def lost(self) -> int:
        """Connections that the server ended."""
        return sum(swarm.count(Counter.LOST) for swarm, _ in self._readers)

    def phase(self, items: int, watch: Watch) -> Phase:
        """Publish `items` to each channel and wait until they have come, none comes any more, or time is up.

        Raises:
            BenchmarkError: readers of a channel got nothing at all.
        """
        before = [(Deliveries(swarm), swarm.latencies()) for swarm, _ in self._readers]
        limit_s, start = items * len(before) / self._items_per_s + WAIT_LIMIT_S, time.monotonic()
        items = self._pacer.publish(self._items_per_s, items * len(before), watch, limit_s) // len(before)
        elapsed = time.monotonic() - start
        missing, found = 0, []
        for (swarm, count), (deliveries, latencies_before) in zip(self._readers, before, strict=True):
            deliveries.due = items * count
            deliveries.wait(deliveries.due, watch, WAIT_LIMIT_S)
            missing += deliveries.missing
            found.append(swarm.latencies() - latencies_before)
        if not all(latencies.count for latencies in found):
            raise BenchmarkError(f"readers got nothing; {missing:,} deliveries are missing, {self.lost()} were cut")
        other, same = found
        return Phase(other.percentile_ms(50), other.percentile_ms(99), same.percentile_ms(99), missing, items / elapsed)


def hold_target(server: Server, channel: int, receive_bytes: int | None = None) -> HoldTarget:
    """Hold for one channel; with `receive_bytes`, without reading what comes."""
    return HoldTarget(
        (server.http_port,), server.hold_path(), 1, first_channel=channel, unread_receive_bytes=receive_bytes
    )


def measure(server: Server, sizes: Sizes, case: str, watch: Watch) -> dict[str, float]:
    """Time the readers alone, while slow clients' sockets fill, while these are full, and alone again for the noise."""
    size = sizes.slow_readers
    items = max(1, int(size.load_s * size.items_per_s))
    with ExitStack() as stack:
        readers = Readers(server, size, stack)
        readers.open(watch)
        readers.phase(size.items_per_s, watch)  # to warm up
        alone = readers.phase(items, watch)
        slow = stack.enter_context(
            HoldSwarm(hold_target(server, SLOW_CHANNEL, SLOW_RECEIVE_BYTES), sizes.client_processes)
        )
        slow.open(size.slow_count, watch)
        time.sleep(sizes.settle_s)
        memory_before, tcp_before, files_before = server.tree.memory(), tcp_memory_bytes(), server.tree.file_count()
        filling = readers.phase(size.fill_items, Watch(f"{case}, {server.name}, filling", sizes.limit_s))
        memory_filled = server.tree.memory()
        cpu_before, before = server.tree.cpu_s(), time.monotonic()
        full = readers.phase(items, Watch(f"{case}, {server.name}, full", sizes.limit_s))
        cores = (server.tree.cpu_s() - cpu_before) / (time.monotonic() - before)
        memory_full = server.tree.memory()
        tcp_bytes, dropped = tcp_memory_bytes() - tcp_before, server.dropped_count()
        cut = max(slow.count(Counter.LOST), files_before - server.tree.file_count(), 0)
        slow.close()
        time.sleep(sizes.settle_s)
        after = readers.phase(items, Watch(f"{case}, {server.name}, after", sizes.limit_s))
        return {
            "ratio": full.other_p99_ms / alone.other_p99_ms,
            "alone_p99_ms": alone.other_p99_ms,
            "full_p99_ms": full.other_p99_ms,
            "after_p99_ms": after.other_p99_ms,
            "alone_p50_ms": alone.other_p50_ms,
            "full_p50_ms": full.other_p50_ms,
            "filling_p99_ms": filling.other_p99_ms,
            "same_alone_p99_ms": alone.same_p99_ms,
            "same_full_p99_ms": full.same_p99_ms,
            "before_mib": memory_before.data_bytes / MIB,
            "filled_mib": memory_filled.data_bytes / MIB,
            "full_mib": memory_full.data_bytes / MIB,
            "tcp_mib": tcp_bytes / MIB,
            "cores": cores,
            "items_per_s": full.items_per_s,
            "missing": sum(phase.missing for phase in (alone, filling, full, after)),
            "lost": readers.lost(),
            "cut": cut,
            **({} if dropped is None else {"dropped": dropped}),
        }


SLOW_READERS = CaseBenchmark(
    name="slow_readers",
    title="Slow readers: latency of those that read, beside clients that never do",
    columns=(
        Column("ratio", "p99 with slow ones / without", 2),
        Column("alone_p99_ms", "p99 ms without", 2),
        Column("full_p99_ms", "with, sockets full", 2),
        Column("after_p99_ms", "after they left", 2),
        Column("alone_p50_ms", "p50 ms without", 2),
        Column("full_p50_ms", "with", 2),
        Column("filling_p99_ms", "p99 ms while they fill", 1),
        Column("same_alone_p99_ms", "p99 ms on the slow ones' channel without", 2),
        Column("same_full_p99_ms", "with", 2),
        Column("before_mib", "MiB held", 1),
        Column("filled_mib", "MiB filled", 1),
        Column("full_mib", "MiB at the end", 1),
        Column("tcp_mib", "kernel's TCP MiB"),
        Column("cores", "cores used", 2),
        Column("items_per_s", "items/s taken"),
        Column("missing", "missing"),
        Column("lost", "readers cut"),
        Column("cut", "slow ones cut"),
        Column("dropped", "drops counted"),
    ),
    servers=("gripproxy", "pushpin", "nchan"),
    cases=cases,
    measure=measure,
)
