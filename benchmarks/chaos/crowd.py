"""Clients that come back whenever they are cut: streams, long-polls and WebSockets, and a look at all they get."""

import asyncio
import random
import re
import time
from dataclasses import dataclass
from enum import IntEnum

INPUTS = ("push", "sub", "http", "command")  # an item's text is one of these and a number; so is its channel
ITEM = re.compile(rb"(?:push|sub|http|command) (\d+)\n")
BACK_MAX_S = 0.5
TAIL_BYTES = 32  # longer than any item
UPGRADE = (
    "GET /ws?channel={} HTTP/1.1\r\nHost: d.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Kind(IntEnum):
    """How a client is held."""

    STREAM = 0
    POLL = 1
    SOCKET = 2


REQUESTS = {
    Kind.STREAM: "GET /stream?channel={} HTTP/1.1\r\nHost: d.test\r\n\r\n",
    Kind.POLL: "GET /response?channel={} HTTP/1.1\r\nHost: d.test\r\n\r\n",
    Kind.SOCKET: UPGRADE,
}


@dataclass(slots=True)
class Gap:
    """Items of `name` that a connection has not got: those between two that came at `since` and `at`."""

    name: str
    count: int
    since: float
    at: float


@dataclass(slots=True)
class End:
    """A held connection, known by its client's port, was ended by the other side."""

    port: int
    at: float


class Crowd:
    """All clients of a trial, and what is wrong. Times are monotonic seconds."""

    def __init__(self, port: int, count: int) -> None:
        self.port = port
        self.items_count = 0
        self.connects_count = 0
        self.unheard_count = 0  # long-polls that were cut before anything came
        self.faults: list[str] = []
        self.gaps: list[Gap] = []
        self.ends: list[End] = []
        self.clients = [Client(self, number) for number in range(count)]
        self._tasks = [asyncio.ensure_future(client.run()) for client in self.clients]

    async def close(self) -> None:
        """Let all leave."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def held_count(self) -> int:
        """How many are connected, and were told that they are held."""
        return sum(client.is_held for client in self.clients)

    def have_all(self, marks: dict[str, int]) -> bool:
        """Say whether each stream and WebSocket has got this item of its channel, or a later one."""
        return all(client.last >= marks[client.name] for client in self.clients if client.kind is not Kind.POLL)


class Client(asyncio.Protocol):
    """One of them. `last` is the number of the last item on this connection, -1 for none."""

    def __init__(self, crowd: Crowd, number: int) -> None:
        self.kind = Kind(number % 3)
        self.name = INPUTS[number // 3 % len(INPUTS)]
        self.last = -1
        self.is_held = False
        self._crowd = crowd
        self._number = number
        self._last_at = 0.0
        self._received = b""
        self._has_heard = False
        self._port = 0
        self._transport: asyncio.Transport | None = None
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Connect, again and again."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._begin()
                try:
                    await loop.create_connection(lambda: self, "127.0.0.1", self._crowd.port)
                    await self._ended.wait()
                except OSError:
                    pass  # nobody listens for the moment
                await asyncio.sleep(random.random() * BACK_MAX_S)
        finally:
            if self._transport is not None:
                self._transport.abort()

    def _begin(self) -> None:
        self.last, self.is_held, self._received, self._has_heard = -1, False, b"", False
        self._ended.clear()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._port = transport.get_extra_info("sockname")[1]
        self._crowd.connects_count += 1
        self._ask()

    def _ask(self) -> None:
        assert self._transport is not None
        self._transport.write(REQUESTS[self.kind].format(self.name).encode())
        self.is_held = self.kind is Kind.POLL  # nothing says so before the answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._has_heard = True
        if self.kind is Kind.POLL:
            self._take_answers()
            return
        self.is_held = self.is_held or b"[stream opened]" in self._received or b" 101 " in self._received
        end = 0
        for match in ITEM.finditer(self._received):
            self._take(int(match[1]))
            end = match.end()
        self._received = self._received[end:][-TAIL_BYTES:] if end else self._received

    def _take_answers(self) -> None:
        while True:
            head, separator, rest = self._received.partition(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", head)
            if not separator or length is None or len(rest) < int(length[1]):
                return
            match = ITEM.fullmatch(rest[: int(length[1])])
            if match is not None:
                self._take(int(match[1]))
            self._received = rest[int(length[1]) :]
            if b"Connection: close" in head:
                self.is_held = False
                return
            self._ask()

    def _take(self, number: int) -> None:
        crowd, now = self._crowd, time.monotonic()
        crowd.items_count += 1
        if number <= self.last:
            crowd.faults.append(f"client {self._number} ({self.kind.name}): {self.name} {number} after {self.last}")
        elif self.last >= 0 and number > self.last + 1 and self.kind is not Kind.POLL:
            crowd.gaps.append(Gap(self.name, number - self.last - 1, self._last_at, now))
        self.last, self._last_at = number, now

    def connection_lost(self, exc: Exception | None) -> None:
        if self.is_held and not self._has_heard:
            self._crowd.unheard_count += 1  # it may have waited in the accept queue of a process that was killed
        elif self.is_held:
            self._crowd.ends.append(End(self._port, time.monotonic()))
        self.is_held = False
        self._transport = None
        self._ended.set()
