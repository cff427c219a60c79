"""Cost against the number of held connections: the last ones must cost what the first ones cost."""

from contextlib import nullcontext

from benchmarks.c1m.plan import Plan
from benchmarks.c1m.sysctls import Sysctls, needs
from benchmarks.growth.curve import CurveKind
from benchmarks.growth.dimension import Dimension
from benchmarks.growth.growth_server import name_of_group
from benchmarks.growth.session import running
from benchmarks.growth.steps import Steps
from benchmarks.report import Column

OWN_LIMITS_MAX_COUNT = 100_000  # up to here a machine's usual kernel settings are enough
SAME_WORKERS_MAX_COUNT = 100_000  # steps up to here have as many workers as the largest of them


def measure(steps: Steps, count: int) -> dict[str, float]:
    """Hold so many. Up to SAME_WORKERS_MAX_COUNT the number of workers is the same, past it what is needed."""
    usual = [other for other in steps.connections if other <= SAME_WORKERS_MAX_COUNT]
    workers = steps.worker_count(max([count, *usual]))
    channels = count // steps.subscribers_per_channel
    limits = Sysctls(kernel_needs(count, workers)) if count > OWN_LIMITS_MAX_COUNT else nullcontext()
    with limits, running(f"connections, {count:,}", steps, workers, count) as session:
        held = session.hold(count, channels, name_of_group(1))
    return held.values() | {"workers": workers}


def kernel_needs(count: int, workers: int) -> dict[str, tuple[int, ...]]:
    """Give what `Sysctls` must raise for so many clients on this machine."""
    plan = Plan(
        connections=count, workers=workers, channels=1, client_processes=1, rooms=0, room_members=0, listen_ports=1
    )
    return needs(plan)


CONNECTIONS = Dimension(
    name="connections",
    title="Connections: cost of each",
    axis="connections",
    columns=(
        Column("memory_bytes", "bytes per connection"),
        Column("accept_us", "CPU us per accepted hold", 1),
        Column("delivery_us", "CPU us per delivery", 2),
        Column("keep_alive_us", "CPU us per keep-alive", 2),
        Column("leave_us", "CPU us per client that leaves", 1),
        Column("workers", "workers"),
        Column("missing", "missing"),
        Column("lost", "connections lost"),
    ),
    curves=(
        CurveKind("memory_bytes", "bytes per connection", floor=100),
        CurveKind("accept_us", "CPU us per accepted hold", floor=1),
        CurveKind("delivery_us", "CPU us per delivery", floor=0.5),
        CurveKind("keep_alive_us", "CPU us per keep-alive", floor=10),
        CurveKind("leave_us", "CPU us per leave", floor=5),
    ),
    values=lambda steps: steps.connections,
    measure=measure,
    one_round_above=OWN_LIMITS_MAX_COUNT,
)
