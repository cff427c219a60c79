"""Connect and leave: whether the memory that a server keeps without connections grows with each wave of them."""

import time

from benchmarks.benchmark import CaseBenchmark
from benchmarks.hold_client import HoldTarget
from benchmarks.hold_swarm import HoldSwarm
from benchmarks.report import OURS, Column
from benchmarks.servers.server import Server
from benchmarks.sizes import Sizes
from benchmarks.watch import Watch

CHANNEL_COUNT = 1000
ORIGIN_FILES_MAX = 500  # connections to the origin are kept open
LOOK_S = 0.05
MIB = 1 << 20


def cases(sizes: Sizes) -> tuple[str, ...]:
    """One case; rivals have fewer waves."""
    size = sizes.waves
    return (f"{size.connections:,} streams; {size.waves} waves of ours, {size.rival_waves} of others",)


def measure(server: Server, sizes: Sizes, case: str, watch: Watch) -> dict[str, float]:
    """Open, hold and leave again and again, and read the memory each time that all have left."""
    size = sizes.waves
    waves = size.waves if server.name == OURS else size.rival_waves
    idle_bytes, idle_files = server.tree.memory().data_bytes, server.tree.file_count()
    held, floors = [], []
    for wave in range(waves):
        watch = Watch(f"wave {wave + 1} of {waves}, {server.name}", sizes.limit_s)
        target = HoldTarget((server.http_port,), server.hold_path(), min(CHANNEL_COUNT, size.connections))
        with HoldSwarm(target, sizes.client_processes) as swarm:
            swarm.open(size.connections, watch)
            time.sleep(sizes.settle_s)
            held.append(server.tree.memory().data_bytes)
        wait_until_left(server, idle_files + ORIGIN_FILES_MAX + size.connections // 2, watch)
        time.sleep(sizes.settle_s)
        floors.append(server.tree.memory().data_bytes)
    return {
        "growth": floors[-1] / floors[0],
        "highest": max(floors) / floors[0],
        "idle_mib": idle_bytes / MIB,
        "first_mib": floors[0] / MIB,
        "last_mib": floors[-1] / MIB,
        "held_first_mib": held[0] / MIB,
        "held_last_mib": held[-1] / MIB,
        "files": server.tree.file_count() - idle_files,
        "waves": waves,
    }


def wait_until_left(server: Server, files_max: int, watch: Watch) -> None:
    """Wait until the server has closed most of its connections.

    Raises:
        BenchmarkError: it does not.
    """
    while (files := server.tree.file_count()) > files_max:
        watch.check(f"{files:,} files still open")
        time.sleep(LOOK_S)


WAVES = CaseBenchmark(
    name="waves",
    title="Connect and leave: memory (PSS without file pages) when all have left, after the first and the last wave",
    columns=(
        Column("growth", "last / first", 3),
        Column("highest", "highest / first", 3),
        Column("idle_mib", "MiB at start", 1),
        Column("first_mib", "MiB after the first", 1),
        Column("last_mib", "MiB after the last", 1),
        Column("held_first_mib", "MiB held in the first", 1),
        Column("held_last_mib", "in the last", 1),
        Column("files", "files more open"),
        Column("waves", "waves"),
    ),
    servers=("gripproxy", "pushpin", "nchan"),
    cases=cases,
    measure=measure,
)
