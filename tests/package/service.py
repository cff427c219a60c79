"""The installed service on ports of its own, and clients of it."""

import json
import re
import subprocess
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from deploy.package.debian_root import DebianRoot
from tests.integration.deadline import wait_until
from tests.integration.ports import can_connect, free_ports
from tests.integration.raw_client import RawClient

START_TIMEOUT_S = 60.0


class InstalledService:
    """What is configured in the root; `configure` gives it free ports, as tests of others run beside it."""

    def __init__(self, debian: DebianRoot) -> None:
        self._debian = debian
        self.http_port, self.push_port, self.sub_port, self.control_port, self.command_port = free_ports(5)

    def configure(self) -> None:
        """Edit the installed configuration as an administrator does: some lines."""
        self.edit(
            {
                "http_port": self.http_port,
                "push_in_spec": f"tcp://127.0.0.1:{self.push_port}",
                "push_in_sub_specs": f"tcp://127.0.0.1:{self.sub_port}",
                "push_in_http_port": self.control_port,
                "command_spec": f"tcp://127.0.0.1:{self.command_port}",
                "drain_timeout": 1,
                "client_maxconn": 10_000,
                "log_events": "",
            }
        )

    def edit(self, values: Mapping[str, str | int]) -> None:
        """Change lines of the configuration file."""
        path = self._debian.path / "etc/gripproxy/gripproxy.conf"
        text = path.read_text()
        for name, value in values.items():
            text, count = re.subn(rf"^{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
            assert count == 1, name
        path.write_text(text)

    def wait_until_ready(self, process: subprocess.Popen[bytes], log_path: Path) -> None:
        """Wait until it serves; its log shows why not."""
        wait_until(lambda: self._is_ready() or process.poll() is not None, "the service is ready", START_TIMEOUT_S)
        assert process.poll() is None, log_path.read_text()

    def _is_ready(self) -> bool:
        if not can_connect(self.control_port):
            return False
        try:
            with urllib.request.urlopen(f"{self.control_uri}/readyz") as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    @property
    def control_uri(self) -> str:
        return f"http://127.0.0.1:{self.control_port}"

    def hold(self, count: int) -> list[RawClient]:
        """Hold streams on the built-in test route."""
        clients = []
        for _ in range(count):
            client = RawClient(self.http_port)
            client.get("/stream")
            client.receive_until(b"[stream opened]\n\r\n")
            clients.append(client)
        return clients

    def publish(self, text: str) -> None:
        """Publish with the installed command."""
        self._debian.run("gripproxy-publish", "--spec", self.control_uri, "test", text)

    def held_count(self) -> int:
        """Give what it says itself."""
        with urllib.request.urlopen(f"{self.control_uri}/stats") as answer:
            return int(json.load(answer)["total"]["now"]["held_streams"])

    def pid(self) -> int:
        """Give the pid that the service says it has."""
        return int((self._debian.path / "run/gripproxy/pushpin-gripproxy.pid").read_text())
