"""Debian's HAProxy with the configuration of deploy/haproxy, on ports and in front of servers of the test's own."""

import re
from collections.abc import Sequence
from pathlib import Path

from tests.certificates import make_pair
from tests.installed import require
from tests.integration.deadline import wait_until
from tests.integration.ports import can_connect, free_ports
from tests.integration.process import Process

EXAMPLE = Path(__file__).resolve().parents[2] / "deploy" / "haproxy" / "haproxy.cfg"


class Haproxy:
    """Give it the servers' client ports and metrics ports; clients come to `tls_port` and `plain_port`."""

    def __init__(self, directory: Path, servers: Sequence[tuple[int, int]]) -> None:
        require("haproxy")
        self.tls_port, self.plain_port = free_ports(2)
        certificates = directory / "certs"
        make_pair(directory / "pair", "a.test")
        certificates.mkdir()
        pair = [(directory / "pair" / name).read_text() for name in ("a.test.crt", "a.test.key")]
        (certificates / "a.test.pem").write_text("".join(pair))
        text = EXAMPLE.read_text()
        text = text.replace("maxconn 200000", "maxconn 2000").replace("bind :443", f"bind 127.0.0.1:{self.tls_port}")
        text = text.replace("bind :80", f"bind 127.0.0.1:{self.plain_port}").replace(
            "/etc/haproxy/certs", str(certificates)
        )
        lines = [line for line in text.splitlines() if not line.strip().startswith("server host-")]
        lines += [
            f"    server host-{number} 127.0.0.1:{port} port {metrics_port}"
            for number, (port, metrics_port) in enumerate(servers, 1)
        ]
        self.config = directory / "haproxy.cfg"
        self.config.write_text(re.sub("slowstart 10s", "", "\n".join(lines)) + "\n")
        self._directory = directory
        self.process: Process | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        argv = ["haproxy", "-db", "-f", str(self.config)]
        self.process = Process("haproxy", argv, self._directory / "haproxy.output")
        wait_until(lambda: can_connect(self.plain_port) and can_connect(self.tls_port), "haproxy listens")

    def stop(self) -> None:
        if self.process is not None:
            self.process.stop()
