"""Items carry when and in which round they were published."""

import pytest

from benchmarks.c1m.board import Series
from benchmarks.c1m.stamp import STAMP_BYTES, decode_stamp, encode_event
from benchmarks.item_mark import ITEM_BYTES, MARK


def test_a_stamp_is_read_as_it_was_written() -> None:
    """Latency, round and series all come from it."""
    event = encode_event(Series.ROOMS, 42, 123_456_789_012).encode()
    assert decode_stamp(event, event.index(MARK)) == (Series.ROOMS, 42, 123_456_789_012)
    assert event.count(MARK) == 1
    assert len(event.partition(b"data: ")[2].strip()) == ITEM_BYTES


def test_a_stamp_that_is_cut_is_not_guessed() -> None:
    """A cut number would be a wrong latency."""
    event = encode_event(Series.CHANNEL, 1, 5).encode()
    at = event.index(MARK)
    with pytest.raises(ValueError, match="cut off"):
        decode_stamp(event[: at + STAMP_BYTES - 1], at)
