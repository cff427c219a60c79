"""Every client socket of this worker, as a bare fd: who it belongs to, writing to it, and hearing that it is ready.

A socket is registered once with the worker's own epoll, edge-triggered for everything, so that no state of a
connection costs a system call to enter. What the fd is doing is told by its record alone; a held connection has no
record of its own here, only the marker `HELD`, and its hold in the engine.
"""

import contextlib
import logging
import os
import select
import socket
from collections.abc import Callable, Collection
from typing import Protocol

from gripproxy.scoreboard import Field
from gripproxy_worker.backlog import Backlogs, Waiting
from gripproxy_worker.proxied_clients import ProxiedClients
from gripproxy_worker.tls import TlsStreams
from gripproxy_worker.ws_input import WsKind

log = logging.getLogger(__name__)

READ_MAX_BYTES = 65_536  # what one read takes at the most, into a buffer that all connections share
TLS_READ_MAX_BYTES = 16_384  # the same by TLS: if every byte is a record of its own, it takes 2 ms to decrypt
TLS_EMPTY_READS_MAX_COUNT = 8  # without any content in them: that is no client but an attack
EARLY_MAX_BYTES = 16_384  # of what a client held by TLS sends early; the rest stays in the kernel
READY_MAX_COUNT = 128  # sockets served before the loop's other work gets its turn: 10 ms if all bring a request
_DELIVERIES = int(Field.DELIVERIES)  # as an index four times as fast as an enum's member
INTERESTS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
BROKEN = select.EPOLLHUP | select.EPOLLERR


class Record(Protocol):
    """A connection that is not held: what the worker keeps of it in `ClientSockets.records`."""

    def on_readable(self) -> None: ...
    def on_drained(self) -> None: ...
    def on_gone(self) -> None: ...


class HeldMarker:
    """The record of every held connection: its hold is the engine's, so it does nothing by itself."""

    __slots__ = ()

    def on_readable(self) -> None:
        """Leave early input in the kernel until the hold is over."""

    def on_drained(self) -> None:
        """Nothing waits for a held connection to have room."""

    def on_gone(self) -> None:
        """Never called: `ClientSockets` tells the engine itself."""


HELD = HeldMarker()


class Limit(Protocol):
    """Who has to hear that a client is gone: that of the listener with this name."""

    name: str

    def give_back(self) -> None: ...


class WebSocketOwner(Protocol):
    """Who looks after the sockets whose record is a `WsKind`."""

    def on_turn_begun(self) -> None: ...
    def on_ready(self, fd: int, kind: WsKind, mask: int) -> None: ...
    def on_gone(self, fd: int) -> None: ...


