"""Taking new settings, routes and keys in a worker that serves."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gripproxy import logs
from gripproxy.child import ChildContext
from gripproxy.engine.core import Core
from gripproxy.event_log import EventLog
from gripproxy.kept_settings import keep_settings
from gripproxy.log_levels import LogLevels
from gripproxy.protocol.grip_sig import SigKey
from gripproxy.protocol.last_ids import LastIds
from gripproxy.protocol.origin_request import OriginRequests
from gripproxy.protocol.routes import RouteTable
from gripproxy.routes_file import keep_routes
from gripproxy.scoreboard import Field, Scoreboard
from gripproxy.settings import Settings
from gripproxy_worker import settings_reload
from gripproxy_worker.certificates import CertificateStore
from gripproxy_worker.driver import Driver
from gripproxy_worker.settings_reload import NewSettings, Reading, SettingsReload
from gripproxy_worker.telemetry import Telemetry
from tests.settings_twins import Observed, changeable_names, observe, stale_parts, with_other

REFUSAL = "settings and routes not taken, the old ones stay: "


class Bench:
    """A worker whose supervisor keeps settings and routes."""

    def __init__(self, directory: Path) -> None:
        self.key_path = directory / "key"
        self.key_path.write_text("00ff")
        self.settings = Settings(rundir=str(directory), sig_key=f"file:{self.key_path}", upstream_key="up")
        self.keep(self.settings, "old.test test\n")
        self.scoreboard = Scoreboard(1)
        context = ChildContext("worker 0", 0, 1, self.scoreboard, -1, -1)
        self.used: list[Reading] = []
        self.reload = SettingsReload(self.settings, context, self.used.append)

    def keep(self, settings: Settings, routes: str) -> None:
        keep_settings(settings)
        keep_routes(settings, routes)

    @property
    def used_domains(self) -> list[list[str]]:
        return [[route.domain for route in reading.routes.routes] for reading in self.used]

    def run(self, scene: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        """Ask for a reload, or play the scene, and wait until what was asked for is done."""

        async def play() -> None:
            if scene is None:
                self.reload.ask()
            else:
                await scene()
            assert self.reload._task is not None
            await asyncio.wait([self.reload._task], timeout=10)

        asyncio.run(play())


@pytest.fixture
def bench(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Bench:
    caplog.set_level(logging.INFO)
    return Bench(tmp_path)


def test_all_that_is_kept_takes_effect_together(bench: Bench) -> None:
    """A route may come with its key; key files are read again, whether or not their settings changed."""
    settings = with_other(bench.settings, "keepalive_timeout")
    bench.keep(settings, "new.test test\nbad line here:x\n")
    bench.key_path.write_text("01")
    bench.run()
    (reading,) = bench.used
    assert reading.settings == settings
    assert reading.keys == {settings.sig_key: SigKey(b"\x01")}
    assert reading.upstream_key == SigKey(b"up")
    assert bench.used_domains == [["new.test"]]


@pytest.mark.parametrize("lost", ["settings.kept", "routes.kept", "key"])
def test_what_cannot_be_read_changes_nothing(bench: Bench, lost: str, caplog: pytest.LogCaptureFixture) -> None:
    """Half a reload would send requests unsigned to origins that then refuse them."""
    name = lost if lost == "key" else f"{bench.settings.ipc_prefix}{lost}"
    Path(bench.settings.rundir, name).unlink()
    bench.run()
    assert bench.used == []
    (message,) = caplog.messages
    assert message.startswith(REFUSAL)


def test_change_during_the_reading_is_read_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal that came meanwhile was for something that may not have been seen."""
    read = settings_reload._read

    def read_and_change(settings: Settings) -> Reading:
        result = read(settings)
        if not bench.used:
            bench.keep(bench.settings, "newer.test test\n")
            asyncio.run_coroutine_threadsafe(ask(), loop).result(10)
        return result

    async def ask() -> None:
        bench.reload.ask()

    async def scene() -> None:
        nonlocal loop
        loop = asyncio.get_running_loop()
        bench.reload.ask()

    loop: asyncio.AbstractEventLoop
    monkeypatch.setattr(settings_reload, "_read", read_and_change)
    bench.run(scene)
    assert bench.used_domains == [["old.test"], ["newer.test"]]


