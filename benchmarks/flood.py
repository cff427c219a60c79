"""A flood of items from several publishers, and whether everything stays within bounds and nothing gets lost.

The publishers send at a fixed rate together, each from a process of its own, by ZeroMQ PUSH. What the server does not
take in time, they send later: back-pressure shows as a lower rate. Items go to many channels in turn, and one in so
many has a subscriber, for writing to a socket costs more than all the rest: the case says how many do.
"""

import mmap
import multiprocessing
import os
import time
from types import TracebackType

from benchmarks.benchmark import CaseBenchmark
from benchmarks.books import Books
from benchmarks.deliveries import Deliveries
from benchmarks.errors import BenchmarkError
from benchmarks.gripproxy_processes import ItemCpu
from benchmarks.hold_client import Counter, HoldTarget
from benchmarks.hold_swarm import HoldSwarm
from benchmarks.item_publisher import ZmqPublisher
from benchmarks.report import Column
from benchmarks.servers.pushpin import GripproxyServer
from benchmarks.servers.server import Server
from benchmarks.sizes import FloodSize, Sizes
from benchmarks.watch import Watch

MIB = 1 << 20
TICK_S = 0.001  # a publisher sends what is due once in so long
LOOK_S = 0.1
SETTLE_LIMIT_S = 30.0  # for the last items to arrive
FLUSH_LIMIT_MS = 30_000
_FORK = multiprocessing.get_context("fork")


class PublisherSwarm:
    """Publisher processes that send from now on until `stop`. They count what they sent in shared memory."""

    def __init__(self, spec: str, size: FloodSize, one_in: int) -> None:
        self._counts = memoryview(mmap.mmap(-1, 8 * (size.publishers + 1))).cast("Q")
        self._processes = []
        for index in range(size.publishers):
            process = _FORK.Process(target=self._run, args=(spec, size, one_in, index), daemon=True)
            process.start()
            self._processes.append(process)

    def __enter__(self) -> "PublisherSwarm":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._counts[-1] = 1
        for process in self._processes:
            process.join(FLUSH_LIMIT_MS / 1000)
            process.kill()
            process.join()

    @property
    def sent(self) -> int:
        """Items handed to ZeroMQ by all of them."""
        return sum(self._counts[:-1])

    def stop(self) -> None:
        """Let them end when the server has taken all.

        Raises:
            BenchmarkError: one of them failed.
        """
        self._counts[-1] = 1
        for process in self._processes:
            process.join(FLUSH_LIMIT_MS / 1000)
            if process.exitcode != 0:
                raise BenchmarkError("a publisher failed, or the server did not take everything")

    def _run(self, spec: str, size: FloodSize, one_in: int, index: int) -> None:
        """Send this publisher's part. Channels from `subscribers` on have no subscriber; the others are shared out."""
        publisher = ZmqPublisher(spec, 2 * size.subscribers, size.item_bytes, FLUSH_LIMIT_MS)
        heard = range(index, size.subscribers, size.publishers)
        unheard = range(size.subscribers, 2 * size.subscribers)
        rate, counts = size.items_per_s / size.publishers, self._counts
        start, number = time.monotonic(), 0
        while not counts[-1]:
            due, at_ns = int((time.monotonic() - start) * rate), time.monotonic_ns()
            while number < due and not counts[-1]:
                if number % one_in:
                    publisher.publish(unheard[number % len(unheard)], at_ns)
                else:
                    publisher.publish(heard[number // one_in % len(heard)], at_ns)
                number += 1
                counts[index] = number
            time.sleep(TICK_S)
        publisher.close()
        os._exit(0)


def cases(sizes: Sizes) -> tuple[str, ...]:
    """One case for each share of items that have a subscriber."""
    return tuple("each is heard" if one_in == 1 else f"1 in {one_in} is heard" for one_in in sizes.flood.one_in)


def measure(server: Server, sizes: Sizes, case: str, watch: Watch) -> dict[str, float]:
    """Flood, wait until all has arrived, and look at the books.

    Raises:
        BenchmarkError: the books do not come out.
    """
    if not isinstance(server, GripproxyServer):
        raise BenchmarkError(f"{server.name} keeps no books")
    size = sizes.flood
    one_in = size.one_in[cases(sizes).index(case)]
    target = HoldTarget((server.http_port,), server.hold_path(), size.subscribers)
    with HoldSwarm(target, sizes.client_processes, is_timed=True) as swarm:
        swarm.open(size.subscribers, watch)
        time.sleep(sizes.settle_s)
        before, memory = Books.read(server.metrics_port), [server.tree.memory().data_bytes]
        deliveries, cpu, start = Deliveries(swarm), ItemCpu(server), time.monotonic()
        with PublisherSwarm(f"tcp://127.0.0.1:{server.pull_port}", size, one_in) as publishers:
            while time.monotonic() < start + size.load_s:
                time.sleep(LOOK_S)
                memory.append(server.tree.memory().data_bytes)
                watch.check(f"{publishers.sent:,} items, {memory[-1] / MIB:.1f} MiB")
            taken, elapsed = Books.read(server.metrics_port), time.monotonic() - start
            publishers.stop()
            sent = publishers.sent
        deliveries.due = int(_since(before, Books.read(server.metrics_port), "receptions_total"))
        deliveries.wait(deliveries.due, watch, SETTLE_LIMIT_S)
        after = _settled(server.metrics_port, before, sent, watch)
        latencies = swarm.latencies()
        return {
            **cpu.per_item_us(sent),
            "rate": _since(before, taken, "items_received_total") / elapsed,
            "lag_ms": taken.lag_ms(before, 99),
            "p50_ms": latencies.percentile_ms(50),
            "p99_ms": latencies.percentile_ms(99),
            "before_mib": memory[0] / MIB,
            "most_mib": max(memory) / MIB,
            "items": _since(before, after, "items_received_total"),
            "deliveries": _since(before, after, "deliveries_total"),
            "unsent": sent - _since(before, after, "items_received_total"),
            "dropped": _since(before, after, "deliveries_dropped_total"),
            "missing": _since(before, after, "deliveries_total") - deliveries.received,
            "lost": swarm.count(Counter.LOST),
        }


def _since(before: Books, after: Books, name: str) -> float:
    return after.total(name) - before.total(name)


def _settled(port: int, before: Books, sent: int, watch: Watch) -> Books:
    """Wait until every item that was sent is in the books, and these come out."""
    while True:
        books = Books.read(port)
        faults = books.faults()
        missing = sent - _since(before, books, "items_received_total")
        if not faults and not missing:
            return books
        time.sleep(LOOK_S)
        watch.check("; ".join(faults) or f"{missing:,.0f} items have not been received")


FLOOD = CaseBenchmark(
    name="flood",
    title="Flood: items from several publishers at a fixed rate in all",
    columns=(
        Column("cpu_us", "CPU us per item", 1),
        Column("rate", "items/s taken"),
        Column("lag_ms", "loop lag ms, 99% are within", 1),
        Column("hub_us", "hub: CPU us per item", 1),
        Column("worker_us", "least busy worker", 2),
        Column("p50_ms", "p50 ms until read", 2),
        Column("p99_ms", "p99 ms", 1),
        Column("before_mib", "MiB before", 1),
        Column("most_mib", "MiB at the most", 1),
        Column("items", "items"),
        Column("deliveries", "deliveries"),
        Column("unsent", "items missing in the books"),
        Column("dropped", "deliveries dropped"),
        Column("missing", "deliveries that did not arrive"),
        Column("lost", "connections lost"),
    ),
    servers=("gripproxy",),
    cases=cases,
    measure=measure,
)
