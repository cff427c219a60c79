"""What is decided of a request before any origin is asked: its route, and whether it may go there."""

from dataclasses import dataclass

from gripproxy.engine.client_request import ClientRequest
from gripproxy.engine.effects import Respond
from gripproxy.engine.events import RequestArrived
from gripproxy.engine.exchange import ProxyRules
from gripproxy.errors import ClientError
from gripproxy.protocol.client_claims import is_forbidden_events
from gripproxy.protocol.jsonp import decode_jsonp
from gripproxy.protocol.reason_phrase import reason_phrase
from gripproxy.protocol.route import Route
from gripproxy.protocol.websocket_handshake import check_handshake, is_handshake

CHECK_NOTICE = "gripproxy, a GRIP proxy in place of Pushpin. License: Apache 2.0."  # what Pushpin-Check asks for
NO_ROUTE = Route(domain="", id="", targets=())  # of a request that is answered for want of one


@dataclass(slots=True)
class Refusal:
    """A request that goes to no origin, and how it is answered."""

    respond: Respond
    status: int


def admit(event: RequestArrived, rules: ProxyRules) -> tuple[ClientRequest, Refusal | None]:
    """Find a request's route; or answer it, where there is none or it must not go there."""
    head, settings, claims = event.head, rules.settings, rules.requests.claims
    is_websocket = is_handshake(head)
    is_https = event.is_https or claims.is_marked_https(head, event.client_ip)
    route_id = claims.wanted_route(head)
    route = rules.routes.find(head.host_name, is_https, head.path, is_websocket=is_websocket, route_id=route_id)
    settled = NO_ROUTE if route is None else route
    is_cross_origin = not is_websocket and (settled.aco or settings.auto_cross_origin)
    is_debug = settings.debug or settled.debug
    is_trusted = claims.is_trusted(head)
    traffic = rules.accounts.traffic.of(settled.id if settled.is_id_explicit else "")
    request = ClientRequest(
        head, event.client_ip, is_https, settled, is_debug, is_cross_origin, is_trusted, is_websocket, traffic=traffic
    )
    if is_websocket:
        return request, _refusal_of_socket(event, request)
    if is_cross_origin:
        try:
            request.jsonp = decode_jsonp(head, settled.jsonp)
        except ClientError as error:
            return request, _refuse(event, error.status, str(error), request)
    if head.is_check:
        return request, _refuse(event, 200, CHECK_NOTICE, request)
    if route is None:
        return request, _refuse(event, 502, f"No route for host: {head.host_name}", request)
    for target in route.targets:
        if target.over_http and is_forbidden_events(request.meant, target, is_trusted):
            return request, _refuse(event, 403, "Client not allowed to send WebSocket events directly.", request)
    return request, None


def _refusal_of_socket(event: RequestArrived, request: ClientRequest) -> Refusal | None:
    """Answer a request for a WebSocket that is none, or for which there is no route."""
    head = request.head
    try:
        check_handshake(head)
    except ClientError as error:
        head.is_keep_alive = False
        return _refuse(event, error.status, str(error), request)
    if request.route is NO_ROUTE:
        text = f"No route for host: {head.host_name}" if request.is_debug else "Route not found"
        payload, _ = request.answer(502, reason_phrase(502), [], text.encode() + b"\n")
        return Refusal(Respond(event.conn_id, payload, False), 502)
    return None


def _refuse(event: RequestArrived, status: int, text: str, request: ClientRequest) -> Refusal:
    """Answer instead of any origin. What is still to come of the request is not read: no other can follow it."""
    if not event.is_request_done:
        event.head.is_keep_alive = False
    return Refusal(Respond(event.conn_id, *request.answer_text(status, text)), status)
