"""Compression of WebSocket messages without context takeover (RFC 7692): no connection keeps any state for it."""

import zlib

_LEVEL = 6
_TAIL = b"\x00\x00\xff\xff"  # of every deflated message; neither end sends it (RFC 7692 section 7.2.1)


def deflate(payload: bytes) -> bytes:
    """Compress a whole message."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_TAIL)
