"""Fuzz targets for instructs, tokens, routes and configuration: text with a grammar."""

import contextlib

from gripproxy.errors import OriginError
from gripproxy.ini import parse_ini, split_value
from gripproxy.protocol.grip_sig import GripVerifier, decode_sig_key
from gripproxy.protocol.header_params import decode_int, decode_params, decode_valued_params, split_list
from gripproxy.protocol.http1 import Headers, breaks_lines
from gripproxy.protocol.instruct import Instruct, decode_instruct, is_instruct
from gripproxy.protocol.link_url import LinkUrl, resolve_link
from gripproxy.protocol.routes import parse_routes
from tests.fuzz.http_targets import check_headers

BASE_URL = LinkUrl(False, "h", "/a/b?c")
KEY = decode_sig_key("changeme")
assert KEY is not None
VERIFIER = GripVerifier(KEY)
INT_MAX = 2**31 - 1


def check_instruct(headers: Headers, body: bytes) -> None:
    """It is decoded or refused, and its response is one response."""
    try:
        instruct = decode_instruct(200, b"OK", headers, body)
    except OriginError:
        return
    check_headers(instruct.headers)
    assert not breaks_lines(instruct.reason)
    assert instruct.keep_alive is None or instruct.keep_alive.content
    assert 5 <= instruct.timeout_s <= INT_MAX and 0 <= instruct.status <= 999
    check_links(instruct)


def check_links(instruct: Instruct) -> None:
    """A link leads somewhere or is refused, and fits in a request line."""
    links = [instruct.next_link.uri if instruct.next_link else None, instruct.gone_link]
    for uri in links:
        if uri is not None:
            try:
                url = resolve_link(BASE_URL, uri)
            except OriginError:
                continue
            assert not breaks_lines(f"{url} {url.name} {url.port}".encode()) and " " not in str(url)


def instruct_headers(data: bytes) -> None:
    """Lines ``NAME: VALUE``, as httptools would give them: no CR, LF or NUL in them."""
    headers = []
    for line in data.replace(b"\r", b"").replace(b"\0", b"").split(b"\n"):
        name, _, value = line.partition(b":")
        headers.append((b"Grip-" + name if name in SHORT_NAMES else b"X-A", value.strip(b" \t")))
    if is_instruct(headers):
        check_instruct(headers, b"")


SHORT_NAMES = frozenset(
    [b"Hold", b"Channel", b"Timeout", b"Expose-Headers", b"Keep-Alive", b"Set-Meta", b"Status", b"Link"]
)


def instruct_json(data: bytes) -> None:
    """The body of an application/grip-instruct."""
    check_instruct([(b"Content-Type", b"application/grip-instruct")], data)


def header_params(data: bytes) -> None:
    """Every value is a list of parts without blanks around them, whatever their quotes are like."""
    for part in split_list(data):
        assert part == part.strip()
        decode_valued_params(part)
        decode_params(part)
        number = decode_int(part)
        assert number is None or -INT_MAX - 1 <= number <= INT_MAX


def grip_sig(data: bytes) -> None:
    """Nobody guesses a signature."""
    assert not VERIFIER.is_good(data, 1.0)


def routes(data: bytes) -> None:
    """A line is a route, or it is named in a warning, or it is a comment: the file is read to its end."""
    table, warnings = parse_routes(data.decode("utf-8", "replace"), "routes")
    assert table.count <= data.count(b"\n") + 1
    assert all(warning.startswith("routes:") for warning in warnings)
    table.find("a.test", False, b"/a", False)


def config_ini(data: bytes) -> None:
    """Every file has values, and warnings that name their line."""
    values, warnings = parse_ini(data.decode("utf-8", "replace"), "a.conf")
    assert all(warning.startswith("a.conf:") for warning in warnings)
    for value in values.values():
        with contextlib.suppress(ValueError):
            assert split_value(value.text)
