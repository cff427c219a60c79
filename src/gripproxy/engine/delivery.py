"""From an item to the end of a hold: what those whose wait is over get."""

from collections.abc import Iterable

from gripproxy.engine.client_request import stream_error
from gripproxy.engine.effects import Effect, Finish
from gripproxy.engine.holds import ResponseHold, StreamHold
from gripproxy.errors import PatchError
from gripproxy.protocol.http1 import LAST_CHUNK, Headers, encode_chunk
from gripproxy.protocol.json_patch import apply_patch
from gripproxy.protocol.publish_format import HttpResponseFormat
from gripproxy.protocol.reason_phrase import reason_phrase
from gripproxy.protocol.receipt import Receipt


def end_streams(
    holds: Iterable[StreamHold], text: str = "", is_item: bool = False, receipt: Receipt | None = None
) -> list[Effect]:
    """End streams, with an error text before the end if there is one.

    A chunked one gets its last chunk, a persistent one can take another request. `is_item`: as an item says.
    """
    groups: dict[tuple[bytes, bool], list[int]] = {}
    content = stream_error(text) if text else b""
    for hold in holds:
        payload = content
        if hold.shape.is_chunked:
            payload = (encode_chunk(content) if content else b"") + LAST_CHUNK
        groups.setdefault((payload, hold.shape.is_persistent), []).append(hold.conn_id)
    return [
        Finish(payload, conn_ids, is_persistent, is_item, receipt)
        for (payload, is_persistent), conn_ids in groups.items()
    ]


def refuse_responses(holds: Iterable[ResponseHold], text: str) -> list[Effect]:
    """Answer long-polls with the error that kept them from an item; the text is for debug routes."""
    answers = [(hold.conn_id, hold.request.answer_error(text)) for hold in holds]
    return [Finish(payload, (conn_id,), is_persistent) for conn_id, (payload, is_persistent) in answers]


PAYLOADS_MAX_COUNT = 16  # answers that are kept for later holds of the same item

Payloads = dict[object, tuple[bytes, bool]]


def answer_responses(
    holds: Iterable[ResponseHold],
    published: HttpResponseFormat,
    payloads: Payloads | None = None,
    receipt: Receipt | None = None,
) -> list[Effect]:
    """Answer long-polls with a published response; holds that get the same bytes are answered in one effect.

    `payloads` keeps some answers from one call for an item to the next. `receipt`: the item's, if it has one.
    """
    payloads = {} if payloads is None else payloads
    if len(payloads) > PAYLOADS_MAX_COUNT:
        payloads.clear()
    groups: dict[tuple[bytes, bool], list[int]] = {}
    for hold in holds:
        key = _equality_key(hold, published)
        payload = payloads.get(key)
        if payload is None:
            try:
                payload = encode_published(hold, published, patched_body(hold, published))
            except PatchError as error:
                payload = hold.request.answer_error(str(error))
            payloads[key] = payload
        groups.setdefault(payload, []).append(hold.conn_id)
    return [
        Finish(payload, conn_ids, is_persistent, True, receipt) for (payload, is_persistent), conn_ids in groups.items()
    ]


def _equality_key(hold: ResponseHold, published: HttpResponseFormat) -> object:
    """Give what holds have in common that get the same bytes."""
    head = hold.request.head
    if hold.request.is_cross_origin:
        return hold.conn_id
    key = (head.is_http11, head.is_keep_alive, head.is_head, tuple(hold.headers))
    return key if published.body_patch is None else (key, hold.request.is_debug, hold.body)


def patched_body(hold: ResponseHold, published: HttpResponseFormat) -> bytes:
    """Give the body of an item for a long-poll: its own, or the held one patched.

    Raises:
        PatchError: the patch does not fit the held body.
    """
    return published.body if published.body_patch is None else apply_patch(hold.body, published.body_patch)


def encode_published(hold: ResponseHold, published: HttpResponseFormat, body: bytes) -> tuple[bytes, bool]:
    """Write the answer that a long-poll gets for an item: `body`, and both sides' headers."""
    reason = published.reason or reason_phrase(published.code)
    headers = merge_headers(hold.headers, published.headers or [])
    return hold.request.answer(published.code, reason, headers, body, is_held=True)


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
