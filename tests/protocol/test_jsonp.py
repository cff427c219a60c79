"""JSON-P, in the exact forms of the reference, and what must not get through it."""

import contextlib
import json
from dataclasses import replace
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import ClientError, OriginError
from gripproxy.protocol.http1 import CHUNKED, NONE, REQUEST_HEADERS_MAX_COUNT, SIZED, Headers, RequestHead, breaks_lines
from gripproxy.protocol.jsonp import JsonpRequest, JsonpRules, decode_jsonp, encode_jsonp

CLIENT_HEADERS = [(b"Host", b"d.test"), (b"accept", b"text/x"), (b"Cookie", b"c=1"), (b"X-A", b"client")]
ANSWER = [(b"X-A", b"1"), (b"Cache-Control", b"no-cache"), (b"X-A", b"2"), (b"x-a", b"3"), (b"Content-Type", b"t/x")]
BODIES = st.text(alphabet='a\r\n\u2028é"\\', max_size=10).map(str.encode) | st.binary(max_size=10)


def head(query: str, method: bytes = b"GET") -> RequestHead:
    """Make what a script tag sends."""
    return RequestHead(method, b"/p" + query.encode(), True, CLIENT_HEADERS, b"d.test:8000")


def decoded(query: str, **rules: object) -> JsonpRequest:
    """Decode a query that must be JSON-P."""
    request = decode_jsonp(head(query), JsonpRules(**rules))  # type: ignore[arg-type]
    assert request is not None
    return request


def refusal(query: str, **rules: object) -> str:
    """Give the text of a 400."""
    with pytest.raises(ClientError) as caught:
        decoded(query, **rules)
    assert caught.value.status == 400
    return str(caught.value)


def script(is_extended: bool) -> JsonpRequest:
    """Make a request whose callback is ``cb``."""
    return decoded("?callback=cb", is_extended=is_extended)


@pytest.mark.parametrize("query", ["", "?", "?a=1", "?Callback=cb", "?xcallback=cb", "?_method=POST", "?_body=1"])
def test_other_requests_are_left_alone(query: str) -> None:
    """The route serves ordinary requests too."""
    assert decode_jsonp(head(query), JsonpRules()) is None
    assert decode_jsonp(head(query), JsonpRules(default_callback=b"cb")) is None
    assert decode_jsonp(head(query), JsonpRules(default_callback=b"cb", body_param=b"q")) is None
    assert decode_jsonp(head("?callback=cb", b"POST"), JsonpRules()) is None
    assert decode_jsonp(head("?q=1"), JsonpRules(body_param=b"q")) is None


def test_the_origin_gets_the_request_that_is_meant() -> None:
    """Method, headers and body come out of the query, and what else is in it stays."""
    fields = quote(json.dumps({"X-B": " b ", "X-a": "page", "HOST": "evil", "Accept": "x"}))
    request = decoded(f"?b=%20&callback=a.b&_method=PUT&_headers={fields}&_body=x%2By+z&a&&callback=2")
    assert request == JsonpRequest(
        RequestHead(
            b"PUT",
            b"/p?b=%20&a",
            True,
            [
                (b"X-B", b"b"),
                (b"X-a", b"page"),
                (b"Host", b"d.test:8000"),
                (b"Accept", b"*/*"),
                (b"Cookie", b"c=1"),
            ],
            b"d.test:8000",
            framing=SIZED,
            content_length=5,
        ),
        b"x+y+z",
        b"a.b",
        True,
    )


@pytest.mark.parametrize(
    ("query", "target"),
    [
        ("?callback=cb", b"/p"),
        ("?callback=cb&", b"/p"),
        ("?callback=cb&&a&&b", b"/p?a&b"),
        ("?%63allback=cb&a=1", b"/p?a=1"),
        ("?a=1&callback=cb", b"/p?a=1"),
        ("?callback=cb&_headers={}&_body", b"/p"),
    ],
)
def test_the_query_that_is_left(query: str, target: bytes) -> None:
    """No lone question mark stays."""
    assert decoded(query).head.target == target


@pytest.mark.parametrize(
    ("rules", "method"),
    [
        ({}, b"GET"),
        ({"is_extended": False}, b"POST"),
        ({"default_method": b"PATCH"}, b"PATCH"),
        ({"is_extended": False, "default_method": b"PATCH"}, b"PATCH"),
    ],
)
def test_default_methods(rules: dict[str, object], method: bytes) -> None:
    """In basic mode a script tag is there to post something."""
    request = decoded("?callback=cb", **rules)
    assert (request.head.method, request.head.framing, request.body) == (method, NONE, b"")


