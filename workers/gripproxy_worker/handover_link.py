"""Messages with file descriptors between an old worker and a new one, over a unix stream socket.

A message is a head (the sizes), a byte for each 253 descriptors, which go with it, and a msgpack body.
"""

import array
import asyncio
import errno
import os
import socket
import struct
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import msgpack

from gripproxy.errors import InternalError

FDS_MAX_COUNT = 253  # with one byte: SCM_MAX_FD of Linux
MESSAGE_MAX_BYTES = 1 << 30  # more is no message of ours
READ_MAX_BYTES = 262_144
READS_MAX_COUNT = 16  # in one turn of the loop
RETRY_S = 0.01  # when as many descriptors are on their way as the kernel allows
_HEAD = struct.Struct("!II")  # bytes of the body, descriptors
_ANCILLARY_BYTES = socket.CMSG_SPACE(FDS_MAX_COUNT * array.array("i").itemsize)
# Channels may hold what is no UTF-8: half a surrogate pair.
_pack = msgpack.Packer(use_bin_type=True, unicode_errors="surrogatepass").pack
_unpack = msgpack.unpackb

Message = tuple[Any, ...]


class LinkClosed(Exception):
    """The other side is gone, or has closed the link."""


class HandoverLink:
    """One end of a link. Descriptors that are sent stay the sender's; those that are received are the receiver's."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._loop = loop
        self._sock = sock
        self._fd = sock.fileno()
        self._input = bytearray()
        self._input_fds: list[int] = []
        self._messages: deque[tuple[Message, list[int]]] = deque()
        self._is_ended = False
        self._reader: asyncio.Future[None] | None = None
        self._output: deque[tuple[memoryview, Sequence[int]]] = deque()
        self._writer: asyncio.Future[None] | None = None
        self.is_open = True
        loop.add_reader(self._fd, self._on_readable)

    async def receive(self, timeout_s: float | None = None) -> tuple[Message, list[int]]:
        """Give the next message and its descriptors.

        Raises:
            LinkClosed: there will be none.
            TimeoutError: none came in time; a later call may still give it.
        """
        if not self._messages and not self._is_ended and self.is_open:
            reader = self._reader = self._loop.create_future()
            timer = None if timeout_s is None else self._loop.call_later(timeout_s, _finish, reader)
            try:
                await reader
            finally:
                self._reader = None
                if timer is not None:
                    timer.cancel()
        if self._messages:
            return self._messages.popleft()
        if self._is_ended or not self.is_open:
            raise LinkClosed
        raise TimeoutError

    async def send(self, message: Iterable[Any], fds: Sequence[int] = (), timeout_s: float | None = None) -> None:
        """Send a message; return when the kernel has all of it.

        Raises:
            LinkClosed: the other side takes nothing any more.
            TimeoutError: it did not take all of it in time.
        """
        self.put(message, fds)
        if self._output:
            writer = self._writer = self._loop.create_future()
            timer = None if timeout_s is None else self._loop.call_later(timeout_s, _finish, writer)
            try:
                await writer
            finally:
                self._writer = None
                if timer is not None:
                    timer.cancel()
            if not self.is_open:
                raise LinkClosed
            if self._output:
                raise TimeoutError

    def put(self, message: Iterable[Any], fds: Sequence[int] = ()) -> None:
        """Send as much of a message as the kernel takes now, and the rest later.

        Raises:
            LinkClosed: the other side takes nothing any more.
        """
        if not self.is_open:
            raise LinkClosed
        body = _pack(tuple(message))
        chunks = [fds[begin : begin + FDS_MAX_COUNT] for begin in range(0, len(fds), FDS_MAX_COUNT)]
        if not chunks:
            self._output.append((memoryview(_HEAD.pack(len(body), 0) + body), ()))
        else:
            self._output.append((memoryview(_HEAD.pack(len(body), len(fds))), ()))
            self._output += [(memoryview(b"\0"), chunk) for chunk in chunks]
            self._output.append((memoryview(body), ()))
        if not self._flush():
            raise LinkClosed

    @property
    def is_flushed(self) -> bool:
        """Whether the kernel has all that was sent."""
        return not self._output

    def put_now(self, message: Iterable[Any]) -> bool:
        """Send a small message at once, or not at all. False: the other side has not read what it was sent before.

        Raises:
            LinkClosed: the other side takes nothing any more, and certainly never gets this.
        """
        body = _pack(tuple(message))
        payload = _HEAD.pack(len(body), 0) + body
        if not self.is_open:
            raise LinkClosed
        try:
            return not self._output and self._sock.send(payload) == len(payload)
        except BlockingIOError:
            return False
        except OSError:
            raise LinkClosed from None

    def stop_receiving(self) -> list[tuple[Message, list[int]]]:
        """Let the other side's `put_now` fail from here on. Give the messages that it could send before."""
        self._loop.remove_reader(self._fd)
        try:
            self._sock.shutdown(socket.SHUT_RD)
            while not self._is_ended:
                self._read()
        except OSError:
            pass
        self._is_ended = True
        left, self._messages = list(self._messages), deque()
        return left

    def close(self) -> None:
        """Close this end, and the descriptors that nobody has taken."""
        if not self.is_open:
            return
        self.is_open = False
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._sock.close()
        for fds in (self._input_fds, *[fds for _, fds in self._messages]):
            close_all(fds)
        self._messages.clear()
        self._output.clear()
        for waiter in (self._reader, self._writer):
            if waiter is not None:
                _finish(waiter)

    def _on_readable(self) -> None:
        try:
            for _ in range(READS_MAX_COUNT):
                if self._is_ended:
                    break
                self._read()
        except BlockingIOError:
            pass
        except (OSError, InternalError):
            self._is_ended = True
        if self._is_ended:
            self._loop.remove_reader(self._fd)
        if self._reader is not None and (self._messages or self._is_ended):
            _finish(self._reader)

    def _read(self) -> None:
        """Read once; the kernel gives at most one chunk of descriptors at a time."""
        data, ancillary, flags, _ = self._sock.recvmsg(READ_MAX_BYTES, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC)
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
                self._input_fds += fds
        self._is_ended = not data
        if flags & socket.MSG_CTRUNC:
            raise InternalError("this process has no room for the descriptors that it is sent")
        self._input += data
        self._take_messages()

    def _take_messages(self) -> None:
        while len(self._input) >= _HEAD.size:
            body_bytes, fds_count = _HEAD.unpack_from(self._input)
            if body_bytes > MESSAGE_MAX_BYTES:
                raise InternalError("a message of the hand-over is damaged")
            begin = _HEAD.size + -(-fds_count // FDS_MAX_COUNT)
            if len(self._input) < begin + body_bytes:
                return
            body = bytes(memoryview(self._input)[begin : begin + body_bytes])
            del self._input[: begin + body_bytes]
            fds, self._input_fds = self._input_fds[:fds_count], self._input_fds[fds_count:]
            try:
                message = _unpack(body, use_list=False, unicode_errors="surrogatepass", strict_map_key=False)
            except (ValueError, TypeError, msgpack.UnpackException) as error:
                close_all(fds)
                raise InternalError(f"a message of the hand-over is damaged: {error}") from None
            self._messages.append((tuple(message), fds))

    def _flush(self) -> bool:
        """Write what the kernel takes; say whether the other side still takes anything."""
        try:
            while self._output:
                data, fds = self._output[0]
                ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
                count = self._sock.sendmsg([data], ancillary)
                if count < len(data):
                    self._output[0] = data[count:], ()
                else:
                    self._output.popleft()
        except BlockingIOError:
            self._loop.add_writer(self._fd, self._on_writable)
            return True
        except OSError as error:
            if error.errno == errno.ETOOMANYREFS:
                self._loop.call_later(RETRY_S, self._on_writable)
                return True
            self._output.clear()
            return False
        return True

    def _on_writable(self) -> None:
        if not self.is_open:
            return
        self._loop.remove_writer(self._fd)
        is_taken = self._flush()
        if self._writer is not None and not self._output and not self._writer.done():
            if is_taken:
                self._writer.set_result(None)
            else:
                self._writer.set_exception(LinkClosed())


def close_all(fds: Iterable[int]) -> None:
    """Close descriptors that nobody needs."""
    for fd in fds:
        os.close(fd)


def _finish(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
