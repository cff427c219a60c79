"""The header form of an instruct: one rule per Grip-* header.

A rule gets the values of all lines of its header, in order, and changes the `Instruct`; it raises `OriginError`.
"""

from collections.abc import Callable, Iterator
from urllib.parse import quote, urlsplit

from gripproxy.errors import OriginError
from gripproxy.protocol.header_params import (
    Param,
    decode_int,
    decode_params,
    decode_valued_params,
    find_param,
    split_list,
)
from gripproxy.protocol.instruct_parts import (
    HOLD_TIMEOUT_MIN_S,
    KEEP_ALIVE_TIMEOUT_DEFAULT_S,
    KEEP_ALIVE_TIMEOUT_MIN_S,
    NEXT_LINK_TIMEOUT_DEFAULT_S,
    STATUS_MAX,
    ChannelInstruct,
    HoldMode,
    Instruct,
    KeepAlive,
    NextLink,
    decode_text,
    instruct_error,
)
from gripproxy.protocol.reason_phrase import reason_phrase
from gripproxy.protocol.text_codec import decode_base64, decode_cstring

Rule = Callable[[Instruct, list[bytes]], None]

FILTERS_MAX_COUNT = 5  # per channel; same as Pushpin 1.41, which does not apply it to the JSON form either

_HOLD_MODES = {b"response": HoldMode.RESPONSE, b"stream": HoldMode.STREAM}
_URL_CHARS = b"!#$%&'()*+,/:;=?@[]"  # besides letters, digits and -._~


def _valued_elements(values: list[bytes]) -> Iterator[tuple[bytes, list[Param]]]:
    for value in values:
        for part in split_list(value):
            element = decode_valued_params(part)
            if element is not None:
                yield element


def _decode_seconds(value: bytes | None, name: str, unparsed_name: str) -> int:
    """Read a whole number of seconds, 0 or more; the names are for the two errors."""
    seconds = decode_int(value)
    if seconds is None:
        raise instruct_error(f"failed to parse {unparsed_name}", value or b"")
    if seconds < 0:
        raise instruct_error(f"{name} has invalid value", value or b"")
    return seconds


def _decode_hold(instruct: Instruct, values: list[bytes]) -> None:
    mode = _HOLD_MODES.get(values[0])
    if mode is None:
        raise instruct_error("Grip-Hold must be set to either 'response' or 'stream'", values[0])
    instruct.hold = mode


def _decode_channels(instruct: Instruct, values: list[bytes]) -> None:
    for value, params in _valued_elements(values):
        channel = ChannelInstruct(decode_text("Grip-Channel", value))
        filters = [text or b"" for name, text in params if name == b"filter"]
        if len(filters) > FILTERS_MAX_COUNT:
            raise OriginError(f"too many filters for channel '{channel.name}'")
        if filters:
            channel.filters = tuple(decode_text("Grip-Channel filter", text) for text in filters)
        prev_id = find_param(params, b"prev-id")
        if prev_id is not None and prev_id[1] is not None:
            channel.prev_id = decode_text("Grip-Channel prev-id", prev_id[1])
        instruct.channels.append(channel)


def _decode_timeout(instruct: Instruct, values: list[bytes]) -> None:
    timeout_s = _decode_seconds(values[0], "Grip-Timeout", "Grip-Timeout")
    instruct.timeout_s = max(timeout_s, HOLD_TIMEOUT_MIN_S)


def _apply_expose_headers(instruct: Instruct, values: list[bytes]) -> None:
    exposed = {name.lower() for value in values for name in split_list(value)}
    if exposed:
        instruct.headers = [header for header in instruct.headers if header[0].lower() in exposed]


