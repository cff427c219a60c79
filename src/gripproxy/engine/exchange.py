"""One client request on its way: choosing the route, asking its targets, and deciding what the answer means."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from gripproxy.engine.effects import AskOrigin, Collect, Cut, Effect, Log, Relay, Respond
from gripproxy.engine.events import (
    Event,
    OriginAnswered,
    OriginBodyCollected,
    OriginFailed,
    OriginFailure,
    RelayDone,
    RequestArrived,
)
from gripproxy.engine.hold_table import HoldTable
from gripproxy.errors import InternalError, OriginError
from gripproxy.protocol import test_target
from gripproxy.protocol.header_params import header_value
from gripproxy.protocol.http1 import (
    CHUNKED,
    NONE,
    UNTIL_CLOSE,
    BodyFraming,
    Headers,
    ResponseHead,
    encode_chunk,
    encode_request_head,
    encode_response,
    encode_response_head,
    encode_text_response,
    has_no_body,
)
from gripproxy.protocol.instruct import HoldMode, Instruct, decode_instruct, is_instruct
from gripproxy.protocol.origin_request import OriginRequests, is_marked_https
from gripproxy.protocol.origin_response import origin_response_headers
from gripproxy.protocol.routes import Route, RouteTable
from gripproxy.settings import Settings

INSTRUCT_MAX_BYTES = 100_000  # of an origin's body that carries an instruct, same as Pushpin

LOG_WARNING = 1


class ExchangeState(IntEnum):
    """Where a request is. Holding is not here: a held request is a hold, its exchange is over."""

    ASKING = 0  # a target was asked, no answer yet
    RELAYING = 1  # its response goes to the client as it comes
    COLLECTING = 2  # its response carries an instruct, the body is gathered
    OPENING = 3  # the body is too large to gather: it goes to the client as it comes, and then the stream is held
    CLOSED = 4


ASKING, RELAYING, COLLECTING, OPENING, CLOSED = ExchangeState


@dataclass(slots=True)
class ProxyRules:
    """What every exchange of a worker goes by. `routes` is replaced as a whole when they are read again."""

    settings: Settings
    routes: RouteTable
    requests: OriginRequests
    holds: HoldTable


def refuse_filters(instruct: Instruct) -> None:
    """Refuse channels with filters: without them a client would get what it must not see.

    Raises:
        OriginError: names the first filter.
    """
    for channel in instruct.channels:
        if channel.filters:
            raise OriginError(f"filter is not supported by this version (value: {channel.filters[0]!r})")


def is_large_stream(headers: Headers) -> bool:
    """Whether a response that is too large to gather may still begin a stream: its instruct is all in its headers.

    Source: Pushpin, which hands such a body on before it subscribes.
    """
    content_type = header_value(headers, b"content-type") or b""
    is_json = content_type.partition(b";")[0].strip() == b"application/grip-instruct"
    return header_value(headers, b"grip-hold") == b"stream" and not is_json


class Exchange:
    """One request: from its head to the end of the response, or to the hold."""

    __slots__ = (
        "_instruct",
        "_is_request_done",
        "_on",
        "_response",
        "_rules",
        "_targets_tried",
        "client_ip",
        "conn_id",
        "head",
        "is_https",
        "route",
        "state",
    )

    def __init__(self, event: RequestArrived, rules: ProxyRules) -> None:
        self.conn_id = event.conn_id
        self.head = event.head
        self.client_ip = event.client_ip
        self.is_https = event.is_https or (
            rules.settings.accept_x_forwarded_protocol and is_marked_https(event.head.headers)
        )
        self.route: Route | None = None
        self._is_request_done = event.is_request_done
        self._rules = rules
        self._targets_tried = 0
        self._response: ResponseHead | None = None  # the head that came with the instruct
        self._instruct: Instruct | None = None  # of the stream that is opening
        self._enter(ASKING)

    def start(self, now: float) -> list[Effect]:
        """Choose the route and ask its first target."""
        head = self.head
        if head.upgrade is not None and head.upgrade.lower() == b"websocket":
            return self._answer_unasked(501, "WebSocket is not supported by this version.")
        self.route = self._rules.routes.find(head.host_name, self.is_https, head.path, is_websocket=False)
        if self.route is None:
            return self._answer_unasked(502, f"No route for host: {head.host_name}")
        return self._ask(now)

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Advance. An event that the state does not expect is our bug."""
        handler = self._on.get(type(event))
        if handler is None:
            raise InternalError(f"exchange {self.conn_id} in state {self.state.name} got {type(event).__name__}")
        return handler(self, event, now)

    def _enter(self, state: ExchangeState) -> None:
        self.state = state
        self._on = _ON[state]

    @property
    def _is_debug(self) -> bool:
        return self._rules.settings.debug or (self.route is not None and self.route.debug)

    def _ask(self, now: float) -> list[Effect]:
        route, head = self.route, self.head
        assert route is not None
        target = route.targets[self._targets_tried]
        self._targets_tried += 1
        origin_target = route.rewrite_path(head.target)
        if target.is_test:
            self._leave_body()
            status, reason, headers, body = test_target.answer(origin_target, route.path_beg, head.content_length)
            if route.no_grip:
                return self._respond(status, reason, headers, body)
            return self._interpret(status, reason, headers, body, now)
        headers, server_name = self._rules.requests.headers(head, route, target, self.client_ip, self.is_https, now)
        framing, length = head.framing, head.content_length
        payload = encode_request_head(head.method, origin_target, headers, framing, length)
        return [AskOrigin(self.conn_id, target, server_name, payload, head.is_head, framing)]

    def _leave_body(self) -> None:
        """Nobody will read what is still to come of the request: no other can follow it."""
        if not self._is_request_done:
            self.head.is_keep_alive = False

    def _on_origin_answered(self, event: OriginAnswered, now: float) -> list[Effect]:
        assert self.route is not None
        if not event.is_request_done:
            self.head.is_keep_alive = False
        response = event.head
        if not self.route.no_grip and is_instruct(response.headers):
            self._response = response
            self._enter(COLLECTING)
            return [Collect(self.conn_id, INSTRUCT_MAX_BYTES)]
        framing = response.framing
        if framing in (CHUNKED, UNTIL_CLOSE):
            framing = CHUNKED if self.head.is_http11 else UNTIL_CLOSE
        payload, is_persistent = encode_response_head(
            self.head,
            response.status,
            response.reason,
            origin_response_headers(response.headers, is_grip=False),
            framing,
            response.content_length,
        )
        self._enter(RELAYING)
        if self.head.is_head:
            framing = NONE
        return [Relay(self.conn_id, payload, framing, is_persistent)]

    def _on_origin_failed(self, event: OriginFailed, now: float) -> list[Effect]:
        route = self.route
        assert route is not None
        target = route.targets[self._targets_tried - 1].label
        reason = f"origin {target}: {event.detail}"
        is_unreachable = event.failure is OriginFailure.CONNECT
        if is_unreachable and self._targets_tried < len(route.targets):
            return [Log(LOG_WARNING, reason), *self._ask(now)]
        if not event.is_request_done:
            self.head.is_keep_alive = False
        if not is_unreachable:
            return self._answer_error(reason, "Error while proxying to origin.")
        tried = ", ".join(target.label for target in route.targets)
        return self._answer_error(reason, f"Unable to connect to any targets. Tried: {tried}")

    def _on_relay_broken(self, event: OriginFailed, now: float) -> list[Effect]:
        self._enter(CLOSED)
        reason = f"origin broke off in the middle of a response: {event.detail}"
        return [Log(LOG_WARNING, reason, is_origin_error=True), Cut(self.conn_id)]

    def _on_relay_done(self, event: RelayDone, now: float) -> list[Effect]:
        self._enter(CLOSED)
        return []

    def _on_body_collected(self, event: OriginBodyCollected, now: float) -> list[Effect]:
        response, route = self._response, self.route
        assert response is not None and route is not None
        if event.request_body is None:
            return self._answer_text(400, "Request too large to accept GRIP instruct.")
        if event.body is None and is_large_stream(response.headers):
            return self._open_stream(response)
        if event.body is None:
            label = route.targets[self._targets_tried - 1].label
            reason = f"origin {label}: its response with an instruct exceeds {INSTRUCT_MAX_BYTES} bytes"
            return self._answer_error(reason, f"GRIP instruct response too large from {label}")
        return self._interpret(response.status, response.reason, response.headers, event.body, now)

    def _open_stream(self, response: ResponseHead) -> list[Effect]:
        """Begin a stream whose first body is too large to gather; Grip-Expose-Headers does not apply to it."""
        headers = [header for header in response.headers if header[0].lower() != b"grip-expose-headers"]
        try:
            self._instruct = self._decode(response.status, response.reason, headers, b"")
        except OriginError as error:
            return self._refuse_instruct(error)
        payload, framing = self._encode_stream_head(self._instruct)
        self._enter(OPENING)
        return [Relay(self.conn_id, payload, framing, is_persistent=False, is_opening=True)]

    def _on_opened(self, event: RelayDone, now: float) -> list[Effect]:
        assert self._instruct is not None
        self._enter(CLOSED)
        names = self._channel_names(self._instruct)
        return self._rules.holds.hold_stream(self.conn_id, names, self._instruct, self.head, b"", now)

    def _decode(self, status: int, reason: bytes, headers: Headers, body: bytes) -> Instruct:
        instruct = decode_instruct(status, reason, headers, body)
        refuse_filters(instruct)
        return instruct

    def _refuse_instruct(self, error: OriginError) -> list[Effect]:
        url = self.head.host_name + self.head.path.decode()  # ASCII: check_request saw to it
        return self._answer_error(f"bad instruct for {url}: {error}", f"Failed to parse accept instructions: {error}")

    def _interpret(self, status: int, reason: bytes, headers: Headers, body: bytes, now: float) -> list[Effect]:
        try:
            instruct = self._decode(status, reason, headers, body)
        except OriginError as error:
            return self._refuse_instruct(error)
        self._enter(CLOSED)
        is_bodiless = self.head.is_head or has_no_body(instruct.status)
        if instruct.hold is HoldMode.RESPONSE:
            names = self._channel_names(instruct)
            return self._rules.holds.hold_response(self.conn_id, names, instruct, self.head, now)
        if instruct.hold is HoldMode.STREAM and not is_bodiless:
            return self._hold_stream(instruct, now)
        return self._respond(instruct.status, instruct.reason, instruct.headers, instruct.body)

    def _hold_stream(self, instruct: Instruct, now: float) -> list[Effect]:
        payload, framing = self._encode_stream_head(instruct)
        if instruct.body:
            payload += encode_chunk(instruct.body) if framing is CHUNKED else instruct.body
        names = self._channel_names(instruct)
        return self._rules.holds.hold_stream(self.conn_id, names, instruct, self.head, payload, now)

    def _encode_stream_head(self, instruct: Instruct) -> tuple[bytes, BodyFraming]:
        framing = CHUNKED if self.head.is_http11 else UNTIL_CLOSE
        head, _ = encode_response_head(self.head, instruct.status, instruct.reason, instruct.headers, framing)
        return head, framing

    def _channel_names(self, instruct: Instruct) -> list[str]:
        """Name what to subscribe: the target's own channels, then the instruct's behind the route's prefix."""
        route = self.route
        assert route is not None
        allowed = instruct.channels[: self._rules.settings.connection_subscription_max]
        return [*route.targets[self._targets_tried - 1].subs, *[route.prefix + channel.name for channel in allowed]]

    def _respond(self, status: int, reason: bytes, headers: Headers, body: bytes) -> list[Effect]:
        self._enter(CLOSED)
        payload, is_persistent = encode_response(self.head, status, reason, headers, body)
        return [Respond(self.conn_id, payload, is_persistent)]

    def _answer_error(self, reason: str, debug_text: str) -> list[Effect]:
        """Answer 502; the log always says why, the client hears it only on a debug route."""
        answer = self._answer_text(502, debug_text if self._is_debug else "Error while proxying to origin.")
        return [Log(LOG_WARNING, reason, is_origin_error=True), *answer]

    def _answer_unasked(self, status: int, text: str) -> list[Effect]:
        """Answer without an origin."""
        self._leave_body()
        return self._answer_text(status, text)

    def _answer_text(self, status: int, text: str) -> list[Effect]:
        self._enter(CLOSED)
        payload, is_persistent = encode_text_response(self.head, status, text)
        return [Respond(self.conn_id, payload, is_persistent)]


Handler = Callable[[Exchange, Any, float], list[Effect]]

_ON: dict[ExchangeState, dict[type, Handler]] = {
    ASKING: {OriginAnswered: Exchange._on_origin_answered, OriginFailed: Exchange._on_origin_failed},
    RELAYING: {RelayDone: Exchange._on_relay_done, OriginFailed: Exchange._on_relay_broken},
    COLLECTING: {OriginBodyCollected: Exchange._on_body_collected, OriginFailed: Exchange._on_origin_failed},
    OPENING: {RelayDone: Exchange._on_opened, OriginFailed: Exchange._on_relay_broken},
    CLOSED: {},
}
