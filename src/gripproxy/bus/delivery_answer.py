"""``POST /publish?wait=delivered``: the answer comes when every worker has told what became of the items.

gripproxy's own: Pushpin answers when it has read the items, and nobody learns whom they reached.
"""

import asyncio
import json
from collections.abc import Awaitable

from gripproxy.bus.control_answer import BUSY, JSON_TYPE, ControlAnswer, decide
from gripproxy.bus.control_request import ControlRequest, ControlRequestError
from gripproxy.bus.control_routes import ControlRoutes
from gripproxy.bus.item_intake import ItemIntake
from gripproxy.bus.outlet import Outlet
from gripproxy.bus.receipts import OPEN, Inquiry, ItemOutcome
from gripproxy.scoreboard import Field

TIMEOUT_S = 10.0
TIMEOUT_MAX_S = 20.0  # the control server gives up after 30 s, which includes the sending of the items
WAITING_MAX_COUNT = 64  # requests: the others of the control server's connections are for those who do not wait
VALUE_SHOWN_CHARS = 40

_TOO_MANY = ControlAnswer(503, b"Too many requests wait for their items.\n", extra=[(b"Retry-After", b"1")])
# Words for publishers.
_OUTCOMES = {
    ItemOutcome.DONE: "sent",
    ItemOutcome.DUPLICATE: "duplicate",
    ItemOutcome.UNORDERED: "unordered",
    ItemOutcome.WAITING: "waiting",  # for the item that its prev-id names
    ItemOutcome.SENT: "timeout",  # the figures are those of the workers that told in time
    ItemOutcome.UNKNOWN: "incomplete",  # a worker died, or its word was lost
}


class DeliveryAnswers:
    """Answers ``/publish`` with ``wait`` in the query."""

    def __init__(self, loop: asyncio.AbstractEventLoop, outlet: Outlet, intake: ItemIntake) -> None:
        self._loop = loop
        self._outlet = outlet
        self._intake = intake
        self._waiting_count = 0

    def register(self, routes: ControlRoutes) -> None:
        routes.add(b"/publish", self.respond, (b"POST",), parameter="wait")

    def respond(self, request: ControlRequest) -> ControlAnswer | Awaitable[ControlAnswer]:
        """Publish the items as without ``wait``, and answer later.

        Raises:
            ControlRequestError: the query is not valid; nothing was published.
        """
        timeout_s = _decode_query(request.parameters())
        decision = decide(ControlRequest(request.method, request.path, request.accept, request.body))
        if decision.is_refused_publish:
            self._intake.count_refused(Field.ITEMS_HTTP)
            return decision.answer
        if decision.answer.status != 200:
            return decision.answer
        if self._outlet.is_overfull:
            self._intake.count_turned_away(len(decision.items))
            return BUSY
        if self._waiting_count >= WAITING_MAX_COUNT:
            return _TOO_MANY
        inquiries = self._intake.accept_asked(decision.items, Field.ITEMS_HTTP)
        return self._answer_later(inquiries, timeout_s)

    async def _answer_later(self, inquiries: list[Inquiry], timeout_s: float) -> ControlAnswer:
        self._waiting_count += 1
        try:
            await _wait_closed(self._loop, inquiries, timeout_s)
        finally:
            self._waiting_count -= 1
        answer = {"message": "Published", "items": [_describe(inquiry) for inquiry in inquiries]}
        return ControlAnswer(200, json.dumps(answer).encode() + b"\n", JSON_TYPE)


async def _wait_closed(loop: asyncio.AbstractEventLoop, inquiries: list[Inquiry], timeout_s: float) -> None:
    """Wait until all are closed, or for `timeout_s`."""
    open_count = 0
    all_closed = loop.create_future()

    def on_closed() -> None:
        nonlocal open_count
        open_count -= 1
        if not open_count and not all_closed.done():
            all_closed.set_result(None)

    for inquiry in inquiries:
        if inquiry.outcome in OPEN:
            open_count += 1
            inquiry.on_closed = on_closed
    if open_count:
        await asyncio.wait([all_closed], timeout=timeout_s)


def _describe(inquiry: Inquiry) -> dict[str, str | int]:
    return {
        "channel": inquiry.channel,
        "receivers": inquiry.receivers,
        "delivered": inquiry.delivered,
        "filtered": inquiry.filtered,
        "dropped": inquiry.dropped,
        "outcome": _OUTCOMES[inquiry.outcome],
    }


def _decode_query(parameters: dict[str, list[str]]) -> float:
    """Check ``wait`` and give the seconds of ``timeout``."""
    wait = ",".join(parameters.get("wait", []))
    if wait != "delivered":
        raise ControlRequestError(f"wait must be delivered, not {_shown(wait)}.")
    text = parameters.get("timeout", [f"{TIMEOUT_S:g}"])[0]
    try:
        timeout_s = float(text)
    except ValueError:
        timeout_s = -1.0
    if not 0 <= timeout_s <= TIMEOUT_MAX_S:
        wanted = f"timeout must be a number of seconds from 0 to {TIMEOUT_MAX_S:g}"
        raise ControlRequestError(f"{wanted}, not {_shown(text)}.")
    return timeout_s


def _shown(text: str) -> str:
    return ascii(text[:VALUE_SHOWN_CHARS])
