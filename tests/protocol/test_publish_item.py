"""Publish items as they arrive: ZeroMQ frames and HTTP bodies."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import PublishError
from gripproxy.protocol.publish_format import Action, HttpResponseFormat, HttpStreamFormat, WsMessageFormat
from gripproxy.protocol.publish_item import (
    ITEM_MAX_BYTES,
    PublishItem,
    decode_content,
    decode_frame,
    decode_item,
    decode_publish_request,
)
from gripproxy.protocol.publish_value import JSON, TNETSTRING
from gripproxy.protocol.tnetstring import encode

STREAM = {"content": "x"}


def request(*items: object) -> bytes:
    return json.dumps({"items": items}).encode()


def refusal_of_request(body: bytes) -> str:
    with pytest.raises(PublishError) as caught:
        decode_publish_request(body)
    return str(caught.value)


def refusal_of_frame(body: bytes, channel: str | None = None) -> str:
    with pytest.raises(PublishError) as caught:
        decode_frame(body, channel)
    return str(caught.value)


def words(refusal: str) -> str:
    """Give the reference's part of a text: without the value."""
    return refusal.partition(" (value")[0]


def test_item_with_everything() -> None:
    """Every documented key lands in its field."""
    value = {
        "channel": "news",
        "id": "",
        "prev-id": "6",
        "formats": {
            "http-response": {"body": "r"},
            "http-stream": {"content": "s"},
            "ws-message": {"content": "w"},
            "carrier-pigeon": 1,
        },
        "meta": {"sender": "me"},
        "size": "12",
        "no-seq": True,
        "unknown": None,
    }
    assert decode_item(value, JSON) == PublishItem(
        "news",
        "",
        "6",
        HttpResponseFormat(body=b"r"),
        HttpStreamFormat(content=b"s"),
        WsMessageFormat(content=b"w"),
        {"sender": "me"},
        12,
        True,
    )


def test_formats_may_lie_at_the_top() -> None:
    """What the Python library sends over HTTP."""
    item = decode_item({"channel": "c", "http-stream": STREAM}, JSON)
    assert item.http_stream == HttpStreamFormat(content=b"x")
    assert item.id is None and item.meta == {} and not item.is_no_seq


def test_top_level_formats_do_not_count_beside_formats() -> None:
    """The short form is only looked at if there is no ``formats``."""
    item = decode_item({"channel": "c", "formats": {"ws-message": STREAM}, "http-stream": 1}, JSON)
    assert item.http_stream is None
    assert item.ws_message == WsMessageFormat(content=b"x")


def test_item_with_unknown_formats_only_is_valid() -> None:
    """It reaches nobody, but a newer publisher is not refused."""
    item = decode_item({"channel": "c", "formats": {"smoke": 1}}, JSON)
    assert (item.http_response, item.http_stream, item.ws_message) == (None, None, None)


def test_channel_of_a_sub_message_replaces_the_key() -> None:
    """The topic frame is the channel; the key is not even looked at."""
    assert decode_frame(b'J{"channel":5,"http-stream":{"content":"x"}}', "topic").channel == "topic"


def test_null_in_tnetstring_counts_as_missing() -> None:
    """``formats`` of null then means the short form."""
    value = {
        "channel": b"c",
        "id": None,
        "prev-id": None,
        "formats": None,
        "meta": None,
        "http-stream": {"content": b""},
    }
    assert decode_item(value, TNETSTRING) == PublishItem("c", http_stream=HttpStreamFormat())


def test_null_formats_of_tnetstring_count_as_missing_at_the_top_only() -> None:
    """As in the reference: inside of ``formats`` they are of the wrong type."""
    assert refusal_of_frame(encode({"channel": "c", "http-stream": None})).endswith(": no formats specified")
    item = decode_frame(encode({"channel": "c", "http-stream": None, "ws-message": {"content": "x"}}))
    assert (item.http_stream, item.ws_message) == (None, WsMessageFormat(content=b"x"))
    assert "'http-stream' is not an object" in refusal_of_frame(
        encode({"channel": "c", "formats": {"http-stream": None}})
    )


def test_the_three_frame_encodings_mean_the_same() -> None:
    """JSON, marked tnetstring, bare tnetstring."""
    value = {"channel": "c", "id": "1", "http-stream": {"content": "x"}, "ws-message": {"action": "close"}}
    item = PublishItem("c", "1", None, None, HttpStreamFormat(content=b"x"), WsMessageFormat(Action.CLOSE))
    assert decode_frame(b"J" + json.dumps(value).encode()) == item
    assert decode_frame(b"T" + encode(value)) == item
    assert decode_frame(encode(value)) == item


