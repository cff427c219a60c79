"""Requests to the command socket and their replies: bytes to values and back. Nothing is done about them here.

Source: Pushpin's command socket.
"""

from dataclasses import dataclass, field

from gripproxy.errors import PublishError
from gripproxy.protocol.connection_id import worker_of
from gripproxy.protocol.publish_item import PublishItem, decode_items
from gripproxy.protocol.publish_value import TNETSTRING, Encoding, decode_text
from gripproxy.protocol.tnetstring import decode, encode
from gripproxy.settings import Settings

BAD_REQUEST = "bad-request"
ITEM_NOT_FOUND = "item-not-found"
METHOD_NOT_FOUND = "method-not-found"
PROXY_REQUEST_FAILED = "proxy-request-failed"


@dataclass(slots=True)
class CommandRequest:
    """A request that can be answered. Without an `id` its reply has none."""

    method: str
    args: dict[str, object]
    id: bytes = b""


@dataclass(slots=True)
class CommandResult:
    """A `value` that may be null; or, with a `condition`, what failed, and maybe a text about it."""

    value: object = None
    condition: str | None = None


@dataclass(slots=True)
class CommandDecision:
    """What to do: publish `items`, recover, refresh a channel, and reply with `result`; or ask the workers first.

    They are asked which of `conn_ids` are connections, and to refresh `refresh_id` if it is a WebSocket's.
    """

    result: CommandResult = field(default_factory=CommandResult)
    items: list[PublishItem] = field(default_factory=list)
    is_recover: bool = False
    is_refused_publish: bool = False
    conn_ids: list[str] | None = None
    refresh_id: str | None = None
    refresh_channel: str | None = None


def decode_request(body: bytes) -> CommandRequest | None:
    """Decode what came in the socket's one frame. None: there is no reply at all, as in the reference.

    That is so for everything but a tnetstring map with a method and, if any, an id and a map of arguments.
    """
    try:
        fields = decode(body)
    except ValueError:
        return None
    if not isinstance(fields, dict):
        return None
    method, request_id, args = fields.get("method"), fields.get("id", b""), fields.get("args", {})
    if not isinstance(method, bytes) or not isinstance(request_id, bytes) or not isinstance(args, dict):
        return None
    return CommandRequest(method.decode(errors="replace"), args, request_id)


def decide_command(
    method: str, args: dict[str, object], settings: Settings, encoding: Encoding = TNETSTRING
) -> CommandDecision:
    """Say what to do about a request: ``get-zmq-uris``, ``publish``, ``recover``, ``refresh`` or ``conncheck``."""
    if method == "get-zmq-uris":
        return CommandDecision(CommandResult(_zmq_uris(settings)))
    if method == "recover":
        return CommandDecision(is_recover=True)
    if method == "publish":
        return _decide_publish(args, encoding)
    if method == "refresh":
        return _decide_refresh(args)
    if method == "conncheck":
        return _decide_conncheck(args)
    return CommandDecision(CommandResult(condition=METHOD_NOT_FOUND))


def encode_reply(request: CommandRequest, result: CommandResult) -> bytes:
    """Encode the reply to a request, for the command socket."""
    reply: dict[str, object] = {"success": result.condition is None}
    if result.condition is not None:
        reply["condition"] = result.condition
    if result.condition is None or result.value is not None:
        reply["value"] = result.value
    if request.id:
        reply["id"] = request.id
    return encode(reply)


def _decide_publish(args: dict[str, object], encoding: Encoding) -> CommandDecision:
    try:
        if "items" not in args:
            raise PublishError("Invalid format: object does not contain 'items'")
        entries = args["items"]
        if not isinstance(entries, list):
            raise PublishError("Invalid format: object contains 'items' with wrong type")
        return CommandDecision(items=decode_items(entries, encoding))
    except PublishError as error:
        return CommandDecision(CommandResult(str(error), BAD_REQUEST), is_refused_publish=True)


def _decide_refresh(args: dict[str, object]) -> CommandDecision:
    name = "cid" if "cid" in args else "channel"
    value = args.get(name)
    if not isinstance(value, (str, bytes)):
        return CommandDecision(CommandResult(condition=BAD_REQUEST))
    text = decode_text(value, "refresh", name)
    if name == "channel":
        return CommandDecision(refresh_channel=text)
    if worker_of(text) is None:  # no WebSocket has such an id
        return CommandDecision(CommandResult(condition=ITEM_NOT_FOUND))
    return CommandDecision(refresh_id=text)


def _decide_conncheck(args: dict[str, object]) -> CommandDecision:
    ids = args.get("ids")
    if not isinstance(ids, list) or not all(isinstance(conn_id, (str, bytes)) for conn_id in ids):
        return CommandDecision(CommandResult(condition=BAD_REQUEST))
    return CommandDecision(conn_ids=[decode_text(conn_id, "conncheck", "ids") for conn_id in ids])


def _zmq_uris(settings: Settings) -> dict[str, str]:
    uris = {"command": settings.command_spec, "publish-pull": settings.push_in_spec}
    if settings.push_in_sub_specs and not settings.push_in_sub_connect:
        uris["publish-sub"] = settings.push_in_sub_specs[0]
    return {name: uri for name, uri in uris.items() if uri is not None}
