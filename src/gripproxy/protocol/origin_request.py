"""Which headers an origin gets: the client's, rewritten as the route and the settings say, and the proxy's own."""

from collections.abc import Callable, Mapping

from gripproxy.protocol.grip_sig import GripSigner, SigKey
from gripproxy.protocol.header_params import header_value, split_list
from gripproxy.protocol.http1 import Headers, RequestHead, without_port
from gripproxy.protocol.origin_response import USUAL_CONNECTION, connection_names
from gripproxy.protocol.route import Route
from gripproxy.protocol.route_target import Target
from gripproxy.settings import ForwardedForRule, ForwardedProtocol, Settings

MARK = b"eb9bf0f5-"  # Pushpin's prefix for headers as the first proxy saw them
GRIP_FEATURE = (b"Grip-Feature", b"status")  # what this version does of all that Pushpin names here

# Headers that do not go on as they are; True: they are looked at first. Framing is the caller's business.
# Content-Encoding stays: the body goes on as it came. Pushpin leaves Proxy-Connection, TE and Upgrade in place,
# but they are about the client's connection (RFC 9110 section 7.6.1).
_DROPPED = {
    b"accept-encoding": False,
    b"connection": True,
    b"content-length": False,
    b"expect": False,
    b"host": False,
    b"keep-alive": False,
    b"proxy-connection": False,
    b"te": True,
    b"transfer-encoding": False,
    b"upgrade": False,
    b"x-forwarded-for": True,
}
_FORWARDED_PROTOCOL = (b"x-forwarded-proto", b"x-forwarded-protocol")
# What a client must not be able to strip by naming it in Connection: who is behind it, and the guard against loops.
_NEVER_HOP_BY_HOP = frozenset([b"cdn-loop", b"forwarded", b"host", *_FORWARDED_PROTOCOL])
_PREFIXES = frozenset([b"grip-", MARK[:5]])
_TRUSTED_FORWARDED_FOR = ForwardedForRule()  # Pushpin's default for `x_forwarded_for_trusted`

_PROTO_HEADERS: dict[ForwardedProtocol, Headers] = {
    ForwardedProtocol.OFF: [],
    ForwardedProtocol.PROTO_ONLY: [(b"X-Forwarded-Proto", b"https")],
    ForwardedProtocol.BOTH: [(b"X-Forwarded-Proto", b"https"), (b"X-Forwarded-Protocol", b"https")],
}


