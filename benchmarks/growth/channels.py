"""Cost against the number of channels with one subscriber each, on as few connections as are needed."""

from benchmarks.growth.curve import CurveKind
from benchmarks.growth.dimension import Dimension
from benchmarks.growth.growth_server import name_of_group
from benchmarks.growth.session import running
from benchmarks.growth.steps import Steps
from benchmarks.report import Column

WORKERS = 2
MEMORY_MIN_COUNT = 1_000  # fewer need less than the pages that anything else opens: they get no figure
STRIDE = 7919  # a prime: channels come in an order in which no two neighbours in memory follow each other


def measure(steps: Steps, count: int) -> dict[str, float]:
    """Hold for so many channels; memory and CPU of opening them are with their share of a connection."""
    connections = min(count, steps.channel_connections_max)
    subscriptions = count // connections
    name_of = name_of_group(subscriptions)
    with running(f"channels, {count:,}", steps, WORKERS, connections, subscriptions) as session:
        held = session.hold(connections, connections, lambda number: name_of(number * STRIDE % count), subscriptions)
    values = {"connections": float(connections), "subscriptions": float(subscriptions)}
    values |= {key: value for key, value in held.values().items() if key in ("delivery_us", "missing")}
    values |= {"hub_us": held.delivered.hub_us, "workers_us": held.delivered.workers_us}
    if count >= MEMORY_MIN_COUNT:
        opened = held.added_count * subscriptions
        values["memory_bytes"] = held.added.data_bytes / opened
        values["hub_bytes"] = held.added.hub_data_bytes / opened
        values["open_us"] = held.accept_us / subscriptions
        values["hub_open_us"] = held.added.hub_cpu_s / opened * 1e6
    return values


CHANNELS = Dimension(
    name="channels",
    title=f"Channels with one subscriber each, {WORKERS} workers",
    axis="channels",
    columns=(
        Column("delivery_us", "CPU us per delivery", 1),
        Column("hub_us", "of which hub", 1),
        Column("workers_us", "of which workers", 1),
        Column("memory_bytes", "bytes per channel, with its share of a connection"),
        Column("hub_bytes", "of which hub"),
        Column("open_us", "CPU us per channel opened, with its share of an accept", 2),
        Column("hub_open_us", "of which hub", 2),
        Column("connections", "connections"),
        Column("subscriptions", "channels per connection"),
        Column("missing", "missing"),
    ),
    curves=(
        CurveKind("delivery_us", "CPU us per delivery", floor=1),
        CurveKind("memory_bytes", "bytes per channel", floor=100),
        CurveKind("hub_bytes", "hub: bytes per channel", floor=50),
        CurveKind("open_us", "CPU us per channel opened", floor=1),
        CurveKind("hub_open_us", "hub: CPU us per channel opened", floor=1),
    ),
    values=lambda steps: steps.channels,
    measure=measure,
)
