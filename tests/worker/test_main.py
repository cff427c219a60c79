"""A worker from its start to its end, in the test's own process: joining the bus, reloading routes, stopping."""

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gripproxy.child import READY_LINE, ChildContext
from gripproxy.errors import ConfigError
from gripproxy.scoreboard import Field, ProcessState
from gripproxy.settings import ListenAddress, Settings
from gripproxy_worker.main import _serve
from gripproxy_worker.shared_listeners import SharedListeners
from tests.bus.bench import BusBench


class Supervisor:
    """The other ends of a worker's pipes."""

    def __init__(self, bench: BusBench) -> None:
        self.report_fd, child_report_fd = os.pipe()
        lifeline_fd, self.lifeline_fd = os.pipe()
        self.bench = bench
        self.context = ChildContext("worker 0", 0, 1, bench.scoreboard, lifeline_fd, child_report_fd)
        with socket.create_server(("127.0.0.1", 0)) as unused:
            self.port = unused.getsockname()[1]
        self.settings = Settings(
            rundir=str(bench.directory), ipc_prefix="", http_port=(ListenAddress(host="127.0.0.1", port=self.port),)
        )
        self.shared = SharedListeners(self.settings)

    def start(self) -> "asyncio.Task[None]":
        return self.bench.loop.create_task(_serve(self.settings, self.context, self.bench.loop, self.shared))


@pytest.fixture
def supervisor(short_path: Path) -> Iterator[Supervisor]:
    bench = BusBench(short_path)
    yield Supervisor(bench)
    gc.unfreeze()
    bench.close()


def test_worker_serves_once_it_is_ready_and_stops_with_its_supervisor(supervisor: Supervisor) -> None:
    """Listeners open after the bus is joined: a client that is held then misses nothing."""
    bench = supervisor.bench
    serving = supervisor.start()
    bench.turn()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", supervisor.port))
    bench.hub()
    bench.run_until(lambda: supervisor.context.has_reported)
    assert os.read(supervisor.report_fd, 100) == READY_LINE
    with socket.create_connection(("127.0.0.1", supervisor.port)) as client:
        client.setblocking(False)
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        answer = bench.run(bench.loop.sock_recv(client, 1000))
        assert answer.endswith(b"Hello from the Pushpin test handler!\n")
    os.close(supervisor.lifeline_fd)
    bench.run(serving)
    assert supervisor.context.row[Field.STATE] == ProcessState.STOPPING
    assert supervisor.context.row[Field.INTERNAL_ERRORS] == 0


def test_worker_that_waits_for_the_hub_hears_that_it_should_stop(supervisor: Supervisor) -> None:
    """The hub may never come."""
    serving = supervisor.start()
    supervisor.bench.turn()
    os.close(supervisor.lifeline_fd)
    supervisor.bench.run(serving)
    assert not supervisor.context.has_reported


def test_worker_stops_at_sigterm(supervisor: Supervisor) -> None:
    serving = supervisor.start()
    supervisor.bench.turn()
    supervisor.bench.loop.call_soon(os.kill, os.getpid(), signal.SIGTERM)
    supervisor.bench.run(serving)


def test_worker_that_cannot_listen_says_why(supervisor: Supervisor) -> None:
    """Before it is ready: the supervisor shows the reason and gives up."""
    with socket.create_server(("127.0.0.1", supervisor.port)):
        serving = supervisor.start()
        supervisor.bench.hub()
        with pytest.raises(ConfigError, match="Address already in use"):
            supervisor.bench.run(serving)
