"""Messages between the hub of one version and that of the next, on a unix socket; descriptors go with them."""

import asyncio
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgpack

from gripproxy.errors import InternalError

MESSAGE_MAX_BYTES = 64 * 1024 * 1024  # some hundred times what is ever sent
CHUNK_MAX_COUNT = 2_000  # entries of a long list in one message: about 2 ms for both
_READ_BYTES = 262_144
_FDS_MAX_COUNT = 32
_HEAD = struct.Struct("!I")
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


class HubLink:
    """One end of the connection, which it owns. Both ends take turns in saying what they agreed on."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._loop = loop
        self._connection = connection
        self._buffer = bytearray()
        self._fds: list[int] = []

    def close(self) -> None:
        """End it; descriptors that came and were not taken are closed."""
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()
        self._connection.close()

    @property
    def is_trusted(self) -> bool:
        """Whether the other end is of the same user, or root."""
        packed = self._connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return _CREDENTIALS.unpack(packed)[1] in (0, os.geteuid())

    async def send(self, kind: str, *values: object, fds: Sequence[int] = ()) -> None:
        """Say something.

        Raises:
            OSError: the other end is gone.
        """
        body = msgpack.packb((kind, len(fds), values), use_bin_type=True, unicode_errors="surrogatepass")
        rest = memoryview(_HEAD.pack(len(body)) + body)
        while rest:
            try:
                sent_count = socket.send_fds(self._connection, [rest], list(fds), socket.MSG_NOSIGNAL)
            except BlockingIOError:
                await self._wait(self._loop.add_writer, self._loop.remove_writer)
            else:
                rest, fds = rest[sent_count:], ()

    async def send_all(self, kind: str, entries: Iterable[object]) -> None:
        """Say many things of a kind, some in each message.

        Raises:
            OSError: the other end is gone.
        """
        for chunk in _chunks(entries):
            await self.send(kind, chunk)
            await asyncio.sleep(0)

    async def receive(self) -> tuple[str, list[Any], list[int]]:
        """Give what the other end says next: kind, values and descriptors, which are the caller's now.

        Raises:
            OSError: the other end is gone.
            InternalError: what it says is damaged.
        """
        (size_bytes,) = _HEAD.unpack(await self._read(_HEAD.size))
        if size_bytes > MESSAGE_MAX_BYTES:
            raise InternalError(f"message of {size_bytes} bytes between hubs")
        body = await self._read(size_bytes)
        try:
            kind, fds_count, values = msgpack.unpackb(body, unicode_errors="surrogatepass")
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise InternalError(f"message between hubs is damaged: {error}") from None
        fds, self._fds = self._fds[:fds_count], self._fds[fds_count:]
        return kind, values, fds

    async def _read(self, count: int) -> bytes:
        while len(self._buffer) < count:
            try:
                data, fds, _, _ = socket.recv_fds(
                    self._connection, _READ_BYTES, _FDS_MAX_COUNT, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                await self._wait(self._loop.add_reader, self._loop.remove_reader)
                continue
            self._fds += fds
            if not data:
                raise ConnectionResetError("the other hub closed the connection")
            self._buffer += data
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    async def _wait(self, add: Any, remove: Any) -> None:
        ready = self._loop.create_future()

        def on_ready() -> None:
            if not ready.done():
                ready.set_result(None)

        add(self._connection.fileno(), on_ready)
        try:
            await ready
        finally:
            remove(self._connection.fileno())


def _chunks(entries: Iterable[object]) -> Iterator[list[object]]:
    rest = iter(entries)
    while chunk := list(islice(rest, CHUNK_MAX_COUNT)):
        yield chunk
