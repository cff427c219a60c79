"""Bytes of a WebSocket -> frames, strictly by RFC 6455 section 5, from clients as from origins."""

from dataclasses import dataclass
from typing import Final

from gripproxy.errors import WebSocketError
from gripproxy.protocol.permessage_deflate import Inflater
from gripproxy.protocol.utf8_stream import Utf8Stream
from gripproxy.protocol.websocket_close import check_close, check_reason
from gripproxy.protocol.websocket_frame import (
    BINARY,
    CLOSE,
    CONTINUATION,
    CONTROL_MAX_BYTES,
    PING,
    PONG,
    TEXT,
    Frame,
    mask,
)

WHOLE_MAX_BYTES = 65_536  # a frame up to this size is kept until it is whole; larger ones are handed over as they come
SIZE_MAX_BYTES = 2**63 - 1

_FIN, _RSV1, _RSV23, _OPCODE, _MASKED = 0x80, 0x40, 0x30, 0x0F, 0x80
_OPCODES = frozenset([CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG])

# First bytes of frames that are whole messages.
_PLAIN_WHOLE: Final = frozenset([_FIN | TEXT, _FIN | BINARY, _FIN | PING, _FIN | PONG])
_DEFLATED_WHOLE: Final = frozenset([_FIN | _RSV1 | TEXT, _FIN | _RSV1 | BINARY])


def read_whole(
    data: bytes, is_client: bool, inflater: Inflater | None = None, message_max_bytes: int = 0
) -> tuple[list[Frame], int]:
    """Read what needs no reader: messages of one frame each, pings and pongs. The sender is not in the midst of one.

    Gives the frames and how many bytes they were. What follows, if anything, is for a `FrameReader`: the beginning
    of a frame, a fragment, a close, a breach of the protocol.

    Args:
        inflater: may serve many connections, as it sees whole messages only. None: no compression was agreed.
        message_max_bytes: 0 is no limit.
    """
    frames: list[Frame] = []
    begin, data_bytes = 0, len(data)
    key_bytes, size_base = (4, 0x80) if is_client else (0, 0)
    while data_bytes - begin >= 2:
        first, size = data[begin], data[begin + 1] - size_base
        is_deflated = first in _DEFLATED_WHOLE
        if not (first in _PLAIN_WHOLE or (is_deflated and inflater)):
            break
        start = begin + 2 + key_bytes
        if size > CONTROL_MAX_BYTES:
            if size != 126 or first & 8 or data_bytes < begin + 4:
                break
            size = data[begin + 2] << 8 | data[begin + 3]
            start += 2
            if size < 126:
                break
        end = start + size
        if size < 0 or end > data_bytes or 0 < message_max_bytes < size:
            break
        payload = data[start:end]
        if is_client:
            payload = mask(payload, data[start - 4 : start])
        if is_deflated and inflater:
            try:
                payload = inflater.feed(payload, True)
            except WebSocketError:
                break
        if first & _OPCODE == TEXT and is_client and not (payload.isascii() or Utf8Stream().takes(payload, True)):
            break
        frames.append(Frame(first & _OPCODE, payload))
        begin = end
    return frames, begin


@dataclass(slots=True)
class _Head:
    """What stands before a frame's payload. `key` is empty if that is not masked."""

    opcode: int
    is_final: bool
    is_compressed: bool
    size: int
    key: bytes

    @property
    def is_control(self) -> bool:
        return self.opcode >= CLOSE


def _decode_head(data: bytes, begin: int, is_client: bool) -> tuple[_Head, int] | None:
    """Decode a frame's head and say where the payload begins; None while it is not whole.

    Raises:
        WebSocketError: it breaks the protocol, as soon as that can be told.
    """
    if len(data) < begin + 2:
        return None
    first, second = data[begin], data[begin + 1]
    size = second & ~_MASKED
    if bool(second & _MASKED) is not is_client:
        raise WebSocketError("Frame of a client is not masked" if is_client else "Frame of an origin is masked")
    if first & _OPCODE >= CLOSE and size > CONTROL_MAX_BYTES:
        raise WebSocketError("Control frame is too long")
    start = begin + 2
    if size > CONTROL_MAX_BYTES:
        start += 2 if size == 126 else 8
        if len(data) < start:
            return None
        size, size_min = int.from_bytes(data[begin + 2 : start], "big"), 126 if size == 126 else 65_536
        if not size_min <= size <= SIZE_MAX_BYTES:
            raise WebSocketError("Frame's length is not encoded as it must be")
    if is_client:
        start += 4
        if len(data) < start:
            return None
    head = _Head(first & _OPCODE, bool(first & _FIN), bool(first & _RSV1), size, data[start - 4 : start] * is_client)
    return head, start


