"""When the service manager is told what."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gripproxy.scoreboard import Field, Scoreboard
from gripproxy.supervisor.notify import Notifier
from gripproxy.supervisor.policy import Phase
from gripproxy.supervisor.service import STATUS_PERIOD_S, Service


class Bench:
    """A service with one worker, and what its manager hears."""

    def __init__(self, path: str, watchdog_s: float | None) -> None:
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(path)
        self.manager.setblocking(False)
        self.scoreboard = Scoreboard(1)
        self.service = Service(Notifier(path, watchdog_s), self.scoreboard)

    def heard(self) -> list[str]:
        lines = []
        while True:
            try:
                lines += self.manager.recv(4096).decode().split("\n")
            except BlockingIOError:
                return lines

    def look(self, now: float, phase: Phase = Phase.SERVING, is_well: bool = True) -> list[str]:
        self.service.look(phase, is_well, now)
        return self.heard()


@pytest.fixture(params=[None, 10.0])
def bench(request: pytest.FixtureRequest, short_path: Path) -> Iterator[Bench]:
    bench = Bench(str(short_path / "n"), request.param)
    yield bench
    bench.manager.close()


IDLE = "STATUS=0 connections (0 streams, 0 long-polls, 0 WebSockets), 0 items/s, 1 workers"


@pytest.mark.parametrize("bench", [None], indirect=True)
def test_ready_once_then_figures_that_have_changed(bench: Bench) -> None:
    """Each message wakes the manager up."""
    assert bench.look(0.0, Phase.STARTING) == []
    assert bench.look(1.0) == ["READY=1", IDLE]
    assert bench.look(1.0 + STATUS_PERIOD_S) == []
    bench.scoreboard.row(1)[Field.CONNECTIONS] = 7
    bench.scoreboard.row(1)[Field.HELD_STREAMS] = 5
    bench.scoreboard.row(0)[Field.ITEMS_SENT] = 50
    assert bench.look(2.0 + STATUS_PERIOD_S) == []
    (status,) = bench.look(1.0 + 2 * STATUS_PERIOD_S)
    assert status == "STATUS=7 connections (5 streams, 0 long-polls, 0 WebSockets), 10 items/s, 1 workers"


@pytest.mark.parametrize("bench", [10.0], indirect=True)
def test_watchdog_is_fed_at_half_its_time_and_only_by_the_well(bench: Bench) -> None:
    """A service whose child hangs for good is restarted as a whole."""
    assert bench.look(0.0) == ["READY=1", "WATCHDOG=1", IDLE]
    assert bench.look(4.0) == []
    assert bench.service.wait_s(4.0) == 1.0
    assert bench.look(5.0) == ["WATCHDOG=1"]
    assert bench.look(30.0, is_well=False) == []
    assert bench.look(31.0) == ["WATCHDOG=1"]


@pytest.mark.parametrize("bench", [None], indirect=True)
def test_stop_asks_for_time_as_long_as_it_takes(bench: Bench) -> None:
    """Draining may take longer than the manager's patience."""
    bench.look(0.0)
    bench.scoreboard.row(1)[Field.CONNECTIONS] = 3
    first = bench.look(1.0, Phase.STOPPING_WORKERS)
    assert first[:3] == ["STOPPING=1", "STATUS=Stopping: 3 connections left", "EXTEND_TIMEOUT_USEC=15000000"]
    assert bench.look(1.5, Phase.STOPPING_WORKERS) == []
    assert "EXTEND_TIMEOUT_USEC=15000000" in bench.look(2.0, Phase.STOPPING_HUB)


@pytest.mark.parametrize("bench", [None], indirect=True)
def test_reload_is_framed(bench: Bench) -> None:
    """`systemctl reload` waits for its end, and for a beginning after its own."""
    bench.look(0.0)
    for _ in range(2):
        bench.service.begin_reload()
        assert bench.heard()[0] == "RELOADING=1"
        bench.service.look(Phase.SERVING, True, 1.0, is_reading=True)
    assert bench.heard() == []
    assert bench.look(2.0) == ["READY=1"]
    assert bench.look(3.0) == []


@pytest.mark.parametrize("bench", [10.0], indirect=True)
def test_only_the_main_process_speaks(bench: Bench) -> None:
    """The old version, once it has said who is next, must not say that the service stops."""
    bench.look(0.0)
    bench.service.give_to(77)
    assert bench.heard() == ["MAINPID=77"]
    assert bench.look(100.0, Phase.STOPPING_WORKERS) == []
    bench.service.begin_reload()
    assert bench.heard() == []


def test_without_a_manager_there_is_nothing_to_wait_for() -> None:
    """The supervisor wakes up for it otherwise."""
    assert Service(Notifier(None), Scoreboard(1)).wait_s(0.0) == float("inf")
