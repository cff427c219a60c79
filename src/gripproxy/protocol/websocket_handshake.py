"""The HTTP part of a WebSocket: which requests ask for one, what an origin is asked, and how it is agreed to.

Source: RFC 6455 section 4; the extension ``grip`` is GRIP's.
"""

from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha1

from gripproxy.errors import ClientError, OriginError
from gripproxy.protocol.header_params import decode_valued_params, find_param, split_list
from gripproxy.protocol.http1 import NONE, SIZED, Headers, RequestHead, ResponseHead
from gripproxy.protocol.origin_response import origin_response_headers
from gripproxy.protocol.permessage_deflate import OFFER, is_agreed

KEY_MAX_BYTES = 200  # same as Pushpin: the key may be any text
DEFAULT_PREFIX = b"m:"  # of messages that an origin sends to its client

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_NOT_A_HANDSHAKE = (
    'Request contained an Upgrade header with value "websocket" but the request was not a valid WebSocket request.'
)
# Each leg of a connection has its own.
_OF_ONE_LEG = frozenset([b"upgrade", b"connection", b"sec-websocket-accept", b"sec-websocket-extensions"])
_ASKED_ANEW = _OF_ONE_LEG | {b"sec-websocket-key", b"sec-websocket-version"}


@dataclass(slots=True)
class OriginSocketTerms:
    """What an origin agreed to. `message_prefix` is None where that is not GRIP."""

    message_prefix: bytes | None
    is_deflating: bool


def is_handshake(head: RequestHead) -> bool:
    """Whether a request asks for a WebSocket, properly or not.

    Source: RFC 6455 section 4.2.1. Pushpin knows the lower case only and takes the rest for plain requests.
    """
    return head.upgrade is not None and head.upgrade.lower() == b"websocket"


def check_handshake(head: RequestHead) -> bytes:
    """Refuse a request for a WebSocket that is not as RFC 6455 wants it; give its key.

    A body, or whatever a parser of WebSockets would take for frames, is refused too. `Connection` is not looked at,
    as in Pushpin.

    Raises:
        ClientError: 400; the connection has to end with the answer.
    """
    keys = _values(head.headers, b"sec-websocket-key")
    is_good = (
        head.method == b"GET"
        and head.is_http11
        and (head.framing is NONE or head.framing is SIZED and head.content_length == 0)
        and _values(head.headers, b"sec-websocket-version") == [b"13"]
        and len(keys) == 1
        and 0 < len(keys[0]) <= KEY_MAX_BYTES
    )
    if not is_good:
        raise ClientError(_NOT_A_HANDSHAKE)
    return keys[0]


def accept_of(key: bytes) -> bytes:
    """Give the answer to a key."""
    return b64encode(sha1(key + _GUID, usedforsecurity=False).digest())


def encode_accept(
    reason: bytes, headers: Headers, key: bytes, deflate_answer: bytes | None, message_prefix: bytes | None = None
) -> bytes:
    """Write the 101 that a client gets.

    Args:
        reason, headers: the origin's.
        key: the client's.
        deflate_answer: what `permessage_deflate.agree` gave.
        message_prefix: if the client is a GRIP proxy, the prefix of messages to which the origin has agreed.
    """
    lines = [b"HTTP/1.1 101 " + reason]
    lines += [name + b": " + value for name, value in relayed_headers(headers)]
    lines += [b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Accept: " + accept_of(key)]
    if deflate_answer is not None:
        lines.append(b"Sec-WebSocket-Extensions: " + deflate_answer)
    if message_prefix is not None:
        quoted = message_prefix.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        lines.append(b'Sec-WebSocket-Extensions: grip; message-prefix="' + quoted + b'"')
    return b"\r\n".join(lines) + b"\r\n\r\n"


def relayed_headers(headers: Headers) -> Headers:
    """Give what of an origin's answer to a handshake, good or bad, goes on to the client; framing is the caller's."""
    kept = origin_response_headers(headers, is_grip=False)
    return [header for header in kept if header[0].lower() not in _OF_ONE_LEG]


def origin_headers(headers: Headers, nonce: bytes, is_grip: bool, is_deflating: bool) -> tuple[Headers, bytes]:
    """Give the headers of a handshake with a WebSocket origin, and the key in them.

    Args:
        headers: as `OriginRequests.headers` made them, for the client's handshake.
        nonce: 16 random bytes.
        is_grip: the origin is offered GRIP.
        is_deflating: the origin is offered compression, whatever the client's leg does.
    """
    key = b64encode(nonce)
    made = [header for header in headers if header[0].lower().replace(b"_", b"-") not in _ASKED_ANEW]
    if is_grip:
        made.append((b"Sec-WebSocket-Extensions", b"grip"))
    made += [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")]
    made += [(b"Sec-WebSocket-Version", b"13"), (b"Sec-WebSocket-Key", key)]
    if is_deflating:
        made.append((b"Sec-WebSocket-Extensions", OFFER))
    return made, key


def check_accept(head: ResponseHead, key: bytes, is_grip: bool, is_deflating: bool) -> OriginSocketTerms:
    """Give what a WebSocket origin agreed to with its 101, of what it was offered.

    Args:
        key, is_grip, is_deflating: as in the request, see `origin_headers`.

    Raises:
        OriginError: it is not an agreement to this handshake (RFC 6455 section 4.1), or to a compression that was not
            offered. Of other extensions that were not offered only their frames would tell.
    """
    if [value.lower() for value in _values(head.headers, b"upgrade")] != [b"websocket"]:
        raise OriginError("its 101 does not upgrade to websocket")
    options = [option.strip().lower() for value in _values(head.headers, b"connection") for option in value.split(b",")]
    if b"upgrade" not in options:
        raise OriginError("its 101 has no Connection: Upgrade")
    if _values(head.headers, b"sec-websocket-accept") != [accept_of(key)]:
        raise OriginError("its Sec-WebSocket-Accept is not the answer to the key")
    prefix = message_prefix_of(head.headers) if is_grip else None
    return OriginSocketTerms(prefix, is_agreed(_values(head.headers, b"sec-websocket-extensions"), is_deflating))


def message_prefix_of(headers: Headers) -> bytes | None:
    """Give the prefix of messages for the client if an origin's answer agrees to GRIP, else None.

    Source: Pushpin; an element with a quote that never ends is none, and a parameter without a value is empty.
    """
    for line in _values(headers, b"sec-websocket-extensions"):
        for element in split_list(line):
            extension = decode_valued_params(element)
            if extension is not None and extension[0] == b"grip":
                prefix = find_param(extension[1], b"message-prefix")
                return DEFAULT_PREFIX if prefix is None else prefix[1] or b""
    return None


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value for header, value in headers if header.lower() == name]
