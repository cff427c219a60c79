"""New clients all along: so many connections a second, each for one request that the origin answers."""

import asyncio
import time
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection

from benchmarks.c1m.forked import Forked
from benchmarks.c1m.origin import PLAIN_BODY

ANSWER_LIMIT_S = 30.0
TELL_LIMIT_S = 10.0
ANSWERED = "answered"
_REQUEST = b"GET /plain HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"


@dataclass(slots=True)
class Outcomes:
    """What became of those that came to an end, and the longest that one waited for its answer."""

    counts: dict[str, int] = field(default_factory=dict)
    longest_s: float = 0.0

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def failed(self) -> int:
        return self.total - self.counts.get(ANSWERED, 0)


class Newcomers:
    """The process that makes them."""

    def __init__(self, port: int, rate: float) -> None:
        self._process = Forked("newcomers", partial(_run, port, rate))

    def outcomes(self) -> Outcomes:
        """Give what became of all since the last call."""
        self._process.pipe.send(None)
        return self._process.pipe.recv() if self._process.pipe.poll(TELL_LIMIT_S) else Outcomes({"silent": 1})

    def close(self) -> None:
        """End the process."""
        self._process.close()


def _run(port: int, rate: float, orders: Connection) -> None:
    asyncio.run(_work(port, rate, orders))


async def _work(port: int, rate: float, orders: Connection) -> None:
    outcomes = Outcomes()
    tasks: set[asyncio.Task[None]] = set()
    due_s = time.monotonic()

    async def visit() -> None:
        began_s = time.monotonic()
        try:
            outcome = await asyncio.wait_for(_ask(port), ANSWER_LIMIT_S)
        except (OSError, TimeoutError) as error:
            outcome = type(error).__name__
        outcomes.counts[outcome] = outcomes.counts.get(outcome, 0) + 1
        outcomes.longest_s = max(outcomes.longest_s, time.monotonic() - began_s)

    while True:
        while orders.poll():
            orders.recv()
            orders.send(outcomes)
            outcomes = Outcomes()
        now = time.monotonic()
        while due_s <= now:
            due_s += 1 / rate
            tasks.add(task := asyncio.create_task(visit()))
            task.add_done_callback(tasks.discard)
        await asyncio.sleep(max(0.001, due_s - time.monotonic()))


async def _ask(port: int) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(_REQUEST)
        answer = await reader.read(-1)
    finally:
        writer.close()
    is_whole = answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(PLAIN_BODY)
    return ANSWERED if is_whole else f"answered with {answer[:40]!r}" if answer else "cut off"