def test_a_configured_body_is_json() -> None:
    """With a body parameter of its own the route speaks JSON, and may have a callback of its own."""
    fields = quote('{"Content-type": "text/plain"}')
    rules = {"callback_param": b"cb", "body_param": b"q", "default_callback": b"parent['on Data'](1)"}
    request = decoded(f"?q=%7B%7D&_headers={fields}&_body=1&callback=x", **rules)
    assert (request.body, request.callback) == (b"{}", b"parent['on Data'](1)")
    assert request.head.headers[0] == (b"Content-Type", b"application/json")
    assert request.head.target == b"/p?_body=1&callback=x"
    assert (decoded("?q=&cb=f", **rules).callback, decoded("?q=&cb=f", **rules).head.framing) == (b"f", SIZED)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("?callback=", "Invalid callback parameter."),
        ("?callback", "Invalid callback parameter."),
        ("?callback=%4", "Invalid callback parameter."),
        ("?callback=%zz&callback=cb", "Invalid callback parameter."),
        ("?callback=cb&_method=", "Invalid _method parameter."),
        ("?callback=cb&_method=%", "Invalid _method parameter."),
        ("?callback=cb&_method=GET%20/admin", "Invalid _method parameter."),
        ("?callback=cb&_method=A%0D%0AB", "Invalid _method parameter."),
        ("?callback=cb&_method=CONNECT", "Invalid _method parameter."),
        ("?callback=cb&_headers=", "Invalid _headers parameter."),
        ("?callback=cb&_headers=[]", "Invalid _headers parameter."),
        ("?callback=cb&_headers=%7B%22a%22:1%7D", "Invalid _headers parameter."),
        ("?callback=cb&_headers=%7B%22a%22:%22x%5Cr%5Cny%22%7D", "Invalid _headers parameter."),
        ("?callback=cb&_headers=%7B%22a:%22:%22x%22%7D", "Invalid _headers parameter."),
        ("?callback=cb&_headers=%7B%22a%22:%22x%22,%22a%22:%22y%22%7D", "Invalid _headers parameter."),
        ("?callback=cb&_headers=%7B%22", "Invalid _headers parameter."),
        ("?callback=cb&_body=%f", "Invalid _body parameter."),
    ],
)
def test_bad_parameters(query: str, error: str) -> None:
    """In the reference's words."""
    assert refusal(query) == error


def test_a_page_sets_no_more_headers_than_a_client_could() -> None:
    """An origin refuses what has too many, and a URL has room for hundreds."""
    fields = {f"X{n}": "" for n in range(REQUEST_HEADERS_MAX_COUNT)}
    query = "?callback=cb&_headers="
    assert decoded(query + quote(json.dumps(fields))).head.headers[:2] == [(b"X0", b""), (b"X1", b"")]
    assert refusal(query + quote(json.dumps(fields | {"Y": ""}))) == "Invalid _headers parameter."


def test_a_bad_configured_body() -> None:
    """Its name is the route's business."""
    assert refusal("?callback=cb&q=%", body_param=b"q") == "Invalid body parameter."


@pytest.mark.parametrize("callback", ["a", "_a.$b.c9", "a[0]['b c'].d", 'a["b-c"]', "angular.callbacks._0"])
def test_callbacks(callback: str) -> None:
    """Whatever libraries make, plain or percent-encoded."""
    assert decoded(f"?callback={quote(callback)}").callback == callback.encode()


@pytest.mark.parametrize(
    "callback",
    [
        "alert(1)",
        "a;b",
        "a=b",
        "a b",
        "a//",
        "a.",
        ".a",
        "a..b",
        "1a",
        "a[b]",
        "a['\\']",
        "a\n",
        "a<b>",
        "é",
        "a[",
        "*/",
    ],
)
def test_a_callback_is_a_name_and_no_program(callback: str) -> None:
    """Else a link to the server would run a stranger's script with the server's good name."""
    assert refusal(f"?callback={quote(callback)}") == "Invalid callback parameter."


@pytest.mark.parametrize("name", ["Transfer-Encoding", "content-length", "Connection", "Upgrade", "TE", "Expect"])
def test_a_page_cannot_change_the_framing(name: str) -> None:
    """The origin must read one request and not two."""
    request = decoded(f"?callback=cb&_headers={quote(json.dumps({name: 'x'}))}&_body=ab")
    assert name.lower().encode() not in [header.lower() for header, _ in request.head.headers]
    assert (request.head.framing, request.head.content_length) == (SIZED, 2)


