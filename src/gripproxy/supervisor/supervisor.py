"""The supervisor process: takes signals and exits, asks the policy, does what it says.

It has no event loop, no thread and no client socket, so that forking from it is always safe. Everything waits in one
`sigtimedwait`: a child's exit is SIGCHLD and a child's report is SIGIO from its pipe.
"""

import contextlib
import logging
import os
import signal
import time
from collections import deque

import setproctitle

from gripproxy import logs
from gripproxy.child import ChildMain
from gripproxy.handover import UPGRADE_SIGNAL
from gripproxy.scoreboard import HUB_ROW, Field, ProcessState, Scoreboard
from gripproxy.settings import Settings
from gripproxy.supervisor.estate import Estate
from gripproxy.supervisor.inheritance import Inheritance
from gripproxy.supervisor.notify import Notifier
from gripproxy.supervisor.policy import (
    STOP_MAX_S,
    Action,
    ChildExited,
    ChildReady,
    ChildSucceeded,
    End,
    Event,
    Log,
    Phase,
    Policy,
    ReadAgain,
    ReloadAsked,
    Reloaded,
    RetireAsked,
    Send,
    Start,
    StopAsked,
    Tell,
    Ticked,
)
from gripproxy.supervisor.process import WATCHED_SIGNALS, ChildPlan, ChildProcess, describe_exit, fork_child
from gripproxy.supervisor.record import Record
from gripproxy.supervisor.reload import Read, Reload
from gripproxy.supervisor.routes_watch import RoutesWatch
from gripproxy.supervisor.service import Service
from gripproxy.supervisor.signal_wait import wait_signal
from gripproxy.supervisor.upgrade import Upgrade

# What a process that is gone has no more of. Its counters stay.
GAUGES = (
    Field.CONNECTIONS,
    Field.HELD_STREAMS,
    Field.HELD_RESPONSES,
    Field.HELD_WEBSOCKETS,
    Field.CHANNELS,
    Field.MEMORY_REFUSED,
    Field.RSS_BYTES,
    Field.SUCCEEDED,
)

log = logging.getLogger(__name__)


