"""Which of an origin's response headers go on to the client."""

_DROPPED = frozenset([b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"content-length"])
USUAL_CONNECTION = frozenset([b"keep-alive", b"close", b"Keep-Alive", b"Close"])  # name no other header


def origin_response_headers(headers: list[tuple[bytes, bytes]], is_grip: bool) -> list[tuple[bytes, bytes]]:
    """Give the headers to relay: in order, as written, duplicates kept.

    Dropped are the connection's own headers, those that Connection names, and Content-Length and Transfer-Encoding,
    which the caller writes anew. With `is_grip` also Grip-* and Content-Encoding: published items, in another coding
    or none, follow or replace the origin's body. A response that is not GRIP keeps its Content-Encoding (Pushpin
    drops it and so hands out bodies nobody can read), and, on a no_grip route, its Grip-* headers.

    Source: RFC 9110 section 7.6.1; Pushpin's proxysession, which leaves headers named in Connection in place.
    """
    kept = []
    named: set[bytes] = set()
    for header in headers:
        lower = header[0].lower()
        if lower in _DROPPED:
            if lower == b"connection" and header[1] not in USUAL_CONNECTION:
                named.update(connection_names(header[1]))
        elif not (is_grip and (lower[:5] == b"grip-" or lower == b"content-encoding")):
            kept.append(header)
    if named:
        return [header for header in kept if header[0].lower() not in named]
    return kept


def connection_names(value: bytes) -> list[bytes]:
    """Give what a Connection header names, lower case: headers to drop, and the options close and keep-alive."""
    return [name.strip().lower() for name in value.split(b",")]
