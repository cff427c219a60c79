"""What a benchmark is, and how one is run over the servers asked for."""

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.report import OURS, Column, Figure, Report
from benchmarks.servers.nginx import NchanServer, Origin, PlainNginx
from benchmarks.servers.pushpin import GripproxyServer, PushpinServer
from benchmarks.servers.server import Server
from benchmarks.servers.write_loop import WriteLoopServer
from benchmarks.sizes import Sizes
from benchmarks.watch import Watch

SERVERS: dict[str, type[Server]] = {
    kind.name: kind for kind in (WriteLoopServer, GripproxyServer, PushpinServer, NchanServer, PlainNginx)
}
RIVALS = ("pushpin", "nchan", "nginx")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark. `measure` gets a server that was just started, and gives a value for each column."""

    name: str
    title: str
    columns: tuple[Column, ...]
    servers: tuple[str, ...]  # that it makes sense for, in the order of the table
    cases: Callable[[Sizes], tuple[str, ...]]
    measure: Callable[[Server, Sizes, str, Watch], dict[str, float]]


def run_benchmark(benchmark: Benchmark, sizes: Sizes, against: tuple[str, ...], has_ours: bool = True) -> Report:
    """Measure gripproxy (unless told not to), the rivals named, and what the benchmark always shows beside them.

    A server that fails gets a figure with its reason; the others are still measured.
    """
    settings = {name: str(value) for name, value in asdict(sizes).items()}
    report = Report(benchmark.name, benchmark.title, benchmark.columns, settings)
    for case in benchmark.cases(sizes):
        for name in benchmark.servers:
            if (name in RIVALS and name not in against) or (name == OURS and not has_ours):
                continue
            report.figures.append(_measure_one(benchmark, SERVERS[name], sizes, case))
    return report


def _measure_one(benchmark: Benchmark, kind: type[Server], sizes: Sizes, case: str) -> Figure:
    figure = Figure(kind.name, case)
    watch = Watch(f"{benchmark.name}, {case}, {kind.name}", sizes.measure_limit_s)
    with tempfile.TemporaryDirectory(prefix="gripproxy-bench-") as directory:
        origin = Origin(Path(directory) / "origin", 0)
        server = kind(Path(directory) / "server", origin.http_port)
        try:
            if kind.has_origin:
                origin.start()
            server.start()
            watch.say("started")
            figure.values = benchmark.measure(server, sizes, case, watch)
        except BenchmarkError as error:
            figure.failure = str(error)
            watch.say(f"failed: {error}")
        finally:
            server.stop()
            origin.stop()
    return figure
