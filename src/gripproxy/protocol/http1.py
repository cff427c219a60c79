"""HTTP/1.x heads: what a request head must satisfy, and how request and response heads are written.

The tokens come from httptools in the worker; the rules that it does not check are here: those of RFC 9110 and
RFC 9112, with Pushpin's limits.
"""

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from gripproxy.errors import ClientError, OriginError
from gripproxy.protocol.path_escapes import normalize_escapes
from gripproxy.protocol.reason_phrase import reason_phrase

Headers = list[tuple[bytes, bytes]]

REQUEST_HEADERS_MAX_COUNT = 64  # same as Pushpin
TARGET_MAX_BYTES = 4096  # of scheme://host + target, same as Pushpin
HOSTS_MAX_COUNT = 256  # of which we remember what they are: most requests are for few hosts
RESPONSE_HEAD_MAX_BYTES = 262_144  # many cookies fit; an origin that never ends its head does not

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_LINE_BREAKER = re.compile(rb"[\r\n\0]")
_TARGET = re.compile(rb"[\x21-\x7e]+")
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~!$&'()*+,;=%-]*)(?::[0-9]*)?")
_REQUEST_LINE = re.compile(rb"(%s) (%s) HTTP/1\.([01])" % (_TOKEN.pattern, _TARGET.pattern))
_DIGITS = re.compile(rb"[0-9]{1,18}")
_FIELD_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110 section 5.5
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE)


class BodyFraming(IntEnum):
    """How the end of a body is told."""

    NONE = 0
    SIZED = 1
    CHUNKED = 2
    UNTIL_CLOSE = 3


NONE, SIZED, CHUNKED, UNTIL_CLOSE = BodyFraming


@dataclass(slots=True)
class RequestHead:
    """A request head that passed every check.

    `target` is in origin form (or ``*``), without a fragment, its path with no more escapes than it needs. `host` is
    what the client asked for, ``localhost`` where it did not say. `is_keep_alive` is what the client wants, not yet
    what it gets.
    """

    method: bytes
    target: bytes
    is_http11: bool
    headers: Headers
    host: bytes = b"localhost"
    framing: BodyFraming = NONE
    content_length: int = 0
    is_keep_alive: bool = True
    is_expecting_continue: bool = False
    upgrade: bytes | None = None
    is_check: bool = False  # Pushpin-Check: it asks the proxy who it is

    @property
    def is_head(self) -> bool:
        return self.method == b"HEAD"

    @property
    def path(self) -> bytes:
        """The target without its query, percent-encoded."""
        return self.target.partition(b"?")[0]

    @property
    def host_name(self) -> str:
        """The host without its port, lower case, as routes compare it."""
        return _host_name(self.host)


@dataclass(slots=True)
class ResponseHead:
    """An origin's final response head. `content_length` counts only when `framing` is SIZED."""

    status: int
    reason: bytes
    headers: Headers
    framing: BodyFraming
    content_length: int = 0


def without_port(host: bytes) -> str:
    """Give the name in ``NAME[:PORT]``, or the address in ``[V6][:PORT]``."""
    if host.startswith(b"["):
        return host[1 : host.find(b"]")].decode("latin-1")
    return host.partition(b":")[0].decode("latin-1")


@lru_cache(HOSTS_MAX_COUNT)
def _host_name(host: bytes) -> str:
    return without_port(host).lower()


@lru_cache(HOSTS_MAX_COUNT)
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


def is_header_name(name: bytes) -> bool:
    """Whether `name` is a token of RFC 9110 section 5.6.2."""
    return _TOKEN.fullmatch(name) is not None


def breaks_lines(value: bytes) -> bool:
    """Whether `value` must not become part of a head: it would end its line, or it has a NUL."""
    return _LINE_BREAKER.search(value) is not None


