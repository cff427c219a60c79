"""The end of a worker that is asked to stop: its clients are sent elsewhere one after the other, not all at once."""

import asyncio
import logging
import math
import random
from collections import deque
from collections.abc import Collection

from gripproxy.engine.events import FarewellDue
from gripproxy.scoreboard import Field
from gripproxy_worker.client_conn import ClientConn
from gripproxy_worker.client_sockets import HELD
from gripproxy_worker.driver import Driver
from gripproxy_worker.idle_conn import ClosingConn, IdleConn
from gripproxy_worker.ws_input import WsKind

log = logging.getLogger(__name__)

TURN_S = 0.05  # between two looks at whose time has come
ROUND_S = 0.25  # between two looks at those that were busy
SLICE_MAX_COUNT = 250  # connections in one turn of the loop, some 8 ms
MARKS_MAX_COUNT = 5_000  # likewise, some 5 ms
ANSWER_MAX_S = 2.0  # of the time, or a fifth of it: for clients that were told last to read that and to answer
NEW_MAX_S = 1.0  # or a quarter of the time: for the first request of a client that has only just connected
LINKS_MAX_S = 2.0  # once no client is left: for what origins are still to be told


class Drain:
    """Ends all connections of a worker that accepts nobody any more, within `timeout_s`; with 0 at once.

    Held connections end at moments that are spread over the time by chance, so that their clients do not come back
    together; idle ones soon; requests are answered first, with ``Connection: close``. Those of which
    `ClientSockets.can_stay` is true stay, for another process to take over, as long as there is time.
    """

    def __init__(self, driver: Driver, loop: asyncio.AbstractEventLoop, timeout_s: float) -> None:
        self._driver = driver
        self._loop = loop
        self._timeout_s = timeout_s
        self._began_at = 0.0
        self._looked_at = float("-inf")
        self._emptied_at: float | None = None
        self._order: list[int] = []  # held connections that have not been told
        self._order_count = 0
        self._unmarked: list[int] = []  # of them
        self._busy: deque[int] = deque()  # all others, and those that are still busy with their end
        self._round_count = 0  # of them to be looked at in this round
        self._start_count = 0
        self._is_ending = False  # there is no time left
        self._handed_over_count = 0
        self._drained_count = 0
        self._timer: asyncio.Handle | None = None
        self._done: asyncio.Future[None] = loop.create_future()

    async def run(self) -> None:
        """Begin, and return when nothing is left to be done but to close."""
        driver = self._driver
        self._began_at = self._loop.time()
        for fd, record in enumerate(driver.sockets.records):
            if record is HELD or type(record) is WsKind:
                self._order.append(fd)
            elif record is not None:
                self._busy.append(fd)
        self._unmarked = self._order.copy()
        self._order_count = len(self._order)
        self._start_count = driver.sockets.count
        self._handed_over_count = driver.row[Field.HANDED_OVER]
        self._drained_count = driver.row[Field.DRAINED]
        if self._start_count:
            log.info("draining %d connections within %g s", self._start_count, self._timeout_s)
        driver.sockets.is_draining = True
        self._mark()
        self._turn()
        try:
            await self._done
        finally:
            if self._timer is not None:
                self._timer.cancel()
        self._count(0)
        cut_count = sum(
            fd in driver.sockets.backlogs or not isinstance(record, ClosingConn | None)
            for fd, record in enumerate(driver.sockets.records)
        )
        if cut_count and self._timeout_s:
            log.warning("drained, but %d connections were still busy after %g s", cut_count, self._timeout_s)

    def hurry(self) -> None:
        """Take no more time: nobody is left who would take the clients."""
        self._timeout_s = 0.0

    def _mark(self) -> None:
        """Let answers that long-polls get before their turn say that the connection ends with them."""
        some = self._unmarked[-MARKS_MAX_COUNT:]
        del self._unmarked[-MARKS_MAX_COUNT:]
        sockets = self._driver.sockets
        self._driver.core.expect_farewells([fd for fd in some if sockets.is_leaving(fd)])
        if self._unmarked:
            self._loop.call_soon(self._mark)

    def _draw(self) -> int:
        """Draw one of those that have not been told."""
        order = self._order
        place = random.randrange(len(order))
        order[place], order[-1] = order[-1], order[place]
        return order.pop()

    def _turn(self) -> None:
        driver, now = self._driver, self._loop.time()
        elapsed_s = now - self._began_at
        if elapsed_s >= self._timeout_s and not self._is_ending:
            self._is_ending = True
            self._round_count = len(self._busy)
        elif not self._round_count and now - self._looked_at >= ROUND_S:
            self._looked_at = now
            self._round_count = len(self._busy)
        driver.sockets.is_late = elapsed_s >= self._spread_s
        order_left_count = self._order_left_count(elapsed_s)
        fds = [self._draw() for _ in range(min(SLICE_MAX_COUNT, len(self._order) - order_left_count))]
        round_count = min(self._round_count, SLICE_MAX_COUNT - len(fds))
        self._round_count -= round_count
        fds += [self._busy.popleft() for _ in range(round_count)]
        try:
            self._busy.extend(self._visit(fds, elapsed_s))
        except Exception:  # a bug of ours: the others are to be told all the same
            driver.row[Field.INTERNAL_ERRORS] += 1
            log.exception("internal error while sending clients away")
        self._count(driver.sockets.count)
        if self._is_done(now) or (self._is_ending and not self._order and not self._round_count):
            driver.outbox.flush()
            self._done.set_result(None)
        elif self._round_count or len(self._order) > order_left_count:
            self._timer = self._loop.call_soon(self._turn)
        else:
            self._timer = self._loop.call_later(TURN_S, self._turn)

    def _order_left_count(self, elapsed_s: float) -> int:
        """Give how many held connections need not have been told yet."""
        spread_s = self._spread_s
        return 0 if elapsed_s >= spread_s else math.ceil(self._order_count * (1 - elapsed_s / spread_s))

    @property
    def _spread_s(self) -> float:
        """How long clients are told one after the other."""
        return self._timeout_s - min(ANSWER_MAX_S, self._timeout_s / 5)

    def _visit(self, fds: Collection[int], elapsed_s: float) -> list[int]:
        """End what can be ended now; give those that are not gone yet."""
        driver, records = self._driver, self._driver.sockets.records
        is_idle_due = self._is_ending or elapsed_s >= min(NEW_MAX_S, self._timeout_s / 4)
        held = []
        for fd in fds:
            record = records[fd]
            if record is None or not (self._is_ending or driver.sockets.is_leaving(fd)):
                continue
            if isinstance(record, IdleConn) and is_idle_due:
                record.wake()  # its next request may just have come
                record = records[fd]
            if record is HELD or type(record) is WsKind:
                held.append(fd)
            elif isinstance(record, ClientConn):
                record.end_with_response()
                if is_idle_due:
                    record.end_if_idle()
        if held:
            driver.dispatch(None, FarewellDue(held, self._is_ending))
        return [fd for fd in fds if records[fd] is not None and not isinstance(records[fd], ClosingConn)]

    def _is_done(self, now: float) -> bool:
        driver = self._driver
        if driver.sockets.count:
            return False
        if self._emptied_at is None:
            self._emptied_at = now
        is_silent = not (driver.links or driver.web_sockets.origins)
        return is_silent or now - self._emptied_at >= LINKS_MAX_S

    def _count(self, left_count: int) -> None:
        row = self._driver.row
        handed_over_count = row[Field.HANDED_OVER] - self._handed_over_count
        row[Field.DRAINED] = self._drained_count + max(0, self._start_count - left_count - handed_over_count)
