"""The old supervisor's part with a real socket and file. With whole processes: integration/test_upgrade_process.py."""

import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gripproxy.handover import LISTEN_SIGNAL, handover_path
from gripproxy.scoreboard import Scoreboard
from gripproxy.settings import Settings
from gripproxy.supervisor.estate import Estate
from gripproxy.supervisor.notify import Notifier
from gripproxy.supervisor.policy import Action, ChildReady, Policy, Send
from gripproxy.supervisor.record import Record
from gripproxy.supervisor.run_directory import InstanceLock
from gripproxy.supervisor.service import Service
from gripproxy.supervisor.upgrade import Upgrade
from tests.integration.deadline import wait_until

# A new version that says all it has to say at once, and waits.
QUICK = """
import os, socket, sys
end = socket.socket(fileno=int(os.environ["GRIPPROXY_TAKEOVER"].split(":")[0]))
end.send(b'{"word": "hello", "version": 1, "program": "2.0"}')
data, _, _, _ = end.recvmsg(65536, 1024)
assert b'"local_paths": ["/run/s"]' in data, data
end.send(b'{"word": "ready"}')
assert b"go" in end.recv(65536)
end.send(b'{"word": "moved"}')
end.send(b'{"word": "done"}')
assert b"yours" in end.recv(65536)
end.recv(65536)
"""


class Bench:
    """An upgrade of an instance with one worker."""

    def __init__(self, folder: Path, code: str) -> None:
        self.settings = Settings(rundir=str(folder))
        self.lock = InstanceLock(self.settings)
        self.lock.acquire()
        self.policy = Policy(["hub", "worker 0"])
        self.policy.start(0.0)
        for row in (0, 1):
            self.policy.handle(ChildReady(row), 0.0)
        self.listener = socket.socket()
        estate = Estate(
            program=[sys.executable, "-c", code], lock=self.lock, local_fds={"/run/s": self.listener.fileno()}
        )
        self.record = Record(self.settings)
        self.acted: list[Action] = []
        self.retired_count = 0
        service = Service(Notifier(None), Scoreboard(1))
        self.upgrade = Upgrade(
            self.settings, self.policy, estate, self.record, service, self.acted.extend, self._retire
        )

    def _retire(self) -> None:
        self.retired_count += 1

    def sends(self) -> list[Action]:
        return [action for action in self.acted if isinstance(action, Send)]

    def look_until_steps(self, count: int) -> None:
        def has_come() -> bool:
            self.upgrade.look(1.0)
            return len(self.record.state.steps) >= count

        wait_until(has_come, f"{count} steps: {self.record.state.steps}", 30.0)

    def close(self) -> None:
        self.upgrade.close(0.0)
        self.lock.close()
        self.listener.close()


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])
    bench = Bench(tmp_path, getattr(request, "param", QUICK))
    yield bench
    bench.close()
    while signal.sigtimedwait([signal.SIGIO], 0) is not None:
        pass
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_go_is_said_when_every_child_has_opened_its_socket(bench: Bench, tmp_path: Path) -> None:
    """A file that an earlier attempt left behind is no open socket."""
    paths = [Path(handover_path(bench.settings, who)) for who in ("hub", 0)]
    paths[1].touch()
    bench.upgrade.ask(None, 0.0)
    assert len(bench.upgrade.fds) == 2
    bench.look_until_steps(3)
    assert bench.sends() == [Send([0, 1], LISTEN_SIGNAL)]
    assert not paths[1].exists()
    paths[0].touch()
    bench.upgrade.look(1.0)
    assert len(bench.record.state.steps) == 3
    paths[1].touch()
    bench.look_until_steps(6)
    assert bench.record.state.steps[-1] == "the new version serves"
    assert (bench.upgrade.has_succeeded, bench.retired_count) == (True, 1)
    bench.lock.close()
    assert Path(bench.lock.path).exists()  # the new version's


@pytest.mark.parametrize("bench", ["raise SystemExit('no such thing')"], indirect=True)
def test_end_of_the_program_has_its_last_words(bench: Bench) -> None:
    """They are all that whoever asked will see."""
    bench.upgrade.ask(None, 0.0)
    pid = bench.upgrade.successor_pid
    assert pid is not None
    bench.upgrade._successor.end(30.0)  # type: ignore[union-attr]
    assert bench.upgrade.take_exit(pid, "exit status 1", 1.0)
    assert bench.record.state.outcome is False
    assert bench.record.state.steps[-1] == "the new version is gone: exit status 1: no such thing"
    assert (bench.upgrade.fds, bench.sends()) == ([], [])
    assert not bench.upgrade.take_exit(pid, "exit status 1", 1.0)


def test_program_that_cannot_be_started(bench: Bench) -> None:
    """Another attempt is possible."""
    bench.upgrade._estate.program = ["/nowhere/gripproxy"]
    bench.upgrade.ask(None, 0.0)
    assert "/nowhere/gripproxy cannot be started: No such file or directory" in bench.record.state.steps[-1]
    assert bench.record.state.outcome is False
    bench.upgrade.ask(None, 0.0)
    assert bench.record.state.requests_count == 2


# A new version that tells, as the reason why it fails, what it has heard.
LISTENER = """
import json, os, socket
end = socket.socket(fileno=int(os.environ["GRIPPROXY_TAKEOVER"].split(":")[0]))
end.send(b'{"word": "hello", "version": 1, "program": "2.0"}')
words = [json.loads(end.recvmsg(65536, 1024)[0])["word"] for _ in range(2)]
end.send(json.dumps({"word": "failed", "reason": " ".join(words)}).encode())
end.recv(65536)
"""


@pytest.mark.parametrize("bench", [LISTENER], indirect=True)
def test_new_version_hears_of_a_reload_when_it_was_welcomed(bench: Bench) -> None:
    """It may have read its configuration before the change; but first of all it waits for the welcome."""
    bench.upgrade.ask(None, 0.0)
    bench.upgrade.tell_reload()
    bench.look_until_steps(2)
    wait_until(lambda: bench.upgrade.look(1.0) or bool(bench.upgrade._succession.reason), "it has failed")
    assert bench.upgrade._succession.reason == "welcome reload"
