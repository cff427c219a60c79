"""The worker's listeners: accepting clients, and refusing them without falling over when it is full."""

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

from gripproxy.errors import ConfigError
from gripproxy.protocol.http1 import encode_refusal
from gripproxy.scoreboard import Field, Scoreboard
from gripproxy.settings import ListenAddress
from gripproxy_worker.driver import Driver

log = logging.getLogger(__name__)

BACKLOG_COUNT = 4096  # the kernel cuts it to net.core.somaxconn
ACCEPT_MAX_COUNT = 64  # in one turn of the loop
# What the kernel queues for a client that does not read, beyond what is under way to it. Without it a client on this
# host, such as a TLS server in front, makes it 4 MB each; what is more waits in the bounded backlog.
UNSENT_MAX_BYTES = 131_072
PAUSE_S = 0.5  # when the system has no socket left: accepting at once again would only spin
TOTAL_CHECK_COUNT = 32  # accepted clients between two looks at all workers' numbers

NO_SOCKET_LEFT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
BUSY = encode_refusal(503, "Too many connections.")


def check_free(address: ListenAddress) -> None:
    """Make sure that nobody listens there: `bind` would share the port, and the clients, with another gripproxy.

    Raises:
        ConfigError: as `bind`.
    """
    _open(address, is_shared=False).close()


def bind(address: ListenAddress) -> socket.socket:
    """Open a listener that every worker opens too; the kernel spreads the clients over them.

    Raises:
        ConfigError: the address cannot be listened on; says why, and where to choose another.
    """
    listener = _open(address, is_shared=True)
    listener.setblocking(False)
    return listener


def _open(address: ListenAddress, is_shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, is_shared)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # accepted sockets inherit these
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_MAX_BYTES)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address.host, address.port))
        if is_shared:
            listener.listen(BACKLOG_COUNT)
    except OSError as error:
        listener.close()
        reason = f"{error.strerror or error}; choose another with --port or http_port="
        raise ConfigError(f"http_port: cannot listen on {address}: {reason}") from None
    return listener


class Acceptor:
    """Accepts clients on one listener and hands them to the driver.

    Args:
        worker_max: connections that this worker's fd limit allows.
    """

    def __init__(
        self,
        listener: socket.socket,
        driver: Driver,
        loop: asyncio.AbstractEventLoop,
        scoreboard: Scoreboard,
        worker_max: int,
    ) -> None:
        self._listener = listener
        # What `accept` calls before it makes an object, which would only be taken apart again for its descriptor.
        self._accept: Callable[[], tuple[int, Any]] = listener._accept  # type: ignore[attr-defined]
        self._driver = driver
        self._loop = loop
        self._scoreboard = scoreboard
        self._worker_max = worker_max
        self._budget = 0  # clients that may be accepted before all workers' numbers are added up again

    def start(self) -> None:
        """Accept from now on."""
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener.fileno(), self._on_ready)

    def close(self) -> None:
        """Accept nobody any more."""
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()

    def _on_ready(self) -> None:
        for _ in range(ACCEPT_MAX_COUNT):
            try:
                fd, address = self._accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in NO_SOCKET_LEFT:
                    continue  # the client left before it was accepted
                log.error("cannot accept: %s; trying again in %g s", error.strerror, PAUSE_S)
                self._loop.remove_reader(self._listener.fileno())
                self._loop.call_later(PAUSE_S, self.start)
                return
            os.set_blocking(fd, False)
            if self._has_room():
                self._driver.accept(fd, address[0])
            else:
                self._refuse(fd)

    def _has_room(self) -> bool:
        if self._driver.sockets.count >= self._worker_max:
            return False
        if self._budget <= 0:
            self._driver.row[Field.CONNECTIONS] = self._driver.sockets.count
            room = self._driver.settings.client_maxconn - self._scoreboard.total(Field.CONNECTIONS)
            self._budget = min(TOTAL_CHECK_COUNT, room)
        self._budget -= 1
        return self._budget >= 0

    def _refuse(self, fd: int) -> None:
        self._driver.row[Field.REFUSED] += 1
        with contextlib.suppress(OSError):
            os.write(fd, BUSY)
        os.close(fd)
