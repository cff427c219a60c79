"""The CORS headers that responses of a route with ``aco`` get, so that pages of any origin can read them.

Preflight requests are the origin's to answer, like all others. Source: Pushpin's cors.cpp.
"""

from gripproxy.protocol.header_params import header_value, split_list
from gripproxy.protocol.http1 import Headers, breaks_lines

# A page can read these without being told, and hop-by-hop or GRIP headers never reach it.
_NOT_EXPOSED = frozenset(
    [
        b"cache-control",
        b"content-language",
        b"content-length",
        b"content-type",
        b"expires",
        b"last-modified",
        b"pragma",
    ]
)
_NOT_EXPOSED_PREFIXES = (b"access-control-", b"grip-")

_METHODS = b"OPTIONS, HEAD, GET, POST, PUT, DELETE"
_MAX_AGE = b"3600"  # seconds


def with_cors(request_headers: Headers, response_headers: Headers) -> Headers:
    """Give the response's headers with those of CORS behind them; what the origin has set itself stays as it is."""
    headers = list(response_headers)
    given = {name.lower() for name, _ in response_headers}
    for name, value in (
        (b"Access-Control-Allow-Methods", _asked(request_headers, b"access-control-request-method") or _METHODS),
        (b"Access-Control-Allow-Headers", _asked_headers(request_headers)),
        (b"Access-Control-Expose-Headers", _exposed(response_headers)),
        (b"Access-Control-Allow-Credentials", b"true"),
        (b"Access-Control-Allow-Origin", _asked(request_headers, b"origin") or b"*"),
        (b"Access-Control-Max-Age", _MAX_AGE),
    ):
        if value and name.lower() not in given:
            headers.append((name, value))
    return headers


def _asked(headers: Headers, name: bytes) -> bytes:
    """Give a request header to say it back, empty if there is none or it would break the response's head."""
    value = header_value(headers, name) or b""
    return b"" if breaks_lines(value) else value


def _asked_headers(headers: Headers) -> bytes:
    lines = [value for name, value in headers if name.lower() == b"access-control-request-headers"]
    names = [part for line in lines if not breaks_lines(line) for part in split_list(line)]
    return b", ".join(names)


def _exposed(headers: Headers) -> bytes:
    names: dict[bytes, bytes] = {}
    for name, _ in headers:
        lower = name.lower()
        if lower not in _NOT_EXPOSED and not lower.startswith(_NOT_EXPOSED_PREFIXES):
            names.setdefault(lower, name)
    return b", ".join(names.values())
