"""C-style escapes and forgiving base64."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol.text_codec import decode_base64, decode_cstring


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (rb":\n\n", b":\n\n"),
        (rb"event: keep-alive\ndata:\n\n", b"event: keep-alive\ndata:\n\n"),
        (rb"a\\n\r\x00\xfF", b"a\\n\r\x00\xff"),
        (rb"a\tb\"c", b"abc"),
        (rb"\\x41\x41", b"\\x41A"),
        (b"", b""),
        (b"\xff\\\n.", b"\xff."),
    ],
)
def test_escapes(text: bytes, content: bytes) -> None:
    """Headers cannot carry line ends, so keep-alives for event streams come escaped."""
    assert decode_cstring(text) == content


@pytest.mark.parametrize("text", [b"\\", b"a\\\\\\", rb"\x", rb"\x4", rb"\xg0", rb"\x4g"])
def test_broken_escapes_are_refused(text: bytes) -> None:
    """A keep-alive that is cut short must not be sent as if it were meant so."""
    assert decode_cstring(text) is None


@given(st.binary())
def test_escaped_bytes_come_back(content: bytes) -> None:
    """Every byte can be written as an escape."""
    assert decode_cstring(b"".join(b"\\x%02x" % byte for byte in content)) == content


@given(st.binary())
def test_base64_ignores_what_is_not_its_alphabet(content: bytes) -> None:
    """Line breaks, blanks and missing padding do no harm."""
    text = base64.b64encode(content).rstrip(b"=")
    assert decode_base64(b" \r\n-".join(text[at : at + 1] for at in range(len(text)))) == content


@given(st.binary())
def test_decoders_take_any_bytes(text: bytes) -> None:
    """No input raises, and decoding never makes text longer."""
    assert len(decode_base64(text)) <= len(text)
    assert len(decode_cstring(text) or b"") <= len(text)
