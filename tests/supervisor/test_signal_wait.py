"""What a process that waits for signals takes for one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from gripproxy.supervisor.signal_wait import signal_when_readable, wait_signal
from tests.integration.deadline import wait_until

WATCHED = (signal.SIGHUP, signal.SIGCONT)
WAITER = """
import signal, sys
from gripproxy.supervisor.signal_wait import wait_signal
watched = (signal.SIGHUP, signal.SIGTERM, signal.SIGCONT)
signal.pthread_sigmask(signal.SIG_BLOCK, watched)
print("ready", flush=True)
while True:
    number = wait_signal(watched, 0.2)
    if number is not None:
        print(number.name, flush=True)
    if number == signal.SIGTERM:
        break
"""


def test_signal_that_waits_already_is_taken() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    try:
        assert wait_signal(WATCHED, 0.0) is None
        signal.raise_signal(signal.SIGHUP)  # for this thread: others have not blocked it
        assert wait_signal(WATCHED, 10.0) == signal.SIGHUP
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_descriptor_that_can_be_read_is_a_signal() -> None:
    """The supervisor waits for nothing else."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO, signal.SIGCONT])
    reading, writing = os.pipe()
    try:
        signal_when_readable(reading)
        assert not os.get_blocking(reading)
        os.write(writing, b"x")
        assert wait_signal((signal.SIGIO, signal.SIGCONT), 10.0) == signal.SIGIO
    finally:
        os.close(reading)
        os.close(writing)
        while signal.sigtimedwait([signal.SIGIO], 0) is not None:
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_process_that_was_stopped_takes_nothing_for_a_signal() -> None:
    """A debugger, or a machine that sleeps, must not end the service: Python would have made up a signal."""
    waiter = subprocess.Popen([sys.executable, "-c", WAITER], stdout=subprocess.PIPE, text=True)
    try:
        assert waiter.stdout is not None
        assert waiter.stdout.readline() == "ready\n"
        stat = Path(f"/proc/{waiter.pid}/stat")
        for _ in range(3):
            waiter.send_signal(signal.SIGSTOP)
            wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "it is stopped")
            stopped_at = os.times().elapsed
            wait_until(lambda: os.times().elapsed > stopped_at + 0.3, "its time is over")  # noqa: B023
            waiter.send_signal(signal.SIGCONT)
            assert waiter.stdout.readline() == "SIGCONT\n"
        waiter.send_signal(signal.SIGHUP)
        assert waiter.stdout.readline() == "SIGHUP\n"
        waiter.send_signal(signal.SIGTERM)
        assert waiter.stdout.readline() == "SIGTERM\n"
        assert waiter.wait(10.0) == 0
    finally:
        waiter.kill()
        waiter.communicate()
