"""Client connections that wait for little: for the next request, or for the client to hear the last answer."""

import contextlib
import socket
from typing import TYPE_CHECKING

from gripproxy.engine.timer_wheel import Slot
from gripproxy_worker.client_conn import ClientConn

if TYPE_CHECKING:
    from gripproxy_worker.driver import Driver

CLOSING_MAX_S = 2.0  # for a client to stop sending, once our last answer is with the kernel
DISCARD_MAX_BYTES = 1_048_576  # of unread input that we read for that


def client_ip_of(fd: int) -> str:
    """Give the address of the client behind a connected socket, empty if it is gone, or on a unix socket."""
    client = socket.socket(fileno=fd)
    try:
        return str(client.getpeername()[0])
    except (OSError, IndexError):
        return ""
    finally:
        client.detach()


class IdleConn:
    """A new client, or one between two requests: no parser, no buffer. `early_input` was read before."""

    __slots__ = ("_driver", "_early_input", "client_ip", "fd", "slot")

    def __init__(self, driver: "Driver", fd: int, client_ip: str, early_input: bytes = b"") -> None:
        self.fd = fd
        self.client_ip = client_ip
        self.slot: Slot | None = None
        self._driver = driver
        self._early_input = early_input

    def on_readable(self) -> None:
        self.wake()

    def wake(self) -> None:
        """Become a busy connection that reads. Nothing, if that happened already, or while it has answers to read."""
        driver = self._driver
        if driver.sockets.records[self.fd] is not self or self.fd in driver.sockets.backlogs:
            return
        driver.wheel.cancel(self)
        conn = ClientConn(driver, self.fd, self.client_ip, self._early_input)
        driver.sockets.records[self.fd] = conn
        conn.on_readable()

    def on_drained(self) -> None:
        """It has read the answer to its long-poll: its next request may have come meanwhile."""
        self.wake()

    def on_gone(self) -> None:
        self._driver.wheel.cancel(self)
        self._driver.sockets.close(self.fd)

    def on_deadline(self, now: float) -> None:
        self._driver.sockets.say_end(self.fd)
        self.on_gone()


class ClosingConn:
    """A client that gets a last answer while it still sends: its input is read and dropped until it stops.

    Closing with unread input would make the kernel reset the connection, and the client might never see the answer
    (RFC 9112 section 9.6).
    """

    __slots__ = ("_discarded_bytes", "_driver", "fd", "slot")

    def __init__(self, driver: "Driver", fd: int) -> None:
        self.slot: Slot | None = None
        self._driver = driver
        self.fd = fd
        self._discarded_bytes = 0

    def start(self) -> None:
        """Take the place of the connection's record."""
        driver = self._driver
        driver.sockets.records[self.fd] = self
        if self.fd in driver.sockets.backlogs:
            driver.wheel.schedule(self, driver.clock() + driver.settings.send_timeout)
        else:
            self.on_drained()

    def on_drained(self) -> None:
        """All is written: say so to the client, and read on until it closes."""
        self._driver.sockets.say_end(self.fd)
        client = socket.socket(fileno=self.fd)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_WR)
        client.detach()
        self._driver.wheel.schedule(self, self._driver.clock() + CLOSING_MAX_S)
        self.on_readable()

    def on_readable(self) -> None:
        sockets = self._driver.sockets
        while True:
            data = sockets.read(self.fd)
            if data is None:
                return
            self._discarded_bytes += len(data)
            if not data or self._discarded_bytes > DISCARD_MAX_BYTES:
                self.on_gone()
                return

    def on_gone(self) -> None:
        self._driver.wheel.cancel(self)
        self._driver.sockets.close(self.fd)

    def on_deadline(self, now: float) -> None:
        self.on_gone()
