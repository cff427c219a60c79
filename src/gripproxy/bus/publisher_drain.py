"""Move the publishers of a ZeroMQ socket to whoever else listens at its address, without losing what is on its way.

ZeroMQ has no call for it, so it is done beneath ZeroMQ, on the descriptors that it uses:

1. The listening descriptor is another process's, too. Here ZeroMQ is told of no more connections (`set_accepting`);
   `zmq_unbind` would end those that are open, with all that was not read.
2. A publisher's connection that rests is shut down for writing. The publisher's ZeroMQ sees its end, closes it, and
   connects again after its reconnect interval (0.1 s if it has set none): to the other process. What it has not sent it
   keeps, and sends there.
3. What was under way is read until its end. Once both sides are shut the kernel reports a hang-up, and ZeroMQ reads no
   more from a connection whose queue of messages is full at that moment. So the limit of that queue is raised first.
   A queue that is full stays so under a higher limit until half of that has been read: so it is raised in steps, each
   when the one before has taken effect.

A publisher takes items from its queue in batches, and an item that is cut by a batch's end is lost with its
connection. It has none such when it has been silent for a while, although nothing kept it from sending. So connections
are shut that have been silent, all else read, for longer than a packet needs. Of those that are not within
`QUIET_MAX_S` it is enough that all was read at several looks: who keeps up with a publisher leaves its queue short. The
rest is shut after `REST_MAX_S`.
"""

import asyncio
import contextlib
import ctypes
import fcntl
import os
import platform
import socket
import stat
import struct
import termios
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import zmq

from gripproxy.bus.watched_socket import AnySocket
from gripproxy.bus.zmq_inputs import ZmqInput

LOOK_S = 0.001
QUIET_S = 0.003  # silent for so long, or for two round trips, is at rest
QUIET_MAX_S = 0.5
EMPTY_COUNT = 3  # looks that find nothing unread
REST_MAX_S = 5.0  # for a connection to come to rest, and again for its end to come
SETTLE_S = 0.02  # without a connection: one that was just being accepted shows by then
WAITING_MAX_COUNT = 262_144  # messages of a publisher that may wait to be read, while its connection is ended
WAITING_MAX_BYTES = 32 * 1024 * 1024
_EPOLL_CTL_MOD = 3
_TCP_INFO_RTT = 68  # offset of tcpi_rtt, in microseconds
_INT = struct.Struct("i")
_UINT = struct.Struct("I")


class _EpollEvent(ctypes.Structure):
    _pack_ = 1 if platform.machine() == "x86_64" else 0
    _fields_ = [("events", ctypes.c_uint32), ("data", ctypes.c_uint64)]


def set_accepting(listener_fd: int, is_accepting: bool) -> None:
    """Let ZeroMQ's thread look for connections on a descriptor of its own, or not.

    Raises:
        OSError: it cannot be arranged.
    """
    for epoll_fd, data in _registrations(listener_fd):
        event = _EpollEvent(1 if is_accepting else 0, data)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.epoll_ctl(epoll_fd, _EPOLL_CTL_MOD, listener_fd, ctypes.byref(event)):
            raise OSError(ctypes.get_errno(), "epoll_ctl of ZeroMQ's listener")
        return
    raise OSError(f"ZeroMQ's listener {listener_fd} is in no epoll")


