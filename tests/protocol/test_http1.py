"""What a request head must satisfy, and the bytes of every head and body that is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import ClientError, OriginError
from gripproxy.protocol.http1 import (
    REQUEST_HEADERS_MAX_COUNT,
    TARGET_MAX_BYTES,
    BodyFraming,
    Headers,
    RequestHead,
    breaks_lines,
    check_request,
    check_response,
    decode_fields,
    encode_chunk,
    encode_refusal,
    encode_request_head,
    encode_response,
    encode_response_head,
    encode_text_response,
    has_no_body,
    is_header_name,
    split_request_line,
)

NONE, SIZED, CHUNKED, UNTIL_CLOSE = BodyFraming
HOST = (b"Host", b"d.test")


def checked(
    headers: Headers | None = None, target: bytes = b"/", method: bytes = b"GET", is_http11: bool = True
) -> RequestHead:
    return check_request(method, target, is_http11, [HOST] if headers is None else headers)


def client(is_http11: bool = True, is_keep_alive: bool = True, method: bytes = b"GET") -> RequestHead:
    return RequestHead(method, b"/", is_http11, [], is_keep_alive=is_keep_alive)


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        (b"GET / HTTP/1.1", (b"GET", b"/", True)),
        (b"GET / HTTP/1.0", (b"GET", b"/", False)),
        (b"get /?a=b%20c HTTP/1.1", (b"get", b"/?a=b%20c", True)),
        (b"FOO! http://d.test/ HTTP/1.1", (b"FOO!", b"http://d.test/", True)),
        (b"OPTIONS * HTTP/1.1", (b"OPTIONS", b"*", True)),
    ],
)
def test_request_line_is_split(line: bytes, parts: tuple[bytes, bytes, bool]) -> None:
    """Any method that is a token goes on to the origin."""
    assert split_request_line(line) == parts


@pytest.mark.parametrize(
    ("line", "status", "text"),
    [
        (b"", 400, "invalid request line: ''"),
        (b"GET /", 400, "invalid request line"),
        (b"GET / HTTP/1.1 ", 400, "invalid request line"),
        (b"GET  / HTTP/1.1", 400, "invalid request line"),
        (b"GET\t/ HTTP/1.1", 400, "invalid request line"),
        (b"GET /a b HTTP/1.1", 400, "invalid request line"),
        (b"GET /\xc3\xa9 HTTP/1.1", 400, "invalid request line"),
        (b"GET /\x00 HTTP/1.1", 400, "invalid request line"),
        (b"G(T / HTTP/1.1", 400, "invalid request line"),
        (b" GET / HTTP/1.1", 400, "invalid request line"),
        (b"GET / http/1.1", 400, "invalid request line"),
        (b"GET / HTTP/1.10", 400, "invalid request line"),
        (b"GET / HTTP/0.9", 505, "invalid HTTP version: 'HTTP/0.9'"),
        (b"GET / HTTP/2.0", 505, "invalid HTTP version: 'HTTP/2.0'"),
        (b"GET / HTTP/1.2", 505, "invalid HTTP version: 'HTTP/1.2'"),
        (b"CONNECT d.test:443 HTTP/1.1", 501, "CONNECT is not supported"),
    ],
)
def test_odd_request_line_is_refused(line: bytes, status: int, text: str) -> None:
    """Two parsers must not read it differently; the answer shows what was wrong."""
    with pytest.raises(ClientError, match="^Failed to parse request: ") as caught:
        split_request_line(line)
    assert caught.value.status == status
    assert text in str(caught.value)


def test_error_shows_a_bounded_part_of_a_long_line() -> None:
    """The text goes into the log and to the client."""
    with pytest.raises(ClientError) as caught:
        split_request_line(b"x" * 10_000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("headers", "framing", "length"),
    [
        ([HOST], NONE, 0),
        ([HOST, (b"Content-Length", b"0")], SIZED, 0),
        ([HOST, (b"content-LENGTH", b"17")], SIZED, 17),
        ([HOST, (b"Content-Length", b"999999999999999999")], SIZED, 999_999_999_999_999_999),
        ([HOST, (b"Transfer-Encoding", b"chunked")], CHUNKED, 0),
        ([HOST, (b"Transfer-Encoding", b"Chunked")], CHUNKED, 0),
    ],
)
def test_body_framing_is_read(headers: Headers, framing: BodyFraming, length: int) -> None:
    """A body is there only if a header says so."""
    head = checked(headers)
    assert (head.framing, head.content_length) == (framing, length)


@pytest.mark.parametrize(
    ("headers", "status", "text"),
    [
        ([HOST, (b"Content-Length", b"")], 400, "invalid content length: ''"),
        ([HOST, (b"Content-Length", b"-1")], 400, "invalid content length: '-1'"),
        ([HOST, (b"Content-Length", b"+1")], 400, "invalid content length: '+1'"),
        ([HOST, (b"Content-Length", b"1_0")], 400, "invalid content length: '1_0'"),
        ([HOST, (b"Content-Length", b"0x10")], 400, "invalid content length: '0x10'"),
        ([HOST, (b"Content-Length", b"3, 3")], 400, "invalid content length: '3, 3'"),
        ([HOST, (b"Content-Length", "٣".encode())], 400, "invalid content length"),
        ([HOST, (b"Content-Length", b"9" * 19)], 400, "invalid content length"),
        ([HOST, (b"Content-Length", b"3"), (b"Content-Length", b"4")], 400, "invalid content length: '4'"),
        ([HOST, (b"Content-Length", b"3"), (b"Transfer-Encoding", b"chunked")], 400, "beside another body length"),
        ([HOST, (b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"3")], 400, "invalid content length: '3'"),
        ([HOST, (b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")], 400, "another body length"),
        ([HOST, (b"Transfer-Encoding", b"gzip, chunked")], 501, "unsupported transfer encoding: 'gzip, chunked'"),
        ([HOST, (b"Transfer-Encoding", b"gzip")], 400, "unsupported transfer encoding: 'gzip'"),
        ([HOST, (b"Transfer-Encoding", b"chunked, identity")], 400, "unsupported transfer encoding"),
        ([HOST, (b"Transfer-Encoding", b"identity")], 400, "unsupported transfer encoding: 'identity'"),
        ([HOST, (b"Transfer-Encoding", b"")], 400, "unsupported transfer encoding: ''"),
        ([HOST, (b"host", b"e.test")], 400, "Host given twice: 'd.test' and 'e.test'"),
        ([(b"Host", b"d.test/x")], 400, "Host is not a host: 'd.test/x'"),
        ([(b"Host", b"user@d.test")], 400, "Host is not a host"),
        ([(b"Host", b"d.test, e.test:1:2")], 400, "Host is not a host"),
        ([(b"Host", b"d.test:port")], 400, "Host is not a host"),
        ([(b"Host", b"[::1")], 400, "Host is not a host"),
        ([(b"Host", b"d\xc3\xa9.test")], 400, "Host is not a host"),
        ([HOST] + [(b"A", b"b")] * REQUEST_HEADERS_MAX_COUNT, 431, "too many headers: 65"),
    ],
)
def test_odd_header_is_refused(headers: Headers, status: int, text: str) -> None:
    """Each of these is read differently by some other server: that is how requests are smuggled."""
    with pytest.raises(ClientError, match="^Failed to parse request: ") as caught:
        checked(headers)
    assert caught.value.status == status
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        (b"A: b\r\n c", "invalid header name: ' c'"),
        (b" A: b", "invalid header name: ' A'"),
        (b"A : b", "invalid header name: 'A '"),
        (b"A", "invalid header name: 'A'"),
        (b": b", "invalid header name: ''"),
        (b"\xc3: b", r"invalid header name: '\xc3'"),
        (b"A\0: b", r"invalid header name: 'A\x00'"),
        (b"A: b\r\n\r\nC: d", "invalid header name: ''"),
        (b"A: b\0c", r"invalid header value: ' b\x00c'"),
        (b"A: \x7f", r"invalid header value: ' \x7f'"),
        (b"A: b\rc", r"invalid new line: 'A: b\rc'"),
        (b"A: b\nC: d", r"invalid new line: 'A: b\nC: d'"),
        (b"A: b\r", r"invalid new line: 'A: b\r'"),
    ],
)
def test_fault_of_a_header_line_is_told(fields: bytes, fault: str) -> None:
    """In the reference's words, with what is wrong behind them."""
    with pytest.raises(ClientError) as caught:
        decode_fields(fields)
    assert str(caught.value) == f"Failed to parse request: {fault}"
    assert caught.value.log_text == f"Failed to parse request: {fault.partition(':')[0]}"


