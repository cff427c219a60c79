"""The origin of WebSocket benchmarks: what it answers over HTTP."""

import pytest

from benchmarks.servers.socket_origin import answer_events, decode_events, request_bytes

HEAD = b"POST /socket?c=c12&r=r3 HTTP/1.1\r\nHost: a\r\ncontent-length: %d\r\n\r\n"


def post(body: bytes) -> bytes:
    """Give a request with these events."""
    return HEAD % len(body) + body


def events_of(answer: bytes) -> list[tuple[bytes, bytes]]:
    """Decode an answer, whose length must be right."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: application/websocket-events\r\n")
    assert head.endswith(b"Content-Length: %d" % len(body))
    return list(decode_events(body))


def test_what_opens_is_accepted_and_subscribed() -> None:
    """A WebSocket that has no channel gets nothing to count."""
    answer = answer_events(post(b"OPEN\r\n"))
    assert b"\r\nSec-WebSocket-Extensions: grip\r\n" in answer
    assert events_of(answer) == [
        (b"OPEN", b""),
        (b"TEXT", b'c:{"type":"subscribe","channel":"c12"}'),
        (b"TEXT", b'c:{"type":"subscribe","channel":"r3"}'),
    ]


def test_keep_alives_are_asked_for() -> None:
    """A million idle WebSockets of one kind, and as many streams, have the same to do."""
    assert events_of(answer_events(post(b"OPEN\r\n"), 55))[-1] == (
        b"TEXT",
        b'c:{"type":"keep-alive","content":":","timeout":55}',
    )


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"", []),
        (b"TEXT 5\r\nhello\r\n", [(b"TEXT", b"m:hello")]),
        (b"TEXT 0\r\n\r\nBINARY a\r\n01234\r\n678\r\n", [(b"TEXT", b"m:"), (b"BINARY", b"m:01234\r\n678")]),
        (b"PING\r\nPING 2\r\npi\r\n", [(b"PONG", b""), (b"PONG", b"pi")]),
        (b"CLOSE\r\n", [(b"CLOSE", b"")]),
        (b"CLOSE 2\r\n\x03\xe8\r\n", [(b"CLOSE", b"\x03\xe8")]),
        (b"DISCONNECT\r\n", []),
    ],
)
def test_what_is_said_comes_back(sent: bytes, expected: list[tuple[bytes, bytes]]) -> None:
    """With the prefix, without which a proxy that does GRIP would drop it."""
    assert events_of(answer_events(post(sent))) == expected


def test_a_request_is_whole_with_its_body() -> None:
    """Head and body may come in two reads."""
    request = post(b"OPEN\r\n")
    assert [request_bytes(request[:cut]) for cut in range(len(request))] == [None] * len(request)
    assert request_bytes(request) == len(request)
    assert request_bytes(b"GET / HTTP/1.1\r\n\r\n") == 18
