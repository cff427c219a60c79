"""The heads of requests with events, WebSocket-over-HTTP: those of a session have the headers of its handshake.

What many clients say alike is a template that they share; each keeps only what is its own.
"""

from dataclasses import dataclass

from gripproxy.protocol.events_answer import Meta
from gripproxy.protocol.http1 import Headers
from gripproxy.protocol.websocket_events import MEDIA_TYPE

_SIGNATURE = b"\x01"  # where the token goes: no header has such a byte
_SEPARATOR = b"\0"  # nor this one
_ID_BYTES = 16  # of a UUID: there is one for each of a million clients, and its text has 36
OFFER = b"Sec-WebSocket-Extensions: grip"

# What a client says of the session, or of its own connection, is not for the origin to hear.
_DROPPED = frozenset(
    [
        *(b"accept", b"connection", b"connection-id", b"content-length", b"content-type", b"content-bytes-replayed"),
        *(b"sec-websocket-extensions", b"upgrade"),
    ]
)
# Few values are in use of these, or the proxy sets them: they are the template's. Not so of Sec-WebSocket-Protocol, the
# only header in which a page can send a token.
_SHARED = frozenset(
    [
        *(b"host", b"user-agent", b"origin", b"accept-language", b"cache-control", b"pragma", b"dnt", b"cdn-loop"),
        *(b"sec-websocket-version", b"sec-fetch-dest", b"sec-fetch-mode", b"sec-fetch-site", b"grip-feature"),
        *(b"x-forwarded-proto", b"x-forwarded-protocol"),
    ]
)


@dataclass(slots=True)
class EventsHead:
    """How all requests of a session begin: request line and headers.

    `values` are the client's own, for the places in the template: first the path, last the connection's id, in binary.
    """

    template: bytes
    values: bytes


def make_events_head(
    path: bytes, headers: Headers, connection_id: bytes, has_grip: bool, is_grip_passed_on: bool = False
) -> EventsHead:
    """Make the beginning of a session's requests.

    Args:
        path: with the query.
        headers: as `OriginRequests` makes them for the handshake, Host first.
        connection_id: a UUID, lower case with dashes.
        has_grip: GRIP is offered to the origin; a Grip-Sig is then ours, and made anew for each request.
        is_grip_passed_on: GRIP is offered for the client, a proxy that does it itself; the Grip-Sig is its own.
    """
    lines = [b"POST %b HTTP/1.1"]
    values = [path]
    is_offered = not has_grip and not is_grip_passed_on
    for name, value in headers:
        lower = name.lower()
        if lower in _DROPPED or lower.startswith(b"meta-"):
            continue
        if has_grip and not is_offered and lower in (b"grip-sig", b"grip-feature"):
            lines.append(OFFER)  # in the reference's place
            is_offered = True
        if has_grip and lower == b"grip-sig":
            lines.append(name + b": " + _SIGNATURE)
        elif lower in _SHARED or lower.startswith(b"sec-ch-ua"):
            lines.append((name + b": " + value).replace(b"%", b"%%"))
        else:
            lines.append(name.replace(b"%", b"%%") + b": %b")
            values.append(value)
    if not is_offered:
        lines.append(OFFER)
    lines += [b"Accept: " + MEDIA_TYPE, b"Connection-Id: %b", b"Content-Type: " + MEDIA_TYPE, b""]
    packed_id = bytes.fromhex(connection_id.replace(b"-", b"").decode())
    return EventsHead(b"\r\n".join(lines), _SEPARATOR.join(values) + packed_id)


def is_signed(template: bytes) -> bool:
    """Whether requests need a token of ours."""
    return _SIGNATURE in template


def path_of(values: bytes) -> bytes:
    """Give the path, with the query, that a session's requests go to."""
    return values[:-_ID_BYTES].partition(_SEPARATOR)[0]


def encode_events_request(
    template: bytes, values: bytes, token: bytes | None, meta: Meta, replayed_bytes: int, body: bytes
) -> bytes:
    """Write a whole request. `replayed_bytes` of its content have been sent before."""
    digits = values[-_ID_BYTES:].hex().encode()
    connection_id = b"-".join([digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]])
    lines = template % (*values[:-_ID_BYTES].split(_SEPARATOR), connection_id)
    if token is not None:
        lines = lines.replace(_SIGNATURE, token)
    request = b"%sContent-Length: %d\r\n" % (lines, len(body))
    if replayed_bytes:
        request += b"Content-Bytes-Replayed: %d\r\n" % replayed_bytes
    for name, value in meta:
        request += b"Meta-%s: %s\r\n" % (name, value)
    return request + b"\r\n" + body
