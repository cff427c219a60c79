"""What the headers of an origin's response to events say: WebSocket-over-HTTP."""

import re
from dataclasses import dataclass

from gripproxy.errors import OriginError
from gripproxy.protocol.header_params import decode_int, header_value
from gripproxy.protocol.http1 import Headers, ResponseHead, breaks_lines
from gripproxy.protocol.websocket_events import MEDIA_TYPE

Meta = tuple[tuple[bytes, bytes], ...]  # names as the origin spelled them, and values

META_MAX_BYTES = 65_536  # of all names and values: they are in each request, where hardly a server takes as much
INTERVAL_MIN_S = 20  # an origin that wants to be asked more often is not, same as Pushpin

_SET_META = b"set-meta-"
_OWN = frozenset([b"content-length", b"content-type", b"keep-alive-interval", b"content-bytes-accepted"])
_COUNT = re.compile(rb"0*[0-9]{1,10}")


@dataclass(slots=True)
class EventsAnswer:
    """The headers that are about the session.

    `interval_s` is None where the answer says nothing about it, 0 where it switches polling off. `accepted_bytes` is
    None where all was taken.
    """

    interval_s: int | None
    accepted_bytes: int | None
    changes: Meta


def is_events_answer(head: ResponseHead) -> bool:
    """Whether a response has events in its body: the origin knows what it was asked."""
    return head.status == 200 and header_value(head.headers, b"content-type") == MEDIA_TYPE


def why_no_events(head: ResponseHead) -> str:
    """Say for the log what keeps a response from being taken for events."""
    if head.status != 200:
        return f"it answered with status {head.status}"
    media_type = (header_value(head.headers, b"content-type") or b"").decode("latin-1")
    return f"it answered with Content-Type {media_type!r}, not {MEDIA_TYPE.decode()!r}"


def decode_answer(headers: Headers) -> EventsAnswer:
    """Read them. What makes no sense counts as absent, but a bad interval switches polling off, as in Pushpin."""
    interval_s: int | None = None
    accepted_bytes: int | None = None
    changes = []
    for name, value in headers:
        lower = name.lower()
        if lower == b"keep-alive-interval":
            wanted_s = decode_int(value) or 0
            interval_s = max(wanted_s, INTERVAL_MIN_S) if wanted_s > 0 else 0
        elif lower == b"content-bytes-accepted" and _COUNT.fullmatch(value.strip()):
            accepted_bytes = int(value.strip().lstrip(b"0") or b"0")
        elif lower.startswith(_SET_META) and len(name) > len(_SET_META) and not breaks_lines(value):
            changes.append((name[len(_SET_META) :], value))
    return EventsAnswer(interval_s, accepted_bytes, tuple(changes))


def with_changes(meta: Meta, changes: Meta) -> Meta:
    """Apply what `Set-Meta-` headers say: an empty value deletes; any case of a name means the same.

    Raises:
        OriginError: there would be too much of it.
    """
    changed = {name.lower(): (name, value) for name, value in meta}
    for name, value in changes:
        changed.pop(name.lower(), None)
        if value:
            changed[name.lower()] = name, value
    if sum([len(name) + len(value) for name, value in changed.values()]) > META_MAX_BYTES:
        raise OriginError(f"its client's meta exceeds {META_MAX_BYTES} bytes")
    return tuple(changed.values())


def client_headers(headers: Headers) -> Headers:
    """Give the headers of an acceptance that are not about the session: the client may see them."""
    kept = []
    for header in headers:
        lower = header[0].lower()
        if lower not in _OWN and not lower.startswith(_SET_META):
            kept.append(header)
    return kept
