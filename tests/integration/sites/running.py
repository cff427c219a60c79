"""Starts the sites: gunicorn for Django and WSGI, node for the one in JavaScript, `websockets` by itself."""

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import new_server
from tests.installed import require
from tests.integration.deadline import wait_until
from tests.integration.ports import can_connect, free_ports
from tests.integration.process import Process
from tests.integration.raw_client import fetch
from tests.integration.server import SOURCE_ROOT, Server, ServerKind, ServerPlan

KEY = "changeme-and-make-it-thirty-two-bytes-long"
EXPRESS_FOLDER = Path(__file__).with_name("express_site")
INSTALL_TIMEOUT_S = 110.0
START_TIMEOUT_S = 30.0  # of three sites and a proxy at once, on a machine of two cores


class Sites:
    """The sites, each on a port of its own; they check signatures and publish by one key and one control port."""

    def __init__(self, directory: Path, control_port: int, key: str) -> None:
        self.directory = directory
        self.env = {
            "GRIP_URL": f"http://127.0.0.1:{control_port}?key={key}",
            "GRIP_KEY": key,
            "DATABASE": str(directory / "django.sqlite3"),
            "PYTHONPATH": str(SOURCE_ROOT),
        }
        self.django_port, self.wsgi_port, self.express_port, self.websockets_port = free_ports(4)
        self._processes: dict[int, Process] = {}  # by port

    def start(self) -> None:
        """Start them and wait until they listen."""
        require("node", "npm")
        install_express()
        ports = (self.django_port, self.wsgi_port, self.express_port, self.websockets_port)
        for port in ports:
            self._run(port)
        for port in ports:
            self._wait_for(port)

    def restart(self, port: int) -> None:
        """Start a site again that has been ended."""
        self._run(port)
        self._wait_for(port)

    def end(self, port: int) -> None:
        """End one site as its host does: politely."""
        self._processes.pop(port).stop()

    def kill(self, port: int) -> None:
        """End one site at once, and wait until all its connections are closed: its workers die a little later."""
        self._processes[port].signal(signal.SIGKILL)
        self.end(port)
        wait_until(lambda: not can_connect(port), f"nobody listens on port {port}")

    def _run(self, port: int) -> None:
        gunicorn = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "1", "--threads", "8"]
        gunicorn.append("--no-control-socket")
        name, argv = {
            self.django_port: ("django_site", [*gunicorn, "tests.integration.sites.django_site"]),
            self.wsgi_port: ("wsgi_site", [*gunicorn, "tests.integration.sites.wsgi_site"]),
            self.express_port: ("express_site", ["node", str(EXPRESS_FOLDER / "site.js")]),
            self.websockets_port: (
                "websockets_site",
                [sys.executable, "-m", "tests.integration.sites.websockets_site"],
            ),
        }[port]
        env = self.env | {"PORT": str(port)}
        self._processes[port] = Process(name, argv, self.directory / f"{name}.output", env)

    def _wait_for(self, port: int) -> None:
        wait_until(lambda: self._is_listening(port), f"the site on port {port} listens", START_TIMEOUT_S)

    def _is_listening(self, port: int) -> bool:
        process = self._processes[port]
        assert process.is_running(), f"{process.name} ended at start:\n{process.output()}"
        return can_connect(port) and fetch(port, "/hello").startswith(b"HTTP/1.1 200 ")

    def stop(self) -> None:
        """End them."""
        for process in self._processes.values():
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


@contextmanager
def sites_behind(kind: ServerKind, routes: Callable[[Sites], list[str]]) -> Iterator[tuple[Server, Sites]]:
    """Run all sites behind one server, which has these routes to them."""
    directory = Path(tempfile.mkdtemp(prefix="gp-l-", dir="/tmp"))
    server = new_server(ServerPlan(kind=kind, sections={"proxy": {"sig_key": KEY}}), directory / "s")
    sites = Sites(directory, server.control_port, KEY)
    server.plan.routes = routes(sites)
    try:
        sites.start()
        server.start()
        yield server, sites
    finally:
        server.stop()
        sites.stop()
        shutil.rmtree(directory, ignore_errors=True)
