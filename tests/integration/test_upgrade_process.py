"""Upgrades of real processes: the real supervisor, and children that only say what they are told.

Whatever is wrong with a new version, the old one serves on, and can be upgraded again.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gripproxy import __version__, upgrade_command
from gripproxy.supervisor.run_directory import is_alive
from gripproxy.upgrade_state import UpgradeState, read_state
from tests.integration.deadline import wait_until
from tests.integration.server import SOURCE_ROOT, source_env

pytestmark = pytest.mark.gripproxy_only

PROGRAM = Path(__file__).with_name("stand_in_program.py")
CHILDREN = ("hub", "worker 0", "worker 1")


class Instance:
    """An instance of the stand-in program, through all of its versions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notify_path = folder / "notify"
        self.pid_path = folder / "pushpin-gripproxy.pid"
        self.config_path = folder / "g.conf"
        self.config_path.write_text(
            f"[global]\nrundir={folder}\n[runner]\nhttp_port=7999\n[proxy]\nroutesfile=routes\n"
        )
        self.install("")
        self.first: subprocess.Popen[bytes] | None = None

    def install(self, version: str) -> None:
        """Replace the program on disk."""
        (self.folder / "version").write_text(version)

    def start(self, patience_s: float = 60.0) -> int:
        """Start the program that is on disk; give its process when all serve.

        Args:
            patience_s: how long it waits for a new version.
        """
        program = [sys.executable, str(PROGRAM), str(self.folder)]
        env = {**os.environ, **source_env(), "NOTIFY_SOCKET": str(self.notify_path)}
        env["PATIENCE_S"] = f"{patience_s:g}"
        env["PYTHONPATH"] = f"{env['PYTHONPATH']}{os.pathsep}{SOURCE_ROOT}"
        with open(self.folder / "stderr", "ab") as stderr:
            self.first = subprocess.Popen(program, env=env, stderr=stderr)
        self.wait_for_log("[supervisor] ready")
        return self.first.pid

    def upgrade(self, *options: str) -> int:
        return upgrade_command.main(["--config", str(self.config_path), "--timeout", "60", *options])

    def ask(self, pid: int) -> None:
        """Do what the command does, and wait for nothing."""
        os.kill(pid, signal.SIGUSR2)

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def wait_for_log(self, text: str, count: int = 1) -> None:
        wait_until(lambda: self.log().count(text) >= count, f"{text!r} in the log, which is\n{self.log()}")

    def notes(self) -> list[str]:
        path = self.folder / "notes"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for_note(self, line: str) -> None:
        wait_until(lambda: line in self.notes(), f"{line!r} in {self.notes()}\n{self.log()}")

    def pid_of(self, name: str) -> int:
        """Give the last process of this name, such as "1 hub"."""
        prefix = f"{name}: runs as "
        lines = [line for line in self.notes() if line.startswith(prefix)]
        return int(lines[-1].removeprefix(prefix))

    def pids(self) -> list[int]:
        return [int(line.rpartition(" ")[2]) for line in self.notes() if ": runs as " in line]

    def owner(self) -> int:
        """Give the process that the lock file names."""
        return int(self.pid_path.read_text())

    def state(self) -> UpgradeState:
        state = read_state(str(self.folder / "pushpin-gripproxy.state"))
        assert state is not None
        return state

    def are_gone(self, generation: int) -> bool:
        """Tell whether none of a generation's processes is there any more."""
        lines = [line for line in self.notes() if re.match(rf"{generation} .*: runs as ", line)]
        return not any(is_alive(int(line.rpartition(" ")[2])) for line in lines)

    def reap(self) -> int | None:
        """Give the first program's exit status, if it has ended."""
        assert self.first is not None
        return self.first.poll()

    def clean_up(self) -> None:
        for pid in self.pids():
            if is_alive(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self.first is not None:
            self.first.kill()
            self.first.wait()
        wait_until(lambda: not any(map(is_alive, self.pids())), "all processes are gone")


@pytest.fixture
def instance(short_path: Path) -> Iterator[Instance]:
    instance = Instance(short_path)
    yield instance
    instance.clean_up()


def test_new_version_takes_over_and_the_old_one_ends(instance: Instance, capsys: pytest.CaptureFixture[str]) -> None:
    """The lock, the state and the name in the lock file are the new one's, and the old one has removed nothing."""
    old_pid = instance.start()
    assert instance.upgrade() == 0
    new_pid = instance.pid_of("1 supervisor")
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith("0 clients have moved")] == [  # seen only if it takes long
        "starting the new version",
        f"version {__version__} has read its configuration and starts its processes",
        "its processes are ready; the old ones open their hand-over sockets",
        "moving the hub",
        "its hub has taken over; moving the clients",
        "the new version serves",
        f"process {new_pid} (version {__version__}) has taken over",
        "the old processes are gone",
    ]
    wait_until(lambda: instance.reap() is not None, "the old supervisor has ended")
    assert instance.reap() == 0
    assert (instance.owner(), instance.are_gone(0)) == (new_pid, True)
    assert old_pid != new_pid
    state = instance.state()
    assert (state.pid, state.outcome) == (new_pid, True)
    wait_until(lambda: instance.state().elder_pid is None, "the new supervisor knows that the old one is gone")
    assert all(is_alive(instance.pid_of(f"1 {name}")) for name in CHILDREN)
    os.kill(new_pid, signal.SIGTERM)
    wait_until(lambda: instance.are_gone(1), "the new version stops like any other")
    assert not instance.pid_path.exists()
    assert not (instance.folder / "pushpin-gripproxy.state").exists()


