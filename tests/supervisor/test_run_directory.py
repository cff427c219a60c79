"""The run directory and the lock that keeps a second instance out."""

import errno
import os
from pathlib import Path

import pytest

from gripproxy.errors import ConfigError
from gripproxy.settings import Settings
from gripproxy.supervisor.run_directory import InstanceLock, prepare_run_directory


def settings_in(path: Path, ipc_prefix: str = "t-") -> Settings:
    return Settings(rundir=str(path), ipc_prefix=ipc_prefix)


def test_missing_directory_is_created(short_path: Path) -> None:
    """/run is empty after every boot."""
    prepare_run_directory(settings_in(short_path / "a" / "b"))
    assert (short_path / "a" / "b").stat().st_mode & 0o777 == 0o755


def test_existing_directory_is_left_as_it_is(short_path: Path) -> None:
    """A package may have given it a group."""
    short_path.chmod(0o770)
    prepare_run_directory(settings_in(short_path))
    assert short_path.stat().st_mode & 0o777 == 0o770


def test_directory_that_cannot_be_created_is_told(short_path: Path) -> None:
    """The message must name the path and the way out."""
    (short_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot create the run directory .*/file/run: .*--rundir"):
        prepare_run_directory(settings_in(short_path / "file" / "run"))


def test_directory_that_everybody_may_write_to_is_refused(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In /tmp anybody can make it first, and put a socket of his own where the bus should be."""
    short_path.chmod(0o777)
    owner = short_path.stat().st_uid
    if owner == 0:
        os.chown(short_path, 4711, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(ConfigError, match="belongs to another user and everybody may write to it"):
        prepare_run_directory(settings_in(short_path))


def test_path_too_long_for_a_socket_is_told(short_path: Path) -> None:
    """Otherwise ZeroMQ says it later, without the path."""
    with pytest.raises(ConfigError, match="bytes too long for a unix socket"):
        prepare_run_directory(settings_in(short_path / ("x" * 100)))


def test_lock_file_holds_the_pid_and_goes_with_the_lock(short_path: Path) -> None:
    """Scripts read the pid from it."""
    lock = InstanceLock(settings_in(short_path))
    lock.acquire()
    assert (short_path / "t-gripproxy.pid").read_text() == f"{os.getpid()}\n"
    lock.close()
    assert list(short_path.iterdir()) == []


def test_lock_file_that_cannot_be_written_is_told(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk said only "No space left on device", not where."""

    def write(fd: int, text: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", write)
    lock = InstanceLock(settings_in(short_path))
    with pytest.raises(ConfigError, match=r"cannot write the lock file .*t-gripproxy.pid: No space left on device"):
        lock.acquire()
    lock.close()
    assert list(short_path.iterdir()) == []


def test_second_instance_is_refused_with_the_way_out(short_path: Path) -> None:
    """It would take over the first one's sockets and starve its workers."""
    first = InstanceLock(settings_in(short_path))
    first.acquire()
    with pytest.raises(ConfigError, match=rf"runs here as process {os.getpid()} .*--id N and --port PORT.*--rundir"):
        InstanceLock(settings_in(short_path)).acquire()
    first.close()


def test_other_prefix_in_the_same_directory_is_another_instance(short_path: Path) -> None:
    """That is what --id is for."""
    first, second = InstanceLock(settings_in(short_path)), InstanceLock(settings_in(short_path, "p1-"))
    first.acquire()
    second.acquire()
    first.close()
    second.close()


def test_file_left_by_a_killed_instance_is_taken_over(short_path: Path) -> None:
    """A crash must not need a hand to clean up."""
    (short_path / "t-gripproxy.pid").write_text("999999999\n")
    lock = InstanceLock(settings_in(short_path))
    lock.acquire(wait_s=0.0)
    assert (short_path / "t-gripproxy.pid").read_text() == f"{os.getpid()}\n"
    lock.close()


def test_lock_held_by_orphans_only_says_so(short_path: Path) -> None:
    """Their supervisor's pid would send people to a process that does not exist."""
    first = InstanceLock(settings_in(short_path))
    first.acquire()
    (short_path / "t-gripproxy.pid").write_text("999999999\n")
    with pytest.raises(ConfigError, match="a gripproxy that was killed still run"):
        InstanceLock(settings_in(short_path)).acquire(wait_s=0.0)
    first.close()
