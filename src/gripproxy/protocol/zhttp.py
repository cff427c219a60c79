"""HTTP over ZeroMQ: the packets that the proxy and an origin behind a ``zhttp`` or ``zhttpreq`` target send each other.

The proxy is the protocol's client, the origin its server. A packet is one frame: ``T`` and a tnetstring map.
"""

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, cast

from gripproxy.errors import OriginError
from gripproxy.protocol.http1 import RESPONSE_HEAD_MAX_BYTES, Headers
from gripproxy.protocol.route_target import Target
from gripproxy.protocol.tnetstring import decode, encode, nested_size

CREDITS_BYTES = 200_000  # of a response that an origin may send before it hears from us; same as Pushpin
REQ_BODY_MAX_BYTES = 1_000_000  # in either direction of a zhttpreq target; same as Pushpin
IDS_MAX_COUNT = 128  # of requests that one packet may be for
KEYS_MAX_COUNT = 100  # of a packet: some thirty are known
NESTED_MAX_BYTES = 2 * RESPONSE_HEAD_MAX_BYTES  # of headers, ids and the like: many small ones would stop all others

_MARK = b"T"
_CHUNK = re.compile(rb"([0-9a-f]+)\r\n")


class PacketType(IntEnum):
    """What a packet is. The last four are of WebSockets."""

    DATA = 0
    ERROR = 1
    CREDIT = 2
    KEEP_ALIVE = 3
    CANCEL = 4
    HANDOFF_START = 5
    HANDOFF_PROCEED = 6
    CLOSE = 7
    PING = 8
    PONG = 9


DATA, ERROR, CREDIT, KEEP_ALIVE, CANCEL, HANDOFF_START, HANDOFF_PROCEED, CLOSE, PING, PONG = PacketType

_TYPES = {
    b"error": ERROR,
    b"credit": CREDIT,
    b"keep-alive": KEEP_ALIVE,
    b"cancel": CANCEL,
    b"handoff-start": HANDOFF_START,
    b"handoff-proceed": HANDOFF_PROCEED,
    b"close": CLOSE,
    b"ping": PING,
    b"pong": PONG,
}
_WORDS = {kind: word for word, kind in _TYPES.items()}

# What an origin may send, and as what. `user-data` may be anything, `id` and `headers` are looked at closer.
_KNOWN_KEYS: dict[str, type] = {
    "from": bytes,
    "seq": int,
    "type": bytes,
    "condition": bytes,
    "credits": int,
    "more": bool,
    "body": bytes,
    "content-type": bytes,
    "code": int,
    "reason": bytes,
    "ext": dict,
}


@dataclass(slots=True)
class RequestId:
    """A request's id in a packet, with the packet's number in this request's own sequence."""

    name: bytes
    seq: int | None


@dataclass(slots=True)
class ResponsePacket:
    """A packet from an origin. `sender` is its instance id, where later packets for it go."""

    ids: list[RequestId]
    type: PacketType = DATA
    sender: bytes | None = None
    condition: bytes = b""
    credits: int = 0
    is_more: bool = False
    body: bytes = b""
    code: int | None = None
    reason: bytes = b""
    headers: Headers | None = None
    is_multi: bool = False  # the sender takes packets for several requests
    content_type: bytes = b""  # of a WebSocket's message


@dataclass(slots=True)
class ZhttpRequest:
    """What of a request stands in its first packet."""

    method: bytes
    uri: bytes
    headers: Headers
    target: Target