def test_header_lines_are_split() -> None:
    """Blanks around a value are not its part; any byte above ASCII is (RFC 9110 section 5.5)."""
    assert decode_fields(b"") == []
    assert decode_fields(b"A:b\r\nc:\t d e \r\nA:\r\nF: \xff:") == [
        (b"A", b"b"),
        (b"c", b"d e"),
        (b"A", b""),
        (b"F", b"\xff:"),
    ]


def test_chunked_body_needs_http11() -> None:
    """HTTP/1.0 does not know it, so a server behind may take the chunks for a request."""
    with pytest.raises(ClientError, match=r"Transfer-Encoding in an HTTP/1\.0 request"):
        checked([HOST, (b"Transfer-Encoding", b"chunked")], is_http11=False)


def test_as_many_headers_as_allowed_pass() -> None:
    """The limit itself is legal."""
    headers = [HOST] + [(b"A", b"b")] * (REQUEST_HEADERS_MAX_COUNT - 1)
    assert checked(headers).headers is headers


@pytest.mark.parametrize(
    ("headers", "host", "host_name"),
    [
        ([], b"localhost", "localhost"),
        ([(b"Host", b"")], b"localhost", "localhost"),
        ([(b"hOST", b"D.Test:81")], b"D.Test:81", "d.test"),
        ([(b"Host", b"[::1]:81")], b"[::1]:81", "::1"),
        ([(b"Host", b"[2001:DB8::1]")], b"[2001:DB8::1]", "2001:db8::1"),
        ([(b"Host", b"under_score.test")], b"under_score.test", "under_score.test"),
    ],
)
def test_host_is_read(headers: Headers, host: bytes, host_name: str) -> None:
    """The origin gets it as written, routes compare it in lower case without port; without one it is localhost."""
    head = checked(headers)
    assert (head.host, head.host_name) == (host, host_name)


