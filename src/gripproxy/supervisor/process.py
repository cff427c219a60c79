"""Fork one child, run its main function in it, and read what it reports."""

import gc
import logging
import os
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

import setproctitle

from gripproxy import logs
from gripproxy.allocator import keep_freed_memory
from gripproxy.child import READY_LINE, ChildContext, ChildMain
from gripproxy.errors import GripProxyError
from gripproxy.handover import CALL_OFF_SIGNAL, LISTEN_SIGNAL, UPGRADE_SIGNAL, Takeover
from gripproxy.scoreboard import Field, ProcessState, Scoreboard
from gripproxy.settings import Settings
from gripproxy.supervisor.signal_wait import signal_when_readable

CANNOT_START_STATUS = 3
CRASHED_STATUS = 1
REPORT_MAX_BYTES = 65_536

# The signals that the supervisor blocks and takes one by one.
WATCHED_SIGNALS = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    UPGRADE_SIGNAL,
    signal.SIGCHLD,
    signal.SIGIO,
    signal.SIGCONT,  # see `signal_wait`
)

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class ChildPlan:
    """What is needed to fork a child, also again when it died."""

    name: str
    index: int  # worker number from 0; 0 for the hub
    row_index: int
    main: ChildMain
    settings: Settings
    scoreboard: Scoreboard


@dataclass(slots=True)
class ChildProcess:
    """A forked child, seen from the supervisor."""

    pid: int
    report_fd: int | None  # None: it has said all it can say
    is_ready: bool = False
    reason: str | None = None

    def read_report(self) -> None:
        """Take in what the child has written so far; never blocks."""
        while self.report_fd is not None:
            try:
                text = os.read(self.report_fd, REPORT_MAX_BYTES)
            except BlockingIOError:
                return
            if not text:
                self.close()
            if text.startswith(READY_LINE):
                self.is_ready = True
                text = text.removeprefix(READY_LINE)
            if text:
                self.reason = text.decode(errors="replace").strip()

    def close(self) -> None:
        if self.report_fd is not None:
            os.close(self.report_fd)
            self.report_fd = None


def fork_child(
    plan: ChildPlan, lifeline: tuple[int, int], supervisor_fds: Iterable[int], takeover: Takeover | None = None
) -> ChildProcess:
    """Fork and run `plan.main` in the child.

    Args:
        lifeline: both ends of the pipe of which only the supervisor keeps the writing end.
        supervisor_fds: what the child must not keep, besides that end.
        takeover: the child takes the place of an old one.

    Raises:
        OSError: no more processes or descriptors.
    """
    report_read, report_write = os.pipe()
    signal_when_readable(report_read)
    row = plan.scoreboard.row(plan.row_index)
    row[Field.STATE] = ProcessState.STARTING
    row[Field.HEARTBEAT_MS] = row[Field.SUCCEEDED] = 0
    context = ChildContext(
        name=plan.name,
        index=plan.index,
        row_index=plan.row_index,
        scoreboard=plan.scoreboard,
        lifeline_fd=lifeline[0],
        report_fd=report_write,
        takeover=takeover,
    )
    gc.collect()
    gc.freeze()  # what exists now is never walked again, so its pages stay shared with the child
    sys.stdout.flush()
    try:
        pid = os.fork()
    except OSError:
        os.close(report_read)
        os.close(report_write)
        raise
    if pid == 0:
        _run_child(plan, context, (report_read, lifeline[1], *supervisor_fds))
    os.close(report_write)
    row[Field.PID] = pid
    return ChildProcess(pid, report_read)


def _run_child(plan: ChildPlan, context: ChildContext, foreign_fds: Iterable[int]) -> NoReturn:
    """Be the child: never returns into the supervisor's code, whatever happens."""
    status = CRASHED_STATUS
    try:
        for fd in foreign_fds:
            os.close(fd)
        setproctitle.setproctitle(f"gripproxy: {plan.name}")
        logs.begin_child(plan.name)
        keep_freed_memory()
        _reset_signals()
        status = _guard_main(plan, context)
    finally:
        logging.shutdown()
        os._exit(status)


def _guard_main(plan: ChildPlan, context: ChildContext) -> int:
    """Run the child's main function; give the exit status that says how it ended."""
    try:
        plan.main(plan.settings, context)
        return 0
    except SystemExit as request:
        return request.code if isinstance(request.code, int) else CRASHED_STATUS
    except Exception as error:  # the last frame of a process: whatever it is must be written down
        is_on_purpose = isinstance(error, (GripProxyError, OSError)) and bool(str(error))
        is_too_late = context.has_reported and context.takeover is None
        if is_too_late or not is_on_purpose:
            log.exception("%s failed", plan.name)
        if is_too_late:
            return CRASHED_STATUS
        context.report_failure(str(error) if is_on_purpose else f"{type(error).__name__}: {error}")
        return CANNOT_START_STATUS


def _reset_signals() -> None:
    """Give the child the signals as the system hands them out, but keep a terminal's from it.

    Ctrl-C and a hang-up go to the whole foreground group, and it is the supervisor who passes them on in order;
    and a reload, or a word about an upgrade, that comes before the child handles it must not end it.
    """
    for number in WATCHED_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGHUP, LISTEN_SIGNAL, CALL_OFF_SIGNAL):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED_SIGNALS)


def describe_exit(wait_status: int) -> str:
    """Put a status of `os.waitpid` in words: ``exit status 3``, ``killed by SIGKILL``."""
    code = os.waitstatus_to_exitcode(wait_status)
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
