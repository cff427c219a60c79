"""The command socket's requests: replies, refusals, and when there is no reply at all."""

import pytest

from gripproxy.bus.command_request import decide_command
from gripproxy.protocol.tnetstring import decode, encode
from gripproxy.settings import Settings

SETTINGS = Settings(
    command_spec="tcp://127.0.0.1:5563", push_in_spec="tcp://*:5560", push_in_sub_specs=("tcp://*:5562", "tcp://*:1")
)


def ask(request: object, settings: Settings = SETTINGS) -> object:
    decision = decide_command(encode(request), settings)
    return None if decision is None else decode(decision.reply)


def test_zmq_uris_are_as_configured() -> None:
    """Client libraries find the publish sockets by it, and send no id."""
    assert ask({"method": "get-zmq-uris"}) == {
        "success": True,
        "value": {"command": b"tcp://127.0.0.1:5563", "publish-pull": b"tcp://*:5560", "publish-sub": b"tcp://*:5562"},
    }


def test_zmq_uris_hold_only_what_is_there() -> None:
    """With `push_in_sub_connect` there is no socket to connect to."""
    settings = Settings(command_spec="tcp://a:1", push_in_spec=None, push_in_sub_connect=True)
    assert ask({"method": "get-zmq-uris", "id": "7"}, settings) == {
        "id": b"7",
        "success": True,
        "value": {"command": b"tcp://a:1"},
    }


def test_publish_hands_on_items_and_has_a_null_value() -> None:
    """Clients read `value` of every success."""
    item = {"channel": "news", "http-stream": {"content": b"\xff"}}
    decision = decide_command(encode({"method": "publish", "id": "1", "args": {"items": [item]}}), SETTINGS)
    assert decision is not None
    assert decode(decision.reply) == {"id": b"1", "success": True, "value": None}
    assert [item.channel for item in decision.items] == ["news"]


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ({}, b"Invalid format: object does not contain 'items'"),
        ({"items": {}}, b"Invalid format: object contains 'items' with wrong type"),
        ({"items": [{"channel": "a"}]}, b"Invalid format: no formats specified"),
    ],
)
def test_bad_publish_is_refused_whole(args: object, text: bytes) -> None:
    """With the same text as over HTTP."""
    reply = ask({"method": "publish", "id": "1", "args": args})
    assert reply == {"id": b"1", "success": False, "condition": b"bad-request", "value": text}


def test_recover_is_done_and_has_a_null_value() -> None:
    """It takes no arguments, and does not look at what it is given."""
    decision = decide_command(encode({"method": "recover", "id": "r1", "args": {"x": 1}}), SETTINGS)
    assert decision is not None
    assert decode(decision.reply) == {"id": b"r1", "success": True, "value": None}
    assert decision.is_recover
    assert not decision.items


def test_unknown_method_is_not_found() -> None:
    """A client tells a missing method from a failed one."""
    assert ask({"method": "report"}) == {"success": False, "condition": b"method-not-found"}


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"",
        b"J{}",
        b"T" + encode({"method": "publish"}),
        encode([]),
        encode({}),
        encode({"method": 1}),
        encode({"method": "publish", "args": []}),
    ],
)
def test_no_reply_to_what_is_no_request(request_bytes: bytes) -> None:
    """As the reference."""
    assert decide_command(request_bytes, SETTINGS) is None