def test_hub_moves_before_the_workers_and_the_old_side_ends_after_both(instance: Instance) -> None:
    """A worker must never meet a hub that is about to leave."""
    instance.start()
    assert instance.upgrade() == 0
    notes = [line for line in instance.notes() if "runs as" not in line]
    assert sorted(notes[:3]) == ["0 hub: listens", "0 worker 0: listens", "0 worker 1: listens"]
    assert notes[3] == "1 hub: takes over 0"
    assert sorted(notes[4:6]) == ["1 worker 0: takes over 0", "1 worker 1: takes over 0"]
    assert notes[-2:] == ["0 hub: stops", "0 hub: stopped"]


def test_upgrade_after_upgrade(instance: Instance) -> None:
    """The third version has the first one's socket names."""
    instance.start()
    for _ in range(3):
        assert instance.upgrade("--quiet") == 0
    assert instance.owner() == instance.pid_of("3 supervisor")
    assert all(instance.are_gone(generation) for generation in (0, 1, 2))


FAULTS = [
    ("broken", "exit status 1: ImportError: half of it is not installed"),
    ("bad-config", "g.conf:3: workers=many: not a whole number"),
    ("moved", "is of another instance now"),
    ("foreign", "speaks version 99 of the hand-over, and this one 1; restart instead"),
    ("silent", "not ready within 2 s"),
    ("hub-fails", "hub cannot start: the port is taken"),
    ("never-ready", "not ready within 2 s"),
]
FAULTS_WHILE_TAKING = [
    ("worker-dies hub-never-takes", "is gone: killed by SIGKILL"),
    ("hub-dies-taking", "hub is gone: killed by SIGKILL"),
    ("hub-never-takes", "not ready within 2 s"),
]


