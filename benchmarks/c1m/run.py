"""One run from start to end: everything is started here, and nothing of it is left behind."""

import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from socket import socket

from benchmarks.c1m.crowd import Crowd
from benchmarks.c1m.forked import Forked
from benchmarks.c1m.guardian import Guardian
from benchmarks.c1m.monitor import Monitor
from benchmarks.c1m.origin import Origin, listen
from benchmarks.c1m.phases import Phases
from benchmarks.c1m.plan import Plan
from benchmarks.c1m.probe import Probe
from benchmarks.c1m.progress import Progress
from benchmarks.c1m.proxy import ScaledGripproxy
from benchmarks.c1m.readings import RollingMemory, machine_memory
from benchmarks.c1m.stamp import StampPublisher
from benchmarks.c1m.sysctls import Sysctls, needs
from benchmarks.c1m.timeline import Timeline
from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe_machine

MACHINE_KEYS = ("commit", "processor", "memory", "kernel", "python", "files per process", "load before")
LOG_LINES_MAX_COUNT = 20


@dataclass(slots=True)
class Result:
    """What a run has found. `stopped` is why it ended early; `log` is what gripproxy complained of."""

    plan: dict[str, float]
    machine: dict[str, str]
    sysctls: dict[str, str] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    timeline: Timeline = field(default_factory=Timeline)
    log: list[str] = field(default_factory=list)
    stopped: str | None = None


def check_memory(plan: Plan, floor_bytes: int) -> None:
    """Refuse a run that will not fit.

    Raises:
        BenchmarkError: says how many connections would.
    """
    room = machine_memory().available_bytes - floor_bytes
    if plan.memory_bytes <= room:
        return
    per_connection = plan.memory_bytes / plan.connections
    raise BenchmarkError(
        f"{plan.connections:,} connections take about {plan.memory_bytes >> 20:,} MiB with both ends on this machine, "
        f"and {max(0, room) >> 20:,} MiB are free above the floor of {floor_bytes >> 20:,} MiB: about "
        f"{max(0, int(room / per_connection)):,} fit (--memory-floor-mib, --without-memory-check)"
    )


def run(plan: Plan, floor_bytes: int, limit_s: float) -> Result:
    """Run all phases. What stops it early is in the result; what could not even start raises.

    Raises:
        BenchmarkError: kernel settings, or gripproxy, origin or clients could not be started.
    """
    machine = describe_machine()
    result = Result(asdict(plan), {key: machine[key] for key in MACHINE_KEYS if key in machine})
    progress = Progress()
    with ExitStack() as stack:
        sysctls = stack.enter_context(Sysctls(needs(plan), progress.say))
        result.sysctls = {name: during for name, (_, during) in sysctls.changed.items()}
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gripproxy-c1m-")))
        guardian = Guardian(sysctls, directory)
        stack.callback(guardian.close)
        listener = stack.enter_context(listen())
        origins = []
        for number in range(plan.origin_processes):
            origins.append(Forked(f"origin {number}", partial(_run_origin, listener, plan.keep_alive_s)))
            stack.callback(origins[-1].close)
        server = ScaledGripproxy(directory / "proxy", listener.getsockname()[1], plan)
        stack.callback(server.stop)
        crowd = stack.enter_context(Crowd(plan, server.ports))  # so it goes first: resets cost less than closing
        monitor = Monitor(plan, crowd, progress, floor_bytes, limit_s)
        progress.show("start", 0, f"gripproxy with {plan.workers} workers")
        server.start()
        guardian.protect(server.tree.root_pid)
        probe = Probe(server.http_port)
        stack.callback(probe.close)
        monitor.watch(RollingMemory(server.tree), probe)
        phases = Phases(plan, server, origins, crowd, monitor, probe)
        result.figures = phases.figures
        try:
            _run_phases(phases, server, plan.is_websocket)
        except BenchmarkError as error:
            result.stopped = str(error)
            progress.say(f"stopped: {error}")
            _read_what_is_left(phases, result)
        result.timeline = monitor.finish()
        result.log = server.log().splitlines()[:LOG_LINES_MAX_COUNT]
        progress.say("stopping gripproxy, origin and clients")
    return result


def _run_phases(phases: Phases, server: ScaledGripproxy, is_websocket: bool) -> None:
    phases.base()
    phases.connect()
    phases.settle()
    phases.idle()
    phases.bare_writes()
    phases.plain()
    publisher = StampPublisher(server.push_spec, is_websocket)
    try:
        phases.one_channel(publisher)
        phases.rooms(publisher)
    finally:
        publisher.close()
    phases.count_losses()
    phases.leave()


def _read_what_is_left(phases: Phases, result: Result) -> None:
    """After a run that was stopped, how far it came is the more interesting."""
    try:
        if "connections" in phases.figures and "user_bytes" not in phases.figures:
            phases.read_memory()
        if "failures" not in phases.figures:
            phases.count_losses()
    except BenchmarkError as error:
        result.stopped = f"{result.stopped}; {error}"


def _run_origin(listener: socket, keep_alive_s: int, lifeline: Connection) -> None:
    Origin(listener, keep_alive_s, lifeline).run()
