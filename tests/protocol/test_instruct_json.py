"""The body form of an instruct, with Pushpin's error texts."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import OriginError
from gripproxy.protocol.instruct import ChannelInstruct, HoldMode, Instruct, KeepAlive, decode_instruct

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
KNOWN_KEYS = st.sampled_from(
    [
        "hold",
        "response",
        "mode",
        "channels",
        "timeout",
        "keep-alive",
        "meta",
        "name",
        "prev-id",
        "filters",
        "content",
        "content-bin",
        "code",
        "reason",
        "headers",
        "body",
        "body-bin",
    ]
)
INSTRUCT_LIKE = st.recursive(
    JSON_VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KNOWN_KEYS, inner), max_leaves=20
)


def decoded_body(body: bytes) -> Instruct:
    return decode_instruct(200, b"OK", [(b"Content-Type", b"application/grip-instruct"), (b"X-A", b"1")], body)


def decoded(value: Any) -> Instruct:
    return decoded_body(json.dumps(value).encode())


def held(**members: Any) -> Instruct:
    return decoded({"hold": {"channels": [], **{name.replace("_", "-"): value for name, value in members.items()}}})


def test_what_gripcontrol_sends() -> None:
    """The library's create_hold with everything in it."""
    instruct = decoded(
        {
            "hold": {"mode": "stream", "channels": [{"name": "a"}, {"name": "b", "prev-id": "7"}], "timeout": 20},
            "response": {"code": 201, "headers": [["X-B", "1"], ["x-b", "2"]], "body-bin": "AAE="},
        }
    )
    assert instruct == Instruct(
        201,
        b"Created",
        [(b"X-B", b"1"), (b"x-b", b"2")],
        b"\0\1",
        hold=HoldMode.STREAM,
        channels=[ChannelInstruct("a"), ChannelInstruct("b", "7")],
        timeout_s=20,
    )


@pytest.mark.parametrize("value", [{}, {"response": {"code": 204}}, {"response": {}}])
def test_no_hold_and_no_body_is_an_empty_body(value: Any) -> None:
    """Pushpin fails here; the JSON itself must not reach the client either."""
    instruct = decoded(value)
    assert (instruct.hold, instruct.headers, instruct.body) == (HoldMode.NONE, [], b"")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "failed to parse application/grip-instruct content as JSON (value: '')"),
        (b"{", "failed to parse application/grip-instruct content as JSON (value: '{')"),
        (b"5", "failed to parse application/grip-instruct content as JSON (value: '5')"),
        (b"null", "failed to parse application/grip-instruct content as JSON (value: 'null')"),
        (b'{"a":NaN}', "failed to parse application/grip-instruct content as JSON (value: '{\"a\":NaN}')"),
        (b"[]", "instruct must be an object (value: '[]')"),
        (b'{"hold":null}', "instruct contains 'hold' with wrong type (value: 'null')"),
        (b'{"response":[1]}', "instruct contains 'response' with wrong type (value: '[1]')"),
    ],
)
def test_body_must_be_an_instruct(body: bytes, message: str) -> None:
    """Also where Pushpin's message is empty, the field is named."""
    with pytest.raises(OriginError, match="^" + re.escape(message) + "$"):
        decoded_body(body)


