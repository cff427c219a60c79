"""What a WebSocket client or origin sent, cut into slices small enough for one turn of the loop, as frames."""

from gripproxy.errors import WebSocketError
from gripproxy.protocol.permessage_deflate import (
    INFLATED_MAX_BYTES,
    ORIGIN_INFLATED_MAX_BYTES,
    STREAM_BYTES,
    Inflater,
)
from gripproxy.protocol.websocket_frame import CLOSE, Frame
from gripproxy.protocol.websocket_reader import FrameReader, read_whole

# Decoded at once, or a frame if that is larger: 682 empty pings of a client, 2 ms, or 512 of an origin.
SLICE_BYTES = 4096
ORIGIN_SLICE_BYTES = 1024
DEFLATED_SLICE_BYTES = 256  # can become 256 KB, and a frame as much as a message may have


class WsKind:
    """What clients, or origins, share that are read alike. As the record of a client's socket it is only a marker.

    `message_max_bytes` is of a message, inflated; 0 is no limit, but what is inflated always has one.
    """

    __slots__ = ("_inflated_max_bytes", "inflater", "is_client", "message_max_bytes", "slice_bytes")

    def __init__(self, is_client: bool, is_deflating: bool, message_max_bytes: int = 0) -> None:
        self.is_client = is_client
        self.message_max_bytes = message_max_bytes
        plain_bytes = SLICE_BYTES if is_client else ORIGIN_SLICE_BYTES
        self.slice_bytes = DEFLATED_SLICE_BYTES if is_deflating else plain_bytes
        usual_max_bytes = INFLATED_MAX_BYTES if is_client else ORIGIN_INFLATED_MAX_BYTES
        self._inflated_max_bytes = message_max_bytes or usual_max_bytes
        self.inflater = Inflater(self._inflated_max_bytes) if is_deflating else None

    def new_reader(self) -> FrameReader:
        """Make a reader for one of them."""
        inflater = None if self.inflater is None else Inflater(self._inflated_max_bytes)
        return FrameReader(self.is_client, inflater, self.message_max_bytes)

    def on_readable(self) -> None:
        """Never called, as all of these: `ClientSockets` tells `WsClients`, which needs to know whose record it is."""

    def on_drained(self) -> None:
        """See `on_readable`."""

    def on_gone(self) -> None:
        """See `on_readable`."""


class WsInput:
    """The bytes of one client or origin that are not decoded yet, and its reader in the middle of a frame or a message.

    After a close frame, or a breach of the protocol, it `is_closed` and nothing more is decoded.
    """

    __slots__ = ("_begin", "_data", "_reader", "is_closed")

    def __init__(self) -> None:
        self._data = b""
        self._begin = 0  # of what is not decoded yet
        self._reader: FrameReader | None = None
        self.is_closed = False

    @property
    def is_waiting(self) -> bool:
        """Whether there is something to decode."""
        return self._begin < len(self._data)

    @property
    def is_idle(self) -> bool:
        """Whether nothing of it is needed for what comes next."""
        return self._reader is None and not self._data and not self.is_closed

    @property
    def kept_bytes(self) -> int:
        """How much is kept of a frame that is not whole, or to inflate the rest of its message."""
        reader = self._reader
        return 0 if reader is None else reader.kept_bytes + STREAM_BYTES * reader.is_inflating

    def put(self, data: bytes) -> None:
        """Take what was read."""
        if not self.is_closed:
            self._data = self._data[self._begin :] + data
            self._begin = 0

    def step(self, kind: WsKind) -> tuple[list[Frame], WebSocketError | None]:
        """Decode a slice."""
        part = self._next_slice(kind.slice_bytes)
        frames: list[Frame] = []
        reader = self._reader
        if reader is None:
            frames, end = read_whole(part, kind.is_client, kind.inflater, kind.message_max_bytes)
            if end == len(part):
                return frames, None
            reader = self._reader = kind.new_reader()
            part = part[end:]
        frames += reader.feed(part)
        if reader.error is not None or (frames and frames[-1].opcode == CLOSE):
            self._close()
        elif reader.is_idle:
            self._reader = None
        return frames, reader.error

    def _next_slice(self, size: int) -> bytes:
        data, begin = self._data, self._begin
        if len(data) - begin > size:
            if self._reader is not None and self._reader.missing_bytes:
                size = max(size, self._reader.missing_bytes)
            elif self._reader is None or not self._reader.kept_bytes:  # a frame begins here
                size = max(size, frame_size(data, begin))
        if not begin and size >= len(data):
            self._data = b""
            return data
        part = data[begin : begin + size]
        self._begin = begin + len(part)
        if self._begin == len(data):
            self._data, self._begin = b"", 0
        return part

    def _close(self) -> None:
        self.is_closed = True
        self._data, self._begin = b"", 0
        self._reader = None


def frame_size(data: bytes, begin: int) -> int:
    """Give how many bytes the frame has that begins there, as it says; 0 if that cannot be told yet."""
    if len(data) < begin + 10:
        return 0
    size = data[begin + 1] & 0x7F
    head_bytes = 6 if data[begin + 1] & 0x80 else 2
    if size == 126:
        return head_bytes + 2 + int.from_bytes(data[begin + 2 : begin + 4], "big")
    if size == 127:
        return head_bytes + 8 + int.from_bytes(data[begin + 2 : begin + 10], "big")
    return head_bytes + size
