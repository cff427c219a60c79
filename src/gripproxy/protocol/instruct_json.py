"""The body form of an instruct (application/grip-instruct): JSON that overrides and extends the headers."""

import math
from collections.abc import Iterator
from typing import TypeVar

import orjson

from gripproxy.errors import OriginError
from gripproxy.protocol.header_params import INT_MAX, decode_int
from gripproxy.protocol.instruct_parts import (
    HOLD_TIMEOUT_MIN_S,
    KEEP_ALIVE_TIMEOUT_DEFAULT_S,
    KEEP_ALIVE_TIMEOUT_MIN_S,
    STATUS_MAX,
    ChannelInstruct,
    HoldMode,
    Instruct,
    KeepAlive,
    instruct_error,
)
from gripproxy.protocol.json_text import decode_loose_json
from gripproxy.protocol.origin_response import origin_response_headers
from gripproxy.protocol.reason_phrase import reason_phrase
from gripproxy.protocol.text_codec import decode_base64

JsonObject = dict[str, object]
T = TypeVar("T")

_HOLD_MODES = {"response": HoldMode.RESPONSE, "stream": HoldMode.STREAM}


def apply_json_instruct(instruct: Instruct, status: int, body: bytes) -> None:
    """Apply the JSON in `body` to `instruct`, whose response becomes what the JSON says: nothing if it says nothing.

    Args:
        instruct: as the Grip-* headers left it.
        status: as the origin sent it, without regard to Grip-Status.

    Raises:
        OriginError: the status is not 200, or the JSON does not have this form.

    Source: GRIP, "application/grip-instruct"; Pushpin's instruct.cpp. Unlike there, no hold and no body is an empty
    body and not a failure.
    """
    if status != 200:
        raise instruct_error("response code for application/grip-instruct content must be 200", str(status))
    try:
        value = decode_loose_json(body)
    except ValueError:
        value = None
    if not isinstance(value, (dict, list)):
        raise instruct_error("failed to parse application/grip-instruct content as JSON", body)
    if not isinstance(value, dict):
        raise instruct_error("instruct must be an object", body)
    hold = _member(value, "hold", dict, "instruct")
    if hold is not None:
        _apply_hold(instruct, hold)
    instruct.headers, instruct.body = [], b""
    response = _member(value, "response", dict, "instruct")
    if response is not None:
        _apply_response(instruct, response)


def _apply_hold(instruct: Instruct, hold: JsonObject) -> None:
    mode_name = _member(hold, "mode", str, "hold")
    mode = HoldMode.RESPONSE if mode_name is None else _HOLD_MODES.get(mode_name)
    if mode is None:
        raise instruct_error("hold 'mode' must be set to either 'response' or 'stream'", str(mode_name))
    instruct.hold = mode
    channels = _member(hold, "channels", list, "hold")
    if channels is None:
        raise OriginError("hold does not contain 'channels'")
    instruct.channels.extend(_decode_channel(channel) for channel in channels)
    timeout_s = _loose_int(hold, "timeout", "hold", INT_MAX)
    if timeout_s is not None:
        instruct.timeout_s = max(timeout_s, HOLD_TIMEOUT_MIN_S)
    keep_alive = _member(hold, "keep-alive", dict, "hold")
    if keep_alive is not None:
        instruct.keep_alive = _decode_keep_alive(keep_alive, instruct.keep_alive)
    for name, text in (_member(hold, "meta", dict, "hold") or {}).items():
        if not isinstance(text, str):
            raise _wrong_type("'meta'", name, text)
        instruct.meta[name] = text


def _decode_channel(channel: object) -> ChannelInstruct:
    if not isinstance(channel, dict):
        raise instruct_error("channel is not an object", _shown(channel))
    name = _member(channel, "name", str, "channel")
    if name is None:
        raise instruct_error("channel does not contain 'name'", _shown(channel))
    filters = _member(channel, "filters", list, "channel") or []
    for text in filters:
        if not isinstance(text, str):
            raise instruct_error("filters contains value with wrong type", _shown(text))
    return ChannelInstruct(name, _member(channel, "prev-id", str, "channel"), tuple(filters))


