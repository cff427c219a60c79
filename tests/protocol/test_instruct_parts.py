"""What the two forms of an instruct share."""

import pytest

from gripproxy.errors import OriginError
from gripproxy.protocol.instruct_parts import (
    ChannelInstruct,
    breaks_lines,
    decode_text,
    instruct_error,
    is_header_name,
    merge_channels,
)


def test_error_shows_the_value_and_cuts_a_long_one() -> None:
    """The origin's author sees what was wrong; a 100 kB body does not end up in a log line."""
    assert str(instruct_error("failed to parse Grip-Timeout", b"5s")) == "failed to parse Grip-Timeout (value: '5s')"
    assert str(instruct_error("x", b"\xff\n")) == r"x (value: '\\xff\n')"
    assert len(str(instruct_error("x", "y" * 1000))) < 120


def test_same_channel_twice_is_one_subscription() -> None:
    """One item must not be sent twice to one client; the last prev-id counts."""
    first, other, last = ChannelInstruct("a", "1"), ChannelInstruct("b"), ChannelInstruct("a", "2", ("skip-self",))
    assert merge_channels([first, other, last]) == [last, other]
    assert merge_channels([]) == []


def test_text_must_be_utf8() -> None:
    """With replacement characters, two different names would become one channel."""
    assert decode_text("Grip-Channel", "é".encode()) == "é"
    with pytest.raises(OriginError, match=r"^Grip-Channel is not UTF-8 \(value: '"):
        decode_text("Grip-Channel", b"\xe9")


@pytest.mark.parametrize("value", [b"a\rb", b"\n", b"a\0"])
def test_line_breakers_are_found_anywhere(value: bytes) -> None:
    """Response splitting starts with any one of them."""
    assert breaks_lines(value)
    assert not breaks_lines(b"a b\tc\xff")


@pytest.mark.parametrize("name", [b"", b"A B", b"A:", b"A\n", b"\xc3\xa9"])
def test_header_names_are_tokens(name: bytes) -> None:
    """Anything else in front of the colon is read differently by different clients."""
    assert not is_header_name(name)
    assert is_header_name(b"X-Forwarded_For.1")