@pytest.mark.parametrize(
    ("target", "origin_form", "host"),
    [
        (b"/a/b?c=d", b"/a/b?c=d", b"d.test"),
        (b"//evil.test/a", b"//evil.test/a", b"d.test"),
        (b"/a?b#c", b"/a?b", b"d.test"),
        (b"/a#c?d", b"/a", b"d.test"),
        (b"http://e.test:8/a?b#c", b"/a?b", b"e.test:8"),
        (b"HTTPS://e.test", b"/", b"e.test"),
        (b"http://e.test?b", b"/?b", b"e.test"),
        (b"http://e.test#c", b"/", b"e.test"),
    ],
)
def test_target_is_brought_into_origin_form(target: bytes, origin_form: bytes, host: bytes) -> None:
    """The host in the target wins over the header, as RFC 9112 has it; a fragment is never sent on."""
    head = checked(target=target)
    assert (head.target, head.host) == (origin_form, host)


def test_options_for_the_server_itself_pass() -> None:
    """``*`` is a target of OPTIONS only."""
    assert checked(target=b"*", method=b"OPTIONS").target == b"*"


@pytest.mark.parametrize(
    "target", [b"*", b"", b"a/b", b"?a", b"#", b"ftp://d.test/", b"http:///a", b"http://u:p@d.test/", b"http:/d.test/"]
)
def test_odd_target_is_refused(target: bytes) -> None:
    """The reference puts it behind the host as it is."""
    with pytest.raises(ClientError, match="invalid request target") as caught:
        checked(target=target)
    assert caught.value.status == 400


