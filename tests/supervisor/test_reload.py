"""The process that reads configuration and routes again for the supervisor."""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gripproxy.kept_settings import keep_settings
from gripproxy.settings import Settings
from gripproxy.supervisor.reload import Reload


class Bench:
    """A reload whose reader does what a function says, in a process of its own."""

    def __init__(self, directory: Path) -> None:
        self.settings = Settings(rundir=str(directory))
        self.directory = directory
        self._lifeline = os.pipe()
        self.reload = Reload(lambda settings, is_routes_only: self.read(settings, is_routes_only), self._lifeline[1])

    def read(self, settings: Settings, is_routes_only: bool) -> bool:
        keep_settings(Settings(rundir=settings.rundir, debug=True, log_from=is_routes_only))
        return True

    def finish(self) -> Settings | None:
        """Wait for the reader, and give what comes of it."""
        assert self.pid is not None
        return self.reload.take_exit(*os.waitpid(self.pid, 0))

    @property
    def pid(self) -> int | None:
        """The reader's."""
        return self.reload._pid

    def close(self) -> None:
        self.reload.close()
        for fd in self._lifeline:
            os.close(fd)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def replace_read(bench: Bench, read: Callable[[Settings, bool], bool]) -> None:
    bench.read = read  # type: ignore[method-assign]


def test_what_was_accepted_runs_from_now_on(bench: Bench) -> None:
    bench.reload.ask(bench.settings, False)
    assert bench.reload.is_under_way
    settings = bench.finish()
    assert settings is not None and settings.debug and not settings.log_from
    assert not bench.reload.is_under_way


def test_what_was_refused_changes_nothing(bench: Bench) -> None:
    """The reader has said why."""
    replace_read(bench, lambda *_: False)
    bench.reload.ask(bench.settings, False)
    assert bench.finish() is None
    assert not bench.reload.is_under_way


def test_end_of_another_process_is_not_the_readers(bench: Bench) -> None:
    bench.reload.ask(bench.settings, False)
    assert bench.reload.take_exit(1, 0) is None
    assert bench.reload.is_under_way
    assert bench.finish() is not None


@pytest.mark.parametrize(("asked", "read"), [([True, True], True), ([True, False], False), ([False, True], False)])
def test_what_is_asked_meanwhile_is_read_after_it(bench: Bench, asked: list[bool], read: bool) -> None:
    """The change may have come after the reader had looked; of several wishes the largest counts."""
    bench.reload.ask(bench.settings, True)
    for is_routes_only in asked:
        bench.reload.ask(bench.settings, is_routes_only)
    assert bench.finish() is not None
    assert bench.reload.is_under_way
    settings = bench.finish()
    assert settings is not None and settings.log_from is read
    assert not bench.reload.is_under_way


def test_reader_that_dies_changes_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A bug is logged by the reader itself, what the system did by the supervisor."""

    def fail(*_: object) -> bool:
        raise KeyError("bug")

    replace_read(bench, fail)
    bench.reload.ask(bench.settings, False)
    assert bench.finish() is None
    assert caplog.text == ""
    replace_read(bench, lambda *_: bool(os.kill(os.getpid(), signal.SIGKILL)))
    bench.reload.ask(bench.settings, False)
    assert bench.finish() is None
    assert "not reloaded, all stays as it is: reading was ended by signal 9" in caplog.text


def test_acceptance_without_anything_kept_changes_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody has emptied the run directory."""
    replace_read(bench, lambda *_: True)
    bench.reload.ask(bench.settings, False)
    assert bench.finish() is None
    assert "what was read is not where it was kept" in caplog.text


def test_supervisor_without_processes_left_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> int:
        raise BlockingIOError(11, "no more processes")

    monkeypatch.setattr(os, "fork", fail)
    bench.reload.ask(bench.settings, False)
    assert not bench.reload.is_under_way
    assert caplog.messages == ["not reloaded, all stays as it is: cannot fork: no more processes"]
    assert caplog.records[0].levelno == logging.ERROR


def test_reader_does_not_outlive_the_supervisor(bench: Bench) -> None:
    """It has the lock of the instance, which the next start wants."""
    replace_read(bench, lambda *_: bool(time.sleep(60)))
    bench.reload.ask(bench.settings, False)
    pid = bench.pid
    assert pid is not None
    bench.reload.close()
    assert not bench.reload.is_under_way
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
