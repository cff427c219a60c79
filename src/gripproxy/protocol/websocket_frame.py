"""WebSocket frames: bytes <-> frames (RFC 6455 section 5)."""

from dataclasses import dataclass
from enum import IntEnum


class Opcode(IntEnum):
    """What a frame is (RFC 6455 section 5.2)."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = Opcode


@dataclass(slots=True)
class Frame:
    """A frame, or a piece of a large one: messages keep their bounds and types, frames do not.

    `opcode` is CONTINUATION for all pieces of a message but its first; `is_final` is set on its last. Payloads are
    neither masked nor compressed.
    """

    opcode: int
    payload: bytes
    is_final: bool = True


def encode_frame(opcode: int, payload: bytes, is_final: bool = True, is_compressed: bool = False) -> bytes:
    """Encode a frame to a client: unmasked."""
    first = (0x80 if is_final else 0) | (0x40 if is_compressed else 0) | opcode
    size = len(payload)
    if size < 126:
        return b"%c%c%s" % (first, size, payload)
    if size < 65_536:
        return b"%c\x7e%s%s" % (first, size.to_bytes(2, "big"), payload)
    return b"%c\x7f%s%s" % (first, size.to_bytes(8, "big"), payload)
