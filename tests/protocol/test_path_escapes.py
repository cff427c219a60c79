"""One spelling for each path."""

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol.http1 import check_request
from gripproxy.protocol.path_escapes import normalize_escapes
from gripproxy.protocol.routes import parse_routes


@pytest.mark.parametrize(
    ("target", "normal"),
    [
        (b"/a?b", b"/a?b"),
        (b"/%61%7e%5F%2d%2E%30", b"/a~_-.0"),
        (b"/%c3%a9", b"/%C3%A9"),
        (b"/%2f%3F%23%25%20%00", b"/%2F%3F%23%25%20%00"),
        (b"/%2561", b"/%2561"),
        (b"/%%361", b"/%2561"),
        (b"/%6g|%6", b"/%256g|%256"),
        (b"/%41?%41=%c3", b"/A?%41=%c3"),
    ],
)
def test_escapes_that_need_not_be_are_resolved(target: bytes, normal: bytes) -> None:
    """What means something else unescaped stays, nothing is decoded twice, and queries are the origin's business."""
    assert normalize_escapes(target) == normal


@given(st.lists(st.sampled_from([b"%", b"%2", b"%25", b"%36", b"%c3", b"3", b"6", b"/", b"?", b"~"])).map(b"".join))
def test_meaning_stays_the_same(target: bytes) -> None:
    """An origin that decodes it finds what the client sent."""
    normal = normalize_escapes(target)
    assert unquote_to_bytes(normal.partition(b"?")[0]) == unquote_to_bytes(target.partition(b"?")[0])
    assert normal.count(b"/") == target.count(b"/") and normal.count(b"?") == target.count(b"?")
    assert normalize_escapes(normal) == normal


def test_escaped_letter_gets_no_request_past_a_route() -> None:
    """The origin of the other route would take it for the same path."""
    table = parse_routes("* open:1\n*,path_beg=/admin closed:1\n*,path_beg=/%C3%A9 accent:1", "routes")[0]
    for target, host in ((b"/%61dmin/x", "closed"), (b"/%c3%a9", "accent"), (b"/%2561dmin", "open")):
        head = check_request(b"GET", target, True, [(b"Host", b"d.test")])
        route = table.find("d.test", False, head.path, False)
        assert route is not None and route.targets[0].host == host
