"""Cost against the number of workers: what a process costs by itself, and what an item costs that all must look at."""

from benchmarks.growth.curve import LINEAR, CurveKind
from benchmarks.growth.dimension import Dimension
from benchmarks.growth.growth_server import name_of_group
from benchmarks.growth.session import running
from benchmarks.growth.steps import Steps
from benchmarks.report import Column

MIB = 1 << 20
CONNECTIONS = 64
SUBSCRIPTIONS = 100  # one subscriber per channel: an item reaches one worker, and all others look at its head


def measure(steps: Steps, count: int) -> dict[str, float]:
    """Read what so many workers cost by themselves, then open channels and publish to them."""
    channels = CONNECTIONS * SUBSCRIPTIONS
    with running(f"workers, {count}", steps, count, CONNECTIONS, SUBSCRIPTIONS) as session:
        start_s = session.start_s
        start_cpu_s = session.usage.cpu().cpu_s
        session.wait_quiet()
        idle = session.usage.read()
        idle_s = session.idle_cpu_s()
        with session.swarm(CONNECTIONS, CONNECTIONS) as swarm:
            before = session.usage.cpu()
            swarm.open(CONNECTIONS, session.watch)
            session.wait_for_hub()
            opened = session.usage.cpu().minus(before)
            delivered = session.deliver(swarm, name_of_group(SUBSCRIPTIONS), channels, 1)
    return {
        "worker_mib": idle.worker_pss_bytes / MIB,
        "data_mib": idle.data_bytes / MIB,
        "start_s": start_s,
        "start_cpu_s": start_cpu_s,
        "idle_us": idle_s / session.keep_alive_s * 1e6,
        "hub_open_us": opened.hub_cpu_s / channels * 1e6,
        "hub_us": delivered.hub_us,
        "workers_us": delivered.workers_us,
        "per_worker_us": delivered.workers_us / count,
        "missing": delivered.missing,
    }


WORKERS = Dimension(
    name="workers",
    title=f"Workers: {CONNECTIONS} connections with {SUBSCRIPTIONS} channels each, so that an item concerns one worker",
    axis="workers",
    columns=(
        Column("worker_mib", "MiB of PSS per idle worker", 2),
        Column("data_mib", "MiB without file pages, all processes", 1),
        Column("start_s", "s to start", 2),
        Column("start_cpu_s", "CPU s to start", 2),
        Column("idle_us", "CPU us per second of idling", 0),
        Column("hub_open_us", "hub: CPU us per channel opened", 2),
        Column("hub_us", "hub: CPU us per item", 1),
        Column("workers_us", "workers: CPU us per item", 1),
        Column("per_worker_us", "each worker: CPU us per item", 2),
        Column("missing", "missing"),
    ),
    curves=(
        CurveKind("worker_mib", "MiB of PSS per worker"),
        CurveKind("data_mib", "MiB of all processes", LINEAR),
        CurveKind("start_cpu_s", "CPU s to start", LINEAR),
        CurveKind("idle_us", "CPU us per second of idling", LINEAR),
        CurveKind("hub_open_us", "hub: CPU us per channel opened", floor=1),
        CurveKind("hub_us", "hub: CPU us per item", LINEAR),
        CurveKind("per_worker_us", "each worker: CPU us per item"),
    ),
    values=lambda steps: steps.workers,
    measure=measure,
)
