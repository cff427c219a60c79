"""Starts the sites: gunicorn for those in Python, node for the one in JavaScript."""

import subprocess
import sys
from pathlib import Path

from tests.installed import require
from tests.integration.deadline import wait_until
from tests.integration.ports import can_connect, free_ports
from tests.integration.process import Process
from tests.integration.raw_client import fetch
from tests.integration.server import SOURCE_ROOT

EXPRESS_FOLDER = Path(__file__).with_name("express_site")
INSTALL_TIMEOUT_S = 110.0
START_TIMEOUT_S = 30.0  # of three sites and a proxy at once, on a machine of two cores


class Sites:
    """Django, WSGI and Express, each on a port of its own; they sign and publish by one key and one control port."""

    def __init__(self, directory: Path, control_port: int, key: str) -> None:
        self.directory = directory
        self.env = {
            "GRIP_URL": f"http://127.0.0.1:{control_port}?key={key}",
            "GRIP_KEY": key,
            "DATABASE": str(directory / "django.sqlite3"),
            "PYTHONPATH": str(SOURCE_ROOT),
        }
        self.django_port, self.wsgi_port, self.express_port = free_ports(3)
        self._processes: list[Process] = []

    def start(self) -> None:
        """Start them and wait until they listen."""
        require("node", "npm")
        install_express()
        self._run_gunicorn("django_site", self.django_port)
        self._run_gunicorn("wsgi_site", self.wsgi_port)
        self._run("express_site", ["node", str(EXPRESS_FOLDER / "site.js")], {"PORT": str(self.express_port)})
        for port in (self.django_port, self.wsgi_port, self.express_port):
            wait_until(lambda port=port: self._is_listening(port), "a site listens", START_TIMEOUT_S)  # type: ignore[misc]

    def _is_listening(self, port: int) -> bool:
        for process in self._processes:
            assert process.is_running(), f"{process.name} ended at start:\n{process.output()}"
        return can_connect(port) and fetch(port, "/hello").startswith(b"HTTP/1.1 200 ")

    def _run_gunicorn(self, name: str, port: int) -> None:
        argv = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "1", "--threads", "8"]
        self._run(name, [*argv, "--no-control-socket", f"tests.integration.sites.{name}"], {})

    def _run(self, name: str, argv: list[str], env: dict[str, str]) -> None:
        self._processes.append(Process(name, argv, self.directory / f"{name}.output", self.env | env))

    def stop(self) -> None:
        """End them."""
        for process in self._processes:
            process.stop()
        self._processes.clear()


def install_express() -> None:
    """Install what the lockfile says into node_modules beside it, once for each state of the lockfile."""
    installed = EXPRESS_FOLDER / "node_modules" / ".package-lock.json"
    lockfile = EXPRESS_FOLDER / "package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lockfile.stat().st_mtime:
        return
    argv = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(argv, cwd=EXPRESS_FOLDER, timeout=INSTALL_TIMEOUT_S, capture_output=True, text=True)
    assert done.returncode == 0, f"npm ci: {done.stdout}{done.stderr}"
