"""Notices from worker to hub: they come out as they went in, and anything else is our bug."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.bus.worker_notice import (
    ALL_ITEMS,
    SUBSCRIBE,
    AllChannelsTold,
    ChannelsChanged,
    IdsDoubted,
    WorkerJoined,
    WorkerLeft,
    decode_notice,
    encode_all_told,
    encode_channels,
    encode_doubts,
    encode_join_topic,
)
from gripproxy.errors import InternalError


def test_join_and_leave_are_the_two_sides_of_one_subscription() -> None:
    """ZeroMQ itself reports the leave of a killed worker."""
    topic = encode_join_topic(3, pid=4711)
    assert decode_notice(SUBSCRIBE + topic) == WorkerJoined(3, topic)
    assert decode_notice(b"\x00" + topic) == WorkerLeft(3, topic)


def test_new_process_has_another_topic() -> None:
    """The end of the old process may be noticed after the start of the new one."""
    assert encode_join_topic(3, pid=1) != encode_join_topic(3, pid=2)


def test_subscription_to_all_items_says_nothing() -> None:
    """Every worker makes it before it joins."""
    assert decode_notice(SUBSCRIBE + ALL_ITEMS) is None


_NAMES = st.lists(st.text(st.characters()))  # half surrogate pairs too


@given(st.integers(0, 65535), _NAMES, _NAMES, _NAMES)
def test_channel_report_survives_the_bus(
    worker_index: int, added: list[str], removed: list[str], updating: list[str]
) -> None:
    """Channel names hold any character."""
    message = encode_channels(worker_index, added, removed, updating)
    assert decode_notice(message) == ChannelsChanged(worker_index, added, removed, updating)


@given(st.integers(0, 65535), st.dictionaries(st.text(st.characters()), st.text()))
def test_doubts_survive_the_bus(worker_index: int, last_ids: dict[str, str]) -> None:
    """The hub compares the ids with its own."""
    assert decode_notice(encode_doubts(worker_index, last_ids)) == IdsDoubted(worker_index, last_ids)


def test_end_of_a_first_report_is_a_notice_of_its_own() -> None:
    """A report without channels would not tell it: those come too."""
    assert decode_notice(encode_all_told(3)) == AllChannelsTold(3)


@pytest.mark.parametrize("message", [encode_channels(0, ["a"], []), encode_all_told(0), encode_doubts(0, {})])
def test_notice_is_no_subscription_to_zeromq(message: bytes) -> None:
    """A first byte 0 or 1 would make ZeroMQ keep it in its tries."""
    assert message[0] not in (0, 1)


@pytest.mark.parametrize(
    "message", [b"", b"\x01x", b"\x00news", b"\x02", b"\x02\xc1", b"\x02\x01", b"\x04\x91\x00", b"\x01\xffworker-x:1"]
)
def test_anything_else_is_our_bug(message: bytes) -> None:
    """Only workers connect to the bus."""
    with pytest.raises(InternalError, match="notice on the bus"):
        decode_notice(message)
