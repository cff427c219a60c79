"""The floor for a fan-out: a process that does nothing but write(2) the same bytes to every socket of a channel."""

import os
import select
import socket
import sys
from contextlib import suppress

from benchmarks.item_mark import ITEM_BYTES, sse_template
from benchmarks.item_publisher import ItemPublisher, LinePublisher
from benchmarks.machine import REPOSITORY, raise_file_limit
from benchmarks.servers.server import Server, free_port

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = sse_template() % 0
CHUNK = b"%x\r\n%s\r\n" % (len(EVENT), EVENT.encode())  # the bytes a GRIP proxy writes for an item


class WriteLoopServer(Server):
    """Runs this module as a process of its own."""

    name = "write loop"

    def __init__(self, directory: os.PathLike[str], origin_port: int) -> None:
        super().__init__(directory, origin_port)  # type: ignore[arg-type]
        self.line_port = free_port()

    def command(self) -> list[str]:
        """Give the two ports as arguments."""
        return [sys.executable, "-m", "benchmarks.servers.write_loop", str(self.http_port), str(self.line_port)]

    def environment(self) -> dict[str, str]:
        """Find this package from any directory."""
        return {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])}

    def ready_path(self) -> str:
        """A channel that is never written to."""
        return "/hold?c=c999999999"

    def hold_path(self) -> str:
        """Every request is held."""
        return "/hold?c={}"

    def publisher(self, channel_count: int, size_bytes: int = ITEM_BYTES, is_websocket: bool = False) -> ItemPublisher:
        """A line per item."""
        return LinePublisher(self.line_port)


class WriteLoop:
    """Holds whoever asks, and writes CHUNK to a channel's sockets for each line with the channel's number."""

    def __init__(self, http_port: int, line_port: int) -> None:
        self._epoll = select.epoll()
        self._listeners = {}
        for port in (http_port, line_port):
            listener = socket.create_server(("127.0.0.1", port), backlog=4096)
            self._listeners[listener.fileno()] = listener
            self._epoll.register(listener, select.EPOLLIN)
        self._line_listener = listener.fileno()
        self._requests: dict[int, socket.socket] = {}
        self._lines: dict[int, socket.socket] = {}
        self._rest = b""
        self._channels: dict[bytes, list[int]] = {}

    def run(self) -> None:
        """Serve until killed."""
        while True:
            for fd, _ in self._epoll.poll():
                if fd in self._listeners:
                    self._accept(fd)
                elif fd in self._lines:
                    self._write_items(fd)
                else:
                    self._hold(fd)

    def _accept(self, listener_fd: int) -> None:
        accepted, _ = self._listeners[listener_fd].accept()
        (self._lines if listener_fd == self._line_listener else self._requests)[accepted.fileno()] = accepted
        self._epoll.register(accepted, select.EPOLLIN)

    def _hold(self, fd: int) -> None:
        request = os.read(fd, 4096)
        self._epoll.unregister(fd)
        accepted = self._requests.pop(fd)
        channel = request.partition(b"?c=c")[2].partition(b" ")[0]
        if not channel:
            accepted.close()
            return
        accepted.sendall(HEAD)
        accepted.setblocking(False)
        self._channels.setdefault(channel, []).append(accepted.detach())

    def _write_items(self, fd: int) -> None:
        data = os.read(fd, 65536)
        if not data:
            self._epoll.unregister(fd)
            self._lines.pop(fd).close()
            return
        *channels, self._rest = (self._rest + data).split(b"\n")
        write = os.write
        for channel in channels:
            for held in self._channels.get(channel, ()):
                with suppress(ConnectionError):
                    write(held, CHUNK)


if __name__ == "__main__":
    raise_file_limit()
    WriteLoop(int(sys.argv[1]), int(sys.argv[2])).run()
