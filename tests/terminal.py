"""A terminal of a test's own, with a program on it."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from types import TracebackType

from tests.integration.deadline import wait_until

STOP_TIMEOUT_S = 10.0


class Terminal:
    """Runs `argv` on a terminal of `rows` and `columns` while it is entered. `output` is all that it has written."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], rows: int = 30, columns: int = 120) -> None:
        self._master, self._slave = pty.openpty()
        self.output = b""
        self.resize(rows, columns)
        self.modes_before = self.modes()
        self.popen = subprocess.Popen(
            list(argv),
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={**os.environ, **env},
            start_new_session=True,
        )

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.popen.kill()
        self.popen.wait(STOP_TIMEOUT_S)
        os.close(self._master)
        os.close(self._slave)

    def modes(self) -> list[object]:
        return list(termios.tcgetattr(self._slave))

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def tell_resized(self) -> None:
        """Do what the kernel does for a session's own terminal."""
        self.popen.send_signal(signal.SIGWINCH)

    def press(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def wait_for(self, text: bytes) -> None:
        """Wait until the program has written `text` since the last call, and forget what came until now."""

        def look() -> bool:
            self._read()
            return text in self.output

        wait_until(look, f"the terminal shows {text!r}")
        self.output = b""

    def wait(self) -> int:
        """Wait for the end, reading on; give the exit status."""

        def look() -> bool:
            self._read()
            return self.popen.poll() is not None

        wait_until(look, "the program ends")
        self._read()
        return self.popen.returncode

    def _read(self) -> None:
        poll = select.poll()  # which knows descriptors of any number
        poll.register(self._master, select.POLLIN)
        while poll.poll(0):
            self.output += os.read(self._master, 65_536)
