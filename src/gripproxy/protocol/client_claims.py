"""What a request claims of its client, of proxies before us and of its route, and what of it is believed."""

from collections.abc import Callable

from gripproxy.protocol.front_proxies import FrontProxies
from gripproxy.protocol.grip_sig import GripVerifier, SigKey
from gripproxy.protocol.header_params import header_value
from gripproxy.protocol.http1 import RequestHead
from gripproxy.protocol.route_target import Target
from gripproxy.settings import Settings


class ClientClaims:
    """Judges what requests claim; one for each worker.

    Args:
        unix_time: gives the wall clock's seconds since 1970, by which tokens expire.
        upstream_key: verifies the tokens of proxies in front, whose clients then are theirs; None trusts nobody.
    """

    def __init__(self, settings: Settings, unix_time: Callable[[], float], upstream_key: SigKey | None) -> None:
        self._unix_time = unix_time
        self.reload(settings, upstream_key)

    def reload(self, settings: Settings, upstream_key: SigKey | None) -> None:
        """Go by these settings and this key from now on."""
        self._settings = settings
        self.proxies = FrontProxies(settings.set_real_ip_from)
        self._verifier = None if upstream_key is None else GripVerifier(upstream_key)

    def is_trusted(self, head: RequestHead) -> bool:
        """Whether the client is a GRIP proxy that proved it (`upstream_key`): it interprets the answer itself."""
        if self._verifier is None:
            return False
        token = header_value(head.headers, b"grip-sig")
        return token is not None and self._verifier.is_good(token, self._unix_time())

    def is_marked_https(self, head: RequestHead, client_ip: str) -> bool:
        """Whether the client was itself asked over TLS, where it is to be believed (`accept_x_forwarded_protocol`).

        Source: Pushpin; X-Forwarded-Protocol counts only where X-Forwarded-Proto is absent or empty. If it is said
        which proxies stand in front (`set_real_ip_from`), only those are believed.
        """
        settings = self._settings
        if not settings.accept_x_forwarded_protocol or settings.set_real_ip_from and not self.proxies.has(client_ip):
            return False
        headers = head.headers
        protocol = header_value(headers, b"x-forwarded-proto") or header_value(headers, b"x-forwarded-protocol")
        return protocol in (b"https", b"wss")

    def wanted_route(self, head: RequestHead) -> str | None:
        """Give the id of the route that the request asks for, where requests may (`accept_pushpin_route`)."""
        if not self._settings.accept_pushpin_route:
            return None
        route_id = header_value(head.headers, b"pushpin-route")
        return route_id.decode("utf-8", "surrogateescape") if route_id else None


def is_forbidden_events(head: RequestHead, target: Target, is_trusted: bool) -> bool:
    """Whether a client pretends to be a proxy that holds WebSockets: its target takes their events as requests."""
    if is_trusted or not target.over_http:
        return False
    types = [
        value.partition(b";")[0].strip().lower() for name, value in head.headers if name.lower() == b"content-type"
    ]
    return b"application/websocket-events" in types
