"""Streams of WebSocket frames for tests: how they are written, also wrongly, and how they are read, however cut."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from gripproxy.protocol.permessage_deflate import Inflater
from gripproxy.protocol.websocket_frame import CLOSE, Frame, mask
from gripproxy.protocol.websocket_reader import FrameReader, read_whole

KEY = bytes.fromhex("37fa213d")  # of the examples in RFC 6455 section 5.7
INFLATED_MAX_BYTES = 1_000_000


def raw_frame(first: int, payload: bytes = b"", *, is_masked: bool = True, size: bytes | None = None) -> bytes:
    """Write a frame with any first byte, and with any length: `size` is the second byte, without mask bit, and on."""
    if size is None:
        size = fewest_bytes(len(payload))
    if not is_masked:
        return bytes([first]) + size + payload
    return bytes([first, size[0] | 0x80]) + size[1:] + KEY + mask(payload, KEY)


def fewest_bytes(count: int) -> bytes:
    """Write a length as it must be written."""
    if count < 126:
        return bytes([count])
    return b"\x7e" + count.to_bytes(2, "big") if count < 65_536 else b"\x7f" + count.to_bytes(8, "big")


@dataclass(slots=True)
class Reading:
    """What was read of a stream. `messages` are (opcode, payload) of whole ones and of controls."""

    messages: list[tuple[int, bytes]] = field(default_factory=list)
    begun: tuple[int, bytes] | None = None  # what came of the message that is under way
    error_code: int | None = None
    is_idle: bool = True
    frames: list[Frame] = field(default_factory=list)

    def take(self, frames: list[Frame]) -> None:
        """Put pieces together, and check that they fit."""
        self.frames += frames
        for frame in frames:
            if frame.opcode >= CLOSE:
                assert frame.is_final and len(frame.payload) <= 125
                self.messages.append((frame.opcode, frame.payload))
                continue
            assert (frame.opcode == 0) is (self.begun is not None)
            opcode, begun = self.begun or (frame.opcode, b"")
            self.begun = (opcode, begun + frame.payload)
            if frame.is_final:
                self.messages.append(self.begun)
                self.begun = None

    @property
    def outcome(self) -> tuple[list[tuple[int, bytes]], int | None]:
        """What does not depend on how the stream was cut."""
        return self.messages, self.error_code


@dataclass(slots=True, frozen=True)
class Terms:
    """Whose stream it is, and what was agreed."""

    is_client: bool = True
    is_deflating: bool = False
    message_max_bytes: int = 0

    def inflater(self) -> Inflater | None:
        """Give a new one, if compression was agreed."""
        return Inflater(INFLATED_MAX_BYTES) if self.is_deflating else None

    def reader(self) -> FrameReader:
        """Give a new one."""
        return FrameReader(self.is_client, self.inflater(), self.message_max_bytes)


def read_parts(parts: Iterable[bytes], terms: Terms = Terms()) -> Reading:
    """Read with one reader."""
    reading, reader = Reading(), terms.reader()
    for part in parts:
        reading.take(reader.feed(part))
    reading.error_code = reader.error.code if reader.error else None
    reading.is_idle = reader.is_idle
    return reading


def read_lazily(parts: Iterable[bytes], terms: Terms = Terms()) -> Reading:
    """Read as clients are read: with a reader only while something is under way."""
    reading, shared = Reading(), terms.inflater()
    reader: FrameReader | None = None
    for part in parts:
        if reader is None:
            frames, end_bytes = read_whole(part, terms.is_client, shared, terms.message_max_bytes)
            reading.take(frames)
            part = part[end_bytes:]
            if part:
                reader = terms.reader()
        if reader is not None:
            reading.take(reader.feed(part))
            if reader.is_idle:
                reader = None
    if reader is not None:
        reading.error_code = reader.error.code if reader.error else None
        reading.is_idle = reader.is_idle
    return reading


def every_byte(wire: bytes) -> list[bytes]:
    """Cut it wherever it can be."""
    return chopped(wire, 1)


def chopped(wire: bytes, size: int) -> list[bytes]:
    """Cut it into parts of one size."""
    return [wire[begin : begin + size] for begin in range(0, len(wire), size)]


def read_every_way(wire: bytes, terms: Terms = Terms()) -> Reading:
    """Read at once, in bytes and in halves, with and without readers: the outcome is the same. Gives the first.

    A long stream is cut into a few thousand parts instead of bytes.
    """
    reading = read_parts([wire], terms)
    for size in (max(1, len(wire)), len(wire) // 2 + 1, 1 + len(wire) // 4096):
        parts = chopped(wire, size)
        for read in (read_parts, read_lazily):
            other = read(parts, terms)
            assert other.outcome == reading.outcome
            assert other.is_idle == reading.is_idle
            if other.error_code is None:
                assert other.begun == reading.begun
    return reading
