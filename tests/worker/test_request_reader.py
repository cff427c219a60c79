"""Requests as bytes: however they are cut, they are the same requests; whatever two parsers read apart is refused."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import ClientError
from gripproxy.protocol.http1 import BodyFraming
from gripproxy.settings import Settings
from gripproxy_worker.request_reader import (
    CHUNK_OVERHEAD_MAX_BYTES,
    ChunkedBody,
    head_end,
    read_head,
    without_empty_lines,
)

Request = tuple[bytes, bytes, bytes]  # method, target, body

HEAD_MAX_BYTES = Settings().client_buffer_size
CHUNKED_HEAD = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked"


class Reader:
    """Reads requests out of a stream that comes in parts."""

    def __init__(self) -> None:
        self.buffer = b""
        self.requests: list[Request] = []
        self._request: tuple[bytes, bytes] | None = None
        self._body = b""
        self._left = 0
        self._chunked: ChunkedBody | None = None
        self._is_keep_alive = True
        self._is_persistent = True

    def feed(self, data: bytes) -> None:
        self.buffer += data
        while (
            self.buffer and self._is_persistent and (self._read_head() if self._request is None else self._read_body())
        ):
            pass

    def _read_head(self) -> bool:
        self.buffer = without_empty_lines(self.buffer)
        ends = head_end(self.buffer)
        if ends is None:
            return False
        if ends[1] > HEAD_MAX_BYTES:  # the one thing that a connection looks at itself
            raise ClientError("too large", 431)
        head, self._chunked = read_head(self.buffer[: ends[0]])
        self.buffer = self.buffer[ends[1] :]
        self._is_keep_alive = head.is_keep_alive
        self._request, self._body, self._left = (head.method, head.target), b"", head.content_length
        if head.framing is not BodyFraming.CHUNKED and self._left == 0:
            self._end()
        return True

    def _read_body(self) -> bool:
        if self._chunked is not None:
            content, self.buffer = self._chunked.feed(self.buffer)
            is_complete = self._chunked.is_complete
        else:
            content, self.buffer = self.buffer[: self._left], self.buffer[self._left :]
            self._left -= len(content)
            is_complete = self._left == 0
        self._body += content
        if is_complete:
            self._end()
        return is_complete

    def _end(self) -> None:
        assert self._request is not None
        self.requests.append((*self._request, self._body))
        self._is_persistent = self._is_keep_alive
        self._request = None


def read(*parts: bytes) -> list[Request]:
    reader = Reader()
    for part in parts:
        reader.feed(part)
    return reader.requests


def by_h11(data: bytes) -> tuple[list[Request], bool]:
    """Read with another parser; give the requests, and whether it refuses what follows."""
    conn = h11.Connection(h11.SERVER)
    conn.receive_data(data)
    requests: list[Request] = []
    try:
        while True:
            event = conn.next_event()
            if isinstance(event, h11.Request):
                method, target, body = event.method, event.target, b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                requests.append((method, target, body))
                conn.send(h11.Response(status_code=404, headers=[("Content-Length", "0")]))  # 200 would open a CONNECT
                conn.send(h11.EndOfMessage())
                if conn.our_state is not h11.DONE:
                    return requests, False
                conn.start_next_cycle()
            else:
                return requests, False
    except h11.RemoteProtocolError:
        return requests, True


bodies = st.binary(max_size=30) | st.sampled_from(
    [b"\r\n\r\n", b"0\r\n\r\n", b"\r\n" * 9, b"\n\n", b"GET / HTTP/1.1\r\n\r\n"]
)


@st.composite
def encoded_requests(draw: st.DrawFn) -> tuple[bytes, Request]:
    """A valid request as bytes, and what it says."""
    kind = draw(st.sampled_from(["none", "sized", "chunked"]))
    target = b"/" + draw(st.binary(max_size=3)).hex().encode()
    line_end = b"\r\n"
    if kind == "none":
        return b"GET " + target + b" HTTP/1.1\r\nHost: h" + line_end * 2, (b"GET", target, b"")
    head = b"PUT " + target + b" HTTP/1.1\r\nHost: h" + line_end
    if kind == "sized":
        body = draw(bodies)
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body, (b"PUT", target, body)
    chunks = [chunk for chunk in draw(st.lists(bodies, max_size=4)) if chunk]
    extension = draw(st.sampled_from([b"", b";a", b';a="b c"', b";a=b;c=d"]))
    trailer = draw(st.sampled_from([b"", b"T: r\r\n", b"A:\r\nB: \r\n"]))
    encoded = b"".join(b"%x%s\r\n%s\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    payload = head + b"Transfer-Encoding: chunked\r\n\r\n" + encoded + b"0\r\n" + trailer + b"\r\n"
    return payload, (b"PUT", target, b"".join(chunks))


@given(st.lists(encoded_requests(), min_size=1, max_size=4), st.lists(st.integers(0, 500), max_size=6))
def test_any_split_of_a_pipeline_gives_the_same_requests(
    pipeline: list[tuple[bytes, Request]], cuts: list[int]
) -> None:
    """The network cuts where it likes; the bytes behind one request's end are the next one's."""
    stream = b"".join(payload for payload, _ in pipeline)
    places = sorted({0, len(stream), *[cut for cut in cuts if cut < len(stream)]})
    parts = [stream[start:end] for start, end in zip(places, places[1:], strict=False)]
    expected = [request for _, request in pipeline]
    assert read(*parts) == expected
    assert by_h11(stream) == (expected, False)


def test_every_single_split_of_a_pipeline() -> None:
    """Also the places that chance would miss: inside each line end."""
    stream = (
        b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\n\r\n\r\n\r\n0\r\nT: r\r\n\r\n"
        b"\r\nGET /b HTTP/1.1\nHost: h\n\nPUT /c HTTP/1.1\r\nContent-Length: 4\r\n\r\n\r\n\r\nGET /d HTTP/1.1\r\n\r\n"
    )
    expected = [
        (b"POST", b"/a", b"\r\n\r\n"),
        (b"GET", b"/b", b""),
        (b"PUT", b"/c", b"\r\n\r\n"),
        (b"GET", b"/d", b""),
    ]
    for position in range(len(stream) + 1):
        assert read(stream[:position], stream[position:]) == expected
    assert read(*[stream[position : position + 1] for position in range(len(stream))]) == expected


NASTY = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b"0",
    b"1",
    b"\x0b",
    b"\x85",
    b"\xff",
    b"+",
    b"-",
    b"_",
    b"x",
]
NASTY += [
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"\r\n\r\n",
    b"",
]


@given(
    st.lists(encoded_requests(), min_size=1, max_size=2),
    st.lists(st.tuples(st.integers(0, 160), st.integers(0, 3), st.sampled_from(NASTY)), min_size=1, max_size=3),
)
def test_what_is_accepted_is_what_h11_reads(
    pipeline: list[tuple[bytes, Request]], edits: list[tuple[int, int, bytes]]
) -> None:
    """Two parsers that read one stream as different requests are how smuggling works. Refusing more is no harm."""
    stream = b"".join(payload for payload, _ in pipeline)
    for position, removed_count, inserted in edits:
        stream = stream[:position] + inserted + stream[position + removed_count :]
    try:
        requests = read(stream)
    except ClientError:
        return
    it_reads, is_refused = by_h11(stream)
    if not is_refused and b"HTTP/1.0" not in stream:
        assert requests[: len(it_reads)] == it_reads[: len(requests)]


@pytest.mark.parametrize(
    ("buffer", "expected"),
    [
        (b"A\r\n\r\nB", (1, 5)),
        (b"A\n\nB\r\n\r\n", (1, 3)),
        (b"A\n\r\nB", (1, 4)),
        (b"A\r\n\nB", (1, 4)),
        (b"A\n\r\n\r\nB", (1, 4)),
        (b"A\n\n\r\n\r\n", (1, 3)),
        (b"A\r\nB\r\n", None),
        (b"A\r\n\r", None),
        (b"A\r\r\n\r\r\n", None),
        (b"", None),
    ],
)
def test_head_ends_at_the_first_empty_line(buffer: bytes, expected: tuple[int, int] | None) -> None:
    """An end found too late would take the first bytes of a body for the end of its head."""
    assert head_end(buffer) == expected


@pytest.mark.parametrize(
    ("buffer", "rest", "is_begun"),
    [
        (b"GET", b"GET", True),
        (b"\r\nGET", b"GET", True),
        (b"\n\r\n\nGET", b"GET", True),
        (b"\rGET", b"\rGET", True),
        (b"\r\n\rGET", b"\rGET", True),
        (b"\r\n\r\n", b"\r\n\r\n", False),
        (b"\n", b"\n", False),
        (b"\r\n\r", b"\r\n\r", False),
        (b"\r", b"\r", True),
        (b"", b"", False),
    ],
)
def test_empty_lines_before_a_request_are_skipped(buffer: bytes, rest: bytes, is_begun: bool) -> None:
    """Lines, not line ends: a CR that ends none is part of the request line, which it spoils."""
    assert without_empty_lines(buffer) == rest
    assert (head_end(rest + b"\r\n\r\n") is not None) is is_begun


FIELDS_REFUSED = [
    b"A: b\r\n c",
    b" A: b",
    b"A : b",
    b"A",
    b": b",
    b"A: b\0c",
    b"A: b\rc",
    b"A: \x01",
    b"A: \x7f",
    b"Content-Length: 1\r\nContent-Length: 1",
    b"Content-Length: 1\r\nContent-Length: 2",
    b"Content-Length: 1, 1",
    b"Content-Length: +1",
    b"Content-Length: 0x1",
    b"Content-Length: 1_0",
    b"Content-Length: ",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: 1\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nContent-Length: 1",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: identity, chunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: \x0bchunked",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding:",
    b"Host: a\r\nHost: a",
    b"Host: a b",
    b"Host: a/b",
]


@pytest.mark.parametrize("fields", FIELDS_REFUSED)
def test_fields_that_are_read_in_two_ways_are_refused(fields: bytes) -> None:
    with pytest.raises(ClientError):
        read_head(b"POST / HTTP/1.1\r\n" + fields)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET / HTTP/0.9", 505),
        (b"GET / HTTP/2.0", 505),
        (b"GET / HTTP/1.2", 505),
        (b"GET /", 400),
        (b"GET  / HTTP/1.1", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b"GET / http/1.1", 400),
        (b"GET /\xff HTTP/1.1", 400),
        (b"G@T / HTTP/1.1", 400),
        (b"GET a HTTP/1.1", 400),
        (b"CONNECT a:1 HTTP/1.1", 501),
        (b"PRI * HTTP/2.0", 505),
        (b"\x16\x03\x01", 400),
        (b"", 400),
    ],
)
def test_request_lines_that_httptools_would_take_are_refused(line: bytes, status: int) -> None:
    """Its request line never reaches httptools, which takes HTTP/0.9 and two blanks and refuses unknown methods."""
    with pytest.raises(ClientError) as caught:
        read_head(line)
    assert caught.value.status == status


@pytest.mark.parametrize("method", [b"FOO", b"get", b"M-SEARCH", b"X" * 100])
def test_unknown_methods_are_taken(method: bytes) -> None:
    """Pushpin relays any method unchanged."""
    assert read_head(method + b" / HTTP/1.1")[0].method == method


def test_blanks_around_a_value_are_not_its_part() -> None:
    """httptools leaves those behind it (RFC 9112 section 5.1)."""
    head, chunked = read_head(b"POST / HTTP/1.1\r\nHost:\t h \t\r\nTransfer-Encoding: chunked \r\nA: b\t")
    assert (head.host, head.headers[2]) == (b"h", (b"A", b"b"))
    assert chunked is not None


@pytest.mark.parametrize("is_chunked", [False, True])
def test_upgrade_with_a_body_does_not_hide_the_body(is_chunked: bool) -> None:
    """httptools alone would read the body as a new request (it stops at an upgrade)."""
    smuggled = b"GET /smuggled HTTP/1.1\r\n\r\n"
    head = b"POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
    sized = b"Content-Length: %d\r\n\r\n%s" % (len(smuggled), smuggled)
    chunked = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(smuggled), smuggled)
    assert read(head + (chunked if is_chunked else sized)) == [(b"POST", b"/", smuggled)]


BAD_CHUNKS = [
    (b"\r\n", "invalid chunk size"),
    (b"g\r\n", "invalid chunk size"),
    (b"-1\r\n", "invalid chunk size"),
    (b"+1\r\na", "invalid chunk size"),
    (b"0x1\r\na", "invalid chunk size"),
    (b" 1\r\na", "invalid chunk size"),
    (b"1 \r\na", "invalid chunk size"),
    (b"1\na\n0\n\n", "invalid chunk size"),
    (b"1\r\r\na", "invalid chunk size"),
    (b"1\r\nab\r\n", "invalid chunk suffix"),
    (b"1\r\na0\r\n\r\n", "invalid chunk suffix"),
    (b"1\r\na\n0\r\n\r\n", "invalid chunk suffix"),
    (b"1\r\na\r\r\n", "invalid chunk suffix"),
    (b"11111111111111111\r\n", "chunk too large"),
    (b"0\r\n\nGET", "invalid header name"),
    (b"0\r\n\rGET", "invalid new line"),
    (b"0\r\nA: b\n\r\n", "invalid new line"),
    (b"0\r\nA: b\rc", "invalid new line"),
    (b"0\r\nA: b\r\n c\r\n\r\n", "invalid header name"),
    (b"0\r\nA : b\r\n\r\n", "invalid header name"),
    (b"0\r\nA: \0\r\n\r\n", "invalid header value"),
    (b"1;a\nb\r\n", "invalid chunk size"),
    (b"1;a=\0\r\n", "invalid chunk size"),
    (b'1;a="\r\n"\r\n', "invalid chunk size"),
]


@pytest.mark.parametrize(("payload", "fault"), BAD_CHUNKS)
def test_malformed_chunks_are_refused(payload: bytes, fault: str) -> None:
    """However they are cut, and in the reference's words."""
    for size in (1, len(payload)):
        _, chunked = read_head(CHUNKED_HEAD)
        assert chunked is not None
        with pytest.raises(ClientError, match=f"^Failed to parse request: {fault}$"):
            for start in range(0, len(payload), size):
                chunked.feed(payload[start : start + size])


