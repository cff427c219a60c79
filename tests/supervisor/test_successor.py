"""Programs that are started as a new version would be: real processes of one line each."""

import os
import sys
from collections.abc import Callable, Iterator

import pytest

from gripproxy.supervisor.successor import TAKEOVER_VARIABLE, Successor, this_program

SPEAK = """
import os, socket
fd, stderr = map(int, os.environ["GRIPPROXY_TAKEOVER"].split(":"))
socket.socket(fileno=fd).send(b'{"word": "hello", "stderr": %d}' % os.fstat(stderr).st_ino)
"""

Start = Callable[[str], Successor]


@pytest.fixture
def start() -> Iterator[Start]:
    """Give a function that starts Python code; its process and descriptors end with the test."""
    started: list[Successor] = []

    def start_code(code: str) -> Successor:
        started.append(Successor([sys.executable, "-c", code]))
        return started[-1]

    yield start_code
    for successor in started:
        successor.end(0.0)
        successor.close()


@pytest.fixture(autouse=True)
def without_signals() -> Iterator[None]:
    """Supervisors block SIGIO, which is sent for everything that comes."""
    import signal

    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])
    yield
    while signal.sigtimedwait([signal.SIGIO], 0) is not None:
        pass
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_program_speaks_over_its_end_and_knows_the_real_standard_error(start: Start) -> None:
    """It cannot be heard otherwise."""
    said = start(SPEAK).conversation.wait(30.0)
    assert said is not None and said.word == "hello"
    assert said.number("stderr") == os.fstat(2).st_ino


def test_last_words_of_a_program_that_does_not_start(start: Start) -> None:
    """The error itself, not the traceback above it."""
    successor = start("import gripproxy.nothing_there")
    assert os.waitpid(successor.pid, 0)[1] != 0
    assert successor.last_words() == "ModuleNotFoundError: No module named 'gripproxy.nothing_there'"


def is_inherited(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False


def test_program_inherits_nothing_else(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither descriptors, nor blocked signals, nor what the service manager said of this process."""
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    read_fd, write_fd = os.pipe()
    foreign = [fd for fd in range(3, 1024) if is_inherited(fd)]  # whoever started the tests has left them open
    code = """
import os, signal, socket, json
fd, stderr = map(int, os.environ["GRIPPROXY_TAKEOVER"].split(":"))
fds = sorted(set(map(int, os.listdir("/proc/self/fd"))) - {0, 1, 2, fd, stderr})
known = {"fds": [each for each in fds if os.path.exists("/proc/self/fd/%d" % each)]}
known["blocked"] = len(signal.pthread_sigmask(signal.SIG_BLOCK, []))
known["watchdog"] = os.environ.get("WATCHDOG_PID", "")
socket.socket(fileno=fd).send(json.dumps({"word": "hello", **known}).encode())
"""
    said = start(code).conversation.wait(30.0)
    assert said is not None
    assert said.values == {"fds": foreign, "blocked": 0, "watchdog": ""}
    os.close(read_fd)
    os.close(write_fd)


def test_program_that_is_not_there_leaves_nothing_open() -> None:
    """Upgrades may be tried again for ever."""
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError):
        Successor(["/nowhere/python", "-c", ""])
    assert os.listdir("/proc/self/fd") == before
    assert TAKEOVER_VARIABLE not in os.environ


def test_end_kills_what_does_not_end(start: Start) -> None:
    """Our own end must not wait for it."""
    successor = start("import signal; signal.pause()")
    successor.end(0.0)
    assert not os.path.exists(f"/proc/{successor.pid}")


def test_this_program_is_an_absolute_path() -> None:
    """PATH may lead elsewhere by then."""
    program = this_program()
    assert os.path.isabs(program[0])
    assert program[1:] == sys.orig_argv[1:]
