"""Waiting for signals and for descriptors with them, with a way round an error of Python's in it."""

import fcntl
import os
import signal
import time
from collections.abc import Collection


def wait_signal(watched: Collection[signal.Signals], timeout_s: float) -> signal.Signals | None:
    """Wait for one of these signals, which are blocked; None if none has come in time.

    SIGCONT must be among them. If the process was stopped (SIGSTOP) until after its time, Python 3.11's `sigtimedwait`
    gives what happened to be in its memory as a signal. That is so if SIGCONT is there when the time is over.
    """
    deadline = time.monotonic() + timeout_s
    info = signal.sigtimedwait(watched, timeout_s)
    if info is None or info.si_signo not in watched:
        return None
    if timeout_s > 0.0 and time.monotonic() >= deadline and signal.SIGCONT in signal.sigpending():
        return None
    return signal.Signals(info.si_signo)


def signal_when_readable(fd: int) -> None:
    """Have this process sent SIGIO when something comes. From now on reads do not wait. Block SIGIO before."""
    fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
