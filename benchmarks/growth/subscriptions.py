"""Cost against the number of subscriptions per connection, in channels that have many subscribers."""

import time

from benchmarks.growth.curve import LINEAR, CurveKind
from benchmarks.growth.dimension import Dimension, Rows
from benchmarks.growth.growth_server import name_of_group
from benchmarks.growth.session import running
from benchmarks.growth.steps import Steps
from benchmarks.report import Column

WORKERS = 2
SUBSCRIBERS_COUNT = 100  # of each channel, so that memory is that of subscriptions and not of channels


def measure(steps: Steps, rows: Rows) -> None:
    """Start a server for each step, always with the same number of connections."""
    for count in steps.subscriptions:
        rows.append((f"{count:,}", count, _measure_step(steps, count)))


def _measure_step(steps: Steps, count: int) -> dict[str, float]:
    connections = steps.subscription_connections
    first = connections // 4
    groups = max(1, connections // SUBSCRIBERS_COUNT)
    label = f"subscriptions, {count:,} per connection"
    with running(label, steps, WORKERS, connections, count, keep_alive_s=max(1, int(steps.idle_s))) as session:
        session.warm_up()
        idle_base_s = session.idle_cpu_s()
        with session.swarm(connections, groups) as swarm:
            swarm.open(first, session.watch)
            time.sleep(steps.settle_s)
            before = session.usage.read()
            swarm.open(connections, session.watch)
            time.sleep(steps.settle_s)
            grown = session.usage.read().minus(before)
            idle_s = session.idle_cpu_s()
            delivered = session.deliver(swarm, name_of_group(count), groups * count, connections // groups)
            before = session.usage.cpu()
        session.wait_quiet()
        leave = session.usage.cpu().minus(before)
    opened = connections - first
    return {
        "memory_bytes": grown.data_bytes / opened,
        "subscription_bytes": grown.data_bytes / opened / count,
        "accept_us": grown.cpu_s / opened * 1e6,
        "subscription_us": grown.cpu_s / opened / count * 1e6,
        "delivery_us": delivered.cpu_us,
        "idle_us": max(0.0, idle_s - idle_base_s) / connections * 1e6,
        "leave_us": leave.cpu_s / connections * 1e6,
        "missing": delivered.missing,
    }


SUBSCRIPTIONS = Dimension(
    name="subscriptions",
    title=f"Subscriptions per connection, {SUBSCRIBERS_COUNT} subscribers per channel, {WORKERS} workers",
    axis="subscriptions per connection",
    columns=(
        Column("memory_bytes", "bytes per connection"),
        Column("subscription_bytes", "bytes per subscription"),
        Column("accept_us", "CPU us per accepted hold", 1),
        Column("subscription_us", "CPU us per subscription", 2),
        Column("delivery_us", "CPU us per delivery", 2),
        Column("idle_us", "CPU us per connection and keep-alive period", 2),
        Column("leave_us", "CPU us per client that leaves", 1),
        Column("missing", "missing"),
    ),
    curves=(
        CurveKind("subscription_bytes", "bytes per subscription", floor=20),
        CurveKind("subscription_us", "CPU us per subscription", floor=0.5),
        CurveKind("delivery_us", "CPU us per delivery", floor=0.5),
        CurveKind("idle_us", "CPU us per keep-alive", LINEAR, floor=5),
        CurveKind("leave_us", "CPU us per leave", LINEAR, floor=5),
    ),
    measure=measure,
)
