"""``GET /stats``: all figures of a running proxy as one JSON document, for `gripproxy top`, the dashboard and scripts.

Nothing is gathered while nobody asks. So the first answer after a pause takes a second: it needs two looks.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from gripproxy import __version__
from gripproxy.bus.audience import ASKED_MAX_COUNT, Audience
from gripproxy.bus.busy_channels import BusyChannels
from gripproxy.bus.control_answer import JSON_TYPE, NO_STORE, ControlAnswer
from gripproxy.bus.control_request import ControlRequest, ControlRequestError
from gripproxy.bus.json_bytes import encode_json
from gripproxy.bus.live_figures import KEPT_S, Look, Looks, describe
from gripproxy.bus.outlet import Outlet
from gripproxy.bus.process_clock import read_age_s, read_cpu_s
from gripproxy.scoreboard import Field, Scoreboard

FIRST_LOOK_S = 1.0  # between the two looks of a first answer
DOCUMENT_AGE_MAX_S = 0.4  # with 56 workers it takes some milliseconds to make one
IDLE_S = KEPT_S  # nobody asked for so long: nobody looks
CHANNELS_COUNT = 20  # in a document, unless the query says otherwise
CHANNELS_MAX_COUNT = 1_000

ReadTraffic = Callable[[], Mapping[str, Sequence[int]]]


@dataclass(slots=True)
class _Document:
    """What is answered. `channels` are all that are known, the busiest first."""

    at: float
    figures: dict[str, object]
    channels: list[dict[str, object]]


class LiveStats:
    """Answers ``/stats``. `read_traffic` gives each route's numbers by `Traffic`, summed over the workers."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, scoreboard: Scoreboard, outlet: Outlet, read_traffic: ReadTraffic
    ) -> None:
        self._loop = loop
        self._scoreboard = scoreboard
        self._outlet = outlet
        self._read_traffic = read_traffic
        self.audience = Audience(outlet)
        self._looks = Looks()
        self._latest: _Document | None = None
        self._busy: BusyChannels | None = None  # none while nobody looks
        self._asked_at = 0.0
        self._second: asyncio.TimerHandle | None = None

    def close(self) -> None:
        self._outlet.on_items_sent = None
        self._busy = None
        if self._second is not None:
            self._second.cancel()

    def respond(self, request: ControlRequest) -> ControlAnswer | Awaitable[ControlAnswer]:
        """Answer ``/stats[?channels=N]``, where N is how many of the busiest channels are wanted.

        Raises:
            ControlRequestError: N is no number.
        """
        channels_count = _decode_count(request.parameters().get("channels"))
        self._ask()
        if self._looks.has_before(time.monotonic()):
            return self._answer(channels_count)
        self._looks.add(self._look())
        return self._answer_later(channels_count)

    async def _answer_later(self, channels_count: int) -> ControlAnswer:
        await asyncio.sleep(FIRST_LOOK_S)
        return self._answer(channels_count)

    def _answer(self, channels_count: int) -> ControlAnswer:
        document = self._document()
        body = encode_json({**document.figures, "channels": document.channels[:channels_count]}) + b"\n"
        return ControlAnswer(200, body, JSON_TYPE, [NO_STORE])

    def _document(self) -> "_Document":
        """Give the figures of now; several who ask at the same time get the same."""
        now = time.monotonic()
        if self._latest is None or now - self._latest.at > DOCUMENT_AGE_MAX_S:
            look = self._look()
            age_s = read_age_s(os.getppid())
            figures = {
                "version": __version__,
                "at": round(time.time(), 3),
                "supervisor_pid": os.getppid(),
                "uptime_s": None if age_s is None else round(age_s, 1),
                **describe(self._looks, look),
            }
            self._looks.add(look)
            self._latest = _Document(now, figures, self._channels())
        return self._latest

    def _channels(self) -> list[dict[str, object]]:
        """Give the channels that most deliveries come of: among the first by items, by items times listeners."""
        if self._busy is None:
            return []
        audience = self.audience.counts(self._loop.time())
        rows = []
        for busy in self._busy.busiest(CHANNELS_MAX_COUNT):
            listeners = audience.get(busy.channel)
            rows.append((busy.items_per_s * (listeners or 0), busy.items_per_s, busy.channel, listeners))
        rows.sort(key=lambda row: row[:2], reverse=True)
        return [
            {
                "channel": channel,
                "items_per_s": round(items_per_s, 3),
                "listeners": listeners,
                "deliveries_per_s": None if listeners is None else round(deliveries_per_s, 3),
            }
            for deliveries_per_s, items_per_s, channel, listeners in rows
        ]

    def _look(self) -> Look:
        board = self._scoreboard
        rows = [board.row(index).tolist() for index in range(board.rows_count)]
        cpu_s = [read_cpu_s(row[Field.PID]) for row in rows]
        traffic = {route: list(columns) for route, columns in self._read_traffic().items()}
        return Look(time.monotonic(), rows, cpu_s, traffic)

    def _ask(self) -> None:
        self._asked_at = self._loop.time()
        if self._busy is None:
            self._busy = BusyChannels(self._asked_at)
            self._outlet.on_items_sent = self._busy.note
            # A little before the first answer, so that it has some.
            self._second = self._loop.call_later(FIRST_LOOK_S * 0.8, self._on_second)

    def _on_second(self) -> None:
        now = self._loop.time()
        if self._busy is None or now - self._asked_at > IDLE_S:
            self.close()
            return
        self._busy.roll(now)
        self.audience.ask([busy.channel for busy in self._busy.busiest(ASKED_MAX_COUNT)], now)
        self._second = self._loop.call_later(1.0, self._on_second)


def _decode_count(values: Sequence[str] | None) -> int:
    if values is None:
        return CHANNELS_COUNT
    text = values[-1]
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ControlRequestError(f"channels is not a whole number: {text!r}")
    return min(int(text), CHANNELS_MAX_COUNT)
