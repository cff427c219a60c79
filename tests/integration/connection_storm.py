"""New connections, so many a second, each for one request, until standard input ends.

Run as ``python -m tests.integration.connection_storm PORT RATE BODY``. Every answer must be a 200 that ends in BODY.
Then it prints a JSON object with what became of all that were begun.
"""

import contextlib
import errno
import itertools
import json
import os
import select
import socket
import sys
import time
from collections import Counter

OPEN_MAX_COUNT = 400  # at once: where the machine is too slow for the rate, fewer are begun
ADDRESSES = [f"127.0.0.{number}" for number in range(1, 9)]  # each has ports of its own to come from
REQUEST = b"GET / HTTP/1.1\r\nHost: storm\r\nConnection: close\r\n\r\n"
REST_MAX_S = 10.0  # for the last answers


class Storm:
    """Connections under way, and the counts of those that are over."""

    def __init__(self, port: int, body: bytes) -> None:
        self.outcomes: Counter[str] = Counter()
        self.open: dict[int, tuple[socket.socket, bytearray]] = {}
        self._epoll = select.epoll()
        self._addresses = itertools.cycle(ADDRESSES)
        self._port = port
        self._body = body

    def begin(self) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        code = sock.connect_ex((next(self._addresses), self._port))
        if code not in (0, errno.EINPROGRESS):
            self._end(sock, errno.errorcode.get(code, str(code)))
            return
        self.open[sock.fileno()] = sock, bytearray()
        self._epoll.register(sock, select.EPOLLOUT)

    def turn(self, wait_s: float) -> None:
        for fd, events in self._epoll.poll(wait_s):
            sock, received = self.open[fd]
            try:
                if events & select.EPOLLOUT:
                    sock.send(REQUEST)
                    self._epoll.modify(fd, select.EPOLLIN)
                else:
                    data = sock.recv(65_536)
                    received += data
                    if not data:
                        is_whole = received.startswith(b"HTTP/1.1 200 ") and received.endswith(self._body)
                        self._end(sock, "answered" if is_whole else f"cut off: {bytes(received[:200])!r}")
            except BlockingIOError:
                continue
            except OSError as error:
                self._end(sock, errno.errorcode.get(error.errno or 0, str(error)))

    def _end(self, sock: socket.socket, outcome: str) -> None:
        self.outcomes[outcome] += 1
        self.open.pop(sock.fileno(), None)
        sock.close()


def main() -> None:
    storm = Storm(int(sys.argv[1]), sys.argv[3].encode())
    rate = float(sys.argv[2])
    began_s = due_s = time.monotonic()
    os.set_blocking(0, False)
    is_over = False
    while not is_over:
        now = time.monotonic()
        due_s = max(due_s, now - 0.1)  # what could not be begun in time is not made up for later
        while due_s <= now and len(storm.open) < OPEN_MAX_COUNT:
            storm.begin()
            due_s += 1 / rate
        storm.turn(max(0.0, min(0.01, due_s - now)))
        with contextlib.suppress(BlockingIOError):
            is_over = not os.read(0, 1)
    took_s = time.monotonic() - began_s
    while storm.open and time.monotonic() < began_s + took_s + REST_MAX_S:
        storm.turn(0.1)
    storm.outcomes["unanswered"] += len(storm.open)
    print(json.dumps({"rate": sum(storm.outcomes.values()) / took_s, "outcomes": +storm.outcomes}))


if __name__ == "__main__":
    main()
