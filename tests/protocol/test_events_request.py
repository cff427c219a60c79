"""Heads of requests with events: a template that clients share, and what is each one's own."""

from gripproxy.protocol.events_request import EventsHead, encode_events_request, is_signed, make_events_head, path_of
from gripproxy.protocol.http1 import Headers

ID = b"12345678-1234-4234-8234-123456789abc"
TAIL = (
    b"Accept: application/websocket-events\r\nConnection-Id: " + ID + b"\r\n"
    b"Content-Type: application/websocket-events\r\n"
)
PATH = b"/ws?a=%2"
TOKEN_HEADER = b"Sec-WebSocket-Protocol"
HANDSHAKE: Headers = [
    (b"Host", b"d.test"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Cookie", b"a=100%; b=%s"),
    (b"Origin", b"https://d.test/%20"),
]


def written(head: EventsHead, token: bytes | None = None, meta: tuple[tuple[bytes, bytes], ...] = ()) -> bytes:
    return encode_events_request(head.template, head.values, token, meta, 0, b"OPEN\r\n")


def test_a_request_repeats_the_handshake() -> None:
    """In its order; then comes what is about the session."""
    head = make_events_head(PATH, HANDSHAKE, ID, has_grip=False)
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in HANDSHAKE)
    assert written(head) == b"POST /ws?a=%2 HTTP/1.1\r\n" + lines + TAIL + b"Content-Length: 6\r\n\r\nOPEN\r\n"


def test_what_a_client_may_not_say_is_left_out() -> None:
    """It could speak for another session, or make the origin believe in events that are none."""
    said = [
        *((b"accept", b"*/*"), (b"Connection-Id", b"other"), (b"META-user", b"admin"), (b"Meta-a", b"b")),
        *((b"Content-Type", b"text/plain"), (b"Content-Length", b"0"), (b"Content-Bytes-Replayed", b"5")),
        *((b"Sec-WebSocket-Extensions", b"permessage-deflate"), (b"Upgrade", b"websocket"), (b"Connection", b"x")),
    ]
    assert make_events_head(PATH, [*HANDSHAKE, *said], ID, False) == make_events_head(PATH, HANDSHAKE, ID, False)


def test_each_request_is_signed_anew() -> None:
    """Where the signature was; a token that came with the client's request is not ours to renew."""
    signed = [HANDSHAKE[0], (b"Grip-Sig", b"old"), (b"Grip-Feature", b"status")]
    head = make_events_head(PATH, signed, ID, has_grip=True)
    assert is_signed(head.template)
    lines = b"Host: d.test\r\nSec-WebSocket-Extensions: grip\r\nGrip-Sig: new\r\nGrip-Feature: status\r\n"
    assert written(head, b"new").startswith(b"POST /ws?a=%2 HTTP/1.1\r\n" + lines + TAIL)
    relayed = make_events_head(PATH, signed, ID, has_grip=False)
    assert not is_signed(relayed.template)
    assert b"\r\nGrip-Sig: old\r\n" in written(relayed)
    assert b"Extensions" not in written(relayed)
    passed_on = make_events_head(PATH, signed, ID, has_grip=False, is_grip_passed_on=True)
    assert b"\r\nGrip-Sig: old\r\nGrip-Feature: status\r\nSec-WebSocket-Extensions: grip\r\n" in written(passed_on)


def test_clients_share_all_but_what_is_their_own() -> None:
    other = [(name, b"other" if name in (b"Cookie", b"Sec-WebSocket-Key") else value) for name, value in HANDSHAKE]
    another = b"01234567-89ab-4cde-8f01-000000000000"  # with what separates the others in it
    one, two = make_events_head(PATH, HANDSHAKE, ID, True), make_events_head(b"/?token=1", other, another, True)
    assert b"\r\nConnection-Id: " + another + b"\r\n" in written(two)
    assert one.template == two.template
    assert len(one.values) < 90
    assert (path_of(one.values), path_of(two.values)) == (PATH, b"/?token=1")


def test_tokens_among_subprotocols_are_no_templates() -> None:
    """Pages can send one nowhere else. A template of its own would cost such a client a kilobyte."""
    one, two = [make_events_head(PATH, [*HANDSHAKE, (TOKEN_HEADER, token)], ID, True) for token in (b"t, 1", b"t, 2")]
    assert one.template == two.template
    assert b"\r\nSec-WebSocket-Protocol: t, 2\r\n" in written(two)


def test_names_and_values_that_look_like_a_template_are_none() -> None:
    odd = [HANDSHAKE[0], (b"X-%s", b"%d%%"), (b"User-Agent", b"%b%"), (b"%", b"\xff")]
    head = make_events_head(PATH, odd, ID, False)
    assert written(head).startswith(
        b"POST /ws?a=%2 HTTP/1.1\r\nHost: d.test\r\nX-%s: %d%%\r\nUser-Agent: %b%\r\n%: \xff\r\n"
    )


def test_meta_and_replayed_bytes_come_behind_the_length() -> None:
    head = make_events_head(PATH, HANDSHAKE[:1], ID, False)
    meta = ((b"User-Id", b"7"), (b"room", b"a b"))
    written = encode_events_request(head.template, head.values, None, meta, 12, b"PING\r\n")
    end = b"Content-Length: 6\r\nContent-Bytes-Replayed: 12\r\nMeta-User-Id: 7\r\nMeta-room: a b\r\n\r\nPING\r\n"
    assert written == b"POST /ws?a=%2 HTTP/1.1\r\nHost: d.test\r\n" + TAIL + end
