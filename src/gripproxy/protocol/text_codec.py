"""The two ways in which GRIP writes arbitrary bytes as text: C-style escapes and forgiving base64."""

import binascii
import re

_ESCAPE = re.compile(rb"\\(x([0-9A-Fa-f]{2})|.|\Z)", re.DOTALL)
_BASE64_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_BASE64 = bytes(set(range(256)) - set(_BASE64_ALPHABET))
_PLAIN = {b"\\": b"\\", b"r": b"\r", b"n": b"\n"}


def decode_cstring(text: bytes) -> bytes | None:
    r"""Replace ``\\``, ``\r``, ``\n`` and ``\xHH``; None for a bad ``\x`` or a backslash at the end.

    Any other escaped character vanishes together with its backslash, as in Pushpin.
    """
    parts = []
    start = 0
    for match in _ESCAPE.finditer(text):
        escaped = match[1]
        if escaped in (b"", b"x"):
            return None
        parts.append(text[start : match.start()])
        parts.append(bytes.fromhex(match[2].decode()) if match[2] else _PLAIN.get(escaped, b""))
        start = match.end()
    parts.append(text[start:])
    return b"".join(parts)


def decode_base64(text: bytes) -> bytes:
    """Decode standard base64; characters outside its alphabet, padding and left-over bits are skipped.

    Source: Qt's QByteArray::fromBase64, which Pushpin uses.
    """
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        pass
    digits = text.translate(None, _NOT_BASE64)
    if len(digits) % 4 == 1:
        digits = digits[:-1]
    return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))
