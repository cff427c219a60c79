"""Accepting clients, and refusing them without falling over when there is no room."""

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

from gripproxy.bus.refusal_log import RefusalLog
from gripproxy.protocol.http1 import encode_refusal
from gripproxy.scoreboard import Field, Scoreboard
from gripproxy_worker.driver import Driver
from gripproxy_worker.listener import BACKLOG_COUNT
from gripproxy_worker.shared_listeners import ListenerCounts

log = logging.getLogger(__name__)

ACCEPT_MAX_COUNT = 64  # in one turn of the loop
PAUSE_S = 0.5  # when the system has no socket left: accepting at once again would only spin
LOG_PERIOD_S = 1.0  # of a worker's lines about that
TOTAL_CHECK_COUNT = 32  # accepted clients between two looks at all workers' numbers
DRAIN_MAX_BYTES = 65_536  # of a refused client's request: closed with it unread, the kernel would reset the answer away

NO_SOCKET_LEFT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
BUSY = encode_refusal(503, "Too many connections.")


class WorkerLimit:
    """How many clients this worker may have, and all workers together.

    Args:
        worker_max: connections that this worker's fd limit allows.
    """

    def __init__(self, driver: Driver, scoreboard: Scoreboard, worker_max: int) -> None:
        self.driver = driver
        self._scoreboard = scoreboard
        self._worker_max = driver.web_sockets.fds_max = worker_max
        self._budget = 0  # clients that may be accepted before all workers' numbers are added up again
        self._said_at = -LOG_PERIOD_S
        self._refusals = RefusalLog("clients")

    def take_place(self) -> bool:
        """Take a place for one more client; say whether there was one."""
        count = self.driver.sockets.count
        fds_count = count + self.driver.web_sockets.origin_fds_count
        if fds_count >= self._worker_max:
            self.say_refusal(f"this worker has {fds_count}, as many as its limit of file descriptors allows")
            return False
        if self._budget <= 0:
            self.driver.row[Field.CONNECTIONS] = count
            room = self.driver.settings.client_maxconn - self._scoreboard.total(Field.CONNECTIONS)
            if room <= 0:
                self.say_refusal(f"there are client_maxconn={self.driver.settings.client_maxconn}")
                return False
            # Room enough for what every worker may take before it looks again: else each looks for each client.
            workers_count = self._scoreboard.rows_count - 1
            self._budget = TOTAL_CHECK_COUNT if room >= TOTAL_CHECK_COUNT * workers_count else 1
        self._budget -= 1
        self.driver.row[Field.CONNECTIONS] = count + 1
        return True

    def say_refusal(self, reason: str) -> None:
        """Log that a client is refused for want of a place, at most once a second."""
        line = self._refusals.note(f"client refused: {reason}", self.driver.clock())
        if line is not None:
            log.warning("%s", line)

    def say_pause(self, error: OSError) -> None:
        """Log that nobody can be accepted for now. Every listener finds out by itself, again and again."""
        self.driver.row[Field.ACCEPT_PAUSES] += 1
        now = self.driver.clock()
        if now - self._said_at >= LOG_PERIOD_S:
            self._said_at = now
            log.error("cannot accept: %s; trying again every %g s", error.strerror, PAUSE_S)


class ListenerLimit:
    """How many clients one listener may have in all workers. Two that look at once may both take the last place."""

    def __init__(self, counts: ListenerCounts, worker: int, listener: int, maxconn: int, name: str = "") -> None:
        self.name = name
        self._counts = counts
        self._row = counts.row(worker)
        self._listener = listener
        self.maxconn = maxconn

    def has_room(self) -> bool:
        """Say whether there is a place for one more client."""
        return self._counts.total(self._listener) < self.maxconn

    def take(self) -> None:
        """Count a client."""
        self._row[self._listener] += 1

    def give_back(self) -> None:
        """A counted client is gone."""
        self._row[self._listener] -= 1


class Acceptor:
    """Accepts clients on one listener.

    Args:
        welcome: gets a client's fd and address (empty on a unix socket); raises OSError if the kernel has no room.
        own_limit: of this listener, if it has one.
        batch_count: clients in one turn of the loop.
        busy_answer: what a client hears that finds no room.
    """

    def __init__(
        self,
        listener: socket.socket,
        limit: WorkerLimit,
        loop: asyncio.AbstractEventLoop,
        welcome: Callable[[int, str], None],
        *,
        own_limit: ListenerLimit | None = None,
        batch_count: int = ACCEPT_MAX_COUNT,
        busy_answer: bytes = BUSY,
    ) -> None:
        self._listener = listener
        # What `accept` calls before it makes an object, which would only be taken apart again for its descriptor.
        self._accept: Callable[[], tuple[int, Any]] = listener._accept  # type: ignore[attr-defined]
        self._limit = limit
        self._own_limit = own_limit
        self._loop = loop
        self._welcome = welcome
        self._batch_count = batch_count
        self._busy_answer = busy_answer
        self._is_held = False

    def start(self) -> None:
        """Accept from now on."""
        self._is_held = False
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener.fileno(), self._on_ready)

    def hold(self) -> None:
        """Let new clients wait, until `start`."""
        self._is_held = True
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener.fileno())

    def close(self, is_refusing: bool = False) -> None:
        """Accept nobody any more but those who wait already, or refuse these: the kernel would reset them."""
        self._loop.remove_reader(self._listener.fileno())
        if is_refusing or not self._is_held:
            self._accept_some(BACKLOG_COUNT, is_refusing)
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()

    def _on_ready(self) -> None:
        self._accept_some(self._batch_count)

    def _accept_some(self, max_count: int, is_refusing: bool = False) -> None:
        for _ in range(max_count):
            try:
                fd, address = self._accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in NO_SOCKET_LEFT:
                    continue  # the client left before it was accepted
                self._pause(error)
                return
            os.set_blocking(fd, False)
            if is_refusing or not self._take_place():
                self._refuse(fd)
                continue
            if self._own_limit is not None:  # before it is welcomed, which may be its end already
                self._own_limit.take()
                self._limit.driver.sockets.limited[fd] = self._own_limit
            try:
                self._welcome(fd, address[0] if address else "")
            except OSError as error:
                self._drop(fd)
                self._pause(error)
                return

    def _drop(self, fd: int) -> None:
        """Close a client that the kernel has no room for."""
        if self._own_limit is not None:
            del self._limit.driver.sockets.limited[fd]
            self._own_limit.give_back()
        os.close(fd)

    def _take_place(self) -> bool:
        own_limit = self._own_limit
        if own_limit is not None and not own_limit.has_room():
            self._limit.say_refusal(f"its listener has maxconn={own_limit.maxconn}")
            return False
        return self._limit.take_place()

    def _pause(self, error: OSError) -> None:
        self._limit.say_pause(error)
        self._loop.remove_reader(self._listener.fileno())
        self._loop.call_later(PAUSE_S, self._end_pause)

    def _end_pause(self) -> None:
        if not self._is_held:
            self.start()

    def _refuse(self, fd: int) -> None:
        self._limit.driver.row[Field.REFUSED] += 1
        with contextlib.suppress(OSError):
            if self._busy_answer:
                os.write(fd, self._busy_answer)
            os.read(fd, DRAIN_MAX_BYTES)
        os.close(fd)