def test_url_has_a_limit() -> None:
    """It counts scheme, host and target together, as in the reference."""
    room_bytes = TARGET_MAX_BYTES - len(b"http://d.test")
    assert checked(target=b"/".ljust(room_bytes, b"a")).target
    with pytest.raises(ClientError, match="URL exceeds 4096 bytes") as caught:
        checked(target=b"/".ljust(room_bytes + 1, b"a"))
    assert caught.value.status == 414


@pytest.mark.parametrize(
    ("is_http11", "values", "is_keep_alive"),
    [
        (True, [], True),
        (True, [b"close"], False),
        (True, [b"Close"], False),
        (True, [b"keep-alive"], True),
        (True, [b"keep-alive, close"], False),
        (True, [b"close", b"keep-alive"], False),
        (True, [b"x-close"], True),
        (False, [], False),
        (False, [b"Keep-Alive"], True),
        (False, [b"upgrade , keep-alive"], True),
        (False, [b"keep-alive, close"], False),
        (False, [b"keep-alive", b"close"], False),
        (False, [b"close", b"keep-alive"], False),
    ],
)
def test_client_says_whether_its_connection_lives_on(is_http11: bool, values: list[bytes], is_keep_alive: bool) -> None:
    """A close anywhere is the last word, in any case and any order."""
    headers = [HOST, *[(b"Connection", value) for value in values]]
    assert checked(headers, is_http11=is_http11).is_keep_alive is is_keep_alive


@pytest.mark.parametrize(
    ("is_http11", "value", "is_expecting"),
    [
        (True, b"100-continue", True),
        (True, b"100-Continue", True),
        (True, b"a miracle, 100-continue", True),
        (True, b"a miracle", False),
        (False, b"100-continue", False),
    ],
)
def test_client_waits_to_be_told_to_continue(is_http11: bool, value: bytes, is_expecting: bool) -> None:
    """An HTTP/1.0 client cannot read the interim response."""
    assert checked([HOST, (b"Expect", value)], is_http11=is_http11).is_expecting_continue is is_expecting


def test_upgrade_is_kept_as_written() -> None:
    """The engine decides what it means."""
    assert checked([HOST, (b"Upgrade", b"WebSocket")]).upgrade == b"WebSocket"
    assert checked().upgrade is None


@given(st.binary(max_size=60))
def test_any_target_ends_in_origin_form_or_a_client_error(target: bytes) -> None:
    """Whatever comes, nothing else is raised, and an origin gets a path."""
    try:
        head = checked(target=target)
    except ClientError:
        return
    assert head.target.startswith(b"/")
    assert b"#" not in head.target


def test_path_is_the_target_without_its_query() -> None:
    """Routes compare paths."""
    assert checked(target=b"/a%20b?c?d").path == b"/a%20b"
    assert checked(method=b"HEAD").is_head


