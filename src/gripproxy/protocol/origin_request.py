"""Which headers an origin gets: the client's, rewritten as the route and the settings say, and the proxy's own."""

import re
from collections.abc import Callable, Mapping, Sequence

from gripproxy.protocol.client_claims import ClientClaims
from gripproxy.protocol.grip_sig import GripSigner, SigKey
from gripproxy.protocol.header_fates import DROPPED, FORWARDED, GRIP, KEPT, MARK, MARKED, NOTED, OVER_HTTP, HeaderFates
from gripproxy.protocol.header_params import decode_valued_params, split_list
from gripproxy.protocol.http1 import Headers, RequestHead, without_port
from gripproxy.protocol.origin_response import USUAL_CONNECTION, connection_names
from gripproxy.protocol.route import Route
from gripproxy.protocol.route_target import Target
from gripproxy.protocol.websocket_handshake import is_handshake
from gripproxy.settings import ForwardedForRule, ForwardedProtocol, Settings

# All that the newest Pushpin names but `session`: there is no state service.
GRIP_FEATURE = (
    b"Grip-Feature",
    b"status, link:next, link:gone, "
    b"filter:skip-self, filter:skip-users, filter:require-sub, filter:build-id, filter:var-subst, "
    b"filter:http-check, filter:http-modify",
)

# What a client must not be able to strip by naming it in Connection: the guard against loops.
_NEVER_HOP_BY_HOP = frozenset([b"cdn-loop", b"host"])
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_QUOTE_OR_BACKSLASH = re.compile(rb'(["\\])')

_PROTO_HEADERS: dict[ForwardedProtocol, tuple[bytes, ...]] = {
    ForwardedProtocol.OFF: (),
    ForwardedProtocol.PROTO_ONLY: (b"X-Forwarded-Proto",),
    ForwardedProtocol.BOTH: (b"X-Forwarded-Proto", b"X-Forwarded-Protocol"),
}


