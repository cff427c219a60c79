"""GRIP control messages of WebSocket origins: what stands behind ``c:`` in a text message.

Source: Pushpin's WsControlMessage, with its typing rules and refusals, which nobody but the log sees.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gripproxy.errors import OriginError, PublishError
from gripproxy.protocol.json_text import decode_loose_json
from gripproxy.protocol.publish_value import (
    JSON,
    decode_base64,
    decode_bytes,
    decode_fields,
    decode_int,
    decode_text,
    show,
    wrong_type,
)
from gripproxy.protocol.websocket_frame import BINARY, CONTROL_MAX_BYTES, PING, PONG, TEXT

KEEP_ALIVE_S = 55  # where none is given, as with HTTP
DELAY_S = 1

_OBJECT: Final = "grip control object"
_TYPES: Final[dict[object, int]] = {"text": TEXT, "binary": BINARY, "ping": PING, "pong": PONG}


@dataclass(slots=True)
class Subscribe:
    """`channel` is without the route's prefix."""

    channel: str
    filters: tuple[str, ...] = ()


@dataclass(slots=True)
class Unsubscribe:
    """The opposite."""

    channel: str


@dataclass(slots=True)
class SetMeta:
    """What filters know of the client. `value` None: it is to be forgotten."""

    name: str
    value: str | None


@dataclass(slots=True)
class SetKeepAlive:
    """`content` None: no keep-alives any more."""

    content: bytes | None
    opcode: int = TEXT
    timeout_s: int = KEEP_ALIVE_S
    is_interval: bool = False


@dataclass(slots=True)
class SendDelayed:
    """A message that is to be sent later."""

    content: bytes
    opcode: int = TEXT
    timeout_s: int = DELAY_S


@dataclass(slots=True)
class FlushDelayed:
    """Send it now."""


@dataclass(slots=True)
class Detach:
    """The client is to live on without its origin."""


@dataclass(slots=True)
class SetSession:
    """For a state service, which gripproxy does not have."""

    id: str


ControlMessage = Subscribe | Unsubscribe | SetMeta | SetKeepAlive | SendDelayed | FlushDelayed | Detach | SetSession


def decode_control_message(text: bytes) -> ControlMessage:
    """Decode the JSON behind ``c:``.

    Raises:
        OriginError: says for the log what is wrong; the message is to be ignored.
    """
    try:
        value = decode_loose_json(text)
    except ValueError:
        raise OriginError("grip control message is not valid JSON") from None
    try:
        fields = decode_fields(value, f"{_OBJECT} is not an object", JSON)
        kind = _text(fields, "type")
        decode = _DECODERS.get(kind)
        if decode is None:
            raise PublishError(f"{_OBJECT} contains 'type' with unknown value", show(kind))
        return decode(fields)
    except PublishError as error:
        shown = "" if error.value is None else f": {error.value}"
        raise OriginError(f"{error.text}{shown}") from None


def _text(fields: dict[str, object], key: str) -> str:
    if key not in fields:
        raise PublishError(f"{_OBJECT} does not contain '{key}'")
    return decode_text(fields[key], _OBJECT, key)


def _name(fields: dict[str, object], key: str) -> str:
    text = _text(fields, key)
    if not text:
        raise PublishError(f"{_OBJECT} contains '{key}' with invalid value", show(text))
    return text


def _decode_subscribe(fields: dict[str, object]) -> Subscribe:
    channel = _name(fields, "channel")
    entries = fields.get("filters", [])
    if type(entries) is not list:
        raise wrong_type(_OBJECT, "filters", entries)
    return Subscribe(channel, tuple([decode_text(entry, _OBJECT, "filters") for entry in entries]))


def _decode_unsubscribe(fields: dict[str, object]) -> Unsubscribe:
    return Unsubscribe(_name(fields, "channel"))


def _decode_set_meta(fields: dict[str, object]) -> SetMeta:
    return SetMeta(_name(fields, "name"), _text(fields, "value") if "value" in fields else None)


def _decode_keep_alive(fields: dict[str, object]) -> SetKeepAlive:
    content, opcode = _message(fields)
    mode = _text(fields, "mode") if "mode" in fields else ""
    return SetKeepAlive(content, opcode, _timeout_s(fields, KEEP_ALIVE_S), mode == "interval")


def _decode_send_delayed(fields: dict[str, object]) -> SendDelayed:
    content, opcode = _message(fields)
    return SendDelayed(content or b"", opcode, _timeout_s(fields, DELAY_S))


def _message(fields: dict[str, object]) -> tuple[bytes | None, int]:
    """Give the content of a message, None for none, and the opcode of its frame."""
    opcode: int = TEXT
    if "message-type" in fields:
        kind = _text(fields, "message-type")
        if kind not in _TYPES:
            raise PublishError(f"{_OBJECT} contains 'message-type' with unknown value", show(kind))
        opcode = _TYPES[kind]
    content = None
    if "content-bin" in fields:
        content = decode_base64(fields["content-bin"], _OBJECT, "content-bin")
    elif "content" in fields:
        content = decode_bytes(fields["content"], _OBJECT, "content")
    if content is not None and opcode in (PING, PONG) and len(content) > CONTROL_MAX_BYTES:
        raise PublishError(
            f"{_OBJECT} has {len(content)} bytes of content, and a control frame at most {CONTROL_MAX_BYTES}"
        )
    return content, opcode


def _timeout_s(fields: dict[str, object], default_s: int) -> int:
    return (decode_int(fields["timeout"], _OBJECT, "timeout") if "timeout" in fields else 0) or default_s


_DECODERS: Final[dict[str, Callable[[dict[str, object]], ControlMessage]]] = {
    "subscribe": _decode_subscribe,
    "unsubscribe": _decode_unsubscribe,
    "set-meta": _decode_set_meta,
    "keep-alive": _decode_keep_alive,
    "send-delayed": _decode_send_delayed,
    "flush-delayed": lambda fields: FlushDelayed(),
    "detach": lambda fields: Detach(),
    "session": lambda fields: SetSession(_name(fields, "id")),
}
