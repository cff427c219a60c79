"""Reading routes and keys again in a worker that serves."""

import asyncio
import errno
import logging
import os
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from gripproxy.child import ChildContext
from gripproxy.errors import ConfigError
from gripproxy.protocol.grip_sig import SigKey
from gripproxy.protocol.routes import RouteTable
from gripproxy.routes_file import KEPT_NAME, read_kept_routes
from gripproxy.scoreboard import Field, ProcessState, Scoreboard
from gripproxy.settings import Settings
from gripproxy_worker import routes_reload
from gripproxy_worker.routes_reload import RoutesReload

REFUSAL = "routes not reloaded, the old ones stay: "


class Bench:
    """The second of three workers, whose routes and keys are a file's."""

    def __init__(self, directory: Path) -> None:
        self.routes_path, self.key_path, self.upstream_path = (directory / name for name in ("routes", "key", "up"))
        self.routes_path.write_text("old.test test\n")
        self.key_path.write_text("00ff")
        self.upstream_path.write_text("aa")
        self.settings = Settings(
            routesfile=str(self.routes_path),
            rundir=str(directory),
            sig_key=f"file:{self.key_path}",
            upstream_key=f"file:{self.upstream_path}",
        )
        self.scoreboard = Scoreboard(3)
        self.set_states(ProcessState.DEAD, ProcessState.READY, ProcessState.READY)
        context = ChildContext("worker 1", 1, 2, self.scoreboard, -1, -1)
        self.used: list[object] = []
        self.reload = RoutesReload(self.settings, context, self.use_keys, self.use_routes)

    def set_states(self, *states: ProcessState) -> None:
        for row, state in zip(self.scoreboard.worker_rows(), states, strict=True):
            row[Field.STATE] = state

    def use_keys(self, keys: dict[str, SigKey], upstream_key: SigKey | None) -> None:
        self.used.append((keys[self.settings.sig_key], upstream_key))

    def use_routes(self, routes: RouteTable) -> None:
        self.used.append([route.domain for route in routes.routes])

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


def test_new_routes_and_keys_take_effect_together(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A route may come with its key; the log says what is doubtful."""
    bench.routes_path.write_text("new.test test\nbad line here:x\n")
    bench.key_path.write_text("01")
    bench.upstream_path.write_text("bb")
    bench.run()
    assert bench.used == [(SigKey(b"\x01"), SigKey(b"\xbb")), ["new.test"]]
    assert f"{bench.routes_path}:2: " in caplog.text
    assert "routes loaded with 1 entries in " in caplog.text


@pytest.mark.parametrize("lost", ["routes_path", "key_path", "upstream_path"])
def test_file_that_cannot_be_read_changes_nothing(bench: Bench, lost: str, caplog: pytest.LogCaptureFixture) -> None:
    """Half a reload would send requests unsigned to origins that then refuse them."""
    bench.routes_path.write_text("new.test test\n")
    path: Path = getattr(bench, lost)
    path.unlink()
    bench.run()
    assert bench.used == []
    assert REFUSAL in caplog.text and str(path) in caplog.text


def test_routes_are_kept_for_workers_to_come(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Only good ones, by the one that speaks; that it cannot is a warning."""
    bench.routes_path.write_text("new.test test\n")
    bench.run()
    assert read_kept_routes(bench.settings) == "new.test test\n"
    bench.routes_path.write_bytes(b"\xff")
    bench.run()
    assert read_kept_routes(bench.settings) == "new.test test\n"
    bench.set_states(ProcessState.READY, ProcessState.READY, ProcessState.READY)
    bench.routes_path.write_text("newer.test test\n")
    bench.run()
    assert read_kept_routes(bench.settings) == "new.test test\n"
    bench.set_states(ProcessState.DEAD, ProcessState.READY, ProcessState.READY)
    kept_path = Path(bench.settings.ipc_path(KEPT_NAME))
    kept_path.unlink()
    kept_path.mkdir()
    bench.run()
    assert bench.used[-1] == ["newer.test"]
    assert "routes cannot be kept for workers that start while they cannot be read: " in caplog.text


def test_only_the_first_worker_that_serves_speaks(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """All read the same file: a hundred times the same warning hides the others."""
    bench.set_states(ProcessState.READY, ProcessState.READY, ProcessState.READY)
    bench.routes_path.write_text("new.test test\nbad line here:x\n")
    bench.run()
    bench.routes_path.unlink()
    bench.run()
    assert len(bench.used) == 2
    assert caplog.text == ""


def test_worker_that_lacks_descriptors_says_so_itself(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others may have read the file."""

    def fail(settings: Settings) -> str:
        raise ConfigError("unable to open") from OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    bench.set_states(ProcessState.READY, ProcessState.READY, ProcessState.READY)
    monkeypatch.setattr(routes_reload, "read_routes_text", fail)
    bench.run()
    assert caplog.messages == [REFUSAL + "unable to open"]


def test_change_during_the_reading_is_read_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal that came meanwhile was for something that may not have been seen."""
    read = routes_reload._read

    def read_and_change(settings: Settings, is_keeper: bool) -> Any:
        result = read(settings, is_keeper)
        if not bench.used:
            bench.routes_path.write_text("newer.test test\n")
            asyncio.run_coroutine_threadsafe(ask(), loop).result(10)
        return result

    async def ask() -> None:
        bench.reload.ask()

    async def scene() -> None:
        nonlocal loop
        loop = asyncio.get_running_loop()
        bench.reload.ask()

    loop: asyncio.AbstractEventLoop
    monkeypatch.setattr(routes_reload, "_read", read_and_change)
    bench.run(scene)
    assert bench.used[1::2] == [["old.test"], ["newer.test"]]


def test_loop_goes_on_while_routes_are_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large files take long, and clients wait for the loop."""
    read = routes_reload._read
    turns_count = 0

    def read_slowly(settings: Settings, is_keeper: bool) -> Any:
        give_up = time.monotonic() + 10
        while turns_count < 3 and time.monotonic() < give_up:
            time.sleep(0.001)
        return read(settings, is_keeper)

    async def scene() -> None:
        nonlocal turns_count
        bench.reload.ask()
        while not bench.used and turns_count < 10_000:
            turns_count += 1
            await asyncio.sleep(0.001)

    monkeypatch.setattr(routes_reload, "_read", read_slowly)
    bench.run(scene)
    assert turns_count >= 3
    assert bench.used[1] == ["old.test"]


def test_bug_while_reading_is_counted_and_logged_at_once(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody awaits the task: without that the operator would believe in the new routes."""

    def fail(settings: Settings) -> str:
        raise KeyError("bug")

    monkeypatch.setattr(routes_reload, "read_routes_text", fail)
    bench.run()
    assert bench.used == []
    assert "internal error while reading the routes again" in caplog.text
    assert bench.scoreboard.row(2)[Field.INTERNAL_ERRORS] == 1


def test_reading_takes_no_effect_in_a_worker_that_stops(bench: Bench) -> None:
    """What it would change is being closed."""

    async def scene() -> None:
        bench.reload.ask()
        bench.reload.close()

    bench.run(scene)
    assert bench.used == []
