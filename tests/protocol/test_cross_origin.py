"""CORS headers: their order, their values, and what an origin has said already."""

from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol.cross_origin import with_cors
from gripproxy.protocol.http1 import Headers, breaks_lines

HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            [b"Origin", b"Access-Control-Request-Method", b"access-control-request-headers", b"X-A", b"Grip-Hold"]
        ),
        st.binary(max_size=10),
    )
)


def test_a_plain_request() -> None:
    """Everything is allowed to everybody, and nothing is said that need not be."""
    assert with_cors([], [(b"Content-Type", b"text/plain"), (b"Content-Length", b"0")])[2:] == [
        (b"Access-Control-Allow-Methods", b"OPTIONS, HEAD, GET, POST, PUT, DELETE"),
        (b"Access-Control-Allow-Credentials", b"true"),
        (b"Access-Control-Allow-Origin", b"*"),
        (b"Access-Control-Max-Age", b"3600"),
    ]


def test_a_preflight_is_told_what_it_asks_for() -> None:
    """With credentials a browser accepts no ``*``."""
    request = [
        (b"ORIGIN", b"https://page.test"),
        (b"Access-Control-Request-Method", b"PATCH"),
        (b"Access-Control-Request-Headers", b"x-a ,x-b"),
        (b"Access-Control-Request-Headers", b"x-c"),
    ]
    assert with_cors(request, []) == [
        (b"Access-Control-Allow-Methods", b"PATCH"),
        (b"Access-Control-Allow-Headers", b"x-a, x-b, x-c"),
        (b"Access-Control-Allow-Credentials", b"true"),
        (b"Access-Control-Allow-Origin", b"https://page.test"),
        (b"Access-Control-Max-Age", b"3600"),
    ]


def test_a_page_may_read_the_response_headers() -> None:
    """All that it could not read anyway, each once, as spelled first."""
    names = b"X-A Cache-Control content-language Expires Last-Modified Pragma ETag x-a Grip-Status Access-Control-X"
    response = [(name, b"1") for name in names.split()]
    headers = dict(with_cors([], response))
    assert headers[b"Access-Control-Expose-Headers"] == b"X-A, ETag"


def test_what_the_origin_says_stays() -> None:
    """An origin may be stricter."""
    response = [(b"access-control-allow-origin", b"https://page.test"), (b"Access-Control-Max-Age", b"")]
    names = [name for name, _ in with_cors([(b"Origin", b"https://evil.test")], response)]
    assert names == [
        b"access-control-allow-origin",
        b"Access-Control-Max-Age",
        b"Access-Control-Allow-Methods",
        b"Access-Control-Allow-Credentials",
    ]
    assert len(response) == 2


def test_line_ends_are_not_said_back() -> None:
    """A client must not write the response of the next one."""
    request = [
        (b"Origin", b"a\r\nX: y"),
        (b"Access-Control-Request-Method", b"GET\n"),
        (b"Access-Control-Request-Headers", b"x\0"),
    ]
    assert with_cors(request, []) == with_cors([], [])


@given(HEADERS, HEADERS)
def test_any_headers(request: Headers, response: Headers) -> None:
    """The response's own come first, and no line is broken."""
    headers = with_cors(request, response)
    assert headers[: len(response)] == response
    assert not any(breaks_lines(value) or not value for _, value in headers[len(response) :])
