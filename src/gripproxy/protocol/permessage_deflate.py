"""Compression of WebSocket messages without context takeover (RFC 7692): no connection keeps any state for it."""

import zlib

from gripproxy.errors import OriginError, WebSocketError
from gripproxy.protocol.header_params import Param, decode_int, decode_valued_params, split_list

# Of a message whose length nothing else bounds: 1,000 bytes can become a million. Origins are chosen, clients are not.
INFLATED_MAX_BYTES = 1_048_576
ORIGIN_INFLATED_MAX_BYTES = 16 * 1_048_576
STREAM_BYTES = 45_000  # that zlib keeps of a message that is not whole
STREAMS_MAX_COUNT = 64  # deflate streams in one message: each costs as much as a message, and may have 2 bytes
OFFER = b"permessage-deflate; client_no_context_takeover; server_no_context_takeover"  # to origins

_NAME = b"permessage-deflate"
_LEVEL = 6
_TAIL = b"\x00\x00\xff\xff"  # of every deflated message; neither end sends it (RFC 7692 section 7.2.1)
_NO_TAKEOVER = (b"client_no_context_takeover", b"server_no_context_takeover")
_WINDOW_BITS = (b"client_max_window_bits", b"server_max_window_bits")
_BITS_MIN, _BITS_MAX = 8, zlib.MAX_WBITS


def deflate(payload: bytes) -> bytes:
    """Compress a whole message."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_TAIL)


class Inflater:
    """Decompresses messages, one after the other, in pieces as they come; between messages it keeps nothing.

    No call makes more than `max_bytes`, however the input is cut: a message that grows larger is refused.
    """

    __slots__ = ("_max_bytes", "_room_bytes", "_stream", "_streams_count")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._begin()

    def _begin(self) -> None:
        self._stream: zlib._Decompress | None = None
        self._streams_count = 0
        self._room_bytes = self._max_bytes

    @property
    def is_open(self) -> bool:
        """Whether a message is under way, and so a window is kept."""
        return self._stream is not None

    def feed(self, part: bytes, is_end: bool) -> bytes:
        """Decompress the next part of a message, which `is_end` if it is the last. After an error the next one begins.

        A stream may end with a final block, and another one follow in the same message (RFC 7692 section 7.2.3.5).

        Raises:
            WebSocketError: 1009 where the message is too large, 1007 where it is not deflated data.
        """
        try:
            content = self._feed(part + _TAIL if is_end else part)
        except WebSocketError:
            self._begin()
            raise
        if is_end:
            self._begin()
        return content

    def _feed(self, data: bytes) -> bytes:
        made = []
        while data:
            if self._stream is None:
                self._streams_count += 1
                if self._streams_count > STREAMS_MAX_COUNT:
                    raise WebSocketError("Deflated message has too many final blocks", 1007)
                self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
            try:
                content = self._stream.decompress(data, self._room_bytes + 1)
            except zlib.error:
                raise WebSocketError("Message is not deflated data", 1007) from None
            self._room_bytes -= len(content)
            if self._room_bytes < 0:
                raise WebSocketError(f"Message is too long: it inflates to more than {self._max_bytes} bytes", 1009)
            made.append(content)
            data = b""
            if self._stream.eof:
                data = self._stream.unused_data
                self._stream = None
        return b"".join(made)


def agree(lines: list[bytes]) -> bytes | None:
    """Answer a client's offers: to the first that can be accepted, None if there is none.

    Args:
        lines: the values of its Sec-WebSocket-Extensions headers.

    Source: RFC 7692 section 7.1. Both ends do without the other's context, which a server may always ask for. Windows
    smaller than the largest are for those who receive, and not accepted, as in Pushpin.
    """
    for name, params in _extensions(lines):
        bits = _window_bits(params) if name == _NAME else None
        if bits is None:
            continue
        if bits.get(b"server_max_window_bits", _BITS_MAX) == _BITS_MAX:
            told = b"; server_max_window_bits=%d" % _BITS_MAX if b"server_max_window_bits" in bits else b""
            return OFFER + told
    return None


def is_agreed(lines: list[bytes], is_offered: bool) -> bool:
    """Whether an origin's answer agrees to `OFFER`, if that was made.

    Args:
        lines: the values of its Sec-WebSocket-Extensions headers.

    Raises:
        OriginError: it agrees to something else: what it sends could not be read.
    """
    answers = [params for name, params in _extensions(lines) if name == _NAME]
    if not answers:
        return False
    params = answers[0]
    bits = _window_bits(params)
    is_good = (
        is_offered
        and len(answers) == 1
        and bits is not None
        and b"client_max_window_bits" not in bits  # only where it was offered
        and bits.get(b"server_max_window_bits", _BITS_MAX) is not None
        and (b"server_no_context_takeover", None) in params
    )
    if not is_good:
        raise OriginError(f"it agrees to a compression that it was not offered: {lines!r}")
    return True


def _extensions(lines: list[bytes]) -> list[tuple[bytes, list[Param]]]:
    elements = [decode_valued_params(element) for line in lines for element in split_list(line)]
    return [element for element in elements if element is not None]


def _window_bits(params: list[Param]) -> dict[bytes, int | None] | None:
    """Give the windows that parameters name, None for one without a size; None for all if any parameter is bad.

    Bad are unknown and repeated ones and values that RFC 7692 section 7.1 does not have.
    """
    if len({name for name, _ in params}) < len(params):
        return None
    windows: dict[bytes, int | None] = {}
    for name, value in params:
        if name in _WINDOW_BITS:
            bits = None
            if value is not None:
                bits = decode_int(value) if value.isdigit() and not value.startswith(b"0") else 0
                if bits is None or not _BITS_MIN <= bits <= _BITS_MAX:
                    return None
            windows[name] = bits
        elif name not in _NO_TAKEOVER or value is not None:
            return None
    return windows