@pytest.mark.parametrize(
    ("hold", "message"),
    [
        ({}, "hold does not contain 'channels'"),
        ({"mode": 1}, "hold contains 'mode' with wrong type (value: '1')"),
        ({"mode": "Stream"}, "hold 'mode' must be set to either 'response' or 'stream' (value: 'Stream')"),
        ({"channels": {}}, "hold contains 'channels' with wrong type (value: '{}')"),
        ({"channels": ["a"]}, "channel is not an object (value: '\"a\"')"),
        ({"channels": [{}]}, "channel does not contain 'name' (value: '{}')"),
        ({"channels": [{"name": 1}]}, "channel contains 'name' with wrong type (value: '1')"),
        ({"channels": [{"name": "a", "prev-id": 1}]}, "channel contains 'prev-id' with wrong type (value: '1')"),
        ({"channels": [{"name": "a", "filters": "f"}]}, "channel contains 'filters' with wrong type (value: '\"f\"')"),
        ({"channels": [{"name": "a", "filters": [1]}]}, "filters contains value with wrong type (value: '1')"),
        ({"channels": [], "timeout": None}, "hold contains 'timeout' with wrong type (value: 'null')"),
        ({"channels": [], "timeout": -1}, "hold contains 'timeout' with invalid value (value: '-1')"),
        ({"channels": [], "timeout": 2**31}, "hold contains 'timeout' with invalid value (value: '2147483648')"),
        ({"channels": [], "keep-alive": "x"}, "hold contains 'keep-alive' with wrong type (value: '\"x\"')"),
        (
            {"channels": [], "keep-alive": {"content": 1}},
            "keep-alive contains 'content' with wrong type (value: '1')",
        ),
        (
            {"channels": [], "keep-alive": {"content": "x", "timeout": -1}},
            "keep-alive contains 'timeout' with invalid value (value: '-1')",
        ),
        ({"channels": [], "meta": []}, "hold contains 'meta' with wrong type (value: '[]')"),
        ({"channels": [], "meta": {"k": 1}}, "'meta' contains 'k' with wrong type (value: '1')"),
    ],
)
def test_mistakes_in_hold(hold: Any, message: str) -> None:
    """Pushpin's words, with the value behind them."""
    with pytest.raises(OriginError, match="^" + re.escape(message) + "$"):
        decoded({"hold": hold})


@pytest.mark.parametrize(
    ("response", "message"),
    [
        ({"code": []}, "response contains 'code' with wrong type (value: '[]')"),
        ({"code": 1000}, "response contains 'code' with invalid value (value: '1000')"),
        ({"code": -1}, "response contains 'code' with invalid value (value: '-1')"),
        ({"reason": 1}, "response contains 'reason' with wrong type (value: '1')"),
        ({"reason": "a\r\nb"}, r"response contains 'reason' with invalid value (value: 'a\r\nb')"),
        ({"headers": "x"}, "response contains 'headers' with wrong type (value: '\"x\"')"),
        ({"headers": ["x"]}, "headers contains element with wrong type (value: '\"x\"')"),
        ({"headers": [["x"]]}, "headers contains list with wrong number of elements (value: '[\"x\"]')"),
        ({"headers": [[1, "x"]]}, "header contains name element with wrong type (value: '1')"),
        ({"headers": [["x", 1]]}, "header contains value element with wrong type (value: '1')"),
        ({"headers": {"x": 1}}, "headers contains 'x' with wrong type (value: '1')"),
        ({"headers": {"x": "a\nb"}}, r"headers contains 'x' with invalid value (value: 'a\nb')"),
        ({"headers": {"x": "a\0"}}, r"headers contains 'x' with invalid value (value: 'a\x00')"),
        ({"headers": [["x y", "a"]]}, "header contains name element with invalid value (value: 'x y')"),
        ({"headers": [["a", "a"], ["", "b"]]}, "header contains name element with invalid value (value: '')"),
        ({"body": 1}, "response contains 'body' with wrong type (value: '1')"),
        ({"body-bin": 1, "body": "x"}, "response contains 'body-bin' with wrong type (value: '1')"),
    ],
)
def test_mistakes_in_response(response: Any, message: str) -> None:
    """Pushpin's words; bytes that would end a header line are refused here, where the field can still be named."""
    with pytest.raises(OriginError, match="^" + re.escape(message) + "$"):
        decoded({"response": response})


def test_mode_defaults_to_response_hold() -> None:
    """Only the channels are required."""
    instruct = held()
    assert (instruct.hold, instruct.timeout_s, instruct.channels) == (HoldMode.RESPONSE, 55, [])


