"""The three formats: what is accepted, with which defaults, and the exact text of every refusal."""

from collections.abc import Callable

import pytest

from gripproxy.errors import PublishError
from gripproxy.protocol.publish_format import (
    Action,
    HttpResponseFormat,
    HttpStreamFormat,
    WsMessageFormat,
    WsMessageType,
    decode_http_response,
    decode_http_stream,
    decode_ws_message,
)
from gripproxy.protocol.publish_value import JSON, TNETSTRING, Encoding

Decode = Callable[[object, Encoding], object]


def test_http_response_has_defaults() -> None:
    """A body is all that a publisher must give."""
    assert decode_http_response({"body": "x"}, JSON) == HttpResponseFormat(Action.SEND, 200, None, None, b"x")


def test_http_response_takes_all_its_fields() -> None:
    """Headers keep their order and their repetitions."""
    value = {
        "action": "send",
        "code": "404",
        "reason": "Gone away",
        "headers": [["B", "2"], ["A", "1"], ["B", "3"]],
        "body": "é",
        "content-filters": ["build-id", "var-subst"],
    }
    assert decode_http_response(value, JSON) == HttpResponseFormat(
        code=404,
        reason=b"Gone away",
        headers=[(b"B", b"2"), (b"A", b"1"), (b"B", b"3")],
        body=b"\xc3\xa9",
        content_filters=("build-id", "var-subst"),
    )


def test_http_response_headers_may_be_an_object() -> None:
    """Sorted by name, as the reference sends them."""
    assert decode_http_response({"headers": {"B": "2", "A": "1"}, "body": ""}, JSON).headers == [
        (b"A", b"1"),
        (b"B", b"2"),
    ]


def test_first_of_several_bodies_wins() -> None:
    """body-bin, then body, then body-patch."""
    fields = {"body-patch": [{"op": "test"}], "body": "text", "body-bin": "AAE="}
    assert decode_http_response(fields, JSON).body == b"\0\1"
    del fields["body-bin"]
    assert decode_http_response(fields, JSON).body == b"text"
    del fields["body"]
    assert decode_http_response(fields, JSON).body_patch == [{"op": "test"}]


def test_body_bin_is_unknown_in_tnetstring() -> None:
    """There bytes need no base64, and a key that is ignored must not become the body."""
    assert decode_http_response({"body-bin": b"AAE=", "body": b"\xff"}, TNETSTRING).body == b"\xff"
    with pytest.raises(PublishError, match="^'http-response' does not contain 'body' or 'body-patch'$"):
        decode_http_response({"body-bin": b"AAE="}, TNETSTRING)


def test_patch_from_tnetstring_is_text() -> None:
    """It is applied to JSON, which knows no bytes."""
    assert decode_http_response({"body-patch": [{"op": b"test"}]}, TNETSTRING).body_patch == [{"op": "test"}]


def test_actions_other_than_send_read_nothing_else() -> None:
    """A client library sends close with an empty content; an unreadable content does not matter either."""
    assert decode_http_response({"action": "hint", "code": None}, JSON) == HttpResponseFormat(Action.HINT)
    assert decode_http_stream({"action": "close", "content": ""}, JSON) == HttpStreamFormat(Action.CLOSE)
    assert decode_http_stream({"action": b"refresh", "content": 1}, TNETSTRING) == HttpStreamFormat(Action.REFRESH)
    assert decode_ws_message({"action": "hint"}, JSON) == WsMessageFormat(Action.HINT)


def test_http_stream_content() -> None:
    """Base64 first in JSON, unknown in tnetstring; empty content is content."""
    assert decode_http_stream({"content-bin": "AAE=", "content": "x"}, JSON).content == b"\0\1"
    assert decode_http_stream({"content-bin": b"AAE=", "content": b"x"}, TNETSTRING).content == b"x"
    assert decode_http_stream({"content": "", "content-filters": []}, JSON) == HttpStreamFormat(content_filters=())


def test_ws_message_type_follows_the_content_key() -> None:
    """content-bin means binary unless the type is given."""
    binary, text = WsMessageType.BINARY, WsMessageType.TEXT
    assert decode_ws_message({"content": "x"}, JSON) == WsMessageFormat(type=text, content=b"x")
    assert decode_ws_message({"content-bin": "AAE="}, JSON) == WsMessageFormat(type=binary, content=b"\0\1")
    assert decode_ws_message({"type": "text", "content-bin": "AAE="}, JSON).type is text
    assert decode_ws_message({"content-bin": b"AAE="}, TNETSTRING) == WsMessageFormat(type=binary, content=b"AAE=")


