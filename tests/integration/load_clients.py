"""Thousands of streaming clients in a process of their own, told what to do by lines of JSON on stdin.

Stream N asks for ``TARGET`` with ``{}`` replaced by N and expects the lines ``N 0``, ``N 1``, ... after the line that
opens it. Several loopback addresses are the sources, as one would run out of ports.
"""

import contextlib
import json
import re
import select
import socket
import struct
import sys
import time

OPENING = b"open\n"
CONNECTING_MAX_COUNT = 128  # connections begun at once, well below the listen backlog
SOURCES_COUNT = 4
RECEIVE_BYTES = 65536
TCP_REPAIR = 19
SHOWN_FAULTS_COUNT = 3


def body_of(received: bytes) -> bytes:
    """Take the head and the chunk framing off what has come."""
    _, _, rest = received.partition(b"\r\n\r\n")
    body = b""
    while match := re.match(rb"([0-9a-f]+)\r\n", rest):
        size = int(match[1], 16)
        body += rest[match.end() : match.end() + size]
        rest = rest[match.end() + size + 2 :]
    return body


class LoadClients:
    """Open streams by number; `received` is what each has got."""

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.sockets: dict[int, socket.socket] = {}
        self.numbers: dict[int, int] = {}
        self.received: dict[int, bytes] = {}
        self.ended: set[int] = set()

    def open(self, port: int, target: str, first: int, count: int, timeout_s: float) -> dict[str, object]:
        """Open streams and wait until each has got its opening line."""
        deadline = time.monotonic() + timeout_s
        waiting = list(range(first, first + count))
        opening: set[int] = set()
        while (waiting or opening) and time.monotonic() < deadline:
            while waiting and len(opening) < CONNECTING_MAX_COUNT:
                number = waiting.pop()
                self._connect(number, port, target.replace("{}", str(number)))
                opening.add(number)
            self.poll(0.1)
            opening = {
                number for number in opening if OPENING not in self.received[number] and number not in self.ended
            }
        numbers = range(first, first + count)
        return {"opened": sum(OPENING in self.received.get(number, b"") for number in numbers)}

    def _connect(self, number: int, port: int, target: str) -> None:
        source = f"127.0.0.{1 + number % SOURCES_COUNT}"
        client = socket.create_connection(("127.0.0.1", port), timeout=10.0, source_address=(source, 0))
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        client.setblocking(False)
        self.sockets[number], self.numbers[client.fileno()] = client, number
        self.received[number] = b""
        self.ended.discard(number)
        self.epoll.register(client, select.EPOLLIN)

    def poll(self, timeout_s: float) -> bool:
        """Take what has come; say whether anything has."""
        events = self.epoll.poll(timeout_s)
        for fd, _ in events:
            number = self.numbers[fd]
            try:
                data = self.sockets[number].recv(RECEIVE_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            self.received[number] += data
            if not data:
                self.ended.add(number)
                self._forget(number)
        return bool(events)

    def _forget(self, number: int) -> socket.socket:
        client = self.sockets.pop(number)
        self.epoll.unregister(client)
        del self.numbers[client.fileno()]
        return client

    def leave(self, how: str, first: int, count: int) -> dict[str, object]:
        """Go: "fin", "rst", or "silent" without a word."""
        for number in range(first, first + count):
            client = self._forget(number)
            if how == "rst":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif how == "silent":
                client.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
            client.close()
        return {"left": count}

    def collect(self, items: int, quiet_s: float, timeout_s: float) -> dict[str, object]:
        """Wait until each open stream has its items, and some time for what should not come; tell the faults."""
        deadline = time.monotonic() + timeout_s
        while self._behind(items) and time.monotonic() < deadline:
            self.poll(0.1)
        while self.poll(quiet_s):
            pass
        faults = []
        for number in self.sockets:
            expected = OPENING + b"".join(b"%d %d\n" % (number, item) for item in range(items))
            if (body := body_of(self.received[number])) != expected:
                faults.append(f"stream {number}: {body!r}")
        return {
            "open": len(self.sockets),
            "ended": len(self.ended),
            "faults": len(faults),
            "shown": faults[:SHOWN_FAULTS_COUNT],
        }

    def _behind(self, items: int) -> bool:
        if items == 0:
            return False
        last = items - 1
        return any(b"%d %d\n" % (number, last) not in self.received[number] for number in self.sockets)


def main() -> None:
    """Carry out commands until stdin ends."""
    clients = LoadClients()
    commands = {"open": clients.open, "leave": clients.leave, "collect": clients.collect}
    with contextlib.suppress(KeyboardInterrupt):
        for line in sys.stdin:
            command = json.loads(line)
            print(json.dumps(commands[command.pop("do")](**command)), flush=True)


if __name__ == "__main__":
    main()