class FrameReader:
    """Reads the frames of one connection, which may be cut anywhere.

    After a breach of the protocol `error` says what it was: frames before it were given, nothing behind it is read. Nor
    is anything behind a close.
    """

    __slots__ = (
        *("error", "_is_client", "_inflater", "_message_max_bytes", "_is_closed", "_rest"),
        *("_head", "_missing_bytes", "_payload"),
        *("_opcode", "_next_opcode", "_is_compressed", "_message_bytes", "_text"),
    )

    def __init__(self, is_client: bool, inflater: Inflater | None = None, message_max_bytes: int = 0) -> None:
        self.error: WebSocketError | None = None
        self._is_client = is_client
        self._inflater = inflater
        self._message_max_bytes = message_max_bytes
        self._is_closed = False
        self._rest = b""  # of a head that is not whole
        self._head: _Head | None = None  # of the frame whose payload is arriving
        self._missing_bytes = 0
        self._payload = bytearray()  # of that frame, as far as it came
        self._opcode: int | None = None  # of the message that is under way
        self._next_opcode: int = CONTINUATION  # of its next piece
        self._is_compressed = False
        self._message_bytes = 0
        self._text = Utf8Stream()

    @property
    def is_idle(self) -> bool:
        """Nothing is under way: a new reader, or `read_whole`, would read what comes next just as well."""
        return not (self._rest or self._head or self._opcode is not None or self._is_closed or self.error)

    @property
    def missing_bytes(self) -> int:
        """What is missing of the frame that is arriving; 0 between frames, and in the middle of a head."""
        return self._missing_bytes

    @property
    def kept_bytes(self) -> int:
        """How much is kept of a frame that is arriving."""
        return len(self._rest) + len(self._payload)

    @property
    def is_inflating(self) -> bool:
        """Whether a compressed message is under way of which something was inflated."""
        return self._inflater is not None and self._inflater.is_open

    def feed(self, data: bytes) -> list[Frame]:
        """Read what has come."""
        frames: list[Frame] = []
        if self.error is not None:
            return frames
        try:
            self._feed(data, frames)
        except WebSocketError as error:
            self.error = WebSocketError(str(error), error.code)  # without a traceback, which knows us: a cycle
            self._rest, self._payload = b"", bytearray()
        return frames

    def _feed(self, data: bytes, frames: list[Frame]) -> None:
        if self._rest:
            data, self._rest = self._rest + data, b""
        begin = 0
        while begin < len(data) and not self._is_closed:
            if self._head is None:
                self._check_first_byte(data[begin])
                found = _decode_head(data, begin, self._is_client)
                if found is None:
                    self._rest = data[begin:]
                    return
                self._head, begin = found
                self._begin(self._head)
            begin = self._take(self._head, data, begin, frames)

    def _check_first_byte(self, first: int) -> None:
        opcode = first & _OPCODE
        if opcode not in _OPCODES:
            raise WebSocketError(f"Unknown opcode: {opcode}")
        if first & _RSV23 or (first & _RSV1 and (self._inflater is None or opcode not in (TEXT, BINARY))):
            raise WebSocketError("Reserved bit is set")
        if opcode >= CLOSE:
            if not first & _FIN:
                raise WebSocketError("Control frame is fragmented")
        elif opcode == CONTINUATION:
            if self._opcode is None:
                raise WebSocketError("Continuation of no message")
        elif self._opcode is not None:
            raise WebSocketError("Message begins within another one")

    def _begin(self, head: _Head) -> None:
        self._missing_bytes = head.size
        self._payload = bytearray()
        if head.is_control:
            return
        if head.opcode != CONTINUATION:
            self._opcode = self._next_opcode = head.opcode
            self._is_compressed = head.is_compressed
            self._message_bytes = 0
        self._message_bytes += head.size
        if 0 < self._message_max_bytes < self._message_bytes:
            raise WebSocketError(f"Message is too long: more than {self._message_max_bytes} bytes", 1009)

    def _take(self, head: _Head, data: bytes, begin: int, frames: list[Frame]) -> int:
        """Take of a frame's payload what is there, and say where the next frame begins."""
        part = data[begin : begin + self._missing_bytes]
        if head.key:
            shift = (head.size - self._missing_bytes) & 3
            part = mask(part, head.key[shift:] + head.key[:shift])
        self._missing_bytes -= len(part)
        if head.is_control:
            self._take_control(head, part, frames)
        else:
            self._take_data(head, part, frames)
        if not self._missing_bytes:
            self._head = None
        return begin + len(part)

    def _take_control(self, head: _Head, part: bytes, frames: list[Frame]) -> None:
        self._payload += part
        if self._missing_bytes:
            return
        payload, self._payload = bytes(self._payload), bytearray()
        if head.opcode == CLOSE:
            (check_close if self._is_client else check_reason)(payload)
            self._is_closed = True
        frames.append(Frame(head.opcode, payload))

    def _take_data(self, head: _Head, part: bytes, frames: list[Frame]) -> None:
        is_end = head.is_final and not self._missing_bytes
        if not self._is_compressed:
            self._check_text(part, is_end)
        if head.size <= WHOLE_MAX_BYTES:
            if len(part) < head.size:
                self._payload += part
                if self._missing_bytes:
                    return
                part, self._payload = bytes(self._payload), bytearray()
        elif not part:
            return
        if self._is_compressed and self._inflater is not None:
            part = self._inflater.feed(part, is_end)
            self._check_text(part, is_end)
            if not part and not is_end and head.size > WHOLE_MAX_BYTES:
                return
        frames.append(Frame(self._next_opcode, part, is_end))
        self._next_opcode = CONTINUATION
        if is_end:
            self._opcode = None

    def _check_text(self, part: bytes, is_end: bool) -> None:
        if self._is_client and self._opcode == TEXT and not self._text.takes(part, is_end):
            raise WebSocketError("Text is not UTF-8", 1007)