def decode_response_packet(message: bytes) -> ResponsePacket:
    """Read a packet that an origin sent. Keys that are not known do not count.

    Raises:
        OriginError: it is no packet, or one of its values is of the wrong type; names the key.
    """
    if message[:1] != _MARK:
        raise OriginError(f"zhttp packet does not begin with {_MARK!r}: {message[:20]!r}")
    try:
        nested_bytes = nested_size(message[1:], KEYS_MAX_COUNT)
        if nested_bytes > NESTED_MAX_BYTES:
            raise OriginError(f"zhttp packet's headers and the like have {nested_bytes} bytes")
        values = cast(dict[str, Any], decode(message[1:]))
    except ValueError as error:
        raise OriginError(f"zhttp packet cannot be read: {error}") from None
    for key, value in values.items():
        known_type = _KNOWN_KEYS.get(key)
        if known_type is not None and type(value) is not known_type:
            raise OriginError(f"zhttp packet's {key} is not of type {known_type.__name__}: {_shown(value)}")
    ext = values.get("ext", {})
    if type(ext.get("multi", False)) is not bool:
        raise OriginError(f"zhttp packet's multi is not of type bool: {_shown(ext['multi'])}")
    credits_bytes = values.get("credits", 0)
    if credits_bytes < 0:
        raise OriginError(f"zhttp packet's credits are negative: {credits_bytes}")
    packet_type = DATA
    if "type" in values:
        packet_type = _decode_type(values["type"])
    return ResponsePacket(
        _decode_ids(values.get("id"), values.get("seq")),
        packet_type,
        values.get("from"),
        values.get("condition", b""),
        credits_bytes,
        values.get("more", False),
        values.get("body", b""),
        values.get("code"),
        values.get("reason", b""),
        _decode_headers(values["headers"]) if "headers" in values else None,
        ext.get("multi", False),
        values.get("content-type", b""),
    )


def _decode_type(word: bytes) -> PacketType:
    packet_type = _TYPES.get(word)
    if packet_type is None:
        raise OriginError(f"zhttp packet's type is unknown: {_shown(word)}")
    return packet_type


def _decode_ids(value: object, seq: int | None) -> list[RequestId]:
    if isinstance(value, bytes):
        return [RequestId(value, seq)]
    if not isinstance(value, list) or not 0 < len(value) <= IDS_MAX_COUNT:
        raise OriginError(f"zhttp packet's id is neither one nor a list of up to {IDS_MAX_COUNT}: {_shown(value)}")
    ids = []
    for entry in value:
        if not isinstance(entry, dict):
            raise OriginError(f"zhttp packet's id is not a map: {_shown(entry)}")
        name, number = entry.get("id"), entry.get("seq")
        if not isinstance(name, bytes) or (number is not None and type(number) is not int):
            raise OriginError(f"zhttp packet's id is not a map of id and seq: {_shown(entry)}")
        ids.append(RequestId(name, number))
    return ids


def _decode_headers(value: object) -> Headers:
    if not isinstance(value, list):
        raise OriginError(f"zhttp packet's headers are not a list: {_shown(value)}")
    headers = []
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, bytes) for part in pair):
            raise OriginError(f"zhttp packet's header is not a pair of strings: {_shown(pair)}")
        headers.append((pair[0], pair[1]))
    return headers


def encode_packet(values: dict[str, object]) -> bytes:
    """Write a packet of these keys."""
    return _MARK + encode(values)


def encode_req(request: ZhttpRequest, name: bytes, instance: bytes, body: bytes) -> bytes:
    """Write the one packet of a request to a zhttpreq target."""
    values = _request_values(request, name, instance)
    values["max-size"] = REQ_BODY_MAX_BYTES
    if body:
        values["body"] = body
    return encode_packet(values)


def encode_first(request: ZhttpRequest, name: bytes, instance: bytes, body: bytes, is_more: bool) -> bytes:
    """Write the first packet of a request to a zhttp target."""
    values = _request_values(request, name, instance)
    values.update(seq=0, stream=True, credits=CREDITS_BYTES, ext={"multi": True})
    values["router-resp"] = True
    if body:
        values["body"] = body
    if is_more:
        values["more"] = True
    return encode_packet(values)


def encode_first_of_socket(request: ZhttpRequest, name: bytes, instance: bytes) -> bytes:
    """Write the first packet of a WebSocket: that it is one, its URI tells."""
    values = _request_values(request, name, instance)
    del values["method"]
    values["uri"] = b"ws" + request.uri.removeprefix(b"http")
    values.update({"seq": 0, "credits": CREDITS_BYTES, "ext": {"multi": True}, "router-resp": True})
    return encode_packet(values)


def _request_values(request: ZhttpRequest, name: bytes, instance: bytes) -> dict[str, object]:
    target = request.target
    values: dict[str, object] = {
        "from": instance,
        "id": name,
        "method": request.method,
        "uri": request.uri,
        "headers": request.headers,
    }
    if not target.untrusted:
        values["ignore-policies"] = True
    if target.insecure:
        values["ignore-tls-errors"] = True
    if target.trust_connect_host:
        values["trust-connect-host"] = True
    return values


