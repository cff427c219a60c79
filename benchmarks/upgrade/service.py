"""gripproxy as it is upgraded: one supervisor after the other, in the same run directory."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.c1m.plan import Plan
from benchmarks.c1m.proxy import ScaledGripproxy
from benchmarks.chaos.service import processes_of_session
from benchmarks.errors import BenchmarkError
from benchmarks.process_tree import ProcessTree, decode_rollup
from benchmarks.servers.server import free_port
from gripproxy.upgrade_state import UpgradeState, read_state

STOP_MAX_S = 30.0
DRAIN_S = 10
ESTABLISHED = "01"


class Service(ScaledGripproxy):
    """gripproxy with a control port; `pid` is the supervisor of the version that serves."""

    def __init__(self, directory: Path, origin_port: int, plan: Plan) -> None:
        super().__init__(directory, origin_port, plan)
        self.control_port = free_port()
        self._sessions: list[int] = []
        self.peak_bytes = 0  # of memory, since it was last set to nothing

    def command(self) -> list[str]:
        """Write the configuration, once."""
        if not (self.directory / "gripproxy.conf").exists():
            self._command = super().command()
        return self._command

    def write_config(self, include: str) -> Path:
        """Let items in by HTTP, and limit the drain."""
        path = super().write_config(include)
        text = path.read_text().replace("push_in_http_port=\n", f"push_in_http_port={self.control_port}\n")
        path.write_text(text.replace("[runner]\n", f"[runner]\ndrain_timeout={DRAIN_S}\n"))
        return path

    def start(self) -> None:
        """Start it, also again after its supervisor was killed."""
        super().start()
        assert self._process is not None
        self._sessions.append(self._process.pid)

    @property
    def pid(self) -> int | None:
        """The process that owns the instance, if it is alive."""
        with suppress(OSError, ValueError, StopIteration):
            pid = int(next(iter((self.directory / "run").glob("*gripproxy.pid"))).read_text())
            return pid if ProcessTree(pid).pids() else None
        return None

    @property
    def tree(self) -> ProcessTree:
        """The processes of the version that serves."""
        return ProcessTree(self.pid or 0)

    def processes(self) -> dict[int, str]:
        """Give the titles of all processes, of all versions."""
        return {pid: title for session in self._sessions for pid, title in processes_of_session(session).items()}

    def state(self) -> UpgradeState | None:
        """Give what it says of its last upgrade."""
        paths = list((self.directory / "run").glob("*gripproxy.state"))
        return read_state(str(paths[0])) if paths else None

    def start_upgrade(self, output: Path) -> "subprocess.Popen[bytes]":
        """Begin an upgrade to the same program; what the command says goes to `output`."""
        argv = [*self.command()[:-2], "upgrade", *self.command()[-2:]]
        with output.open("wb") as file:
            return subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=self.environment(), start_new_session=True
            )

    def is_settled(self, workers: int) -> bool:
        """Say whether one version is there, and whole, and nothing of another."""
        pid, processes = self.pid, self.processes()
        if pid is None or set(processes) != set(self.tree.pids()):
            return False
        if sum(title.startswith("gripproxy: worker") for title in processes.values()) != workers:
            return False
        with suppress(BenchmarkError):
            counters = self.counters()
            return all(counters["up"].values()) and len(counters["up"]) == workers + 1
        return False

    def client_inodes(self) -> set[str]:
        """Give the kernel's numbers of the server's ends of all client connections; they stay with a connection."""
        inodes = set()
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == ESTABLISHED and int(fields[1].rpartition(":")[2], 16) in self.ports:
                inodes.add(fields[9])
        return inodes

    def read(self) -> int:
        """Give the memory (PSS) of all versions together, in bytes."""
        total = 0
        for pid in self.processes():
            with suppress(OSError, BenchmarkError):
                total += decode_rollup(Path(f"/proc/{pid}/smaps_rollup").read_text()).pss_bytes
        self.peak_bytes = max(self.peak_bytes, total)
        return total

    def stop(self) -> None:
        """End all versions, in order if they can, by force if they do not."""
        deadline = time.monotonic() + STOP_MAX_S
        while (pid := self.pid) is not None and time.monotonic() < deadline:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            while ProcessTree(pid).pids() and time.monotonic() < deadline:
                time.sleep(0.05)
        for left in self.processes():
            with suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
            self._process = None


def inodes_of(pid: int) -> set[str]:
    """Give the kernel's numbers of the sockets that a process has open."""
    inodes = set()
    with suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                target = os.readlink(entry.path)
                if target.startswith("socket:["):
                    inodes.add(target[len("socket:[") : -1])
    return inodes
