"""Requests with events, WebSocket-over-HTTP: their headers from a session's handshake, the rest from what is new."""

from collections.abc import Callable

from gripproxy.engine.client_request import ClientRequest
from gripproxy.engine.effects import AskLink
from gripproxy.engine.link_requests import LinkHandler, LinkRequests
from gripproxy.engine.over_http_origin import EventsOrigin
from gripproxy.engine.ws_session import WsShape
from gripproxy.protocol.events_request import EventsHead, encode_events_request, is_signed, make_events_head
from gripproxy.protocol.origin_request import OriginRequests, server_name
from gripproxy.protocol.route_target import Target


class EventsRequests:
    """Makes them for all sessions of a worker.

    Args:
        connection_id: gives the id, lower case with dashes, by which origins are to know a client.
    """

    def __init__(self, links: LinkRequests, requests: OriginRequests, connection_id: Callable[[int], bytes]) -> None:
        self._links = links
        self._requests = requests
        self._connection_id = connection_id

    def begin(self, conn_id: int, request: ClientRequest, target: Target, now: float) -> EventsHead:
        """Make the beginning of a new session's requests."""
        headers, _ = self._requests.headers(
            request.head, request.route, target, request.client_ip, request.is_https, now, request.is_trusted
        )
        has_grip = not request.is_uninterpreted
        path = request.route.rewrite_path(request.head.target)
        return make_events_head(path, headers, self._connection_id(conn_id), has_grip, request.is_grip_passed_on)

    def post(
        self,
        on_event: LinkHandler,
        shape: WsShape,
        origin: EventsOrigin,
        body: bytes,
        now: float,
        replayed_bytes: int = 0,
    ) -> AskLink:
        """Make a request; `on_event` gets what comes of it."""
        target, template = shape.target, shape.common_head
        token = self._requests.grip_sig(shape.route, now) if is_signed(template) else None
        payload = encode_events_request(template, origin.values, token, origin.meta, replayed_bytes, body)
        host = shape.url.host if target.host_header is None else target.host_header
        return self._links.post(on_event, target, server_name(target, host.encode()), payload, shape.traffic)

    def forget(self, link_id: int) -> bool:
        """Want no more events of a request; say whether it was still on its way."""
        return self._links.forget(link_id)