def test_loop_goes_on_while_routes_are_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large files take long, and clients wait for the loop."""
    read = settings_reload._read
    turns_count = 0

    def read_slowly(settings: Settings) -> Reading:
        give_up = time.monotonic() + 10
        while turns_count < 3 and time.monotonic() < give_up:
            time.sleep(0.001)
        return read(settings)

    async def scene() -> None:
        nonlocal turns_count
        bench.reload.ask()
        while not bench.used and turns_count < 10_000:
            turns_count += 1
            await asyncio.sleep(0.001)

    monkeypatch.setattr(settings_reload, "_read", read_slowly)
    bench.run(scene)
    assert turns_count >= 3
    assert bench.used_domains == [["old.test"]]


def test_bug_while_reading_is_counted_and_logged_at_once(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody awaits the task: without that the operator would believe in the new routes."""

    def fail(settings: Settings) -> Reading:
        raise KeyError("bug")

    monkeypatch.setattr(settings_reload, "_read", fail)
    bench.run()
    assert bench.used == []
    assert "internal error while taking new settings" in caplog.text
    assert bench.scoreboard.row(1)[Field.INTERNAL_ERRORS] == 1


def test_reading_takes_no_effect_in_a_worker_that_stops(bench: Bench) -> None:
    """What it would change is being closed."""

    async def scene() -> None:
        bench.reload.ask()
        bench.reload.close()

    bench.run(scene)
    assert bench.used == []


class Worker:
    """What goes by settings in a worker."""

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        scoreboard = Scoreboard(settings.workers)
        self.requests = OriginRequests(settings, {}, float, None)
        core = Core(settings, RouteTable([]), self.requests, 0.0, float, LastIds())
        self.driver = Driver(settings, core, loop, scoreboard.row(1), 100)
        rows = scoreboard.row(1), scoreboard.row(0)
        log = EventLog(settings, rows[0])
        self.driver.observe(Telemetry(settings, 0, rows, core, self.driver.sockets, loop, log))
        self.driver.use_routes(RouteTable([]))

    def take(self, settings: Settings) -> None:
        """Take other settings."""
        new = NewSettings(self.driver, self.requests, CertificateStore(""))
        new.use(Reading(settings, RouteTable([]), {}, None))

    def observe(self) -> Observed:
        return observe([self.driver, self.requests])


def observe_fresh(settings: Settings, loop: asyncio.AbstractEventLoop) -> Observed:
    return Worker(settings, loop).observe()


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.AbstractEventLoop]:
    """One in which no time passes."""
    loop = asyncio.new_event_loop()
    monkeypatch.setattr(loop, "time", lambda: 100.0)
    monkeypatch.setattr(time, "time", lambda: 1e9)
    yield loop
    loop.close()
    logs.use(LogLevels(), is_json=False)


@pytest.mark.parametrize("name", changeable_names())
def test_worker_that_takes_a_setting_is_as_if_started_with_it(name: str, loop: asyncio.AbstractEventLoop) -> None:
    """No copy of the old value is left anywhere; and back again."""
    first = Settings(rundir="/nowhere")
    other = with_other(first, name)
    for before, after in ((first, other), (other, first)):
        worker = Worker(before, loop)
        worker.take(after)
        assert worker.driver.settings is after
        assert stale_parts(partial(observe_fresh, after, loop), worker.observe()) == {}
        worker.driver.close()


def test_log_goes_by_the_new_settings(loop: asyncio.AbstractEventLoop) -> None:
    """Level and form are the process's own."""
    worker = Worker(Settings(), loop)
    worker.take(Settings(log_level=LogLevels(supervisor=0), log_format="json"))
    assert logs.output()[0].is_json
    assert logging.getLogger().level == logging.ERROR
    worker.driver.close()