class Supervisor:
    """Runs one hub and `settings.workers` workers until it is asked to stop."""

    def __init__(
        self,
        settings: Settings,
        hub_main: ChildMain,
        worker_main: ChildMain,
        scoreboard: Scoreboard | None = None,
        read: Read | None = None,
        estate: Estate | None = None,
        inheritance: Inheritance | None = None,
    ) -> None:
        """Prepare it.

        Args:
            scoreboard: for `settings.workers` workers; made here unless the caller wants to look into it.
            read: reads again what the children are to use; without it these look for themselves.
            estate: what a new version gets in an upgrade; without it there are none.
            inheritance: this is the new version of one.
        """
        self._settings = settings
        self._scoreboard = scoreboard or Scoreboard(settings.workers)
        self._plans = [
            ChildPlan(
                name="hub" if row == HUB_ROW else f"worker {row - 1}",
                index=max(0, row - 1),
                row_index=row,
                main=hub_main if row == HUB_ROW else worker_main,
                settings=settings,
                scoreboard=self._scoreboard,
            )
            for row in range(settings.workers + 1)
        ]
        names = [plan.name for plan in self._plans]
        self._policy = Policy(names, settings.drain_timeout, is_takeover=inheritance is not None)
        self._processes: dict[int, ChildProcess] = {}  # by row
        self._started_rows: set[int] = set()
        self._events: deque[Event] = deque()
        self._watch = None if settings.routesfile is None else RoutesWatch(settings.routesfile)
        self._lifeline = os.pipe()
        self._reload = None if read is None else Reload(read, self._lifeline[1])
        self._record = Record(settings)
        self._service = Service(Notifier.from_environment(), self._scoreboard)
        self._inheritance = inheritance
        self._upgrade = None
        if estate is not None:
            self._upgrade = Upgrade(
                settings, self._policy, estate, self._record, self._service, self._apply, self._retire
            )
        self._status: int | None = None

    def run(self) -> int:
        """Start the children and stay until the last one is gone. Gives the exit status.

        Leaves the signals of WATCHED_SIGNALS blocked: unblocked, one that came late would end the process in the
        middle of its last steps.
        """
        setproctitle.setproctitle("gripproxy: supervisor")
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # inherited as ignored, it would hide how children end
        signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED_SIGNALS)
        if self._inheritance is not None:
            self._service.is_main = False
            self._inheritance.begin()
        elif self._upgrade is not None:
            self._record.own()
        self._apply(self._policy.start(time.monotonic()))
        while self._status is None:
            number = wait_signal(WATCHED_SIGNALS, self._wait_s(time.monotonic()))
            if number is not None:
                self._take_signal(number)
            self._take_reports()
            self._take_exits()
            if self._watch is not None and self._watch.is_reload_due(time.monotonic()):
                self._handle(ReloadAsked(is_file_changed=True))
            self._look_at_versions(time.monotonic())
            heartbeats_s = [self._heartbeat_s(row) for row in range(len(self._plans))]
            self._handle(Ticked(heartbeats_s))
            now = time.monotonic()
            is_reading = self._reload is not None and self._reload.is_under_way
            self._service.look(self._policy.phase, self._policy.is_well(heartbeats_s, now), now, is_reading)
        if self._reload is not None:
            self._reload.close()
        if self._upgrade is not None:
            self._upgrade.close(self._policy.drain_s + STOP_MAX_S)
        self._record.close()
        return self._status

    @property
    def heir_pid(self) -> int | None:
        """The supervisor that has taken over in an upgrade; None: nobody has."""
        return None if self._upgrade is None else self._upgrade.heir_pid

    def _wait_s(self, now: float) -> float:
        waits_s = [self._policy.wait_s(now), self._service.wait_s(now)]
        if self._watch is not None:
            waits_s.append(self._watch.wait_s(now))
        if self._upgrade is not None:
            waits_s.append(self._upgrade.wait_s())
        return min(waits_s)

    def _look_at_versions(self, now: float) -> None:
        """Go on with an upgrade: that of this version, or from the one before to this one."""
        if self._upgrade is not None:
            self._upgrade.look(now)
            self._upgrade.tell_left(self._scoreboard.total(Field.CONNECTIONS), now)
        if self._inheritance is None:
            return
        for event in self._inheritance.look(self._record, self._service):
            self._handle(event)
        if self._policy.phase in (Phase.TAKING_HUB, Phase.TAKING_WORKERS):
            for row, child in enumerate(self._policy.children):
                if self._scoreboard.row(row)[Field.SUCCEEDED] and child.is_running and not child.has_succeeded:
                    self._handle(ChildSucceeded(row))
            if self._policy.phase == Phase.TAKING_WORKERS:
                total = self._scoreboard.total
                self._inheritance.tell_progress(total(Field.TAKEN_OVER), total(Field.SUCCEEDED), now)

    def _retire(self) -> None:
        self._handle(RetireAsked())

    def _take_signal(self, number: signal.Signals) -> None:
        now = time.monotonic()
        if number in (signal.SIGTERM, signal.SIGINT):
            if self._upgrade is not None:
                self._upgrade.handle(StopAsked(), now)
            self._handle(StopAsked())
        elif number == signal.SIGHUP:
            logs.reopen()
            self._handle(ReloadAsked())
            if self._upgrade is not None:
                self._upgrade.tell_reload()
        elif number == UPGRADE_SIGNAL and self._upgrade is not None:
            self._upgrade.ask(None if self._inheritance is None else self._inheritance.elder_pid, now)
        elif number == UPGRADE_SIGNAL:
            log.warning("no upgrade: this process was not started as a program of its own")

    def _read_again(self, is_routes_only: bool) -> None:
        if not is_routes_only:
            self._service.begin_reload()
        if self._reload is None:
            self._events.append(Reloaded())
        else:
            self._reload.ask(self._settings, is_routes_only)

    def _use(self, settings: Settings | None) -> None:
        """Use what was read again from now on, here and in all children; None: nothing has changed."""
        if settings is None:
            return
        if settings.routesfile != self._settings.routesfile:
            self._watch = None if settings.routesfile is None else RoutesWatch(settings.routesfile)
        self._settings = settings
        self._policy.drain_s = settings.drain_timeout
        logs.use(settings.log_level, settings.log_format == "json")
        for plan in self._plans:
            plan.settings = settings
        self._handle(Reloaded())

    def _take_reports(self) -> None:
        for row, process in list(self._processes.items()):
            was_ready = process.is_ready
            process.read_report()
            if process.is_ready and not was_ready:
                self._handle(ChildReady(row))

    def _take_exits(self) -> None:
        """Reap every process that ended, also those that are not ours when this is process 1 of a container."""
        while True:
            try:
                pid, wait_status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            row = next((row for row, process in self._processes.items() if process.pid == pid), None)
            how = describe_exit(wait_status)
            if row is not None:
                self._take_exit(row, how)
            elif self._upgrade is not None and self._upgrade.take_exit(pid, how, time.monotonic()):
                self._note_successors_end()
            elif self._reload is not None:
                self._use(self._reload.take_exit(pid, wait_status))

    def _take_exit(self, row: int, how: str) -> None:
        self._take_reports()  # "ready" comes before the exit, also when both came between two signals
        process = self._processes.pop(row)
        process.close()
        cells = self._scoreboard.row(row)
        cells[Field.STATE] = ProcessState.DEAD
        for gauge in GAUGES:
            cells[gauge] = 0
        event = ChildExited(row, how, process.reason)
        if self._upgrade is not None:
            self._upgrade.handle(event, time.monotonic())
        self._handle(event)

    def _note_successors_end(self) -> None:
        """Make room for whoever is started next if the version that has taken over ends before this one has."""
        if self._upgrade is not None and self._upgrade.has_succeeded:
            log.warning("the new version is gone")
            self._handle(StopAsked())

    def _handle(self, event: Event) -> None:
        """Do what the policy says, and what it says to the events that come of it."""
        self._events.append(event)
        while self._events:
            self._apply(self._policy.handle(self._events.popleft(), time.monotonic()))

    def _apply(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Start):
                self._start(action.row)
            elif isinstance(action, Send):
                self._send(action)
            elif isinstance(action, Log):
                log.log(logs.LEVELS[action.level], action.text)
                if action.level == 0 and self._inheritance is not None and self._policy.phase > Phase.SERVING:
                    self._inheritance.fail(action.text)
            elif isinstance(action, Tell):
                if self._inheritance is not None:
                    self._inheritance.tell(action.word)
            elif isinstance(action, ReadAgain):
                self._read_again(action.is_routes_only)
            elif isinstance(action, End):
                self._status = action.status

    def _start(self, row: int) -> None:
        plan = self._plans[row]
        if row in self._started_rows:
            self._scoreboard.row(row)[Field.RESTARTS] += 1
        self._started_rows.add(row)
        others = [process.report_fd for process in self._processes.values() if process.report_fd is not None]
        others += [] if self._upgrade is None else self._upgrade.fds
        takeover = None
        if self._inheritance is not None:
            others += self._inheritance.fds
            takeover = self._inheritance.takeover if self._policy.takes_over(row) else None
        try:
            process = fork_child(plan, self._lifeline, others, takeover)
        except OSError as error:
            self._events.append(ChildExited(row, "not forked", f"cannot fork: {error.strerror}"))
            return
        self._processes[row] = process
        log.debug("%s is process %d", plan.name, process.pid)

    def _send(self, action: Send) -> None:
        for row in action.rows:
            process = self._processes.get(row)
            if process is not None:
                if action.signal_number == signal.SIGTERM:
                    self._scoreboard.row(row)[Field.STATE] = ProcessState.STOPPING
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, action.signal_number)

    def _heartbeat_s(self, row: int) -> float:
        return self._scoreboard.row(row)[Field.HEARTBEAT_MS] / 1000
