"""Cost against the number of held connections: the last ones must cost what the first ones cost."""

import time

from benchmarks.growth.curve import CurveKind
from benchmarks.growth.dimension import Dimension, Rows
from benchmarks.growth.growth_server import name_of_group
from benchmarks.growth.session import running
from benchmarks.growth.steps import Steps
from benchmarks.hold_client import Counter
from benchmarks.report import Column


def measure(steps: Steps, rows: Rows) -> None:
    """Start a server for each step, always with the same number of workers, and hold so many."""
    workers = steps.worker_count(steps.connections[-1])
    for count in steps.connections:
        rows.append((f"{count:,}", count, _measure_step(steps, count, workers)))


def _measure_step(steps: Steps, count: int, workers: int) -> dict[str, float]:
    """Take memory and accepts from the last three quarters, so that what the first ones fill counts for nobody."""
    first, channels = count // 4, count // steps.subscribers_per_channel
    label = f"connections, {count:,}"
    with running(label, steps, workers, count, keep_alive_s=max(1, int(steps.idle_s))) as session:
        session.warm_up()
        idle_base_s = session.idle_cpu_s()
        with session.swarm(count, channels) as swarm:
            swarm.open(first, session.watch)
            time.sleep(steps.settle_s)
            before = session.usage.read()
            swarm.open(count, session.watch)
            time.sleep(steps.settle_s)
            grown = session.usage.read().minus(before)
            idle_s = session.idle_cpu_s()
            delivered = session.deliver(swarm, name_of_group(1), channels, count // channels)
            lost = swarm.count(Counter.LOST)
            before = session.usage.cpu()
        session.wait_quiet()
        leave = session.usage.cpu().minus(before)
    return {
        "memory_bytes": grown.data_bytes / (count - first),
        "accept_us": grown.cpu_s / (count - first) * 1e6,
        "delivery_us": delivered.cpu_us,
        "idle_us": max(0.0, idle_s - idle_base_s) / count * 1e6,
        "leave_us": leave.cpu_s / count * 1e6,
        "workers": workers,
        "missing": delivered.missing,
        "lost": lost,
    }


CONNECTIONS = Dimension(
    name="connections",
    title="Connections: cost of each, on one server for each step",
    axis="connections",
    columns=(
        Column("memory_bytes", "bytes per connection"),
        Column("accept_us", "CPU us per accepted hold", 1),
        Column("delivery_us", "CPU us per delivery", 2),
        Column("idle_us", "CPU us per connection and keep-alive period", 2),
        Column("leave_us", "CPU us per client that leaves", 1),
        Column("workers", "workers"),
        Column("missing", "missing"),
        Column("lost", "connections lost"),
    ),
    curves=(
        CurveKind("memory_bytes", "bytes per connection", floor=50),
        CurveKind("accept_us", "CPU us per accepted hold", floor=1),
        CurveKind("delivery_us", "CPU us per delivery", floor=0.5),
        CurveKind("idle_us", "CPU us per keep-alive", floor=5),
        CurveKind("leave_us", "CPU us per leave", floor=5),
    ),
    measure=measure,
)
