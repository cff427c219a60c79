"""Percent-escapes in a request's path: one spelling of those that mean the same."""

import re

_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})?")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def normalize_escapes(target: bytes) -> bytes:
    """Write the path of an origin-form target with as few escapes as possible, in upper case; leave its query alone.

    Routes compare paths byte by byte and origins decode them: without this, ``/%61dmin`` would pass by a route for
    ``/admin`` and still be ``/admin`` at the origin of another one. A percent sign of no escape becomes ``%25``, or
    what is resolved behind it could make it one.

    Source: RFC 3986 sections 6.2.2.1 and 6.2.2.2; Pushpin's URL parser, which does the same before it looks for a
    route, and escapes what should be, such as ``|``.
    """
    if b"%" not in target:
        return target
    path, mark, query = target.partition(b"?")
    return _PERCENT.sub(_normalize, path) + mark + query


def _normalize(percent: re.Match[bytes]) -> bytes:
    if percent[1] is None:
        return b"%25"
    code = int(percent[1], 16)
    return bytes([code]) if code in _UNRESERVED else percent[0].upper()
