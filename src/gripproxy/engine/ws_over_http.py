"""WebSocket clients whose origins speak HTTP: what they send goes out as events, and answers bring events back."""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from gripproxy.engine.effects import LOG_INFO, LOG_WARNING, AwaitReader, DropLink, Effect, Log, PauseClient
from gripproxy.engine.events import LinkAnswered, LinkBodyCame, LinkDone, LinkFailed, OriginFailure
from gripproxy.engine.link_requests import LinkRequests
from gripproxy.engine.over_http_openings import EventsOpenings, Handshake, Opening
from gripproxy.engine.over_http_origin import (
    CLIENT_CLOSED,
    DISCONNECTING,
    LEAVING,
    OPEN,
    ORIGIN_CLOSED,
    EventsOrigin,
    Gathered,
    Talk,
)
from gripproxy.engine.over_http_requests import EventsRequests
from gripproxy.engine.timer_wheel import TimerWheel
from gripproxy.engine.ws_session import WsSession
from gripproxy.errors import OriginError
from gripproxy.protocol.events_answer import (
    client_headers,
    decode_answer,
    is_events_answer,
    why_no_events,
    with_changes,
)
from gripproxy.protocol.http1 import ResponseHead
from gripproxy.protocol.origin_request import OriginRequests
from gripproxy.protocol.route_target import Target
from gripproxy.protocol.websocket_close import decode_close, encode_close
from gripproxy.protocol.websocket_events import BODY_MAX_BYTES, DISCONNECT_BODY, WsEvent, decode_events, frame_of
from gripproxy.protocol.websocket_frame import Frame

RETRIES_MAX_COUNT = 5  # after 1, 2, 4, 8 and 16 seconds and up to one more, same as Pushpin
TIMED: tuple[type, ...] = (EventsOrigin, Talk, Opening)  # that the timer wheel has
EVENTS_MAX_COUNT = 1000  # of an answer that are handed on at once, some 10 ms: 1 MB may hold 166,666 of them
WAITING_MAX_BYTES = 67_108_864  # that origins have not taken yet of all clients; in requests they are there once more
UNREAD_MAX_KIB = 64  # that a client was sent since it was known to have read all: then it is waited for


class SessionOwner(Protocol):
    """Who has the sessions: `WebSockets`."""

    def session(self, conn_id: int) -> WsSession | None:
        """Give a client's session."""
        ...

    def on_origin_frame(self, session: WsSession, frame: Frame, now: float) -> list[Effect]:
        """Take a message, a ping or a pong of the origin."""
        ...

    def on_origin_close(self, session: WsSession, code: int | None, reason: bytes, now: float) -> list[Effect]:
        """Take the origin's close, or its answer to the client's."""
        ...

    def on_origin_lost(self, session: WsSession, detail: str, now: float) -> list[Effect]:
        """Drop the client: its origin is lost."""
        ...


