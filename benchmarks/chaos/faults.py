"""What happens to processes: which one, and what an operator would see of it."""

import asyncio
import contextlib
import os
import random
import signal
import time
from dataclasses import dataclass, field
from enum import IntEnum

from benchmarks.chaos.service import Service, freeze

PAUSE_MAX_S = 3.0  # well below the time after which a process counts as hanging
HANG_MAX_S = 20.0  # that time, in gripproxy's supervisor


class What(IntEnum):
    """What is done to a process."""

    KILL = 0
    PAUSE = 1  # for some seconds, as a machine that swaps does
    HANG = 2  # it stands still until it is killed by its supervisor


class Whom(IntEnum):
    """To which."""

    WORKER = 0
    HUB = 1
    SUPERVISOR = 2


@dataclass(slots=True)
class Fault:
    """One of them. `victims` are the ports of clients that lose their connection by it; None: all may."""

    what: What
    whom: Whom
    at: float
    victims: set[int] | None = field(default_factory=set)
    recovered_at: float = float("inf")

    def __str__(self) -> str:
        return f"{self.whom.name.lower()} {self.what.name.lower()}"

    @property
    def may_lose_items(self) -> bool:
        """Whether items may be lost that it had in hand."""
        return self.what is not What.PAUSE and self.whom is not Whom.WORKER

    @property
    def restarts_count(self) -> int:
        """How many processes the supervisor has to replace."""
        return int(self.what is not What.PAUSE and self.whom is not Whom.SUPERVISOR)


def choose(chance: random.Random, has_hangs: bool) -> tuple[What, Whom]:
    """Choose what happens next: workers are the most, and kills; hangs take long, so they are few."""
    whom = chance.choices(list(Whom), (5, 3, 2))[0]
    hang_weight = 0.6 if has_hangs and whom is not Whom.SUPERVISOR else 0.0
    return chance.choices(list(What), (6, 3, hang_weight))[0], whom


async def _children(service: Service, title: str) -> list[int]:
    """Give them, once there are any: the fault before this one may have been the end of the last."""
    deadline = time.monotonic() + HANG_MAX_S
    while not (pids := service.children(title)) and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    return pids


async def strike(service: Service, what: What, whom: Whom, chance: random.Random) -> Fault:
    """Do it. Returns when it is done: the process is gone, or goes on."""
    pid = service.supervisor_pid
    if whom is not Whom.SUPERVISOR:
        pid = chance.choice(await _children(service, "gripproxy: worker" if whom is Whom.WORKER else "gripproxy: hub"))
    fault = Fault(what, whom, time.monotonic(), None if whom is Whom.SUPERVISOR else set())
    freeze(pid)
    try:
        if whom is Whom.WORKER and what is not What.PAUSE:
            fault.victims = service.client_ports(pid)
        if what is What.PAUSE:
            await asyncio.sleep(chance.random() * PAUSE_MAX_S)
        elif what is What.HANG:
            deadline = time.monotonic() + 2 * HANG_MAX_S
            while pid in service.processes() and time.monotonic() < deadline:
                await asyncio.sleep(0.1)
        else:
            os.kill(pid, signal.SIGKILL)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    return fault
