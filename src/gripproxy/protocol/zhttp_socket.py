"""One WebSocket to an origin over ZeroMQ, as a state machine: the handshake, messages both ways, the two closes."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from enum import IntEnum

from gripproxy.errors import OriginError
from gripproxy.protocol.http1 import NONE, ResponseHead
from gripproxy.protocol.websocket_close import decode_close, encode_close
from gripproxy.protocol.websocket_frame import (
    BINARY,
    CLOSE,
    CONTINUATION,
    CONTROL_MAX_BYTES,
    PING,
    PONG,
    TEXT,
    Frame,
)
from gripproxy.protocol.websocket_handshake import accept_of
from gripproxy.protocol.zhttp import (
    PacketType,
    ResponsePacket,
    ZhttpRequest,
    encode_control,
    encode_first_of_socket,
    encode_message_part,
)
from gripproxy.protocol.zhttp_session import ResponseReader, checked_headers
from gripproxy.protocol.zhttp_stream import BROKEN, Came, ZhttpFailure, ZhttpStream, failed, failed_by

FRAME_COST_BYTES = 64  # of one that waits: empty ones are many as well
CODE_MAX = 65_535

_WORDS: dict[int, bytes] = {TEXT: b"text", BINARY: b"binary"}
_CONTROLS: dict[int, PacketType] = {PING: PacketType.PING, PONG: PacketType.PONG}
_NOT_SENT = frozenset([b"connection"])  # the rest of the handshake's headers is what ZeroMQ origins expect
_ANSWERED_ANEW = frozenset([b"upgrade", b"connection", b"sec-websocket-accept"])


class SocketState(IntEnum):
    """How far it is. Who has closed sends nothing more."""

    ASKED = 0  # no packet came yet: nobody knows who will answer
    JOINED = 1  # the origin has said who it is
    OPEN = 2
    WE_CLOSED = 3
    ORIGIN_CLOSED = 4
    ENDED = 5
    FAILED = 6  # by us: the origin does not know it yet


ASKED, JOINED, OPEN, WE_CLOSED, ORIGIN_CLOSED, ENDED, FAILED = SocketState


class SocketSession(ZhttpStream):
    """A WebSocket of a zhttp target. See `ZhttpStream`; what the origin sends once it has accepted lies in `frames`."""

    __slots__ = (
        *("_content_type", "_incoming_opcode", "_key", "_on", "_part_bytes", "_unsent", "_unsent_bytes"),
        *("frames", "state"),
    )

    def __init__(self, name: bytes, instance: bytes, now: float) -> None:
        super().__init__(name, instance, now)
        self.frames: list[Frame] = []
        self._key = b""
        self._unsent: deque[Frame] = deque()
        self._unsent_bytes = 0
        self._part_bytes = 0  # of the first of these, which were sent
        self._content_type = b""  # of the message that is being sent
        self._incoming_opcode: int | None = None  # of the next part of the origin's message; None: none is under way
        self._enter(ASKED)

    def _enter(self, state: SocketState) -> None:
        self.state = state
        self._on = _ON[state]

    def begin(self, request: ZhttpRequest) -> bytes:
        """Give the first packet, for a request as an HTTP origin would get it."""
        headers = [header for header in request.headers if header[0].lower() not in _NOT_SENT]
        self._key = next((value for name, value in headers if name.lower() == b"sec-websocket-key"), b"")
        self._seq_out = 1
        return encode_first_of_socket(replace(request, headers=headers), self.name, self._instance)

    # To the origin.

    def send(self, frames: list[Frame], now: float) -> None:
        """Send frames, as far as credits go; `unsent_bytes` tells how much waits. After a close none counts."""
        for frame in frames:
            self._unsent.append(frame)
            self._unsent_bytes += len(frame.payload) + FRAME_COST_BYTES
        self._send(now)

    @property
    def unsent_bytes(self) -> int:
        return self._unsent_bytes

    @property
    def has_closed(self) -> bool:
        """Whether we have closed, or will as soon as what was to be sent before has found credits."""
        return self.state is WE_CLOSED or (bool(self._unsent) and self._unsent[-1].opcode == CLOSE)

    def _send(self, now: float) -> None:
        unsent = self._unsent
        while unsent and self.state in (OPEN, ORIGIN_CLOSED):
            frame = unsent[0]
            if frame.opcode == CLOSE:
                self._say_close(frame, now)
            elif self.state is OPEN and not self._say_frame(frame, now):
                return
            unsent.popleft()
            self._unsent_bytes -= len(frame.payload) + FRAME_COST_BYTES
            self._part_bytes = 0
        if self.state not in (ASKED, JOINED, OPEN, ORIGIN_CLOSED):
            unsent.clear()
            self._unsent_bytes = 0

    def _say_frame(self, frame: Frame, now: float) -> bool:
        """Send a frame, or of one with data as much as there are credits for; tell whether that was all of it."""
        left_bytes = len(frame.payload) - self._part_bytes
        is_whole = left_bytes <= self._credits
        control = _CONTROLS.get(frame.opcode)
        if control is not None:
            if is_whole:
                self._credits -= left_bytes
                self._say(encode_control(self.name, self._seq_out, self._instance, control, frame.payload), now)
            return is_whole
        if not is_whole and not self._credits:
            return False
        self._content_type = _WORDS.get(frame.opcode, self._content_type)
        size = min(left_bytes, self._credits)
        part = frame.payload[self._part_bytes : self._part_bytes + size]
        self._part_bytes += size
        self._credits -= size
        is_more = not (is_whole and frame.is_final)
        common = (self.name, self._seq_out, self._instance)
        self._say(encode_message_part(*common, self._content_type, part, is_more), now)
        return is_whole

    def _say_close(self, frame: Frame, now: float) -> None:
        code, reason = decode_close(frame.payload)
        self._say(encode_control(self.name, self._seq_out, self._instance, PacketType.CLOSE, reason, code), now)
        self._enter(WE_CLOSED if self.state is OPEN else ENDED)

    # From the origin.

    def _handle(self, packet: ResponsePacket) -> Came:
        """Do what a packet means; what comes is the answer to the handshake, and later perhaps a failure."""
        if self.state is ASKED and self.address is not None:
            self._enter(JOINED)
        handler = self._on.get(packet.type)
        return handler(self, packet) if handler is not None else Came()

    def take_frames(self) -> list[Frame]:
        """Give what has come since the last time."""
        frames, self.frames = self.frames, []
        return frames

    @property
    def is_answer_pending(self) -> bool:
        """Whether the origin has to be told of the end."""
        return self.state is not ENDED

    @property
    def _is_answering(self) -> bool:
        return self.state in (OPEN, WE_CLOSED)

    def _accept(self, packet: ResponsePacket) -> Came:
        """Take the first data packet for an agreement, whatever its code is, as Pushpin does.

        The head becomes what a WebSocket origin would answer: the key is nothing to ZeroMQ origins.
        """
        try:
            theirs = checked_headers(packet)
        except OriginError as error:
            return self._fail(BROKEN, str(error))
        self._enter(OPEN)
        headers = [header for header in theirs if header[0].lower() not in _ANSWERED_ANEW]
        headers += [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")]
        headers.append((b"Sec-WebSocket-Accept", accept_of(self._key)))
        return Came(ResponseHead(101, packet.reason, headers, NONE))

    def _take_refusal(self, packet: ResponsePacket) -> Came:
        """Take an error for what it is; one that says so is a whole response, which the client gets."""
        if packet.condition != b"rejected":
            return self._take_error(packet)
        self._enter(ENDED)
        try:
            return ResponseReader(False).take(replace(packet, is_more=False))
        except OriginError as error:
            return failed(BROKEN, str(error))

    def _take_data(self, packet: ResponsePacket) -> Came:
        fault = self._count(len(packet.body))
        if fault is not None:
            return self._fail(BROKEN, fault)
        opcode = self._incoming_opcode
        if opcode is None:
            opcode = BINARY if packet.content_type == _WORDS[BINARY] else TEXT
        if packet.body or not packet.is_more:
            self.frames.append(Frame(opcode, packet.body, not packet.is_more))
            opcode = CONTINUATION
        self._incoming_opcode = opcode if packet.is_more else None
        return Came()

    def _take_ping(self, packet: ResponsePacket) -> Came:
        return self._take_control(PING, packet)

    def _take_pong(self, packet: ResponsePacket) -> Came:
        return self._take_control(PONG, packet)

    def _take_control(self, opcode: int, packet: ResponsePacket) -> Came:
        size = len(packet.body)
        fault = self._count(size) if size <= CONTROL_MAX_BYTES else f"its ping or pong has {size} bytes"
        if fault is not None:
            return self._fail(BROKEN, fault)
        self.frames.append(Frame(opcode, packet.body))
        return Came()

    def _take_close(self, packet: ResponsePacket) -> Came:
        code = packet.code
        if code is not None and not 0 <= code <= CODE_MAX:
            return self._fail(BROKEN, f"its close has the code {code}")
        self.frames.append(Frame(CLOSE, encode_close(code, packet.body)))
        self._enter(ENDED if self.state is WE_CLOSED else ORIGIN_CLOSED)
        return Came()

    def _take_error(self, packet: ResponsePacket) -> Came:
        came = failed_by(packet)
        if self.state not in (ASKED, JOINED):
            came.failure = BROKEN
        self._enter(ENDED)
        return came

    def _take_cancel(self, packet: ResponsePacket) -> Came:
        self._enter(ENDED)
        return failed(BROKEN, "it cancelled the request")

    def _fail(self, failure: ZhttpFailure, detail: str) -> Came:
        self._enter(FAILED)
        return failed(failure, detail)


Handler = Callable[[SocketSession, ResponsePacket], Came]

_ENDING: dict[PacketType, Handler] = {
    PacketType.ERROR: SocketSession._take_error,
    PacketType.CANCEL: SocketSession._take_cancel,
}
_REFUSING: dict[PacketType, Handler] = {**_ENDING, PacketType.ERROR: SocketSession._take_refusal}
_TALKING: dict[PacketType, Handler] = {
    **_ENDING,
    PacketType.DATA: SocketSession._take_data,
    PacketType.PING: SocketSession._take_ping,
    PacketType.PONG: SocketSession._take_pong,
    PacketType.CLOSE: SocketSession._take_close,
}

# What is not here counts as a sign of life; see `zhttp_session`.
_ON: dict[SocketState, dict[PacketType, Handler]] = {
    ASKED: _REFUSING,
    JOINED: {**_REFUSING, PacketType.DATA: SocketSession._accept},
    OPEN: _TALKING,
    WE_CLOSED: _TALKING,
    ORIGIN_CLOSED: _ENDING,
    ENDED: {},
    FAILED: {},
}
