"""Client connections that wait for little: for the next request, or for the client to hear the last answer."""

import contextlib
import socket
from typing import TYPE_CHECKING

from gripproxy.engine.timer_wheel import Slot
from gripproxy_worker.client_conn import ClientConn

if TYPE_CHECKING:
    from gripproxy_worker.driver import Driver

CLOSING_MAX_S = 2.0  # without a byte from a client that has not closed, once our last answer is with the kernel
LINGER_MAX_S = 30.0  # for one that sends on: large uploads end within it, as in nginx
READS_MAX_COUNT = 16  # of what it sends, 1 MB, before the others' turn


class IdleConn:
    """A new client, or one between two requests: no parser, no buffer. `early_input` was read before."""

    __slots__ = ("_driver", "client_ip", "early_input", "fd", "slot")

    def __init__(self, driver: "Driver", fd: int, client_ip: str, early_input: bytes = b"") -> None:
        self.fd = fd
        self.client_ip = client_ip
        self.slot: Slot | None = None
        self._driver = driver
        self.early_input = early_input

    def on_readable(self) -> None:
        self.wake()

    def wake(self) -> None:
        """Become a busy connection that reads. Nothing, if that happened already, or while it has answers to read."""
        driver = self._driver
        if driver.sockets.records[self.fd] is not self or self.fd in driver.sockets.backlogs:
            return
        driver.wheel.cancel(self)
        conn = ClientConn(driver, self.fd, self.client_ip, self.early_input)
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

    __slots__ = ("_active_at", "_driver", "_is_turn_due", "_until", "fd", "slot")

    def __init__(self, driver: "Driver", fd: int) -> None:
        self.slot: Slot | None = None
        self._driver = driver
        self.fd = fd
        self._active_at = 0.0  # of its last byte
        self._until = 0.0  # whatever it sends; 0: not all is written yet
        self._is_turn_due = False

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
        self._active_at = now = self._driver.clock()
        self._until = now + LINGER_MAX_S
        self._driver.wheel.schedule(self, now + CLOSING_MAX_S)
        self.on_readable()

    def on_readable(self) -> None:
        if self._until and not self._is_turn_due:
            self._discard()

    def _discard(self) -> None:
        driver = self._driver
        for _ in range(READS_MAX_COUNT):
            data = driver.sockets.read(self.fd)
            if data is None:
                return
            if not data:
                self.on_gone()
                return
            self._active_at = driver.clock()
        self._is_turn_due = True
        driver.call_soon(self._on_turn)

    def _on_turn(self) -> None:
        self._is_turn_due = False
        if self._driver.sockets.records[self.fd] is self:
            self._discard()

    def on_gone(self) -> None:
        self._driver.wheel.cancel(self)
        self._driver.sockets.close(self.fd)

    def on_deadline(self, now: float) -> None:
        if now < min(self._active_at + CLOSING_MAX_S, self._until):
            self._driver.wheel.schedule(self, self._active_at + CLOSING_MAX_S)
        else:
            self.on_gone()
