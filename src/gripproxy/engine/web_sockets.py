"""Every WebSocket client of this worker between its two legs: frames to the origin, messages to the client, the end."""

from collections.abc import Callable
from typing import Any

from gripproxy.engine.client_request import ClientRequest
from gripproxy.engine.effects import LOG_WARNING, CloseOrigin, Cut, Effect, EndSocket, Log, OpenSocket, ToOrigin
from gripproxy.engine.events import FramesCame, OriginFramesCame, OriginSocketGone, ReaderCaughtUp
from gripproxy.engine.filter_checks import FilterChecks
from gripproxy.engine.hold_table import HoldTable
from gripproxy.engine.link_requests import LinkRequests
from gripproxy.engine.over_http_origin import EventsOrigin
from gripproxy.engine.over_http_outgoing import CONTENT_MAX_BYTES
from gripproxy.engine.ws_controls import WsControls
from gripproxy.engine.ws_delivery import WsDelivery
from gripproxy.engine.ws_keep_alive import WsTimers
from gripproxy.engine.ws_over_http import TIMED, WsOverHttp
from gripproxy.engine.ws_session import (
    CLIENT_CLOSING,
    DETACHED,
    ENDING,
    OPEN,
    ORIGIN_CLOSING,
    Incoming,
    WsSession,
    WsShape,
    WsShapes,
    WsState,
)
from gripproxy.protocol import test_target
from gripproxy.protocol.origin_request import OriginRequests
from gripproxy.protocol.route_target import Target
from gripproxy.protocol.websocket_close import GOING_AWAY, NORMAL, decode_close, encode_close
from gripproxy.protocol.websocket_frame import CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, encode_frame
from gripproxy.settings import Settings

CLOSING_MAX_S = 30.0  # for an end to answer a close; Pushpin waits for as long as its connections may be silent
GOING_MAX_S = 2.0  # for a client to answer a close when this process stops
CONTROL_MARK = b"c:"


