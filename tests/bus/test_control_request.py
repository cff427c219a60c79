"""Requests to the control port: what is read, what is refused with which text, in how many pieces it comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.bus.control_request import ControlRequest, ControlRequestError, ControlRequestReader

PUBLISH = b'POST /publish/ HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n{"items":[]}'
PUBLISH_HEADERS = {b"host": [b"a"], b"content-length": [b"12"]}


def reader() -> ControlRequestReader:
    return ControlRequestReader(head_max_bytes=200, body_max_bytes=50)


def test_request_is_complete_with_its_body() -> None:
    """The announced length decides, not a pause in the bytes."""
    request_reader = reader()
    assert request_reader.feed(PUBLISH[:-1]) is None
    assert request_reader.feed(PUBLISH[-1:]) == ControlRequest(
        b"POST", b"/publish/", None, b'{"items":[]}', PUBLISH_HEADERS
    )


@given(st.lists(st.integers(0, len(PUBLISH))))
def test_pieces_do_not_matter(cuts: list[int]) -> None:
    """TCP may cut anywhere, also in the middle of the empty line."""
    request_reader, results, edges = reader(), [], [0, *sorted(cuts), len(PUBLISH)]
    for start, end in zip(edges, edges[1:], strict=False):
        results.append(request_reader.feed(PUBLISH[start:end]))
        if results[-1] is not None:
            break
    assert results[-1] == ControlRequest(b"POST", b"/publish/", None, b'{"items":[]}', PUBLISH_HEADERS)


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE", b"OPTIONS"])
def test_bodiless_methods_need_no_length(method: bytes) -> None:
    """And bare line feeds end lines too, as the reference."""
    assert reader().feed(method + b" / HTTP/1.1\n\n") == ControlRequest(method, b"/", None, b"")


def test_accept_headers_are_joined() -> None:
    """Two headers are one list (RFC 9110 section 5.3)."""
    request = reader().feed(b"GET / HTTP/1.1\r\nAccept: text/html\r\nX: y\r\naccept:  */*\r\n\r\n")
    assert request is not None
    assert request.accept == b"text/html,*/*"


def test_target_has_a_path_and_parameters() -> None:
    """Paths of our own may have a query, and nobody shall care for a slash at the end."""
    request = ControlRequest(b"GET", b"/stats/?a=1&a=%C3%A4&b", None, b"")
    assert request.path == b"/stats"
    assert request.parameters() == {"a": ["1", "\xe4"], "b": [""]}
    assert ControlRequest(b"GET", b"/", None, b"").path == b"/"
    with pytest.raises(ControlRequestError, match="Too many parameters"):
        ControlRequest(b"GET", b"/?" + b"a=1&" * 200, None, b"").parameters()


@pytest.mark.parametrize(
    ("sent", "status", "text"),
    [
        (b"\r\n\r\n", 400, "Failed to parse request header."),
        (b"GET /\r\n\r\n", 400, "Failed to parse request header."),
        (b"GET  / HTTP/1.1\r\n\r\n", 400, "Failed to parse request header."),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400, "Failed to parse request header."),
        (b"GET / HTTP/1.1\r\nA: b\r\n folded: c\r\n\r\n", 400, "Failed to parse request header."),
        (b"GET /" + b"a" * 200, 400, "Request header too large."),
        (b"GET /" + b"a" * 200 + b" HTTP/1.1\r\n\r\n", 400, "Request header too large."),
        (b"POST / HTTP/1.1\r\n\r\n", 411, "Request requires Content-Length."),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411, "Request requires Content-Length."),
        (b"POST / HTTP/1.1\r\nContent-Length: 1x\r\n\r\n", 400, "Bad Content-Length."),
        (b"POST / HTTP/1.1\r\nContent-Length: 1_0\r\n\r\n", 400, "Bad Content-Length."),
        (b"POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", 400, "Bad Content-Length."),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "Bad Content-Length."),
        (b"POST / HTTP/1.1\r\nContent-Length: 51\r\n\r\n", 413, "Request body too large."),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nabc", 400, "Request body exceeded Content-Length."),
        (b"POST / HTTP/1.1\r\nContent-Length: -2\r\n\r\n", 400, "Request body exceeded Content-Length."),
        (
            b"GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            400,
            "Request body exceeded Content-Length.",
        ),
    ],
)
def test_bad_requests_are_refused_with_the_reference_text(sent: bytes, status: int, text: str) -> None:
    """Publishers show this text to their developers."""
    with pytest.raises(ControlRequestError) as caught:
        reader().feed(sent)
    assert (caught.value.status, str(caught.value)) == (status, text)


def test_head_of_the_whole_limit_must_have_its_end() -> None:
    """As in the reference: no byte more could come that makes it a request."""
    line = b"GET / HTTP/1.1\r\nX: "
    assert reader().feed(line + b"a" * (200 - len(line) - 4) + b"\r\n\r\n") is not None
    waiting = reader()
    assert waiting.feed(line + b"a" * (199 - len(line))) is None
    with pytest.raises(ControlRequestError, match="too large"):
        waiting.feed(b"a")


def test_what_follows_a_request_without_a_body_is_not_looked_at() -> None:
    """As in the reference: one request, one answer."""
    request = reader().feed(b"GET / HTTP/1.1\r\n\r\nGET /else HTTP/1.1\r\n\r\n")
    assert request is not None
    assert (request.target, request.body) == (b"/", b"")


@pytest.mark.parametrize(
    ("version", "expect", "is_due"),
    [
        (b"HTTP/1.1", b"100-continue", True),
        (b"HTTP/1.1", b"100-Continue", False),
        (b"HTTP/1.0", b"100-continue", False),
    ],
)
def test_continue_is_due_once_for_the_exact_value(version: bytes, expect: bytes, is_due: bool) -> None:
    """A client that waits for it would wait for ever; one that speaks 1.0 cannot read it."""
    request_reader = reader()
    request_reader.feed(b"POST / %s\r\nExpect: %s\r\nContent-Length: 1\r\n\r\n" % (version, expect))
    assert [request_reader.take_continue(), request_reader.take_continue()] == [is_due, False]


def test_version_is_known_for_the_answer() -> None:
    """A 1.0 client gets a 1.0 answer, also to a request that is refused."""
    request_reader = reader()
    with pytest.raises(ControlRequestError):
        request_reader.feed(b"POST / HTTP/1.0\r\n\r\n")
    assert request_reader.is_http_1_0


@given(st.lists(st.binary(max_size=80), max_size=8))
def test_garbage_is_refused_or_waits_and_never_grows(pieces: list[bytes]) -> None:
    """Whatever comes, what is kept stays below the limits and nothing but a refusal is raised."""
    request_reader = reader()
    kept_bytes = 0
    for piece in pieces:
        try:
            if request_reader.feed(piece) is not None:
                return
        except ControlRequestError:
            return
        kept_bytes += len(piece)
        assert kept_bytes <= 200 + 50