@pytest.mark.parametrize(
    ("fields", "status", "fault"),
    [
        (b"A: b\r\n c", 400, "invalid header name: ' c'"),
        (b"A: b\n\tc", 400, r"invalid header name: '\tc'"),
        (b"A : b", 400, "invalid header name: 'A '"),
        (b"A: \0", 400, r"invalid header value: ' \x00'"),
        (b"A: b\rc", 400, r"invalid new line: 'A: b\rc'"),
        (b"Content-Length: 5 5", 400, "invalid content length: '5 5'"),
        (b"Transfer-Encoding: gzip", 400, "unsupported transfer encoding: 'gzip'"),
        (b"Transfer-Encoding: gzip, chunked", 501, "unsupported transfer encoding: 'gzip, chunked'"),
        (b"\r\n".join([b"A: b"] * 65), 431, "too many headers: 65"),
        (b"\n".join([b"A"] * 100_000), 431, "too many headers: 100000"),
    ],
)
def test_fault_of_a_head_is_told_in_the_references_words(fields: bytes, status: int, fault: str) -> None:
    """Not in those of the parser, which change from one version to the next."""
    with pytest.raises(ClientError) as caught:
        read_head(b"POST / HTTP/1.1\r\n" + fields)
    assert (caught.value.status, str(caught.value)) == (status, f"Failed to parse request: {fault}")


