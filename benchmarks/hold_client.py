"""One client process: opens streams or WebSockets, keeps them open and counts what arrives, with little CPU."""

import mmap
import os
import select
import socket
import ssl
import struct
import sys
from dataclasses import dataclass
from enum import IntEnum
from multiprocessing.connection import Connection

from benchmarks.item_mark import MARK
from benchmarks.latency_histogram import LatencyRecorder
from benchmarks.socket_frames import ACCEPTED, handshake_request

IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h: the port is chosen at connect, so each address gives its full range
CONNECTIONS_PER_ADDRESS_COUNT = 20_000  # the kernel's default client port range has 28,000
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: no TIME_WAIT
READ_BYTES = 4096
ETHERNET_SEGMENT_BYTES = 1448
EVENTS_MAX_COUNT = 1024
TLS_LIMIT_S = 20.0  # for one handshake and the answer behind it
ROW = struct.Struct("4Q")


class Counter(IntEnum):
    """What a client process counts, in the order of ROW."""

    HELD = 0
    FAILED = 1
    LOST = 2
    RECEIVED = 3


@dataclass(frozen=True, slots=True)
class HoldTarget:
    """Where to connect and what to ask. Connection i goes to port i mod ports and to the channels in turn."""

    ports: tuple[int, ...]
    path: str  # ``{}`` is the channel
    channel_count: int
    opening_max_count: int = 32  # per process: connections that have no response yet
    first_channel: int = 0
    # With this receive buffer, nothing is read behind the response head; what comes fills the kernel's queues. Its
    # sending queue has room for 20 segments, which would be over a megabyte with those of loopback.
    unread_receive_bytes: int | None = None
    is_websocket: bool = False
    # One after the other is connected, and then only kept: what comes is not decrypted, so nothing can be counted.
    is_tls: bool = False

    def request(self, index: int) -> bytes:
        """Give what connection `index` asks."""
        path = self.path.format(f"c{self.first_channel + index % self.channel_count}")
        return handshake_request(path, index) if self.is_websocket else stream_request(path)

    @property
    def answer(self) -> bytes:
        """How the answer begins when the connection is held."""
        return ACCEPTED if self.is_websocket else b"HTTP/1.1 200 "


class HoldClient:
    """The loop of one client process. Reads ``(first_index, count)`` from `commands` and opens that many.

    With a `recorder` it also counts how old the items are that come.
    """

    def __init__(
        self,
        target: HoldTarget,
        commands: Connection,
        rows: mmap.mmap,
        row: int,
        recorder: LatencyRecorder | None = None,
    ) -> None:
        self._target = target
        self._recorder = recorder
        self._commands = commands
        self._rows = rows
        self._row_offset = row * ROW.size
        self._epoll = select.epoll()
        self._epoll.register(commands.fileno(), select.EPOLLIN)
        self._opening: dict[int, bytes] = {}  # fd -> what of the response head has come
        self._next_index = 0
        self._end_index = 0
        self._counts = [0, 0, 0, 0]

    def run(self) -> None:
        """Work until the parent closes its end of the pipe; the process's exit then resets all connections."""
        read, mark, counts = os.read, MARK, self._counts
        opening, command_fd = self._opening, self._commands.fileno()
        record = self._recorder.record if self._recorder else None
        while True:
            self._open_more()
            for fd, _ in self._epoll.poll(-1, EVENTS_MAX_COUNT):
                if fd == command_fd:
                    if not self._obey():
                        return
                    continue
                try:
                    data = read(fd, READ_BYTES)
                except OSError:
                    data = b""
                if fd in opening:
                    self._read_head(fd, data)
                elif data:
                    counts[Counter.RECEIVED] += data.count(mark)
                    if record:
                        record(fd, data)
                else:
                    self._lose(fd)
            self._publish_counts()

    def _lose(self, fd: int) -> None:
        self._counts[Counter.LOST] += 1
        if self._recorder:
            self._recorder.forget(fd)
        os.close(fd)

    def _obey(self) -> bool:
        try:
            self._next_index, count = self._commands.recv()
        except EOFError:
            return False
        self._end_index = self._next_index + count
        return True

    def _open_more(self) -> None:
        failed_before = self._counts[Counter.FAILED]
        while self._next_index < self._end_index and len(self._opening) < self._target.opening_max_count:
            index = self._next_index
            self._next_index += 1
            try:
                fd, head = self._connect(index)
            except OSError:
                self._counts[Counter.FAILED] += 1
                continue
            self._opening[fd] = b""
            self._epoll.register(fd, select.EPOLLIN)
            if head:
                self._read_head(fd, head)
                self._publish_counts()
        if self._counts[Counter.FAILED] != failed_before:
            self._publish_counts()

    def _connect(self, index: int) -> tuple[int, bytes]:
        target, address, request = self._target, source_address(index), self._target.request(index)
        port = target.ports[index % len(target.ports)]
        if target.is_tls:
            return connect_tls(address, port, request)
        return connect(address, port, request, target.unread_receive_bytes), b""

    def _read_head(self, fd: int, data: bytes) -> None:
        head = self._opening[fd] + data
        if data and b"\r\n\r\n" not in head:
            self._opening[fd] = head
            return
        del self._opening[fd]
        if head.startswith(self._target.answer):
            self._counts[Counter.HELD] += 1
            if self._target.unread_receive_bytes is not None:
                self._epoll.modify(fd, 0)  # but for a reset, which is always reported
            self._counts[Counter.RECEIVED] += head.count(MARK)
            if self._recorder:
                self._recorder.record(fd, head)
        else:
            if not self._counts[Counter.FAILED]:
                print(f"the first connection that is not held was answered with {head[:120]!r}", file=sys.stderr)
            self._counts[Counter.FAILED] += 1
            os.close(fd)

    def _publish_counts(self) -> None:
        ROW.pack_into(self._rows, self._row_offset, *self._counts)


def stream_request(path: str) -> bytes:
    """Give the request for an SSE stream."""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n".encode()


def connect(address: str, port: int, request: bytes = b"", unread_receive_bytes: int | None = None) -> int:
    """Connect from `address` and send the request; on loopback both are done when the calls return. Gives the fd.

    With `unread_receive_bytes` the kernel takes as little for the client as it does over Ethernet.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connecting:
        connecting.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        connecting.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        if unread_receive_bytes is not None:
            connecting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, unread_receive_bytes)
            connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, ETHERNET_SEGMENT_BYTES)
        connecting.bind((address, 0))
        connecting.connect(("127.0.0.1", port))
        if request:
            connecting.send(request)
        connecting.setblocking(False)
        return connecting.detach()


def connect_tls(address: str, port: int, request: bytes) -> tuple[int, bytes]:
    """Connect by TLS and send the request; gives the fd without its TLS, and the head of the answer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connecting:
        connecting.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connecting.settimeout(TLS_LIMIT_S)
        connecting.bind((address, 0))
        connecting.connect(("127.0.0.1", port))
        with context.wrap_socket(connecting) as stream:
            stream.sendall(request)
            head = b""
            while b"\r\n\r\n" not in head:
                data = stream.recv(READ_BYTES)
                if not data:
                    raise ConnectionError(f"closed behind {head!r}")
                head += data
            stream.setblocking(False)
            return stream.detach(), head


def source_address(index: int) -> str:
    """Give connection `index` an address of 127.0.0.0/8 that has ports left, from 127.1.0.1 on."""
    number = index // CONNECTIONS_PER_ADDRESS_COUNT
    return f"127.{1 + number // 62_500}.{number // 250 % 250}.{1 + number % 250}"
