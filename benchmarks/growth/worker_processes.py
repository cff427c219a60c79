"""Cost against the number of workers: what a process costs by itself, and what an item costs that all must look at."""

from benchmarks.growth.curve import LINEAR, CurveKind
from benchmarks.growth.dimension import Dimension, Rows
from benchmarks.growth.growth_server import name_of_group
from benchmarks.growth.session import running
from benchmarks.growth.steps import Steps
from benchmarks.report import Column

MIB = 1 << 20
CONNECTIONS = 64  # one subscriber per channel: an item reaches one worker, and all others look at its head


def measure(steps: Steps, rows: Rows) -> None:
    """Start a server for each step."""
    for count in steps.workers:
        rows.append((f"{count:,}", count, _measure_step(steps, count)))


def _measure_step(steps: Steps, count: int) -> dict[str, float]:
    with running(f"workers, {count}", steps, count, CONNECTIONS) as session:
        start_s = session.start_s
        start_cpu_s = session.usage.cpu().cpu_s
        session.wait_quiet()
        idle = session.usage.read()
        idle_s = session.idle_cpu_s()
        with session.swarm(CONNECTIONS, CONNECTIONS) as swarm:
            swarm.open(CONNECTIONS, session.watch)
            delivered = session.deliver(swarm, name_of_group(1), CONNECTIONS, 1)
    return {
        "worker_mib": idle.worker_pss_bytes / MIB,
        "data_mib": idle.data_bytes / MIB,
        "start_s": start_s,
        "start_cpu_s": start_cpu_s,
        "idle_us": idle_s / steps.idle_s * 1e6,
        "hub_us": delivered.hub_us,
        "workers_us": delivered.workers_us,
        "per_worker_us": delivered.workers_us / count,
        "missing": delivered.missing,
    }


WORKERS = Dimension(
    name="workers",
    title=f"Workers: {CONNECTIONS} connections with a channel each, so that an item concerns one worker",
    axis="workers",
    columns=(
        Column("worker_mib", "MiB of PSS per idle worker", 2),
        Column("data_mib", "MiB without file pages, all processes", 1),
        Column("start_s", "s to start", 2),
        Column("start_cpu_s", "CPU s to start", 2),
        Column("idle_us", "CPU us per second of idling", 0),
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
        CurveKind("hub_us", "hub: CPU us per item", LINEAR),
        CurveKind("per_worker_us", "each worker: CPU us per item"),
    ),
    measure=measure,
)
