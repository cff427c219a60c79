"""Packets of HTTP over ZeroMQ, checked against another library's tnetstrings and against damaged input."""

import contextlib
from typing import Any

import pytest
import tnetstring  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import OriginError
from gripproxy.protocol.http1 import CHUNKED, LAST_CHUNK, NONE, SIZED, encode_chunk, encode_request_head
from gripproxy.protocol.route_target import Target
from gripproxy.protocol.zhttp import (
    CREDIT,
    DATA,
    ERROR,
    IDS_MAX_COUNT,
    KEEP_ALIVE,
    KEYS_MAX_COUNT,
    RequestId,
    ResponsePacket,
    ZhttpRequest,
    decode_chunks,
    decode_request_head,
    decode_response_packet,
    encode_cancel,
    encode_credit,
    encode_data,
    encode_first,
    encode_keep_alive,
    encode_req,
    stream_addresses,
)

TARGET = Target(zhttp_spec="ipc:///x")
REQUEST = ZhttpRequest(b"GET", b"http://example.com/x", [(b"Host", b"example.com")], TARGET)
COMMON = {b"method": b"GET", b"uri": b"http://example.com/x", b"headers": [[b"Host", b"example.com"]]}


def packet(**values: Any) -> bytes:
    """Spell a packet with the keys' underscores as hyphens."""
    encoded: bytes = tnetstring.dumps({key.replace("_", "-").encode(): value for key, value in values.items()})
    return b"T" + encoded


def read(message: bytes) -> dict[bytes, Any]:
    assert message[:1] == b"T"
    values: dict[bytes, Any] = tnetstring.loads(message[1:])
    return values


def test_response_is_read() -> None:
    """Everything that a first packet of an answer may hold, and a key of some later version."""
    message = packet(
        **{"from": b"wk1"},
        id=b"a1",
        seq=0,
        code=200,
        reason=b"OK",
        headers=[[b"Content-Type", b"text/plain"], [b"X", b""]],
        body=b"hi",
        more=True,
        credits=5,
        ext={b"multi": True, b"quiet": True},
        user_data=[1, {b"x": None}],
        later=4.5,
    )
    assert decode_response_packet(message) == ResponsePacket(
        [RequestId(b"a1", 0)],
        DATA,
        b"wk1",
        b"",
        5,
        True,
        b"hi",
        200,
        b"OK",
        [(b"Content-Type", b"text/plain"), (b"X", b"")],
        True,
    )


def test_specification_s_examples_are_read() -> None:
    """The bytes that the reference's documentation shows."""
    answer = decode_response_packet(
        b"T101:4:body,6:hello\n,7:headers,34:30:12:Content-Type,10:text/plain,]]6:reason,2:OK,4:code,3:200#2:id,2:a1,}"
    )
    assert (answer.ids, answer.code, answer.body) == ([RequestId(b"a1", None)], 200, b"hello\n")
    kept = decode_response_packet(
        b"T95:4:type,10:keep-alive,2:id,48:20:3:seq,1:2#2:id,2:a1,}20:3:seq,1:5#2:id,2:a2,}]4:from,7:proxy_1,}"
    )
    assert (kept.type, kept.ids) == (KEEP_ALIVE, [RequestId(b"a1", 2), RequestId(b"a2", 5)])


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"J{}",
        b"T",
        b"T3:abc,",
        b"T5:hello",
        packet(),
        packet(id=5),
        packet(id=[]),
        packet(id=[b"a"]),
        packet(id=[{b"id": b"a", b"seq": b"0"}]),
        packet(id=[{b"seq": 0}]),
        packet(id=[{b"id": b"a", b"seq": 0}] * (IDS_MAX_COUNT + 1)),
        packet(id=b"a", seq=b"0"),
        packet(id=b"a", seq=True),
        packet(id=b"a", more=1),
        packet(id=b"a", code=b"200"),
        packet(id=b"a", body=5),
        packet(id=b"a", type=b"data"),
        packet(id=b"a", type=0),
        packet(id=b"a", credits=-1),
        packet(id=b"a", headers={b"a": b"b"}),
        packet(id=b"a", headers=[b"ab"]),
        packet(id=b"a", headers=[[b"a"]]),
        packet(id=b"a", headers=[[b"a", 5]]),
        packet(id=b"a", ext=[]),
        packet(id=b"a", ext={b"multi": 1}),
        packet(id=b"a", content_type=1),
        packet(id=b"a", condition=1),
        packet(id=b"a", **{"from": 1}),
        packet(id=b"a", **{f"x{number}": 0 for number in range(KEYS_MAX_COUNT)}),
        packet(id=b"a", headers=[[b"a", b"b"]] * 50_000),
        packet(id=b"a", body=[b""] * 200_000),
    ],
)
def test_packet_with_a_wrong_type_is_refused_whole(message: bytes) -> None:
    """Half a packet would be a response that the origin did not send."""
    with pytest.raises(OriginError):
        decode_response_packet(message)


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    """Anybody who can connect to the sockets can send anything."""
    with contextlib.suppress(OriginError):
        decode_response_packet(data)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 300) | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([b"id", b"seq", b"multi"]), inner, max_size=3)
    ),
    max_leaves=5,
)
_KEYS = ["id", "from", "seq", "type", "condition", "credits", "more", "body", "code", "reason", "headers", "ext", "x"]


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(_KEYS, _VALUES)))
def test_no_values_raise_anything_else(values: dict[str, Any]) -> None:
    """What is read has the types that it says."""
    try:
        read_packet = decode_response_packet(packet(**values))
    except OriginError:
        return
    assert read_packet.ids and all(type(each.name) is bytes for each in read_packet.ids)
    assert type(read_packet.is_more) is bool and type(read_packet.credits) is int and read_packet.credits >= 0
    assert type(read_packet.body) is bytes and type(read_packet.reason) is bytes
    assert read_packet.headers is None or all(type(part) is bytes for pair in read_packet.headers for part in pair)


