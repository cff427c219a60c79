"""The supervisor with real processes. The children are stand-ins that do one thing each."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gripproxy import logs
from gripproxy.child import ChildContext, ChildMain
from gripproxy.errors import ConfigError
from gripproxy.log_levels import LogLevels
from gripproxy.scoreboard import Field, ProcessState, Scoreboard
from gripproxy.settings import Settings
from gripproxy.supervisor.run_directory import InstanceLock
from gripproxy.supervisor.supervisor import Supervisor
from tests.integration.deadline import wait_until
from tests.integration.readiness import is_readable

pytestmark = pytest.mark.gripproxy_only

HUB, WORKER_0, WORKER_1 = range(3)  # rows


def serve(_settings: Settings, context: ChildContext, on_reload: Callable[[], None] | None = None) -> None:
    """Be a well-behaved child: ready, a heartbeat, and an end at SIGTERM or when the supervisor is gone."""
    signal.signal(signal.SIGTERM, lambda *_: note(context, "stopped") or sys.exit(0))
    if on_reload:
        signal.signal(signal.SIGHUP, lambda *_: on_reload())
    context.report_ready()
    while True:
        context.row[Field.HEARTBEAT_MS] = int(time.monotonic() * 1000)
        if is_readable(context.lifeline_fd, 0.1):
            note(context, "orphaned")
            return


def note(context: ChildContext, text: str) -> None:
    """Leave a line for the test. One write, so that lines of several processes keep their order."""
    fd = os.open(f"{os.environ['NOTES']}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{context.name}: {text}\n".encode())
    os.close(fd)


def notes(folder: Path) -> list[str]:
    path = folder / "notes"
    return path.read_text().splitlines() if path.exists() else []


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that nobody has reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()


class RunningSupervisor:
    """A supervisor in a process of its own, forked from the test."""

    def __init__(self, folder: Path, hub_main: ChildMain, worker_main: ChildMain) -> None:
        self.folder = folder
        self.settings = Settings(rundir=str(folder), workers=2)
        self.scoreboard = Scoreboard(2)
        self.log_path = folder / "log"
        self._status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            self._be_supervisor(hub_main, worker_main)

    def _be_supervisor(self, hub_main: ChildMain, worker_main: ChildMain) -> None:
        status = 99
        try:
            os.environ["NOTES"] = str(self.folder / "notes")
            logs.set_up(LogLevels.all(3), str(self.log_path))
            lock = InstanceLock(self.settings)
            lock.acquire()
            status = Supervisor(self.settings, hub_main, worker_main, self.scoreboard).run()
            lock.close()
        finally:
            os._exit(status)

    def log(self) -> str:
        return self.log_path.read_text() if self.log_path.exists() else ""

    def wait_for_log(self, text: str, count: int = 1) -> None:
        wait_until(lambda: self.log().count(text) >= count, f"{text!r} in the log, which is\n{self.log()}")

    def child_pid(self, row: int) -> int:
        return self.scoreboard.row(row)[Field.PID]

    def child_pids(self) -> list[int]:
        return [self.child_pid(row) for row in (HUB, WORKER_0, WORKER_1)]

    def is_ready(self, row: int) -> bool:
        return self.scoreboard.row(row)[Field.STATE] == ProcessState.READY

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait_exit(self) -> int:
        """Wait for the end; give the exit status, or minus the signal."""

        def reap() -> bool:
            pid, wait_status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(wait_status)
            return self._status is not None

        if self._status is None:
            wait_until(reap, f"the supervisor ends; its log is\n{self.log()}")
        assert self._status is not None
        return self._status

    def clean_up(self) -> None:
        for pid in [*self.child_pids(), self.pid] if self._status is None else self.child_pids():
            if pid and is_alive(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self._status is None:
            self.wait_exit()


StartSupervisor = Callable[..., RunningSupervisor]


@pytest.fixture
def start(short_path: Path) -> Iterator[StartSupervisor]:
    """Give a function that starts a supervisor with these mains; all of them end with the test."""
    running: list[RunningSupervisor] = []

    def start_supervisor(hub_main: ChildMain = serve, worker_main: ChildMain = serve) -> RunningSupervisor:
        running.append(RunningSupervisor(short_path, hub_main, worker_main))
        return running[-1]

    yield start_supervisor
    for supervisor in running:
        supervisor.clean_up()


def test_all_children_run_under_their_names(start: StartSupervisor) -> None:
    """`ps` says who is who."""
    supervisor = start()
    supervisor.wait_for_log("[supervisor] ready")
    assert title(supervisor.pid) == "gripproxy: supervisor"
    assert [title(pid) for pid in supervisor.child_pids()] == [
        "gripproxy: hub",
        "gripproxy: worker 0",
        "gripproxy: worker 1",
    ]


def test_supervisor_has_one_thread_and_few_descriptors(start: StartSupervisor) -> None:
    """Forking from it must stay safe for as long as it runs, also after children came and went."""
    supervisor = start()
    supervisor.wait_for_log("[supervisor] ready")
    fds_count = len(os.listdir(f"/proc/{supervisor.pid}/fd"))
    for turn in range(1, 4):
        os.kill(supervisor.child_pid(WORKER_1), signal.SIGKILL)
        supervisor.wait_for_log("worker 1 is ready again", turn)
    assert len(os.listdir(f"/proc/{supervisor.pid}/task")) == 1
    assert len(os.listdir(f"/proc/{supervisor.pid}/fd")) <= fds_count


def test_stop_ends_the_workers_before_the_hub(start: StartSupervisor, short_path: Path) -> None:
    """A worker that finishes its last requests needs the hub."""
    supervisor = start()
    supervisor.wait_for_log("[supervisor] ready")
    supervisor.signal(signal.SIGTERM)
    assert supervisor.wait_exit() == 0
    assert sorted(notes(short_path)[:2]) == ["worker 0: stopped", "worker 1: stopped"]
    assert notes(short_path)[2] == "hub: stopped"
    assert "stopping..." in supervisor.log()
    assert not (short_path / "pushpin-gripproxy.pid").exists()


def test_interrupt_of_the_whole_group_stops_in_order_too(start: StartSupervisor, short_path: Path) -> None:
    """A terminal sends Ctrl-C to the children as well; they must leave it to the supervisor."""
    supervisor = start()
    supervisor.wait_for_log("[supervisor] ready")
    for pid in [*supervisor.child_pids(), supervisor.pid]:
        os.kill(pid, signal.SIGINT)
    assert supervisor.wait_exit() == 0
    assert notes(short_path)[2] == "hub: stopped"


def deaf(settings: Settings, context: ChildContext) -> None:
    """Serve, but take no notice of SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    serve(settings, context)


