"""What becomes of a client's header on the way to an origin, by its name."""

from enum import IntEnum

from gripproxy.settings import ForwardedProtocol, Settings

MARK = b"eb9bf0f5-"  # Pushpin's prefix for headers as the first proxy saw them
NAMES_MAX_COUNT = 2048  # whose fate is remembered: real clients use a few dozen
NAME_MAX_BYTES = 64  # of one that is remembered: anybody can send longer ones


class Fate(IntEnum):
    """One of the ways that a header can go."""

    KEPT = 0
    DROPPED = 1
    NOTED = 2  # looked at, and perhaps written anew
    GRIP = 3  # only a trusted client may say it
    OVER_HTTP = 4  # likewise: it tells of a WebSocket that some proxy holds
    MARKED = 5  # only a route with `orig_headers` has it
    FORWARDED = 6  # only a proxy in front may say it: it tells who or where the client is


KEPT, DROPPED, NOTED, GRIP, OVER_HTTP, MARKED, FORWARDED = Fate

# Framing is the caller's business. Content-Encoding stays: the body goes on as it came. Pushpin leaves
# Proxy-Connection, TE and Upgrade in place, but they are about the client's connection (RFC 9110 section 7.6.1).
_BY_NAME = {
    b"accept-encoding": DROPPED,
    b"connection": NOTED,
    b"connection-id": OVER_HTTP,
    b"content-length": DROPPED,
    b"expect": DROPPED,
    b"forwarded": FORWARDED,
    b"host": DROPPED,
    b"keep-alive": DROPPED,
    b"proxy-connection": DROPPED,
    b"pushpin-check": DROPPED,  # it is said to the proxy
    b"te": NOTED,
    b"transfer-encoding": DROPPED,
    b"upgrade": DROPPED,
    b"x-forwarded-for": NOTED,
    b"x-real-ip": FORWARDED,
}
_BY_PREFIX = ((b"grip-", GRIP), (b"meta-", OVER_HTTP), (MARK, MARKED), (b"x-forwarded-", FORWARDED))
_FORWARDED_PROTOCOL = (b"x-forwarded-proto", b"x-forwarded-protocol")


class HeaderFates(dict[bytes, Fate]):
    """Header name, as written -> its fate. Asked for a name that is not in it, it finds out."""

    def __init__(self, settings: Settings) -> None:
        self._by_name = dict(_BY_NAME)
        if settings.set_x_forwarded_protocol is not ForwardedProtocol.OFF or settings.accept_x_forwarded_protocol:
            self._by_name.update(dict.fromkeys(_FORWARDED_PROTOCOL, DROPPED))
        if settings.accept_pushpin_route:
            self._by_name[b"pushpin-route"] = DROPPED
        if settings.cdn_loop:
            self._by_name[b"cdn-loop"] = NOTED

    def __missing__(self, name: bytes) -> Fate:
        fate = self._find(name.lower())
        if len(self) < NAMES_MAX_COUNT and len(name) <= NAME_MAX_BYTES:
            self[name] = fate
        return fate

    def _find(self, name: bytes) -> Fate:
        fate = self._by_name.get(name)
        if fate is None:
            fate = next((fate for prefix, fate in _BY_PREFIX if name.startswith(prefix)), KEPT)
        # CGI and WSGI make the same variable of X_Forwarded_For and X-Forwarded-For: such a name is nothing but a try.
        if fate is KEPT and b"_" in name and self._find(name.replace(b"_", b"-")) is not KEPT:
            return DROPPED
        return fate
