"""What a benchmark is, and how one is run over the servers asked for."""

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.report import OURS, Column, Figure, Report
from benchmarks.servers.nginx import NchanServer, Origin, PlainNginx
from benchmarks.servers.pushpin import GripproxyServer, PushpinServer
from benchmarks.servers.server import Server, ServerOptions
from benchmarks.servers.socket_origin import SocketOrigin
from benchmarks.servers.write_loop import WriteLoopServer
from benchmarks.sizes import Sizes
from benchmarks.watch import Watch

SERVERS: dict[str, type[Server]] = {
    kind.name: kind for kind in (WriteLoopServer, GripproxyServer, PushpinServer, NchanServer, PlainNginx)
}
PLAIN_HTTP = ServerOptions()
RIVALS = ("pushpin", "nchan", "nginx")


@dataclass(frozen=True)
class Benchmark(ABC):
    """One benchmark. Its name is also that of its sizes."""

    name: str
    title: str
    columns: tuple[Column, ...]
    servers: tuple[str, ...]  # that it makes sense for, in the order of the table

    def run(self, sizes: Sizes, against: tuple[str, ...], has_ours: bool = True) -> Report:
        """Measure gripproxy (unless told not to), the rivals named, and what the benchmark always shows beside them.

        A server that fails gets a figure with its reason; the others are still measured.
        """
        servers = [
            name for name in self.servers if (name not in RIVALS or name in against) and (name != OURS or has_ours)
        ]
        return Report(self.name, self.title, self.columns, sizes.settings(self.name), self.figures(servers, sizes))

    @abstractmethod
    def figures(self, servers: list[str], sizes: Sizes) -> list[Figure]:
        """Measure these servers."""


@dataclass(frozen=True)
class CaseBenchmark(Benchmark):
    """Cases that know nothing of each other. `measure` gets a server that was just started, and gives all values."""

    cases: Callable[[Sizes], tuple[str, ...]]
    measure: Callable[[Server, Sizes, str, Watch], dict[str, float]]
    options: ServerOptions = PLAIN_HTTP

    def figures(self, servers: list[str], sizes: Sizes) -> list[Figure]:
        """Give each case a new server of each kind."""
        return [self._figure(name, sizes, case) for case in self.cases(sizes) for name in servers]

    def _figure(self, name: str, sizes: Sizes, case: str) -> Figure:
        watch = Watch(f"{self.name}, {case}, {name}", sizes.limit_s)
        try:
            with running(name, watch, self.options) as server:
                return Figure(name, case, self.measure(server, sizes, case, watch))
        except BenchmarkError as error:
            watch.say(f"failed: {error}")
            return Figure(name, case, failure=str(error))


@contextmanager
def running(name: str, watch: Watch, options: ServerOptions = PLAIN_HTTP) -> Iterator[Server]:
    """Start a server of this name, and the origins if it asks one, and end all.

    Raises:
        BenchmarkError: it does not start.
    """
    kind = SERVERS[name]
    with tempfile.TemporaryDirectory(prefix="gripproxy-bench-") as directory:
        origin = Origin(Path(directory) / "origin", 0)
        socket_origin = SocketOrigin(Path(directory) / "socket-origin", 0)
        server = kind(Path(directory) / "server", origin.http_port)
        server.options = options
        try:
            if kind.has_origin:
                origin.start()
            if kind.has_origin and options.has_sockets:
                socket_origin.start()
                server.socket_origin_port = socket_origin.http_port
            server.start()
            watch.say("started")
            yield server
        finally:
            server.stop()
            socket_origin.stop()
            origin.stop()
