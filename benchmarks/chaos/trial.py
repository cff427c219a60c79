"""Rounds of chaos, and what must hold in and after each."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from benchmarks.books import Books
from benchmarks.chaos.crowd import INPUTS, Crowd, End, Gap
from benchmarks.chaos.faults import Fault, What, Whom, choose, strike
from benchmarks.chaos.inputs import Publishers
from benchmarks.chaos.service import Service
from benchmarks.errors import BenchmarkError

RECOVERY_MAX_S = 40.0
SETTLE_MAX_S = 20.0
START_MAX_S = 20.0
POLL_S = 0.05
LOOK_S = 0.1
PAUSE_MAX_S = 1.5  # between the end of one fault and the next
SLACK_S = 1.0  # an item, or the end of a connection, is noticed so much later
AT_ONCE_MAX_COUNT = 2


class Trial:
    """A service, its crowd and its publishers, for some time. `faults` is what was done; `wrong` what must not be."""

    def __init__(self, directory: Path, clients_count: int, seed: int, has_hangs: bool) -> None:
        self.service = Service(directory)
        self.faults: list[Fault] = []
        self.wrong: list[str] = []
        self.recoveries_s: dict[str, list[float]] = {}
        self.crowd: Crowd
        self.publishers: Publishers
        self._clients_count = clients_count
        self._chance = random.Random(seed)
        self._has_hangs = has_hangs
        self._restarts_count = 0  # that the present supervisor should have made
        self._is_over = False

    async def run(self, duration_s: float, say: Callable[[str], None]) -> None:
        """Run rounds for so long, then look whether all comes to rest, and whether it starts and stops as ever.

        Raises:
            BenchmarkError: it does not recover, so that there is nothing more to be tried.
        """
        service = self.service
        service.start()
        keeper = asyncio.ensure_future(self._keep())
        self.crowd = Crowd(service.ports.http, self._clients_count)
        self.publishers = Publishers(service.ports)
        try:
            await self._recovered("the start", START_MAX_S)
            end = time.monotonic() + duration_s
            while time.monotonic() < end:
                say(await self._round())
            await self.publishers.close()
            await self._check_rest()
        finally:
            self._is_over = True
            await keeper
            await self.publishers.close()
            await self.crowd.close()
        self._check_end()

    async def _keep(self) -> None:
        """Start the service again whenever its first process ends, at once: harder than an init system does it."""
        while not self._is_over:
            status = self.service.exit_status()
            if status is not None:
                if status != -9:
                    self.wrong.append(f"a start failed, or the supervisor gave up: exit status {status}")
                    await asyncio.sleep(1.0)
                self._restarts_count = 0
                self.service.start()
            await asyncio.sleep(POLL_S)

    async def _round(self) -> str:
        """Strike once or twice at once, wait until all is well again, and say what was done."""
        chance = self._chance
        kinds = [choose(chance, self._has_hangs) for _ in range(chance.randint(1, AT_ONCE_MAX_COUNT))]
        if len(kinds) > 1 and any(whom is Whom.SUPERVISOR for _, whom in kinds):
            kinds = kinds[:1]  # nothing else of it is left
        began = time.monotonic()
        faults = []
        for what, whom in kinds:
            faults.append(await strike(self.service, what, whom, chance))
            await asyncio.sleep(chance.random() * 0.3 if len(kinds) > 1 else 0.0)
        self.faults += faults
        struck = time.monotonic()
        name = " + ".join(map(str, faults))
        await self._recovered(name, RECOVERY_MAX_S)
        for fault in faults:
            fault.recovered_at = time.monotonic()
            self._restarts_count += fault.restarts_count
            if fault.whom is Whom.SUPERVISOR and fault.what is What.KILL:
                self._restarts_count = 0
        if len(faults) == 1:
            self.recoveries_s.setdefault(name, []).append(fault.recovered_at - struck)
        self._check_round(name)
        await asyncio.sleep(chance.random() * PAUSE_MAX_S)
        return f"{name}: well again after {time.monotonic() - began:.1f} s"

    async def _recovered(self, after: str, limit_s: float) -> None:
        """Wait until it is ready, everybody is held, and an item of each publisher has reached everybody.

        Raises:
            BenchmarkError: that does not come.
        """
        crowd, publishers = self.crowd, self.publishers
        deadline = time.monotonic() + limit_s
        await asyncio.sleep(LOOK_S)
        while True:
            publishers.check()
            if await asyncio.to_thread(self.service.is_ready) and crowd.held_count == len(crowd.clients):
                marks = {name: publishers.sent[name] + 1 for name in INPUTS}
                mark_deadline = min(deadline, time.monotonic() + 3.0)
                while time.monotonic() < mark_deadline:
                    if crowd.have_all(marks):
                        return
                    await asyncio.sleep(POLL_S)
            if time.monotonic() > deadline:
                held = f"{crowd.held_count} of {len(crowd.clients)} held"
                raise BenchmarkError(f"not well {limit_s:g} s after {after}: {held}; {self.service.processes()}")
            await asyncio.sleep(LOOK_S)

    def _check_round(self, name: str) -> None:
        crowd = self.crowd
        self.wrong += crowd.faults
        self.wrong += [
            f"{name}: {gap.count} items of {gap.name} never came" for gap in crowd.gaps if not self._is_excused(gap)
        ]
        ends = [end for end in crowd.ends if not self._is_victim(end)]
        if ends:
            self.wrong.append(f"{name}: {len(ends)} connections ended whose processes went on")
        crowd.faults.clear()
        crowd.gaps.clear()
        crowd.ends.clear()
        if orphans := self.service.orphans():
            self.wrong.append(f"{name}: processes {orphans} are nobody's")
        restarts = Books.read(self.service.ports.metrics).total("restarts_total")
        if restarts != self._restarts_count:
            self.wrong.append(f"{name}: {restarts:g} restarts are counted, not {self._restarts_count}")

    def _is_excused(self, gap: Gap) -> bool:
        return any(
            fault.may_lose_items and gap.since < fault.recovered_at + SLACK_S and gap.at > fault.at - SLACK_S
            for fault in self.faults[-AT_ONCE_MAX_COUNT:]
        )

    def _is_victim(self, end: End) -> bool:
        return any(
            (fault.victims is None and fault.what is not What.PAUSE) or end.port in (fault.victims or ())
            for fault in self.faults[-AT_ONCE_MAX_COUNT:]
        )

    async def _check_rest(self) -> None:
        """See whether the books balance once nothing is under way."""
        deadline = time.monotonic() + SETTLE_MAX_S
        while faults := Books.read(self.service.ports.metrics).faults():
            if time.monotonic() > deadline:
                self.wrong += faults
                return
            await asyncio.sleep(0.5)

    def _check_end(self) -> None:
        """Stop it, look for what is left, and see whether it starts once more."""
        service = self.service
        for _ in range(2):
            status = service.stop()
            if status:
                self.wrong.append(f"it stopped with exit status {status}")
            if left := service.processes():
                self.wrong.append(f"processes were left behind: {left}")
            service.start()
            deadline = time.monotonic() + START_MAX_S
            while not service.is_ready():
                if time.monotonic() > deadline or service.exit_status() is not None:
                    self.wrong.append("it does not start again after an orderly stop")
                    return
                time.sleep(POLL_S)
        service.stop()
        if "internal error" in service.output_path.read_text(errors="replace"):
            self.wrong.append("there were internal errors")

    def counts(self) -> Counter[str]:
        """Give how often each thing was done."""
        return Counter(map(str, self.faults))
