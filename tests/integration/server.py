"""The server under test: gripproxy or Debian's pushpin, started from the same configuration on ports of its own."""

import http.client
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from tests.integration.deadline import wait_until
from tests.integration.ports import can_connect, free_ports
from tests.integration.process import Process
from tests.integration.process_view import children, title
from tests.integration.raw_client import RawClient

SOURCE_ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 20.0
READY_LINE = "[supervisor] ready"


class ServerKind(IntEnum):
    """Which program is under test."""

    GRIPPROXY = 0
    PUSHPIN = 1

    @property
    def program(self) -> str:
        return self.name.lower()


GRIPPROXY, PUSHPIN = ServerKind

# Debian's pushpin expects zurl as a system service at a fixed place; these keys give it one of its own.
PUSHPIN_SECTIONS = {
    "global": {"include": "{libdir}/internal.conf"},
    "runner": {"services": "condure,zurl,pushpin-proxy,pushpin-handler"},
    "proxy": {
        "zurl_out_specs": "ipc://{rundir}/{ipc_prefix}zurl-in",
        "zurl_out_stream_specs": "ipc://{rundir}/{ipc_prefix}zurl-in-stream",
        "zurl_in_specs": "ipc://{rundir}/{ipc_prefix}zurl-out",
        "updates_check": "off",
    },
}
# Two routes more for pushpin, whose parts find each other after its ports are open: a refused origin and a hold show
# that all of them are joined.
PUSHPIN_PROBES = {"refused.invalid": b"HTTP/1.1 502", "held.invalid": b"[stream opened]"}
PUSHPIN_PROBE_ROUTES = ("refused.invalid 127.0.0.1:1", "held.invalid test")


@dataclass(slots=True, kw_only=True)
class ServerPlan:
    """What to start. `sections` adds or replaces keys of the file; `listener_options` are behind ports."""

    kind: ServerKind = GRIPPROXY
    routes: Sequence[str] = ()
    http_port_count: int = 1
    listener_options: str = ""
    workers: int = 2  # gripproxy only
    sections: Mapping[str, Mapping[str, str | int]] = field(default_factory=dict)


def program_argv(console_script: str, module: str) -> list[str]:
    """Give the command for one of gripproxy's programs: the installed script, else what that does, on the source."""
    script = Path(sys.executable).with_name(console_script)
    if script.exists():
        return [str(script)]
    return [sys.executable, "-c", f"import sys; from {module} import main; sys.exit(main())"]


def source_env() -> dict[str, str]:
    """Give the environment in which the modules of the source tree are found."""
    roots = [str(SOURCE_ROOT / "src"), str(SOURCE_ROOT / "workers"), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(root for root in roots if root), "PYTHONUNBUFFERED": "1"}


