"""Messages on the bus: nothing of an item is lost between hub and worker."""

from collections.abc import Callable

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import InternalError
from gripproxy.protocol.bus_message import (
    CONN_CHECK,
    CONN_REFRESH,
    FORGET,
    HELLO,
    ITEMS,
    LAST_IDS,
    REFRESH,
    STALE,
    UNTOUCHED,
    BusMessage,
    NotedId,
    Payload,
    decode_message,
    encode_conn_check,
    encode_forget,
    encode_hello,
    encode_items,
    encode_last_ids,
    encode_refresh,
    encode_stale,
    pack_item,
    unpack_item,
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


@given(_ITEMS)
def test_items_come_back_as_they_were(item: PublishItem) -> None:
    """With their types: a list where a tuple was would fail a comparison of filters."""
    unpacked = unpack_item(item.channel, pack_item(item))
    assert unpacked == item
    if unpacked.http_stream is not None:
        assert isinstance(unpacked.http_stream.action, Action)


@given(st.binary())
def test_content_alone_is_an_item(content: bytes) -> None:
    """Most items are nothing else, and are not packed for themselves."""
    assert unpack_item("c", content) == PublishItem("c", http_stream=HttpStreamFormat(Action.SEND, content))


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**64 - 1),
    st.lists(st.tuples(st.text(), _BYTES | _BYTES.map(lambda b: [b]), st.none() | st.text() | st.just(UNTOUCHED))),
    st.booleans(),
)
def test_messages_come_back_as_they_were(
    epoch: int, sequence: int, items: list[tuple[str, Payload, NotedId]], is_noted: bool
) -> None:
    """Every payload and every id stays with its channel."""
    channels, payloads = [channel for channel, _, _ in items], [payload for _, payload, _ in items]
    ids = [noted_id for _, _, noted_id in items] if is_noted else []
    message = decode_message(encode_items(epoch, sequence, channels, payloads, ids))
    assert message == BusMessage(epoch, sequence, ITEMS, None, channels, payloads, ids, asked=[])


def test_what_an_item_did_to_a_last_id_is_told_exactly() -> None:
    """An empty id is an id, and to forget the last one is not the same as to leave it."""
    ids = decode_message(encode_items(1, 2, ["a"] * 3, [b""] * 3, ["", None, UNTOUCHED])).ids
    assert ids[0] == ""
    assert ids[1] is None
    assert ids[2] is UNTOUCHED


def test_hello_names_its_worker() -> None:
    """A worker must not take its sibling's hello for its own, nor an item for a hello."""
    assert decode_message(encode_hello(7, 8, 55, 9)) == BusMessage(7, 8, HELLO, 55, [], [b""], [], asked=[9])
    assert decode_message(encode_hello(7, 8, 0)).worker_index == 0


def test_last_ids_name_their_worker() -> None:
    """The others know them."""
    message = decode_message(encode_last_ids(7, 8, 3, ["a", "b"], ["1", ""]))
    assert message == BusMessage(7, 8, LAST_IDS, 3, ["a", "b"], [], ["1", ""], asked=[])


@pytest.mark.parametrize(("encode", "kind"), [(encode_forget, FORGET), (encode_stale, STALE)])
@pytest.mark.parametrize("channels", [None, [], ["a", "\ud800"]])
def test_channels_to_forget_or_ask_again_may_be_all(
    encode: Callable[[int, int, list[str] | None], bytes], kind: int, channels: list[str] | None
) -> None:
    """None of them is not all of them. Names from an instruct hold any character."""
    assert decode_message(encode(7, 8, channels)) == BusMessage(7, 8, kind, None, channels, [], [], asked=[])


def test_question_about_connections_has_its_number() -> None:
    """The answers come another way and name it."""
    message = decode_message(encode_conn_check(1, 2, 7, ["0-5-a", "\ud800"]))
    assert (message.kind, message.channels, message.asked) == (CONN_CHECK, ["0-5-a", "\ud800"], [7])


def test_refreshing_is_by_connections_or_by_channels() -> None:
    """Connections are asked about besides."""
    message = decode_message(encode_conn_check(1, 2, 7, ["a"], is_refresh=True))
    assert (message.kind, message.channels, message.asked) == (CONN_REFRESH, ["a"], [7])
    message = decode_message(encode_refresh(1, 2, ["news", "\ud800"]))
    assert (message.kind, message.channels, message.asked) == (REFRESH, ["news", "\ud800"], [])


def test_messages_stay_small() -> None:
    """Every item goes to every worker: an item costs a few bytes besides its channel and its content."""
    count = 32
    message = encode_items(2**32 - 1, 2**63, ["news"] * count, [b"x" * 100] * count)
    assert len(message) <= count * (len("news") + 100 + 3) + 27


def test_message_that_is_cut_off_is_our_own_error() -> None:
    """Only the hub writes here: it must be seen, and half an item must not be delivered."""
    whole = encode_items(1, 2, ["a", "b"], [b"ab", [b"cd"]], ["1", None])
    for size in range(len(whole)):
        with pytest.raises(InternalError, match="damaged"):
            decode_message(whole[:size])


@pytest.mark.parametrize(
    "fields",
    [
        [1, 2, ITEMS, None, ["a"], [], []],
        [1, 2, ITEMS, None, [], [b"a"], []],
        [1, 2, ITEMS, None, ["a"], [b"a"], ["1", "2"]],
        [1, 2, LAST_IDS, 0, ["a", "b"], [], ["1"]],
    ],
)
def test_message_must_have_a_channel_for_each_item_and_id(fields: list[object]) -> None:
    """Else items would go to channels that are not theirs."""
    with pytest.raises(InternalError, match="channels for"):
        decode_message(msgpack.packb([*fields, 0, []]))


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xc1",
        msgpack.packb(5),
        msgpack.packb([1, 2, ITEMS, None, 3, 4, []]),
        msgpack.packb([1, 2, 77, None, [], [], []]),
    ],
)
def test_anything_else_is_our_own_error(message: bytes) -> None:
    """Whatever it is, the worker goes on."""
    with pytest.raises(InternalError, match="damaged"):
        decode_message(message)


@pytest.mark.parametrize("payload", [[], [b""], [b"\xc1"], [b"\x05"], [msgpack.packb([1, 2])]])
def test_damaged_item_is_our_own_error(payload: list[bytes]) -> None:
    """It is found when it is wanted."""
    with pytest.raises(InternalError, match="damaged"):
        unpack_item("c", payload)
