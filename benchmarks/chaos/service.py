"""gripproxy as an init system runs it: started again when its first process ends, whatever is left of it."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.gripproxy_processes import title_of
from benchmarks.machine import REPOSITORY
from benchmarks.servers.server import free_port

WORKERS_COUNT = 3
DRAIN_S = 1.0
STOP_MAX_S = 15.0


@dataclass(frozen=True, slots=True)
class Ports:
    """Where it listens."""

    http: int
    push: int
    sub: int
    control: int
    command: int
    metrics: int


class Service:
    """One gripproxy after the other, in the same directory and on the same ports. Nobody cleans up behind them.

    `starts_count`: how often it was started. `sessions` are their process groups.
    """

    def __init__(self, directory: Path) -> None:
        self.ports = Ports(*[free_port() for _ in range(6)])
        self.starts_count = 0
        self.sessions: list[int] = []
        self.output_path = directory / "output"
        self._config_path = directory / "gripproxy.conf"
        self._process: subprocess.Popen[bytes] | None = None
        ports = self.ports
        (directory / "routes").write_text("* test\n")
        self._config_path.write_text(f"""[global]
rundir={directory}

[runner]
http_port={ports.http}
workers={WORKERS_COUNT}
drain_timeout={DRAIN_S}
log_level=1

[proxy]
routesfile=routes

[handler]
push_in_spec=tcp://127.0.0.1:{ports.push}
push_in_sub_specs=tcp://127.0.0.1:{ports.sub}
push_in_http_addr=127.0.0.1
push_in_http_port={ports.control}
command_spec=tcp://127.0.0.1:{ports.command}
prometheus_port=127.0.0.1:{ports.metrics}
""")

    def start(self) -> None:
        """Start it, without waiting for it."""
        paths = [str(REPOSITORY / "src"), str(REPOSITORY / "workers"), os.environ.get("PYTHONPATH", "")]
        with self.output_path.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gripproxy.cli", "--config", str(self._config_path)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)},
                start_new_session=True,
            )
        self.starts_count += 1
        self.sessions.append(self._process.pid)

    @property
    def supervisor_pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def exit_status(self) -> int | None:
        """Give how the first process ended, if it has."""
        assert self._process is not None
        return self._process.poll()

    def stop(self) -> int:
        """Stop it as an operator does, and give its exit status.

        Raises:
            BenchmarkError: it does not end.
        """
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_MAX_S)
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"it did not stop within {STOP_MAX_S:g} s") from None

    def clean_up(self) -> None:
        """Kill what is left of all of them, at the end of a trial."""
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def processes(self) -> dict[int, str]:
        """Give the titles of all processes that were ever started here and still run."""
        return {pid: title for session in self.sessions for pid, title in processes_of_session(session).items()}

    def children(self, title: str) -> list[int]:
        """Give the present supervisor's children whose titles begin so."""
        parent = self.supervisor_pid
        return [pid for pid, text in self.processes().items() if text.startswith(title) and _parent_of(pid) == parent]

    def orphans(self) -> list[int]:
        """Give processes that a supervisor has left behind."""
        return [
            pid for pid in self.processes() if pid != self.supervisor_pid and _parent_of(pid) != self.supervisor_pid
        ]

    def is_ready(self) -> bool:
        """Say whether clients and publishers are served by all processes."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports.control}/readyz", timeout=2.0) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def client_ports(self, pid: int) -> set[int]:
        """Give the ports of the clients whose connections a process has."""
        inodes = _inodes(pid)
        ports = set()
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes and int(fields[1].rpartition(":")[2], 16) == self.ports.http:
                ports.add(int(fields[2].rpartition(":")[2], 16))
        return ports


def processes_of_session(session: int) -> dict[int, str]:
    """Give the titles of the processes of a session that still run."""
    return {pid: title_of(pid) for pid, its_session in _all_processes() if its_session == session}


def freeze(pid: int) -> None:
    """Stop a process, and wait until it stands still."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + 5.0
    while _stat(pid)[:1] not in (["T"], []) and time.monotonic() < deadline:
        time.sleep(0.001)


def _inodes(pid: int) -> set[str]:
    inodes = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(path)
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[len("socket:[") : -1])
    return inodes


def _stat(pid: int) -> list[str]:
    """Give the fields of a process behind its name: state, parent, group, session."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _parent_of(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def _all_processes() -> list[tuple[int, int]]:
    """Give pid and session of every process that is not only waited for."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        fields = _stat(int(path.name))
        if fields and fields[0] != "Z":
            found.append((int(path.name), int(fields[3])))
    return found
