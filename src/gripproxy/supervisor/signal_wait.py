"""Waiting for signals, with a way round an error of Python's in it."""

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
