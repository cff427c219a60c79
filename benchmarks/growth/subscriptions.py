"""Cost against the number of subscriptions per connection, in channels that have many subscribers."""

from benchmarks.growth.curve import LINEAR, CurveKind
from benchmarks.growth.dimension import Dimension
from benchmarks.growth.growth_server import name_of_group
from benchmarks.growth.session import running
from benchmarks.growth.steps import Steps
from benchmarks.report import Column

WORKERS = 2
SUBSCRIBERS_COUNT = 100  # of each channel, so that memory is that of subscriptions and not of channels


def measure(steps: Steps, count: int) -> dict[str, float]:
    """Hold always the same number of connections, with so many subscriptions each."""
    connections = steps.subscription_connections
    groups = max(1, connections // SUBSCRIBERS_COUNT)
    with running(f"subscriptions, {count:,} per connection", steps, WORKERS, connections, count) as session:
        held = session.hold(connections, groups, name_of_group(count), count)
    values = held.values()
    values["subscription_bytes"] = values["memory_bytes"] / count
    values["subscription_us"] = values["accept_us"] / count
    return values


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
        Column("keep_alive_us", "CPU us per keep-alive", 2),
        Column("leave_us", "CPU us per client that leaves", 1),
        Column("missing", "missing"),
        Column("lost", "connections lost"),
    ),
    curves=(
        CurveKind("subscription_bytes", "bytes per subscription", floor=20),
        CurveKind("subscription_us", "CPU us per subscription", floor=0.5),
        CurveKind("delivery_us", "CPU us per delivery", floor=0.5),
        CurveKind("keep_alive_us", "CPU us per keep-alive", LINEAR, floor=10),
        CurveKind("leave_us", "CPU us per leave", LINEAR, floor=5),
    ),
    values=lambda steps: steps.subscriptions,
    measure=measure,
)
