"""A process that cleans up when the measuring process is killed, which nothing in that one could."""

import os
import shutil
import signal
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.c1m.forked import Forked
from benchmarks.c1m.sysctls import Sysctls

STOP_LIMIT_S = 20.0
POLL_S = 0.05
DONE = 0


class Guardian:
    """Puts settings back, removes the directory and stops gripproxy, unless it is closed first."""

    def __init__(self, sysctls: Sysctls, directory: Path) -> None:
        self._sysctls = sysctls
        self._directory = directory
        self._process = Forked("guardian", self._run)

    def protect(self, gripproxy_pid: int) -> None:
        """Name the process that must not be left behind."""
        self._process.pipe.send(gripproxy_pid)

    def close(self) -> None:
        """Say that everything has been cleaned up."""
        with suppress(BrokenPipeError):  # somebody has ended it
            self._process.pipe.send(DONE)
        self._process.close()

    def _run(self, pipe: Connection) -> None:
        pid = DONE
        with suppress(EOFError):
            while (message := pipe.recv()) != DONE:
                pid = message
            return
        if pid:
            _stop(pid)
        self._sysctls.restore()
        shutil.rmtree(self._directory, ignore_errors=True)


def _stop(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + STOP_LIMIT_S
    while time.monotonic() < until and Path(f"/proc/{pid}").exists():
        time.sleep(POLL_S)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)  # nothing, when it has ended
