"""Filters that ask a server, as a conversation without the network."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import FilterError
from gripproxy.protocol.filters import FilterContext
from gripproxy.protocol.link_url import LinkUrl
from gripproxy.protocol.network_filter import RESPONSE_MAX_BYTES, FilterRequest, FilterRun, request_failed

BASE = LinkUrl(True, "d.test", "/stream?x=1")
META = {"url": "/check", "user": "alicé", "v": "VAL"}
TEXTS = st.text(max_size=10) | st.sampled_from(["http://[", "//a:b", "http://a:99999999", "/x", "https://b/?\n"])


def run(*filters: str, sub_meta: dict[str, str] | None = None, content: bytes = b"%(v)s") -> FilterRun:
    """Begin to filter an item of Bob's for a connection with two channels, one of which has an id."""
    item_meta = {"sender": "bob\n"}
    return FilterRun(
        filters,
        FilterContext(META if sub_meta is None else sub_meta, item_meta, {"c": "8"}, ["c", "d"]),
        {"c": "7"},
        content,
    )


def test_the_request_tells_what_the_server_needs() -> None:
    """Meta of both sides and where the receiver stands, and the content only where the server may change it."""
    headers = [
        (b"Sub-Meta", '{"url":"/check","user":"alicé","v":"VAL"}'.encode()),
        (b"Pub-Meta", b'{"sender":"bob\\n"}'),
        (b"Grip-Last", b"c; last-id=7"),
    ]
    assert run("http-check").advance(BASE) == FilterRequest(LinkUrl(True, "d.test", "/check"), headers, b"")
    assert run("http-modify").advance(BASE) == FilterRequest(LinkUrl(True, "d.test", "/check"), headers, b"%(v)s")


def test_other_filters_run_before_and_behind() -> None:
    """The order of the list holds across the waiting."""
    filters = run("http-modify", "unknown", "var-subst", "http-check", "var-subst")
    request = filters.advance(BASE)
    assert request is not None and request.body == b"%(v)s"
    filters.take_answer(200, [], b"new %(v)s %%%%")
    request = filters.advance(BASE)
    assert request is not None and request.body == b""
    filters.take_answer(204, [], b"")
    assert filters.advance(BASE) is None
    assert filters.content == b"new VAL %"


def test_an_item_that_is_dropped_asks_nobody() -> None:
    """What one filter drops is dropped."""
    filters = run("skip-self", "http-check", sub_meta={"user": "bob\n", "url": "/"})
    assert filters.advance(BASE) is None
    assert filters.content is None


@pytest.mark.parametrize(
    ("name", "status", "headers", "body", "content"),
    [
        ("http-check", 200, [], b"other", b"%(v)s"),
        ("http-check", 204, [], b"", b"%(v)s"),
        ("http-check", 200, [], b"x" * (RESPONSE_MAX_BYTES + 1), b"%(v)s"),
        ("http-modify", 204, [], b"", b"%(v)s"),
        ("http-modify", 200, [(b"action", b"Drop")], b"", b""),
        ("http-modify", 200, [], b"x" * RESPONSE_MAX_BYTES, b"x" * RESPONSE_MAX_BYTES),
        ("http-check", 200, [(b"ACTION", b"drop")], b"", None),
        ("http-modify", 204, [(b"Action", b"drop")], b"", None),
    ],
)
def test_answers(
    name: str, status: int, headers: list[tuple[bytes, bytes]], body: bytes, content: bytes | None
) -> None:
    """The server lets the item pass, drops it, or gives another content."""
    filters = run(name)
    assert filters.advance(BASE) is not None
    filters.take_answer(status, headers, body)
    assert filters.advance(BASE) is None
    assert filters.content == content


@pytest.mark.parametrize(
    ("name", "status", "body", "error"),
    [
        ("http-check", 400, b"", "unexpected network request status: code=400"),
        ("http-modify", 302, b"", "unexpected network request status: code=302"),
        ("http-modify", 200, b"x" * (RESPONSE_MAX_BYTES + 1), "network response exceeded 100000 bytes"),
    ],
)
def test_answers_that_are_none(name: str, status: int, body: bytes, error: str) -> None:
    """A server that is broken does not let items pass."""
    filters = run(name)
    filters.advance(BASE)
    with pytest.raises(FilterError) as caught:
        filters.take_answer(status, [], body)
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("url", "error"),
    [
        (None, "missing url value"),
        ("", "missing url value"),
        ("ftp://d.test/", "invalid url value"),
        ("http://[", "invalid url value"),
        ("http://d.test:0/", "invalid url value"),
        ("http://u:p@d.test/", "invalid url value"),
        ("/a b", "invalid url value"),
        ("/a\r\nX: y", "invalid url value"),
        ("/é", "invalid url value"),
    ],
)
def test_urls_that_lead_nowhere(url: str | None, error: str) -> None:
    """What is not a URL must not become part of a request."""
    with pytest.raises(FilterError) as caught:
        run("http-check", sub_meta={} if url is None else {"url": url}).advance(BASE)
    assert str(caught.value) == error


def test_failures_are_named() -> None:
    """A log line tells a refused connection from a slow server."""
    assert str(request_failed("tls error")) == "network request failed: tls error"


@given(TEXTS, st.dictionaries(TEXTS, TEXTS), st.dictionaries(TEXTS, TEXTS))
def test_no_header_line_is_ever_broken(url: str, item_meta: dict[str, str], ids: dict[str, str]) -> None:
    """Ids and meta come from publishers, who must not write requests to an origin."""
    filters = FilterRun(("http-modify",), FilterContext({"url": url}, item_meta, ids, ["c"]), ids, b"")
    with contextlib.suppress(FilterError):
        request = filters.advance(BASE)
        assert request is not None
        text = b"".join(
            [request.url.host.encode(), request.url.target.encode(), *[value for _, value in request.headers]]
        )
        assert not {*b"\r\n\0"} & {*text}