class OriginRequests:
    """Makes the headers of every request to an origin; one for each worker.

    Args:
        keys: decoded signing keys by the text of their setting; a text that is not in it does not sign.
        unix_time: gives the wall clock's seconds since 1970, for the tokens.
    """

    def __init__(self, settings: Settings, keys: Mapping[str, SigKey], unix_time: Callable[[], float]) -> None:
        self._settings = settings
        self._unix_time = unix_time
        self._proto_headers = _PROTO_HEADERS[settings.set_x_forwarded_protocol]
        self._cdn_loop = settings.cdn_loop.encode()
        self._need_mark = frozenset(name.lower().encode() for name in settings.orig_headers_need_mark)
        self._dropped = dict(_DROPPED)
        if self._proto_headers or settings.accept_x_forwarded_protocol:
            self._dropped.update(dict.fromkeys(_FORWARDED_PROTOCOL, False))
        if self._cdn_loop:
            self._dropped[b"cdn-loop"] = True
        self.reload(keys)

    def reload(self, keys: Mapping[str, SigKey]) -> None:
        """Use these signing keys from now on, after the routes and the key files have been read again."""
        self._keys = keys
        self._signers: dict[tuple[str, str], GripSigner] = {}

    def headers(
        self,
        head: RequestHead,
        route: Route,
        target: Target,
        client_ip: str,
        is_https: bool,
        now: float,
        is_trusted: bool = False,
    ) -> tuple[Headers, str]:
        """Give the headers to send, Host first and without framing, and for TLS the name that a certificate must carry.

        Args:
            head: stays as it is, so that a request can be repeated.
            client_ip: empty for a client on a unix socket.
            now: monotonic seconds.
            is_trusted: the client is a GRIP proxy that proved it; its Grip-* headers go through.

        Source: the order of the steps is Pushpin's.
        """
        host = _origin_host(head, route, target)
        kept: Headers = [(b"Host", host)]
        looked_at: Headers = []
        dropped = self._dropped
        is_rewriting = route.headers or route.orig_headers
        for header in self._rewritten(head.headers, route, is_trusted) if is_rewriting else head.headers:
            lower = header[0].lower()
            if lower in dropped:
                if dropped[lower]:
                    looked_at.append((lower, header[1]))
            elif lower[:5] not in _PREFIXES or _keeps_prefixed(lower, route, is_trusted):
                kept.append(header)
        if looked_at:
            kept = _with_connection_applied(kept, looked_at, route)
        if self._cdn_loop:
            kept.append((b"CDN-Loop", b", ".join([*_elements(looked_at, b"cdn-loop"), self._cdn_loop])))
        if not is_trusted and not route.no_grip:
            self._add_grip(kept, route, now)
        if is_https:
            kept += self._proto_headers
        rule = _TRUSTED_FORWARDED_FOR if is_trusted else self._settings.x_forwarded_for
        if looked_at or rule.is_append:
            _add_forwarded_for(kept, _elements(looked_at, b"x-forwarded-for"), rule, client_ip)
        if not target.is_ssl:
            return kept, ""
        return kept, target.host if target.trust_connect_host else without_port(host)

    def _rewritten(self, headers: Headers, route: Route, is_trusted: bool) -> Headers:
        """Replace what the route's `header` properties name, then add the marked copies of `orig_headers`."""
        for name, value in route.headers:
            lower = name.lower()
            headers = [header for header in headers if header[0].lower() != lower]
            if value:
                headers.append((name, value))
        if not route.orig_headers or is_trusted:
            return headers
        marked = []
        unmarked = []
        for header in headers:
            lower = header[0].lower()
            if lower.startswith(MARK):
                marked.append(header)
                continue
            unmarked.append(header)
            if lower not in self._need_mark:
                marked.append((MARK + header[0], header[1]))
        return unmarked + marked

    def _add_grip(self, headers: Headers, route: Route, now: float) -> None:
        issuer = self._settings.sig_iss if route.sig_iss is None else route.sig_iss
        key_text = self._settings.sig_key if route.sig_key is None else route.sig_key
        key = self._keys.get(key_text)
        if key is not None and issuer:
            signer = self._signers.get((issuer, key_text))
            if signer is None:
                signer = self._signers[issuer, key_text] = GripSigner(issuer, key)
            headers.append((b"Grip-Sig", signer.token(now, self._unix_time)))
        headers.append(GRIP_FEATURE)


def is_marked_https(headers: Headers) -> bool:
    """Whether the client, if it is to be believed (`accept_x_forwarded_protocol`), was itself asked over TLS.

    Source: Pushpin; X-Forwarded-Protocol counts only where X-Forwarded-Proto is absent or empty.
    """
    protocol = header_value(headers, b"x-forwarded-proto") or header_value(headers, b"x-forwarded-protocol")
    return protocol in (b"https", b"wss")


def _origin_host(head: RequestHead, route: Route, target: Target) -> bytes:
    replacement = target.host_header or route.as_host
    return head.host if replacement is None else replacement.encode()


def _keeps_prefixed(name: bytes, route: Route, is_trusted: bool) -> bool:
    if name[:5] == b"grip-":
        return is_trusted
    return route.orig_headers or not name.startswith(MARK)


def _with_connection_applied(headers: Headers, looked_at: Headers, route: Route) -> Headers:
    """Leave out the headers that the client's Connection names, and say what remains of its TE.

    Source: RFC 9110 section 7.6.1. Pushpin leaves them in. What the route itself sets stays, named or not.
    """
    named: set[bytes] = set()
    for name, value in looked_at:
        if name == b"te" and value.lower() == b"trailers":
            headers.append((b"TE", value))
        elif name == b"connection" and value not in USUAL_CONNECTION:
            named.update(connection_names(value))
    if not named:
        return headers
    named -= _NEVER_HOP_BY_HOP
    named.difference_update(name.lower() for name, _ in route.headers)
    return [header for header in headers if (name := header[0].lower()) not in named or name.startswith(MARK)]


def _elements(looked_at: Headers, name: bytes) -> list[bytes]:
    return [element for header, value in looked_at if header == name for element in split_list(value)]


def _add_forwarded_for(headers: Headers, addresses: list[bytes], rule: ForwardedForRule, client_ip: str) -> None:
    if rule.truncate is not None:
        addresses = addresses[max(len(addresses) - rule.truncate, 0) :]
    if rule.is_append and client_ip:
        addresses.append(client_ip.encode())
    if addresses:
        headers.append((b"X-Forwarded-For", b", ".join(addresses)))