def test_second_signal_kills_at_once(start: StartSupervisor) -> None:
    """Nobody has to wait for a worker that does not listen."""
    supervisor = start(worker_main=deaf)
    supervisor.wait_for_log("[supervisor] ready")
    supervisor.signal(signal.SIGTERM)
    supervisor.wait_for_log("stopping...")
    supervisor.signal(signal.SIGTERM)
    assert supervisor.wait_exit() == 0
    assert "asked again to stop; killing hub, worker 0, worker 1" in supervisor.log()
    assert not any(is_alive(pid) for pid in supervisor.child_pids())


def test_child_that_does_not_stop_is_killed(start: StartSupervisor) -> None:
    """The stop ends in any case."""
    supervisor = start(hub_main=deaf)
    supervisor.wait_for_log("[supervisor] ready")
    supervisor.signal(signal.SIGTERM)
    assert supervisor.wait_exit() == 0
    assert "not stopped within 4 s; killing hub" in supervisor.log()


def test_killed_worker_is_replaced_and_the_others_stay(start: StartSupervisor) -> None:
    """Only the clients of the killed worker are cut."""
    supervisor = start()
    supervisor.wait_for_log("[supervisor] ready")
    before = supervisor.child_pids()
    os.kill(before[WORKER_0], signal.SIGKILL)
    supervisor.wait_for_log("worker 0 is gone: killed by SIGKILL; starting a new one now")
    supervisor.wait_for_log("worker 0 is ready again")
    after = supervisor.child_pids()
    assert after[WORKER_0] != before[WORKER_0] and is_alive(after[WORKER_0])
    assert (after[HUB], after[WORKER_1]) == (before[HUB], before[WORKER_1])
    assert supervisor.scoreboard.row(WORKER_0)[Field.RESTARTS] == 1


def crash_after_ready(_settings: Settings, context: ChildContext) -> None:
    """Serve for an instant."""
    context.report_ready()
    raise ZeroDivisionError("worker is broken")


def test_crash_storm_is_slowed_down_and_explained(start: StartSupervisor) -> None:
    """The traceback is in the log, and the restarts get rarer."""
    supervisor = start(worker_main=crash_after_ready)
    supervisor.wait_for_log("starting a new one now")
    supervisor.wait_for_log("starting a new one in 0.1 s")
    supervisor.wait_for_log("starting a new one in 0.4 s")
    assert "ZeroDivisionError: worker is broken" in supervisor.log()
    assert "is gone: exit status 1" in supervisor.log()
    assert is_alive(supervisor.child_pid(HUB))
    supervisor.signal(signal.SIGTERM)
    assert supervisor.wait_exit() == 0


