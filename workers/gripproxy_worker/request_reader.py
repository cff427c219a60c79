"""From a client's bytes to request heads and bodies: httptools splits, `protocol.http1` decides.

httptools is given one head at a time, cut off at its empty line, and the parts of a chunked body that end at one. So
it never sees the beginning of a next request, and what comes after a message stays bytes until its turn. The
request line is ours: httptools takes two blanks in it, HTTP/0.9 and HTTP/2.0, and no method that it does not know.
"""

import re

import httptools

from gripproxy.errors import ClientError
from gripproxy.protocol.http1 import (
    REQUEST_HEADERS_MAX_COUNT,
    BodyFraming,
    Headers,
    RequestHead,
    check_request,
    decode_fields,
    split_request_line,
)

CHUNK_OVERHEAD_MAX_BYTES = 16_384  # of chunk sizes, extensions and trailers without any content between

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_EMPTY_LINES = re.compile(rb"(?:\r?\n)++(?!\r?\Z)")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_CHUNKED = BodyFraming.CHUNKED
# Of httptools' words for what is wrong with a chunk or a trailer, those that tell Pushpin's words for it: the first
# that occur. With words that it does not have yet it speaks for itself.
_CHUNK_FAULTS = {
    "Content-Length": "invalid content length",
    "size overflow": "chunk too large",
    "after chunk data": "invalid chunk suffix",
    "chunk": "invalid chunk size",
    "Unexpected whitespace after": "invalid header name",  # a folded line
    "Missing expected": "invalid new line",
    "Expected LF": "invalid new line",
    "value": "invalid header value",
    "header": "invalid header name",
}


class _Tokens:
    """What httptools calls back with; all of it happens inside one `feed_data`."""

    __slots__ = ("headers", "is_complete", "parts")

    def __init__(self) -> None:
        self.headers: Headers = []
        self.parts: list[bytes] = []
        self.is_complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_body(self, part: bytes) -> None:
        self.parts.append(part)

    def on_message_complete(self) -> None:
        self.is_complete = True


class ChunkedBody:
    """Decode one chunked body; `feed` until `is_complete`."""

    __slots__ = ("_overhead_bytes", "_parser", "_tail", "_tokens")

    def __init__(self, parser: httptools.HttpRequestParser, tokens: _Tokens) -> None:
        self._parser = parser
        self._tokens = tokens
        self._tail = b""
        self._overhead_bytes = 0

    @property
    def is_complete(self) -> bool:
        return self._tokens.is_complete

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Give the content in `data`, and what follows the body if it ended in `data`.

        A body can only end at an empty line, so each part up to one is fed by itself.

        Raises:
            ClientError: a chunk is malformed.
        """
        tokens = self._tokens
        seam = self._tail + data
        start = position = len(self._tail)
        while position < len(seam) and not tokens.is_complete:
            end = seam.find(b"\r\n\r\n", max(0, position - 3))
            cut = len(seam) if end < 0 else end + 4
            self._feed(seam[position:cut])
            position = cut
        self._tail = seam[-3:]
        content = b"".join(tokens.parts)
        tokens.parts.clear()
        tokens.headers.clear()
        self._overhead_bytes = 0 if content else self._overhead_bytes + position - start
        if self._overhead_bytes > CHUNK_OVERHEAD_MAX_BYTES:
            raise ClientError(f"Failed to parse request: chunk overhead exceeds {CHUNK_OVERHEAD_MAX_BYTES} bytes")
        return content, seam[position:]

    def _feed(self, part: bytes) -> None:
        try:
            self._parser.feed_data(part)
        except httptools.HttpParserError as error:
            words = str(error)
            fault = next((fault for part, fault in _CHUNK_FAULTS.items() if part in words), words)
            raise ClientError(f"Failed to parse request: {fault}") from None


def without_empty_lines(buffer: bytes) -> bytes:
    """Skip the empty lines that a request may begin with (RFC 9112 section 2.2).

    As long as there is nothing else they stay: who sends only such lines sends a head that never ends.
    """
    match = _EMPTY_LINES.match(buffer)
    return buffer if match is None else buffer[match.end() :]


def head_end(buffer: bytes) -> tuple[int, int] | None:
    """Find where the head in `buffer` ends and what follows it begins, or None while it is not whole.

    Bare LF ends lines too (RFC 9112 section 2.2); the origin never sees it.
    """
    if buffer.startswith((b"\n", b"\r\n")):
        return None  # the request has not begun
    end = buffer.find(b"\r\n\r\n")
    bare = buffer.find(b"\n\n", 0, end if end >= 0 else len(buffer))
    if bare < 0 and end >= 0 and buffer.find(b"\n\r\n", 0, end + 2) < 0:
        return end, end + 4
    match = _HEAD_END.search(buffer)
    return match.span() if match is not None else None


def read_head(head: bytes) -> tuple[RequestHead, ChunkedBody | None]:
    """Parse a whole head without its empty line; for a chunked body also give its decoder.

    Raises:
        ClientError: with the status to answer.
    """
    headers_count = head.count(b"\n")
    if headers_count > REQUEST_HEADERS_MAX_COUNT:
        raise ClientError(f"Failed to parse request: too many headers: {headers_count}", 431)
    if headers_count != head.count(b"\r\n"):
        head = _BARE_LF.sub(b"\r\n", head)
    line, _, fields = head.partition(b"\r\n")
    method, target, is_http11 = split_request_line(line)
    tokens = _Tokens()
    parser = httptools.HttpRequestParser(tokens)
    is_upgrade = False
    try:
        parser.feed_data(b"POST / HTTP/1.1\r\n" + fields + (b"\r\n\r\n" if fields else b"\r\n"))
    except httptools.HttpParserUpgrade:
        is_upgrade = True
    except httptools.HttpParserError as error:
        check_request(method, target, is_http11, decode_fields(fields))
        raise ClientError(f"Failed to parse request: {error}") from None  # it is stricter than we are
    if b" \r\n" in fields or b"\t\r\n" in fields or fields[-1:] in b" \t":
        tokens.headers = [(name, value.rstrip(b" \t")) for name, value in tokens.headers]
    request = check_request(method, target, is_http11, tokens.headers)
    if request.framing is not _CHUNKED:
        return request, None
    if is_upgrade:  # nothing is upgraded, but this parser waits for what is no HTTP
        tokens = _Tokens()
        parser = httptools.HttpRequestParser(tokens)
        parser.feed_data(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    tokens.headers = []  # trailers go here and are dropped
    return request, ChunkedBody(parser, tokens)
