"""Waiting for a socket, whatever its descriptor: `select` knows only the first 1,024."""

import select
from pathlib import Path
from typing import Protocol

LOOPBACK = "0100007F"  # as the kernel writes it
TIME_WAIT = "06"  # the state of a connection that no process has any more


class HasFileno(Protocol):
    """A socket, or anything else that can be polled."""

    def fileno(self) -> int: ...


def is_readable(source: HasFileno | int, timeout_s: float) -> bool:
    """Wait until there is something to read, or an end; say whether there is within `timeout_s`."""
    poll = select.poll()
    poll.register(source, select.POLLIN)
    return bool(poll.poll(max(0, int(timeout_s * 1000))))


def unread_bytes(port: int, client_port: int) -> int | None:
    """Say how many bytes of a client's on loopback a server has not read; None if it has closed its socket.

    A FIN that the server has not seen counts as one. What the client's kernel still has to send counts, too.
    """
    server, client = f"{LOOPBACK}:{port:04X}", f"{LOOPBACK}:{client_port:04X}"
    unread: int | None = None
    unsent = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, queues, *_ = line.split()
        sending, receiving = (int(size, 16) for size in queues.split(":"))
        if (local, remote) == (server, client) and state != TIME_WAIT:
            unread = receiving
        elif (local, remote) == (client, server):
            unsent = sending
    return None if unread is None else unread + unsent
