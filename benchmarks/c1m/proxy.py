"""gripproxy as it is measured: many workers, several ports, its own run directory, its counters as numbers."""

import re
from pathlib import Path

from benchmarks.c1m.plan import Plan
from benchmarks.errors import BenchmarkError
from benchmarks.metrics_page import read_page
from benchmarks.process_tree import ProcessTree
from benchmarks.servers.pushpin import GripproxyServer
from benchmarks.servers.server import free_port

SPARE_CONNECTIONS = 1000  # of client_maxconn, beside those that are held
METRICS_LIMIT_S = 20.0
_SAMPLE = re.compile(r'^gripproxy_(\w+)\{process="([^"]+)"[^}]*\} (\d+)$', re.MULTILINE)
MUST_BE_ZERO = (
    "deliveries_dropped_total",
    "bus_gaps_total",
    "internal_errors_total",
    "items_refused_total",
    "connections_refused_total",
    "client_errors_total",
    "origin_errors_total",
    "restarts_total",
)


class ScaledGripproxy(GripproxyServer):
    """gripproxy with the plan's workers, on `listen_ports` ports."""

    def __init__(self, directory: Path, origin_port: int, plan: Plan) -> None:
        super().__init__(directory, origin_port)
        self._plan = plan
        self.ports = tuple(sorted({free_port() for _ in range(plan.listen_ports)}))
        self.http_port = self.ports[0]

    def write_config(self, include: str) -> Path:
        """Write the configuration and the routes."""
        (self.directory / "run").mkdir()
        path = self.directory / "gripproxy.conf"
        listeners = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        path.write_text(f"""[global]
{include}
rundir={self.directory / "run"}

[runner]
http_port={listeners}
workers={self._plan.workers}
log_level=1
client_maxconn={self._plan.connections + SPARE_CONNECTIONS}

[proxy]
routesfile=routes

[handler]
push_in_spec={self.push_spec}
push_in_sub_specs=
push_in_http_port=
command_spec=
prometheus_port=127.0.0.1:{self.metrics_port}
""")
        option = ",over_http" if self._plan.is_websocket else ""
        (self.directory / "routes").write_text(f"* 127.0.0.1:{self.origin_port}{option}\n")
        return path

    def ready_path(self) -> str:
        """Answered by the origin, through a worker."""
        return self.plain_path()

    @property
    def push_spec(self) -> str:
        """Where items go."""
        return f"tcp://127.0.0.1:{self.pull_port}"

    def counters(self) -> dict[str, dict[str, int]]:
        """Read the metrics page: metric -> process -> value.

        Raises:
            BenchmarkError: gripproxy does not answer.
        """
        return decode_metrics(read_page(self.metrics_port, METRICS_LIMIT_S))

    def worker_trees(self) -> list[ProcessTree]:
        """Give each worker, found by its process title."""
        return [ProcessTree(pid) for pid in self.tree.pids() if b"gripproxy: worker" in _title(pid)]

    def log(self) -> str:
        """Give what gripproxy has written."""
        return (self.directory / "output.log").read_text(errors="replace")


def decode_metrics(page: str) -> dict[str, dict[str, int]]:
    """Decode the page that `prometheus_port` serves, and add up what a process tells by state or cause."""
    found: dict[str, dict[str, int]] = {}
    for name, process, value in _SAMPLE.findall(page):
        values = found.setdefault(name, {})
        values[process] = values.get(process, 0) + int(value)
    return found


def total(counters: dict[str, dict[str, int]], name: str) -> int:
    """Add a metric up over its processes.

    Raises:
        BenchmarkError: there is no such metric.
    """
    if name not in counters:
        raise BenchmarkError(f"the metrics page has no {name}")
    return sum(counters[name].values())


def _title(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
