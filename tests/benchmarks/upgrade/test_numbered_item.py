"""Items say everything that their readers check, and are all of the same length."""

import pytest

from benchmarks.upgrade.numbered_item import CHUNK_BYTES, decode_chunk, encode_event


def chunk(channel: int, number: int, phase: int, due_ns: int) -> bytes:
    """Give an item as a client receives it."""
    event = encode_event(channel, number, phase, due_ns).encode()
    return b"%x\r\n%b\r\n" % (len(event), event)


@pytest.mark.parametrize("values", [(0, 0, 0, 0), (99_999, 999_999_999, 99, 10**19)])
def test_an_item_is_read_as_it_was_written(values: tuple[int, int, int, int]) -> None:
    """Whatever stands around it."""
    data = b"abc" + chunk(*values) + b"def"
    assert decode_chunk(data, 3) == values
    assert len(data) == CHUNK_BYTES + 6


@pytest.mark.parametrize("damage", [slice(0, 1), slice(10, 11), slice(CHUNK_BYTES - 1, CHUNK_BYTES)])
def test_an_item_with_a_byte_missing_is_none(damage: slice) -> None:
    """Though something follows that makes it long enough."""
    data = bytearray(chunk(1, 2, 3, 4) * 2)
    del data[damage]
    with pytest.raises(ValueError, match=r"whole item|invalid literal|not enough|too many"):
        decode_chunk(bytes(data), 0)