def test_tnetstring_content_keeps_its_bytes() -> None:
    """Only names are text."""
    item = decode_frame(encode({"channel": b"a\xff", "http-stream": {"content": b"\xff\x00"}}))
    assert item.channel == "a�"
    assert item.http_stream == HttpStreamFormat(content=b"\xff\x00")


ITEM_REFUSALS: list[tuple[object, str]] = [
    ([], "publish item object is not an object"),
    (None, "publish item object is not an object"),
    ({}, "publish item object does not contain 'channel'"),
    ({"channel": None}, "publish item object contains 'channel' with wrong type"),
    ({"channel": 1}, "publish item object contains 'channel' with wrong type"),
    ({"channel": "c", "id": 1}, "publish item object contains 'id' with wrong type"),
    ({"channel": "c", "id": None}, "publish item object contains 'id' with wrong type"),
    ({"channel": "c", "prev-id": []}, "publish item object contains 'prev-id' with wrong type"),
    ({"channel": "c", "formats": []}, "publish item object contains 'formats' with wrong type"),
    (
        {"channel": "c", "formats": None, "http-stream": STREAM},
        "publish item object contains 'formats' with wrong type",
    ),
    ({"channel": "c"}, "no formats specified"),
    ({"channel": "c", "formats": {}, "http-stream": STREAM}, "no formats specified"),
    ({"channel": "c", "http-stream": None}, "'http-stream' is not an object"),
    ({"channel": "c", "http-stream": {}}, "'http-stream' does not contain 'content' or 'content-bin'"),
    ({"channel": "c", "http-stream": STREAM, "meta": 1}, "publish item object contains 'meta' with wrong type"),
    ({"channel": "c", "http-stream": STREAM, "meta": {"k": 1}}, "'meta' contains 'k' with wrong type"),
    ({"channel": "c", "http-stream": STREAM, "size": None}, "publish item object contains 'size' with wrong type"),
    ({"channel": "c", "http-stream": STREAM, "size": -1}, "publish item object contains 'size' with invalid value"),
    ({"channel": "c", "http-stream": STREAM, "no-seq": 1}, "publish item object contains 'no-seq' with wrong type"),
]


@pytest.mark.parametrize(("value", "refusal"), ITEM_REFUSALS)
def test_refusals_are_the_references_texts(value: object, refusal: str) -> None:
    """The same text on both ways in, each with its own beginning."""
    assert words(refusal_of_request(request(value))) == f"Invalid format: {refusal}"
    if isinstance(value, dict):
        frame = b"J" + json.dumps(value).encode()
        assert words(refusal_of_frame(frame)) == f"received message with invalid format: {refusal}"


def test_formats_are_checked_in_the_references_order() -> None:
    """The first failure decides, and which one is first is fixed."""
    formats: dict[str, object] = {"ws-message": 1, "http-stream": 1, "http-response": 1}
    for name in ("http-response", "http-stream", "ws-message"):
        assert (
            refusal_of_request(request({"channel": "c", "formats": formats}))
            == f"Invalid format: '{name}' is not an object (value: 1)"
        )
        formats[name] = {"action": "hint"}


def test_refusal_among_several_items_says_which() -> None:
    """The reference leaves the publisher searching."""
    good = {"channel": "c", "http-stream": STREAM}
    assert refusal_of_request(request(good, {}, good)) == (
        "Invalid format: publish item object does not contain 'channel' (items[1])"
    )
    assert refusal_of_request(request(good, good, {"channel": "c", "http-stream": {"content": 5}})) == (
        "Invalid format: 'http-stream' contains 'content' with wrong type (items[2], value: 5)"
    )
    assert refusal_of_request(request({"channel": 5})) == (
        "Invalid format: publish item object contains 'channel' with wrong type (value: 5)"
    )


