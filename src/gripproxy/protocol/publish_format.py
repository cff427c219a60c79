"""The three formats of a publish item: what goes to long-polls, to streams and to WebSockets.

The refusals are Pushpin's texts, in Pushpin's order of checks, with the value that was found. But an unknown action is
named (there: an empty text), and a header which could not be sent as HTTP is refused (there: sent as it is).
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from gripproxy.errors import PublishError
from gripproxy.protocol.http1 import breaks_lines, is_header_name
from gripproxy.protocol.publish_value import (
    JSON,
    TNETSTRING,
    Encoding,
    decode_base64,
    decode_bytes,
    decode_fields,
    decode_int,
    decode_plain,
    decode_text,
    show,
    show_type,
    wrong_type,
)

STATUS_MAX = 999  # three digits are all a status line has
CLOSE_CODE_MAX = 65_535  # two bytes in a close frame

_HTTP_RESPONSE = "'http-response'"
_HTTP_STREAM = "'http-stream'"
_WS_MESSAGE = "'ws-message'"


class Action(IntEnum):
    """What the item does to a connection that it reaches."""

    SEND = 0
    HINT = 1  # ask the origin again
    CLOSE = 2
    REFRESH = 3


class WsMessageType(IntEnum):
    """What kind of WebSocket frame carries the content."""

    TEXT = 0
    BINARY = 1
    PING = 2
    PONG = 3


SEND, HINT, CLOSE, REFRESH = Action
TEXT, BINARY, PING, PONG = WsMessageType

_ACTIONS: Final[dict[object, Action]] = {}
_WS_TYPES: Final[dict[object, WsMessageType]] = {}
for _action in Action:
    _ACTIONS[_action.name.lower()] = _ACTIONS[_action.name.lower().encode()] = _action
for _type in WsMessageType:
    _WS_TYPES[_type.name.lower()] = _WS_TYPES[_type.name.lower().encode()] = _type


@dataclass(slots=True)
class HttpResponseFormat:
    """For clients in a ``response`` hold. All but `action` count for SEND only."""

    action: Action = SEND
    code: int = 200  # 0..STATUS_MAX
    reason: bytes | None = None  # None: the standard phrase of `code`
    headers: list[tuple[bytes, bytes]] | None = None
    body: bytes = b""
    body_patch: list[object] | None = None  # given: `body` is empty, and the held response is patched instead
    content_filters: tuple[str, ...] | None = None  # None: no check


@dataclass(slots=True)
class HttpStreamFormat:
    """For clients in a ``stream`` hold. `content` counts for SEND only."""

    action: Action = SEND
    content: bytes = b""
    content_filters: tuple[str, ...] | None = None


@dataclass(slots=True)
class WsMessageFormat:
    """For WebSocket clients: `type` and `content` count for SEND, `code` and `reason` for CLOSE."""

    action: Action = SEND
    type: WsMessageType = TEXT
    content: bytes = b""
    code: int | None = None  # 0..CLOSE_CODE_MAX
    reason: bytes | None = None
    content_filters: tuple[str, ...] | None = None


def decode_http_response(value: object, encoding: Encoding) -> HttpResponseFormat:
    """Decode and check the ``http-response`` format of an item.

    Raises:
        PublishError: names the field.
    """
    fields = decode_fields(value, f"{_HTTP_RESPONSE} is not an object", encoding)
    action = _decode_action(fields, _HTTP_RESPONSE)
    if action is not SEND:
        return HttpResponseFormat(action)
    code, reason = 200, None
    if "code" in fields:
        code = decode_int(fields["code"], _HTTP_RESPONSE, "code", STATUS_MAX)
    if (field := fields.get("reason")) is not None:
        reason = decode_bytes(field, _HTTP_RESPONSE, "reason") or None
        if reason is not None and breaks_lines(reason):
            raise PublishError(f"{_HTTP_RESPONSE} contains 'reason' with CR, LF or NUL", show(reason))
    headers = None
    if "headers" in fields:
        headers = _decode_headers(fields["headers"])
    filters = _decode_content_filters(fields, _HTTP_RESPONSE)
    body, patch = b"", None
    if encoding is JSON and (field := fields.get("body-bin")) is not None:
        body = decode_base64(field, _HTTP_RESPONSE, "body-bin")
    elif "body" in fields:
        body = decode_bytes(fields["body"], _HTTP_RESPONSE, "body")
    elif "body-patch" in fields:
        patch = _decode_body_patch(fields["body-patch"], encoding)
    else:
        names = "'body', 'body-bin', or 'body-patch'" if encoding is JSON else "'body' or 'body-patch'"
        raise PublishError(f"{_HTTP_RESPONSE} does not contain {names}")
    return HttpResponseFormat(SEND, code, reason, headers, body, patch, filters)


def decode_http_stream(value: object, encoding: Encoding) -> HttpStreamFormat:
    """Decode and check the ``http-stream`` format of an item.

    Raises:
        PublishError: names the field.
    """
    fields = decode_fields(value, f"{_HTTP_STREAM} is not an object", encoding)
    action = _decode_action(fields, _HTTP_STREAM)
    if action is not SEND:
        return HttpStreamFormat(action)
    filters = _decode_content_filters(fields, _HTTP_STREAM)
    if encoding is JSON and (field := fields.get("content-bin")) is not None:
        content = decode_base64(field, _HTTP_STREAM, "content-bin")
    elif "content" in fields:
        content = decode_bytes(fields["content"], _HTTP_STREAM, "content")
    else:
        names = "'content' or 'content-bin'" if encoding is JSON else "'content'"
        raise PublishError(f"{_HTTP_STREAM} does not contain {names}")
    return HttpStreamFormat(SEND, content, filters)


def decode_ws_message(value: object, encoding: Encoding) -> WsMessageFormat:
    """Decode and check the ``ws-message`` format of an item. Over tnetstring ``content-bin`` is raw bytes.

    Raises:
        PublishError: names the field.
    """
    fields = decode_fields(value, f"{_WS_MESSAGE} is not an object", encoding)
    action = _decode_action(fields, _WS_MESSAGE)
    if action is CLOSE:
        return _decode_ws_close(fields)
    if action is not SEND:
        return WsMessageFormat(action)
    kind = None
    if (field := fields.get("type")) is not None:
        if type(field) is not str and type(field) is not bytes:
            raise wrong_type(_WS_MESSAGE, "type", field)
        kind = _WS_TYPES.get(field)
        if kind is None:
            raise PublishError(f"{_WS_MESSAGE} contains 'type' with unknown value", show(field))
    filters = _decode_content_filters(fields, _WS_MESSAGE)
    default_kind = TEXT
    if "content-bin" in fields:
        decode = decode_base64 if encoding is JSON else decode_bytes
        content, default_kind = decode(fields["content-bin"], _WS_MESSAGE, "content-bin"), BINARY
    elif "content" in fields:
        content = decode_bytes(fields["content"], _WS_MESSAGE, "content")
    elif kind is PING or kind is PONG:
        content = b""
    else:
        raise PublishError(f"{_WS_MESSAGE} does not contain 'content' or 'content-bin'")
    return WsMessageFormat(SEND, default_kind if kind is None else kind, content, None, None, filters)


def _decode_ws_close(fields: dict[str, object]) -> WsMessageFormat:
    code = reason = None
    if "code" in fields:
        code = decode_int(fields["code"], _WS_MESSAGE, "code", CLOSE_CODE_MAX)
    if (field := fields.get("reason")) is not None:
        reason = decode_bytes(field, _WS_MESSAGE, "reason")
    return WsMessageFormat(CLOSE, code=code, reason=reason)


def _decode_action(fields: dict[str, object], name: str) -> Action:
    field = fields.get("action")
    if field is None:
        return SEND
    if type(field) is not str and type(field) is not bytes:
        raise wrong_type(name, "action", field)
    action = _ACTIONS.get(field)
    if action is None:
        raise PublishError(f"{name} contains 'action' with unknown value", show(field))
    return action


def _decode_content_filters(fields: dict[str, object], name: str) -> tuple[str, ...] | None:
    if "content-filters" not in fields:
        return None
    field = fields["content-filters"]
    if type(field) is not list:
        raise wrong_type(name, "content-filters", field)
    for part in field:
        if type(part) is not str and type(part) is not bytes:
            raise PublishError("content-filters contains element with wrong type", show_type(part))
    return tuple([decode_text(part, name, "content-filters") for part in field])


def _decode_body_patch(field: object, encoding: Encoding) -> list[object]:
    if field is None:  # of tnetstring: the reference takes it for no operations
        return []
    if type(field) is not list:
        raise wrong_type(_HTTP_RESPONSE, "body-patch", field)
    return [decode_plain(part) for part in field] if encoding is TNETSTRING else field


def _decode_headers(field: object) -> list[tuple[bytes, bytes]]:
    headers = []
    if type(field) is dict:
        for name in sorted(field):
            value = field[name]
            if type(value) is not str and type(value) is not bytes:
                raise wrong_type("headers", name, value)
            headers.append(_check_header(name.encode(), decode_bytes(value, "headers", name)))
    elif type(field) is list:
        for pair in field:
            if type(pair) is not list:
                raise PublishError("headers contains element with wrong type", show_type(pair))
            if len(pair) != 2:
                raise PublishError("headers contains list with wrong number of elements", f"a list of {len(pair)}")
            for part, word in zip(pair, ("name", "value"), strict=True):
                if type(part) is not str and type(part) is not bytes:
                    raise PublishError(f"header contains {word} element with wrong type", show_type(part))
            headers.append(_check_header(*[decode_bytes(part, "headers", "name") for part in pair]))
    else:
        raise wrong_type(_HTTP_RESPONSE, "headers", field)
    return headers


def _check_header(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """Refuse what would end the header line early: one publisher must not write another's response."""
    if not is_header_name(name):
        raise PublishError(f"{_HTTP_RESPONSE} contains 'headers' with invalid name", show(name))
    if breaks_lines(value):  # the value may be a cookie, so it is not shown
        raise PublishError(f"{_HTTP_RESPONSE} contains 'headers' with CR, LF or NUL in {name[:80].decode()!r}")
    return name, value
