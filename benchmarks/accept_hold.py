"""Accept, ask the origin, hold: CPU time of all of the server's processes for each connection that ends up held."""

import time

from benchmarks.benchmark import CaseBenchmark
from benchmarks.hold_client import HoldTarget
from benchmarks.hold_swarm import HoldSwarm
from benchmarks.report import Column
from benchmarks.servers.server import Server
from benchmarks.sizes import Sizes
from benchmarks.watch import Watch

CHANNEL_COUNT = 1000


def cases(sizes: Sizes) -> tuple[str, ...]:
    """One case."""
    return (f"{sizes.accept_hold.count:,} new streams",)


def measure(server: Server, sizes: Sizes, case: str, watch: Watch) -> dict[str, float]:
    """Hold some to warm up, then divide the CPU time of holding many more by their number."""
    target = HoldTarget((server.http_port,), server.hold_path(), min(CHANNEL_COUNT, sizes.accept_hold.count))
    with HoldSwarm(target, sizes.client_processes) as swarm:
        swarm.open(sizes.accept_hold.warm_count, watch)
        time.sleep(sizes.settle_s)
        cpu_before, before = server.tree.cpu_s(), time.monotonic()
        swarm.open(sizes.accept_hold.warm_count + sizes.accept_hold.count, watch)
        elapsed = time.monotonic() - before
        time.sleep(sizes.settle_s)
        cpu = server.tree.cpu_s() - cpu_before
    return {"cpu_us": cpu / sizes.accept_hold.count * 1e6, "rate": sizes.accept_hold.count / elapsed}


ACCEPT_HOLD = CaseBenchmark(
    name="accept_hold",
    title="Accept, ask the origin, hold a stream (nchan asks no origin)",
    columns=(Column("cpu_us", "CPU us per accepted hold", 1), Column("rate", "holds/s")),
    servers=("gripproxy", "pushpin", "nchan"),
    cases=cases,
    measure=measure,
)
