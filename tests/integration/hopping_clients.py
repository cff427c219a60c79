"""Clients that want every item of a log once and in order, each on new connections all the time.

Run as ``python -m tests.integration.hopping_clients PORT POLLERS STREAMERS COUNT``. When each has all items it prints
a JSON object with what they went through.
"""

import asyncio
import json
import random
import sys
from dataclasses import asdict, dataclass

LEAVE_CHANCE = 0.002  # of a stream, after each line


@dataclass(slots=True)
class Tally:
    """Faults are items that came twice, too early, or never."""

    polls: int = 0
    waits: int = 0  # polls that brought just one item: most of them were held
    streams: int = 0
    faults: int = 0


class Client:
    """One reader of the log. `last` is the last item that it has got."""

    def __init__(self, port: int, count: int, tally: Tally, seed: int) -> None:
        self.last = 0
        self._port = port
        self._count = count
        self._tally = tally
        self._random = random.Random(seed)

    async def poll(self) -> None:
        """Poll, each time on a new connection, until all items are here."""
        while self.last < self._count:
            reader, writer = await self._ask(f"/poll?last={self.last}")
            length = 0
            while (line := await reader.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            lines = (await reader.readexactly(length)).splitlines()
            writer.close()
            self._tally.polls += 1
            self._tally.waits += len(lines) == 1
            for text in lines:
                self._take(int(text))

    async def stream(self) -> None:
        """Follow the log on streams, and leave them in the middle."""
        while self.last < self._count:
            reader, writer = await self._ask(f"/stream?last={self.last}")
            self._tally.streams += 1
            await reader.readuntil(b"\r\n\r\n")
            rest = b""
            while self.last < self._count and self._random.random() > LEAVE_CHANCE:
                size = int(await reader.readline(), 16)
                if not size:
                    self._tally.faults += 1  # nobody has ended it
                    break
                *lines, rest = (rest + (await reader.readexactly(size + 2))[:-2]).split(b"\n")
                for text in lines:
                    self._take(int(text))
            writer.transport.abort()

    async def _ask(self, target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(f"GET {target} HTTP/1.1\r\nHost: d.test\r\nConnection: close\r\n\r\n".encode())
        return reader, writer

    def _take(self, number: int) -> None:
        if number != self.last + 1:
            self._tally.faults += 1
        self.last = number


async def run(port: int, pollers_count: int, streamers_count: int, count: int) -> None:
    """Let them all read to the end."""
    tally = Tally()
    clients = [Client(port, count, tally, seed) for seed in range(pollers_count + streamers_count)]
    tasks = [client.poll() for client in clients[:pollers_count]]
    tasks += [client.stream() for client in clients[pollers_count:]]
    await asyncio.gather(*tasks)
    print(json.dumps(asdict(tally)), flush=True)


if __name__ == "__main__":
    asyncio.run(run(*map(int, sys.argv[1:])))
