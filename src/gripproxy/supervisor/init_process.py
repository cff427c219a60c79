"""What is left of a supervisor that was process 1 of a container: with its end the kernel would end all the others."""

import contextlib
import os
import signal
from collections.abc import Callable

import setproctitle

from gripproxy.handover import UPGRADE_SIGNAL
from gripproxy.supervisor.process import WATCHED_SIGNALS
from gripproxy.supervisor.signal_wait import wait_signal

INIT_PID = 1
LOOK_PERIOD_S = 1.0
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, UPGRADE_SIGNAL)


def stay(heir_pid: int, find_owner: Callable[[], int | None]) -> int:
    """Pass signals on to the supervisor that has taken over, and reap whoever ends, until the last supervisor has.

    The signals of WATCHED_SIGNALS must be blocked.

    Args:
        heir_pid: that supervisor. It and those after it become children of this process.
        find_owner: gives the supervisor that the lock file names.

    Returns:
        The exit status of the last supervisor.
    """
    setproctitle.setproctitle("gripproxy: init")
    while True:
        number = wait_signal(WATCHED_SIGNALS, LOOK_PERIOD_S)
        if number in _PASSED_ON:
            with contextlib.suppress(ProcessLookupError):
                os.kill(heir_pid, number)
        for pid, status in _reap():
            if pid != heir_pid:
                continue
            owner_pid = find_owner()
            if owner_pid is None or owner_pid in (heir_pid, os.getpid()):
                return status
            heir_pid = owner_pid


def _reap() -> list[tuple[int, int]]:
    """Give the processes that have ended, with exit statuses as a shell gives them."""
    ended = []
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            code = os.waitstatus_to_exitcode(found[1])
            ended.append((found[0], code if code >= 0 else 128 - code))
    return ended
