"""WebSocket handshakes on both legs."""

import pytest

from gripproxy.errors import ClientError, OriginError
from gripproxy.protocol.http1 import CHUNKED, NONE, SIZED, BodyFraming, Headers, RequestHead, ResponseHead
from gripproxy.protocol.permessage_deflate import OFFER
from gripproxy.protocol.websocket_handshake import (
    KEY_MAX_BYTES,
    OriginSocketTerms,
    accept_of,
    check_accept,
    check_handshake,
    encode_accept,
    is_handshake,
    message_prefix_of,
    origin_headers,
    relayed_headers,
)

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # of RFC 6455 section 1.3, as is its answer
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
EXTENSIONS = b"Sec-WebSocket-Extensions"
ASKED: Headers = [(b"sec-websocket-key", KEY), (b"Sec-WebSocket-Version", b"13")]
AGREED: Headers = [
    (b"Upgrade", b"WebSocket"),
    (b"connection", b"keep-alive, Upgrade"),
    (b"Sec-WebSocket-Accept", ACCEPT),
]


def request(
    headers: Headers = ASKED,
    method: bytes = b"GET",
    is_http11: bool = True,
    framing: BodyFraming = NONE,
    content_length: int = 0,
    upgrade: bytes | None = b"websocket",
) -> RequestHead:
    return RequestHead(
        method, b"/", is_http11, headers, framing=framing, content_length=content_length, upgrade=upgrade
    )


def response(headers: Headers) -> ResponseHead:
    return ResponseHead(101, b"Switching Protocols", headers, NONE)


@pytest.mark.parametrize(
    ("value", "is_asked"),
    [(b"websocket", True), (b"WebSocket", True), (b"h2c", False), (b"websocket, h2c", False), (None, False)],
)
def test_upgrade_to_websocket_asks_for_one(value: bytes | None, is_asked: bool) -> None:
    """RFC 6455 section 4.2.1: in any case of letters."""
    assert is_handshake(request(upgrade=value)) is is_asked


def test_answer_to_a_key() -> None:
    """The example of RFC 6455 section 1.3."""
    assert accept_of(KEY) == ACCEPT


@pytest.mark.parametrize("key", [KEY, b"?", b"k" * KEY_MAX_BYTES])
def test_good_handshake_gives_its_key(key: bytes) -> None:
    """Any text is a key, as in the reference."""
    assert check_handshake(request([(b"Sec-WebSocket-Key", key), ASKED[1]])) == key
    assert check_handshake(request(framing=SIZED)) == KEY, "Content-Length: 0 announces no body"


@pytest.mark.parametrize(
    "head",
    [
        request(method=b"POST"),
        request(method=b"HEAD"),
        request(is_http11=False),
        request(framing=CHUNKED),
        request(framing=SIZED, content_length=1),
        request(ASKED[:1]),
        request(ASKED[1:]),
        request([ASKED[0], (b"Sec-WebSocket-Version", b"8")]),
        request([*ASKED, ASKED[1]]),
        request([*ASKED, (b"Sec-WebSocket-Key", KEY)]),
        request([ASKED[1], (b"Sec-WebSocket-Key", b"")]),
        request([ASKED[1], (b"Sec-WebSocket-Key", b"k" * (KEY_MAX_BYTES + 1))]),
    ],
)
def test_bad_handshake_is_refused(head: RequestHead) -> None:
    """Above all one with a body: what follows would be read as frames by one and as a request by another."""
    with pytest.raises(ClientError, match="was not a valid WebSocket request.$") as refused:
        check_handshake(head)
    assert refused.value.status == 400


