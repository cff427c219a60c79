"""Control messages of WebSocket origins: what they say, and what makes no sense."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import OriginError
from gripproxy.protocol.control_message import (
    ControlMessage,
    Detach,
    FlushDelayed,
    SendDelayed,
    SetKeepAlive,
    SetMeta,
    SetSession,
    Subscribe,
    Unsubscribe,
    decode_control_message,
)
from gripproxy.protocol.websocket_frame import BINARY, PING, PONG, TEXT


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"type":"subscribe","channel":"room1"}', Subscribe("room1")),
        (b'{"type": "subscribe", "channel": "a", "filters": []}', Subscribe("a")),
        (
            b'{"type":"subscribe","channel":"a","filters":["skip-self","x"]}',
            Subscribe("a", ("skip-self", "x")),
        ),
        (b'{"type":"subscribe","channel":"\xc3\xa9","more":1}', Subscribe("\xe9")),
        (b'{"type":"unsubscribe","channel":"room1"}', Unsubscribe("room1")),
        (b'{"type":"set-meta","name":"user","value":"alice"}', SetMeta("user", "alice")),
        (b'{"type":"set-meta","name":"user","value":""}', SetMeta("user", "")),
        (b'{"type":"set-meta","name":"user"}', SetMeta("user", None)),
        (b'{"type":"keep-alive","content":"hi"}', SetKeepAlive(b"hi", TEXT, 55)),
        (b'{"type":"keep-alive","content":""}', SetKeepAlive(b"", TEXT, 55)),
        (b'{"type":"keep-alive"}', SetKeepAlive(None)),
        (b'{"type":"keep-alive","timeout":5}', SetKeepAlive(None, TEXT, 5)),
        (b'{"type":"keep-alive","content":"x","timeout":0}', SetKeepAlive(b"x", TEXT, 55)),
        (b'{"type":"keep-alive","content-bin":"AAE=","content":"x"}', SetKeepAlive(b"\0\1", TEXT)),
        (
            b'{"type":"keep-alive","content":"p","message-type":"ping","mode":"interval","timeout":"30"}',
            SetKeepAlive(b"p", PING, 30, is_interval=True),
        ),
        (b'{"type":"keep-alive","content":"p","mode":"idle"}', SetKeepAlive(b"p")),
        (b'{"type":"keep-alive","content":"p","mode":"Interval"}', SetKeepAlive(b"p")),
        (b'{"type":"keep-alive","content-bin":"!A-A*E","message-type":"binary"}', SetKeepAlive(b"\0\1", BINARY)),
        (b'{"type":"send-delayed","content":"later","timeout":3}', SendDelayed(b"later", TEXT, 3)),
        (b'{"type":"send-delayed","content":"later"}', SendDelayed(b"later", TEXT, 1)),
        (b'{"type":"send-delayed","timeout":0,"message-type":"pong"}', SendDelayed(b"", PONG, 1)),
        (b'{"type":"send-delayed","timeout":1.5}', SendDelayed(b"", TEXT, 2)),
        (b'{"type":"send-delayed","timeout":"soon"}', SendDelayed(b"")),
        (b'{"type":"send-delayed","timeout":true}', SendDelayed(b"")),
        (
            b'{"type":"send-delayed","content":"%s","message-type":"ping"}' % (b"x" * 125),
            SendDelayed(b"x" * 125, PING),
        ),
        (b'{"type":"flush-delayed"}', FlushDelayed()),
        (b'{"type":"detach"}', Detach()),
        (b'{"type":"session","id":"s1"}', SetSession("s1")),
    ],
)
def test_message_is_understood(text: bytes, message: ControlMessage) -> None:
    """Every type, its defaults, and the forgiving types of numbers."""
    assert decode_control_message(text) == message


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"", "grip control message is not valid JSON"),
        (b"{", "grip control message is not valid JSON"),
        (b'{"type":"detach"} x', "grip control message is not valid JSON"),
        (b'"detach"', "grip control object is not an object: a string"),
        (b"[]", "grip control object is not an object: a list"),
        (b"null", "grip control object is not an object: null"),
        (b"{}", "grip control object does not contain 'type'"),
        (b'{"type":null}', "grip control object contains 'type' with wrong type: null"),
        (b'{"type":1}', "grip control object contains 'type' with wrong type: 1"),
        (b'{"type":"publish"}', "grip control object contains 'type' with unknown value: 'publish'"),
        (b'{"type":"refresh"}', "grip control object contains 'type' with unknown value: 'refresh'"),
        (b'{"type":"ack"}', "grip control object contains 'type' with unknown value: 'ack'"),
        (b'{"type":"Detach"}', "grip control object contains 'type' with unknown value: 'Detach'"),
        (b'{"type":"subscribe"}', "grip control object does not contain 'channel'"),
        (b'{"type":"subscribe","channel":""}', "grip control object contains 'channel' with invalid value: ''"),
        (b'{"type":"subscribe","channel":7}', "grip control object contains 'channel' with wrong type: 7"),
        (
            b'{"type":"subscribe","channel":"a","filters":"b"}',
            "grip control object contains 'filters' with wrong type: a string",
        ),
        (
            b'{"type":"subscribe","channel":"a","filters":[1]}',
            "grip control object contains 'filters' with wrong type: 1",
        ),
        (
            b'{"type":"subscribe","channel":"a","filters":null}',
            "grip control object contains 'filters' with wrong type: null",
        ),
        (b'{"type":"unsubscribe"}', "grip control object does not contain 'channel'"),
        (b'{"type":"set-meta"}', "grip control object does not contain 'name'"),
        (b'{"type":"set-meta","name":""}', "grip control object contains 'name' with invalid value: ''"),
        (
            b'{"type":"set-meta","name":"a","value":null}',
            "grip control object contains 'value' with wrong type: null",
        ),
        (
            b'{"type":"keep-alive","content":null}',
            "grip control object contains 'content' with wrong type: null",
        ),
        (
            b'{"type":"keep-alive","content":"a","timeout":-1}',
            "grip control object contains 'timeout' with invalid value: -1",
        ),
        (
            b'{"type":"keep-alive","content":"a","timeout":[]}',
            "grip control object contains 'timeout' with wrong type: a list",
        ),
        (
            b'{"type":"keep-alive","content":"a","message-type":"close"}',
            "grip control object contains 'message-type' with unknown value: 'close'",
        ),
        (
            b'{"type":"keep-alive","content":"a","mode":1}',
            "grip control object contains 'mode' with wrong type: 1",
        ),
        (
            b'{"type":"send-delayed","content":"%s","message-type":"ping"}' % (b"x" * 126),
            "grip control object has 126 bytes of content, and a control frame at most 125",
        ),
        (b'{"type":"session"}', "grip control object does not contain 'id'"),
    ],
)
def test_nonsense_is_named(text: bytes, error: str) -> None:
    """It changes nothing, but the log says which field is wrong."""
    with pytest.raises(OriginError) as caught:
        decode_control_message(text)
    assert str(caught.value) == error


_VALUES = st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3) | st.lists(st.text(max_size=3))
_KEYS = st.sampled_from(
    ["channel", "filters", "name", "value", "content", "content-bin", "message-type", "timeout", "mode", "id"]
)
_KINDS = st.sampled_from(
    ["subscribe", "unsubscribe", "set-meta", "keep-alive", "send-delayed", "flush-delayed", "detach", "session"]
)


@given(kind=_KINDS, fields=st.dictionaries(_KEYS, _VALUES))
def test_nothing_else_is_raised(kind: str, fields: dict[str, Any]) -> None:
    """Whatever an origin says, it is a message or a refusal."""
    try:
        decode_control_message(orjson.dumps({"type": kind, **fields}))
    except OriginError as error:
        assert str(error).startswith("grip control")
