"""One client request on its way: asking its route's targets, and deciding what the answer means."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from gripproxy.engine.accounts import Accounts
from gripproxy.engine.client_request import ORIGIN_AT_FAULT, ClientRequest, stream_error
from gripproxy.engine.effects import LOG_WARNING, AskOrigin, Collect, Cut, Effect, Log, Relay, Respond
from gripproxy.engine.events import (
    Event,
    OriginAnswered,
    OriginBodyCollected,
    OriginFailed,
    OriginFailure,
    RelayDone,
)
from gripproxy.engine.observer import Answer
from gripproxy.engine.sessions import Sessions, check_links
from gripproxy.engine.web_sockets import WebSockets
from gripproxy.errors import FilterError, InternalError, OriginError
from gripproxy.protocol import test_target
from gripproxy.protocol.filters import response_filter
from gripproxy.protocol.header_params import header_value
from gripproxy.protocol.http1 import (
    CHUNKED,
    LAST_CHUNK,
    NONE,
    SIZED,
    UNTIL_CLOSE,
    Headers,
    ResponseHead,
    encode_chunk,
    encode_request_head,
    has_no_body,
)
from gripproxy.protocol.instruct import HoldMode, Instruct, decode_instruct, is_instruct, is_json_instruct
from gripproxy.protocol.origin_request import OriginRequests
from gripproxy.protocol.origin_response import origin_response_headers
from gripproxy.protocol.routes import RouteTable
from gripproxy.protocol.telemetry import Traffic
from gripproxy.settings import Settings

LastIdPairs = Sequence[tuple[str, str]]

INSTRUCT_MAX_BYTES = 100_000  # of an origin's body that carries an instruct, same as Pushpin
SCRIPT_MAX_BYTES = 1_048_576  # of a body that becomes part of a script: it must be whole before the first byte goes out


class ExchangeState(IntEnum):
    """Where a request is. Holding is not here: a held request is a hold, its exchange is over."""

    ASKING = 0  # a target was asked, no answer yet
    RELAYING = 1  # its response goes to the client as it comes
    COLLECTING = 2  # its response carries an instruct, the body is gathered
    OPENING = 3  # the body is too large to gather: it goes to the client as it comes, and then the stream is held
    WRAPPING = 4  # its response is gathered to become part of a script (JSON-P)
    CLOSED = 5


ASKING, RELAYING, COLLECTING, OPENING, WRAPPING, CLOSED = ExchangeState


@dataclass(slots=True)
class ProxyRules:
    """What every exchange of a worker goes by. `routes` is replaced as a whole when they are read again."""

    settings: Settings
    routes: RouteTable
    requests: OriginRequests
    sessions: Sessions
    accounts: Accounts
    sockets: WebSockets


def _may_begin_large(headers: Headers) -> bool:
    """Whether a response that is too large to gather may still begin a stream: its instruct is all in its headers.

    Source: Pushpin, which hands such a body on before it subscribes.
    """
    if is_json_instruct(headers):
        return False
    hold = header_value(headers, b"grip-hold")
    return hold == b"stream" or (hold is None and header_value(headers, b"grip-link") is not None)


def _may_hold_response(headers: Headers) -> bool:
    return is_json_instruct(headers) or header_value(headers, b"grip-hold") == b"response"


class Exchange:
    """One request: from its head to the end of the response, or to the hold.

    Args:
        answer: what is known of it is noted here.
        last_ids: channel names with ids, which the origin is told when a held request is asked again.
    """

    __slots__ = (
        "_doubted",
        "_instruct",
        "_is_request_done",
        "_last_ids",
        "_on",
        "_response",
        "_rules",
        "_targets_tried",
        "answer",
        "conn_id",
        "is_broken",  # its response has begun and will not be whole
        "request",
        "state",
    )

    def __init__(
        self,
        conn_id: int,
        request: ClientRequest,
        rules: ProxyRules,
        is_request_done: bool = True,
        answer: Answer | None = None,
        last_ids: LastIdPairs = (),
    ) -> None:
        self.conn_id = conn_id
        self.answer = answer or Answer(0.0)
        self.is_broken = False
        self.request = request
        self._is_request_done = is_request_done
        self._rules = rules
        self._last_ids = last_ids
        self._doubted: dict[str, str] = {}
        self._targets_tried = 0
        self._response: ResponseHead | None = None  # the head that came with the instruct
        self._instruct: Instruct | None = None  # of the stream that is opening
        self._enter(ASKING)

    def start(self, now: float) -> list[Effect]:
        """Ask the route's first target."""
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

    def _ask(self, now: float) -> list[Effect]:
        request = self.request
        route, head = request.route, request.meant
        request.target = target = route.targets[self._targets_tried]
        self._targets_tried += 1
        origin_target = route.rewrite_path(head.target)
        if target.is_test:
            self._leave_body()
            status, reason, headers, body = test_target.answer(origin_target, route.path_beg, head.content_length)
            if request.is_uninterpreted:
                return self._respond(status, reason, headers, body)
            return self._interpret(status, reason, headers, body, now)
        headers, server_name = self._rules.requests.headers(
            head, route, target, request.client_ip, request.is_https, now, request.is_trusted, self._last_ids
        )
        framing, length = head.framing, head.content_length
        payload = encode_request_head(head.method, origin_target, headers, framing, length)
        if request.jsonp is not None:  # the body was in the target
            payload, framing = payload + request.jsonp.body, NONE
        return [AskOrigin(self.conn_id, target, server_name, payload, head.is_head, framing)]

    def _ask_again(self, instruct: Instruct, now: float) -> list[Effect]:
        """Ask again, as an item has passed by: nothing is subscribed yet."""
        self._last_ids = [(name.name, name.prev_id) for name in instruct.channels if name.prev_id is not None]
        self._targets_tried = 0
        self._response = None
        self.request.traffic.values[Traffic.ACTIVITY] += 1
        self._enter(ASKING)
        return self._ask(now)

    def _leave_body(self) -> None:
        """Nobody will read what is still to come of the request: no other can follow it."""
        if not self._is_request_done:
            self.request.head.is_keep_alive = False

    def _note_body(self, is_request_done: bool) -> None:
        """The response begins: it ends the connection if the request is not all here."""
        self._is_request_done = is_request_done
        self._leave_body()

    def _on_origin_answered(self, event: OriginAnswered, now: float) -> list[Effect]:
        self._note_body(event.is_request_done)
        response, request = event.head, self.request
        if not request.is_uninterpreted and is_instruct(response.headers):
            self._response = response
            self._enter(COLLECTING)
            return [Collect(self.conn_id, INSTRUCT_MAX_BYTES, _may_hold_response(response.headers))]
        if request.jsonp is not None:
            self._response = response
            self._enter(WRAPPING)
            return [Collect(self.conn_id, SCRIPT_MAX_BYTES)]
        framing = response.framing
        if framing in (CHUNKED, UNTIL_CLOSE):
            framing = CHUNKED if request.head.is_http11 else UNTIL_CLOSE
        headers = origin_response_headers(response.headers, is_grip=False)
        self.answer.status = response.status
        payload, is_persistent = request.begin(
            response.status, response.reason, headers, framing, response.content_length
        )
        self._enter(RELAYING)
        if request.head.is_head:
            framing = NONE
        return [Relay(self.conn_id, payload, framing, is_persistent)]

    def _on_origin_failed(self, event: OriginFailed, now: float) -> list[Effect]:
        targets = self.request.route.targets
        reason = f"origin {targets[self._targets_tried - 1].label}: {event.detail}"
        is_unreachable = event.failure is OriginFailure.CONNECT
        if is_unreachable and self._targets_tried < len(targets):
            return [Log(LOG_WARNING, reason, about=self.conn_id), *self._ask(now)]
        self._note_body(event.is_request_done)
        if event.failure is OriginFailure.LENGTH_REQUIRED:
            log = Log(LOG_WARNING, reason, about=self.conn_id)
            return [log, *self._answer_text(411, "Must provide Content-Length header.")]
        if not is_unreachable:
            return self._answer_error(reason, _FAILURE_TEXTS[event.failure])
        tried = ", ".join(target.label for target in targets)
        return self._answer_error(reason, f"Unable to connect to any targets. Tried: {tried}")

    def _on_relay_broken(self, event: OriginFailed, now: float) -> list[Effect]:
        self._enter(CLOSED)
        self.is_broken = True
        reason = f"origin broke off in the middle of a response: {event.detail}"
        return [self._origin_error(reason), Cut(self.conn_id)]

    def _on_relay_done(self, event: RelayDone, now: float) -> list[Effect]:
        self.answer.body_bytes = event.body_bytes
        self._enter(CLOSED)
        return []

    def _on_body_collected(self, event: OriginBodyCollected, now: float) -> list[Effect]:
        response = self._response
        assert response is not None
        if event.request_body is None:
            return self._answer_text(400, "Request too large to accept GRIP instruct.")
        self.request.body = event.request_body
        if event.body is None and _may_begin_large(response.headers):
            return self._open_stream(response)
        if event.body is None:
            return self._refuse_large()
        return self._interpret(response.status, response.reason, response.headers, event.body, now)

    def _on_script_collected(self, event: OriginBodyCollected, now: float) -> list[Effect]:
        """Answer with a script that carries the origin's whole response."""
        response = self._response
        assert response is not None
        if event.body is None:
            reason = f"its response exceeds {SCRIPT_MAX_BYTES} bytes, too many for JSON-P"
            return self._answer_error(reason, ORIGIN_AT_FAULT)
        headers = origin_response_headers(response.headers, is_grip=False)
        if response.framing is SIZED:  # the page is told
            headers.append((b"Content-Length", b"%d" % response.content_length))
        return self._respond(response.status, response.reason, headers, event.body)

    def _refuse_large(self) -> list[Effect]:
        assert self.request.target is not None
        label = self.request.target.label
        reason = f"origin {label}: its response with an instruct exceeds {INSTRUCT_MAX_BYTES} bytes"
        return self._answer_error(reason, f"GRIP instruct response too large from {label}")

    def _open_stream(self, response: ResponseHead) -> list[Effect]:
        """Begin a stream whose first body is too large to gather; Grip-Expose-Headers does not apply to it."""
        headers = [header for header in response.headers if header[0].lower() != b"grip-expose-headers"]
        try:
            instruct = decode_instruct(response.status, response.reason, headers, b"")
            check_links(self.request.url, instruct)
        except OriginError as error:
            return self._refuse_instruct(error)
        is_filtered = response_filter([channel.filters for channel in instruct.channels], instruct.meta) is not None
        if is_filtered or (instruct.hold is HoldMode.NONE and instruct.next_link is None):
            return self._refuse_large()
        if has_no_body(instruct.status):
            return self._respond(instruct.status, instruct.reason, instruct.headers, b"")
        self._instruct = instruct
        self.answer.status = instruct.status
        payload, framing = self.request.begin_stream(instruct.status, instruct.reason, instruct.headers)
        self._enter(OPENING)
        return [Relay(self.conn_id, payload, framing, is_persistent=False, is_opening=True)]

    def _on_opened(self, event: RelayDone, now: float) -> list[Effect]:
        assert self._instruct is not None
        self.answer.body_bytes = event.body_bytes
        self._enter(CLOSED)
        return self._rules.sessions.hold_stream(self.conn_id, self.request, self._instruct, b"", now)

    def _refuse_instruct(self, error: OriginError) -> list[Effect]:
        head = self.request.head
        url = head.host_name + head.path.decode()  # ASCII: check_request saw to it
        return self._answer_error(f"bad instruct for {url}: {error}", f"Failed to parse accept instructions: {error}")

    def _interpret(self, status: int, reason: bytes, headers: Headers, body: bytes, now: float) -> list[Effect]:
        request = self.request
        try:
            instruct = decode_instruct(status, reason, headers, body)
            check_links(request.url, instruct)
        except OriginError as error:
            return self._refuse_instruct(error)
        is_stream = instruct.hold is HoldMode.STREAM or (
            instruct.hold is HoldMode.NONE and instruct.next_link is not None
        )
        if instruct.hold is HoldMode.RESPONSE:
            is_doubtful, forgotten = self._rules.sessions.doubt_poll(request, instruct, self._doubted)
            if is_doubtful:
                return forgotten + self._ask_again(instruct, now)
            self._enter(CLOSED)  # what it gets at its timeout is sent as it is, as in Pushpin
            is_retry = self.answer.is_retry
            return forgotten + self._rules.sessions.hold_response(self.conn_id, request, instruct, now, is_retry)
        self._enter(CLOSED)
        filter_error = _filter_body(instruct)
        if is_stream and not has_no_body(instruct.status):
            return self._hold_stream(instruct, filter_error, now)
        if filter_error is not None:
            return self._refuse_instruct(OriginError(filter_error))
        return self._respond(instruct.status, instruct.reason, instruct.headers, instruct.body)

    def _hold_stream(self, instruct: Instruct, filter_error: str | None, now: float) -> list[Effect]:
        request = self.request
        self.answer.status, self.answer.body_bytes = instruct.status, len(instruct.body)
        payload, framing = request.begin_stream(instruct.status, instruct.reason, instruct.headers)
        if request.head.is_head:  # nothing follows that could be held
            return [Respond(self.conn_id, payload, framing is CHUNKED and request.head.is_keep_alive)]
        body = instruct.body
        if filter_error is not None:
            body = stream_error(filter_error) if request.is_debug else b""
        if body:
            payload += encode_chunk(body) if framing is CHUNKED else body
        if filter_error is None:
            return self._rules.sessions.hold_stream(self.conn_id, request, instruct, payload, now)
        is_persistent = framing is CHUNKED and request.head.is_keep_alive
        payload = payload + LAST_CHUNK if framing is CHUNKED else payload
        log = self._origin_error(f"bad instruct for {request.url}: {filter_error}")
        return [log, Respond(self.conn_id, payload, is_persistent)]

    def _respond(self, status: int, reason: bytes, headers: Headers, body: bytes) -> list[Effect]:
        self._enter(CLOSED)
        payload, is_persistent = self.request.answer(status, reason, headers, body)
        self.answer.note(status, payload)
        return [Respond(self.conn_id, payload, is_persistent)]

    def _answer_error(self, reason: str, debug_text: str) -> list[Effect]:
        """Answer 502; the log always says why, the client hears it only on a debug route."""
        self._enter(CLOSED)
        payload, is_persistent = self.request.answer_error(debug_text)
        self.answer.note(502, payload)
        return [self._origin_error(reason), Respond(self.conn_id, payload, is_persistent)]

    def _origin_error(self, text: str) -> Log:
        return Log(LOG_WARNING, text, is_origin_error=True, about=self.conn_id)

    def _answer_text(self, status: int, text: str) -> list[Effect]:
        self._enter(CLOSED)
        payload, is_persistent = self.request.answer_text(status, text)
        self.answer.note(status, payload)
        return [Respond(self.conn_id, payload, is_persistent)]


