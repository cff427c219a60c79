"""Sinks that are slow, full, gone or replaced; none of them may make a process wait."""

import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gripproxy import log_sink
from gripproxy.log_sink import BATCH_BYTES, KEPT_MAX_BYTES, LogSink

LINE = b"x" * 99 + b"\n"


class Pipe:
    """A pipe whose reader reads when it is told to; its writing end is one that blocks, as a shell hands it out."""

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe()
        os.set_blocking(self.read_fd, False)

    def read(self) -> bytes:
        """Give all that is in the pipe."""
        data = b""
        while select.select((self.read_fd,), (), (), 0)[0] and (part := os.read(self.read_fd, 1 << 20)):
            data += part
        return data

    def close(self) -> None:
        os.close(self.read_fd)
        os.close(self.write_fd)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def test_lines_are_written_together(tmp_path: Path) -> None:
    """A write for each line would cost more than making it."""
    path = tmp_path / "log"
    sink = LogSink(path=str(path))
    sink.put(b"one\n")
    sink.put(b"two\n")
    assert path.read_bytes() == b""
    sink.flush()
    assert path.read_bytes() == b"one\ntwo\n"
    assert sink.is_empty


def test_many_lines_do_not_wait_for_the_flush(tmp_path: Path) -> None:
    """Between two ticks thousands of requests may end."""
    path = tmp_path / "log"
    sink = LogSink(path=str(path))
    for _ in range(BATCH_BYTES // len(LINE) + 1):
        sink.put(LINE)
    assert path.stat().st_size >= BATCH_BYTES


def test_pipe_that_nobody_reads_costs_lines_and_no_time(pipe: Pipe) -> None:
    """``gripproxy 2>&1 | less``: who scrolls must not stop the proxy. The test's time-out is what would be missed."""
    sink = LogSink(pipe.write_fd)
    told: list[int] = []
    sink.on_dropped = told.append
    count = 3 * KEPT_MAX_BYTES // len(LINE)
    for _ in range(count):
        sink.put(LINE)
    sink.flush()
    assert sink.dropped_count > count // 2
    assert told == []
    written = b""
    while not sink.is_empty:
        written += pipe.read()
        sink.flush()
    written += pipe.read()
    assert written == LINE * (count - sink.dropped_count)
    assert told == [sink.dropped_count]
    sink.put(b"again\n")
    sink.flush()
    assert pipe.read() == b"again\n"
    assert told == [sink.dropped_count]


def test_pipe_gets_whole_lines(pipe: Pipe) -> None:
    """Several processes write to one pipe: only what fits into it at once stays together."""
    sink = LogSink(pipe.write_fd)
    for _ in range(1000):
        sink.put(LINE)
    sink.flush()
    written = pipe.read()
    assert written == LINE * (len(written) // len(LINE))
    assert not sink.is_empty


def test_long_line_is_not_lost(pipe: Pipe) -> None:
    """One that a pipe does not take at once is gone on with, in its place."""
    sink = LogSink(pipe.write_fd)
    line = b"y" * 300_000 + b"\n"
    sink.put(line)
    sink.put(b"z\n")
    written = b""
    while not sink.is_empty:
        sink.flush()
        written += pipe.read()
    assert written == line + b"z\n"


def test_flags_of_a_shared_descriptor_stay(pipe: Pipe) -> None:
    """Standard error is the shell's too; without O_NONBLOCK on ours, the others' writes would fail."""
    sink = LogSink(pipe.write_fd)
    sink.put(LINE)
    sink.flush()
    assert os.get_blocking(pipe.write_fd)
    assert pipe.read() == LINE


def test_pipe_of_another_user(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be opened again, so there is a look first whether it has room."""

    def refuse(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(log_sink.os, "open", refuse)
    sink = LogSink(pipe.write_fd)
    for _ in range(2 * KEPT_MAX_BYTES // len(LINE)):
        sink.put(LINE)
    sink.flush()
    written = b""
    while not sink.is_empty:
        written += pipe.read()
        sink.flush()
    written += pipe.read()
    assert sink.dropped_count
    assert written == LINE * (len(written) // len(LINE))


def test_journal_that_does_not_read() -> None:
    """A service's standard error is a socket."""
    ours, journal = socket.socketpair()
    with ours, journal:
        sink = LogSink(ours.fileno())
        count = 3 * KEPT_MAX_BYTES // len(LINE)
        for _ in range(count):
            sink.put(LINE)
        sink.flush()
        assert sink.dropped_count
        assert ours.getblocking()
        expected = LINE * (count - sink.dropped_count)
        written = b""
        while len(written) < len(expected):
            written += journal.recv(1 << 20)
            sink.flush()
        assert written == expected
        assert sink.is_empty


def test_reader_that_is_gone(pipe: Pipe) -> None:
    """Its end must not be ours."""
    sink = LogSink(pipe.write_fd)
    sink.put(LINE)
    sink.flush()
    os.close(pipe.read_fd)
    sink.put(LINE)
    sink.flush()
    assert not sink.is_empty
    pipe.read_fd = os.open("/dev/null", os.O_RDONLY)


def test_full_disk() -> None:
    """Lines wait until there is room, then they are dropped and counted."""
    sink = LogSink(path="/dev/full")
    for _ in range(2 * KEPT_MAX_BYTES // len(LINE)):
        sink.put(LINE)
    sink.flush()
    assert sink.dropped_count >= KEPT_MAX_BYTES // len(LINE) - 1


def test_closed_standard_error() -> None:
    """``2>&-``: there is nothing to write to."""
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    os.close(write_fd)
    sink = LogSink(write_fd)
    sink.put(LINE)
    sink.flush()
    assert sink.is_empty


def test_renamed_file_is_opened_anew(tmp_path: Path) -> None:
    """logrotate renames the file; the next line must not go to the old one, in any process."""
    path = tmp_path / "log"
    sink = LogSink(path=str(path))
    sink.put(b"one\n")
    sink.flush()
    path.rename(tmp_path / "log.1")
    sink.put(b"two\n")
    sink.flush()
    assert path.read_bytes() == b"two\n"
    assert (tmp_path / "log.1").read_bytes() == b"one\n"


def test_renamed_file_is_used_while_there_can_be_no_new_one(tmp_path: Path) -> None:
    """Better there than nowhere. A removed one is nowhere: then lines wait."""
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "log"
    sink = LogSink(path=str(path))
    path.rename(tmp_path / "log.1")
    folder.rmdir()
    sink.put(b"one\n")
    sink.flush()
    assert (tmp_path / "log.1").read_bytes() == b"one\n"
    (tmp_path / "log.1").unlink()
    sink.put(b"two\n")
    sink.flush()
    assert not sink.is_empty
    folder.mkdir()
    sink.flush()
    assert path.read_bytes() == b"two\n"


def test_drain_waits_for_a_slow_reader_only_a_little(pipe: Pipe) -> None:
    """The last lines of a process are the ones that say why it ended."""
    sink = LogSink(pipe.write_fd)
    for _ in range(2000):
        sink.put(LINE)
    sink.drain()  # nobody reads: it comes to an end all the same
    assert not sink.is_empty
    written = pipe.read()
    sink.drain()
    written += pipe.read()
    sink.drain()
    assert (written + pipe.read()).count(b"\n") > 1000


def test_forked_process_does_not_write_what_its_parent_has_to(tmp_path: Path) -> None:
    """Every line would stand there once for each process."""
    path = tmp_path / "log"
    sink = LogSink(path=str(path))
    sink.put(LINE)
    sink.forget()
    sink.flush()
    assert sink.is_empty
    assert path.read_bytes() == b""
