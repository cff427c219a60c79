"""What two supervisors say to each other during an upgrade: a word with values and descriptors in each datagram."""

import array
import contextlib
import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gripproxy.supervisor.signal_wait import signal_when_readable

SAID_MAX_BYTES = 65_536
FDS_MAX_COUNT = 250  # the kernel passes at most 253 at once
_ANCILLARY_MAX_BYTES = socket.CMSG_SPACE(FDS_MAX_COUNT * array.array("i").itemsize)


@dataclass(slots=True)
class Said:
    """One datagram. Whoever takes `fds` must close them."""

    word: str
    values: dict[str, Any] = field(default_factory=dict)
    fds: list[int] = field(default_factory=list)

    def text(self, name: str) -> str:
        """Give a value that is for people to read."""
        return str(self.values.get(name, ""))

    def number(self, name: str) -> int:
        """Give a value that is a number; 0 if the other version has none, or none that is one."""
        value = self.values.get(name)
        return value if isinstance(value, int) else 0


class Conversation:
    """One end of a SEQPACKET socket between two supervisors."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self.is_over = False  # the other side has closed its end, or is gone

    def fileno(self) -> int:
        return self._end.fileno()

    def signal_when_readable(self) -> None:
        """Have this process sent SIGIO when something is said; it must be blocked."""
        self._end.setblocking(False)
        signal_when_readable(self._end.fileno())

    def say(self, word: str, fds: Iterable[int] = (), **values: object) -> None:
        """Say it, unless nobody listens any more."""
        data = json.dumps({"word": word, **values}).encode()
        with contextlib.suppress(OSError):
            socket.send_fds(self._end, [data], list(fds))

    def hear(self) -> list[Said]:
        """Give what has been said since the last time; never waits."""
        said = []
        while not self.is_over and (one := self._receive(socket.MSG_DONTWAIT)) is not None:
            said.append(one)
        return said

    def wait(self, timeout_s: float) -> Said | None:
        """Wait for one word; None: it did not come, or never will."""
        self._end.settimeout(timeout_s)
        return self._receive(0)

    def close(self) -> None:
        self._end.close()
        self.is_over = True

    def _receive(self, flags: int) -> Said | None:
        flags |= socket.MSG_CMSG_CLOEXEC  # which `socket.recv_fds` would not pass on
        fds = array.array("i")
        try:
            data, ancillary, _, _ = self._end.recvmsg(SAID_MAX_BYTES, _ANCILLARY_MAX_BYTES, flags)
        except (BlockingIOError, TimeoutError):
            return None
        except OSError:
            data, ancillary = b"", []
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
        if not data:
            self.is_over = True
            return None
        try:
            values = json.loads(data)
            return Said(str(values.pop("word")), values, list(fds))
        except (ValueError, KeyError, AttributeError, TypeError):
            return Said("", {}, list(fds))
