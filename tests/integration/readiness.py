"""Waiting for a socket, whatever its descriptor: `select` knows only the first 1,024."""

import select
from typing import Protocol


class HasFileno(Protocol):
    """A socket, or anything else that can be polled."""

    def fileno(self) -> int: ...


def is_readable(source: HasFileno | int, timeout_s: float) -> bool:
    """Wait until there is something to read, or an end; say whether there is within `timeout_s`."""
    poll = select.poll()
    poll.register(source, select.POLLIN)
    return bool(poll.poll(max(0, int(timeout_s * 1000))))
