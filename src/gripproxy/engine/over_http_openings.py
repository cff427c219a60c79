"""Handshakes with origins over HTTP: OPEN is sent until the origin accepts the client, or refuses it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from gripproxy.engine.client_request import ClientRequest
from gripproxy.engine.effects import DropLink, Effect
from gripproxy.engine.events import LinkAnswered, LinkBodyCame, LinkDone, OriginFailure
from gripproxy.engine.over_http_origin import EventsOrigin, Gathered
from gripproxy.engine.over_http_requests import EventsRequests
from gripproxy.engine.timer_wheel import Slot, TimerWheel
from gripproxy.engine.ws_session import WsShape, shape_of
from gripproxy.errors import OriginError
from gripproxy.protocol.events_answer import decode_answer, is_events_answer, with_changes
from gripproxy.protocol.http1 import ResponseHead
from gripproxy.protocol.route_target import Target
from gripproxy.protocol.websocket_events import BODY_MAX_BYTES, OPEN_BODY, WsEvent, decode_events

REJECTION_MAX_BYTES = 100_000  # of a body that is no events, same as Pushpin


class Handshake(Protocol):
    """A client that wants to speak WebSocket, and has not been answered yet."""

    @property
    def conn_id(self) -> int: ...
    @property
    def request(self) -> ClientRequest: ...

    def accept(self, head: ResponseHead, origin: EventsOrigin, common_head: bytes, now: float) -> list[Effect]:
        """Begin the session. What the origin sent behind OPEN follows when it has begun."""
        ...

    def reject(self, head: ResponseHead, body: bytes, now: float) -> list[Effect]:
        """Answer as the origin did."""
        ...

    def fail(self, failure: OriginFailure, detail: str, now: float) -> list[Effect]:
        """Go on without this target."""
        ...


@dataclass(slots=True, eq=False)
class Opening:
    """One handshake. `handshake` is None when the client has left. `slot` is of the next try."""

    handshake: Handshake | None
    conn_id: int
    origin: EventsOrigin
    shape: WsShape
    link_id: int = 0
    answer: Gathered | None = None
    slot: Slot | None = None


# The opening, the origin's answer, its events with OPEN, now.
OnOpened = Callable[[Opening, ResponseHead, list[WsEvent], float], list[Effect]]


class EventsOpenings:
    """All of them in one worker.

    Args:
        on_opened: called when an origin has accepted; also when the client has left meanwhile.
    """

    def __init__(self, requests: EventsRequests, wheel: TimerWheel, on_opened: OnOpened) -> None:
        self._requests = requests
        self._wheel = wheel
        self._on_opened = on_opened
        self._by_conn: dict[int, Opening] = {}

    def open(self, handshake: Handshake, target: Target, now: float) -> list[Effect]:
        """Ask a target whether it accepts a client."""
        request, conn_id = handshake.request, handshake.conn_id
        head = self._requests.begin(conn_id, request, target, now)
        shape = shape_of(request, is_deflating=False, message_prefix=None, common_head=head.template)
        opening = Opening(handshake, conn_id, EventsOrigin(conn_id, head.values), shape)
        self._by_conn[conn_id] = opening
        return [self._ask(opening, now)]

    def give_up(self, handshake: Handshake) -> None:
        """Forget a client that has left. The answer in flight is waited for: it may be that the origin accepts."""
        opening = self._by_conn.pop(handshake.conn_id, None)
        if opening is not None:
            opening.handshake = None
            self._wheel.cancel(opening)

    def on_due(self, opening: Opening, now: float) -> list[Effect]:
        """Ask again an origin that wanted to be."""
        return [self._ask(opening, now)]

    def _ask(self, opening: Opening, now: float) -> Effect:
        opening.answer = None
        effect = self._requests.post(partial(self._on_event, opening), opening.shape, opening.origin, OPEN_BODY, now)
        opening.link_id = effect.link_id
        return effect

    def _on_event(self, opening: Opening, event: Any, now: float) -> list[Effect]:
        if isinstance(event, LinkAnswered):
            opening.answer = Gathered(event.head)
            return []
        answer = opening.answer
        if isinstance(event, LinkBodyCame):
            assert answer is not None
            answer.add(event.part)
            max_bytes = BODY_MAX_BYTES if is_events_answer(answer.head) else REJECTION_MAX_BYTES
            if answer.size_bytes <= max_bytes:
                return []
            return [*self._drop(opening), *self._fail(opening, f"its answer exceeds {max_bytes} bytes", now)]
        if isinstance(event, LinkDone):
            assert answer is not None
            is_events = is_events_answer(answer.head)
            return self._take_answer(opening, answer, now) if is_events else self._reject(opening, answer, now)
        handshake = self._end(opening)
        return [] if handshake is None else handshake.fail(event.failure, event.detail, now)

    def _take_answer(self, opening: Opening, answer: Gathered, now: float) -> list[Effect]:
        origin = opening.origin
        says = decode_answer(answer.head.headers)
        try:
            events = decode_events(answer.body)
            origin.meta = with_changes(origin.meta, says.changes)
        except OriginError as error:
            return self._fail(opening, str(error), now)
        if says.interval_s is not None:
            origin.interval_s = says.interval_s
        if not events and origin.interval_s:
            if opening.handshake is not None:
                self._wheel.schedule(opening, now + origin.interval_s)
            return []
        if not events or events[0].kind != b"OPEN":
            return self._fail(opening, "its first event is not OPEN" if events else "it answered without events", now)
        self._forget(opening)
        return self._on_opened(opening, answer.head, events, now)

    def _fail(self, opening: Opening, detail: str, now: float) -> list[Effect]:
        handshake = self._end(opening)
        return [] if handshake is None else handshake.fail(OriginFailure.BROKEN, detail, now)

    def _reject(self, opening: Opening, answer: Gathered, now: float) -> list[Effect]:
        handshake = self._end(opening)
        return [] if handshake is None else handshake.reject(answer.head, answer.body, now)

    def _drop(self, opening: Opening) -> list[Effect]:
        self._requests.forget(opening.link_id)
        return [DropLink(opening.link_id)]

    def _end(self, opening: Opening) -> Handshake | None:
        """Let go of a handshake that failed, and give its client, if it is still there."""
        self._forget(opening)
        handshake, opening.handshake = opening.handshake, None
        return handshake

    def _forget(self, opening: Opening) -> None:
        if self._by_conn.get(opening.conn_id) is opening:
            del self._by_conn[opening.conn_id]
