"""One run: everything is started here, upgraded some times, and nothing of it is left behind."""

import random
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from socket import socket

from benchmarks.c1m.board import Cell
from benchmarks.c1m.crowd import Crowd
from benchmarks.c1m.forked import Forked
from benchmarks.c1m.guardian import Guardian
from benchmarks.c1m.monitor import Monitor
from benchmarks.c1m.origin import Origin, listen
from benchmarks.c1m.plan import Plan
from benchmarks.c1m.probe import Probe
from benchmarks.c1m.progress import Progress
from benchmarks.c1m.proxy import total
from benchmarks.c1m.sysctls import Sysctls, needs
from benchmarks.c1m.timeline import Timeline
from benchmarks.errors import BenchmarkError
from benchmarks.machine import REPOSITORY, describe_machine
from benchmarks.upgrade.checking_client import (
    EXTRA_CELLS,
    PHASES_MAX_COUNT,
    QUIET,
    UPGRADING,
    CheckingClient,
    Missed,
    Tally,
    cell_of,
)
from benchmarks.upgrade.newcomers import Newcomers, Outcomes
from benchmarks.upgrade.publishers import Publishers
from benchmarks.upgrade.service import Service
from benchmarks.upgrade.watch import Kill, Seen, UpgradeWatch

MACHINE_KEYS = ("commit", "processor", "memory", "kernel", "python", "files per process", "load before")
KINDS = ("worker", "hub", "supervisor")
LOG_LINES_MAX_COUNT = 60
SETTLE_LIMIT_S = 120.0
CALM_S = 2.0  # without a new item: all have come
CALM_LIMIT_S = 60.0
STALL_LIMIT_S = 60.0  # without a new connection
AFTER_S = 3.0  # of publishing behind an upgrade
TRIES_COUNT = 3  # to kill a process before an upgrade is over
BATCH_CONNECTIONS = 256  # that may be under way from each worker when a side ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a run is asked for, beside the plan."""

    rounds: int
    publish_rate: float
    newcomers_per_s: float
    quiet_s: float
    kills: tuple[str, ...] = ()  # sides, in turns: new, old
    seed: int = 0


@dataclass(slots=True)
class Round:
    """One upgrade, and the quiet time before it."""

    seen: Seen
    held_before: int
    held_after: int = 0
    lost: int = 0
    moved: int = 0
    reopened: int = 0
    quiet: dict[str, float] = field(default_factory=dict)  # tallies, CPU
    during: dict[str, float] = field(default_factory=dict)
    missing_of_all: int = 0  # items that no client of their channel has
    missing_of_some: int = 0
    newcomers: Outcomes = field(default_factory=Outcomes)
    newcomers_quiet: Outcomes = field(default_factory=Outcomes)
    posts_failed: list[str] = field(default_factory=list)
    has_restarted: bool = False  # the whole service, as an init system would
    faults: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Result:
    """What a run has found."""

    plan: dict[str, float]
    terms: dict[str, object]
    machine: dict[str, str]
    rounds: list[Round] = field(default_factory=list)
    latency_ms: dict[str, float] = field(default_factory=dict)
    timeline: Timeline = field(default_factory=Timeline)
    log: list[str] = field(default_factory=list)
    stopped: str | None = None

    @property
    def is_good(self) -> bool:
        return self.stopped is None and not any(one.faults for one in self.rounds)


def run(plan: Plan, terms: Terms, floor_bytes: int, limit_s: float) -> Result:
    """Run all rounds. What stops it early is in the result; what could not even start raises.

    Raises:
        BenchmarkError: kernel settings, or gripproxy, origin or clients could not be started.
    """
    machine = describe_machine()
    result = Result(asdict(plan), asdict(terms), {key: machine[key] for key in MACHINE_KEYS if key in machine})
    progress = Progress()
    with ExitStack() as stack:
        sysctls = stack.enter_context(Sysctls(needs(plan), progress.say))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gripproxy-upgrade-")))
        guardian = Guardian(sysctls, directory)
        stack.callback(guardian.close)
        listener = stack.enter_context(listen())
        origin = Forked("origin", partial(_run_origin, listener, plan.keep_alive_s))
        stack.callback(origin.close)
        service = Service(directory / "proxy", listener.getsockname()[1], plan)
        stack.callback(service.stop)
        crowd = stack.enter_context(Crowd(plan, service.ports, CheckingClient, EXTRA_CELLS))
        publishers = Publishers(service.push_spec, service.control_port, plan.channels, terms.publish_rate)
        stack.callback(publishers.close)
        monitor = Monitor(plan, crowd, progress, floor_bytes, limit_s)
        progress.show("start", 0, f"gripproxy with {plan.workers} workers")
        service.start()
        guardian.protect(service.pid or 0)
        probe = Probe(service.http_port)
        stack.callback(probe.close)
        newcomers = Newcomers(service.http_port, terms.newcomers_per_s)
        stack.callback(newcomers.close)
        monitor.watch(service, probe)
        trial = Trial(plan, terms, service, crowd, publishers, newcomers, monitor, guardian)
        result.rounds = trial.rounds
        try:
            trial.run()
        except BenchmarkError as error:
            result.stopped = str(error)
            progress.say(f"stopped: {error}")
        for name, series in (("quiet", QUIET), ("during", UPGRADING)):
            histogram = crowd.board.histogram(series)
            for percent in (50, 99, 99.9) if histogram.count else ():
                result.latency_ms[f"{name}_p{percent:g}"] = histogram.percentile_ms(percent)
        result.timeline = monitor.finish()
        result.log = service.log().replace(f"{REPOSITORY}/", "").splitlines()[-LOG_LINES_MAX_COUNT:]
        progress.say("stopping gripproxy, origin and clients")
    return result


