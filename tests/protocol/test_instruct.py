"""Recognizing and decoding a whole instruct."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import OriginError
from gripproxy.protocol.instruct import (
    ChannelInstruct,
    HoldMode,
    Instruct,
    KeepAlive,
    decode_instruct,
    is_instruct,
    is_json_instruct,
)

Headers = list[tuple[bytes, bytes]]

JSON_TYPE = (b"Content-Type", b"application/grip-instruct")
GRIP_NAMES = [
    b"Grip-Hold",
    b"Grip-Channel",
    b"Grip-Timeout",
    b"Grip-Expose-Headers",
    b"Grip-Keep-Alive",
    b"Grip-Set-Meta",
    b"Grip-Status",
    b"Grip-Link",
    b"X-Other",
]
GRIP_VALUES = st.binary(max_size=30) | st.lists(
    st.sampled_from(
        [b"<", b">", b"/a", b";", b",", b'"', b"=", b"rel=next", b"timeout", b"1", b"\\x", b"cstring", b" "]
    )
).map(b"".join)


@pytest.mark.parametrize(
    ("headers", "is_it"),
    [
        ([], False),
        ([(b"Content-Type", b"text/plain")], False),
        ([JSON_TYPE], True),
        ([(b"content-type", b"application/grip-instruct;charset=utf-8")], True),
        ([(b"Content-Type", b"application/grip-instruct ; a=b")], False),
        ([(b"Content-Type", b"Application/Grip-Instruct")], False),
        ([(b"Content-Type", b"text/plain"), JSON_TYPE], False),
        ([(b"A", b"1"), (b"grip-foo", b"x")], True),
        ([(b"Grip", b"x"), (b"X-Grip-Hold", b"stream")], False),
    ],
)
def test_what_counts_as_an_instruct(headers: Headers, is_it: bool) -> None:
    """Any Grip- header does, known or not; the content type is compared as Pushpin compares it."""
    assert is_instruct(headers) is is_it


@pytest.mark.parametrize(
    ("headers", "is_it"),
    [
        ([JSON_TYPE], True),
        ([(b"content-type", b" application/grip-instruct ; a=b")], True),
        ([(b"Content-Type", b"text/plain"), JSON_TYPE], False),
        ([(b"Grip-Hold", b"stream")], False),
    ],
)
def test_whose_body_is_json(headers: Headers, is_it: bool) -> None:
    """The engine asks before the body is there; what is decoded later must be no other kind."""
    assert is_json_instruct(headers) is is_it
    if is_it:
        with pytest.raises(OriginError, match="as JSON"):
            decode_instruct(200, b"OK", headers, b"{")
    else:
        assert decode_instruct(200, b"OK", headers, b"{").body == b"{"


def test_php_walkthrough() -> None:
    """The response that the README's PHP handler sends."""
    headers = [
        (b"Server", b"nginx"),
        (b"Content-Type", b"text/event-stream"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Connection", b"keep-alive"),
        (b"Grip-Hold", b"stream"),
        (b"Grip-Channel", b"test"),
        (b"Grip-Keep-Alive", rb":\n\n; format=cstring; timeout=55"),
    ]
    body = b"event: message\ndata: stream open\n\n"
    assert decode_instruct(200, b"OK", headers, body) == Instruct(
        200,
        b"OK",
        [(b"Server", b"nginx"), (b"Content-Type", b"text/event-stream")],
        body,
        hold=HoldMode.STREAM,
        channels=[ChannelInstruct("test")],
        keep_alive=KeepAlive(b":\n\n", 55, is_interval=False),
    )


def test_defaults() -> None:
    """A response with an unknown Grip header only is answered at once, subscribed to nothing."""
    assert decode_instruct(404, b"Nope", [(b"Grip-Foo", b"x"), (b"A", b"1")], b"b") == Instruct(
        404, b"Nope", [(b"A", b"1")], b"b", HoldMode.NONE, [], 55, None, {}, None, None
    )


def test_an_origin_without_a_phrase_is_lent_the_usual_one() -> None:
    assert decode_instruct(404, b"", [(b"Grip-Foo", b"x")], b"").reason == b"Not Found"


def test_a_keep_alive_may_be_half_header_and_half_json() -> None:
    """Only the header has a mode; what the JSON leaves out stays."""
    headers = [(b"Content-Type", b"application/grip-instruct"), (b"Grip-Keep-Alive", b"x; timeout=20")]
    body = b'{"hold":{"mode":"stream","channels":[],"keep-alive":{"timeout":30}}}'
    assert decode_instruct(200, b"OK", headers, body).keep_alive == KeepAlive(b"x", 30, is_interval=False)


def test_json_overrides_and_extends_the_headers() -> None:
    """Both forms may be used at once; the JSON has the last word and none of the origin's headers stay."""
    headers = [
        (b"Content-Type", b"application/grip-instruct ; a=b"),
        (b"Set-Cookie", b"x"),
        (b"Grip-Hold", b"response"),
        (b"Grip-Channel", b"a;prev-id=1,b"),
        (b"Grip-Timeout", b"20"),
        (b"Grip-Set-Meta", b"k=1,l=1"),
        (b"Grip-Status", b"201 Made"),
        (b"Grip-Link", b"</n>;rel=next"),
    ]
    body = b'{"hold":{"mode":"stream","channels":[{"name":"a"}],"meta":{"k":"2"}},"response":{"body":"hi"}}'
    instruct = decode_instruct(200, b"OK", headers, body)
    assert (instruct.hold, instruct.timeout_s) == (HoldMode.STREAM, 20)
    assert instruct.channels == [ChannelInstruct("a"), ChannelInstruct("b")]
    assert instruct.meta == {"k": "2", "l": "1"}
    assert (instruct.status, instruct.reason, instruct.headers, instruct.body) == (201, b"Made", [], b"hi")
    assert instruct.next_link is not None and instruct.next_link.uri == "/n"


def test_json_needs_the_real_status_to_be_200() -> None:
    """Grip-Status changes what the client gets, not what the origin said."""
    with pytest.raises(OriginError, match="^response code for application/grip-instruct content must be 200 "):
        decode_instruct(404, b"Not Found", [JSON_TYPE, (b"Grip-Status", b"200")], b"{}")


def test_header_mistakes_come_before_json_mistakes() -> None:
    """The order of the checks decides which of two mistakes the origin's author is told."""
    with pytest.raises(OriginError, match="^Grip-Hold must be set"):
        decode_instruct(500, b"", [JSON_TYPE, (b"Grip-Hold", b"x"), (b"Grip-Timeout", b"x")], b"")


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ([(b"Grip-Hold", b"stream"), (b"A", b"b\r\nSet-Cookie: c")], "headers contains 'A' with invalid value "),
        ([(b"Grip-Hold", b"stream"), (b"A b", b"c")], "header contains name element with invalid value "),
        ([(b"Grip-Status", b"200 a\nb")], "response contains 'reason' with invalid value "),
    ],
)
def test_nothing_can_end_a_header_line(headers: Headers, message: str) -> None:
    """Response splitting: the origin's data must not become headers or a second response."""
    with pytest.raises(OriginError, match="^" + re.escape(message)):
        decode_instruct(200, b"OK", headers, b"")


@given(
    st.lists(st.tuples(st.sampled_from(GRIP_NAMES), GRIP_VALUES) | st.tuples(st.binary(), st.binary())),
    st.binary(max_size=20),
    st.binary(),
)
def test_any_bytes_give_an_instruct_or_an_origin_error(headers: Headers, reason: bytes, body: bytes) -> None:
    """A broken origin must cost one 502, never the worker; and what passes is safe to write in a head."""
    try:
        instruct = decode_instruct(200, reason, headers, body)
    except OriginError:
        return
    head = b"".join([instruct.reason, *(name + value for name, value in instruct.headers)])
    assert not set(head) & set(b"\r\n\0")
    assert instruct.timeout_s >= 5
    assert instruct.keep_alive is None or (instruct.keep_alive.content and instruct.keep_alive.timeout_s >= 1)
    assert instruct.next_link is None or instruct.next_link.uri.isascii()