class WsOverHttp:
    """All sessions of one worker whose origins speak HTTP. A session's `origin` is None once it is done with.

    Args:
        jitter: gives a random number in [0, 1), which spreads repetitions over a second.
        connection_id: gives the id, lower case with dashes, by which origins are to know a client.
    """

    def __init__(
        self,
        links: LinkRequests,
        origin_requests: OriginRequests,
        owner: SessionOwner,
        wheel: TimerWheel,
        jitter: Callable[[], float],
        connection_id: Callable[[int], bytes],
    ) -> None:
        self._requests = EventsRequests(links, origin_requests, connection_id)
        self._owner = owner
        self._wheel = wheel
        self._jitter = jitter
        self._openings = EventsOpenings(self._requests, wheel, self._on_opened)
        self._waiting: dict[Talk, int] = {}  # bytes, whose began to wait first
        self._waiting_bytes = 0

    # The beginning.

    def open(self, handshake: Handshake, target: Target, now: float) -> list[Effect]:
        """Ask a target whether it accepts a client: `accept`, `reject` or `fail` of the handshake follows."""
        return self._openings.open(handshake, target, now)

    def give_up(self, handshake: Handshake) -> None:
        """Forget a client that has left before it was answered."""
        self._openings.give_up(handshake)

    def on_due(self, record: Any, now: float) -> list[Effect]:
        """Handle the deadline of one of `TIMED`."""
        if isinstance(record, Opening):
            return self._openings.on_due(record, now)
        if isinstance(record, EventsOrigin):
            return self._on_poll_due(record, now)
        return self._deliver(record, record.undelivered, now) if record.undelivered else [self._send(record, now)]

    def _on_opened(self, opening: Opening, head: ResponseHead, events: list[WsEvent], now: float) -> list[Effect]:
        origin, shape = opening.origin, opening.shape
        effects: list[Effect] = []
        session = None
        if opening.handshake is not None:
            seen = ResponseHead(head.status, head.reason, client_headers(head.headers), head.framing)
            effects = opening.handshake.accept(seen, origin, shape.common_head, now)
            session = self._owner.session(opening.conn_id)
        if session is None or session.origin is not origin:
            return effects + self._advance(Talk(origin, shape, None, stage=DISCONNECTING), now)
        return effects + self._deliver(self._talk(session, origin), events[1:], now)

    # From the client.

    def on_frames(self, session: WsSession, frames: list[Frame], now: float) -> list[Effect]:
        """Take a client's messages, or pieces of them, pings and pongs."""
        origin = session.origin
        if origin is None:
            return []
        talk = self._talk(session, origin)
        if talk.stage is not OPEN:
            return []
        for frame in frames:
            talk.outgoing.push(frame)
        effects = [*self._advance(talk, now), *self._weigh(talk, now)]
        if session.origin is origin and talk.outgoing.is_full and not talk.is_client_paused:
            talk.is_client_paused = True
            effects.append(PauseClient(session.conn_id, True))
        return effects

    def on_client_close(self, session: WsSession, code: int | None, reason: bytes, now: float) -> list[Effect]:
        """Tell the origin that the client closes; its answer comes as `on_origin_close`."""
        origin = session.origin
        if origin is None:
            return []
        talk = self._talk(session, origin)
        if talk.stage is not OPEN:
            return []
        talk.stage, talk.has_client_closed = CLIENT_CLOSED, True
        talk.outgoing.close(encode_close(code, reason))
        return self._advance(talk, now)

    def on_reader(self, session: WsSession, now: float) -> list[Effect]:
        """Hear that a client has read what it was sent."""
        origin = session.origin
        if origin is None:
            return []
        origin.unread_kib = 0
        if origin.talk is None or not origin.talk.is_reader_awaited:
            return []
        origin.talk.is_reader_awaited = False
        return self._advance(origin.talk, now)

    # From our side.

    def refresh(self, session: WsSession, now: float) -> list[Effect]:
        """Ask the origin whether it has something to say: now, or once more after the request in flight."""
        origin = session.origin
        if origin is None:
            return []
        talk = self._talk(session, origin)
        if talk.stage is OPEN:
            talk.is_poll_due = True
        return self._advance(talk, now)

    def answer_close(self, session: WsSession, code: int | None, reason: bytes, now: float) -> list[Effect]:
        """Tell the origin how the client has answered its close, and be done with it."""
        return self._leave(session, encode_close(code, reason), now)

    def leave(self, session: WsSession, now: float) -> list[Effect]:
        """Close towards the origin, which hears no code, and be done with it, whatever becomes of the client."""
        if session.origin is not None:
            session.path = session.origin.path  # for the log and for filters
        return self._leave(session, b"", now)

    def disconnect(self, session: WsSession, now: float) -> list[Effect]:
        """Tell the origin that the client is lost, behind the request in flight. What waits is not sent any more."""
        talk = self._part(session)
        if talk is None:
            return []
        talk.outgoing.forget()
        talk.stage = DISCONNECTING
        return self._advance(talk, now)

    def _leave(self, session: WsSession, content: bytes, now: float) -> list[Effect]:
        """Say CLOSE behind all that the client has sent."""
        talk = self._part(session)
        if talk is None:
            return []
        effects: list[Effect] = [PauseClient(session.conn_id, False)] if talk.is_client_paused else []
        if not talk.has_client_closed:
            talk.outgoing.close(content)
        talk.stage = LEAVING
        return effects + self._advance(talk, now)

    def _part(self, session: WsSession) -> Talk | None:
        """Let a session be without its origin; give what is still under way with that."""
        origin, session.origin = session.origin, None
        if origin is None:
            return None
        self._wheel.cancel(origin)
        talk = origin.talk or Talk(origin, session.shape, session)
        origin.talk = talk.session = None
        if talk.undelivered:
            talk.undelivered = []
            self._wheel.cancel(talk)
        return talk

    # Requests.

    def _talk(self, session: WsSession, origin: EventsOrigin) -> Talk:
        """Give what is under way between a client and its origin, which may be nothing yet."""
        if origin.talk is None:
            origin.talk = Talk(origin, session.shape, session)
        return origin.talk

    def _advance(self, talk: Talk, now: float) -> list[Effect]:
        """Make the next request, if there is something to say and none is under way."""
        if talk.is_under_way:
            return []
        if talk.session is None:
            return self._say_last(talk, now)
        if talk.outgoing.is_stuck:
            return self._break(talk, "its client's message is too large", now)
        if talk.is_reader_awaited:
            return []
        if talk.undelivered:
            self._wheel.schedule(talk, now)
            return []
        if talk.stage is not ORIGIN_CLOSED and (talk.outgoing.is_fresh or talk.is_poll_due):
            return [self._ask(talk, now)]
        origin = talk.origin
        if origin.interval_s and origin.slot is None and talk.stage is not ORIGIN_CLOSED:
            self._wheel.schedule(origin, now + origin.interval_s)
        if talk.is_idle:
            origin.talk = None
        return []

    def _say_last(self, talk: Talk, now: float) -> list[Effect]:
        """Go on for a client that has gone on without its origin, or is gone."""
        if talk.stage is LEAVING:
            return [self._ask(talk, now)] if talk.outgoing.is_fresh else []
        if talk.is_disconnect_sent:
            return []
        talk.is_disconnect_sent = True
        return [self._send(talk, now)]

    def _ask(self, talk: Talk, now: float) -> Effect:
        self._wheel.cancel(talk.origin)
        talk.is_poll_due = False
        talk.outgoing.offer(talk.shape.target.one_event)
        return self._send(talk, now)

    def _send(self, talk: Talk, now: float) -> Effect:
        body, replayed_bytes = talk.outgoing.encode_offered(), talk.outgoing.replayed_bytes
        if talk.is_disconnect_sent:
            body, replayed_bytes = DISCONNECT_BODY, 0
        talk.answer = None
        effect = self._requests.post(partial(self._on_event, talk), talk.shape, talk.origin, body, now, replayed_bytes)
        talk.link_id = effect.link_id
        return effect

    def _on_poll_due(self, origin: EventsOrigin, now: float) -> list[Effect]:
        session = self._owner.session(origin.conn_id)
        assert session is not None and session.origin is origin  # else it was taken off the wheel
        talk = self._talk(session, origin)
        talk.is_poll_due = True
        return self._advance(talk, now)

    def _weigh(self, talk: Talk, now: float) -> list[Effect]:
        """Note what waits for a talk's origin. If it is too much of all talks', the one that waits for longest ends."""
        is_over = talk.session is None and not talk.is_under_way
        size_bytes = 0 if is_over else talk.outgoing.cost_bytes
        self._waiting_bytes += size_bytes - self._waiting.get(talk, 0)
        if size_bytes:
            self._waiting[talk] = size_bytes
        else:
            self._waiting.pop(talk, None)
        effects: list[Effect] = []
        while self._waiting_bytes > WAITING_MAX_BYTES:
            oldest = next(iter(self._waiting))
            self._waiting_bytes -= self._waiting.pop(oldest)
            self._wheel.cancel(oldest)
            effects += self._break(oldest, "too much waits for origins, and for this one for the longest time", now)
        return effects

    # Answers.

    def _on_event(self, talk: Talk, event: Any, now: float) -> list[Effect]:
        effects = self._take_event(talk, event, now)
        if talk not in self._waiting:
            return effects
        if isinstance(event, LinkDone):  # it goes on: what is left begins to wait now
            self._waiting_bytes -= self._waiting.pop(talk)
        return effects + self._weigh(talk, now)

    def _take_event(self, talk: Talk, event: Any, now: float) -> list[Effect]:
        if isinstance(event, LinkAnswered):
            talk.retries_count = 0
            talk.answer = Gathered(event.head)
            if talk.is_disconnect_sent or is_events_answer(event.head):
                return []
            return self._break(talk, why_no_events(event.head), now)
        if isinstance(event, LinkBodyCame):
            assert talk.answer is not None
            talk.answer.add(event.part)
            if talk.answer.size_bytes <= BODY_MAX_BYTES:
                return []
            return self._break(talk, f"its events exceed {BODY_MAX_BYTES} bytes", now)
        talk.link_id = 0
        return self._on_done(talk, now) if isinstance(event, LinkDone) else self._on_failed(talk, event, now)

    def _on_failed(self, talk: Talk, event: LinkFailed, now: float) -> list[Effect]:
        """Ask again if the origin cannot have acted on the request, or may act on it twice.

        Otherwise nobody knows where the session stands.
        """
        is_repeatable = event.failure is OriginFailure.CONNECT or not event.is_sent
        if event.failure is OriginFailure.BROKEN and (talk.is_disconnect_sent or talk.outgoing.is_offer_empty):
            is_repeatable = True
        if not is_repeatable or talk.retries_count >= RETRIES_MAX_COUNT:
            return self._break(talk, event.detail, now)
        self._wheel.schedule(talk, now + 2**talk.retries_count + self._jitter())
        talk.retries_count += 1
        if talk.retries_count > 1:
            return []  # once is enough: all clients of an origin may be in here
        about = None if talk.session is None else talk.session.conn_id
        return [Log(LOG_INFO, f"origin {talk.shape.target.label}: {event.detail}; asking again", about=about)]

    def _on_done(self, talk: Talk, now: float) -> list[Effect]:
        answer, talk.answer = talk.answer, None
        assert answer is not None
        if talk.is_disconnect_sent:
            return []
        origin, says = talk.origin, decode_answer(answer.head.headers)
        try:
            events = decode_events(answer.body)
            talk.outgoing.take(says.accepted_bytes)
            if says.changes:
                origin.meta = with_changes(origin.meta, says.changes)
        except OriginError as error:
            return self._break(talk, str(error), now)
        if says.interval_s is not None:
            origin.interval_s = says.interval_s
        if talk.session is not None:
            return self._resume_client(talk) + self._deliver(talk, events, now)
        if talk.has_client_closed and not talk.outgoing.has_close and any(event.kind == b"CLOSE" for event in events):
            return []  # both have closed: nobody is missed
        return self._advance(talk, now)

    def _resume_client(self, talk: Talk, is_wanted: bool = False) -> list[Effect]:
        """Read the client again if there is room for more, or if its close `is_wanted`."""
        if talk.session is None or not talk.is_client_paused or (talk.outgoing.is_full and not is_wanted):
            return []
        talk.is_client_paused = False
        return [PauseClient(talk.session.conn_id, False)]

    def _deliver(self, talk: Talk, events: list[WsEvent], now: float) -> list[Effect]:
        """Hand on what the origin has sent, and go on."""
        session, origin = talk.session, talk.origin
        assert session is not None
        effects: list[Effect] = []
        sent_bytes = 0
        talk.undelivered = events[EVENTS_MAX_COUNT:]
        for event in events[:EVENTS_MAX_COUNT]:
            if event.kind == b"CLOSE":
                talk.undelivered = []
                return effects + self._on_close(talk, session, *decode_close(event.content), now)
            if event.kind in (b"OPEN", b"DISCONNECT"):
                return effects + self._break(talk, f"it sent {event.kind.decode()}", now)
            frame = frame_of(event)
            if frame is not None:
                sent_bytes += len(frame.payload)
                effects += self._owner.on_origin_frame(session, frame, now)
                if session.origin is not origin:  # it was told to be detached, for instance
                    return effects
        is_silent = not (talk.undelivered or talk.outgoing.is_fresh or origin.interval_s)
        if talk.stage is CLIENT_CLOSED and is_silent:
            return effects + self._break(talk, "it did not answer its client's close", now)
        origin.unread_kib += -(-sent_bytes // 1024)
        if origin.unread_kib > UNREAD_MAX_KIB:
            talk.is_reader_awaited = True
            effects.append(AwaitReader(session.conn_id))
        return effects + self._advance(talk, now)

    def _on_close(self, talk: Talk, session: WsSession, code: int | None, reason: bytes, now: float) -> list[Effect]:
        if talk.stage is CLIENT_CLOSED:
            self._part(session)
            talk.stage = LEAVING  # if both have closed at once, the origin is still to get the client's
            said = self._advance(talk, now)
            return [*self._owner.on_origin_close(session, code, reason, now), *said]
        effects = self._resume_client(talk, is_wanted=True)
        talk.stage, talk.is_poll_due = ORIGIN_CLOSED, False
        self._wheel.cancel(talk.origin)
        return effects + self._owner.on_origin_close(session, code, reason, now)

    def _break(self, talk: Talk, detail: str, now: float) -> list[Effect]:
        """Give up: nothing more is said to the origin, and its client, if it is still there, is dropped."""
        effects: list[Effect] = []
        if talk.link_id and self._requests.forget(talk.link_id):
            effects.append(DropLink(talk.link_id))
        talk.link_id = 0
        session = talk.session
        if session is None:
            return [*effects, Log(LOG_WARNING, f"origin {talk.shape.target.label}, client gone: {detail}")]
        self._part(session)
        return effects + self._owner.on_origin_lost(session, detail, now)