def test_ping_and_pong_need_no_content() -> None:
    """An empty ping is a keep-alive."""
    assert decode_ws_message({"type": "ping"}, JSON) == WsMessageFormat(type=WsMessageType.PING)
    assert decode_ws_message({"type": b"pong"}, TNETSTRING) == WsMessageFormat(type=WsMessageType.PONG)


def test_ws_close_takes_code_and_reason() -> None:
    """Both may be missing."""
    assert decode_ws_message({"action": "close"}, JSON) == WsMessageFormat(Action.CLOSE)
    closing = decode_ws_message({"action": "close", "code": "4000", "reason": "bye"}, JSON)
    assert (closing.code, closing.reason) == (4000, b"bye")


def test_null_counts_as_missing_in_tnetstring_only() -> None:
    """``0:~`` is how tnetstring publishers say "not given"."""
    fields = {"action": None, "reason": None, "body-bin": None, "body": b"", "body-patch": 5}
    assert decode_http_response(fields, TNETSTRING) == HttpResponseFormat()
    assert decode_http_response({"body-patch": None}, TNETSTRING) == HttpResponseFormat(body_patch=[])
    assert decode_ws_message({"type": None, "content": b""}, TNETSTRING) == WsMessageFormat()
    assert decode_ws_message({"action": b"close", "reason": None}, TNETSTRING) == WsMessageFormat(Action.CLOSE)


@pytest.mark.parametrize(
    ("decode", "key"),
    [
        (decode_http_response, "headers"),
        (decode_http_response, "content-filters"),
        (decode_http_response, "code"),
        (decode_http_response, "body"),
        (decode_http_stream, "content"),
        (decode_http_stream, "content-filters"),
        (decode_ws_message, "content"),
        (decode_ws_message, "content-bin"),
    ],
)
def test_null_is_of_the_wrong_type_for_some_fields(decode: Decode, key: str) -> None:
    """As in the reference, in tnetstring as in JSON."""
    for encoding in (JSON, TNETSTRING):
        with pytest.raises(PublishError, match=f"contains '{key}' with wrong type .value: null"):
            decode({"body-bin": "", "content-bin": "", key: None} if key == "headers" else {key: None}, encoding)