class OriginRequests:
    """Makes the headers of every request to an origin; one for each worker.

    Args:
        keys: decoded signing keys by the text of their setting; a text that is not in it does not sign.
        unix_time: gives the wall clock's seconds since 1970, for the tokens.
        upstream_key: for `claims`, see there.
    """

    def __init__(
        self,
        settings: Settings,
        keys: Mapping[str, SigKey],
        unix_time: Callable[[], float],
        upstream_key: SigKey | None = None,
    ) -> None:
        self._unix_time = unix_time
        self.claims = ClientClaims(settings, unix_time, upstream_key)
        self.reload(settings, keys, upstream_key)

    def reload(self, settings: Settings, keys: Mapping[str, SigKey], upstream_key: SigKey | None) -> None:
        """Go by these settings and keys from now on: configuration, routes and key files have been read again."""
        self._settings = settings
        proto_names = _PROTO_HEADERS[settings.set_x_forwarded_protocol]
        self._https_headers: Headers = [(name, b"https") for name in proto_names]
        self._wss_headers: Headers = [(name, b"wss") for name in proto_names]
        self._cdn_loop = settings.cdn_loop.encode()
        self._need_mark = frozenset(name.lower().encode() for name in settings.orig_headers_need_mark)
        self._fates = HeaderFates(settings)
        # A rule for X-Forwarded-For says what to make of anybody's, unless it is said who stands in front.
        self._is_anyone_forwarding = settings.x_forwarded_for != ForwardedForRule() and not settings.set_real_ip_from
        self._keys = keys
        self._signers: dict[tuple[str, str], GripSigner] = {}
        self.claims.reload(settings, upstream_key)

    def headers(
        self,
        head: RequestHead,
        route: Route,
        target: Target,
        client_ip: str,
        is_https: bool,
        now: float,
        is_trusted: bool = False,
        grip_last: Sequence[tuple[str, str]] = (),
    ) -> tuple[Headers, str]:
        """Give the headers to send, Host first and without framing, and for TLS the name that a certificate must carry.

        Args:
            head: stays as it is, so that a request can be repeated.
            client_ip: empty for a client on a unix socket.
            now: monotonic seconds.
            is_trusted: see `ClientClaims`; its Grip-* headers go through.
            grip_last: of a request that is repeated for a hold: its channels, without the route's prefix, and the id
                at which each stands.

        Source: the order of the steps is Pushpin's.
        """
        host = _origin_host(head, route, target)
        kept: Headers = [(b"Host", host)]
        noted: Headers = []
        fates = self._fates
        is_rewriting = route.headers or route.orig_headers
        for header in self._rewritten(head.headers, route, is_trusted) if is_rewriting else head.headers:
            fate = fates[header[0]]
            if fate is KEPT:
                kept.append(header)
            elif fate is NOTED:
                noted.append((header[0].lower(), header[1]))
            elif fate is not DROPPED and self._may_say(fate, header[0], route, client_ip, is_trusted):
                kept.append(header)
        if noted:
            kept = self._with_connection_applied(kept, noted, route)
        if self._cdn_loop:
            kept.append((b"CDN-Loop", b", ".join([*_elements(noted, b"cdn-loop"), self._cdn_loop])))
        if not is_trusted and not route.no_grip:
            self._add_grip(kept, route, now)
            kept += encode_grip_last(grip_last)
        if is_https:
            kept += self._wss_headers if is_handshake(head) else self._https_headers
        rule = self._settings.x_forwarded_for_trusted if is_trusted else self._settings.x_forwarded_for
        if noted or rule.is_append:
            addresses = _elements(noted, b"x-forwarded-for")
            if addresses and not self._is_anyone_forwarding:
                is_said = self._may_say(FORWARDED, b"x-forwarded-for", route, client_ip, is_trusted)
                addresses = addresses if is_said else []
            _add_forwarded_for(kept, addresses, rule, client_ip)
        return kept, server_name(target, host)

    def link_headers(
        self,
        route: Route,
        target: Target,
        host: bytes,
        grip_last: Sequence[tuple[str, str]],
        now: float,
        is_https: bool = False,
    ) -> tuple[Headers, str]:
        """Give the headers of a request of our own for a link in an instruct, and the name for TLS, as `headers` does.

        Args:
            target: one of the route's own; any other one is a server that the link names, which does not get what the
                route's `header` properties say, passwords perhaps.
            host: of the link's URL, with its port if it says one.
            is_https: the scheme of the link's URL.

        Source: Pushpin, which sends such a request on the way that the client's went.
        """
        host = host if target.host_header is None else target.host_header.encode()
        made: Headers = [(b"Host", host), *encode_grip_last(grip_last)]
        is_own = any(target is each for each in route.targets)
        own = {name.lower(): (name, value) for name, value in route.headers if is_own}  # the one that applies last
        kinds = (KEPT, OVER_HTTP, FORWARDED)
        made += [header for name, header in own.items() if header[1] and self._fates[name] in kinds]
        if self._cdn_loop:
            made.append((b"CDN-Loop", self._cdn_loop))
        self._add_grip(made, route, now)
        if is_https:
            made += self._https_headers
        return made, server_name(target, host)

    def _may_say(self, fate: int, name: bytes, route: Route, client_ip: str, is_trusted: bool) -> bool:
        """Whether a header goes on that not everybody may send. What the route itself sets does, but not Grip-*."""
        if fate == MARKED:
            return route.orig_headers
        if is_trusted:
            return True
        if fate != GRIP and route.headers and any(own.lower() == name.lower() for own, _ in route.headers):
            return True
        return fate == FORWARDED and self.claims.proxies.has(client_ip)

    def _rewritten(self, headers: Headers, route: Route, is_trusted: bool) -> Headers:
        """Replace what the route's `header` properties name, then add the marked copies of `orig_headers`."""
        for name, value in route.headers:
            # With "_" in it, an origin behind CGI or WSGI may read the client's header for the route's.
            plain = name.lower().replace(b"_", b"-")
            headers = [header for header in headers if header[0].lower().replace(b"_", b"-") != plain]
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

    def grip_sig(self, route: Route, now: float) -> bytes | None:
        """Give a route's token, good for now; None if it has no key or no issuer."""
        issuer = self._settings.sig_iss if route.sig_iss is None else route.sig_iss
        key_text = self._settings.sig_key if route.sig_key is None else route.sig_key
        key = self._keys.get(key_text)
        if key is None or not issuer:
            return None
        signer = self._signers.get((issuer, key_text))
        if signer is None:
            signer = self._signers[issuer, key_text] = GripSigner(issuer, key)
        return signer.token(now, self._unix_time)

    def _add_grip(self, headers: Headers, route: Route, now: float) -> None:
        token = self.grip_sig(route, now)
        if token is not None:
            headers.append((b"Grip-Sig", token))
        headers.append(GRIP_FEATURE)

    def _with_connection_applied(self, headers: Headers, noted: Headers, route: Route) -> Headers:
        """Leave out the headers that the client's Connection names, and say what remains of its TE.

        Source: RFC 9110 section 7.6.1. Pushpin leaves them in. What the route itself sets stays, named or not, and so
        does what only some may say: nobody else can take it away.
        """
        named: set[bytes] = set()
        for name, value in noted:
            if name == b"te" and value.lower() == b"trailers":
                headers.append((b"TE", value))
            elif name == b"connection" and value not in USUAL_CONNECTION:
                named.update(connection_names(value))
        if not named:
            return headers
        named -= _NEVER_HOP_BY_HOP
        named.difference_update(name.lower() for name, _ in route.headers)
        return [header for header in headers if header[0].lower() not in named or self._is_guarded(header[0])]

    def _is_guarded(self, name: bytes) -> bool:
        return self._fates[name] in (GRIP, OVER_HTTP, MARKED, FORWARDED)


