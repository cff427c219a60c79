"""Messages in parts: whole again at the other end, whatever happened on the way."""

import pytest

from gripproxy.protocol.bus_message import encode_hello, encode_items
from gripproxy.protocol.bus_parts import PART_MAX_BYTES, MessageJoiner, split_message


def large(size_bytes: int) -> bytes:
    """A message of items that is a bit larger than that."""
    return encode_items(1, 2, ["c"], [bytes(size_bytes)])


@pytest.mark.parametrize("size_bytes", [0, 1, PART_MAX_BYTES, 2 * PART_MAX_BYTES, 1_000_000, 16_777_216])
def test_message_is_whole_again(size_bytes: int) -> None:
    """Of any size; and no part is so large that some hundreds of them are much memory."""
    message, joiner = large(size_bytes), MessageJoiner()
    parts = split_message(message)
    assert all(len(part) <= PART_MAX_BYTES + 2 for part in parts)
    *before, whole = [joiner.take(part) for part in parts]
    assert before == [None] * (len(parts) - 1)
    assert whole == message


def test_exactly_one_part_more() -> None:
    """The edge between a message and its two parts."""
    message = b"\x97" + bytes(PART_MAX_BYTES - 1)
    assert split_message(message) == [message]
    assert [len(part) for part in split_message(message + b"x")] == [PART_MAX_BYTES + 2, 3]


def test_small_message_stays_as_it_is() -> None:
    """Nearly all are small, and cost nothing."""
    message = encode_hello(1, 2, 3)
    assert split_message(message) == [message]
    assert MessageJoiner().take(message) == message


def test_end_of_a_message_from_before_is_nothing() -> None:
    """A worker that joins in the middle of a large item gets the rest of it, and then whole ones."""
    joiner, parts = MessageJoiner(), split_message(large(500_000))
    assert [joiner.take(part) for part in parts[1:]] == [None] * (len(parts) - 1)
    assert joiner.take(encode_hello(1, 2, 3)) == encode_hello(1, 2, 3)


def test_message_that_broke_off_is_forgotten() -> None:
    """A hub that is killed in the middle leaves a beginning, which must not get into what its successor sends."""
    for successor in (large(10), large(400_000)):
        joiner = MessageJoiner()
        for part in split_message(large(500_000))[:-1]:
            assert joiner.take(part) is None
        assert [joiner.take(part) for part in split_message(successor)][-1] == successor


def test_end_alone_after_another_message_is_nothing() -> None:
    """What a beginning was followed by has ended it."""
    joiner, parts = MessageJoiner(), split_message(large(500_000))
    joiner.take(parts[0])
    joiner.take(encode_hello(1, 2, 3))
    assert joiner.take(parts[-1]) is None
