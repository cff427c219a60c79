"""What systemd is told, seen from its end of the socket."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gripproxy.supervisor.notify import Notifier


class Manager:
    """A service manager's socket."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self._socket.setblocking(False)

    def lines(self) -> list[str]:
        """Give the lines of the next message; none without a message. A unix socket has it at once."""
        try:
            return self._socket.recv(65_536).decode().split("\n")
        except BlockingIOError:
            return []

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, short_path: Path) -> Iterator[Manager]:
    """Give a manager that listens at a path, as systemd does, or at an abstract name, as containers' do."""
    manager = Manager(str(short_path / "notify") if request.param == "path" else f"@gripproxy-test-{os.getpid()}")
    yield manager
    manager.close()


def test_each_word_is_systemds(manager: Manager) -> None:
    """A misspelt word is ignored there, and the service is killed for not being ready."""
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": manager.name})
    notifier.ready("0 connections")
    assert manager.lines() == ["READY=1", "STATUS=0 connections"]
    notifier.status("2\nlines")
    assert manager.lines() == ["STATUS=2 lines"]
    notifier.alive()
    assert manager.lines() == ["WATCHDOG=1"]
    notifier.stopping()
    assert manager.lines() == ["STOPPING=1"]
    notifier.extend_timeout(2.5)
    assert manager.lines() == ["EXTEND_TIMEOUT_USEC=2500000"]
    notifier.main_pid(77)
    assert manager.lines() == ["MAINPID=77"]


def test_reload_carries_the_managers_clock(manager: Manager) -> None:
    """It tells a reload that has begun before it asked from the one that it asked for."""
    before = time.monotonic_ns() // 1000
    Notifier(manager.name).reloading()
    word, moment = manager.lines()
    assert word == "RELOADING=1"
    assert before <= int(moment.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_watchdog_that_is_meant_for_us(environment: dict[str, str], watchdog_s: float | None) -> None:
    """Variables meant for another process reach us when that one has started us."""
    assert Notifier.from_environment(environment).watchdog_s == watchdog_s


@pytest.mark.parametrize("address", ["", "vsock:2:1", "/nowhere/notify"])
def test_nobody_to_tell_is_no_error(address: str) -> None:
    """Most starts are by hand or in a container."""
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address})
    notifier.ready()
    assert notifier.is_heard == address.startswith("/")


def test_deaf_manager_does_not_stop_the_service(manager: Manager) -> None:
    """Its socket is full, and the supervisor has children to look after."""
    notifier = Notifier(manager.name)
    for _ in range(10_000):
        notifier.alive()
    assert manager.lines() == ["WATCHDOG=1"]
