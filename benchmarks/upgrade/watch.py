"""One upgrade, seen from outside: how long it takes, what both versions use, and the process that is killed in it."""

import os
import random
import re
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field

from benchmarks.c1m.monitor import Monitor
from benchmarks.chaos.service import freeze
from benchmarks.gripproxy_processes import title_of
from benchmarks.process_tree import ProcessTree, process_cpu_s
from benchmarks.upgrade.service import Service, inodes_of

MOVING = "moving the clients"  # how the step begins that says so
UPGRADE_LIMIT_S = 600.0
MEMORY_PERIOD_S = 0.5
STAYED = re.compile(r"(\d+) clients are still with the old processes")


@dataclass(frozen=True, slots=True)
class Kill:
    """Which process is to be killed, so long after the first of the new version's are there."""

    is_new: bool
    kind: str  # worker, hub, supervisor
    after_s: float

    @property
    def name(self) -> str:
        return f"{'new' if self.is_new else 'old'} {self.kind}"


@dataclass(slots=True)
class Seen:
    """What was seen. `held_by_killed`: clients of the killed process, or of its workers when it was a supervisor."""

    took_s: float = 0.0
    moving_s: float | None = None  # from when the first worker may move clients until none is left to move
    new_cpu_s: float = 0.0
    old_cpu_s: float = 0.0
    peak_bytes: int = 0
    status: int = 0
    steps: list[tuple[float, str]] = field(default_factory=list)  # seconds, and what began then
    said: list[str] = field(default_factory=list)
    killed: str | None = None
    held_by_killed: int = 0
    started_s: float = 0.0  # from the command to the first of the new version's children

    @property
    def stayed(self) -> int:
        """How many clients were still with the old processes when the new version had taken over, at the most."""
        counts = [match[1] for line in self.said if (match := STAYED.search(line))]
        return max(map(int, counts), default=0)


class UpgradeWatch:
    """Starts an upgrade and sees it through."""

    def __init__(self, service: Service, monitor: Monitor, kill: Kill | None) -> None:
        self._service = service
        self._monitor = monitor
        self._kill = kill
        self._old_supervisor = service.pid or 0
        self._old = set(service.processes())
        self._new_supervisor: int | None = None
        self._cpu_before = {pid: _cpu_s(pid) for pid in self._old}
        self._cpu: dict[int, float] = dict(self._cpu_before)
        self._new: set[int] = set()
        self._inodes = service.client_inodes() if kill else set()
        self._seen = Seen()
        state = service.state()
        self._stale_steps = state.steps if state is not None else []  # of the upgrade before
        self._began_s = self._next_memory_s = 0.0
        self._moving_since_s: float | None = None

    def run(self) -> Seen:
        """Upgrade; returns when the command has ended."""
        seen, output = self._seen, self._service.directory / "upgrade.out"
        self._service.peak_bytes = 0
        self._began_s = time.monotonic()
        command = self._service.start_upgrade(output)
        while command.poll() is None:
            now = time.monotonic()
            self._look(now)
            self._strike(now)
            self._monitor.turn(0.5, seen.killed or "under way")
            if now - self._began_s > UPGRADE_LIMIT_S:
                command.kill()
        self._look(time.monotonic())
        seen.took_s = time.monotonic() - self._began_s
        seen.status = command.wait()
        seen.said = output.read_text(errors="replace").splitlines()
        seen.peak_bytes = self._service.peak_bytes
        for pid, cpu_s in self._cpu.items():
            used_s = cpu_s - self._cpu_before.get(pid, 0.0)
            if pid in self._new:
                seen.new_cpu_s += used_s
            else:
                seen.old_cpu_s += used_s
        return seen

    def _look(self, now: float) -> None:
        pids = {*ProcessTree(self._old_supervisor).pids(), *self._service.tree.pids(), *self._new} | self._old
        for pid in pids:
            with suppress(OSError):
                self._cpu[pid] = process_cpu_s(pid)
        self._find_new(now)
        if now >= self._next_memory_s:
            self._next_memory_s = now + MEMORY_PERIOD_S
            self._service.read()
        state = self._service.state()
        step = state.steps[-1] if state is not None and state.steps not in ([], self._stale_steps) else ""
        if step:
            self._stale_steps = []
        if step and step not in [text for _, text in self._seen.steps]:
            self._seen.steps.append((round(now - self._began_s, 2), step))
        if self._moving_since_s is None and MOVING in step:
            self._moving_since_s = now
        elif self._moving_since_s is not None and self._seen.moving_s is None and MOVING not in step:
            self._seen.moving_s = now - self._moving_since_s

    def _find_new(self, now: float) -> None:
        if self._new_supervisor is None:
            for pid in set(ProcessTree(self._old_supervisor).pids()) - self._old:
                if any(title_of(child).startswith("gripproxy: ") for child in ProcessTree(pid).pids()[1:]):
                    self._new_supervisor = pid
                    self._seen.started_s = now - self._began_s
        if self._new_supervisor is not None:
            self._new.update(ProcessTree(self._new_supervisor).pids())

    def _strike(self, now: float) -> None:
        kill, seen = self._kill, self._seen
        if (
            kill is None
            or seen.killed is not None
            or not self._new
            or now < self._began_s + seen.started_s + kill.after_s
        ):
            return
        side = self._new if kill.is_new else self._old
        workers = [pid for pid in side if title_of(pid).startswith("gripproxy: worker")]
        if kill.kind == "supervisor":
            victim = self._new_supervisor if kill.is_new else self._old_supervisor
            victims = [victim] if victim else []
        else:
            victims = [pid for pid in side if title_of(pid).startswith(f"gripproxy: {kill.kind}")]
        if not victims or not ProcessTree(victims[0]).pids():
            return
        victim = random.choice(victims)
        assert victim is not None
        freeze(victim)
        holders = workers if kill.kind == "supervisor" else [victim]
        seen.held_by_killed = len(set().union(*map(inodes_of, holders)) & self._inodes)
        os.kill(victim, signal.SIGKILL)
        seen.killed = f"{kill.name} after {time.monotonic() - self._began_s:.2f} s"


def _cpu_s(pid: int) -> float:
    with suppress(OSError):
        return process_cpu_s(pid)
    return 0.0
