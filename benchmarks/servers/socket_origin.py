"""The origin of WebSocket benchmarks: an epoll loop that accepts every WebSocket, subscribes it, and echoes.

It is asked in both ways, by a WebSocket and over HTTP. ``c=CHANNEL`` in the query subscribes, as often as it is there.
"""

import os
import re
import select
import socket
import sys
from collections.abc import Iterator

from benchmarks.machine import REPOSITORY, raise_file_limit
from benchmarks.servers.server import Server
from benchmarks.socket_frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    decode_from_client,
    encode_from_server,
    handshake_answer,
)

READ_BYTES = 65536
LISTEN_BACKLOG_COUNT = 4096
GRIP = b"grip"
PREFIX = b"m:"
KEEP_ALIVE_TEXT = b":"
KEEP_ALIVE_FRAME = encode_from_server(TEXT, KEEP_ALIVE_TEXT)  # what a client receives as a keep-alive

_READY = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nready\n"
_EVENTS_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/websocket-events\r\n%bContent-Length: %d\r\n\r\n%b"  # lines, size
)
_EXTENSION_LINE = b"Sec-WebSocket-Extensions: grip\r\n"
_LENGTH_LINE = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_UPGRADE_LINE = re.compile(rb"(?i)\r\nupgrade: *websocket")


class SocketOrigin(Server):
    """Runs this module as a process of its own."""

    name = "WebSocket origin"

    def command(self) -> list[str]:
        """Give the port as argument."""
        return [sys.executable, "-m", "benchmarks.servers.socket_origin", str(self.http_port)]

    def environment(self) -> dict[str, str]:
        """Find this package from any directory."""
        return {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])}

    def ready_path(self) -> str:
        """What is no WebSocket is answered with a text."""
        return "/ready"


def request_bytes(data: bytes) -> int | None:
    """Give how long the request is that `data` begins with, None while its head or its body is not whole."""
    head_end = data.find(b"\r\n\r\n") + 4
    if head_end == 3:
        return None
    length = _LENGTH_LINE.search(data, 0, head_end) if data.startswith(b"POST ") else None
    end = head_end + (int(length[1]) if length else 0)
    return end if len(data) >= end else None


def controls(target: bytes, keep_alive_s: int | None = None) -> list[bytes]:
    """Give the control messages for a WebSocket that asked for `target`: its channels, and keep-alives if any."""
    channels = (word[2:] for word in target.partition(b"?")[2].split(b"&") if word[1:2] == b"=")
    found = [b'c:{"type":"subscribe","channel":"%b"}' % channel for channel in channels]
    if keep_alive_s is not None:
        found.append(b'c:{"type":"keep-alive","content":"%b","timeout":%d}' % (KEEP_ALIVE_TEXT, keep_alive_s))
    return found


def answer_events(request: bytes, keep_alive_s: int | None = None) -> bytes:
    """Answer a request of WebSocket-over-HTTP: accept what opens, send back what is said."""
    body = request[request.index(b"\r\n\r\n") + 4 :]
    if body.startswith(b"OPEN\r\n"):
        target = request[5 : request.index(b" ", 5)]
        texts = b"".join(_event(b"TEXT", control) for control in controls(target, keep_alive_s))
        return _EVENTS_HEAD % (_EXTENSION_LINE, len(texts) + 6, b"OPEN\r\n" + texts)
    answers = b"".join(_echo(kind, content) for kind, content in decode_events(body))
    return _EVENTS_HEAD % (b"", len(answers), answers)


def decode_events(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Give type and content of each event; those without content have an empty one."""
    at = 0
    while at < len(body):
        line_end = body.index(b"\r\n", at)
        kind, _, size = body[at:line_end].partition(b" ")
        at = line_end + 2
        content = body[at : at + int(size, 16)] if size else b""
        at += len(content) + 2 if size else 0
        yield kind, content


def _echo(kind: bytes, content: bytes) -> bytes:
    if kind in (b"TEXT", b"BINARY"):
        return _event(kind, PREFIX + content)
    if kind == b"PING":
        return _event(b"PONG", content)
    if kind == b"CLOSE":
        return _event(kind, content) if content else b"CLOSE\r\n"
    return b""


def _event(kind: bytes, content: bytes) -> bytes:
    return b"%b %x\r\n%b\r\n" % (kind, len(content), content)


class SocketOriginLoop:
    """Serves on a listener until it is killed."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._epoll = select.epoll()
        self._epoll.register(listener.fileno(), select.EPOLLIN)
        self._partial: dict[int, bytes] = {}
        self._sockets: set[int] = set()  # connections that speak WebSocket

    def run(self) -> None:
        """Serve."""
        listener_fd = self._listener.fileno()
        while True:
            for fd, _ in self._epoll.poll():
                if fd == listener_fd:
                    self._accept()
                else:
                    self._read(fd)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._epoll.register(client.detach(), select.EPOLLIN)

    def _read(self, fd: int) -> None:
        try:
            data = os.read(fd, READ_BYTES)
            if data:
                if fd in self._partial:
                    data = self._partial.pop(fd) + data
                rest = self._serve_frames(fd, data) if fd in self._sockets else self._serve_request(fd, data)
                if rest:
                    self._partial[fd] = rest
                return
        except OSError:
            pass
        self._partial.pop(fd, None)
        self._sockets.discard(fd)
        os.close(fd)

    def _serve_request(self, fd: int, data: bytes) -> bytes:
        """Answer a request; gives what is not whole yet."""
        size = request_bytes(data)
        if size is None:
            return data
        if data.startswith(b"POST "):
            os.write(fd, answer_events(data))
        elif _UPGRADE_LINE.search(data, 0, size):
            self._sockets.add(fd)
            frames = (encode_from_server(TEXT, control) for control in controls(data[4 : data.index(b" ", 4)]))
            os.write(fd, handshake_answer(data, GRIP) + b"".join(frames))
            return self._serve_frames(fd, data[size:])
        else:
            os.write(fd, _READY)
        return b""

    def _serve_frames(self, fd: int, data: bytes) -> bytes:
        """Send frames back; gives what is not whole yet."""
        answers = []
        frames, end = decode_from_client(data)
        for opcode, payload in frames:
            if opcode in (TEXT, BINARY):
                answers.append(encode_from_server(opcode, PREFIX + payload))
            elif opcode in (PING, CLOSE):
                answers.append(encode_from_server(PONG if opcode == PING else CLOSE, payload))
        if answers:
            os.write(fd, b"".join(answers))
        return data[end:]


if __name__ == "__main__":
    raise_file_limit()
    SocketOriginLoop(socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=LISTEN_BACKLOG_COUNT)).run()