def test_what_follows_a_chunked_body_is_given_back() -> None:
    """Also when the body's end came in two parts, and however much follows."""
    following = b"GET / HTTP/1.1\r\n\r\n" * 2000
    for cut in range(1, 5):
        _, chunked = read_head(CHUNKED_HEAD)
        assert chunked is not None
        end = b"0\r\n\r\n"
        assert chunked.feed(b"1\r\na\r\n" + end[:cut]) == (b"a", b"")
        assert chunked.feed(end[cut:] + following) == (b"", following)
        assert chunked.is_complete


def test_endless_trailers_are_refused() -> None:
    """In small parts too: the parser keeps a trailer until it ends."""
    _, chunked = read_head(CHUNKED_HEAD)
    assert chunked is not None
    chunked.feed(b"1\r\na\r\n0\r\nT: ")
    with pytest.raises(ClientError, match="chunk overhead"):
        for _ in range(CHUNK_OVERHEAD_MAX_BYTES // 1000 + 1):
            chunked.feed(b"t" * 1000)


def test_body_full_of_line_ends_is_read_in_one_pass() -> None:
    """Each empty line could be the end; searching must not copy what is left each time."""
    content = b"\r\n\r\n" * 15_000
    _, chunked = read_head(CHUNKED_HEAD)
    assert chunked is not None
    assert chunked.feed(b"%x\r\n%s\r\n0\r\n\r\nX" % (len(content), content)) == (content, b"X")
