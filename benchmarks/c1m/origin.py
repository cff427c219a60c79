"""The origin of the run: answers at once, from one epoll loop, with a hold or with a short text."""

import os
import select
import socket
from multiprocessing.connection import Connection

from benchmarks.servers.socket_origin import answer_events, request_bytes

LISTEN_BACKLOG_COUNT = 4096
READ_BYTES = 65536
PLAIN_BODY = b"hello from the origin\n"
OPEN_EVENT = b"event: open\ndata: held\n\n"
KEEP_ALIVE_CHUNK = b"3\r\n:\n\n\r\n"  # what a client receives as a keep-alive

_PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b" % (len(PLAIN_BODY), PLAIN_BODY)
_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
_HOLD_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nGrip-Hold: stream\r\nGrip-Channel: %b\r\n"
    b"Grip-Keep-Alive: :\\n\\n; format=cstring; timeout=%d\r\nContent-Length: %d\r\n\r\n"
)


def answer(request: bytes, keep_alive_s: int) -> bytes:
    """Answer ``GET /hold?c=CHANNEL[&r=ROOM]`` with a hold on these channels, ``GET /plain`` with a text.

    A POST is WebSocket-over-HTTP, and is accepted and subscribed in the same way.
    """
    if request.startswith(b"POST "):
        return answer_events(request, keep_alive_s)
    target = request[4 : request.find(b" ", 4)]
    if target.startswith(b"/hold?c="):
        channels = target[8:].replace(b"&r=", b", ")
        return _HOLD_HEAD % (channels, keep_alive_s, len(OPEN_EVENT)) + OPEN_EVENT
    return _PLAIN if target == b"/plain" else _NOT_FOUND


def listen() -> socket.socket:
    """Open one of the origin's listeners on a port that the kernel chooses; other processes inherit it."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=LISTEN_BACKLOG_COUNT)
    listener.setblocking(False)
    return listener


class Origin:
    """The loop of one origin process; it ends with `lifeline`."""

    def __init__(self, listener: socket.socket, keep_alive_s: int, lifeline: Connection) -> None:
        self._listener = listener
        self._keep_alive_s = keep_alive_s
        self._lifeline_fd = lifeline.fileno()
        self._epoll = select.epoll()
        self._epoll.register(lifeline.fileno(), select.EPOLLIN)
        self._epoll.register(listener.fileno(), select.EPOLLIN | select.EPOLLEXCLUSIVE)
        self._partial: dict[int, bytes] = {}

    def run(self) -> None:
        """Serve until the lifeline ends."""
        listener_fd, lifeline_fd = self._listener.fileno(), self._lifeline_fd
        while True:
            for fd, _ in self._epoll.poll():
                if fd == listener_fd:
                    self._accept()
                elif fd == lifeline_fd:
                    return
                else:
                    self._serve(fd)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # another origin process was faster
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setblocking(False)
        self._epoll.register(client.detach(), select.EPOLLIN)

    def _serve(self, fd: int) -> None:
        try:
            data = os.read(fd, READ_BYTES)
            if data:
                if fd in self._partial:
                    data = self._partial.pop(fd) + data
                if request_bytes(data) is not None:
                    os.write(fd, answer(data, self._keep_alive_s))
                else:
                    self._partial[fd] = data
                return
        except OSError:
            pass
        self._partial.pop(fd, None)
        os.close(fd)
