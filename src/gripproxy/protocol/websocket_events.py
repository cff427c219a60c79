"""The events of WebSocket-over-HTTP: the body of a request or response <-> events."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from gripproxy.errors import OriginError
from gripproxy.protocol.websocket_frame import BINARY, CLOSE, CONTROL_MAX_BYTES, PING, PONG, TEXT, Frame

MEDIA_TYPE = b"application/websocket-events"
BODY_MAX_BYTES = 1_000_000  # of a response, same as Pushpin

OPEN_BODY = b"OPEN\r\n"
DISCONNECT_BODY = b"DISCONNECT\r\n"

_KINDS: dict[int, bytes] = {TEXT: b"TEXT", BINARY: b"BINARY", CLOSE: b"CLOSE", PING: b"PING", PONG: b"PONG"}
_OPCODES = {kind: opcode for opcode, kind in _KINDS.items()}
_SIZE = re.compile(rb"(?:0[xX])?([0-9A-Fa-f]{1,16})")


@dataclass(slots=True)
class WsEvent:
    """One event of an origin. `kind` is as written: OPEN and DISCONNECT, those of frames, and unknown ones."""

    kind: bytes
    content: bytes = b""


def encode_events(frames: Iterable[Frame]) -> bytes:
    """Write whole messages and control frames as events.

    Messages have a length even when they are empty, control frames only with content.
    """
    parts = []
    for frame in frames:
        opcode, content = frame.opcode, frame.payload
        if content or opcode in (TEXT, BINARY):
            parts.append(b"%s %x\r\n%s\r\n" % (_KINDS[opcode], len(content), content))
        else:
            parts.append(b"%s\r\n" % _KINDS[opcode])
    return b"".join(parts)


def decode_events(body: bytes) -> list[WsEvent]:
    """Split a body into events, in wire order; unknown ones too.

    Args:
        body: zero or more of ``TYPE[ SIZE_HEX]\\r\\n[CONTENT\\r\\n]``. What stands for the line end behind a content
            is not looked at; at the end of the body it may be missing, and so may some of the content.

    Raises:
        OriginError: a type's line has no end, or its size is not hexadecimal.

    Source: Pushpin's decodeEvents.
    """
    events = []
    position, size = 0, len(body)
    while position < size:
        end = body.find(b"\r\n", position)
        if end < 0:
            raise OriginError(f"event without a line end: {_shown(body[position:])}")
        kind, space, length = body[position:end].partition(b" ")
        position = end + 2
        if not space:
            events.append(WsEvent(kind))
            continue
        match = _SIZE.fullmatch(length)
        if match is None:
            raise OriginError(f"event's size is not hexadecimal: {_shown(kind + space + length)}")
        end = position + int(match[1], 16)
        events.append(WsEvent(kind, body[position:end]))
        position = end + 2
    return events


def frame_of(event: WsEvent) -> Frame | None:
    """Give the frame that an event stands for; None for one that is to be ignored.

    So are pings and pongs that are too large for a frame.
    """
    opcode = _OPCODES.get(event.kind)
    if opcode is None or (opcode in (PING, PONG) and len(event.content) > CONTROL_MAX_BYTES):
        return None
    return Frame(opcode, event.content)


def _shown(value: bytes) -> str:
    return ascii(value[:100])[1:]
