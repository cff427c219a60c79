"""Where a Grip-Link leads: resolved against the URL of the request whose response carried it."""

from dataclasses import dataclass
from urllib.parse import urlsplit

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
    def scheme(self) -> str:
        return "https" if self.is_https else "http"

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
        return f"{self.scheme}://{self.host}{self.target}"


def root_of(url: LinkUrl) -> LinkUrl:
    """Give the URL of the same server's root."""
    return LinkUrl(url.is_https, url.host, "/")


def resolve_link(base: LinkUrl, uri: str) -> LinkUrl:
    """Make an absolute URL of a link's (RFC 3986 section 5). A fragment is dropped.

    Args:
        uri: printable ASCII without blanks, as `NextLink` has it.

    Raises:
        OriginError: it leads to no ``http`` or ``https`` server.
    """
    text, _, _ = uri.partition("#")
    text, mark, query = text.partition("?")
    try:
        parts = urlsplit(f"{base.scheme}:{text}" if text.startswith("//") else text)
        port = parts.port
    except ValueError:
        raise OriginError(f"Grip-Link is not a URL: {uri[:200]!r}") from None
    if not parts.scheme:
        base_path = base.target.partition("?")[0]
        if not parts.path:
            return LinkUrl(base.is_https, base.host, base_path + mark + query if mark else base.target)
        directory = "" if parts.path.startswith("/") else base_path.rpartition("/")[0] + "/"
        return LinkUrl(base.is_https, base.host, _without_dots(directory + parts.path) + mark + query)
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc or "\\" in parts.netloc or port == 0:
        raise OriginError(f"Grip-Link leads to no http or https server: {uri[:200]!r}")
    return LinkUrl(parts.scheme == "https", parts.netloc, _without_dots(parts.path or "/") + mark + query)


def _without_dots(path: str) -> str:
    """Carry out the ``.`` and ``..`` of a path. Empty segments count (Python's `urljoin` leaves some out)."""
    kept: list[str] = []
    *segments, last = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if last == "..":
        del kept[-1:]
    kept.append("" if last in (".", "..") else last)
    return "/" + "/".join(kept)