def _decode_keep_alive(instruct: Instruct, values: list[bytes]) -> None:
    element = decode_valued_params(values[0]) if values[0].strip() else None
    if element is None:
        return
    text, params = element
    if not text:
        raise instruct_error("Grip-Keep-Alive cannot be empty", values[0])
    mode = _param_text(params, b"mode")
    if mode not in (b"", b"idle", b"interval"):
        raise OriginError(f"no such Grip-Keep-Alive mode '{decode_text('Grip-Keep-Alive mode', mode)}'")
    timeout = find_param(params, b"timeout")
    timeout_s = KEEP_ALIVE_TIMEOUT_DEFAULT_S
    if timeout is not None:
        timeout_s = _decode_seconds(timeout[1], "Grip-Keep-Alive timeout", "Grip-Keep-Alive timeout value")
    content = _decode_keep_alive_content(text, _param_text(params, b"format"))
    if content:
        instruct.keep_alive = KeepAlive(content, max(timeout_s, KEEP_ALIVE_TIMEOUT_MIN_S), mode == b"interval")


def _decode_keep_alive_content(text: bytes, format_name: bytes) -> bytes:
    if format_name in (b"", b"raw"):
        return text
    if format_name == b"cstring":
        content = decode_cstring(text)
        if not content:
            raise instruct_error("failed to parse Grip-Keep-Alive cstring format", text)
        return content
    if format_name == b"base64":
        return decode_base64(text)
    raise OriginError(f"no such Grip-Keep-Alive format '{decode_text('Grip-Keep-Alive format', format_name)}'")


def _param_text(params: list[Param], name: bytes) -> bytes:
    param = find_param(params, name)
    return b"" if param is None else param[1] or b""


def _decode_meta(instruct: Instruct, values: list[bytes]) -> None:
    for value in values:
        for part in split_list(value):
            params = decode_params(part)
            if params is None:
                continue
            if not part:
                raise instruct_error("Grip-Set-Meta cannot be empty", value)
            if not params:
                continue
            name, text = params[0]
            instruct.meta[decode_text("Grip-Set-Meta", name)] = decode_text("Grip-Set-Meta", text or b"")


def _decode_status(instruct: Instruct, values: list[bytes]) -> None:
    if not values[0]:
        return
    code_text, _, reason = values[0].partition(b" ")
    code = decode_int(code_text)
    if code is None or not 0 <= code <= STATUS_MAX:
        raise instruct_error("Grip-Status contains invalid status code", values[0])
    instruct.status = code
    instruct.reason = reason or reason_phrase(code)


def _decode_links(instruct: Instruct, values: list[bytes]) -> None:
    for value, params in _valued_elements(values):
        if not params:
            continue
        if len(value) < 3 or not value.startswith(b"<") or not value.endswith(b">"):
            raise instruct_error("failed to parse Grip-Link value", value)
        uri = _decode_uri(value[1:-1])
        relation = _param_text(params, b"rel")
        if relation == b"gone":
            instruct.gone_link = uri
        elif relation == b"next":
            timeout = find_param(params, b"timeout")
            timeout_s = NEXT_LINK_TIMEOUT_DEFAULT_S
            if timeout is not None:
                timeout_s = _decode_seconds(timeout[1], "Grip-Link timeout", "Grip-Link timeout value")
            instruct.next_link = NextLink(uri, timeout_s)


def _decode_uri(value: bytes) -> str:
    """Read an absolute or relative URL; what cannot stand in one is percent-encoded."""
    uri = quote(value, safe=_URL_CHARS)
    try:
        parts = urlsplit(uri)
        if parts.port is None or parts.port > 0:
            return uri
    except ValueError:  # brackets or a port that are none
        pass
    raise instruct_error("Grip-Link contains invalid link", value)


# In the order in which Pushpin checks: it decides which of several mistakes is told.
HEADER_RULES: dict[bytes, Rule] = {
    b"grip-hold": _decode_hold,
    b"grip-channel": _decode_channels,
    b"grip-timeout": _decode_timeout,
    b"grip-expose-headers": _apply_expose_headers,
    b"grip-keep-alive": _decode_keep_alive,
    b"grip-set-meta": _decode_meta,
    b"grip-status": _decode_status,
    b"grip-link": _decode_links,
}
