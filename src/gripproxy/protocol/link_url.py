"""Where a Grip-Link leads: resolved against the URL of the request whose response carried it."""

from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from gripproxy.errors import OriginError
from gripproxy.protocol.http1 import without_port

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class LinkUrl:
    """An absolute ``http`` or ``https`` URL. `host` is as a Host header says it, `target` path and query."""

    is_https: bool
    host: str
    target: str

    @property
    def name(self) -> str:
        """The host without port and brackets."""
        return without_port(self.host.encode()).lower()

    @property
    def port(self) -> int:
        port = urlsplit(f"//{self.host}").port
        return (443 if self.is_https else 80) if port is None else port

    def is_same_origin(self, other: "LinkUrl") -> bool:
        """Whether scheme, host and port are equal."""
        return (self.is_https, self.name, self.port) == (other.is_https, other.name, other.port)

    def __str__(self) -> str:
        return f"{'https' if self.is_https else 'http'}://{self.host}{self.target}"


def resolve_link(base: LinkUrl, uri: str) -> LinkUrl:
    """Make an absolute URL of a link's (RFC 3986 section 5). A fragment is dropped.

    Args:
        uri: printable ASCII without blanks, as `NextLink` has it.

    Raises:
        OriginError: it leads to no ``http`` or ``https`` server.
    """
    try:
        parts = urlsplit(urljoin(str(base), uri))
        port = parts.port
    except ValueError:
        raise OriginError(f"Grip-Link is not a URL: {uri[:200]!r}") from None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc or "\\" in parts.netloc or port == 0:
        raise OriginError(f"Grip-Link leads to no http or https server: {uri[:200]!r}")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return LinkUrl(parts.scheme == "https", parts.netloc, target)