class Trial:
    """The rounds."""

    def __init__(
        self,
        plan: Plan,
        terms: Terms,
        service: Service,
        crowd: Crowd,
        publishers: Publishers,
        newcomers: Newcomers,
        monitor: Monitor,
        guardian: Guardian,
    ) -> None:
        self._plan = plan
        self._terms = terms
        self._service = service
        self._crowd = crowd
        self._publishers = publishers
        self._newcomers = newcomers
        self._monitor = monitor
        self._guardian = guardian
        self._random = random.Random(terms.seed)
        self._usual_s = 60.0  # from the first new process until the end of the command; the shortest so far
        self.rounds: list[Round] = []

    def run(self) -> None:
        """Connect, then do the rounds; when processes are to be killed, the first round is without."""
        with self._monitor.phase("connect"):
            self._wait_for_all(self._crowd.open_more)
        if not self._terms.kills:
            for number in range(self._terms.rounds):
                self._round(number, None)
            return
        self._round(0, None)
        for turn in range(self._terms.rounds):
            for _ in range(TRIES_COUNT):
                self._round(len(self.rounds), self._kill_of(turn))
                if self.rounds[-1].seen.killed or len(self.rounds) == PHASES_MAX_COUNT // 2:
                    break  # else the upgrade was over before the moment had come

    def _kill_of(self, turn: int) -> tuple[bool, str]:
        sides = self._terms.kills
        return sides[turn % len(sides)] == "new", KINDS[turn // len(sides) % len(KINDS)]

    def _round(self, number: int, kill: tuple[bool, str] | None) -> None:
        quiet_phase = 2 * number
        lost_before, damaged_before = self._crowd.lost, self._crowd.board.total(Cell.DAMAGED)
        quiet = self._quiet(quiet_phase)
        newcomers_quiet = self._newcomers.outcomes()
        one = Round(Seen(), self._crowd.held, quiet=quiet, newcomers_quiet=newcomers_quiet)
        self.rounds.append(one)
        self._publishers.publish(quiet_phase + 1)
        pid_before = self._service.pid
        order = Kill(*kill, self._random.uniform(0.0, self._usual_s)) if kill else None
        with self._monitor.phase(f"upgrade {number + 1}"):
            one.seen = UpgradeWatch(self._service, self._monitor, order).run()
            self._settle(one)
            self._monitor.sleep(AFTER_S)
        if not one.seen.killed:
            self._usual_s = min(self._usual_s, max(0.1, one.seen.took_s - one.seen.started_s))
        one.newcomers = self._newcomers.outcomes()
        if self._service.pid != pid_before:  # else it has what it took over itself, from the version before
            one.moved = total(self._service.counters(), "taken_over_total")
        with self._monitor.phase("check"):
            self._check(one, quiet_phase + 1)
        one.lost = self._crowd.lost - lost_before
        one.held_after = self._crowd.held
        one.during = self._tallies(quiet_phase + 1)
        one.during["damaged"] = self._crowd.board.total(Cell.DAMAGED) - damaged_before
        one.faults += faults_of(one, order, self._plan.workers)
        if one.lost:
            self._crowd.reopen()
            with self._monitor.phase("reconnect"):
                self._wait_for_all(lambda: self._crowd.held + self._crowd.failed < self._plan.connections)

    def _quiet(self, phase: int) -> dict[str, float]:
        """Publish without an upgrade; gives what that costs, and the longest delay and pause."""
        self._newcomers.outcomes()
        self._publishers.publish(phase)
        with self._monitor.phase("quiet"):
            self._monitor.sleep(min(3.0, self._terms.quiet_s))
            cpu_s, began_s = self._service.tree.cpu_s(), time.monotonic()
            self._monitor.sleep(self._terms.quiet_s)
            cores = (self._service.tree.cpu_s() - cpu_s) / (time.monotonic() - began_s)
        memory = self._service.read()
        return {**self._tallies(phase), "cores": cores, "memory_bytes": memory}

    def _settle(self, one: Round) -> None:
        """Wait until one whole version is there; start the service again if nothing of it is left."""
        is_settled = partial(self._service.is_settled, self._plan.workers)
        began_s = time.monotonic()
        while not is_settled():
            if self._service.pid is None and not self._service.processes():
                self._service.start()
                one.has_restarted = True
            if time.monotonic() - began_s > SETTLE_LIMIT_S:
                processes = self._service.processes()
                raise BenchmarkError(f"still not one version after {SETTLE_LIMIT_S:g} s: {processes}")
            self._monitor.sleep(0.2, "until one version is left")
        self._guardian.protect(self._service.pid or 0)

    def _check(self, one: Round, phase: int) -> None:
        """Let all that was published come, and find out what has not."""
        counts = self._publishers.pause()
        one.posts_failed = self._publishers.failures
        came, calm_since_s, began_s = -1, time.monotonic(), time.monotonic()
        while time.monotonic() - calm_since_s < CALM_S and time.monotonic() - began_s < CALM_LIMIT_S:
            self._monitor.turn(0.5, "until all items have come")
            now_came = self._crowd.board.total(cell_of(phase, Tally.ITEMS))
            if now_came != came:
                came, calm_since_s = now_came, time.monotonic()
        missed, clients = Missed(), Missed()
        for missed_there, clients_there in self._crowd.ask("check", phase, counts):
            missed.update(missed_there)
            clients.update(clients_there)
        of_all = sum(count >= clients[item[0]] for item, count in missed.items())
        one.missing_of_all, one.missing_of_some = of_all, len(missed) - of_all

    def _tallies(self, phase: int) -> dict[str, float]:
        board = self._crowd.board
        counted = {tally.name.lower(): board.total(cell_of(phase, tally)) for tally in Tally}
        for tally in (Tally.LONGEST_DELAY_NS, Tally.LONGEST_PAUSE_NS):
            del counted[tally.name.lower()]
            counted[tally.name.lower().replace("_ns", "_ms")] = board.highest(cell_of(phase, tally)) / 1e6
        return counted

    def _wait_for_all(self, is_under_way: Callable[[], bool]) -> None:
        """Wait until all connections are held.

        Raises:
            BenchmarkError: it does not go on, or some have failed.
        """
        plan, crowd = self._plan, self._crowd
        held, since_s = -1, time.monotonic()
        while is_under_way():
            self._monitor.turn(crowd.held / plan.connections, f"{crowd.held:,} held")
            if crowd.held != held:
                held, since_s = crowd.held, time.monotonic()
            elif time.monotonic() - since_s > STALL_LIMIT_S:
                raise BenchmarkError(f"no new connection for {STALL_LIMIT_S:g} s, {held:,} are held")
        if crowd.failed:
            raise BenchmarkError(f"{crowd.failed:,} connections could not be opened")


def faults_of(one: Round, kill: Kill | None, workers: int) -> list[str]:
    """Say what must not have happened.

    Nothing may be lost, doubled or out of order. When a process is killed: the clients that it had may be lost, and
    with a hub the items that it had in hand.
    """
    during, seen = one.during, one.seen
    found = [
        f"{during[name]:,.0f} items {name}" for name in ("doubled", "reordered", "foreign", "damaged") if during[name]
    ]
    has_hub = kill is not None and kill.kind != "worker"
    if (one.missing_of_all or one.missing_of_some) and not has_hub:
        found.append(f"{one.missing_of_all} items missing everywhere, {one.missing_of_some} at some clients")
    if kill is None or not seen.killed:
        if seen.status or one.has_restarted:
            found.append(f"the upgrade failed with status {seen.status}: {' | '.join(seen.said[-2:])}")
        if one.newcomers.failed:
            found.append(f"new clients: {one.newcomers.counts}")
        if one.posts_failed:
            found.append(f"{len(one.posts_failed)} posts failed: {one.posts_failed[0]}")
        if one.lost:
            found.append(f"{one.lost:,} clients lost")
        return found
    allowed = 0 if kill.kind == "hub" else seen.held_by_killed
    if kill.kind == "supervisor" and kill.is_new:
        allowed += BATCH_CONNECTIONS * workers
    if one.lost > allowed and seen.killed:
        found.append(f"{one.lost:,} clients lost, and the killed side had {allowed:,}")
    return found


def _run_origin(listener: socket, keep_alive_s: int, lifeline: Connection) -> None:
    Origin(listener, keep_alive_s, lifeline).run()
