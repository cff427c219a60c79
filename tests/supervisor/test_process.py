"""What a child's pipe and its exit status mean."""

import os
import signal

import pytest

from gripproxy.supervisor.process import ChildProcess, describe_exit


def new_process() -> tuple[ChildProcess, int]:
    """Give a process whose child is played by the writing end."""
    read_fd, write_fd = os.pipe()
    os.set_blocking(read_fd, False)
    return ChildProcess(pid=1, report_fd=read_fd), write_fd


def test_silent_child_is_not_waited_for() -> None:
    """The supervisor reads every child's pipe at every turn."""
    process, write_fd = new_process()
    process.read_report()
    assert (process.is_ready, process.reason) == (False, None)
    assert process.report_fd is not None
    process.close()
    os.close(write_fd)


def test_reason_may_come_with_the_ready_line() -> None:
    """A child that takes over is ready first, and may fail at once."""
    process, write_fd = new_process()
    os.write(write_fd, b"ready\nthe address is taken")
    os.close(write_fd)
    process.read_report()
    assert (process.is_ready, process.reason, process.report_fd) == (True, "the address is taken", None)


def test_ready_line_makes_it_ready() -> None:
    """The end of file that follows is no news."""
    process, write_fd = new_process()
    os.write(write_fd, b"ready\n")
    os.close(write_fd)
    process.read_report()
    assert (process.is_ready, process.reason, process.report_fd) == (True, None, None)


def test_other_text_is_the_reason() -> None:
    """It is shown to whoever started gripproxy."""
    process, write_fd = new_process()
    os.write(write_fd, "port 7999 is taken by “x”".encode())
    os.close(write_fd)
    process.read_report()
    assert (process.is_ready, process.reason) == (False, "port 7999 is taken by “x”")


def test_child_gone_without_a_word_leaves_no_reason() -> None:
    """Its exit status has to do."""
    process, write_fd = new_process()
    os.close(write_fd)
    process.read_report()
    assert (process.is_ready, process.reason, process.report_fd) == (False, None, None)


@pytest.mark.parametrize(
    ("wait_status", "text"),
    [
        (0, "exit status 0"),
        (3 << 8, "exit status 3"),
        (int(signal.SIGKILL), "killed by SIGKILL"),
        (int(signal.SIGSEGV) | 0x80, "killed by SIGSEGV"),  # with a core dump
        (40, "killed by signal 40"),
    ],
)
def test_exit_is_put_in_words(wait_status: int, text: str) -> None:
    """SIGKILL often is the kernel's out-of-memory killer: the name is what people search for."""
    assert describe_exit(wait_status) == text
