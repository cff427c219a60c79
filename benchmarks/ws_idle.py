"""What one more idle WebSocket costs a server, in user memory: held over HTTP, by a WebSocket origin, and over TLS.

They share a thousand URLs and as many channels; in a case of its own, each has one of both to itself. gripproxy holds
them in one worker.
"""

import time

from benchmarks.benchmark import CaseBenchmark
from benchmarks.hold_client import HoldTarget
from benchmarks.hold_swarm import HoldSwarm
from benchmarks.report import Column
from benchmarks.servers.server import Server, ServerOptions
from benchmarks.sizes import Sizes
from benchmarks.watch import Watch

CHANNEL_COUNT = 1000
WAYS = OVER_HTTP, OVER_HTTP_ALONE, OVER_TLS, OVER_WEBSOCKET = (
    "over HTTP",
    "over HTTP, URL and channel of its own",
    "over HTTP, clients by TLS",
    "WebSocket origin",
)
MIB = 1 << 20


def cases(sizes: Sizes) -> tuple[str, ...]:
    """One for each way, named with the two numbers that the slope lies between."""
    return tuple("{}, {:,} to {:,}".format(way, *_counts(sizes, way)) for way in WAYS)


def _counts(sizes: Sizes, way: str) -> tuple[int, int]:
    size = sizes.ws_idle
    if way in (OVER_HTTP, OVER_HTTP_ALONE):
        return size.low_count, size.high_count
    return size.other_low_count, size.other_high_count


def measure(server: Server, sizes: Sizes, case: str, watch: Watch) -> dict[str, float]:
    """Take the slope of data memory between two numbers of idle WebSockets, and the CPU time of holding more."""
    way = WAYS[cases(sizes).index(case)]
    low, high = _counts(sizes, way)
    is_tls = way == OVER_TLS
    port = server.tls_port if is_tls else server.http_port
    path = server.socket_path(is_over_http=way != OVER_WEBSOCKET)
    channels = high if way == OVER_HTTP_ALONE else min(CHANNEL_COUNT, low)
    target = HoldTarget((port,), path, channels, is_websocket=True, is_tls=is_tls)
    readings = []
    idle = server.tree.memory()
    with HoldSwarm(target, sizes.client_processes) as swarm:
        for count in (low, high):
            swarm.open(count, watch)
            time.sleep(sizes.settle_s)
            readings.append((server.tree.memory(), server.tree.cpu_s()))
    (before, cpu_before), (held, cpu) = readings
    return {
        "bytes_per_socket": (held.data_bytes - before.data_bytes) / (high - low),
        "cpu_us": (cpu - cpu_before) / (high - low) * 1e6,
        "idle_mib": idle.pss_bytes / MIB,
        "held_mib": held.pss_bytes / MIB,
        "processes": len(server.tree.pids()),
    }


WS_IDLE = CaseBenchmark(
    name="ws_idle",
    title="Idle WebSockets: user memory (PSS of all processes of the server)",
    columns=(
        Column("bytes_per_socket", "bytes per WebSocket, without file pages"),
        Column("cpu_us", "CPU us per accepted WebSocket", 1),
        Column("idle_mib", "MiB with none held", 1),
        Column("held_mib", "MiB with all held", 1),
        Column("processes", "processes"),
    ),
    servers=("gripproxy", "pushpin"),
    cases=cases,
    measure=measure,
    options=ServerOptions(has_sockets=True, has_tls=True, workers=1),
)
