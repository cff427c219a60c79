"""Held-stream memory: what one more held stream costs a server, in user memory of all its processes."""

import time

from benchmarks.benchmark import CaseBenchmark
from benchmarks.hold_client import HoldTarget
from benchmarks.hold_swarm import HoldSwarm
from benchmarks.report import Column
from benchmarks.servers.server import Server
from benchmarks.sizes import Sizes
from benchmarks.watch import Watch

CHANNEL_COUNT = 1000  # as in the reference's own benchmark of a million streams


def cases(sizes: Sizes) -> tuple[str, ...]:
    """One case, named by the two sizes that the slope lies between."""
    return (f"{sizes.held_memory.low_count:,} to {sizes.held_memory.high_count:,} streams",)


def measure(server: Server, sizes: Sizes, case: str, watch: Watch) -> dict[str, float]:
    """Take the slope of data memory between two numbers of held streams, and all memory with none and with all held."""
    channels = min(CHANNEL_COUNT, sizes.held_memory.low_count)
    idle = server.tree.memory()
    target = HoldTarget((server.http_port,), server.hold_path(), channels)
    with HoldSwarm(target, sizes.client_processes) as swarm:
        readings = []
        for count in (sizes.held_memory.low_count, sizes.held_memory.high_count):
            swarm.open(count, watch)
            time.sleep(sizes.settle_s)
            readings.append(server.tree.memory())
    grown = readings[1].data_bytes - readings[0].data_bytes
    slope = grown / (sizes.held_memory.high_count - sizes.held_memory.low_count)
    return {
        "bytes_per_stream": slope,
        "idle_mib": idle.pss_bytes / (1 << 20),
        "held_mib": readings[1].pss_bytes / (1 << 20),
        "processes": len(server.tree.pids()),
    }


HELD_MEMORY = CaseBenchmark(
    name="held_memory",
    title="Held streams: user memory (PSS of all processes of the server)",
    columns=(
        Column("bytes_per_stream", "bytes per held stream, without file pages"),
        Column("idle_mib", "MiB with none held", 1),
        Column("held_mib", "MiB with all held", 1),
        Column("processes", "processes"),
    ),
    servers=("gripproxy", "pushpin", "nchan"),
    cases=cases,
    measure=measure,
)