@pytest.mark.parametrize(
    ("status", "headers", "is_head", "framing", "length"),
    [
        (200, [(b"Content-Length", b"5")], False, SIZED, 5),
        (200, [(b"Transfer-Encoding", b"Chunked")], False, CHUNKED, 0),
        (200, [], False, UNTIL_CLOSE, 0),
        (200, [(b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")], False, CHUNKED, 5),
        (200, [(b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"5")], False, CHUNKED, 0),
        (200, [(b"Content-Length", b"5"), (b"content-length", b"5")], False, SIZED, 5),
        (204, [(b"Content-Length", b"5")], False, NONE, 5),
        (304, [(b"Transfer-Encoding", b"chunked")], False, NONE, 0),
        (200, [(b"Content-Length", b"5")], True, SIZED, 5),
        (200, [(b"Transfer-Encoding", b"chunked")], True, NONE, 0),
        (200, [], True, NONE, 0),
    ],
)
def test_origin_says_how_its_body_ends(
    status: int, headers: Headers, is_head: bool, framing: BodyFraming, length: int
) -> None:
    """RFC 9112 section 6.3; the length of an answer to HEAD is kept to be told on."""
    head = check_response(status, b"OK", headers, is_head)
    assert (head.framing, head.content_length) == (framing, length)


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ([(b"Transfer-Encoding", b"gzip")], "Transfer-Encoding is not chunked: 'gzip'"),
        ([(b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")], "Transfer-Encoding is not chunked"),
        ([(b"Content-Length", b"five")], "Content-Length is not a number: 'five'"),
        ([(b"Content-Length", b"5, 5")], "Content-Length is not a number: '5, 5'"),
        ([(b"Content-Length", b"5"), (b"Content-Length", b"6")], "Content-Length is given twice: 5 and 6"),
    ],
)
def test_odd_framing_of_an_origin_is_refused(headers: Headers, text: str) -> None:
    """A wrong guess would hand one client the end of another's response."""
    with pytest.raises(OriginError, match=text):
        check_response(200, b"OK", headers, False)


@pytest.mark.parametrize(
    ("head", "framing", "lines", "is_persistent"),
    [
        (client(), SIZED, [b"HTTP/1.1 200 OK", b"A: b", b"Content-Length: 5"], True),
        (
            client(),
            CHUNKED,
            [b"HTTP/1.1 200 OK", b"A: b", b"Connection: Transfer-Encoding", b"Transfer-Encoding: chunked"],
            True,
        ),
        (
            client(is_keep_alive=False),
            CHUNKED,
            [
                b"HTTP/1.1 200 OK",
                b"A: b",
                b"Connection: close",
                b"Connection: Transfer-Encoding",
                b"Transfer-Encoding: chunked",
            ],
            False,
        ),
        (client(), UNTIL_CLOSE, [b"HTTP/1.1 200 OK", b"A: b", b"Connection: close"], False),
        (client(), NONE, [b"HTTP/1.1 200 OK", b"A: b"], True),
        (client(False), SIZED, [b"HTTP/1.0 200 OK", b"A: b", b"Connection: keep-alive", b"Content-Length: 5"], True),
        (client(False, False), SIZED, [b"HTTP/1.0 200 OK", b"A: b", b"Content-Length: 5"], False),
        (client(False), UNTIL_CLOSE, [b"HTTP/1.0 200 OK", b"A: b"], False),
    ],
)
def test_response_head_is_the_references_byte_for_byte(
    head: RequestHead, framing: BodyFraming, lines: list[bytes], is_persistent: bool
) -> None:
    """Own headers first, then Connection, Content-Length, Transfer-Encoding; nothing is invented."""
    expected = b"\r\n".join([*lines, b"", b""])
    assert encode_response_head(head, 200, b"OK", [(b"A", b"b")], framing, 5) == (expected, is_persistent)


@pytest.mark.parametrize("status", [100, 101, 103])
def test_no_response_follows_an_interim_one(status: int) -> None:
    """The client still waits for the final response and would take the next request's for it."""
    payload, is_persistent = encode_response(client(), status, b"Odd", [], b"x")
    assert (payload, is_persistent) == (b"HTTP/1.1 %d Odd\r\nConnection: close\r\n\r\n" % status, False)


@pytest.mark.parametrize(
    ("status", "is_bodiless"),
    [(99, False), (100, True), (199, True), (200, False), (204, True), (205, False), (304, True), (404, False)],
)
def test_some_statuses_have_no_body(status: int, is_bodiless: bool) -> None:
    """And no Content-Length either: 304's would be the other response's."""
    assert has_no_body(status) is is_bodiless
    assert (b"Content-Length" not in encode_response(client(), status, b"X", [], b"abc")[0]) is is_bodiless


def test_answer_to_head_has_the_length_and_not_the_body() -> None:
    """The body would be read as the next response."""
    payload, is_persistent = encode_response(client(method=b"HEAD"), 200, b"OK", [], b"abc")
    assert (payload, is_persistent) == (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", True)


def test_own_answers_are_plain_text_with_a_newline() -> None:
    """As the reference's error pages."""
    payload = b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nNo.\n"
    assert encode_text_response(client(), 502, "No.") == (payload, True)


def test_refusal_before_the_version_is_known_is_http10() -> None:
    """No Connection header: HTTP/1.0 closes by itself."""
    payload = b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nNo.\n"
    assert encode_refusal(400, "No.") == payload


@pytest.mark.parametrize(
    ("method", "framing", "last_line"),
    [
        (b"POST", CHUNKED, b"Transfer-Encoding: chunked"),
        (b"POST", SIZED, b"Content-Length: 7"),
        (b"GET", SIZED, b"Content-Length: 7"),
        (b"POST", NONE, b"Content-Length: 0"),
        (b"DELETE", NONE, b"Content-Length: 0"),
        (b"GET", NONE, b"A: b"),
        (b"HEAD", NONE, b"A: b"),
        (b"OPTIONS", NONE, b"A: b"),
    ],
)
def test_origin_is_told_how_the_body_ends(method: bytes, framing: BodyFraming, last_line: bytes) -> None:
    """Many origins wait for a body, or answer 411, when a POST does not say that it has none."""
    lines = encode_request_head(method, b"/a?b", [(b"A", b"b")], framing, 7).split(b"\r\n")
    assert lines[:2] == [method + b" /a?b HTTP/1.1", b"A: b"]
    assert lines[-3:] == [last_line, b"", b""]
    assert len(lines) == (4 if last_line == b"A: b" else 5)


@given(st.integers(1, 3), st.integers(-2, 2))
def test_chunks_are_at_most_ffff_and_nothing_is_lost(count: int, extra: int) -> None:
    """Lower-case hex, at most four digits, whatever the size."""
    content = b"0123456789abcdef" * (0x10000 * count // 16)
    content = content[: 0xFFFF * count + extra]
    rest, parts = encode_chunk(content), []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        assert 0 < length <= 0xFFFF
        assert size == b"%x" % length
        parts.append(rest[:length])
        assert rest[length : length + 2] == b"\r\n"
        rest = rest[length + 2 :]
    assert b"".join(parts) == content


@pytest.mark.parametrize("value", [b"a\rb", b"\n", b"a\0"])
def test_line_breakers_are_found_anywhere(value: bytes) -> None:
    """Response splitting starts with any one of them."""
    assert breaks_lines(value)
    assert not breaks_lines(b"a b\tc\xff")


@pytest.mark.parametrize("name", [b"", b"A B", b"A:", b"A\n", b"\xc3\xa9"])
def test_header_names_are_tokens(name: bytes) -> None:
    """Anything else in front of the colon is read differently by different clients."""
    assert not is_header_name(name)
    assert is_header_name(b"X-Forwarded_For.1")


@pytest.mark.parametrize("reason", [b"OK\0", b"O\rK", b"OK\nSet-Cookie: a=b"])
def test_reason_that_breaks_the_status_line_is_replaced(reason: bytes) -> None:
    """It goes on to the client."""
    assert check_response(200, reason, [], is_head=False).reason == b"OK"
    assert check_response(200, b"Fine", [], is_head=False).reason == b"Fine"


def test_request_that_asks_for_the_proxy_itself_is_told_from_others() -> None:
    """Any value will do, as in Pushpin."""
    assert check_request(b"GET", b"/", True, [(b"pushpin-CHECK", b"")]).is_check
    assert not check_request(b"GET", b"/", True, [(b"Pushpin-Route", b"")]).is_check