def test_items_keep_their_order() -> None:
    """They are handed on in list order."""
    items = decode_publish_request(request(*[{"channel": name, "http-stream": STREAM} for name in "bca"]))
    assert [item.channel for item in items] == ["b", "c", "a"]
    assert decode_publish_request(request()) == []


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (b"", "Body is not valid JSON."),
        (b"null", "Body is not valid JSON."),
        (b"12", "Body is not valid JSON."),
        (b'{"items":[]} x', "Body is not valid JSON."),
        (b'{"items":["\xff"]}', "Body is not valid JSON."),
        (b'{"items":[{"channel":"a","channel":"b","http-stream":{"content":"x"}}]}', "Body is not valid JSON."),
        (b"[]", "Invalid format."),
        (b"{}", "Invalid format: object does not contain 'items'"),
        (b'{"items":{}}', "Invalid format: object contains 'items' with wrong type"),
        (b'{"items":null}', "Invalid format: object contains 'items' with wrong type"),
    ],
)
def test_request_bodies_are_refused(body: bytes, refusal: str) -> None:
    """The body of the 400 answer."""
    assert refusal_of_request(body) == refusal


@pytest.mark.parametrize(
    ("frame", "refusal"),
    [
        (b"", "received message with invalid format (tnetstring parse failed)"),
        (b"T", "received message with invalid format (tnetstring parse failed)"),
        (b"Tx", "received message with invalid format (tnetstring parse failed)"),
        (b"{}", "received message with invalid format (tnetstring parse failed)"),
        (b"J", "received message with invalid format (json parse failed)"),
        (b"J{", "received message with invalid format (json parse failed)"),
        (b"J1", "received message with invalid format (json parse failed)"),
        (b"J[]", "received message with invalid format (not a valid json object)"),
        (b"2:hi,", "received message with invalid format: publish item object is not an object (value: a string)"),
    ],
)
def test_frames_are_refused(frame: bytes, refusal: str) -> None:
    """The log line of the ZeroMQ inputs."""
    assert refusal_of_frame(frame) == refusal


def test_huge_frame_is_refused_unread() -> None:
    """Every worker would keep a copy for every slow reader."""
    frame = b"J" + b" " * ITEM_MAX_BYTES
    assert refusal_of_frame(frame) == (
        f"received message with invalid format: {ITEM_MAX_BYTES + 1} bytes are more than {ITEM_MAX_BYTES}"
    )


@given(st.sampled_from([b"J", b"T", b""]), st.binary())
def test_any_frame_gives_an_item_or_a_publish_error(mark: bytes, rest: bytes) -> None:
    """Nothing that arrives may stop the hub."""
    with contextlib.suppress(PublishError):
        decode_frame(mark + rest)


_KEYS = st.sampled_from(
    ["channel", "id", "prev-id", "formats", "meta", "size", "no-seq", "http-response", "http-stream", "ws-message"]
    + ["action", "code", "reason", "headers", "body", "body-bin", "body-patch", "content", "content-bin", "type"]
    + ["content-filters"]
)
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "close"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=15,
)


@given(st.dictionaries(_KEYS, _VALUES))
def test_any_json_object_gives_an_item_or_a_publish_error(value: dict[str, object]) -> None:
    """The right keys with the wrong values, at every level."""
    try:
        decode_item({"channel": "c", **value}, JSON)
    except PublishError as error:
        assert str(error)


_TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(["a:b", ":", "http-stream", "channel"])
_LEAVES = st.none() | st.integers(0, 9) | _TEXTS
_KEYS = st.sampled_from(["channel", "formats", "http-stream", "content", "action", "id", ":", "x"])
_STREAMS = st.dictionaries(_KEYS, _LEAVES | st.lists(_LEAVES)) | st.builds(dict, content=_TEXTS)
_FORMATS = st.dictionaries(_KEYS, _STREAMS | _LEAVES) | st.fixed_dictionaries({"http-stream": _STREAMS})
_ITEM_VALUES = st.fixed_dictionaries({"channel": _LEAVES, "formats": _FORMATS}) | st.dictionaries(
    _KEYS, _FORMATS | _LEAVES
)


