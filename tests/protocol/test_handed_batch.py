"""What goes from worker to worker is read as it was written, also by another version."""

import pytest

from gripproxy.protocol.handed_batch import (
    HandedChannel,
    HandedKind,
    HandedShape,
    HandedStream,
    HandedTables,
    decode_batch,
    encode_batch,
    read_record,
)


def test_batch_is_read_as_it_was_written() -> None:
    """Bytes stay bytes and texts texts, whatever these hold."""
    record = HandedStream(int(HandedKind.STREAM), 5, (1, 2, "c\udc80"), 0, 0, 12.5)
    tables = HandedTables(
        ["* o:1"], [HandedShape(True, False, keep_alive=b"\xff")], [HandedChannel("news", 1.5)], [[0]]
    )
    read_tables, (read,) = decode_batch(encode_batch((tables, [record])))
    assert read_record(HandedStream, read) == record
    assert read_record(HandedShape, read_record(HandedTables, read_tables).shapes[0]) == tables.shapes[0]
    assert read_record(HandedChannel, read_tables[2][0]) == HandedChannel("news", 1.5)


def test_record_is_small() -> None:
    """A hundred thousand of them go in an upgrade."""
    assert len(encode_batch(HandedStream(1, 59, (0, 1 << 39, 1000, 1 << 60), 0, 0, 12.5))) < 40


def test_what_another_version_has_at_the_end_is_left_out_or_has_its_default() -> None:
    """Generations of one host understand each other without being equal."""
    assert read_record(HandedChannel, ("news", 1.0, None, "later")) == HandedChannel("news", 1.0)
    assert read_record(HandedChannel, ("news",)) == HandedChannel("news")


def test_damage_is_told() -> None:
    """The link ends, and each connection stays where it is."""
    with pytest.raises(ValueError, match=r".*"):
        decode_batch(encode_batch([1, 2, 3])[:-1])
