"""The worker's row of the scoreboard: what it counts as it goes, and what is brought up to date with every tick."""

import time

from gripproxy.engine.core import Core
from gripproxy.scoreboard import Field, Histogram, observe
from gripproxy_worker.client_sockets import ClientSockets

_WRITE, _FAN_OUT = int(Histogram.WRITE), int(Histogram.FAN_OUT)
_DELIVERIES, _RESPONSES = int(Field.DELIVERIES), int(Field.RESPONSES_2XX)
_END_FIELDS = (  # in the order of the engine's `End`
    Field.DELIVERIES,
    Field.FILTERED,
    Field.DROPPED_UNFIT,
    Field.REFETCHED,
    Field.DROPPED_WAITING,
    Field.DROPPED_GONE,
    Field.DROPPED_RATE,
)


class WorkerRow:
    """Keeps the books of engine and sockets in the row. `requests_count`: requests since the last `fill`."""

    def __init__(self, row: memoryview, core: Core, sockets: ClientSockets) -> None:
        self.requests_count = 0
        self._row = row
        self._core = core
        self._sockets = sockets
        self._books = core.accounts.books
        self._holds = core.holds
        self._wanted_count = 0  # of the books, at the end of the last bus message
        self._started_count = 0
        # When the hub took items that are still fanned out, by when they came here; of one moment the first counts.
        self._taken_at: dict[float, float] = {}

    def fill(self, now: float) -> None:
        """Bring it up to date."""
        core, sockets, row, books = self._core, self._sockets, self._row, self._books
        row[Field.HEARTBEAT_MS] = int(now * 1000)
        row[Field.CONNECTIONS] = sockets.count
        row[Field.REQUESTS] += self.requests_count
        self.requests_count = 0
        wanted_count, receptions_count, ends = books.take()
        self._wanted_count -= wanted_count
        row[Field.ITEMS_WANTED] += wanted_count
        row[Field.RECEPTIONS] += receptions_count
        for field, count in zip(_END_FIELDS, ends, strict=True):
            row[field] += count
        read_count, lost_count = sockets.backlogs.take_counts()
        row[_DELIVERIES] += read_count
        row[Field.DROPPED_GONE] += lost_count
        row[Field.PENDING] = books.pending + sockets.backlogs.items_count
        row[Field.EXCHANGES] = len(core.exchanges)
        row[Field.HELD_STREAMS] = core.holds.streams_count
        row[Field.HELD_RESPONSES] = core.holds.responses_count
        row[Field.HELD_WEBSOCKETS] = core.holds.sockets_count
        row[Field.CHANNELS] = len(core.holds.subscriptions.channels)

    def message_done(self, now: float, taken_us: int) -> None:
        """Note how long the items of a bus message took to reach their receivers: each as long as the last of them.

        Those with a fan-out of many turns are noted when that is over.

        Args:
            now: monotonic seconds, as the engine had them.
            taken_us: when the hub took the first item.
        """
        wanted_count, self._wanted_count = self._books.wanted - self._wanted_count, self._books.wanted
        started_count, self._started_count = (
            self._holds.fan_outs.started_count - self._started_count,
            self._holds.fan_outs.started_count,
        )
        if started_count:
            self._taken_at.setdefault(now, taken_us / 1e6)
        if wanted_count > started_count:
            observe(self._row, _WRITE, time.monotonic() - taken_us / 1e6, wanted_count - started_count)

    def fanned_out(self, began_at: float) -> None:
        """Note how long an item took that needed more than one turn of the loop."""
        now = time.monotonic()
        observe(self._row, _FAN_OUT, now - began_at)
        observe(self._row, _WRITE, now - self._taken_at.pop(began_at, began_at))

    def responses(self, payload: bytes, count: int = 1) -> None:
        """Count responses by their status, if the payload begins one; what goes on with a stream does not."""
        if payload.startswith(b"HTTP/1."):
            self._row[_RESPONSES + min(3, max(0, payload[9] - 0x32))] += count
