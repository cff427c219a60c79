"""Payloads that wait for slow clients: how much, for whom, and what room is left."""

import os
from collections.abc import Iterator

import pytest

from gripproxy_worker import backlog as backlog_module
from gripproxy_worker.backlog import BACKLOG_MAX_BYTES, BACKLOG_MAX_COUNT, Backlogs, Waiting


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Give the ends of a pipe, the one for writing non-blocking."""
    read_fd, write_fd = os.pipe2(os.O_NONBLOCK)
    yield read_fd, write_fd
    os.close(read_fd)
    os.close(write_fd)


def test_one_payload_may_wait_alone_whatever_its_size() -> None:
    backlogs = Backlogs()
    assert backlogs.offer(5, Waiting(b"x" * (BACKLOG_MAX_BYTES + 1)), 0)
    assert not backlogs.offer(5, Waiting(b"x"), 0)
    assert backlogs.full == {5}


def test_partly_written_payload_is_never_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first bytes are on their way: without the rest the client could not read on."""
    monkeypatch.setattr(backlog_module, "TOTAL_MAX_BYTES", 3)
    backlogs = Backlogs()
    assert backlogs.offer(5, Waiting(b"abcdef"), 2)
    assert backlogs[5].bytes_count == 4
    assert not backlogs.offer(6, Waiting(b"abcdef"), 0)
    assert 6 not in backlogs


def test_who_loses_a_payload_is_full_until_it_reads(pipe: tuple[int, int]) -> None:
    _, fd = pipe
    backlogs = Backlogs()
    for _ in range(BACKLOG_MAX_COUNT):
        assert backlogs.offer(fd, Waiting(b"x"), 0)
    assert not backlogs.offer(fd, Waiting(b"x"), 0)
    assert backlogs.full == {fd}
    assert backlogs.flush(fd)
    assert (backlogs, backlogs.full, backlogs.total_bytes) == ({}, set(), 0)


def test_flush_goes_on_where_the_last_write_ended(pipe: tuple[int, int]) -> None:
    read_fd, fd = pipe
    backlogs = Backlogs()
    backlogs.add(fd, Waiting(b"abcdef"), 2)
    backlogs.add(fd, Waiting(b"g" * 100_000), 0)
    assert not backlogs.flush(fd)
    read = os.read(read_fd, 200_000)
    assert read.startswith(b"cdefggg")
    assert backlogs.flush(fd)
    assert read[4:] + os.read(read_fd, 200_000) == b"g" * 100_000


def test_broken_socket_is_the_callers_to_forget(pipe: tuple[int, int]) -> None:
    backlogs = Backlogs()
    backlogs.add(999_999, Waiting(b"x"), 0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        backlogs.flush(999_999)
    backlogs.forget(999_999)
    backlogs.forget(999_999)
    assert (backlogs, backlogs.total_bytes) == ({}, 0)
