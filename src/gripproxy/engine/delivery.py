"""From an item to the end of a hold: what those whose wait is over get."""

from gripproxy.engine.effects import Effect, Finish
from gripproxy.engine.holds import ResponseHold, StreamHold
from gripproxy.protocol.http1 import LAST_CHUNK, Headers, encode_response
from gripproxy.protocol.publish_format import HttpResponseFormat
from gripproxy.protocol.reason_phrase import reason_phrase


def close_streams(holds: list[StreamHold]) -> list[Effect]:
    """End streams: a chunked one gets its last chunk, a persistent one can take another request."""
    groups: dict[tuple[bytes, bool], list[int]] = {}
    for hold in holds:
        key = (LAST_CHUNK if hold.shape.is_chunked else b"", hold.shape.is_persistent)
        groups.setdefault(key, []).append(hold.conn_id)
    return [Finish(payload, conn_ids, is_persistent) for (payload, is_persistent), conn_ids in groups.items()]


def answer_responses(holds: list[ResponseHold], published: HttpResponseFormat) -> list[Effect]:
    """Answer long-polls with a published response; holds that get the same bytes are answered in one effect."""
    payloads: dict[tuple[bool, bool, bool, tuple[tuple[bytes, bytes], ...]], tuple[bytes, bool]] = {}
    groups: dict[tuple[bytes, bool], list[int]] = {}
    for hold in holds:
        request = hold.request
        key = (request.is_http11, request.is_keep_alive, request.is_head, tuple(hold.headers))
        payload = payloads.get(key)
        if payload is None:
            payload = payloads[key] = _encode_published(hold, published)
        groups.setdefault(payload, []).append(hold.conn_id)
    return [Finish(payload, conn_ids, is_persistent) for (payload, is_persistent), conn_ids in groups.items()]


def _encode_published(hold: ResponseHold, published: HttpResponseFormat) -> tuple[bytes, bool]:
    reason = published.reason or reason_phrase(published.code)
    headers = merge_headers(hold.headers, published.headers or [])
    return encode_response(hold.request, published.code, reason, headers, published.body)


def merge_headers(held: Headers, published: Headers) -> Headers:
    """Merge the headers of the held response with the published ones.

    The held ones come first, less those that the publisher names; then the published ones in order. Neither side's
    framing headers and no published ``Grip-`` header get through. Those that a published ``Grip-Expose-Headers``
    names are removed: that is what Pushpin does, whatever the header's name says.
    """
    named = {name.lower() for name, _ in published}
    merged = [pair for pair in held if pair[0].lower() not in named]
    merged += [pair for pair in published if not pair[0].lower().startswith(b"grip-")]
    dropped = set(_FRAMING)
    for name, value in published:
        if name.lower() == b"grip-expose-headers":
            dropped.update(part.strip().lower() for part in value.split(b","))
    return [pair for pair in merged if pair[0].lower() not in dropped]


_FRAMING = (b"content-length", b"transfer-encoding", b"connection")
