"""One request to an origin over ZeroMQ, as a state machine: sequence numbers, credits, and what ends it."""

from collections.abc import Callable
from enum import IntEnum

from gripproxy.errors import OriginError
from gripproxy.protocol.http1 import (
    CHUNKED,
    NONE,
    RESPONSE_HEAD_MAX_BYTES,
    SIZED,
    UNTIL_CLOSE,
    Headers,
    ResponseHead,
    breaks_lines,
    check_response,
    is_header_name,
)
from gripproxy.protocol.zhttp import (
    CANCEL,
    CREDITS_BYTES,
    DATA,
    ERROR,
    PacketType,
    ResponsePacket,
    ZhttpRequest,
    encode_data,
    encode_first,
)
from gripproxy.protocol.zhttp_stream import (
    BROKEN,
    UNREACHED,
    Came,
    ZhttpFailure,
    ZhttpStream,
    failed,
    failed_by,
    silent,
)

HEADERS_MAX_COUNT = 1000  # of a response, as over HTTP


class ResponseReader:
    """Reads a response off its packets, and sees to it that the body is as long as the head says.

    Pushpin does not look: a client then takes the rest for its next response, or waits for what never comes.
    """

    __slots__ = ("_is_bodiless", "_is_head", "_left_bytes", "has_begun")

    def __init__(self, is_head: bool) -> None:
        self.has_begun = False
        self._is_head = is_head
        self._is_bodiless = False
        self._left_bytes: int | None = None

    def take(self, packet: ResponsePacket) -> Came:
        """Give what a data packet brings.

        Raises:
            OriginError: it is no response, or not one that HTTP could carry.
        """
        came = Came(body=packet.body, is_end=not packet.is_more)
        if not self.has_begun:
            came.head = head = _read_head(packet, self._is_head)
            self.has_begun = True
            self._is_bodiless = self._is_head or head.framing is NONE
            if head.framing is SIZED and not self._is_bodiless:
                self._left_bytes = head.content_length
        if self._is_bodiless:
            came.body = b""
        elif self._left_bytes is not None:
            self._left_bytes -= len(packet.body)
            if self._left_bytes < 0 or (came.is_end and self._left_bytes):
                difference = f"{-self._left_bytes} bytes longer" if self._left_bytes < 0 else "shorter"
                raise OriginError(f"its body is {difference} than its Content-Length")
        return came


def _read_head(packet: ResponsePacket, is_head: bool) -> ResponseHead:
    code = packet.code
    if code is None or not 200 <= code <= 999:
        raise OriginError(f"its code is not of a final response: {code}")
    head = check_response(code, packet.reason, checked_headers(packet), is_head)
    if head.framing in (CHUNKED, UNTIL_CLOSE) and not packet.is_more:
        head.framing = SIZED  # it is all here
        head.content_length = len(packet.body)
    return head


def checked_headers(packet: ResponsePacket) -> Headers:
    """Give the headers of a packet whose reason and headers HTTP can carry.

    Raises:
        OriginError: they would break their lines, or are too many.
    """
    if breaks_lines(packet.reason):
        raise OriginError(f"its reason would break its line: {packet.reason[:100]!r}")
    headers = packet.headers or []
    if len(headers) > HEADERS_MAX_COUNT:
        raise OriginError(f"its response has more than {HEADERS_MAX_COUNT} headers")
    head_bytes = sum(len(name) + len(value) for name, value in headers)
    if head_bytes > RESPONSE_HEAD_MAX_BYTES:
        raise OriginError(f"its headers have {head_bytes} bytes, more than {RESPONSE_HEAD_MAX_BYTES}")
    for name, value in headers:
        if not is_header_name(name) or breaks_lines(value):
            raise OriginError(f"its header would break its line: {name[:100]!r}: {value[:100]!r}")
    return headers


class ReqSession:
    """A request to a zhttpreq target: one packet there, one back."""

    __slots__ = ("_asked_at", "_reader")

    def __init__(self, is_head: bool, now: float) -> None:
        self._asked_at = now
        self._reader = ResponseReader(is_head)

    def receive(self, packet: ResponsePacket) -> Came:
        """Take the answer."""
        if packet.type is ERROR:
            return failed_by(packet)
        if packet.type is not DATA or packet.is_more:
            return failed(BROKEN, "its answer is not one whole response")
        try:
            return self._reader.take(packet)
        except OriginError as error:
            return failed(BROKEN, str(error))

    def check(self, now: float) -> Came:
        """Fail if the answer takes too long: nothing else tells whether there is anybody to give one."""
        return silent(now - self._asked_at) or Came()


