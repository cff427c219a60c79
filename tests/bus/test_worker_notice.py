"""Notices from worker to hub: they come out as they went in, and anything else is our bug."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.bus.worker_notice import (
    ALL_ITEMS,
    SUBSCRIBE,
    ChannelsChanged,
    WorkerJoined,
    WorkerLeft,
    decode_notice,
    encode_channels,
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


@given(st.integers(0, 65535), st.lists(st.text()), st.lists(st.text()))
def test_channel_report_survives_the_bus(worker_index: int, added: list[str], removed: list[str]) -> None:
    """Channel names hold any character."""
    message = encode_channels(worker_index, added, removed)
    assert decode_notice(message) == ChannelsChanged(worker_index, added, removed)


def test_report_is_no_subscription_to_zeromq() -> None:
    """A first byte 0 or 1 would make ZeroMQ keep it in its tries."""
    assert encode_channels(0, ["a"], [])[0] not in (0, 1)


@pytest.mark.parametrize(
    "message", [b"", b"\x01x", b"\x00news", b"\x02", b"\x02\xc1", b"\x02\x01", b"\x01\xffworker-x:1"]
)
def test_anything_else_is_our_bug(message: bytes) -> None:
    """Only workers connect to the bus."""
    with pytest.raises(InternalError, match="notice on the bus"):
        decode_notice(message)