def test_filters_are_not_counted_here() -> None:
    """Pushpin limits them in headers only; an empty prev-id is an id."""
    channel = {"name": "", "prev-id": "", "filters": list("abcdefg")}
    assert held(channels=[channel]).channels == [ChannelInstruct("", "", tuple("abcdefg"))]


@pytest.mark.parametrize(
    ("value", "timeout_s"), [(20, 20), ("20", 20), ("x", 5), ("-x", 5), (6.5, 7), (True, 5), (0, 5), (1e3, 1000)]
)
def test_timeout_is_read_loosely(value: Any, timeout_s: int) -> None:
    """Scripting languages send numbers as strings."""
    assert held(timeout=value).timeout_s == timeout_s


@pytest.mark.parametrize(
    ("keep_alive", "result"),
    [
        ({"content": "\n"}, KeepAlive(b"\n", 55, True)),
        ({"content": "x", "content-bin": "AA=="}, KeepAlive(b"\0", 55, True)),
        ({"content": "\n", "timeout": "0"}, KeepAlive(b"\n", 1, True)),
        ({"content": ""}, None),
        ({}, None),
    ],
)
def test_keep_alive_is_by_interval(keep_alive: Any, result: KeepAlive | None) -> None:
    """Unlike in the header form there is no mode, and publishing does not postpone it."""
    assert held(keep_alive=keep_alive).keep_alive == result


@pytest.mark.parametrize(("code", "status"), [("202", 202), ("x", 0), (404.4, 404), (0, 0), (999, 999)])
def test_code_is_read_loosely_and_resets_the_reason(code: Any, status: int) -> None:
    """A code of one's own must not go out with the origin's "OK"."""
    instruct = decoded({"response": {"code": code}})
    assert instruct.status == status
    assert instruct.reason != b"OK"


def test_reason_and_header_object() -> None:
    """An empty reason counts as none; objects go out sorted, as from Pushpin."""
    instruct = decoded({"response": {"reason": "", "headers": {"B": "2", "A": "é"}}})
    assert (instruct.status, instruct.reason) == (200, b"OK")
    assert instruct.headers == [(b"A", "é".encode()), (b"B", b"2")]
    assert decoded({"response": {"code": 202, "reason": "Fine"}}).reason == b"Fine"


def test_framing_and_grip_headers_are_dropped_from_the_response() -> None:
    """The framing is written anew for each client; a coding is the origin's word about this very body."""
    names = ["Content-Length", "Transfer-Encoding", "Connection", "Grip-Hold", "Content-Encoding"]
    assert decoded({"response": {"headers": dict.fromkeys(names, "x")}}).headers == [(b"Content-Encoding", b"x")]


def test_deep_nesting_in_a_wrong_place_is_an_ordinary_mistake() -> None:
    """The JSON library reads deeper than it writes; showing the value must not raise something else."""
    with pytest.raises(OriginError, match="wrong type"):
        decoded_body(b'{"hold":' + b"[" * 500 + b"]" * 500 + b"}")
    with pytest.raises(OriginError, match="failed to parse"):
        decoded_body(b"[" * 5000)


@given(INSTRUCT_LIKE)
def test_any_json_gives_an_instruct_or_an_origin_error(value: Any) -> None:
    """Whatever the origin nests where, the worker goes on and the head stays one head."""
    try:
        instruct = decoded(value)
    except OriginError:
        return
    head = b"".join([instruct.reason, *(name + text for name, text in instruct.headers)])
    assert not set(head) & set(b"\r\n\0")
    assert 0 <= instruct.status <= 999


@given(st.binary())
def test_any_body_gives_an_instruct_or_an_origin_error(body: bytes) -> None:
    """The body need not be JSON at all."""
    try:
        decoded_body(b'{"response":' + body)
    except OriginError as error:
        assert str(error)
