"""What the two forms of an instruct share."""

import pytest

from gripproxy.errors import OriginError
from gripproxy.protocol.instruct_parts import (
    ChannelInstruct,
    decode_text,
    instruct_error,
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