def encode_grip_last(grip_last: Sequence[tuple[str, str]]) -> Headers:
    """Say at which id each channel of a hold stands.

    A name or id that would not be read as it is, because it breaks the line or its grammar, is left out: the origin
    then answers as for a client that comes for the first time.
    """
    headers: Headers = []
    for channel, last_id in grip_last:
        name, value = channel.encode("utf-8", "surrogatepass"), last_id.encode("utf-8", "surrogatepass")
        quoted = b'"' + _QUOTE_OR_BACKSLASH.sub(rb"\\\1", value) + b'"'
        for text in (value, quoted):
            line = name + b"; last-id=" + text
            read = decode_valued_params(line)
            if read == (name, [(b"last-id", value)]) and split_list(line) == [line] and not _CONTROL.search(line):
                headers.append((b"Grip-Last", line))
                break
    return headers


def _origin_host(head: RequestHead, route: Route, target: Target) -> bytes:
    replacement = target.host_header or route.as_host
    return head.host if replacement is None else replacement.encode()


def server_name(target: Target, host: bytes) -> str:
    """Give the name that the certificate of a target must carry, of a request for this host; empty without TLS."""
    if not target.is_ssl:
        return ""
    return target.host if target.trust_connect_host else without_port(host)


def _elements(noted: Headers, name: bytes) -> list[bytes]:
    return [element for header, value in noted if header == name for element in split_list(value)]


def _add_forwarded_for(headers: Headers, addresses: list[bytes], rule: ForwardedForRule, client_ip: str) -> None:
    if rule.truncate is not None:
        addresses = addresses[max(len(addresses) - rule.truncate, 0) :]
    if rule.is_append and client_ip:
        addresses.append(client_ip.encode())
    if addresses:
        headers.append((b"X-Forwarded-For", b", ".join(addresses)))