def test_client_gets_the_origin_s_headers_and_the_proxy_s_agreement() -> None:
    """What is of the origin's leg does not go on: its key was another one, and GRIP is between it and us."""
    theirs = [*AGREED, (b"Set-Cookie", b"a"), (b"Sec-WebSocket-Protocol", b"chat"), (b"Set-Cookie", b"b")]
    theirs += [(EXTENSIONS, b"grip"), (b"Keep-Alive", b"1"), (b"Content-Length", b"0")]
    kept = [(b"Set-Cookie", b"a"), (b"Sec-WebSocket-Protocol", b"chat"), (b"Set-Cookie", b"b")]
    assert relayed_headers(theirs) == kept
    lines = [b"HTTP/1.1 101 Fine", b"Set-Cookie: a", b"Sec-WebSocket-Protocol: chat", b"Set-Cookie: b"]
    lines += [b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Accept: " + ACCEPT]
    assert encode_accept(b"Fine", theirs, KEY, None) == b"\r\n".join(lines) + b"\r\n\r\n"
    lines.append(b"Sec-WebSocket-Extensions: permessage-deflate; x")
    assert encode_accept(b"Fine", theirs, KEY, b"permessage-deflate; x") == b"\r\n".join(lines) + b"\r\n\r\n"


@pytest.mark.parametrize("prefix", [b"m:", b"", b'a"b\\c;d, e'])
def test_grip_proxy_in_front_hears_of_the_prefix(prefix: bytes) -> None:
    """It reads what we read of an origin."""
    _, _, lines = encode_accept(b"Fine", AGREED, KEY, None, prefix).partition(b"\r\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines.split(b"\r\n"))]
    assert message_prefix_of([(name.lower(), value) for name, value in headers]) == prefix


def test_origin_is_asked_anew() -> None:
    """The order is the reference's; what the client said of its own leg would be wrong of this one."""
    client = [(b"Host", b"h"), (b"Sec-WebSocket-KEY", b"theirs"), (b"Sec-WebSocket-Protocol", b"chat")]
    client += [(b"Sec_WebSocket_Key", b"x"), (b"Sec-WebSocket-Version", b"13"), (EXTENSIONS, b"permessage-deflate")]
    client += [(b"Sec-WebSocket-Accept", b"x"), (b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")]
    kept: Headers = [(b"Host", b"h"), (b"Sec-WebSocket-Protocol", b"chat")]
    asked: Headers = [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Version", b"13")]
    asked += [(b"Sec-WebSocket-Key", b"AAECAwQFBgcICQoLDA0ODw==")]
    assert origin_headers(client, bytes(range(16)), False, False) == (kept + asked, asked[-1][1])
    made, _ = origin_headers(client, bytes(range(16)), is_grip=True, is_deflating=True)
    assert made == [*kept, (EXTENSIONS, b"grip"), *asked, (EXTENSIONS, OFFER)]


def test_origin_s_agreement() -> None:
    """GRIP and compression count where they were offered."""
    assert check_accept(response(AGREED), KEY, True, True) == OriginSocketTerms(None, False)
    grip = [*AGREED, (EXTENSIONS, b"foo, grip; message-prefix=x")]
    assert check_accept(response(grip), KEY, True, False) == OriginSocketTerms(b"x", False)
    assert check_accept(response(grip), KEY, False, False) == OriginSocketTerms(None, False)
    both = [*grip, (EXTENSIONS, OFFER)]
    assert check_accept(response(both), KEY, True, True) == OriginSocketTerms(b"x", True)


@pytest.mark.parametrize(
    "headers",
    [
        AGREED[1:],
        AGREED[:1] + AGREED[2:],
        AGREED[:2],
        [*AGREED, (b"Sec-WebSocket-Accept", ACCEPT)],
        [*AGREED[:2], (b"Sec-WebSocket-Accept", ACCEPT.lower())],
        [(b"Upgrade", b"h2c"), *AGREED[1:]],
        [AGREED[0], (b"Connection", b"close"), AGREED[2]],
        [*AGREED, (EXTENSIONS, OFFER)],
    ],
)
def test_what_is_not_an_agreement_fails(headers: Headers) -> None:
    """RFC 6455 section 4.1: a server that did not read the request as a handshake may say 101 to anything."""
    with pytest.raises(OriginError):
        check_accept(response(headers), KEY, is_grip=True, is_deflating=False)


@pytest.mark.parametrize(
    ("lines", "prefix"),
    [
        ([], None),
        ([b"grip"], b"m:"),
        ([b"GRIP"], None),
        ([b"gripe, x; grip"], None),
        ([b"foo", b"bar, grip"], b"m:"),
        ([b'foo, grip; message-prefix="x;y:"'], b"x;y:"),
        ([b'grip; message-prefix="a\\"b,"; other'], b'a"b,'),
        ([b"grip; other; Message-Prefix=p "], b"p"),
        ([b'grip; message-prefix=""'], b""),
        ([b"grip; message-prefix"], b""),
        ([b"grip; message-prefix="], b""),
        ([b'grip; message-prefix="x'], None),
        ([b'foo="a, grip'], None),
        ([b'grip; message-prefix="x', b"grip"], b"m:"),
    ],
)
def test_message_prefix(lines: list[bytes], prefix: bytes | None) -> None:
    """None is no GRIP: nothing is interpreted then, and nothing taken off."""
    assert message_prefix_of([(EXTENSIONS.lower(), line) for line in lines]) == prefix