@pytest.mark.parametrize(("version", "reason"), FAULTS + FAULTS_WHILE_TAKING)
def test_version_that_fails_leaves_the_old_one_as_it_was(
    instance: Instance, capsys: pytest.CaptureFixture[str], version: str, reason: str
) -> None:
    """Whoever asked hears why, and the next version can be installed."""
    is_slow = reason.startswith("not ready")
    old_pid = instance.start(patience_s=2.0 if is_slow else 60.0)
    before = [instance.pid_of(f"0 {name}") for name in CHILDREN]
    instance.install(version)
    assert instance.upgrade() == upgrade_command.FAILED_STATUS
    error = capsys.readouterr().err
    assert reason in error
    assert f"process {old_pid} (version {__version__}) serves on" in error
    assert [instance.pid_of(f"0 {name}") for name in CHILDREN] == before
    assert instance.owner() == old_pid
    wait_until(lambda: instance.are_gone(1), "nothing is left of the new version")
    told = [line for line in instance.notes() if line.startswith("0 ") and "runs as" not in line]
    if (version, reason) in FAULTS:
        assert told == []
    if not is_slow:
        instance.install("")
        assert instance.upgrade() == 0


def test_new_version_that_is_killed_in_the_middle_leaves_the_rest_to_the_old_one(instance: Instance) -> None:
    """Its hub has given everything away by then, so it gets a new one; its workers go on."""
    old_pid = instance.start()
    hub_pid = instance.pid_of("0 hub")
    instance.install("workers-never-take")
    instance.ask(old_pid)
    instance.wait_for_note("1 worker 1: takes over 0")
    os.kill(instance.pid_of("1 supervisor"), signal.SIGKILL)
    instance.wait_for_log("this version serves on")
    instance.wait_for_note("0 worker 0: goes on")
    instance.wait_for_note("0 worker 1: goes on")
    instance.wait_for_log("hub is ready again")
    assert not is_alive(hub_pid)
    assert instance.owner() == old_pid
    wait_until(lambda: instance.are_gone(1), "the new version's children have ended, too")
    instance.install("")
    assert instance.upgrade() == 0


def test_new_worker_that_dies_while_it_takes_over_is_replaced(instance: Instance) -> None:
    """The rest of its clients is still with the old one."""
    instance.start()
    instance.install("worker-dies-taking")
    assert instance.upgrade() == 0
    assert instance.notes().count("1 worker 0: takes over 0") == 2


def test_old_worker_that_dies_meanwhile_is_not_replaced(instance: Instance) -> None:
    """There is nothing left to take over from it."""
    old_pid = instance.start()
    instance.install("workers-never-take")
    instance.ask(old_pid)
    instance.wait_for_note("1 worker 1: takes over 0")
    os.kill(instance.pid_of("0 worker 0"), signal.SIGKILL)
    instance.wait_for_log("worker 0 is gone: killed by SIGKILL; not replaced while a new version takes over")
    os.kill(instance.pid_of("1 supervisor"), signal.SIGKILL)
    instance.wait_for_log("worker 0 is ready again")


@pytest.mark.parametrize("version", ["never-ready", "hub-never-takes", "workers-never-take"])
def test_old_supervisor_that_is_killed_leaves_all_to_the_new_one(instance: Instance, version: str) -> None:
    """Its children end with it; somebody has to serve."""
    old_pid = instance.start()
    instance.install(version)
    instance.ask(old_pid)
    if version == "never-ready":
        instance.wait_for_note("1 worker 1: runs as " + str(instance_pid(instance, "1 worker 1")))
    else:
        instance.wait_for_note("1 hub: takes over 0")
    os.kill(old_pid, signal.SIGKILL)
    new_pid = instance.pid_of("1 supervisor")
    wait_until(lambda: instance.owner() == new_pid, "the new supervisor owns the instance")
    wait_until(lambda: instance.reap() is not None and instance.are_gone(0), "the old processes have ended")
    assert is_alive(new_pid)
    instance.wait_for_log("going on without it")


def instance_pid(instance: Instance, name: str) -> int:
    wait_until(lambda: any(line.startswith(f"{name}: runs as ") for line in instance.notes()), f"{name} runs")
    return instance.pid_of(name)


def test_stop_in_the_middle_ends_both_versions(instance: Instance) -> None:
    """Nobody would ever stop the new one otherwise."""
    old_pid = instance.start()
    instance.install("workers-never-take")
    instance.ask(old_pid)
    instance.wait_for_note("1 worker 1: takes over 0")
    os.kill(old_pid, signal.SIGTERM)
    wait_until(lambda: instance.reap() is not None, "the old version ends")
    assert instance.reap() == 0
    wait_until(lambda: instance.are_gone(0) and instance.are_gone(1), "all are gone")
    assert "1 worker 0: stopped" in instance.notes()
    assert not instance.pid_path.exists()


