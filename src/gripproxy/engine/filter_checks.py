"""Items that wait until a server has said whether a hold gets them: the filters http-check and http-modify."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from gripproxy.engine.effects import DropLink, Effect
from gripproxy.engine.events import LinkAnswered, LinkBodyCame, LinkDone, OriginFailure
from gripproxy.engine.holds import QUEUE_MAX_COUNT, ResponseHold, TrackedStream
from gripproxy.engine.link_requests import LinkRequests, way_to
from gripproxy.engine.timer_wheel import TICK_S, Slot, TimerWheel
from gripproxy.engine.ws_session import WsSession
from gripproxy.errors import FilterError
from gripproxy.protocol.http1 import Headers
from gripproxy.protocol.network_filter import (
    REQUESTS_MAX_RATE,
    RESPONSE_MAX_BYTES,
    TIMEOUT_S,
    FilterRequest,
    FilterRun,
    request_failed,
)
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.protocol.route_target import Target

WAITING_MAX_COUNT = 1_000  # requests that the rate holds back: 10 s; then items are dropped

CheckedHold = TrackedStream | ResponseHold | WsSession
# What becomes of an item that was asked about: its content, or None; or the error.
OnVerdict = Callable[["Check", bytes | None, FilterError | None, float], list[Effect]]


@dataclass(slots=True, eq=False)
class Check:
    """One item that a hold waits for. `queue` are the items after it.

    `on_verdict` is called when it is known what the hold gets. The check is over by then.
    """

    hold: CheckedHold
    item: PublishItem
    run: FilterRun
    on_verdict: OnVerdict
    queue: deque[PublishItem] = field(default_factory=deque)
    asked: FilterRequest | None = None
    path: bytes = b""
    targets: tuple[Target, ...] = ()
    targets_tried: int = 0
    link_id: int = 0
    status: int = 0
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    slot: Slot | None = None


class FilterChecks:
    """All of them in one worker, by connection id: at most one for each hold."""

    def __init__(self, requests: LinkRequests, wheel: TimerWheel) -> None:
        self._requests = requests
        self._wheel = wheel
        self._checks: dict[int, Check] = {}
        self._waiting: deque[Check] = deque()  # for their turn, as only so many ask in a second
        self._left_count = REQUESTS_MAX_RATE
        self._counted_since = 0.0

    def __contains__(self, conn_id: int) -> bool:
        return conn_id in self._checks

    def start(
        self, hold: CheckedHold, item: PublishItem, run: FilterRun, on_verdict: OnVerdict, now: float
    ) -> list[Effect]:
        """Let an item wait for its filters."""
        check = self._checks[hold.conn_id] = Check(hold, item, run, on_verdict)
        return self._advance(check, now)

    def queue(self, conn_id: int, item: PublishItem) -> bool:
        """Let a later item wait behind the one that is checked; say whether there was room for it."""
        queue = self._checks[conn_id].queue
        if len(queue) >= QUEUE_MAX_COUNT:
            return False
        queue.append(item)
        return True

    def leave(self, conn_id: int) -> tuple[Check | None, list[Effect]]:
        """Forget what a hold that is over has waited for, and give it."""
        check = self._checks.pop(conn_id, None)
        return check, [] if check is None else self._drop(check)

    def on_due(self, check: Check, now: float) -> list[Effect]:
        """Give up a request that takes too long, or make those that had to wait."""
        if check.asked is not None and check.link_id:
            return [*self._drop(check), *self._end(check, None, request_failed("request timed out"), now)]
        effects: list[Effect] = []
        while self._waiting and self._may_ask(now):
            waiting = self._waiting.popleft()
            if self._checks.get(waiting.hold.conn_id) is waiting:
                effects += self._ask(waiting, now)
        if self._waiting:
            self._wheel.schedule(self._waiting[0], now + TICK_S)
        return effects

    def _advance(self, check: Check, now: float) -> list[Effect]:
        try:
            check.asked = check.run.advance(check.hold.url)
        except FilterError as error:
            return self._end(check, None, error, now)
        if check.asked is None:
            return self._end(check, check.run.content, None, now)
        check.path, check.targets = way_to(check.hold.request, check.asked.url)
        check.targets_tried, check.link_id = 0, 0
        if not self._waiting and self._may_ask(now):
            return self._ask(check, now)
        if len(self._waiting) >= WAITING_MAX_COUNT:
            return self._end(check, None, request_failed("general error"), now)
        if not self._waiting:
            self._wheel.schedule(check, now + TICK_S)
        self._waiting.append(check)
        return []

    def _may_ask(self, now: float) -> bool:
        if now - self._counted_since >= 1.0:
            self._counted_since, self._left_count = now, REQUESTS_MAX_RATE
        self._left_count -= 1
        return self._left_count >= 0

    def _ask(self, check: Check, now: float) -> list[Effect]:
        asked = check.asked
        assert asked is not None
        target = check.targets[check.targets_tried]
        check.targets_tried += 1
        if target.is_test:  # it checks nothing
            return self._end(check, None, request_failed("general error"), now)
        check.status, check.headers, check.body = 0, [], b""
        on_event = partial(self._on_event, check)
        way = check.path, target
        effect = self._requests.send(
            on_event, check.hold.request, asked.url, way, now, b"POST", headers=asked.headers, body=asked.body
        )
        check.link_id = effect.link_id
        self._wheel.schedule(check, now + TIMEOUT_S)
        return [effect]

    def _on_event(self, check: Check, event: Any, now: float) -> list[Effect]:
        if isinstance(event, LinkAnswered):
            check.status, check.headers = event.head.status, event.head.headers
            return []
        if isinstance(event, LinkBodyCame):
            check.body += event.part
            if len(check.body) <= RESPONSE_MAX_BYTES:
                return []
            return [*self._drop(check), *self._take_answer(check, now)]
        self._wheel.cancel(check)
        if isinstance(event, LinkDone):
            return self._take_answer(check, now)
        check.link_id = 0
        is_unreachable = event.failure is OriginFailure.CONNECT
        if is_unreachable and check.targets_tried < len(check.targets):
            return self._ask(check, now)
        failure = "connection refused" if is_unreachable else "disconnected"
        return self._end(check, None, request_failed(failure), now)

    def _take_answer(self, check: Check, now: float) -> list[Effect]:
        check.link_id = 0
        try:
            check.run.take_answer(check.status, check.headers, check.body)
        except FilterError as error:
            return self._end(check, None, error, now)
        return self._advance(check, now)

    def _end(self, check: Check, content: bytes | None, error: FilterError | None, now: float) -> list[Effect]:
        self._checks.pop(check.hold.conn_id, None)
        return check.on_verdict(check, content, error, now)

    def _drop(self, check: Check) -> list[Effect]:
        if check.link_id:
            self._wheel.cancel(check)
            if self._requests.forget(check.link_id):
                return [DropLink(check.link_id)]
        return []
