"""Connections that come from a worker of the version before: held here as they were there."""

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from gripproxy.engine import handover
from gripproxy.engine.arrivals import Installer
from gripproxy.protocol.handed_batch import HandedKind
from gripproxy.scoreboard import Field
from gripproxy_worker.acceptor import ListenerLimit
from gripproxy_worker.backlog import Waiting
from gripproxy_worker.client_sockets import HELD
from gripproxy_worker.departures import LEAVING
from gripproxy_worker.driver import Driver
from gripproxy_worker.handover_link import close_all
from gripproxy_worker.idle_conn import IdleConn

log = logging.getLogger(__name__)

LimitOf = Callable[[str], ListenerLimit | None]


@dataclass(slots=True)
class Arrival:
    """A connection of a batch. `record` is the engine's; the rest is what `Departures` says."""

    fd: int
    record: Any
    early_input: bytes
    idle_s: float | None
    backlog: tuple[int, Sequence[int]] | None
    limit_name: str | None
    proxied: bytes | None
    is_origin_deflating: bool | None
    origin_fd: int | None = None
    origin: "ArrivingOrigin | None" = None


@dataclass(slots=True)
class ArrivingBatch:
    """Connections that came together, with what they share."""

    tables: Any
    payloads: Sequence[bytes]
    arrivals: list[Arrival]

    @classmethod
    def decode(
        cls, tables: Any, payloads: Sequence[bytes], records: Sequence[Any], fds: Sequence[int]
    ) -> "ArrivingBatch":
        """Join what came with the descriptors, which are those of all clients and then those of origins."""
        arrivals = [Arrival(fd, *record[:7]) for fd, record in zip(fds, records, strict=False)]
        origin_fds = iter(fds[len(arrivals) :])
        for arrival in arrivals:
            if arrival.is_origin_deflating is not None:
                arrival.origin_fd = next(origin_fds)
        return cls(tables, payloads, arrivals)

    def close(self) -> None:
        """Leave them to the worker that has sent them."""
        close_all([arrival.fd for arrival in self.arrivals])
        close_all([arrival.origin_fd for arrival in self.arrivals if arrival.origin_fd is not None])


class ArrivingOrigin(asyncio.Protocol):
    """A client's WebSocket origin, from when its connection is ours until the client is."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.early_input = b""
        self.is_lost = False

    def itself(self) -> "ArrivingOrigin":
        """Be the protocol of its connection."""
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        self.early_input += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True


class Arrivals:
    """Takes connections into one worker, batch by batch."""

    def __init__(
        self, driver: Driver, loop: asyncio.AbstractEventLoop, installer: Installer, limit_of: LimitOf
    ) -> None:
        self._driver = driver
        self._loop = loop
        self._installer = installer
        self._limit_of = limit_of

    async def take(self, batch: ArrivingBatch) -> None:
        """Take connections that are ours now. The bus has to stand still for us, where it did for the other worker."""
        await self._open_origins(batch)
        now = self._driver.clock()
        self._installer.begin(batch.tables, now)
        waitings: dict[int, Waiting] = {}
        for arrival in batch.arrivals:
            try:
                self._take(arrival, batch.payloads, waitings, now)
            except Exception:  # a bug of ours, or a socket that the kernel has no room to watch: the others are well
                self._driver.row[Field.INTERNAL_ERRORS] += 1
                log.exception("internal error while taking a connection over, which is closed")
                self._drop(arrival)
        self._driver.row[Field.TAKEN_OVER] += len(batch.arrivals)

    async def _open_origins(self, batch: ArrivingBatch) -> None:
        for arrival in batch.arrivals:
            if arrival.origin_fd is not None:
                arrival.origin = ArrivingOrigin()
                sock = socket.socket(fileno=arrival.origin_fd)
                try:
                    await self._loop.connect_accepted_socket(arrival.origin.itself, sock)
                except OSError:
                    sock.close()
                    arrival.origin.is_lost = True

    def _take(self, arrival: Arrival, payloads: Sequence[bytes], waitings: dict[int, Waiting], now: float) -> None:
        driver, fd = self._driver, arrival.fd
        sockets = driver.sockets
        sockets.add(fd, LEAVING)
        if arrival.proxied is not None:
            sockets.proxied.put(fd, arrival.proxied)
        limit = None if arrival.limit_name is None else self._limit_of(arrival.limit_name)
        if limit is not None:
            limit.take()
            sockets.limited[fd] = limit
        if arrival.backlog is not None:
            self._take_backlog(fd, arrival.backlog, payloads, waitings)
        effects = self._installer.install(arrival.record, fd, now)
        kind = handover.kind_of(arrival.record)
        if kind is HandedKind.IDLE:
            idle = IdleConn(driver, fd, sockets.client_ip(fd), arrival.early_input)
            sockets.records[fd] = idle
            driver.wheel.schedule(idle, now + (arrival.idle_s or 0.0))
            if arrival.early_input:
                driver.call_soon(idle.wake)
        elif kind is HandedKind.SOCKET:
            self._take_socket(arrival)
        else:
            sockets.records[fd] = HELD
            if arrival.early_input:
                driver.held.early_input[fd] = arrival.early_input
        driver.perform(effects)

    def _take_backlog(
        self, fd: int, backlog: tuple[int, Sequence[int]], payloads: Sequence[bytes], waitings: dict[int, Waiting]
    ) -> None:
        written_bytes, numbers = backlog
        queue = []
        for number in numbers:
            if number not in waitings:
                waitings[number] = Waiting(payloads[number >> 1], bool(number & 1))
            queue.append(waitings[number])
        self._driver.sockets.backlogs.put_in(fd, queue, written_bytes)
        self._driver.row[Field.RECEPTIONS] += sum([waiting.is_item for waiting in queue])

    def _take_socket(self, arrival: Arrival) -> None:
        driver, fd, origin = self._driver, arrival.fd, arrival.origin
        terms = handover.socket_terms(driver.core, fd)
        assert terms is not None
        driver.web_sockets.take_over(fd, terms.is_deflating, terms.message_max_bytes)
        if origin is None:
            return
        if origin.is_lost or origin.transport is None:
            driver.web_sockets.on_origin_gone(fd, "it closed the connection")
        else:
            is_deflating = bool(arrival.is_origin_deflating)
            driver.web_sockets.take_over_origin(fd, origin.transport, is_deflating, origin.early_input)

    def _drop(self, arrival: Arrival) -> None:
        """Let go of a connection that could not be taken."""
        fd, records = arrival.fd, self._driver.sockets.records
        if fd < len(records) and records[fd] is not None:
            if records[fd] is LEAVING:
                records[fd] = HELD
            self._driver.end(fd)
        else:
            close_all([fd])
        if arrival.origin is not None and arrival.origin.transport is not None:
            arrival.origin.transport.abort()