def split_request_line(line: bytes) -> tuple[bytes, bytes, bool]:
    """Split ``METHOD TARGET HTTP/1.x`` (no line end) into method, target and is_http11.

    Raises:
        ClientError: 400 when it is not of that form, 501 for CONNECT, 505 for a version other than 1.0 and 1.1.

    Source: RFC 9112 section 3. Exactly one space between the parts: two parsers must not differ on it.
    """
    match = _REQUEST_LINE.fullmatch(line)
    if match is not None and match[1] != b"CONNECT":
        return match[1], match[2], match[3] == b"1"
    parts = line.split(b" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]) or not _TARGET.fullmatch(parts[1]):
        raise ClientError(f"Failed to parse request: invalid request line: {_shown(line)}")
    version = parts[2]
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        if version.startswith(b"HTTP/") and len(version) == 8:
            raise ClientError(f"Failed to parse request: invalid HTTP version: {_shown(version)}", 505)
        raise ClientError(f"Failed to parse request: invalid request line: {_shown(line)}")
    raise ClientError(f"Failed to parse request: {parts[0].decode()} is not supported by a reverse proxy", 501)


def decode_fields(fields: bytes) -> Headers:
    """Split the header lines of a request, each with its CRLF except the last.

    Slower than httptools, and asked only when that refuses: it says in Pushpin's words what is wrong.

    Raises:
        ClientError: a line is not ``NAME: VALUE``.
    """
    headers: Headers = []
    for line in fields.split(b"\r\n") if fields else []:
        name, colon, value = line.partition(b":")
        if b"\r" in line or b"\n" in line:
            raise _header_fault("invalid new line", line)
        if not colon or not is_header_name(name):
            raise _header_fault("invalid header name", name)
        if _FIELD_VALUE.fullmatch(value) is None:
            raise _header_fault("invalid header value", value)
        headers.append((name, value.strip(b" \t")))
    return headers


def _header_fault(what: str, part: bytes) -> ClientError:
    """Only its client is shown the part: it may be of an Authorization or a Cookie, also as a name on a folded line."""
    text = f"Failed to parse request: {what}"
    return ClientError(f"{text}: {_shown(part)}", log_text=text)


def check_request(method: bytes, target: bytes, is_http11: bool, headers: Headers) -> RequestHead:
    """Make a `RequestHead` of tokens, refusing what two parsers could read differently.

    Raises:
        ClientError: with the status to answer; the text names the header and shows its value.

    Source: RFC 9112 sections 3.2 and 6; stricter than Pushpin on doubled Host and Content-Length.
    """
    if len(headers) > REQUEST_HEADERS_MAX_COUNT:
        raise ClientError(f"Failed to parse request: too many headers: {len(headers)}", 431)
    head = RequestHead(method, target, is_http11, headers, is_keep_alive=is_http11)
    host: bytes | None = None
    for name, value in headers:
        rule = _RULES.get(name.lower())
        if rule is not None:
            host = rule(head, value, host)
    if host is not None and not _is_host(host):
        raise ClientError(f"Failed to parse request: Host is not a host: {_shown(host)}")
    head.host = host or b"localhost"
    if not target.startswith(b"/"):
        _resolve_target(head)
    elif b"#" in target:
        head.target = target.partition(b"#")[0]
    head.target = normalize_escapes(head.target)
    if len(head.target) + len(head.host) + len(b"http://") > TARGET_MAX_BYTES:
        raise ClientError(f"Failed to parse request: URL exceeds {TARGET_MAX_BYTES} bytes", 414)
    if head.framing is CHUNKED and not is_http11:
        raise ClientError("Failed to parse request: Transfer-Encoding in an HTTP/1.0 request")
    return head


def _resolve_target(head: RequestHead) -> None:
    """Bring an absolute-form target into origin form; its host wins over the Host header (RFC 9112 section 3.2.2)."""
    if head.target == b"*" and head.method == b"OPTIONS":
        return
    absolute = _ABSOLUTE.fullmatch(head.target)
    if absolute is None or not absolute[1] or _HOST.fullmatch(absolute[1]) is None:
        raise ClientError(f"Failed to parse request: invalid request target: {_shown(head.target)}")
    head.host = absolute[1]
    rest: bytes = absolute[2].partition(b"#")[0]
    head.target = rest if rest.startswith(b"/") else b"/" + rest


def _on_host(head: RequestHead, value: bytes, host: bytes | None) -> bytes | None:
    if host is not None:
        raise ClientError(f"Failed to parse request: Host given twice: {_shown(host)} and {_shown(value)}")
    return value


def _on_content_length(head: RequestHead, value: bytes, host: bytes | None) -> bytes | None:
    if head.framing is not NONE or _DIGITS.fullmatch(value) is None:
        raise ClientError(f"Failed to parse request: invalid content length: {_shown(value)}")
    head.framing = SIZED
    head.content_length = int(value)
    return host


def _on_transfer_encoding(head: RequestHead, value: bytes, host: bytes | None) -> bytes | None:
    if head.framing is not NONE:
        raise ClientError("Failed to parse request: Transfer-Encoding beside another body length")
    lower = value.lower()
    if lower != b"chunked":
        # RFC 9112 section 6.3: without chunked at the end nobody can tell where the body ends.
        is_chunked_last = lower.rpartition(b",")[2].strip() == b"chunked"
        status = 501 if is_chunked_last else 400
        raise ClientError(f"Failed to parse request: unsupported transfer encoding: {_shown(value)}", status)
    head.framing = CHUNKED
    return host


def _on_connection(head: RequestHead, value: bytes, host: bytes | None) -> bytes | None:
    tokens = [token.strip() for token in value.lower().split(b",")]
    if b"close" in tokens:
        head.is_keep_alive = False
    elif b"keep-alive" in tokens and not head.is_http11:
        head.is_keep_alive = not _names_close(head.headers)
    return host


def _names_close(headers: Headers) -> bool:
    lines = [value.lower().split(b",") for name, value in headers if name.lower() == b"connection"]
    return any(token.strip() == b"close" for tokens in lines for token in tokens)


def _on_expect(head: RequestHead, value: bytes, host: bytes | None) -> bytes | None:
    if head.is_http11 and any(token.strip() == b"100-continue" for token in value.lower().split(b",")):
        head.is_expecting_continue = True
    return host


def _on_upgrade(head: RequestHead, value: bytes, host: bytes | None) -> bytes | None:
    head.upgrade = value
    return host


def _on_check(head: RequestHead, value: bytes, host: bytes | None) -> bytes | None:
    head.is_check = True
    return host


_RULES = {
    b"host": _on_host,
    b"content-length": _on_content_length,
    b"transfer-encoding": _on_transfer_encoding,
    b"connection": _on_connection,
    b"expect": _on_expect,
    b"upgrade": _on_upgrade,
    b"pushpin-check": _on_check,
}


def check_response(status: int, reason: bytes, headers: Headers, is_head: bool) -> ResponseHead:
    """Make a `ResponseHead` of an origin's tokens and decide how its body ends (RFC 9112 section 6.3).

    A reason that would end the status line, or has a NUL, which httptools lets through, is replaced by the usual one.

    Raises:
        OriginError: a Transfer-Encoding other than one ``chunked``, or a Content-Length that is not one number.
    """
    head = ResponseHead(status, reason_phrase(status) if breaks_lines(reason) else reason, headers, UNTIL_CLOSE)
    for name, value in headers:
        lower_name = name.lower()
        if lower_name == b"transfer-encoding":
            if value.lower() != b"chunked" or head.framing is CHUNKED:
                raise OriginError(f"origin's Transfer-Encoding is not chunked: {_shown(value)}")
            head.framing = CHUNKED
        elif lower_name == b"content-length":
            if _DIGITS.fullmatch(value) is None:
                raise OriginError(f"origin's Content-Length is not a number: {_shown(value)}")
            length = int(value)
            if head.framing is UNTIL_CLOSE:
                head.framing = SIZED
                head.content_length = length
            elif head.framing is SIZED and length != head.content_length:
                raise OriginError(f"origin's Content-Length is given twice: {head.content_length} and {length}")
    if has_no_body(status) or is_head and head.framing is not SIZED:
        head.framing = NONE
    return head


def has_no_body(status: int) -> bool:
    """Say whether a response of this status never has a body, nor a Content-Length (1xx, 204, 304)."""
    return 100 <= status < 200 or status == 204 or status == 304


def encode_response_head(
    head: RequestHead, status: int, reason: bytes, headers: Headers, framing: BodyFraming, length: int = 0
) -> tuple[bytes, bool]:
    """Write a response head for the client that sent `head`; give the bytes and whether the connection persists.

    `headers` come without framing headers. Their order is Pushpin's: the response's own, then Connection,
    Content-Length, Transfer-Encoding. A body of unknown length for an HTTP/1.0 client ends with the connection. So
    does a status of 1xx, which an origin or a publisher may ask for: the client waits for the final response and
    would take the next request's for it.
    """
    is_persistent = head.is_keep_alive and framing is not UNTIL_CLOSE and not 100 <= status < 200
    lines = [b"HTTP/1.1 %d %s" % (status, reason) if head.is_http11 else b"HTTP/1.0 %d %s" % (status, reason)]
    lines += [name + b": " + value for name, value in headers]
    if head.is_http11:
        if not is_persistent:
            lines.append(b"Connection: close")
        if framing is CHUNKED:
            lines.append(b"Connection: Transfer-Encoding")
    elif is_persistent:
        lines.append(b"Connection: keep-alive")
    if framing is SIZED:
        lines.append(b"Content-Length: %d" % length)
    elif framing is CHUNKED:
        lines.append(b"Transfer-Encoding: chunked")
    lines.append(b"\r\n")
    return b"\r\n".join(lines), is_persistent


def encode_response(head: RequestHead, status: int, reason: bytes, headers: Headers, body: bytes) -> tuple[bytes, bool]:
    """Write a whole response; give the bytes and whether the connection persists. HEAD gets no body."""
    if has_no_body(status):
        return encode_response_head(head, status, reason, headers, NONE)
    payload, is_persistent = encode_response_head(head, status, reason, headers, SIZED, len(body))
    return (payload if head.is_head else payload + body), is_persistent


def encode_text_response(head: RequestHead, status: int, text: str) -> tuple[bytes, bool]:
    """Write one of gripproxy's own plain-text answers; the body ends in one newline."""
    body = text.encode("utf-8", "replace") + b"\n"
    return encode_response(head, status, reason_phrase(status), [(b"Content-Type", b"text/plain")], body)


def encode_refusal(status: int, text: str) -> bytes:
    """Write the answer to a head that could not be parsed: the version is unknown, so it is HTTP/1.0 and closes."""
    unparsed = RequestHead(b"GET", b"/", is_http11=False, headers=[], is_keep_alive=False)
    return encode_text_response(unparsed, status, text)[0]


def encode_request_head(method: bytes, target: bytes, headers: Headers, framing: BodyFraming, length: int) -> bytes:
    """Write the head that an origin gets, always HTTP/1.1.

    A method other than GET, HEAD and OPTIONS without a body says ``Content-Length: 0``, as in Pushpin 1.41.
    """
    lines = [b"%s %s HTTP/1.1" % (method, target)]
    lines += [name + b": " + value for name, value in headers]
    if framing is CHUNKED:
        lines.append(b"Transfer-Encoding: chunked")
    elif framing is SIZED:
        lines.append(b"Content-Length: %d" % length)
    elif method not in (b"GET", b"HEAD", b"OPTIONS"):
        lines.append(b"Content-Length: 0")
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


def encode_chunk(content: bytes) -> bytes:
    """Frame `content`, which is not empty, as chunks of at most 0xffff bytes, the size at which Pushpin cuts."""
    if len(content) <= 0xFFFF:
        return b"%x\r\n%s\r\n" % (len(content), content)
    parts = [content[start : start + 0xFFFF] for start in range(0, len(content), 0xFFFF)]
    return b"".join([b"%x\r\n%s\r\n" % (len(part), part) for part in parts])


LAST_CHUNK = b"0\r\n\r\n"


def _shown(value: bytes) -> str:
    """Show at most 100 bytes of outside input in an error text."""
    return ascii(value[:100])[1:]
