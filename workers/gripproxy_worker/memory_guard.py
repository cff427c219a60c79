"""Keeps new clients out while memory is short: those who are here would pay if the kernel had to find some."""

import asyncio
import logging

from gripproxy.memory_use import MemoryGauge, MemoryUse
from gripproxy.scoreboard import Field, Scoreboard
from gripproxy_worker.driver import Driver
from gripproxy_worker.front_door import FrontDoor

log = logging.getLogger(__name__)

LOOK_S = 1.0
CLOSE_LOOK_S = 0.1  # when it is nearly full: some 1,000 clients may come in it, and need 10 MB
CLOSE_SHARE = 0.9  # of what is full


class MemoryGuard:
    """Looks from `start` to `close`, and holds the door. All workers look at the same numbers; one of them logs."""

    def __init__(
        self,
        driver: Driver,
        loop: asyncio.AbstractEventLoop,
        door: FrontDoor,
        scoreboard: Scoreboard,
        gauge: MemoryGauge,
    ) -> None:
        self._driver = driver
        self._loop = loop
        self._door = door
        self._scoreboard = scoreboard
        self._gauge = gauge
        self._timer: asyncio.TimerHandle | None = None
        driver.row[Field.MEMORY_REFUSED] = 0  # it may replace a worker that was killed

    @property
    def is_holding(self) -> bool:
        """Whether nobody is let in."""
        return bool(self._driver.row[Field.MEMORY_REFUSED])

    def start(self) -> None:
        """Look now, and from now on."""
        uses = self._gauge.read(self._driver.settings.memory_limit)
        full = next((use for use in uses if use.is_full), None)
        if full is not None and not self.is_holding:
            self._hold(full)
        elif self.is_holding and all(use.is_calm for use in uses):
            self._let_in()
        is_close = any(use.share >= use.thresholds.full * CLOSE_SHARE for use in uses)
        self._timer = self._loop.call_later(CLOSE_LOOK_S if is_close else LOOK_S, self.start)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _hold(self, use: MemoryUse) -> None:
        is_first = not self._scoreboard.total(Field.MEMORY_REFUSED)
        self._driver.row[Field.MEMORY_REFUSED] = 1
        self._driver.row[Field.MEMORY_PAUSES] += 1
        self._door.hold()
        if is_first:
            log.error("memory is short: %s; new clients have to wait until it is less", use)

    def _let_in(self) -> None:
        self._driver.row[Field.MEMORY_REFUSED] = 0
        self._door.let_in()
        if not self._scoreboard.total(Field.MEMORY_REFUSED):
            log.warning("there is memory again: new clients are let in")