class StreamState(IntEnum):
    """How far the response is. The request's body goes its own way meanwhile."""

    ASKED = 0  # no packet came yet: nobody knows who will answer
    JOINED = 1  # the origin has said who it is
    ANSWERING = 2
    ENDED = 3
    FAILED = 4  # by us: the origin does not know it yet


ASKED, JOINED, ANSWERING, ENDED, FAILED = StreamState


class StreamSession(ZhttpStream):
    """A request to a zhttp target, and its response. See `ZhttpStream`."""

    __slots__ = ("_is_request_sent", "_is_request_whole", "_on", "_reader", "_unsent", "state")

    def __init__(self, name: bytes, instance: bytes, is_head: bool, now: float) -> None:
        super().__init__(name, instance, now)
        self._reader = ResponseReader(is_head)
        self._unsent = b""  # of the request's body
        self._is_request_whole = False
        self._is_request_sent = False
        self._enter(ASKED)

    def _enter(self, state: StreamState) -> None:
        self.state = state
        self._on = _ON[state]

    # The request.

    def begin(self, request: ZhttpRequest, body: bytes, is_whole: bool) -> bytes:
        """Give the first packet, with as much of the body as it may hold."""
        part, self._unsent = body[:CREDITS_BYTES], body[CREDITS_BYTES:]
        self._is_request_whole = is_whole
        self._is_request_sent = is_whole and not self._unsent
        self._seq_out = 1
        return encode_first(request, self.name, self._instance, part, is_more=not self._is_request_sent)

    def add_body(self, part: bytes, is_whole: bool, now: float) -> None:
        """Take more of the request's body; `unsent_bytes` tells how much waits for credits."""
        self._unsent = self._unsent + part if self._unsent else part
        self._is_request_whole = is_whole
        self._send(now)

    @property
    def unsent_bytes(self) -> int:
        return len(self._unsent)

    def _send(self, now: float) -> None:
        if self.address is None or self._is_request_sent or self.state in (ENDED, FAILED):
            return
        part = self._unsent[: self._credits]
        self._unsent = self._unsent[len(part) :]
        self._credits -= len(part)
        self._is_request_sent = self._is_request_whole and not self._unsent
        if part or self._is_request_sent:  # the end itself needs no credits
            self._say(encode_data(self.name, self._seq_out, self._instance, part, not self._is_request_sent), now)

    # The response.

    def _handle(self, packet: ResponsePacket) -> Came:
        if self.state is ASKED and self.address is not None:
            self._enter(JOINED)
        handler = self._on.get(packet.type)
        return handler(self, packet) if handler is not None else Came()

    @property
    def is_answer_pending(self) -> bool:
        """Whether the origin still works on it, so that leaving means to cancel."""
        return self.state is not ENDED or not self._is_request_sent

    @property
    def _is_answering(self) -> bool:
        return self.state is ANSWERING

    def _take_data(self, packet: ResponsePacket) -> Came:
        fault = self._count(len(packet.body))
        if fault is not None:
            return self._fail(BROKEN, fault)
        try:
            came = self._reader.take(packet)
        except OriginError as error:
            return self._fail(BROKEN, str(error))
        self._enter(ENDED if came.is_end else ANSWERING)
        return came

    def _take_error(self, packet: ResponsePacket) -> Came:
        return self._end_by_origin(failed_by(packet))

    def _take_cancel(self, packet: ResponsePacket) -> Came:
        return self._end_by_origin(failed(BROKEN, "it cancelled the request"))

    def _end_by_origin(self, came: Came) -> Came:
        self._is_request_sent = True  # it wants no more of it
        self._enter(ENDED)
        if came.failure is UNREACHED and self._reader.has_begun:
            came.failure = BROKEN
        return came

    def _fail(self, failure: ZhttpFailure, detail: str) -> Came:
        """Give up; `is_answer_pending` stays true."""
        self._enter(FAILED)
        return failed(failure, detail)


Handler = Callable[[StreamSession, ResponsePacket], Came]

_ANY: dict[PacketType, Handler] = {ERROR: StreamSession._take_error, CANCEL: StreamSession._take_cancel}
_OPEN: dict[PacketType, Handler] = {**_ANY, DATA: StreamSession._take_data}

# Credits count in packets of every type. What is not here counts as a sign of life: keep-alives, hand-offs, which a
# proxy does not do, and what is of WebSockets.
_ON: dict[StreamState, dict[PacketType, Handler]] = {
    ASKED: _ANY,
    JOINED: _OPEN,
    ANSWERING: _OPEN,
    ENDED: {},
    FAILED: {},
}