def refuse(_settings: Settings, context: ChildContext) -> None:
    """Fail as a hub does whose port is taken."""
    raise ConfigError("cannot listen on 127.0.0.1:5561: Address already in use")


def break_down(_settings: Settings, _context: ChildContext) -> None:
    """Fail for a reason that nobody has foreseen."""
    raise KeyError("surprise")


def vanish(_settings: Settings, _context: ChildContext) -> None:
    """End without a word."""
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("hub_main", "reason"),
    [
        (refuse, "hub cannot start: cannot listen on 127.0.0.1:5561: Address already in use"),
        (break_down, "hub cannot start: KeyError: 'surprise'"),
        (vanish, "hub cannot start: killed by SIGKILL before it was ready"),
    ],
)
def test_child_that_cannot_start_ends_all_with_its_reason(
    start: StartSupervisor, hub_main: ChildMain, reason: str
) -> None:
    """One line says why, the exit status says that."""
    supervisor = start(hub_main=hub_main)
    assert supervisor.wait_exit() == 1
    assert reason in supervisor.log()
    assert "Traceback" not in supervisor.log() or hub_main is break_down
    assert not any(is_alive(pid) for pid in supervisor.child_pids())


def hang(_settings: Settings, context: ChildContext) -> None:
    """Get ready with a heartbeat of long ago, and do nothing more. The second life is a good one."""
    if context.row[Field.RESTARTS] == 0 and context.index == 0:
        context.report_ready()
        time.sleep(3600)
    serve(_settings, context)


def test_stuck_worker_is_killed_and_replaced(start: StartSupervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker that makes no progress holds up the bus."""
    monkeypatch.setattr("gripproxy.supervisor.policy.HEARTBEAT_MAX_S", 1.0)
    supervisor = start(worker_main=hang)
    supervisor.wait_for_log("worker 0: no sign of life for")
    supervisor.wait_for_log("worker 0 is ready again")
    assert supervisor.is_ready(WORKER_0)
    assert "worker 1: no sign of life" not in supervisor.log()


def test_children_end_when_the_supervisor_is_killed(start: StartSupervisor, short_path: Path) -> None:
    """Orphans would keep the ports, and nobody would replace them."""
    supervisor = start()
    supervisor.wait_for_log("[supervisor] ready")
    pids = supervisor.child_pids()
    supervisor.signal(signal.SIGKILL)
    assert supervisor.wait_exit() == -signal.SIGKILL
    wait_until(lambda: not any(is_alive(pid) for pid in pids), "all children are gone")
    assert sorted(notes(short_path)) == ["hub: orphaned", "worker 0: orphaned", "worker 1: orphaned"]


def test_new_instance_waits_for_the_orphans_of_a_killed_one(start: StartSupervisor) -> None:
    """systemd starts the next one in the same instant; it must not fail on a port that is still taken."""
    first = start()
    first.wait_for_log("[supervisor] ready")
    orphans = first.child_pids()
    first.signal(signal.SIGKILL)
    first.wait_exit()
    second = start()
    second.wait_for_log("[supervisor] ready", 2)
    assert not any(is_alive(pid) for pid in orphans)


def count_reloads(settings: Settings, context: ChildContext) -> None:
    """Serve and note every reload."""
    serve(settings, context, lambda: note(context, "reloaded"))


def test_hangup_reaches_every_worker(start: StartSupervisor, short_path: Path) -> None:
    """They take what was read again; nobody ends, not even a hub that does not listen."""
    supervisor = start(worker_main=count_reloads)
    supervisor.wait_for_log("[supervisor] ready")
    pids = supervisor.child_pids()
    supervisor.signal(signal.SIGHUP)
    wait_until(lambda: len(notes(short_path)) >= 2, "both workers reload")
    assert sorted(notes(short_path)) == ["worker 0: reloaded", "worker 1: reloaded"]
    assert "reloading" in supervisor.log()
    assert supervisor.child_pids() == pids and all(is_alive(pid) for pid in pids)


def test_hangup_reopens_the_log(start: StartSupervisor) -> None:
    """logrotate renames the file and sends SIGHUP."""
    supervisor = start()
    supervisor.wait_for_log("[supervisor] ready")
    supervisor.log_path.rename(supervisor.log_path.with_suffix(".1"))
    supervisor.signal(signal.SIGHUP)
    supervisor.wait_for_log("reloading")
    assert "[supervisor] ready" not in supervisor.log()
