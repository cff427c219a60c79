"""Requests of our own on their way: who made each one, and so who hears what comes of it."""

from collections.abc import Callable
from typing import Any, Protocol

from gripproxy.engine.effects import AskLink, Effect
from gripproxy.engine.events import LinkDone, LinkFailed
from gripproxy.engine.traffic import RouteTraffic
from gripproxy.errors import InternalError
from gripproxy.protocol.http1 import NONE, SIZED, Headers, encode_request_head
from gripproxy.protocol.link_url import LinkUrl
from gripproxy.protocol.origin_request import OriginRequests
from gripproxy.protocol.route import Route
from gripproxy.protocol.route_target import Target

LinkHandler = Callable[[Any, float], list[Effect]]  # the event, now


class Asker(Protocol):
    """On whose behalf a request is made: a client's request, or a WebSocket client's shape."""

    @property
    def route(self) -> Route: ...

    @property
    def target(self) -> Target | None: ...

    @property
    def traffic(self) -> RouteTraffic: ...

    @property
    def url(self) -> LinkUrl: ...


class LinkRequests:
    """All of them in one worker, by their ids."""

    def __init__(self, requests: OriginRequests) -> None:
        self._requests = requests
        self._next_id = 0
        self._handlers: dict[int, LinkHandler] = {}

    @property
    def count(self) -> int:
        return len(self._handlers)

    def send(
        self,
        on_event: LinkHandler,
        request: Asker,
        url: LinkUrl,
        way: tuple[bytes, Target],
        now: float,
        method: bytes = b"GET",
        last_ids: tuple[tuple[str, str], ...] = (),
        headers: Headers | None = None,
        body: bytes = b"",
    ) -> AskLink:
        """Make a request to the path and target of `way`, on behalf of `request`.

        Args:
            on_event: called with each event of the link until the last one, or until `forget`.
            url: what is asked for: Host and scheme are its.
            last_ids: for Grip-Last.
            headers: more of them.
        """
        path, target = way
        self._next_id += 1
        self._handlers[self._next_id] = on_event
        host = url.host.encode()
        own, server_name = self._requests.link_headers(request.route, target, host, last_ids, now, url.is_https)
        head = encode_request_head(method, path, own + (headers or []), SIZED if body else NONE, len(body))
        return AskLink(self._next_id, target, server_name, head + body, request.traffic)

    def post(
        self, on_event: LinkHandler, target: Target, server_name: str, payload: bytes, traffic: RouteTraffic
    ) -> AskLink:
        """Send a whole request that was made elsewhere: one with events.

        It is sent again if a connection that was kept is closed before any answer: a client's messages must survive
        that, as they do at Pushpin, which leaves it to curl.
        """
        self._next_id += 1
        self._handlers[self._next_id] = on_event
        return AskLink(self._next_id, target, server_name, payload, traffic, is_repeatable=True)

    def handle(self, event: Any, now: float) -> list[Effect]:
        """Pass an event on. One for a link that nobody asked for is our bug."""
        on_event = self._handlers.get(event.link_id)
        if on_event is None:
            raise InternalError(f"link {event.link_id} that nobody asked for got {type(event).__name__}")
        if isinstance(event, LinkDone | LinkFailed):
            del self._handlers[event.link_id]
        return on_event(event, now)

    def forget(self, link_id: int) -> bool:
        """Want no more events of a link; say whether it was still on its way."""
        return self._handlers.pop(link_id, None) is not None


def way_to(request: Asker, url: LinkUrl) -> tuple[bytes, tuple[Target, ...]]:
    """Say with which path, and where, a URL is asked for that an origin has named.

    One that leads to where the request itself went takes the same route; its path is rewritten if it is a public one,
    as the client would write it. A URL elsewhere is asked for there directly.
    """
    route = request.route
    path = url.target.encode()
    if url.is_same_origin(request.url):
        return (route.rewrite_path(path) if path.startswith(route.path_beg) else path), route.targets
    is_untrusted = request.target is not None and request.target.untrusted
    return path, (Target(host=url.name, port=url.port, is_ssl=url.is_https, untrusted=is_untrusted),)
