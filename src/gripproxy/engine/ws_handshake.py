"""A WebSocket client's request on its way: asking its route's targets until one accepts it, or refuses."""

from collections.abc import Callable
from typing import Any

from gripproxy.engine.client_request import ORIGIN_AT_FAULT, ClientRequest
from gripproxy.engine.effects import LOG_INFO, LOG_WARNING, AskOrigin, Cut, Effect, Log, Relay, Respond
from gripproxy.engine.events import Event, OriginAnswered, OriginFailed, OriginFailure, RelayDone
from gripproxy.engine.exchange import ASKING, CLOSED, RELAYING, ExchangeState, ProxyRules
from gripproxy.engine.observer import Answer
from gripproxy.engine.over_http_origin import EventsOrigin
from gripproxy.engine.ws_session import shape_of
from gripproxy.errors import InternalError, OriginError
from gripproxy.protocol import test_target
from gripproxy.protocol.events_answer import why_no_events
from gripproxy.protocol.http1 import CHUNKED, NONE, UNTIL_CLOSE, Headers, ResponseHead, encode_request_head
from gripproxy.protocol.permessage_deflate import agree
from gripproxy.protocol.reason_phrase import reason_phrase
from gripproxy.protocol.websocket_frame import Frame
from gripproxy.protocol.websocket_handshake import (
    check_accept,
    check_handshake,
    encode_accept,
    message_prefix_of,
    origin_headers,
    relayed_headers,
)

NOT_BY_REQ = "WebSockets cannot be used with zhttpreq target"