REFUSALS: list[tuple[Decode, object, Encoding, str]] = [
    (decode_http_response, [], JSON, "'http-response' is not an object"),
    (decode_http_stream, "x", JSON, "'http-stream' is not an object"),
    (decode_ws_message, None, TNETSTRING, "'ws-message' is not an object"),
    (decode_http_stream, {"action": 1}, JSON, "'http-stream' contains 'action' with wrong type"),
    (decode_http_stream, {"action": None}, JSON, "'http-stream' contains 'action' with wrong type"),
    (decode_http_stream, {"action": "zap"}, JSON, "'http-stream' contains 'action' with unknown value"),
    (
        decode_ws_message,
        {"action": b"keep-alive"},
        TNETSTRING,
        "'ws-message' contains 'action' with unknown value",
    ),
    (decode_http_response, {"action": ""}, JSON, "'http-response' contains 'action' with unknown value"),
    (decode_http_response, {"code": None}, JSON, "'http-response' contains 'code' with wrong type"),
    (decode_http_response, {"code": None}, TNETSTRING, "'http-response' contains 'code' with wrong type"),
    (decode_http_response, {"code": 1000}, JSON, "'http-response' contains 'code' with invalid value"),
    (decode_http_response, {"reason": 1}, JSON, "'http-response' contains 'reason' with wrong type"),
    (
        decode_http_response,
        {"reason": "a\r\nb"},
        JSON,
        "'http-response' contains 'reason' with CR, LF or NUL",
    ),
    (decode_http_response, {"headers": "x"}, JSON, "'http-response' contains 'headers' with wrong type"),
    (decode_http_response, {"headers": ["x"]}, JSON, "headers contains element with wrong type"),
    (decode_http_response, {"headers": [["x"]]}, JSON, "headers contains list with wrong number of elements"),
    (decode_http_response, {"headers": [[1, "x"]]}, JSON, "header contains name element with wrong type"),
    (decode_http_response, {"headers": [["x", None]]}, JSON, "header contains value element with wrong type"),
    (decode_http_response, {"headers": {"X": 1}}, JSON, "headers contains 'X' with wrong type"),
    (decode_http_response, {"headers": {"": "x"}}, JSON, "'http-response' contains 'headers' with invalid name"),
    (
        decode_http_response,
        {"headers": [["A: b\r\nC", "x"]]},
        JSON,
        "'http-response' contains 'headers' with invalid name",
    ),
    (
        decode_http_response,
        {"headers": [[b"A", b"x\nB: y"]]},
        TNETSTRING,
        "'http-response' contains 'headers' with CR, LF or NUL in 'A'",
    ),
    (
        decode_http_response,
        {"content-filters": "x"},
        JSON,
        "'http-response' contains 'content-filters' with wrong type",
    ),
    (decode_http_stream, {"content-filters": [1]}, JSON, "content-filters contains element with wrong type"),
    (
        decode_http_response,
        {"body-bin": None, "body": "x"},
        JSON,
        "'http-response' contains 'body-bin' with wrong type",
    ),
    (decode_http_response, {"body": 1}, JSON, "'http-response' contains 'body' with wrong type"),
    (decode_http_response, {"body-patch": {}}, JSON, "'http-response' contains 'body-patch' with wrong type"),
    (decode_http_response, {}, JSON, "'http-response' does not contain 'body', 'body-bin', or 'body-patch'"),
    (decode_http_stream, {"content-bin": 1}, JSON, "'http-stream' contains 'content-bin' with wrong type"),
    (decode_http_stream, {"content": None}, JSON, "'http-stream' contains 'content' with wrong type"),
    (decode_http_stream, {}, JSON, "'http-stream' does not contain 'content' or 'content-bin'"),
    (decode_http_stream, {"content-bin": b"AAE="}, TNETSTRING, "'http-stream' does not contain 'content'"),
    (decode_ws_message, {"type": 1}, JSON, "'ws-message' contains 'type' with wrong type"),
    (decode_ws_message, {"type": "TEXT"}, JSON, "'ws-message' contains 'type' with unknown value"),
    (decode_ws_message, {"content": 1}, JSON, "'ws-message' contains 'content' with wrong type"),
    (decode_ws_message, {"content-bin": 1}, JSON, "'ws-message' contains 'content-bin' with wrong type"),
    (decode_ws_message, {}, JSON, "'ws-message' does not contain 'content' or 'content-bin'"),
    (decode_ws_message, {"action": "close", "code": []}, JSON, "'ws-message' contains 'code' with wrong type"),
    (decode_ws_message, {"action": "close", "code": -1}, JSON, "'ws-message' contains 'code' with invalid value"),
    (decode_ws_message, {"action": "close", "code": 65536}, JSON, "'ws-message' contains 'code' with invalid value"),
    (decode_ws_message, {"action": "close", "reason": 1}, JSON, "'ws-message' contains 'reason' with wrong type"),
]


@pytest.mark.parametrize(("decode", "value", "encoding", "refusal"), REFUSALS)
def test_refusals_name_the_field(decode: Decode, value: object, encoding: Encoding, refusal: str) -> None:
    """Publishers and their tests match these texts."""
    with pytest.raises(PublishError) as caught:
        decode(value, encoding)
    assert caught.value.text == refusal


@pytest.mark.parametrize(
    ("decode", "value", "encoding", "shown"),
    [
        (decode_http_stream, {"action": b"zap"}, TNETSTRING, "'zap'"),
        (decode_http_stream, {"action": "a\r\n" + "b" * 100}, JSON, "'a\\r\\n" + "b" * 34),
        (decode_http_stream, {"content": 5}, JSON, "5"),
        (decode_http_stream, {"content": ["secret"]}, JSON, "a list"),
        (decode_http_response, {"body": {"secret": 1}}, JSON, "an object"),
        (decode_http_response, {"headers": "Set-Cookie: secret"}, JSON, "a string"),
        (decode_http_response, {"headers": [["a", "b", "c"]]}, JSON, "a list of 3"),
        (decode_http_response, {"headers": [["a b", "c"]]}, JSON, "'a b'"),
        (decode_http_response, {"headers": [["Set-Cookie", "secret\n"]]}, JSON, None),
        (decode_http_response, {"code": "1000"}, JSON, "'1000'"),
        (decode_http_response, {}, JSON, None),
        (decode_ws_message, {"type": None}, JSON, "null"),
        (decode_ws_message, {"content-filters": [True]}, JSON, "true"),
    ],
)
def test_refusals_show_what_was_found_but_no_content(
    decode: Decode, value: object, encoding: Encoding, shown: str | None
) -> None:
    """They are logged, and a log holds no content, and no header's value, which may be a cookie."""
    with pytest.raises(PublishError) as caught:
        decode(value, encoding)
    assert caught.value.value == shown