def encode_data(name: bytes, seq: int, instance: bytes, body: bytes, is_more: bool) -> bytes:
    """Write a further part of a request's body."""
    values: dict[str, object] = {"from": instance, "id": name, "seq": seq}
    if body:
        values["body"] = body
    if is_more:
        values["more"] = True
    return encode_packet(values)


def encode_message_part(
    name: bytes, seq: int, instance: bytes, content_type: bytes, body: bytes, is_more: bool
) -> bytes:
    """Write a WebSocket message, or a part of one. Like Pushpin it says with each part what the message is."""
    values = {"from": instance, "id": name, "seq": seq, "content-type": content_type, "body": body}
    return encode_packet({**values, "more": True} if is_more else values)


def encode_control(
    name: bytes, seq: int, instance: bytes, packet_type: PacketType, body: bytes, code: int | None = None
) -> bytes:
    """Write a ping, a pong or a close of a WebSocket; a close without a code has no body either."""
    values: dict[str, object] = {"from": instance, "id": name, "seq": seq, "type": _WORDS[packet_type]}
    if code is not None:
        values["code"] = code
    if body:
        values["body"] = body
    return encode_packet(values)


def encode_credit(name: bytes, seq: int, instance: bytes, credits_bytes: int) -> bytes:
    """Allow the origin to send so much more."""
    return encode_packet({"from": instance, "id": name, "seq": seq, "type": _WORDS[CREDIT], "credits": credits_bytes})


def encode_cancel(name: bytes, seq: int, instance: bytes) -> bytes:
    """Tell the origin to forget a request."""
    return encode_packet({"from": instance, "id": name, "seq": seq, "type": _WORDS[CANCEL]})


def encode_keep_alive(ids: list[RequestId], instance: bytes) -> bytes:
    """Tell the origin that these requests, at most `IDS_MAX_COUNT`, are still wanted."""
    values: dict[str, object] = {"from": instance, "type": _WORDS[KEEP_ALIVE]}
    if len(ids) == 1:
        values.update(id=ids[0].name, seq=ids[0].seq)
    else:
        values["id"] = [{"id": each.name, "seq": each.seq} for each in ids]
    return encode_packet(values)


def decode_request_head(head: bytes, target: Target) -> tuple[ZhttpRequest, int | None]:
    """Make a request of the head that an HTTP origin would get, written by `http1.encode_request_head`.

    What is about HTTP's framing is left out, but not Content-Length: it says how much will come.

    Returns:
        The request, and the size of the body that follows; None for one in chunks.
    """
    line, *fields = head.split(b"\r\n")
    method, path, _ = line.split(b" ")
    headers = []
    host = b""
    size: int | None = 0
    for field in fields:
        name, _, value = field.partition(b": ")
        lower = name.lower()
        if lower == b"transfer-encoding":
            size = None
            continue
        if lower == b"content-length":
            size = int(value)
        elif lower == b"host" and not host:
            host = value
        headers.append((name, value))
    scheme = b"https" if target.is_ssl else b"http"
    uri = b"%s://%s%s" % (scheme, host, b"" if path == b"*" else path)
    return ZhttpRequest(method, uri, headers, target), size


def decode_chunks(payload: bytes) -> tuple[bytes, bool]:
    """Take the content out of whole chunks, written by `http1.encode_chunk`, and tell whether the last one is there.

    Raises:
        ValueError: it is not of that form.
    """
    parts: list[bytes] = []
    position = 0
    while position < len(payload):
        match = _CHUNK.match(payload, position)
        if match is None:
            raise ValueError(f"no chunk at byte {position}")
        size = int(match[1], 16)
        if size == 0:
            return b"".join(parts), True
        parts.append(payload[match.end() : match.end() + size])
        position = match.end() + size + 2
    return b"".join(parts), False


def stream_addresses(spec: str) -> tuple[str, str, str]:
    """Give the addresses of a zhttp target's sockets: first packets out, later packets out, answers in.

    Args:
        spec: ``tcp://ADDRESS:PORT``, for which they are this port and the next two, or ``ipc://PATH``.
    """
    if spec.startswith("tcp://"):
        host, _, port = spec.rpartition(":")
        return spec, f"{host}:{int(port) + 1}", f"{host}:{int(port) + 2}"
    return f"{spec}-out", f"{spec}-out-stream", f"{spec}-in"


def _shown(value: object) -> str:
    return ascii(value)[:100]
