"""Process 1 of a container after an upgrade, played by a forked process with its heirs as children."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gripproxy.supervisor.init_process import stay
from gripproxy.supervisor.process import WATCHED_SIGNALS
from tests.integration.deadline import wait_until

# A supervisor: it says that it is there, and ends with SIGTERM.
HEIR = """
import pathlib, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit({status}))
signal.signal(signal.SIGHUP, lambda *_: pathlib.Path({path!r}).write_text("reloaded"))
signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
pathlib.Path({path!r}).write_text("runs")
while True:
    signal.pause()
"""


class Init:
    """The process; `statuses`: how its heirs end, one after the other."""

    def __init__(self, folder: Path, statuses: list[int]) -> None:
        self.paths = [folder / f"heir{index}" for index in range(len(statuses))]
        self.owner_path = folder / "owner"
        self.pid = os.fork()
        if self.pid == 0:
            self._be_init(statuses)

    def _be_init(self, statuses: list[int]) -> None:
        result = 99
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED_SIGNALS)
            pids = []
            for path, status in zip(self.paths, statuses, strict=True):
                program = [sys.executable, "-c", HEIR.format(status=status, path=str(path))]
                pids.append(os.posix_spawn(sys.executable, program, os.environ))
            self.owner_path.write_text(str(pids[-1]))
            result = stay(pids[0], lambda: int(self.owner_path.read_text()))
        finally:
            os._exit(result)

    def wait_for(self, heir: int, text: str) -> None:
        path = self.paths[heir]
        wait_until(lambda: path.exists() and path.read_text() == text, f"heir {heir} {text}", 30.0)

    def wait_exit(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    yield tmp_path
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_signals_are_passed_on_and_the_status_comes_back(folder: Path) -> None:
    """`docker stop` and `docker kill -s HUP` know process 1 only."""
    init = Init(folder, [7])
    init.wait_for(0, "runs")
    os.kill(init.pid, signal.SIGHUP)
    init.wait_for(0, "reloaded")
    os.kill(init.pid, signal.SIGTERM)
    assert init.wait_exit() == 7


def test_heir_of_the_heir_is_followed(folder: Path) -> None:
    """The second upgrade in a container."""
    init = Init(folder, [0, 5])
    for heir in (0, 1):
        init.wait_for(heir, "runs")
    os.kill(init.pid, signal.SIGTERM)  # to the first, which the second has replaced by then
    os.kill(init.pid, signal.SIGHUP)
    wait_until(lambda: _signal_until_reloaded(init), "the second heir gets the signals", 30.0)
    os.kill(init.pid, signal.SIGTERM)
    assert init.wait_exit() == 5


def _signal_until_reloaded(init: Init) -> bool:
    os.kill(init.pid, signal.SIGHUP)
    return init.paths[1].read_text() == "reloaded"
