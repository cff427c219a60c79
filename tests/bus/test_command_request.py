"""The command socket's requests: what is done about them, refusals, and when there is no reply at all."""

import pytest

from gripproxy.bus.command_request import CommandRequest, CommandResult, decide_command, decode_request, encode_reply
from gripproxy.protocol.connection_id import ConnectionIds
from gripproxy.protocol.publish_value import JSON, TNETSTRING
from gripproxy.protocol.tnetstring import decode, encode
from gripproxy.settings import Settings

SETTINGS = Settings(
    command_spec="tcp://127.0.0.1:5563", push_in_spec="tcp://*:5560", push_in_sub_specs=("tcp://*:5562", "tcp://*:1")
)
GOOD = {"channel": "a", "http-stream": {"content": "x"}}


def ask(fields: object, settings: Settings = SETTINGS) -> object:
    """Give the reply, decoded, to a request whose answer needs nobody else."""
    request = decode_request(encode(fields))
    assert request is not None
    decision = decide_command(request.method, request.args, settings)
    assert decision.conn_ids is None
    return decode(encode_reply(request, decision.result))


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
    assert ask({"method": "publish", "id": "1", "args": {"items": [item]}}) == {
        "id": b"1",
        "success": True,
        "value": None,
    }
    assert [item.channel for item in decide_command("publish", {"items": [item]}, SETTINGS).items] == ["news"]


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ({}, b"Invalid format: object does not contain 'items'"),
        ({"items": {}}, b"Invalid format: object contains 'items' with wrong type"),
        ({"items": [{"channel": "a"}]}, b"Invalid format: no formats specified"),
        (
            {"items": [GOOD, {"channel": 5}]},
            b"Invalid format: publish item object contains 'channel' with wrong type (items[1], value: 5)",
        ),
    ],
)
def test_bad_publish_is_refused_whole(args: dict[str, object], text: bytes) -> None:
    """With the same text as over HTTP."""
    reply = ask({"method": "publish", "id": "1", "args": args})
    assert reply == {"id": b"1", "success": False, "condition": b"bad-request", "value": text}
    decision = decide_command("publish", args, SETTINGS)
    assert decision.is_refused_publish
    assert decision.items == []


def test_recover_is_done_and_has_a_null_value() -> None:
    """It takes no arguments, and does not look at what it is given."""
    assert ask({"method": "recover", "id": "r1", "args": {"x": 1}}) == {"id": b"r1", "success": True, "value": None}
    decision = decide_command("recover", {}, SETTINGS)
    assert decision.is_recover
    assert not decision.items


@pytest.mark.parametrize(
    ("args", "condition"),
    [
        ({"channel": "c"}, None),
        ({"channel": ""}, None),
        ({"cid": "0-5-1"}, "item-not-found"),
        ({"cid": ConnectionIds(0, 1).encode(2, 3)}, None),
        ({"cid": ConnectionIds(0, 1).encode(2, 3), "channel": 5}, None),
        ({"cid": "0-5-1", "channel": "c"}, "item-not-found"),
        ({"cid": "", "channel": 5}, "item-not-found"),
        ({}, "bad-request"),
        ({"channel": 5}, "bad-request"),
        ({"cid": 5, "channel": "c"}, "bad-request"),
        ({"cid": None, "channel": "c"}, "bad-request"),
    ],
)
def test_refresh_is_by_connection_or_by_channel(args: dict[str, object], condition: str | None) -> None:
    """The connection wins, and must have a WebSocket's id; a channel may have none."""
    for encoding in (JSON, TNETSTRING):
        decision = decide_command("refresh", args, SETTINGS, encoding)
        assert decision.result == CommandResult(condition=condition)
        is_good = condition is None
        assert decision.refresh_id == (args.get("cid") if is_good else None)
        assert decision.refresh_channel == (args["channel"] if is_good and "cid" not in args else None)


def test_conncheck_wants_a_list_of_ids() -> None:
    """As text, whatever the encoding."""
    assert decide_command("conncheck", {"ids": [b"a", b"\xff"]}, SETTINGS).conn_ids == ["a", "�"]
    assert decide_command("conncheck", {"ids": []}, SETTINGS).conn_ids == []
    for args in ({}, {"ids": None}, {"ids": "a"}, {"ids": ["a", 5]}, {"ids": [None]}):
        decision = decide_command("conncheck", args, SETTINGS)
        assert (decision.conn_ids, decision.result) == (None, CommandResult(condition="bad-request"))


@pytest.mark.parametrize("method", ["report", "ping", "", "Publish"])
def test_unknown_method_is_not_found(method: str) -> None:
    """A client tells a missing method from a failed one."""
    assert ask({"method": method}) == {"success": False, "condition": b"method-not-found"}


def test_failure_has_a_text_only_if_there_is_one() -> None:
    """A success always has a value, and it may be null or empty."""
    request = CommandRequest("x", {})
    assert decode(encode_reply(request, CommandResult())) == {"success": True, "value": None}
    assert decode(encode_reply(request, CommandResult([]))) == {"success": True, "value": []}
    assert decode(encode_reply(request, CommandResult(None, "c"))) == {"success": False, "condition": b"c"}
    assert decode(encode_reply(request, CommandResult("t", "c"))) == {
        "success": False,
        "condition": b"c",
        "value": b"t",
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"J{}",
        b"T" + encode({"method": "publish"}),
        encode([]),
        encode({}),
        encode({"method": 1}),
        encode({"method": None}),
        encode({"method": "recover", "id": 5}),
        encode({"method": "recover", "id": None}),
        encode({"method": "publish", "args": []}),
        encode({"method": "recover", "args": None}),
    ],
)
def test_no_reply_to_what_is_no_request(body: bytes) -> None:
    """As the reference."""
    assert decode_request(body) is None


def test_request_may_be_followed_by_bytes() -> None:
    """The reference reads one value and looks no further."""
    assert decode_request(encode({"method": "recover", "id": "", "from": 5}) + b"x") == CommandRequest("recover", {})
