"""Requests to the command socket and their replies: bytes to values and back. Nothing is published here.

Source: Pushpin's command socket.
"""

from dataclasses import dataclass, field

from gripproxy.errors import PublishError
from gripproxy.protocol.publish_item import PublishItem, decode_item
from gripproxy.protocol.publish_value import TNETSTRING
from gripproxy.protocol.tnetstring import decode, encode
from gripproxy.settings import Settings


@dataclass(slots=True)
class CommandDecision:
    """Publish `items`, recover, and send `reply`."""

    reply: bytes
    items: list[PublishItem] = field(default_factory=list)
    is_recover: bool = False


def decide_command(request: bytes, settings: Settings) -> CommandDecision | None:
    """Answer ``get-zmq-uris``, ``publish`` and ``recover``; any other method is not found.

    None means no reply at all, as the reference: not a tnetstring map with a method and, if any, a map of arguments.
    """
    try:
        fields = decode(request)
    except ValueError:
        return None
    if not isinstance(fields, dict) or not isinstance(method := fields.get("method"), bytes):
        return None
    args = fields.get("args", {})
    if not isinstance(args, dict):
        return None
    request_id = fields.get("id")
    echoed = {"id": request_id} if isinstance(request_id, bytes) and request_id else {}
    if method == b"get-zmq-uris":
        return CommandDecision(_succeed(echoed, _zmq_uris(settings)))
    if method == b"recover":
        return CommandDecision(_succeed(echoed, None), is_recover=True)
    if method != b"publish":
        return CommandDecision(_fail(echoed, "method-not-found"))
    try:
        items = _decode_items(args)
    except PublishError as error:
        return CommandDecision(_fail(echoed, "bad-request", f"Invalid format: {error}"))
    return CommandDecision(_succeed(echoed, None), items)


def _decode_items(args: dict[str, object]) -> list[PublishItem]:
    if "items" not in args:
        raise PublishError("object does not contain 'items'")
    entries = args["items"]
    if not isinstance(entries, list):
        raise PublishError("object contains 'items' with wrong type")
    return [decode_item(entry, TNETSTRING) for entry in entries]


def _zmq_uris(settings: Settings) -> dict[str, str]:
    uris = {"command": settings.command_spec, "publish-pull": settings.push_in_spec}
    if settings.push_in_sub_specs and not settings.push_in_sub_connect:
        uris["publish-sub"] = settings.push_in_sub_specs[0]
    return {name: uri for name, uri in uris.items() if uri is not None}


def _succeed(echoed: dict[str, bytes], value: object) -> bytes:
    return encode({"value": value, "success": True} | echoed)


def _fail(echoed: dict[str, bytes], condition: str, value: str | None = None) -> bytes:
    given = {} if value is None else {"value": value}
    return encode(given | {"condition": condition, "success": False} | echoed)
