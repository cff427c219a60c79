"""WebSocket frames: their kinds, and how they are written (RFC 6455 section 5). `websocket_reader` reads them."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class Opcode(IntEnum):
    """What a frame is (RFC 6455 section 5.2)."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = Opcode

CONTROL_MAX_BYTES = 125  # of a control frame's payload (RFC 6455 section 5.5)

# Measured: XOR of two whole numbers takes half the time below this, four translated stripes do above it.
_STRIPES_MIN_BYTES = 500
_NUMBERS: Final = int.from_bytes(bytes(range(256)), "big")
_STRIPES: Final = [(_NUMBERS ^ int.from_bytes(bytes([byte]) * 256, "big")).to_bytes(256, "big") for byte in range(256)]


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


def encode_masked_frame(opcode: int, payload: bytes, is_final: bool, key: bytes, is_compressed: bool = False) -> bytes:
    """Encode a frame to an origin, masked with `key`: four bytes that nobody can foresee (RFC 6455 section 10.3)."""
    first = (0x80 if is_final else 0) | (0x40 if is_compressed else 0) | opcode
    size = len(payload)
    if size < 126:
        return b"%c%c%s%s" % (first, 0x80 | size, key, mask(payload, key))
    if size < 65_536:
        return b"%c\xfe%s%s%s" % (first, size.to_bytes(2, "big"), key, mask(payload, key))
    return b"%c\xff%s%s%s" % (first, size.to_bytes(8, "big"), key, mask(payload, key))


def mask(payload: bytes, key: bytes) -> bytes:
    """Mask a payload, or unmask it, which is the same (RFC 6455 section 5.3)."""
    size = len(payload)
    if size < _STRIPES_MIN_BYTES:
        keys = (key * ((size + 3) >> 2))[:size]
        return (int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")).to_bytes(size, "big")
    masked = bytearray(payload)
    for index, byte in enumerate(key):
        masked[index::4] = masked[index::4].translate(_STRIPES[byte])
    return bytes(masked)