def test_second_request_during_an_upgrade_is_refused(instance: Instance, capsys: pytest.CaptureFixture[str]) -> None:
    """Two upgrades at once would be three versions."""
    old_pid = instance.start()
    instance.install("workers-never-take")
    instance.ask(old_pid)
    instance.wait_for_note("1 worker 1: takes over 0")
    assert instance.upgrade() == upgrade_command.FAILED_STATUS
    assert "is under way already" in capsys.readouterr().err
    instance.ask(old_pid)
    instance.wait_for_log("an upgrade is under way already")


def test_next_upgrade_waits_for_the_end_of_the_last_ones_old_side(
    instance: Instance, capsys: pytest.CaptureFixture[str]
) -> None:
    """The version after the next has its socket names again."""
    instance.install("slow")
    old_pid = instance.start()
    instance.install("")
    instance.ask(old_pid)
    instance.wait_for_note("0 worker 0: stops")
    wait_until(lambda: instance.owner() != old_pid, "the new version owns the instance")
    assert instance.upgrade() == upgrade_command.FAILED_STATUS
    assert f"are still with process {old_pid}" in capsys.readouterr().err
    wait_until(lambda: instance.reap() is not None, "the old version has ended")
    wait_until(lambda: instance.upgrade() == 0, "an upgrade is possible again")


def test_next_start_does_not_wait_for_the_old_side_of_a_version_that_was_killed(instance: Instance) -> None:
    """The old processes, which are still ending, share the lock; whoever starts the service again waits for it."""
    instance.install("slow")
    old_pid = instance.start()
    instance.install("")
    instance.ask(old_pid)
    wait_until(lambda: instance.owner() != old_pid, "the new version owns the instance")
    os.kill(instance.owner(), signal.SIGKILL)
    wait_until(lambda: instance.reap() is not None, "the old version has ended, too")
    (instance.folder / "log").unlink()
    assert instance.start() == instance.owner()


def test_service_manager_follows_the_main_process(instance: Instance) -> None:
    """It would restart the service when the old process ends, and it believes the main process only."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(instance.notify_path))
        manager.settimeout(30.0)
        manager.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        old_pid = instance.start()
        assert instance.upgrade() == 0
        new_pid = instance.pid_of("1 supervisor")
        told: list[tuple[int, str]] = []
        while (new_pid, "READY=1") not in told:
            text, ancillary, _, _ = manager.recvmsg(4096, 256)
            sender = int.from_bytes(ancillary[0][2][:4], sys.byteorder)
            told += [(sender, line) for line in text.decode().split("\n") if not line.startswith("STATUS=")]
    assert told == [(old_pid, "READY=1"), (old_pid, f"MAINPID={new_pid}"), (new_pid, "READY=1")]


def test_instance_that_does_not_run(instance: Instance, capsys: pytest.CaptureFixture[str]) -> None:
    """A script can tell it from an upgrade that failed."""
    assert instance.upgrade() == upgrade_command.NOT_RUNNING_STATUS
    instance.pid_path.write_text("999999999\n")
    assert instance.upgrade() == upgrade_command.NOT_RUNNING_STATUS
    assert "no instance runs here" in capsys.readouterr().err


def test_instance_that_cannot_hand_over_is_left_alone(instance: Instance, capsys: pytest.CaptureFixture[str]) -> None:
    """The signal would end a version that does not know it."""
    pid = instance.start()
    (instance.folder / "pushpin-gripproxy.state").unlink()
    assert instance.upgrade() == upgrade_command.TOO_OLD_STATUS
    assert f"process {pid} is of a version that cannot hand over; restart it" in capsys.readouterr().err
    assert is_alive(pid)
