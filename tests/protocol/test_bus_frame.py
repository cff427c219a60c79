"""Frames on the bus: nothing of an item is lost between hub and worker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import InternalError
from gripproxy.protocol.bus_frame import (
    BusHead,
    decode_bus_head,
    decode_bus_item,
    encode_bus_frame,
    encode_bus_message,
    encode_hello,
    split_bus_message,
)
from gripproxy.protocol.publish_format import (
    Action,
    HttpResponseFormat,
    HttpStreamFormat,
    WsMessageFormat,
    WsMessageType,
)
from gripproxy.protocol.publish_item import PublishItem

_FILTERS = st.none() | st.lists(st.text(max_size=5), max_size=2).map(tuple)
_ACTIONS = st.sampled_from(Action)
_BYTES = st.binary(max_size=20)
_PATCHES = st.lists(st.dictionaries(st.text(max_size=5), st.text() | st.integers(-(2**63), 2**64 - 1) | st.none()))
_ITEMS = st.builds(
    PublishItem,
    channel=st.text(),
    id=st.none() | st.text(),
    prev_id=st.none() | st.text(),
    http_response=st.none()
    | st.builds(
        HttpResponseFormat,
        action=_ACTIONS,
        code=st.integers(0, 999),
        reason=st.none() | _BYTES,
        headers=st.none() | st.lists(st.tuples(_BYTES, _BYTES)),
        body=_BYTES,
        body_patch=st.none() | _PATCHES,
        content_filters=_FILTERS,
    ),
    http_stream=st.none() | st.builds(HttpStreamFormat, action=_ACTIONS, content=_BYTES, content_filters=_FILTERS),
    ws_message=st.none()
    | st.builds(
        WsMessageFormat,
        action=_ACTIONS,
        type=st.sampled_from(WsMessageType),
        content=_BYTES,
        code=st.none() | st.integers(0, 65535),
        reason=st.none() | _BYTES,
        content_filters=_FILTERS,
    ),
    meta=st.dictionaries(st.text(), st.text()),
    size=st.none() | st.integers(0, 2**63 - 1),
    is_no_seq=st.booleans(),
)


@given(_ITEMS, st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
def test_items_come_back_as_they_were(item: PublishItem, epoch: int, sequence: int) -> None:
    """With their types: a list where a tuple was would fail a comparison of filters."""
    frame = encode_bus_frame(epoch, sequence, item)
    head = decode_bus_head(frame)
    assert (head.epoch, head.sequence, head.channel, head.item_id) == (epoch, sequence, item.channel, item.id)
    assert head.hello_worker is None
    decoded = decode_bus_item(frame, head)
    assert decoded == item
    if decoded.http_stream is not None:
        assert isinstance(decoded.http_stream.action, Action)


def test_empty_id_is_not_a_missing_one() -> None:
    """An empty id takes part in deduplication."""
    assert decode_bus_head(encode_bus_frame(1, 1, PublishItem("c", ""))).item_id == ""
    assert decode_bus_head(encode_bus_frame(1, 1, PublishItem("c"))).item_id is None


def test_hello_names_its_worker() -> None:
    """A worker must not take its sibling's hello for its own, nor an item for a hello."""
    frame = encode_hello(7, 8, 55)
    assert decode_bus_head(frame) == BusHead(7, 8, "", None, len(frame) - 4, 55)
    assert decode_bus_head(encode_hello(7, 8, 0)).hello_worker == 0


def test_head_stays_small() -> None:
    """Every item goes to every worker: 21 bytes and the two names are all the overhead before the rest."""
    assert decode_bus_head(encode_bus_frame(1, 1, PublishItem("news", "7"))).offset == 21 + 5


@pytest.mark.parametrize("size", [0, 5, 20, 21, 25])
def test_cut_off_frame_is_our_own_error(size: int) -> None:
    """Only the hub writes here: it must be seen, and must not deliver half an item."""
    frame = encode_bus_frame(1, 1, PublishItem("news", "7"))
    with pytest.raises(InternalError, match="cut off"):
        decode_bus_head(frame[:size])
    with pytest.raises(InternalError, match="cut off"):
        decode_bus_head(encode_hello(1, 1, 3)[: min(size, 24)])


def test_frames_of_a_message_come_out_as_they_went_in() -> None:
    """Frames of any size, empty ones too, in order."""
    frames = [b"a", b"", b"x" * 70_000, b"\x00\x01"]
    assert split_bus_message(encode_bus_message(frames)) == frames
    assert split_bus_message(b"") == []


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 9, 11])
def test_message_that_is_cut_off_is_refused(cut: int) -> None:
    """Half a frame must not pass for an item."""
    message = encode_bus_message([b"ab", b"cd"])
    with pytest.raises(InternalError, match="cut off"):
        split_bus_message(message[:cut])
