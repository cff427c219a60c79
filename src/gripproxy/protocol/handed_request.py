"""What a hold that can ask its origin again keeps of its client's request, as it goes from one worker to another."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gripproxy.protocol.handed_batch import read_record
from gripproxy.protocol.http1 import BodyFraming, Headers, RequestHead
from gripproxy.protocol.jsonp import JsonpRequest
from gripproxy.protocol.link_url import LinkUrl

Pairs = Sequence[tuple[bytes, bytes]]


class HandedHead(NamedTuple):
    """A `RequestHead`."""

    method: bytes
    target: bytes
    is_http11: bool
    headers: Pairs = ()
    host: bytes = b"localhost"
    framing: int = 0
    content_length: int = 0
    is_keep_alive: bool = True
    is_expecting_continue: bool = False
    upgrade: bytes | None = None
    is_check: bool = False


class HandedJsonp(NamedTuple):
    """A `JsonpRequest`; `head` is a `HandedHead`."""

    head: Any
    body: bytes
    callback: bytes
    is_extended: bool


class HandedRequest(NamedTuple):
    """A `ClientRequest`. `route` is a number in the batch's table; `target` is the place among the route's."""

    head: Any
    client_ip: str
    is_https: bool
    route: int
    traffic: str = ""
    is_debug: bool = False
    is_cross_origin: bool = False
    is_trusted: bool = False
    is_websocket: bool = False
    target: int | None = None
    body: bytes = b""
    jsonp: Any = None


class HandedTracking(NamedTuple):
    """What a hold follows: see `Tracking`."""

    own: dict[str, str]
    ids: dict[str, str]
    filters: Mapping[str, Sequence[str]]
    meta: dict[str, str]
    names: Sequence[str] = ()


HandedUrl = tuple[bool, str, str]
Shared = dict[Any, Any]  # what the requests of a batch have in common, by itself: most headers are those of a browser


def hand_head(head: RequestHead) -> HandedHead:
    """Make plain values of a head."""
    return HandedHead(
        head.method,
        head.target,
        head.is_http11,
        head.headers,
        head.host,
        int(head.framing),
        head.content_length,
        head.is_keep_alive,
        head.is_expecting_continue,
        head.upgrade,
        head.is_check,
    )


def take_pairs(pairs: Pairs, shared: Shared) -> Headers:
    """Make headers of them again."""
    return [shared.setdefault(pair, pair) for pair in map(tuple, pairs)]


def take_head(values: Sequence[Any], shared: Shared) -> RequestHead:
    """Make a head of them again."""
    handed = read_record(HandedHead, values)
    return RequestHead(
        shared.setdefault(handed.method, handed.method),
        handed.target,
        handed.is_http11,
        take_pairs(handed.headers, shared),
        shared.setdefault(handed.host, handed.host),
        BodyFraming(handed.framing),
        handed.content_length,
        handed.is_keep_alive,
        handed.is_expecting_continue,
        handed.upgrade,
        handed.is_check,
    )


def hand_jsonp(jsonp: JsonpRequest | None) -> HandedJsonp | None:
    """Make plain values of what a script tag means."""
    return None if jsonp is None else HandedJsonp(hand_head(jsonp.head), jsonp.body, jsonp.callback, jsonp.is_extended)


def take_jsonp(values: Sequence[Any] | None, shared: Shared) -> JsonpRequest | None:
    """Make that of them again."""
    if values is None:
        return None
    handed = read_record(HandedJsonp, values)
    return JsonpRequest(take_head(handed.head, shared), handed.body, handed.callback, handed.is_extended)


def hand_url(url: LinkUrl | None) -> HandedUrl | None:
    """Make plain values of a URL."""
    return None if url is None else (url.is_https, url.host, url.target)


def take_url(values: Sequence[Any] | None) -> LinkUrl | None:
    """Make a URL of them again."""
    return None if values is None else LinkUrl(*values[:3])
