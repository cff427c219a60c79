"""Debian's Pushpin, and gripproxy, which reads the same two configuration files."""

import os
import sys
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.item_mark import ITEM_BYTES
from benchmarks.item_publisher import ItemPublisher, ZmqPublisher
from benchmarks.machine import REPOSITORY
from benchmarks.metrics_page import read_metric
from benchmarks.servers.certificate import make_certificate
from benchmarks.servers.server import CONNECTIONS_MAX_COUNT, Server, free_port

OVER_HTTP, OVER_WEBSOCKET = "/over-http", "/over-websocket"
_SHIPPED_INTERNAL = Path("/usr/lib/pushpin/internal.conf")


class GripServer(Server):
    """A GRIP proxy in front of the nginx origin, with items coming in on a ZeroMQ PULL socket."""

    has_origin = True

    def __init__(self, directory: Path, origin_port: int) -> None:
        super().__init__(directory, origin_port)
        self.pull_port = free_port()

    def write_config(self, include: str) -> Path:
        """Write pushpin.conf and routes.

        `message_rate` and `message_hwm` are left out, which means unlimited; `log_level` is below the line that
        Pushpin writes for each request.
        """
        rundir = self.directory / "run"
        rundir.mkdir()
        path = self.directory / "pushpin.conf"
        if self.options.has_tls:
            make_certificate(self.directory / "runner" / "certs", f"default_{self.tls_port}")
        path.write_text(f"""[global]
{include}
rundir={rundir}
ipc_prefix=b-

[runner]
services=condure,zurl,pushpin-proxy,pushpin-handler
http_port={self.http_port}
{self.runner_lines()}
logdir={self.directory}
log_level=1
client_buffer_size=8192
client_maxconn={self.connections_max}

[proxy]
routesfile=routes

[handler]
push_in_spec=tcp://127.0.0.1:{self.pull_port}
push_in_sub_specs=
push_in_http_addr=127.0.0.1
push_in_http_port={free_port()}
message_wait=5000
id_cache_ttl=60
connection_subscription_max=20
subscription_linger=60
""")
        routes = [f"* 127.0.0.1:{self.origin_port}"]
        if self.socket_origin_port is not None:
            origin = f"127.0.0.1:{self.socket_origin_port}"
            routes += [f"*,path_beg={OVER_HTTP} {origin},over_http", f"*,path_beg={OVER_WEBSOCKET} {origin}"]
        (self.directory / "routes").write_text("".join(f"{route}\n" for route in routes))
        return path

    def runner_lines(self) -> str:
        """Give what else stands in [runner]."""
        return f"https_ports={self.tls_port}" if self.options.has_tls else ""

    def ready_path(self) -> str:
        """Ready once it holds: Pushpin answers plain requests before its handler is there."""
        return "/hold?c=ready"

    def hold_path(self) -> str:
        """Held because the origin says so."""
        return "/hold?c={}"

    def plain_path(self) -> str:
        """Answered by the origin."""
        return "/plain"

    def socket_path(self, is_over_http: bool) -> str:
        """Held because the origin says so, in a request or on its WebSocket."""
        return f"{OVER_HTTP if is_over_http else OVER_WEBSOCKET}?c={{}}"

    def publisher(self, channel_count: int, size_bytes: int = ITEM_BYTES, is_websocket: bool = False) -> ItemPublisher:
        """PUSH items as JSON."""
        return ZmqPublisher(f"tcp://127.0.0.1:{self.pull_port}", channel_count, size_bytes, is_websocket=is_websocket)


class PushpinServer(GripServer):
    """Pushpin with the process and thread counts it ships with."""

    name = "pushpin"

    def command(self) -> list[str]:
        """Write the configuration, with private endpoints moved from Debian's shared zurl to our own."""
        try:
            shipped = _SHIPPED_INTERNAL.read_text()
        except OSError as error:
            raise BenchmarkError(f"pushpin is not installed: {error}") from error
        path = self.write_config("include=private.conf")
        private = shipped.replace("ipc:///var/run/zurl/zurl", "ipc://{rundir}/{ipc_prefix}zurl")
        (self.directory / "private.conf").write_text(private)
        return ["pushpin", "-m", "--config", str(path)]


class GripproxyServer(GripServer):
    """gripproxy from this work tree, on this interpreter, with its default number of workers."""

    name = "gripproxy"

    def __init__(self, directory: Path, origin_port: int) -> None:
        super().__init__(directory, origin_port)
        self.metrics_port = free_port()

    @property
    def connections_max(self) -> int:
        """A worker is a process."""
        return CONNECTIONS_MAX_COUNT * (self.options.workers or 1)

    def write_config(self, include: str) -> Path:
        """Add the metrics page to the last section, [handler]."""
        path = super().write_config(include)
        with path.open("a") as file:
            file.write(f"prometheus_port=127.0.0.1:{self.metrics_port}\n")
        return path

    def runner_lines(self) -> str:
        """Add the number of workers, if it is given."""
        workers = self.options.workers
        return super().runner_lines() + ("" if workers is None else f"\nworkers={workers}")

    def dropped_count(self) -> int | None:
        """Sum over the workers."""
        return read_metric(self.metrics_port, "gripproxy_deliveries_dropped_total")

    def command(self) -> list[str]:
        """Write the configuration."""
        return [sys.executable, "-m", "gripproxy.cli", "--config", str(self.write_config(""))]

    def environment(self) -> dict[str, str]:
        """Run the work tree, not an installed copy."""
        paths = [str(REPOSITORY / "src"), str(REPOSITORY / "workers"), os.environ.get("PYTHONPATH", "")]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
