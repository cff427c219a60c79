"""Where log lines end up: a file, a terminal, a pipe or the journal, none of which may ever make a process wait.

Whole lines are kept back, written together, and dropped when too many wait: a reader that stopped reading, or a full
disk, costs lines, which are counted, and never a client's answer.
"""

import os
import select
import socket
import stat
import time
from collections import deque
from collections.abc import Callable

KEPT_MAX_BYTES = 1_048_576  # of lines that could not be written yet: some 7,000
BATCH_BYTES = 65_536  # one write to a file; the lines of several processes never mix in it
PIPE_BATCH_BYTES = select.PIPE_BUF  # what pipes take whole or not at all
TELL_S = 1.0  # between two words about dropped lines
DRAIN_MAX_S = 0.5
DRAIN_PAUSE_S = 0.01

Write = Callable[[bytes], int]


class LogSink:
    """Takes whole lines and writes them in order, as far as that is possible at once.

    Args:
        fd: descriptor to write to, which stays the caller's; it may be shared with other programs.
        path: or a file to append to, which is opened anew when it was renamed or removed.

    Raises:
        OSError: `path` cannot be opened.
    """

    def __init__(self, fd: int = 2, path: str | None = None) -> None:
        self.path = path
        self.on_dropped: Callable[[int], None] = lambda count: None  # lines are written again, after so many dropped
        self.dropped_count = 0  # lines, in this process; it only grows
        self._lines: list[bytes] = []  # that came since the last flush
        self._batches: deque[bytes] = deque()  # older ones, in the order in which they are to be written
        self._bytes_count = 0  # of both
        self._told_count = 0  # dropped lines that a line has told of
        self._told_at = 0.0
        self._fd = fd if path is None else _open(path)
        self._write: Write | None = None  # until something is written
        self._batch_bytes = BATCH_BYTES

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be written."""
        return not self._bytes_count

    def put(self, line: bytes) -> None:
        """Take a line, with its line feed; it is written with the next flush, or now if many wait."""
        count = self._bytes_count + len(line)
        if count > KEPT_MAX_BYTES:
            self.dropped_count += 1
            return
        self._lines.append(line)
        self._bytes_count = count
        if count >= BATCH_BYTES and not self._batches:
            self.flush()

    def flush(self) -> None:
        """Write what can be written without waiting; the rest stays for the next time."""
        if not self._bytes_count and self._told_count == self.dropped_count:
            return
        if self._write is None:
            self._write, self._batch_bytes = _writer(self._fd, self.path is not None)
        self._batch()
        if self._look():
            self._write_batches(self._write)
        if not self._batches and self._told_count != self.dropped_count:
            self._tell()

    def drain(self) -> None:
        """Write what waits, and wait for a slow reader a little: the process is about to end."""
        end = time.monotonic() + DRAIN_MAX_S
        self.flush()
        while self._bytes_count and time.monotonic() < end:
            time.sleep(DRAIN_PAUSE_S)
            self.flush()

    def reopen(self) -> None:
        """Open the file anew if it was renamed or removed."""
        self._look()

    def forget(self) -> None:
        """Let go of what waits: in a forked process it is the parent's to write."""
        self._lines.clear()
        self._batches.clear()
        self._bytes_count = 0

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._told_at >= TELL_S:
            self._told_at = now
            count = self.dropped_count - self._told_count
            self._told_count = self.dropped_count
            self.on_dropped(count)

    def _batch(self) -> None:
        """Join the lines to pieces that are written at once, each of whole lines."""
        piece: list[bytes] = []
        room_bytes = self._batch_bytes
        for line in self._lines:
            if len(line) > room_bytes and piece:
                self._batches.append(b"".join(piece))
                piece.clear()
                room_bytes = self._batch_bytes
            piece.append(line)
            room_bytes -= len(line)
        if piece:
            self._batches.append(b"".join(piece))
        self._lines.clear()

    def _write_batches(self, write: Write) -> None:
        batches = self._batches
        while batches:
            try:
                written_count = write(batches[0])
            except OSError:  # full, gone, or nobody reads: the lines wait for better times
                return
            self._bytes_count -= written_count
            if written_count < len(batches[0]):
                batches[0] = batches[0][written_count:]
                return
            batches.popleft()

    def _look(self) -> bool:
        """Open the file anew if it is not at its path any more. Tells whether anybody will find what is written."""
        if self.path is None:
            return True
        ours = os.fstat(self._fd)
        try:
            found = os.stat(self.path)
            if (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino):
                return True
        except OSError:
            pass
        try:
            new_fd = _open(self.path)
        except OSError:  # a renamed file takes lines as before; of a removed one they would be lost
            return ours.st_nlink > 0
        os.dup2(new_fd, self._fd, inheritable=False)
        os.close(new_fd)
        return True


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)


def _writer(fd: int, is_ours: bool) -> tuple[Write, int]:
    """Give how to write to `fd` without waiting, and how much at once.

    Of a descriptor that was handed to us other programs may have a copy, so its flags stay as they are.
    """
    try:
        mode = os.fstat(fd).st_mode
    except OSError:  # closed: nothing is written, and nothing fails
        return len, BATCH_BYTES
    if stat.S_ISREG(mode):
        return lambda data: os.write(fd, data), BATCH_BYTES
    if stat.S_ISSOCK(mode):
        journal = socket.socket(fileno=os.dup(fd))
        return lambda data: journal.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL), PIPE_BATCH_BYTES
    if is_ours:
        return lambda data: os.write(fd, data), PIPE_BATCH_BYTES
    try:
        own_fd = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # a pipe or terminal of another user
        return lambda data: _write_if_ready(fd, data), PIPE_BATCH_BYTES
    return lambda data: os.write(own_fd, data), PIPE_BATCH_BYTES


def _write_if_ready(fd: int, data: bytes) -> int:
    """Write one batch if there is room: a pipe that says so takes a whole one."""
    return os.write(fd, data[:PIPE_BATCH_BYTES]) if select.select((), (fd,), (), 0)[1] else 0