def test_a_request_has_one_body() -> None:
    """A script tag sends none, and two would have to be glued together."""
    plain = head("?callback=cb")
    empty = replace(
        plain, framing=SIZED, content_length=0, headers=[(b"Content-Length", b"0")], is_expecting_continue=True
    )
    request = decode_jsonp(empty, JsonpRules())
    assert request is not None
    assert (request.head.framing, request.head.is_expecting_continue) == (NONE, False)
    assert request.head.headers == [(b"Host", b"d.test:8000"), (b"Accept", b"*/*")]
    for with_body in (replace(plain, framing=SIZED, content_length=1), replace(plain, framing=CHUNKED)):
        with pytest.raises(ClientError, match="^Invalid body parameter"):
            decode_jsonp(with_body, JsonpRules())


@pytest.mark.parametrize(
    ("body", "content"),
    [
        (b'{"a": 1}\r\n', b'{"a": 1}'),
        (b"1\n\n", b"1\n"),
        (b"", b""),
        ('"\u2028\u2029"'.encode(), b'"\\u2028\\u2029"'),
        (b"\xff\r", b"\xff\r"),
    ],
)
def test_basic_scripts(body: bytes, content: bytes) -> None:
    """The body is the argument, held or not."""
    answer = encode_jsonp(script(False), 404, b"No", ANSWER, body, is_held=False)
    assert answer == (
        [(b"Content-Type", b"application/javascript"), (b"Cache-Control", b"no-cache")],
        b"/**/cb(%s);\n" % content,
    )
    held_headers, held = encode_jsonp(script(False), 404, b"No", ANSWER, body, is_held=True)
    assert held == answer[1]
    assert held_headers == [*ANSWER[:-1], (b"Content-Type", b"application/javascript")]


def test_extended_scripts() -> None:
    """Status, headers and body are told, as the reference spells them."""
    headers = [*ANSWER, (b"Content-Length", b"5")]
    answer = encode_jsonp(
        script(True), 200, b"OK", headers, 'é"\u2028\n\xff'.encode("latin-1", "replace"), is_held=False
    )
    assert answer == (
        [(b"Content-Type", b"application/javascript"), (b"Cache-Control", b"no-cache")],
        b'/**/cb({"code": 200, "reason": "OK", "headers": {"Cache-Control":"no-cache","Content-Length":"5",'
        b'"Content-Type":"t/x","X-A":"1","x-a":"3"}, "body": "\xef\xbf\xbd\\"?\\n\xef\xbf\xbd"});\n',
    )


def test_extended_scripts_of_holds() -> None:
    """The same things in the other order, and headers of one name joined."""
    headers = [(b"Content-Length", b"3"), *ANSWER]
    answer = encode_jsonp(script(True), 202, b"Acc\xff", headers, "\u2029x".encode(), is_held=True)
    assert answer == (
        [*ANSWER[:-1], (b"Content-Type", b"application/javascript")],
        b'/**/cb({"body":"\\u2029x","code":202,"headers":{"Cache-Control":"no-cache","Content-Type":"t/x",'
        b'"X-A":"1, 2, 3"},"reason":"Acc\xef\xbf\xbd"});\n',
    )


def test_a_compressed_body_cannot_be_an_argument() -> None:
    """The browser would take the bytes for the script's own."""
    encode_jsonp(script(False), 200, b"OK", [(b"Content-Encoding", b"Identity")], b"", is_held=False)
    with pytest.raises(OriginError, match="^Upstream response could not be JSON-P encoded.$"):
        encode_jsonp(script(False), 200, b"OK", [(b"content-encoding", b"gzip")], b"", is_held=False)


@given(BODIES, st.booleans())
def test_an_extended_script_has_one_json_argument(body: bytes, is_held: bool) -> None:
    """Nothing that an origin sends can get out of its string."""
    text = encode_jsonp(script(True), 200, b"OK", [(b"A", body)], body, is_held)[1]
    assert text.startswith(b"/**/cb(") and text.endswith(b");\n")
    fields = json.loads(text[7:-3])
    assert fields["body"] == fields["headers"]["A"] == body.decode("utf-8", "replace")
    assert "\u2028" not in text.decode()


@given(st.text(alphabet="callback=&_methodbydrs?%20DA\r\n{}\":'é", max_size=40), st.booleans())
def test_any_query_is_read_or_refused(query: str, is_extended: bool) -> None:
    """Whatever a client sends, no other exception comes out, and no line is broken."""
    asked = RequestHead(b"GET", b"/?callback=a&" + query.encode(), True, CLIENT_HEADERS)
    with contextlib.suppress(ClientError):
        request = decode_jsonp(asked, JsonpRules(is_extended=is_extended))
        assert request is not None
        headers: Headers = request.head.headers
        assert not any(breaks_lines(name + value) for name, value in headers)
        assert not breaks_lines(request.head.method + request.callback)
