"""WebSocket frames as scenarios spell them and transcripts show them, written apart from the server's own."""

from dataclasses import dataclass

CLIENT_KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # of the clients' handshakes
KEY = b"\x37\xfa\x21\x3d"  # with which scenarios mask
TYPES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = TYPES
SHOWN_MAX_BYTES = 200  # of a payload; a longer one is told by its length and its ends


def masked(payload: bytes, key: bytes = KEY) -> bytes:
    """Mask or unmask a payload."""
    stream = (key * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(payload), "big")


def frame(opcode: int, payload: bytes = b"", *, is_final: bool = True, is_masked: bool = False, bits: int = 0) -> bytes:
    """Spell a frame; `bits` are the reserved ones, 4 for RSV1."""
    size = len(payload)
    if size < 126:
        length, extended = size, b""
    elif size < 65_536:
        length, extended = 126, size.to_bytes(2, "big")
    else:
        length, extended = 127, size.to_bytes(8, "big")
    head = bytes([(0x80 if is_final else 0) | bits << 4 | opcode, (0x80 if is_masked else 0) | length]) + extended
    return head + (KEY + masked(payload) if is_masked else payload)


def closing(code: int | None = None, reason: bytes = b"") -> bytes:
    """Spell the payload of a close frame."""
    return b"" if code is None else code.to_bytes(2, "big") + reason


@dataclass(slots=True)
class _Frames:
    """Takes frames off received bytes."""

    rest: bytes
    is_from_client: bool

    def next(self) -> tuple[int, bool, bytes, str] | None:
        """Give opcode, whether it is final, payload and what is odd about the next frame; None if it is not whole."""
        if len(self.rest) < 2:
            return None
        first, second = self.rest[0], self.rest[1]
        size, start = second & 0x7F, 2
        if size >= 126:
            start = 4 if size == 126 else 10
            size = int.from_bytes(self.rest[2:start], "big")
        key = self.rest[start : start + 4] if second & 0x80 else b""
        start += len(key)
        if len(self.rest) < start + size:
            return None
        payload = self.rest[start : start + size]
        self.rest = self.rest[start + size :]
        oddity = f" bits={first >> 4 & 7}" if first & 0x70 else ""
        if bool(key) is not self.is_from_client:
            oddity += " masked" if key else " unmasked"
        return first & 0x0F, bool(first & 0x80), masked(payload, key) if key else payload, oddity


def _shown(name: str, payload: bytes, end: str = ">") -> bytes:
    if name == TYPES[CLOSE] and len(payload) > 1:
        payload = b"%d %s" % (int.from_bytes(payload[:2], "big"), payload[2:])
    if len(payload) > SHOWN_MAX_BYTES:
        ends = payload[:10] + b"..." + payload[-10:]
        payload = b"%d bytes: %s" % (len(payload), ends)
    return f"<{name}".encode() + (b" " + payload if payload else b"") + end.encode() + b"\n"


def readable_frames(data: bytes, *, is_from_client: bool = False) -> bytes:
    """Show a line for each message and control frame; where a message was cut into frames does not show.

    A control frame comes before the message in the middle of which it was. A message without its end has dots, and
    bytes that are no whole frame are shown as they are.
    """
    frames = _Frames(data, is_from_client)
    lines = []
    message: list[bytes] | None = None
    name = ""
    while taken := frames.next():
        opcode, is_final, payload, oddity = taken
        if message is None and opcode in (TEXT, BINARY):
            message, name = [], TYPES[opcode] + oddity
        elif message is None or opcode != CONTINUATION:
            fault = "" if opcode in (CLOSE, PING, PONG) and is_final else " out of place"
            lines.append(_shown(TYPES.get(opcode, f"opcode {opcode}") + oddity + fault, payload))
            continue
        message.append(payload)
        if is_final:
            lines.append(_shown(name, b"".join(message)))
            message = None
    if message is not None:
        lines.append(_shown(name, b"".join(message), "...>"))
    return b"".join(lines) + frames.rest
