"""Items carry when and in which round they were published."""

import pytest

from benchmarks.c1m.board import Series
from benchmarks.c1m.stamp import STAMP_BYTES, decode_stamp, encode_text
from benchmarks.item_mark import ITEM_BYTES, MARK, event_of
from benchmarks.socket_frames import TEXT, encode_from_server


def test_a_stamp_is_read_as_it_was_written() -> None:
    """Latency, round and series all come from it."""
    text = encode_text(Series.ROOMS, 42, 123_456_789_012)
    assert len(text) == ITEM_BYTES
    for received in (event_of(text).encode(), encode_from_server(TEXT, text.encode())):
        assert received.count(MARK) == 1
        assert decode_stamp(received, received.index(MARK)) == (Series.ROOMS, 42, 123_456_789_012)


def test_a_stamp_that_is_cut_is_not_guessed() -> None:
    """A cut number would be a wrong latency."""
    event = event_of(encode_text(Series.CHANNEL, 1, 5)).encode()
    at = event.index(MARK)
    with pytest.raises(ValueError, match="cut off"):
        decode_stamp(event[: at + STAMP_BYTES - 1], at)