class Handshake:
    """One WebSocket request: from its head to the 101, or to the end of another response.

    It has an exchange's interface for `Core`. What comes of a target over HTTP comes to `accept`, `reject` and `fail`;
    `on_closed` is then called with it, as no event of its own ends it.
    """

    __slots__ = ("_is_over_http", "_key", "_on_closed", "_rules", "_targets_tried") + (
        "answer",
        "conn_id",
        "is_broken",
        "request",
        "state",
    )

    def __init__(
        self,
        conn_id: int,
        request: ClientRequest,
        rules: ProxyRules,
        answer: Answer,
        on_closed: Callable[["Handshake"], None],
    ) -> None:
        self.conn_id = conn_id
        self.request = request
        self.answer = answer
        self.is_broken = False
        self.state: ExchangeState = ASKING
        self._is_over_http = False  # a target over HTTP is being asked
        self._key = b""
        self._on_closed = on_closed
        self._rules = rules
        self._targets_tried = 0

    def start(self, now: float) -> list[Effect]:
        """Ask the route's first target."""
        return self._ask(now)

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Advance. An event that the state does not expect is our bug."""
        handler = _ON[self.state].get(type(event))
        if handler is None:
            raise InternalError(f"handshake {self.conn_id} in state {self.state.name} got {type(event).__name__}")
        return handler(self, event, now)

    def leave(self) -> None:
        """The client has left: nothing is wanted any more."""
        if self._is_over_http:
            self._rules.sockets.over_http.give_up(self)

    def _ask(self, now: float) -> list[Effect]:
        request, rules = self.request, self._rules
        route, head = request.route, request.head
        request.target = target = route.targets[self._targets_tried]
        self._targets_tried += 1
        path = route.rewrite_path(head.target)
        if target.is_test:
            return self._answer_as_test(path, now)
        if target.over_http:
            self._is_over_http = True
            return rules.sockets.over_http.open(self, target, now)
        if target.is_zhttpreq:
            return self._answer_error(NOT_BY_REQ, NOT_BY_REQ)
        headers, server_name = rules.requests.headers(
            head, route, target, request.client_ip, request.is_https, now, request.is_trusted
        )
        headers, self._key = origin_headers(
            headers,
            rules.sockets.nonce(),
            not request.is_uninterpreted or request.is_grip_passed_on,
            rules.settings.allow_compression,
        )
        payload = encode_request_head(b"GET", path, headers, NONE, 0)
        return [AskOrigin(self.conn_id, target, server_name, payload, False, NONE, is_websocket=True)]

    def _answer_as_test(self, path: bytes, now: float) -> list[Effect]:
        request = self.request
        is_grip = not request.is_uninterpreted
        (status, reason, headers, body), frames = test_target.answer_handshake(path, request.route.path_beg, is_grip)
        if status != 101:
            return self._respond(status, reason, headers, body)
        prefix = message_prefix_of(headers) if is_grip else None
        effects = self._open(reason, headers, prefix, None, b"", False)
        return effects + self._take(frames, now)

    def _on_origin_answered(self, event: OriginAnswered, now: float) -> list[Effect]:
        response = event.head
        if response.status == 101:
            try:
                terms = check_accept(
                    response, self._key, not self.request.is_uninterpreted, self._rules.settings.allow_compression
                )
            except OriginError as error:
                label = self.request.route.targets[self._targets_tried - 1].label
                return self._answer_error(f"origin {label}: {error}", ORIGIN_AT_FAULT)
            prefix, is_deflating = terms.message_prefix, terms.is_deflating
            return self._open(response.reason, response.headers, prefix, None, b"", is_deflating)
        framing = response.framing
        if framing in (CHUNKED, UNTIL_CLOSE):
            framing = CHUNKED if self.request.head.is_http11 else UNTIL_CLOSE
        self.answer.status = response.status
        headers = relayed_headers(response.headers)
        payload, _ = self.request.begin(response.status, response.reason, headers, framing, response.content_length)
        self.state = RELAYING
        hint = f"it answered a WebSocket with status {response.status}: is it one for HTTP, and over_http missing?"
        return [*self._note_misfit(response.status, hint), Relay(self.conn_id, payload, framing, False)]

    def _open(
        self,
        reason: bytes,
        headers: Headers,
        message_prefix: bytes | None,
        origin: EventsOrigin | None,
        common_head: bytes,
        is_origin_deflating: bool,
    ) -> list[Effect]:
        """Answer the client 101."""
        request = self.request
        deflate = None
        if self._rules.settings.allow_compression:
            offers = [value for name, value in request.head.headers if name.lower() == b"sec-websocket-extensions"]
            deflate = agree(offers)
        passed_on = message_prefix_of(headers) if request.is_grip_passed_on else None
        accept = encode_accept(reason, headers, check_handshake(request.head), deflate, passed_on)
        self.answer.status = 101
        self.state = CLOSED
        shape = shape_of(request, deflate is not None, message_prefix, common_head)
        sockets = self._rules.sockets
        return sockets.open(self.conn_id, request, shape, origin, accept, is_origin_deflating)

    def _take(self, frames: list[Frame], now: float) -> list[Effect]:
        session = self._rules.sockets.session(self.conn_id)
        return [] if session is None else self._rules.sockets.take(session, frames, now)

    def _on_origin_failed(self, event: OriginFailed, now: float) -> list[Effect]:
        return self._fail(event.failure, event.detail, now)

    def _fail(self, failure: OriginFailure, detail: str, now: float) -> list[Effect]:
        targets = self.request.route.targets
        reason = f"origin {targets[self._targets_tried - 1].label}: {detail}"
        if failure is not OriginFailure.CONNECT:
            return self._answer_error(reason, ORIGIN_AT_FAULT)
        if self._targets_tried < len(targets):
            return [Log(LOG_WARNING, reason, about=self.conn_id), *self._ask(now)]
        tried = ", ".join(target.label for target in targets)
        return self._answer_error(reason, f"Unable to connect to any targets. Tried: {tried}")

    def _on_relay_broken(self, event: OriginFailed, now: float) -> list[Effect]:
        self.state = CLOSED
        self.is_broken = True
        reason = f"origin broke off in the middle of a response: {event.detail}"
        return [Log(LOG_WARNING, reason, is_origin_error=True, about=self.conn_id), Cut(self.conn_id)]

    def _on_relay_done(self, event: RelayDone, now: float) -> list[Effect]:
        self.answer.body_bytes = event.body_bytes
        self.state = CLOSED
        return []

    # What comes of a target over HTTP.

    def accept(
        self,
        head: ResponseHead,
        origin: EventsOrigin,
        common_head: bytes,
        now: float,
    ) -> list[Effect]:
        """The origin has accepted: from now on there is a session with it. `common_head` is of its shape."""
        prefix = None if self.request.is_uninterpreted else message_prefix_of(head.headers)
        effects = self._open(b"Switching Protocols", head.headers, prefix, origin, common_head, False)
        self._on_closed(self)
        return effects

    def reject(self, head: ResponseHead, body: bytes, now: float) -> list[Effect]:
        """The origin has answered something else, which is what the client gets."""
        effects = self._note_misfit(head.status, why_no_events(head))
        effects += self._respond(head.status, head.reason, relayed_headers(head.headers), body)
        self._on_closed(self)
        return effects

    def fail(self, failure: OriginFailure, detail: str, now: float) -> list[Effect]:
        """The target cannot be reached, or says nothing that makes sense."""
        self._is_over_http = False
        effects = self._fail(failure, detail, now)
        if self.state is CLOSED:
            self._on_closed(self)
        return effects

    def _note_misfit(self, status: int, text: str) -> list[Effect]:
        """Say `text` of an origin that neither accepts nor refuses, as if it had been asked for a page.

        Browsers show their users no answer but 101.
        """
        if not 200 <= status < 300:
            return []
        label = self.request.route.targets[self._targets_tried - 1].label
        return [Log(LOG_INFO, f"origin {label}: {text}", about=self.conn_id)]

    def _respond(self, status: int, reason: bytes, headers: Headers, body: bytes) -> list[Effect]:
        self.state = CLOSED
        payload, _ = self.request.answer(status, reason, headers, body)
        self.answer.note(status, payload)
        return [Respond(self.conn_id, payload, False)]  # it goes without saying, as with Pushpin: no request may follow

    def _answer_error(self, reason: str, debug_text: str) -> list[Effect]:
        """Answer 502; the log always says why, the client hears it only on a debug route."""
        text = debug_text if self.request.is_debug else ORIGIN_AT_FAULT
        log = Log(LOG_WARNING, reason, is_origin_error=True, about=self.conn_id)
        return [log, *self._respond(502, reason_phrase(502), [], text.encode("utf-8", "replace") + b"\n")]


Handler = Callable[[Handshake, Any, float], list[Effect]]

_ON: dict[ExchangeState, dict[type, Handler]] = {
    ASKING: {OriginAnswered: Handshake._on_origin_answered, OriginFailed: Handshake._on_origin_failed},
    RELAYING: {RelayDone: Handshake._on_relay_done, OriginFailed: Handshake._on_relay_broken},
    CLOSED: {},
}
