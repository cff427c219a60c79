"""What the new supervisor makes of what the old one says."""

import errno
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gripproxy.scoreboard import Scoreboard
from gripproxy.settings import Settings
from gripproxy.supervisor.conversation import Conversation
from gripproxy.supervisor.elder import Elder, Legacy
from gripproxy.supervisor.estate import Estate
from gripproxy.supervisor.inheritance import Inheritance
from gripproxy.supervisor.notify import Notifier
from gripproxy.supervisor.policy import Event, OldSideGone, OldSideOpen, ReloadAsked, StopAsked, UpgradeOff
from gripproxy.supervisor.record import Record
from gripproxy.supervisor.run_directory import InstanceLock
from gripproxy.supervisor.service import Service


class Bench:
    """A new version that has the lock's descriptor already, and the old one's end of the socket."""

    def __init__(self, folder: Path) -> None:
        settings = Settings(rundir=str(folder), generation=1)
        self.old_lock = InstanceLock(settings)
        self.old_lock.acquire()
        Path(self.old_lock.path).write_text("77\n")
        self.lock = InstanceLock(settings, os.dup(self.old_lock.fd))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.old = Conversation(ours)
        elder = Elder(Conversation(theirs), -1)
        legacy = Legacy(generation=0, workers_count=2, pid=77, lock_path=self.lock.path, lock_fd=self.lock.fd)
        elder.pid = legacy.pid
        self.inheritance = Inheritance(settings, elder, legacy, Estate(program=[], lock=self.lock))
        self.record = Record(settings)
        self.service = Service(Notifier(None), Scoreboard(1))
        self.service.is_main = False

    def look(self) -> list[Event]:
        return self.inheritance.look(self.record, self.service)

    def owner(self) -> int:
        return int(Path(self.lock.path).read_text())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])
    bench = Bench(tmp_path)
    yield bench
    bench.old.close()
    bench.look()
    bench.lock.close()
    bench.old_lock.close()
    while signal.sigtimedwait([signal.SIGIO], 0) is not None:
        pass
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_children_are_told_of_the_generation_before(bench: Bench) -> None:
    """They look for its sockets."""
    assert bench.inheritance.takeover.generation == 0
    assert len(bench.inheritance.takeover.workers) == 2


def test_words_become_events(bench: Bench) -> None:
    """The policy knows no sockets."""
    bench.old.say("go")
    bench.old.say("reload")
    bench.old.say("unheard of")
    bench.old.say("off", reason="late")
    assert bench.look() == [OldSideOpen(), ReloadAsked(), UpgradeOff("late")]
    bench.old.say("stop")
    assert bench.look() == [StopAsked()]


def test_ownership_comes_with_a_word(bench: Bench) -> None:
    """Until then a failure must leave everything to the old version."""
    assert (bench.owner(), bench.service.is_main, bench.inheritance.elder_pid) == (77, False, 77)
    bench.old.say("yours", requests_count=3, steps=["a"])
    assert bench.look() == []
    assert (bench.owner(), bench.service.is_main) == (os.getpid(), True)
    assert (bench.record.state.requests_count, bench.record.state.steps) == (3, ["a"])
    bench.old.say("left", clients=5)
    bench.look()
    assert (bench.record.state.elder_pid, bench.record.state.elder_clients) == (77, 5)
    bench.old.close()
    assert bench.look() == []
    assert bench.inheritance.elder_pid is None and bench.inheritance.fds == []
    assert bench.record.state.elder_pid is None


def test_death_of_the_old_supervisor_makes_this_the_owner(bench: Bench) -> None:
    """Nobody else is left to serve."""
    bench.old.close()
    assert bench.look() == [OldSideGone()]
    assert (bench.owner(), bench.service.is_main) == (os.getpid(), True)
    assert bench.look() == []


def test_full_disk_ends_nobody(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clients have moved by then: the file that names this process is not worth them."""

    def write(fd: int, text: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", write)
    bench.old.say("yours", requests_count=1, steps=[])
    assert bench.look() == []
    assert bench.service.is_main


def test_end_of_the_old_one_means_nothing_to_a_version_that_was_called_off(bench: Bench) -> None:
    """It ends as well."""
    bench.old.say("off", reason="no")
    bench.old.close()
    assert bench.look() == [UpgradeOff("no")]
    assert bench.owner() == 77


def test_progress_is_not_told_all_the_time(bench: Bench) -> None:
    """The old supervisor writes a file for each."""
    for now in (0.0, 0.1, 0.4, 0.6):
        bench.inheritance.tell_progress(int(now * 10), int(now * 2), now)
    lines = ["0 clients have moved", "6 clients have moved, 1 workers have theirs"]
    assert [said.text("text") for said in bench.old.hear()] == lines
