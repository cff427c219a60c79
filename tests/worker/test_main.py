"""A worker from its start to its end, in the test's own process: joining the bus, reloading routes, stopping."""

import asyncio
import gc
import logging
import os
import random
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gripproxy.child import READY_LINE, ChildContext
from gripproxy.engine.core import Core
from gripproxy.errors import ConfigError
from gripproxy.protocol.last_ids import LastIds
from gripproxy.protocol.origin_request import OriginRequests
from gripproxy.routes_file import read_routes
from gripproxy.scoreboard import Field, ProcessState
from gripproxy.settings import ListenAddress, Settings
from gripproxy.signing_keys import read_signing_keys
from gripproxy_worker.main import _reload_routes, _serve
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

    def start(self) -> "asyncio.Task[None]":
        return self.bench.loop.create_task(_serve(self.settings, self.context, self.bench.loop))


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
    bench.outlet()
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
        supervisor.bench.outlet()
        with pytest.raises(ConfigError, match="Address already in use"):
            supervisor.bench.run(serving)


def test_reload_uses_the_new_routes_or_keeps_the_old(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that vanished while it is being replaced must not take every site down."""
    file = tmp_path / "routes"
    file.write_text("old.test test\n")
    settings = Settings(routesfile=str(file))
    routes, _ = read_routes(settings)
    requests = OriginRequests(settings, read_signing_keys(settings, routes.routes)[0], time.time)
    core = Core(settings, routes, requests, 0.0, random.random, LastIds())

    file.write_text("new.test test\nbad line here:x\n")
    with caplog.at_level(logging.INFO):
        _reload_routes(settings, core, requests)
    assert core._rules.routes.find("new.test", False, b"/", False) is not None
    assert core._rules.routes.find("old.test", False, b"/", False) is None
    assert f"{file}:2: " in caplog.text and "routes loaded with 1 entries" in caplog.text

    file.unlink()
    _reload_routes(settings, core, requests)
    assert core._rules.routes.find("new.test", False, b"/", False) is not None
    assert "routes not reloaded, the old ones stay" in caplog.text


def test_reload_without_the_key_file_keeps_the_old_routes_and_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Half a reload would send requests unsigned to origins that then refuse them."""
    routes_path, key_path = tmp_path / "routes", tmp_path / "key"
    routes_path.write_text("old.test test\n")
    key_path.write_text("00ff")
    settings = Settings(routesfile=str(routes_path), sig_key=f"file:{key_path}")
    routes, _ = read_routes(settings)
    requests = OriginRequests(settings, read_signing_keys(settings, routes.routes)[0], time.time)
    core = Core(settings, routes, requests, 0.0, random.random, LastIds())

    routes_path.write_text("new.test test\n")
    key_path.unlink()
    _reload_routes(settings, core, requests)
    assert core._rules.routes.find("old.test", False, b"/", False) is not None
    assert requests._keys.keys() == {f"file:{key_path}"}
    assert "routes not reloaded, the old ones stay: " in caplog.text and "cannot read the key file" in caplog.text
