"""Cost against the number of channels with one subscriber each, on as few connections as are needed."""

import time

from benchmarks.growth.curve import CurveKind
from benchmarks.growth.dimension import Dimension, Rows
from benchmarks.growth.growth_server import name_of_group
from benchmarks.growth.session import running
from benchmarks.growth.steps import Steps
from benchmarks.report import Column

WORKERS = 2
# A reading of fewer would be of the pages that the connections' own needs open. A step below gets no memory figure.
MEMORY_MIN_COUNT = 1_000


def measure(steps: Steps, rows: Rows) -> None:
    """Start a server for each step."""
    for count in steps.channels:
        connections = min(count, steps.channel_connections_max)
        rows.append((f"{count:,}", count, _measure_step(steps, count, connections)))


def _measure_step(steps: Steps, count: int, connections: int) -> dict[str, float]:
    subscriptions = count // connections
    label = f"channels, {count:,}"
    first = connections // 4
    values: dict[str, float] = {"connections": connections, "subscriptions": subscriptions}
    with running(label, steps, WORKERS, connections, subscriptions) as session:
        session.warm_up()
        with session.swarm(connections, connections) as swarm:
            swarm.open(first, session.watch)
            time.sleep(steps.settle_s)
            before = session.usage.read()
            swarm.open(connections, session.watch)
            time.sleep(steps.settle_s)
            grown = session.usage.read().minus(before)
            opened = (connections - first) * subscriptions
            delivered = session.deliver(swarm, name_of_group(subscriptions), count, 1)
    if count >= MEMORY_MIN_COUNT:
        values["memory_bytes"] = grown.data_bytes / opened
        values["hub_bytes"] = grown.hub_data_bytes / opened
        values["open_us"] = grown.cpu_s / opened * 1e6
        values["hub_open_us"] = grown.hub_cpu_s / opened * 1e6
    values |= {
        "delivery_us": delivered.cpu_us,
        "hub_us": delivered.hub_us,
        "workers_us": delivered.workers_us,
        "missing": delivered.missing,
    }
    return values


CHANNELS = Dimension(
    name="channels",
    title=f"Channels with one subscriber each, {WORKERS} workers: cost of each",
    axis="channels",
    columns=(
        Column("delivery_us", "CPU us per delivery", 1),
        Column("hub_us", "of which hub", 1),
        Column("workers_us", "of which workers", 1),
        Column("memory_bytes", "bytes per channel, with its share of a connection"),
        Column("hub_bytes", "of which hub"),
        Column("open_us", "CPU us per channel opened", 2),
        Column("hub_open_us", "of which hub", 2),
        Column("connections", "connections"),
        Column("subscriptions", "channels per connection"),
        Column("missing", "missing"),
    ),
    curves=(
        CurveKind("delivery_us", "CPU us per delivery", floor=1),
        CurveKind("memory_bytes", "bytes per channel", floor=50),
        CurveKind("hub_bytes", "hub: bytes per channel", floor=50),
        CurveKind("open_us", "CPU us per channel opened", floor=1),
        CurveKind("hub_open_us", "hub: CPU us per channel opened", floor=1),
    ),
    measure=measure,
)