class Server:
    """A running server under test and its ports."""

    def __init__(self, plan: ServerPlan, directory: Path) -> None:
        self.plan = plan
        self.directory = directory
        ports = free_ports(plan.http_port_count + 4)
        self.push_port, self.sub_port, self.control_port, self.command_port = ports[:4]
        self.http_ports = ports[4:]
        self.config_path = directory / "pushpin.conf"
        self.routes_path = directory / "routes"
        self.process: Process | None = None

    @property
    def http_port(self) -> int:
        return self.http_ports[0]

    @property
    def control_uri(self) -> str:
        return f"http://127.0.0.1:{self.control_port}"

    def write_routes(self, lines: Sequence[str]) -> None:
        """Write the routes file; a running server reads it at SIGHUP."""
        probes = PUSHPIN_PROBE_ROUTES if self.plan.kind is PUSHPIN else ()
        self.routes_path.write_text("".join(f"{line}\n" for line in [*lines, *probes]))

    def config_text(self) -> str:
        """Give the configuration file: the reference's keys, with these ports and this directory."""
        sections: dict[str, dict[str, str | int]] = {
            "global": {"rundir": str(self.directory), "ipc_prefix": "t-"},
            "runner": {
                "http_port": ",".join(f"{port}{self.plan.listener_options}" for port in self.http_ports),
                "logdir": str(self.directory),
                "log_level": 2,
                "client_buffer_size": 8192,
                "client_maxconn": 15000,
            },
            "proxy": {"routesfile": "routes", "sig_key": "changeme", "set_x_forwarded_protocol": "proto-only"},
            "handler": {
                "push_in_spec": f"tcp://127.0.0.1:{self.push_port}",
                "push_in_sub_specs": f"tcp://127.0.0.1:{self.sub_port}",
                "push_in_http_addr": "127.0.0.1",
                "push_in_http_port": self.control_port,
                "command_spec": f"tcp://127.0.0.1:{self.command_port}",
                "message_wait": 5000,
                "id_cache_ttl": 60,
                "subscription_linger": 60,
            },
        }
        if self.plan.kind is GRIPPROXY:
            sections["runner"].update({"workers": self.plan.workers, "drain_timeout": 0})
        else:
            for name, keys in PUSHPIN_SECTIONS.items():
                sections[name].update(keys)
        for name, extra in self.plan.sections.items():
            sections.setdefault(name, {}).update(extra)
        blocks = (
            f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in keys.items())
            for name, keys in sections.items()
        )
        return "\n".join(blocks)

    def argv(self) -> list[str]:
        """Give the command line."""
        if self.plan.kind is PUSHPIN:
            return ["pushpin", "--config", str(self.config_path), "--merge-output"]
        return [*program_argv("gripproxy", "gripproxy.cli"), "--config", str(self.config_path)]

    def launch(self) -> Process:
        """Write the files and start the program, without waiting for it."""
        self.write_routes(self.plan.routes)
        self.config_path.write_text(self.config_text())
        self.process = Process(self.plan.kind.program, self.argv(), self.directory / "server.output", source_env())
        return self.process

    def start(self) -> None:
        """Start the program and wait until every port of it works.

        Raises:
            AssertionError: it ended, or was not ready in time.
        """
        process = self.launch()

        def is_ready() -> bool:
            assert process.is_running(), f"{process.name} ended at start:\n{process.output()}"
            return self.is_serving()

        wait_until(is_ready, f"{process.name} is ready", START_TIMEOUT_S)

    def is_serving(self) -> bool:
        """Say whether clients and publishers are served on all ports."""
        if not all(can_connect(port) for port in [*self.http_ports, self.push_port, self.sub_port, self.control_port]):
            return False
        if self.plan.kind is PUSHPIN:
            return all(map(self._passes_probe, PUSHPIN_PROBES))
        return READY_LINE in self.output()  # with fewer workers listening, one of them would get all connections

    def _passes_probe(self, host: str) -> bool:
        with RawClient(self.http_port) as client:
            client.get("/stream", host=host)
            try:
                client.receive_until(PUSHPIN_PROBES[host], timeout_s=1.0)
            except AssertionError:
                return False
        return True

    def stop(self) -> int | None:
        """End the server and give its exit status."""
        process, self.process = self.process, None
        return process.stop() if process else None

    def output(self) -> str:
        """Give what the server has printed."""
        return (self.directory / "server.output").read_text(errors="replace")

    def child_pids(self, name: str) -> list[int]:
        """Give the ids of the server's processes whose title holds `name`: "worker", "hub", "condure"."""
        assert self.process is not None
        return [pid for pid in children(self.process.pid) if name in title(pid)]

    def holding_pids(self) -> list[int]:
        """Give the ids of the processes that have the clients' connections."""
        return self.child_pids("gripproxy: worker" if self.plan.kind is GRIPPROXY else "condure")

    def publish(self, *items: dict[str, object]) -> None:
        """Publish over the HTTP control port.

        Raises:
            AssertionError: the server did not take the items.
        """
        status, body = post(self.control_port, json.dumps({"items": items}).encode())
        assert (status, body) == (200, b"Published\n")

    def publish_stream(self, channel: str, content: str) -> None:
        """Publish one http-stream item."""
        self.publish({"channel": channel, "http-stream": {"content": content}})


def post(port: int, body: bytes, path: str = "/publish/") -> tuple[int, bytes]:
    """POST JSON and give status and body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
