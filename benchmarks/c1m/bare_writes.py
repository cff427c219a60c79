"""What the keep-alive writes alone cost: a loop of write(2), to sockets that the same client processes read."""

import os
import random
import resource
import select
import socket
import time
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection

from benchmarks.c1m.forked import Forked
from benchmarks.c1m.origin import listen

PAUSE_S = 0.002  # between batches: the readers go to sleep again, as between ticks of a worker
WRITES_COUNT = 40_000
WRITE_LIMIT_S = 6.0
ACCEPT_LIMIT_S = 15.0


@dataclass(frozen=True, slots=True)
class WriteCost:
    """CPU of the writing process per write; loopback does the receiver's TCP work in it too."""

    writes: int = 0
    user_us: float = 0.0
    system_us: float = 0.0

    @property
    def total_us(self) -> float:
        return self.user_us + self.system_us


class BareWriter:
    """A process that accepts `socket_count` connections, then writes keep-alives to them in batches of random order."""

    def __init__(self, keep_alive: bytes, socket_count: int, batch: int) -> None:
        self._listener = listen()
        self.port: int = self._listener.getsockname()[1]
        self._process = Forked("bare writes", partial(_run, self._listener, keep_alive, socket_count, batch))
        self._listener.close()

    def result(self) -> WriteCost | None:
        """Give the cost, or None while it is being measured."""
        if not self._process.pipe.poll():
            return None
        cost: WriteCost = self._process.pipe.recv()
        return cost

    def close(self) -> None:
        """End the process."""
        self._process.close()


def _run(listener: socket.socket, keep_alive: bytes, socket_count: int, batch: int, pipe: Connection) -> None:
    accepted: list[socket.socket] = []
    until = time.monotonic() + ACCEPT_LIMIT_S
    while len(accepted) < socket_count and time.monotonic() < until:
        if select.select([listener], [], [], 0.5)[0]:
            accepted.append(listener.accept()[0])
    pipe.send(_measure([one.fileno() for one in accepted], keep_alive, batch) if accepted else WriteCost())
    pipe.recv()  # keep the sockets until the parent has ended the other side


def _measure(descriptors: list[int], chunk: bytes, batch: int) -> WriteCost:
    write = os.write
    rounds = -(-WRITES_COUNT // len(descriptors))
    order = [fd for _ in range(rounds) for fd in random.sample(descriptors, len(descriptors))]
    for fd in descriptors:  # the first write to a connection is dearer, and so is it not for a keep-alive
        write(fd, chunk)
    until = time.monotonic() + WRITE_LIMIT_S
    before, cpu_before = resource.getrusage(resource.RUSAGE_SELF), time.process_time()
    done = 0
    while done < len(order) and time.monotonic() < until:
        for fd in order[done : done + batch]:
            write(fd, chunk)
        done += batch
        time.sleep(PAUSE_S)
    after, cpu_s = resource.getrusage(resource.RUSAGE_SELF), time.process_time() - cpu_before
    done = min(done, len(order))
    user_s, system_s = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    system_share = system_s / (user_s + system_s) if user_s + system_s else 1.0
    return WriteCost(done, cpu_s * (1 - system_share) / done * 1e6, cpu_s * system_share / done * 1e6)