class ClientSockets:
    """The table of client sockets. Those in `tls` get and send what `read`, `write` and the others are given encrypted.

    Args:
        row: this worker's row of the scoreboard.
        on_held_gone: called with the fd of a held client that left; it must `close` it.
        call_soon: of the event loop.
    """

    def __init__(
        self,
        row: memoryview,
        on_held_gone: Callable[[int], None],
        call_soon: Callable[[Callable[[], None]], object],
    ) -> None:
        self.records: list[Record | None] = []
        self.backlogs = Backlogs()
        self.epoll = select.epoll()
        self.count = 0
        self.tls = TlsStreams()
        self.has_more = False  # the last `read` may have left something that no edge will tell of
        self.limited: dict[int, Limit] = {}  # clients that their listener counts
        self.web_sockets: WebSocketOwner | None = None
        self.room_waits: dict[int, Callable[[int], None]] = {}  # slow clients: called when all is read, or at the end
        self.proxied = ProxiedClients()
        self.is_draining = False  # the worker stops
        self.can_stay: Callable[[int], bool] | None = None  # which ones another process still takes over, if it does
        self.is_late = False  # for those to be finished that do something of their own
        self._broken: set[int] = set()
        self._buffer = bytearray(READ_MAX_BYTES)
        self._view = memoryview(self._buffer)
        self._buffers = [self._buffer]
        self._tls_buffers = [self._view[:TLS_READ_MAX_BYTES]]
        self._early: dict[int, bytes] = {}  # of clients held by TLS: content that came before it was wanted
        self._row = row
        self._on_held_gone = on_held_gone
        self._call_soon = call_soon

    def add(self, fd: int, record: Record) -> None:
        """Take over a connected, non-blocking socket.

        Raises:
            OSError: the kernel has no memory to watch one more; the socket is still the caller's.
        """
        self.epoll.register(fd, INTERESTS)
        missing_count = fd + 1 - len(self.records)
        if missing_count > 0:
            self.records += [None] * missing_count
        self.records[fd] = record
        self.count += 1

    def close(self, fd: int) -> None:
        """Close at once; what was not written yet is lost."""
        self.records[fd] = None
        self.count -= 1
        self.backlogs.forget(fd)
        self._broken.discard(fd)
        self.proxied.forget(fd)
        if self.tls:
            self.tls.forget(fd)
            self._early.pop(fd, None)
        os.close(fd)
        if fd in self.limited:
            self.limited.pop(fd).give_back()
        self._tell_room(fd)

    def is_at_rest(self, fd: int) -> bool:
        """Say whether nothing of a client is here but its record, and what it has not read yet."""
        return fd not in self._broken and fd not in self.room_waits and fd not in self.tls

    def leave(self, fd: int) -> None:
        """Close a socket that another process has, too: the client notices nothing. Its backlog was taken out."""
        self.epoll.unregister(fd)  # else it would go on to report what happens to the client
        self.close(fd)

    def watch_again(self, fd: int) -> None:
        """Hear of everything that is so at a socket by now, whether it was told before or not."""
        self.epoll.modify(fd, INTERESTS)

    def client_ip(self, fd: int) -> str:
        """Give a client's address, empty if it is gone, or on a unix socket."""
        proxied_ip = self.proxied.client_ip(fd)
        if proxied_ip is not None:
            return proxied_ip
        client = socket.socket(fileno=fd)
        try:
            return str(client.getpeername()[0])
        except (OSError, IndexError):
            return ""
        finally:
            client.detach()

    def is_leaving(self, fd: int) -> bool:
        """Say whether a connection is to end with its present response."""
        return self.is_draining and (self.can_stay is None or not self.can_stay(fd))

    def is_https(self, fd: int) -> bool:
        """Say whether a client is served by TLS, here or by the load balancer that it comes from."""
        return fd in self.tls or self.proxied.is_https(fd)

    def on_ready(self) -> None:
        """Serve the sockets that are ready; called by the loop when the epoll's own fd is readable."""
        records, backlogs, web_sockets = self.records, self.backlogs, self.web_sockets
        if web_sockets is not None:
            web_sockets.on_turn_begun()
        for fd, mask in self.epoll.poll(0, READY_MAX_COUNT):
            record = records[fd]
            if record is None:
                continue
            try:
                if type(record) is WsKind and web_sockets is not None:
                    web_sockets.on_ready(fd, record, mask)
                    continue
                if mask & GONE:
                    self._gone(fd, record)
                    continue
                if mask & select.EPOLLOUT and fd in backlogs:
                    self.flush(fd)
                    record = records[fd]
                if mask & select.EPOLLIN and record is not None:
                    if record is HELD and fd in self.tls:
                        self._look_at_early(fd)
                    else:
                        record.on_readable()
            except Exception:  # a bug of ours: the rest of the batch will not be reported a second time
                self._row[Field.INTERNAL_ERRORS] += 1
                log.exception("internal error while serving a client's socket, which is closed")
                if records[fd] is not None:
                    self._break(fd)

    def read(self, fd: int) -> bytes | None:
        """Read what is there, at most READ_MAX_BYTES: None for nothing yet, ``b""`` for the end or a broken socket.

        Until it gives None, or `has_more` is off, there may be more that no edge will tell of.
        """
        if self.tls and fd in self.tls:
            return self._read_tls(fd)
        try:
            count = os.readv(fd, self._buffers)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        self.has_more = count == READ_MAX_BYTES
        return bytes(self._view[:count])

    def read_as_is(self, fd: int) -> bytes | None:
        """Read as `read` does, but do not decrypt."""
        try:
            count = os.readv(fd, self._tls_buffers)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        self.has_more = count == TLS_READ_MAX_BYTES
        return bytes(self._view[:count])

    def _read_tls(self, fd: int) -> bytes | None:
        early = self._early.pop(fd, None)
        if early is not None:
            self.has_more = True
            return early
        for _ in range(TLS_EMPTY_READS_MAX_COUNT):
            if fd in self.tls.ended:
                return b""
            data = self.read_as_is(fd)
            if not data:
                return data
            content = self.tls.decrypt(fd, data)
            self.flush_tls(fd)
            is_ended = fd in self.tls.ended
            self.has_more |= is_ended
            if content:
                return content
            if not self.has_more:
                return None
        return b""

    def _look_at_early(self, fd: int) -> None:
        """A client held by TLS has sent something: only decrypted it shows whether that is its end."""
        if len(self._early.get(fd, b"")) >= EARLY_MAX_BYTES:
            return
        early = self._early.pop(fd, b"")
        content = self._read_tls(fd)
        if content == b"":
            self._on_held_gone(fd)
        elif early or content:
            self._early[fd] = early + (content or b"")
            if fd in self.tls.ended:
                self._on_held_gone(fd)

    def flush_tls(self, fd: int) -> None:
        """Write what the protocol itself has to say to the client."""
        output = self.tls.take_output()
        if output:
            self.write_as_is(fd, output)

    def say_end(self, fd: int) -> None:
        """Tell a TLS client that all was sent: without that it takes a close for an attack. Others see the close."""
        if fd in self.tls and fd not in self.backlogs:
            with contextlib.suppress(OSError):
                os.write(fd, self.tls.encrypt_end(fd))

    def write(self, fd: int, payload: bytes, waiting: Waiting | None = None, is_item: bool = False) -> None:
        """Write to one connection; what does not fit waits, whatever its size. Its writer watches `backlogs`.

        `waiting` is the payload's, if it goes to several. `is_item`: this is how the client receives an item.
        """
        if self.tls and fd in self.tls:
            try:
                payload = self.tls.encrypt(fd, payload) if payload else b""
            except OSError:
                self._row[Field.DROPPED_GONE] += is_item
                self._break(fd)
                return
            waiting = None
        self.write_as_is(fd, payload, waiting, is_item)

    def write_as_is(self, fd: int, payload: bytes, waiting: Waiting | None = None, is_item: bool = False) -> None:
        """Write as `write` does, but do not encrypt."""
        count = 0
        if fd not in self.backlogs:
            try:
                count = os.write(fd, payload)
            except BlockingIOError:
                pass
            except OSError:
                self._row[Field.DROPPED_GONE] += is_item
                self._break(fd)
                return
            if count == len(payload):
                self._row[_DELIVERIES] += is_item
                return
        self.backlogs.add(fd, waiting or Waiting(payload, is_item), count)

    def forward(self, payload: bytes, fds: Collection[int], unread_max_bytes: int) -> list[int]:
        """Write to many connections and drop nothing. Give those that have more than `unread_max_bytes` to read.

        One that has more to read than may wait is broken off: with a gap, all that follows would be worth nothing.
        """
        waiting = Waiting(payload)
        for fd in fds:
            self.write(fd, payload, waiting)
        slow_fds = []
        for fd in fds if self.backlogs else ():
            backlog = self.backlogs.get(fd)
            if backlog is not None and backlog.bytes_count > unread_max_bytes:
                slow_fds.append(fd)
                if self.backlogs.is_overfull(backlog):
                    self._break(fd)
        return slow_fds

    def deliver(self, payload: bytes, fds: Collection[int]) -> int:
        """Write an item to many held connections; a client that reads too slowly loses what overflows.

        Give how many of them have it, or have it waiting for them.
        """
        row, backlogs = self._row, self.backlogs
        waiting_count = backlogs.items_count
        dropped_count, gone_count = self._write_all(payload, fds, is_item=True)
        taken_count = len(fds) - dropped_count - gone_count
        row[_DELIVERIES] += taken_count - (backlogs.items_count - waiting_count)
        if dropped_count or gone_count:
            row[Field.DROPPED_SLOW] += dropped_count
            row[Field.DROPPED_GONE] += gone_count
        return taken_count

    def keep_alive(self, payload: bytes, fds: Collection[int]) -> None:
        """Write keep-alive bytes to those that have nothing else waiting: the others are not quiet, they are slow."""
        idle_fds = [fd for fd in fds if fd not in self.backlogs] if self.backlogs else fds
        self._row[Field.KEEP_ALIVES] += len(idle_fds) - sum(self._write_all(payload, idle_fds))

    def _write_all(self, payload: bytes, fds: Collection[int], is_item: bool = False) -> tuple[int, int]:
        """Write the same to each, or let it wait. Give for how many it was dropped, and how many are gone."""
        write, backlogs, size, row = os.write, self.backlogs, len(payload), self._row
        waiting, dropped_count, broken_count = None, 0, 0
        if not backlogs.has_room(size):
            return len(fds), 0
        if backlogs.full and (full := backlogs.full.intersection(fds)):
            dropped_count = len(full)
            fds = [fd for fd in fds if fd not in full]
        if self.tls and (tls_fds := [fd for fd in fds if fd in self.tls]):
            dropped, broken = self._write_all_tls(payload, tls_fds, is_item)
            dropped_count += dropped
            broken_count += broken
            fds = [fd for fd in fds if fd not in self.tls]
        for fd in fds:
            count = 0
            if fd not in backlogs:
                try:
                    count = write(fd, payload)
                except BlockingIOError:
                    pass
                except OSError:
                    self._break(fd)
                    broken_count += 1
                    continue
                if count == size:
                    continue
            if waiting is None:
                waiting = Waiting(payload, is_item)
            slow_count = len(backlogs)
            if not backlogs.offer(fd, waiting, count):
                dropped_count += 1
            elif len(backlogs) != slow_count:
                row[Field.SLOW_CLIENTS] += 1
        return dropped_count, broken_count

    def _write_all_tls(self, payload: bytes, fds: list[int], is_item: bool) -> tuple[int, int]:
        """Write the same to each, encrypted for it; give what `_write_all` does.

        What is encrypted must be written, so it is found out before whether it may wait.
        """
        backlogs, row = self.backlogs, self._row
        dropped_count, broken_count = 0, 0
        for fd in fds:
            is_slow = fd in backlogs
            if is_slow and not backlogs.has_room_for(fd, len(payload), len(payload)):
                dropped_count += 1
                continue
            try:
                encrypted = self.tls.encrypt(fd, payload)
                count = 0
                if not is_slow:
                    with contextlib.suppress(BlockingIOError):
                        count = os.write(fd, encrypted)
            except OSError:
                self._break(fd)
                broken_count += 1
                continue
            if count < len(encrypted):
                backlogs.add(fd, Waiting(encrypted, is_item), count)
                row[Field.SLOW_CLIENTS] += not is_slow
        return dropped_count, broken_count

    def flush(self, fd: int) -> None:
        """Write of a slow client's backlog what its socket takes now."""
        try:
            is_drained = self.backlogs.flush(fd)
        except OSError:
            self._break(fd)
            return
        record = self.records[fd]
        if is_drained and record is not None:
            record.on_drained()
            self._tell_room(fd)

    def _tell_room(self, fd: int) -> None:
        if fd in self.room_waits:
            self.room_waits.pop(fd)(fd)

    def _gone(self, fd: int, record: Record) -> None:
        if record is HELD:
            self._on_held_gone(fd)
        elif type(record) is WsKind and self.web_sockets is not None:
            self.web_sockets.on_gone(fd)
        else:
            record.on_gone()

    def _break(self, fd: int) -> None:
        """Remember a socket that cannot be written to; its record hears of it when the caller is done."""
        if not self._broken:
            self._call_soon(self._sweep)
        self._broken.add(fd)

    def _sweep(self) -> None:
        broken, self._broken = self._broken, set()
        for fd in broken:
            record = self.records[fd]
            if record is not None:
                self._gone(fd, record)
