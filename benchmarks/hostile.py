"""Hostile clients: what they cost the others' latency, and memory.

A few good clients send a plain request every few milliseconds, at fixed times whatever the server does, and each is
timed from when it was due: first alone, then beside the hostile ones, then alone again for the noise.
"""

import socket
import time
from dataclasses import dataclass

from benchmarks.benchmark import CaseBenchmark
from benchmarks.errors import BenchmarkError
from benchmarks.hostile_client import KINDS, PLAIN, PLAIN_END, hostile_clients
from benchmarks.report import Column
from benchmarks.servers.server import Server
from benchmarks.sizes import HostileSize, Sizes
from benchmarks.watch import Watch

READ_BYTES = 65_536
ANSWER_LIMIT_S = 10.0
MIB = 1 << 20


def cases(sizes: Sizes) -> tuple[str, ...]:
    """One for each kind of clients."""
    return tuple(f"{count_of(sizes.hostile, kind):,} {kind}" for kind in KINDS)


def count_of(size: HostileSize, kind: str) -> int:
    """Give how many there are of a kind."""
    return {"pipelines": size.pipelines, "malformed requests": size.malformed}.get(kind, size.slow)


@dataclass(frozen=True, slots=True)
class Latency:
    """Of the good clients' requests."""

    p50_ms: float
    p99_ms: float


class GoodClients:
    """Kept-alive connections that take turns."""

    def __init__(self, port: int, size: HostileSize) -> None:
        self._sockets = [
            socket.create_connection(("127.0.0.1", port), timeout=ANSWER_LIMIT_S) for _ in range(size.good_connections)
        ]
        self._rate = size.good_per_s

    def close(self) -> None:
        """Leave."""
        for client in self._sockets:
            client.close()

    def run(self, seconds: float, watch: Watch, label: str) -> Latency:
        """Send for so long.

        Raises:
            BenchmarkError: an answer did not come, or was another one.
        """
        begun_at, latencies = time.monotonic(), []
        for number in range(max(1, int(seconds * self._rate))):
            due = begun_at + number / self._rate
            time.sleep(max(0.0, due - time.monotonic()))
            self._ask(self._sockets[number % len(self._sockets)])
            latencies.append((time.monotonic() - due) * 1e3)
            watch.check(f"{label}: {number} requests")
        latencies.sort()
        return Latency(latencies[len(latencies) // 2], latencies[len(latencies) * 99 // 100])

    def _ask(self, client: socket.socket) -> None:
        try:
            client.sendall(PLAIN)
            received = client.recv(READ_BYTES)
            while not received.endswith(PLAIN_END) and (part := client.recv(READ_BYTES)):
                received += part
        except OSError as error:
            raise BenchmarkError(f"a good client was not answered: {error}") from error
        if not received.startswith(b"HTTP/1.1 200 ") or not received.endswith(PLAIN_END):
            raise BenchmarkError(f"a good client was answered {received[:100]!r}")


def measure(server: Server, sizes: Sizes, case: str, watch: Watch) -> dict[str, float]:
    """Time the good clients without, with and without the hostile ones."""
    size = sizes.hostile
    kind = next(kind for kind in KINDS if case.endswith(kind))
    good = GoodClients(server.http_port, size)
    try:
        good.run(1.0, watch, "warming up")
        alone = good.run(size.load_s, watch, "alone")
        before = server.tree.memory()
        with hostile_clients(kind, server.http_port, count_of(size, kind), watch) as board:
            time.sleep(sizes.settle_s)
            opened, done_before, cpu_before, begun_at = (
                server.tree.memory(),
                board.done.value,
                server.tree.cpu_s(),
                time.monotonic(),
            )
            beside = good.run(size.load_s, watch, f"beside {kind}")
            seconds = time.monotonic() - begun_at
            cores = (server.tree.cpu_s() - cpu_before) / seconds
            rate = (board.done.value - done_before) / seconds
            while kind == "malformed requests" and board.done.value < size.malformed:
                watch.check(f"{board.done.value:,} refused")
                time.sleep(0.05)
            end = server.tree.memory()
            ended = board.ended.value
        time.sleep(sizes.settle_s)
        after = good.run(size.load_s, watch, "after")
        return {
            "ratio": beside.p50_ms / alone.p50_ms,
            "alone_p50_ms": alone.p50_ms,
            "beside_p50_ms": beside.p50_ms,
            "after_p50_ms": after.p50_ms,
            "alone_p99_ms": alone.p99_ms,
            "beside_p99_ms": beside.p99_ms,
            "after_p99_ms": after.p99_ms,
            "before_mib": before.data_bytes / MIB,
            "opened_mib": opened.data_bytes / MIB,
            "end_mib": end.data_bytes / MIB,
            "after_mib": server.tree.memory().data_bytes / MIB,
            "cores": cores,
            "rate": rate,
            "ended": ended,
        }
    finally:
        good.close()


HOSTILE = CaseBenchmark(
    name="hostile",
    title="Hostile clients: latency of the others beside them, and memory",
    columns=(
        Column("ratio", "p50 beside / alone", 2),
        Column("alone_p50_ms", "p50 ms alone", 2),
        Column("beside_p50_ms", "beside", 2),
        Column("after_p50_ms", "after", 2),
        Column("alone_p99_ms", "p99 ms alone", 2),
        Column("beside_p99_ms", "beside", 2),
        Column("after_p99_ms", "after", 2),
        Column("before_mib", "MiB before", 1),
        Column("opened_mib", "MiB opened", 1),
        Column("end_mib", "MiB at the end", 1),
        Column("after_mib", "MiB after", 1),
        Column("cores", "cores used", 2),
        Column("rate", "hostile requests/s"),
        Column("ended", "hostile ones ended"),
    ),
    servers=("gripproxy", "pushpin", "nginx"),
    cases=cases,
    measure=measure,
)