@given(_ITEM_VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_short_way_gives_what_the_long_way_gives(value: object, is_ascii: bool, indent: int | None) -> None:
    """Or nothing, for everything but the plainest item."""
    body = b"J" + json.dumps(value, ensure_ascii=is_ascii, indent=indent).encode()
    plain = decode_content(body)
    if plain is not None:
        assert PublishItem(plain[0], http_stream=HttpStreamFormat(content=plain[1])) == decode_frame(body)


@given(_TEXTS, _TEXTS, st.booleans())
def test_plainest_item_goes_the_short_way(channel: str, content: str, is_ascii: bool) -> None:
    """Colons in its texts are no further keys. Escapes that may be colons are left to the long way."""
    value = {"channel": channel, "formats": {"http-stream": {"content": content}}}
    body = b"J" + json.dumps(value, ensure_ascii=is_ascii).encode()
    is_hard = b"\\u003" in body and ":" in channel + content
    assert decode_content(body) == (None if is_hard else (channel, content.encode()))


@given(_TEXTS, st.binary(max_size=120), st.booleans())
def test_plainest_tnetstring_goes_the_short_way(channel: str, content: bytes, is_marked: bool) -> None:
    """As Python's publishers send it, whatever there is in its texts."""
    value = {"channel": channel, "formats": {"http-stream": {"content": content}}}
    body = b"T" * is_marked + encode(value)
    assert decode_content(body) == (channel, content)
    assert decode_frame(body) == PublishItem(channel, http_stream=HttpStreamFormat(content=content))


_PLAIN_TNETSTRING = encode({"channel": "news", "formats": {"http-stream": {"content": "4:text,}}}"}}})


@given(
    st.integers(0, len(_PLAIN_TNETSTRING)),
    st.integers(0, 3),
    st.sampled_from([b"", b"0", b"1", b"9", b",", b"}", b":"]),
)
def test_damaged_tnetstring_is_what_the_long_way_makes_of_it(start: int, size: int, put: bytes) -> None:
    """A size that is wrong by one must not go the short way."""
    body = _PLAIN_TNETSTRING[:start] + put + _PLAIN_TNETSTRING[start + size :]
    plain = decode_content(body)
    if plain is not None:
        assert PublishItem(plain[0], http_stream=HttpStreamFormat(content=plain[1])) == decode_frame(body)


@pytest.mark.parametrize(
    "body",
    [
        encode({"channel": b"\xff", "formats": {"http-stream": {"content": b"x"}}}),
        encode({"channel": "c", "formats": {"http-stream": {"content": b"x"}}, "id": "1"}),
        encode({"channel": "c", "formats": {"http-stream": {"content": b"x", "action": "close"}}}),
        encode({"channel": "c", "formats": {"http-stream": {"content": b"x"}, "ws-message": {"content": b"y"}}}),
        encode({"formats": {"http-stream": {"content": b"x"}}, "channel": "c"}),
        encode({"channel": "c", "http-stream": {"content": b"x"}}),
        encode({"channel": "c", "formats": {"http-stream": {"content": 5}}}),
        encode({"channel": "c", "formats": {"http-stream": {"content": b"x"}}}) + b"more",
        encode({"channel": "c", "formats": {"http-stream": {"content": b"x"}}})[:-1],
        encode({"channel": "c", "formats": {"http-stream": {"content": b"x"}}})[:-1] + b"]",
        encode({"channel": "c", "formats": {"http-stream": {"content": b"x" * ITEM_MAX_BYTES}}}),
        b"",
        b"J",
        b"J{",
        b"J[]",
        b"J5",
        b'T{"channel":"c","formats":{"http-stream":{"content":"x"}}}',
        b'J{"channel":"c","channel":"d","formats":{"http-stream":{"content":"x"}}}',
        b'J{"channel":"c","channel":"a:b","formats":{"http-stream":{"content":"x"}}}',
        b'J{"channel":"a:b","channel":"c","formats":{"http-stream":{"content":"x"}}}',
        b'J{"channel":"c","formats":{},"formats":{"http-stream":{"content":"x"}}}',
        b'J{"channel":"c","channel":"c","formats":{"http-stream":{"content":"\\u003a"}}}',
        b'J{"channel":"c","formats":{"http-stream":{"content":"\\u003A","action":"close"}}}',
        b'J{"channel":"c","formats":{"http-stream":{"content":"x"}},"id":"1"}',
        b'J{"channel":"c","formats":{"http-stream":{"content":"x","action":"close"}}}',
        b'J{"channel":"c","formats":{"http-stream":{"content":"x"},"ws-message":{"content":"y"}}}',
        b'J{"channel":5,"formats":{"http-stream":{"content":"x"}}}',
        b'J{"channel":"c","formats":{"http-stream":{"content":null}}}',
        b'J{"channel":"c","formats":{"http-stream":"content"}}',
        b'J{"channel":"c","formats":{"http-stream":{"content":"%s"}}}' % (b"x" * ITEM_MAX_BYTES),
    ],
)
def test_all_but_the_plainest_item_goes_the_long_way(body: bytes) -> None:
    """What is wrong or more is for `decode_frame` to find."""
    assert decode_content(body) is None
