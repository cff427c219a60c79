"""What is decided of a request before any origin is asked: its route, and whether it may go there."""

from gripproxy.engine.client_request import ClientRequest
from gripproxy.engine.effects import Respond
from gripproxy.engine.events import RequestArrived
from gripproxy.engine.exchange import ProxyRules
from gripproxy.protocol.http1 import encode_text_response
from gripproxy.protocol.origin_request import is_marked_https


def admit(event: RequestArrived, rules: ProxyRules) -> ClientRequest | Respond:
    """Find a request's route; or answer it, where there is none or it must not go there."""
    head, settings = event.head, rules.settings
    if head.upgrade is not None and head.upgrade.lower() == b"websocket":
        return _refuse(event, 501, "WebSocket is not supported by this version.")
    is_https = event.is_https or (settings.accept_x_forwarded_protocol and is_marked_https(head.headers))
    route = rules.routes.find(head.host_name, is_https, head.path, is_websocket=False)
    if route is None:
        return _refuse(event, 502, f"No route for host: {head.host_name}")
    return ClientRequest(
        head, event.client_ip, is_https, route, settings.debug or route.debug, rules.requests.is_trusted(head)
    )


def _refuse(event: RequestArrived, status: int, text: str) -> Respond:
    """Answer without a route. What is still to come of the request is not read: no other can follow it."""
    if not event.is_request_done:
        event.head.is_keep_alive = False
    payload, is_persistent = encode_text_response(event.head, status, text)
    return Respond(event.conn_id, payload, is_persistent)