class WebSockets:
    """All sessions. Those whose origin speaks HTTP are driven by `over_http`; the others' origins are the worker's.

    `mid_message` are clients in the middle of a fragmented message of their origin: nothing may come between.
    """

    def __init__(
        self,
        holds: HoldTable,
        link_requests: LinkRequests,
        checks: FilterChecks,
        origin_requests: OriginRequests,
        settings: Settings,
        jitter: Callable[[], float],
    ) -> None:
        self.mid_message: set[int] = set()
        self._holds = holds
        self._jitter = jitter
        self.shapes = WsShapes()
        self._message_max_bytes = 0
        self.over_http = WsOverHttp(link_requests, origin_requests, self, holds.wheel, jitter, self._connection_id)
        self.timers = WsTimers(holds, jitter)
        self._controls = WsControls(holds, self.timers, self)
        self.use_settings(settings)
        self.delivery = WsDelivery(holds, self.timers, self, checks)
        holds.socket_follower = self
        holds.due_handlers[WsSession] = self._on_due
        holds.due_handlers.update(dict.fromkeys(TIMED, self.over_http.on_due))

    def use_settings(self, settings: Settings) -> None:
        """Go by other limits: on messages with clients that come from now on, on channels at once."""
        self._message_max_bytes = settings.client_max_message_size
        self._controls.channels_max_count = settings.connection_subscription_max

    def open(
        self,
        conn_id: int,
        request: ClientRequest,
        shape: WsShape,
        origin: EventsOrigin | None,
        accept: bytes,
        is_origin_deflating: bool,
    ) -> list[Effect]:
        """Begin a session: its client gets `accept`, the head of the 101."""
        session = WsSession(conn_id, self.shapes.shared(shape), origin=origin)
        if origin is None:
            session.path = request.url.target.encode("latin-1")
        opened = OpenSocket(
            conn_id,
            accept,
            origin is None and not shape.target.is_test,
            shape.is_deflating,
            is_origin_deflating,
            self.message_max_bytes(session),
        )
        return [opened, *self._holds.add_socket(session)]

    def message_max_bytes(self, session: WsSession) -> int:
        """Say how many bytes a message of a client may have; 0: any number."""
        content_max_bytes = 0 if session.origin is None else CONTENT_MAX_BYTES
        return min([limit for limit in (self._message_max_bytes, content_max_bytes) if limit], default=0)

    def _connection_id(self, conn_id: int) -> bytes:
        """Give the id by which an origin over HTTP is to know a client."""
        return self._holds.accounts.observer.connection_id(conn_id)

    def nonce(self) -> bytes:
        """Make the 16 bytes that a handshake's key stands for (RFC 6455 section 4.1)."""
        return b"".join([int(self._jitter() * 2**32).to_bytes(4, "big") for _ in range(4)])

    def session(self, conn_id: int) -> WsSession | None:
        """Give a client's session, if it has one: events may come late."""
        holds = self._holds.holds
        hold = holds[conn_id] if conn_id < len(holds) else None
        return hold if isinstance(hold, WsSession) else None

    @property
    def targets_over_http(self) -> list[Target]:
        """Those that sessions will ask again, whatever routes say by now."""
        return [target for target in self.shapes.targets if target.over_http]

    # From the client.

    def on_frames(self, event: FramesCame, now: float) -> list[Effect]:
        """Take what a client sent."""
        session = self.session(event.conn_id)
        if session is None:
            return []
        self._holds.accounts.traffic.touch(session.conn_id, session.shape.traffic)
        frames = event.frames
        close = frames[-1] if frames and frames[-1].opcode == CLOSE else None
        effects: list[Effect] = []
        if session.state is OPEN:
            data = frames if close is None else frames[:-1]
            if data:
                effects = self._to_origin(session, data, now)
        if close is not None and self._holds.holds[session.conn_id] is session:
            effects += self._on_client_close(session, *decode_close(close.payload), now)
        if event.error is not None and self._holds.holds[session.conn_id] is session:
            effects += self._end(session, encode_close(event.error.code, str(event.error).encode()), now)
        return effects

    def _to_origin(self, session: WsSession, frames: list[Frame], now: float) -> list[Effect]:
        if session.origin is not None:
            return self.over_http.on_frames(session, frames, now)
        if not session.shape.target.is_test:
            return [ToOrigin(session.conn_id, frames)]
        answers = test_target.answer_frames(frames, session.shape.message_prefix is not None)
        return self.take(session, answers, now)

    def _on_client_close(self, session: WsSession, code: int | None, reason: bytes, now: float) -> list[Effect]:
        state, origin = session.state, session.origin
        if state is OPEN and session.shape.target.is_test:
            return self._end(session, _close_of(code, reason), now)
        if state is OPEN:
            effects = self._begin_end(session, CLIENT_CLOSING, now)
            if origin is not None:  # which may take its time
                self._holds.wheel.cancel(session)
                return effects + self.over_http.on_client_close(session, code, reason, now)
            return [*effects, ToOrigin(session.conn_id, [Frame(CLOSE, encode_close(code, reason))])]
        if state is DETACHED:
            return self._end(session, encode_close(NORMAL, b""), now)
        if state is ORIGIN_CLOSING:
            answered: list[Effect] = []
            if origin is not None:
                answered = self.over_http.answer_close(session, code, reason, now)
            elif not session.shape.target.is_test:
                answered = [CloseOrigin(session.conn_id, Frame(CLOSE, encode_close(code, reason)))]
            return answered + self._end(session, None, now)
        return self._end(session, None, now)

    # From the origin.

    def on_origin_frames(self, event: OriginFramesCame, now: float) -> list[Effect]:
        """Take what a WebSocket origin sent."""
        session = self.session(event.conn_id)
        if session is None:
            return []
        effects = self.take(session, event.frames, now)
        if event.error is not None and session.state in (OPEN, CLIENT_CLOSING):
            close = CloseOrigin(session.conn_id, Frame(CLOSE, encode_close(event.error.code, b"")))
            effects += [close, *self.on_origin_lost(session, str(event.error), now)]
        return effects

    def take(self, session: WsSession, frames: list[Frame], now: float) -> list[Effect]:
        """Take frames of an origin of either kind, in order."""
        effects: list[Effect] = []
        for frame in frames:
            if frame.opcode == CLOSE:
                effects += self.on_origin_close(session, *decode_close(frame.payload), now)
            else:
                effects += self.on_origin_frame(session, frame, now)
        return effects

    def on_origin_gone(self, event: OriginSocketGone, now: float) -> list[Effect]:
        """Hear that a WebSocket origin has left without a word."""
        session = self.session(event.conn_id)
        if session is None or session.state not in (OPEN, CLIENT_CLOSING):
            return []
        return self.on_origin_lost(session, event.detail, now)

    def on_origin_frame(self, session: WsSession, frame: Frame, now: float) -> list[Effect]:
        """Send a client what its origin sent, if it is for the client; obey it if it is for us."""
        if session.state not in (OPEN, CLIENT_CLOSING):
            return []
        opcode, payload, is_final = frame.opcode, frame.payload, frame.is_final
        if opcode == CONTINUATION:
            return self._go_on(session, frame, now)
        if opcode in (PING, PONG):
            return self._write(session, opcode, payload, True, now)
        prefix = session.shape.message_prefix
        if prefix is not None:
            is_control = opcode == TEXT and payload.startswith(CONTROL_MARK)
            if is_control or not payload.startswith(prefix):
                if not is_final:
                    session.incoming = Incoming.DROPPED
                elif is_control:
                    return self._controls.handle(session, payload[len(CONTROL_MARK) :], now)
                return []
            payload = payload[len(prefix) :]
        if not is_final:
            session.incoming = Incoming.RELAYED
            self.mid_message.add(session.conn_id)
        return self._write(session, opcode, payload, is_final, now)

    def _go_on(self, session: WsSession, frame: Frame, now: float) -> list[Effect]:
        """Take the next piece of a message."""
        effects: list[Effect] = []
        if session.incoming is Incoming.RELAYED:
            effects = self._write(session, CONTINUATION, frame.payload, frame.is_final, now)
        if frame.is_final:
            session.incoming = Incoming.NONE
            self.mid_message.discard(session.conn_id)
            effects += self.timers.on_message_end(session, now)
        return effects

    def _write(self, session: WsSession, opcode: int, payload: bytes, is_final: bool, now: float) -> list[Effect]:
        self.timers.on_written(session, now)
        return [session.write(opcode, payload, is_final)]

    def on_origin_close(self, session: WsSession, code: int | None, reason: bytes, now: float) -> list[Effect]:
        """Close towards a client as its origin did."""
        payload = _close_of(code, reason)
        if session.state is CLIENT_CLOSING:
            return self._end(session, payload, now)
        if session.state is not OPEN:
            return []
        return [*self._begin_end(session, ORIGIN_CLOSING, now), session.write(CLOSE, payload)]

    def on_origin_lost(self, session: WsSession, detail: str, now: float) -> list[Effect]:
        """Drop a client whose origin is lost, without a close frame: it sees what a client of the origin would see."""
        text = f"origin {session.shape.target.label}: {detail}"
        return [Log(LOG_WARNING, text, is_origin_error=True, about=session.conn_id), Cut(session.conn_id)]

    def on_reader(self, event: ReaderCaughtUp, now: float) -> list[Effect]:
        """Hear that a client has read what it was sent."""
        session = self.session(event.conn_id)
        return [] if session is None or session.origin is None else self.over_http.on_reader(session, now)

    # By control messages, and by items.

    def detach(self, session: WsSession, now: float) -> list[Effect]:
        """Let a client live on without its origin."""
        if session.state not in (OPEN, CLIENT_CLOSING):
            return []
        effects = self._let_origin_go(session, now)
        if session.state is CLIENT_CLOSING:
            return effects + self._end(session, encode_close(NORMAL, b""), now)
        session.state = DETACHED
        return effects

    def close(
        self, session: WsSession, code: int | None, reason: bytes, now: float, is_written: bool = False
    ) -> list[Effect]:
        """Close both legs, as a publisher wants it. With `is_written` the client has been sent its close frame."""
        if session.state not in (OPEN, DETACHED):
            return []
        effects: list[Effect] = []
        if session.state is OPEN:
            effects = self._let_origin_go(session, now)
        effects += self._begin_end(session, ENDING, now)
        if not is_written:
            effects.append(session.write(CLOSE, _close_of(code, reason)))
        return effects

    def go_away(self, session: WsSession, now: float) -> list[Effect]:
        """Close both legs, as this process stops. One that is being closed anyway goes on with that."""
        if session.state not in (OPEN, DETACHED):
            return []
        going = encode_close(GOING_AWAY, b"")
        effects: list[Effect] = []
        self.mid_message.discard(session.conn_id)
        if session.origin is not None:
            effects = self.over_http.answer_close(session, GOING_AWAY, b"", now)
        elif session.state is OPEN and not session.shape.target.is_test:
            effects.append(CloseOrigin(session.conn_id, Frame(CLOSE, going)))
        effects += self._begin_end(session, ENDING, now)
        self._holds.wheel.schedule(session, now + GOING_MAX_S)
        return [*effects, session.write(CLOSE, going)]

    def _let_origin_go(self, session: WsSession, now: float) -> list[Effect]:
        """Close the origin's leg, without a code: what a publisher says to a client is not said to the origin."""
        self.mid_message.discard(session.conn_id)
        session.incoming = Incoming.NONE
        if session.origin is not None:
            return self.over_http.leave(session, now)
        if session.shape.target.is_test:
            return []
        return [CloseOrigin(session.conn_id, Frame(CLOSE, b""))]

    def refresh(self, session: WsSession, now: float) -> list[Effect]:
        """Ask an origin over HTTP whether it has something to say; for others there is no such question."""
        if session.origin is None or session.state is not OPEN:
            return []
        return self.over_http.refresh(session, now)

    # The end.

    def _begin_end(self, session: WsSession, state: WsState, now: float) -> list[Effect]:
        """Close one of the legs: the other end has so long to answer, and gets no item any more."""
        effects = self._holds.silence(session)
        session.state = state
        self._holds.wheel.schedule(session, now + CLOSING_MAX_S)
        return effects

    def _end(self, session: WsSession, close: bytes | None, now: float) -> list[Effect]:
        """Be done with a session: its client is sent `close`, a close frame's payload, if it is still to get one."""
        payload = b"" if close is None else encode_frame(CLOSE, close)
        return [EndSocket(session.conn_id, payload), *self._holds.release(session.conn_id, now)]

    def on_release(self, session: WsSession, now: float) -> list[Effect]:
        """Clear up after a session that is over; tell an origin over HTTP, which would not know."""
        self.mid_message.discard(session.conn_id)
        return self.over_http.disconnect(session, now)

    def _on_due(self, session: Any, now: float) -> list[Effect]:
        """Send a keep-alive; or end a session whose close nobody has answered."""
        if session.state in (OPEN, DETACHED):
            return self.timers.on_due(session, now)
        return self._end(session, None, now)


def _close_of(code: int | None, reason: bytes) -> bytes:
    """Make the payload of a client's close frame, which says what its origin or a publisher said: if nothing, 1000."""
    return encode_close(NORMAL, b"") if code is None else encode_close(code, reason)