def _registrations(fd: int) -> Iterator[tuple[int, int]]:
    """Give the epoll descriptors of this process that look after `fd`, and what they call it."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}") != "anon_inode:[eventpoll]":
                continue
            with open(f"/proc/self/fdinfo/{name}") as lines:
                for line in lines:
                    words = line.split()
                    if words[0] == "tfd:" and int(words[1]) == fd:
                        yield int(name), int(words[5], 16)


def find_sockets(zmq_socket: AnySocket) -> tuple[int | None, set[int]]:
    """Give the descriptors by which a bound ZeroMQ socket listens and has its connections."""
    endpoint: Any = zmq_socket.getsockopt(zmq.LAST_ENDPOINT)
    scheme, _, address = os.fsdecode(endpoint.rstrip(b"\0")).partition("://")
    listener, connections = None, set[int]()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError), _borrowed(int(name)) as found:
            if _is_at(found, scheme, address):
                if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    listener = int(name)
                else:
                    connections.add(int(name))
    return listener, connections


def _is_at(found: socket.socket, scheme: str, address: str) -> bool:
    name = found.getsockname()
    if scheme == "ipc":
        return found.family == socket.AF_UNIX and name == address
    return found.family in (socket.AF_INET, socket.AF_INET6) and name[1] == int(address.rpartition(":")[2])


@contextlib.contextmanager
def _borrowed(fd: int) -> Iterator[socket.socket]:
    """Use a descriptor that belongs to somebody else as a socket."""
    if not stat.S_ISSOCK(os.fstat(fd).st_mode):
        raise OSError("not a socket")
    found = socket.socket(fileno=fd)
    try:
        yield found
    finally:
        found.detach()


class PublisherDrain:
    """Ends the connections of one bound socket. With `zmq_input` it is one that items or commands come by."""

    def __init__(self, zmq_socket: AnySocket, zmq_input: ZmqInput | None = None) -> None:
        self._zmq_socket = zmq_socket
        self._input = zmq_input
        self._hwm = int(zmq_socket.getsockopt(zmq.RCVHWM))
        self._first_hwm = self._hwm
        self._sources: Counter[int] = Counter()
        self._step: Counter[int] = Counter()  # what had been read of each when the limit was raised last
        self._dry_count = 0
        self._quiet: dict[int, tuple[int, float]] = {}  # messages read of a connection, and since when no more came
        self._empty: Counter[int] = Counter()  # looks one after the other that found nothing unread
        self._begun = 0.0
        self._is_behind = False  # something was unread at the last look
        self._ended: set[int] = set()
        self.forced_count = 0  # connections that never came to rest
        self.listener_fd, self._connections = find_sockets(zmq_socket)

    def is_for(self, zmq_input: ZmqInput | None) -> bool:
        """Say whether this is what ends an input's connections."""
        return zmq_input is not None and self._input is zmq_input

    def stop_accepting(self) -> None:
        """Leave new connections to the other process.

        Raises:
            OSError: it cannot be arranged.
        """
        if self.listener_fd is not None:
            set_accepting(self.listener_fd, False)

    def resume(self) -> None:
        """Go on as if nothing had been."""
        self._leave_counting()
        if self._hwm != self._first_hwm:
            self._set_limit(self._first_hwm)
        if self.listener_fd is not None:
            with contextlib.suppress(OSError):
                set_accepting(self.listener_fd, True)

    async def run(self) -> None:
        """End all connections, and return when nothing more will come."""
        begun = self._begun = time.monotonic()
        if self._input is not None:
            self._input.sources = self._sources
        idle_since = begun
        while True:
            now = time.monotonic()
            self._connections = find_sockets(self._zmq_socket)[1]
            self._ended &= self._connections
            if self._connections:
                idle_since = now
            elif now - idle_since > SETTLE_S and self._is_dry():
                break
            if now - begun > 2 * REST_MAX_S:
                break
            self._raise_limit()
            self._is_behind = False
            for fd in self._connections - self._ended:
                self._look(fd, now, now - begun > REST_MAX_S)
            await asyncio.sleep(LOOK_S)
        self._leave_counting()

    def _leave_counting(self) -> None:
        if self._input is not None:
            self._input.sources = None

    def _set_limit(self, hwm: int) -> None:
        """Let ZeroMQ take note of connections that are gone first: to tell such a one of a limit crashes it."""
        self._zmq_socket.getsockopt(zmq.EVENTS)
        if self._input is not None:
            self._input.wake()  # the question may eat an edge
        self._zmq_socket.setsockopt(zmq.RCVHWM, hwm)
        self._hwm = hwm

    def _is_dry(self) -> bool:
        if self._input is None or not int(self._zmq_socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            return True
        self._input.wake()  # the question ate the edge that tells of it
        return False

    def _look(self, fd: int, now: float, is_forced: bool) -> None:
        """End a connection if it is at rest."""
        with contextlib.suppress(OSError), _borrowed(fd) as connection:
            unread_bytes = _INT.unpack(fcntl.ioctl(fd, termios.FIONREAD, _INT.pack(0)))[0]
            read_count, since = self._quiet.get(fd, (-1, now))
            if unread_bytes or read_count != self._sources[fd]:
                read_count, since = self._sources[fd], now
            self._quiet[fd] = read_count, since
            self._is_behind = self._is_behind or unread_bytes > 0
            self._empty[fd] = 0 if unread_bytes else self._empty[fd] + 1
            is_late = now - self._begun > QUIET_MAX_S and self._empty[fd] >= EMPTY_COUNT
            if is_forced or is_late or now - since >= _quiet_s(connection):
                self.forced_count += is_forced and not is_late
                connection.shutdown(socket.SHUT_WR)
                self._ended.add(fd)

    def _raise_limit(self) -> None:
        """Let twice as much wait, once every connection was read far enough for the last limit to have taken effect."""
        zmq_input = self._input
        if zmq_input is None or self._hwm >= WAITING_MAX_COUNT or self._ended or not self._is_behind:
            return
        is_dry = zmq_input.dry_count != self._dry_count
        if not is_dry and not all(self._sources[fd] - self._step[fd] >= self._hwm for fd in self._connections):
            return
        read_count = sum(count for fd, count in self._sources.items() if fd >= 0)
        mean_bytes = self._sources[-1] / read_count if read_count else 0
        if 2 * self._hwm * mean_bytes > WAITING_MAX_BYTES:
            return
        self._set_limit(2 * self._hwm)
        self._dry_count = zmq_input.dry_count
        self._step = Counter(self._sources)


def _quiet_s(connection: socket.socket) -> float:
    if connection.family == socket.AF_UNIX:
        return QUIET_S
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_RTT + _UINT.size)
    rtt_us: int = _UINT.unpack_from(info, _TCP_INFO_RTT)[0]
    return max(QUIET_S, 2 * rtt_us / 1e6)