def _filter_body(instruct: Instruct) -> str | None:
    """Put the instruct's body through its channels' filters for responses; give the error if that fails."""
    body_filter = response_filter([channel.filters for channel in instruct.channels], instruct.meta)
    if body_filter is None or not instruct.body:
        return None
    try:
        instruct.body = body_filter.feed(instruct.body) + body_filter.end()
    except FilterError as error:
        return f"filter error: {error}"
    return None


_FAILURE_TEXTS = {
    OriginFailure.BROKEN: ORIGIN_AT_FAULT,
    OriginFailure.UNREACHABLE: "Error: zhttp service for route is unreachable.",
    OriginFailure.BLOCKED: "Error: Origin host/IP blocked.",
}

Handler = Callable[[Exchange, Any, float], list[Effect]]

_ON: dict[ExchangeState, dict[type, Handler]] = {
    ASKING: {OriginAnswered: Exchange._on_origin_answered, OriginFailed: Exchange._on_origin_failed},
    RELAYING: {RelayDone: Exchange._on_relay_done, OriginFailed: Exchange._on_relay_broken},
    COLLECTING: {OriginBodyCollected: Exchange._on_body_collected, OriginFailed: Exchange._on_origin_failed},
    OPENING: {RelayDone: Exchange._on_opened, OriginFailed: Exchange._on_relay_broken},
    WRAPPING: {OriginBodyCollected: Exchange._on_script_collected, OriginFailed: Exchange._on_origin_failed},
    CLOSED: {},
}