def _decode_keep_alive(keep_alive: JsonObject, in_header: KeepAlive | None) -> KeepAlive | None:
    """Read a keep-alive; its content may stand in the header instead, and only there its mode."""
    content = _bytes_member(keep_alive, "content", "keep-alive")
    if content is None and in_header is not None:
        content = in_header.content
    timeout_s = _loose_int(keep_alive, "timeout", "keep-alive", INT_MAX)
    if timeout_s is None:
        timeout_s = KEEP_ALIVE_TIMEOUT_DEFAULT_S
    if not content:
        return None
    is_interval = in_header is None or in_header.is_interval
    return KeepAlive(content, max(timeout_s, KEEP_ALIVE_TIMEOUT_MIN_S), is_interval)


def _apply_response(instruct: Instruct, response: JsonObject) -> None:
    code = _loose_int(response, "code", "response", STATUS_MAX)
    if code is not None:
        instruct.status, instruct.reason = code, reason_phrase(code)
    reason = _member(response, "reason", str, "response")
    if reason:
        instruct.reason = reason.encode()
    # What the origin writes here is about its body as it stands, so a Content-Encoding is meant; only framing and
    # Grip-* go.
    headers = list(_decode_headers(response))
    kept = origin_response_headers(headers, is_grip=False)
    instruct.headers = [header for header in kept if header[0][:5].lower() != b"grip-"]
    instruct.body = _bytes_member(response, "body", "response") or b""


def _decode_headers(response: JsonObject) -> Iterator[tuple[bytes, bytes]]:
    headers = response.get("headers", [])
    if isinstance(headers, dict):
        # Pushpin keeps objects sorted; who wants an order writes a list.
        for name, value in sorted(headers.items()):
            if not isinstance(value, str):
                raise _wrong_type("headers", name, value)
            yield name.encode(), value.encode()
    elif isinstance(headers, list):
        for pair in headers:
            yield _decode_header_pair(pair)
    else:
        raise _wrong_type("response", "headers", headers)


def _decode_header_pair(pair: object) -> tuple[bytes, bytes]:
    if not isinstance(pair, list):
        raise instruct_error("headers contains element with wrong type", _shown(pair))
    if len(pair) != 2:
        raise instruct_error("headers contains list with wrong number of elements", _shown(pair))
    name, value = pair
    if not isinstance(name, str):
        raise instruct_error("header contains name element with wrong type", _shown(name))
    if not isinstance(value, str):
        raise instruct_error("header contains value element with wrong type", _shown(value))
    return name.encode(), value.encode()


def _member(members: JsonObject, key: str, kind: type[T], owner: str) -> T | None:
    """Give the member `key`, None when it is absent; `owner` is for the error."""
    if key not in members:
        return None
    value = members[key]
    if not isinstance(value, kind):
        raise _wrong_type(owner, key, value)
    return value


def _bytes_member(members: JsonObject, key: str, owner: str) -> bytes | None:
    """Give the bytes that ``key-bin`` (base64) or else `key` (text) stands for, None when both are absent."""
    encoded = _member(members, f"{key}-bin", str, owner)
    if encoded is not None:
        return decode_base64(encoded.encode())
    text = _member(members, key, str, owner)
    return None if text is None else text.encode()


def _loose_int(members: JsonObject, key: str, owner: str, maximum: int) -> int | None:
    """Give the whole number 0 to `maximum` that the member `key` stands for, None when it is absent.

    As with Qt's QVariant, fractions are rounded, true is 1, and a string that is not a number is 0.
    """
    if key not in members:
        return None
    value = members[key]
    if isinstance(value, str):
        number = decode_int(value.encode()) or 0
    elif isinstance(value, float):
        number = math.floor(abs(value) + 0.5) * (-1 if value < 0 else 1)
    elif isinstance(value, int):
        number = int(value)
    else:
        raise _wrong_type(owner, key, value)
    if not 0 <= number <= maximum:
        raise instruct_error(f"{owner} contains '{key}' with invalid value", _shown(value))
    return number


def _wrong_type(owner: str, key: str, value: object) -> OriginError:
    return instruct_error(f"{owner} contains '{key}' with wrong type", _shown(value))


def _shown(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # it writes less deep nesting than it reads
        return b"..."