def test_first_packet_of_a_stream() -> None:
    """As the reference sends it."""
    first = {**COMMON, b"from": b"p", b"id": b"a", b"seq": 0, b"stream": True, b"credits": 200000}
    first |= {b"ext": {b"multi": True}, b"ignore-policies": True, b"router-resp": True}
    assert read(encode_first(REQUEST, b"a", b"p", b"", False)) == first
    assert read(encode_first(REQUEST, b"a", b"p", b"xy", True)) == {**first, b"body": b"xy", b"more": True}


def test_whole_request() -> None:
    """No number, no credits: one packet and one answer."""
    whole = {**COMMON, b"from": b"p", b"id": b"a", b"max-size": 1000000, b"ignore-policies": True}
    assert read(encode_req(REQUEST, b"a", b"p", b"")) == whole
    assert read(encode_req(REQUEST, b"a", b"p", b"xy")) == {**whole, b"body": b"xy"}


def test_target_s_options_are_passed_on() -> None:
    """The origin makes the connections, so it has to know what is allowed."""
    target = Target(zhttp_spec="ipc:///x", untrusted=True, insecure=True, trust_connect_host=True)
    values = read(encode_first(ZhttpRequest(b"GET", b"u", [], target), b"a", b"p", b"", False))
    assert b"ignore-policies" not in values
    assert values[b"ignore-tls-errors"] is True and values[b"trust-connect-host"] is True


def test_later_packets() -> None:
    """`more` is written only when it is true; an end may be empty."""
    assert read(encode_data(b"a", 3, b"p", b"xy", True)) == {
        b"from": b"p",
        b"id": b"a",
        b"seq": 3,
        b"body": b"xy",
        b"more": True,
    }
    assert read(encode_data(b"a", 4, b"p", b"", False)) == {b"from": b"p", b"id": b"a", b"seq": 4}
    credit = {b"from": b"p", b"id": b"a", b"seq": 1, b"type": b"credit", b"credits": 7}
    assert read(encode_credit(b"a", 1, b"p", 7)) == credit
    assert read(encode_cancel(b"a", 9, b"p")) == {b"from": b"p", b"id": b"a", b"seq": 9, b"type": b"cancel"}
    one = {b"from": b"p", b"id": b"a", b"seq": 2, b"type": b"keep-alive"}
    assert read(encode_keep_alive([RequestId(b"a", 2)], b"p")) == one
    assert read(encode_keep_alive([RequestId(b"a", 2), RequestId(b"b", 5)], b"p"))[b"id"] == [
        {b"id": b"a", b"seq": 2},
        {b"id": b"b", b"seq": 5},
    ]


def test_types_by_their_words() -> None:
    """A data packet has none."""
    assert decode_response_packet(packet(id=b"a", type=b"credit", credits=3)).type is CREDIT
    failed = decode_response_packet(packet(id=b"a", type=b"error", condition=b"bad-request"))
    assert (failed.type, failed.condition) == (ERROR, b"bad-request")


@pytest.mark.parametrize(
    ("method", "path", "framing", "length", "size"),
    [
        (b"GET", b"/a?b=c:%20d", NONE, 0, 0),
        (b"POST", b"/", SIZED, 5, 5),
        (b"PUT", b"/x", CHUNKED, 0, None),
        (b"DELETE", b"/", NONE, 0, 0),
    ],
)
def test_head_for_http_becomes_a_request(method: bytes, path: bytes, framing: Any, length: int, size: Any) -> None:
    """Of the head's lines nothing is lost but the transfer coding."""
    headers = [(b"Host", b"h:81"), (b"X", b"a: b"), (b"Empty", b""), (b"host", b"second")]
    head = encode_request_head(method, path, headers, framing, length).removesuffix(b"\r\n\r\n")
    request, body_size = decode_request_head(head, TARGET)
    added = [(b"Content-Length", b"%d" % length)] if framing is SIZED or method == b"DELETE" else []
    assert request == ZhttpRequest(method, b"http://h:81" + path, headers + added, TARGET)
    assert body_size == size


def test_scheme_is_the_target_s() -> None:
    """TLS is between the origin's process and where it connects to."""
    head = b"OPTIONS * HTTP/1.1\r\nHost: h"
    assert decode_request_head(head, Target(zhttp_spec="ipc:///x", is_ssl=True))[0].uri == b"https://h"


@given(st.lists(st.binary(min_size=1, max_size=70_000), max_size=4), st.booleans())
def test_chunks_become_their_content(parts: list[bytes], is_last: bool) -> None:
    """Whatever the content looks like, also like chunks."""
    payload = b"".join(map(encode_chunk, parts)) + (LAST_CHUNK if is_last else b"")
    assert decode_chunks(payload) == (b"".join(parts), is_last)


def test_what_is_no_chunk_is_our_bug() -> None:
    """Content that was taken for framing would be another request."""
    with pytest.raises(ValueError, match="no chunk at byte 6"):
        decode_chunks(b"1\r\nx\r\nhello")


def test_addresses_of_a_spec() -> None:
    """Three ports, or three files."""
    assert stream_addresses("tcp://[::1]:5000") == ("tcp://[::1]:5000", "tcp://[::1]:5001", "tcp://[::1]:5002")
    assert stream_addresses("ipc:///a") == ("ipc:///a-out", "ipc:///a-out-stream", "ipc:///a-in")
