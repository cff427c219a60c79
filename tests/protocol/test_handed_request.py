"""A client's request on its way from one worker to another."""

from gripproxy.protocol.handed_batch import decode_batch, encode_batch, read_record
from gripproxy.protocol.handed_request import (
    HandedHead,
    HandedRequest,
    HandedTracking,
    Shared,
    hand_head,
    hand_jsonp,
    hand_url,
    take_head,
    take_jsonp,
    take_pairs,
    take_url,
)
from gripproxy.protocol.http1 import CHUNKED, RequestHead
from gripproxy.protocol.jsonp import JsonpRequest
from gripproxy.protocol.link_url import LinkUrl

HEADERS = [(b"Accept", b"*/*"), (b"X-Latin", b"\xe9")]
HEAD = RequestHead(b"POST", b"/a?b", True, HEADERS, b"d.test:81", CHUNKED, 7, False, True, b"websocket", True)


def test_head_is_the_same_again() -> None:
    """All of it: the origin may be asked again."""
    taken = take_head(decode_batch(encode_batch(hand_head(HEAD))), {})
    assert taken == HEAD
    assert taken.framing is CHUNKED and type(taken.headers[0]) is tuple


def test_head_of_an_earlier_version_has_defaults() -> None:
    """Its later fields it did not know."""
    assert take_head((b"GET", b"/", True), {}) == RequestHead(b"GET", b"/", True, [])
    assert read_record(HandedHead, (b"GET", b"/", True)).is_keep_alive


def test_headers_that_are_equal_are_one() -> None:
    """A batch of long-polls is of one browser's kind, mostly."""
    shared: Shared = {}
    first, second = take_pairs([[b"A", b"b"]], shared), take_pairs([[b"A", b"b"]], shared)  # type: ignore[list-item]
    assert first == second == [(b"A", b"b")]
    assert first is not second and first[0] is second[0]


def test_what_a_script_tag_means_is_the_same_again() -> None:
    """Its head and body are for the origin."""
    jsonp = JsonpRequest(HEAD, b"body", b"callback", True)
    assert take_jsonp(decode_batch(encode_batch(hand_jsonp(jsonp))), {}) == jsonp
    assert take_jsonp(hand_jsonp(None), {}) is None


def test_url_is_the_same_again() -> None:
    """Links are relative to it."""
    url = LinkUrl(True, "d.test:81", "/a?b")
    assert take_url(decode_batch(encode_batch(hand_url(url)))) == url
    assert take_url((*(hand_url(url) or ()), "later")) == url
    assert take_url(hand_url(None)) is None


def test_only_what_a_request_cannot_be_without_has_to_be_there() -> None:
    """The rest has defaults."""
    handed = read_record(HandedRequest, ((), "10.0.0.9", False, 0))
    assert (handed.traffic, handed.target, handed.body, handed.jsonp) == ("", None, b"", None)
    assert read_record(HandedTracking, ({}, {}, {}, {})).names == ()
