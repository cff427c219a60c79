"""Recognize an origin's response that carries a GRIP instruct, and decode it."""

from gripproxy.protocol.header_params import header_value
from gripproxy.protocol.http1 import breaks_lines, is_header_name
from gripproxy.protocol.instruct_headers import HEADER_RULES
from gripproxy.protocol.instruct_json import apply_json_instruct
from gripproxy.protocol.instruct_parts import (
    ChannelInstruct,
    HoldMode,
    Instruct,
    KeepAlive,
    NextLink,
    instruct_error,
    merge_channels,
)
from gripproxy.protocol.origin_response import origin_response_headers
from gripproxy.protocol.reason_phrase import reason_phrase

__all__ = [
    "ChannelInstruct",
    "HoldMode",
    "Instruct",
    "KeepAlive",
    "NextLink",
    "decode_instruct",
    "is_instruct",
    "is_json_instruct",
]

_JSON_TYPE = b"application/grip-instruct"


def is_instruct(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether an origin's response is to be interpreted, by its headers.

    It is if any header's name starts with ``Grip-`` or the Content-Type, cut at the first ``;`` and not trimmed, is
    exactly application/grip-instruct. The caller knows whether the route and the client allow it.

    Source: Pushpin's proxysession, including its different treatment of blanks here and in `decode_instruct`.
    """
    is_type_seen = False
    for name, value in headers:
        if name[:1] not in b"GgCc":  # most are neither: this is asked of every response
            continue
        lower = name.lower()
        if lower[:5] == b"grip-":
            return True
        if lower == b"content-type" and not is_type_seen:
            is_type_seen = True
            if value.partition(b";")[0] == _JSON_TYPE:
                return True
    return False


def is_json_instruct(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether the body of a response that `is_instruct` is one, too: JSON, which `decode_instruct` will read."""
    content_type = header_value(headers, b"content-type") or b""
    return content_type.partition(b";")[0].strip() == _JSON_TYPE


def decode_instruct(status: int, reason: bytes, headers: list[tuple[bytes, bytes]], body: bytes) -> Instruct:
    """Decode an origin's response that `is_instruct`.

    Args:
        status: as the origin sent it; Grip-Status may replace it in the result.
        reason: the origin's phrase.
        headers: all of them, in order, Grip-* included.
        body: whole and without transfer coding; the caller has limited its size.

    Raises:
        OriginError: with Pushpin's text, followed by the value that is wrong.

    Source: GRIP, section "HTTP holds"; Pushpin's instruct.cpp for the order of the checks and their texts. Stricter
    than Pushpin on text that is not UTF-8 and on bytes that would end a header line.
    """
    grip: dict[bytes, list[bytes]] = {}
    content_type: bytes | None = None
    for name, value in headers:
        lower = name.lower()
        if lower[:5] == b"grip-":
            grip.setdefault(lower, []).append(value)
        elif lower == b"content-type" and content_type is None:
            content_type = value.partition(b";")[0].strip()
    instruct = Instruct(status, reason or reason_phrase(status), origin_response_headers(headers, is_grip=True), body)
    for name, rule in HEADER_RULES.items():
        if name in grip:
            rule(instruct, grip[name])
    if content_type == _JSON_TYPE:
        apply_json_instruct(instruct, status, body)
    instruct.channels = merge_channels(instruct.channels)
    _check_head(instruct)
    return instruct


def _check_head(instruct: Instruct) -> None:
    """Refuse what would add a line to the client's response head; look at it line by line if there is such a thing."""
    names = [name for name, _ in instruct.headers]
    text = b"".join([instruct.reason, *[value for _, value in instruct.headers]])
    if not breaks_lines(text) and b"" not in names and (not names or is_header_name(b"".join(names))):
        return
    if breaks_lines(instruct.reason):
        raise instruct_error("response contains 'reason' with invalid value", instruct.reason)
    for name, value in instruct.headers:
        if not is_header_name(name):
            raise instruct_error("header contains name element with invalid value", name)
        if breaks_lines(value):
            raise instruct_error(f"headers contains '{name.decode()}' with invalid value", value)
