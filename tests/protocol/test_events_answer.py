"""What headers of an answer to events say about the session."""

import pytest

from gripproxy.errors import OriginError
from gripproxy.protocol.events_answer import (
    META_MAX_BYTES,
    EventsAnswer,
    Meta,
    client_headers,
    decode_answer,
    is_events_answer,
    why_no_events,
    with_changes,
)
from gripproxy.protocol.http1 import check_response


@pytest.mark.parametrize(
    ("status", "content_type", "expected"),
    [
        (200, b"application/websocket-events", True),
        (200, b"application/websocket-events; charset=utf-8", False),
        (200, b"Application/WebSocket-Events", False),
        (200, None, False),
        (201, b"application/websocket-events", False),
        (204, b"application/websocket-events", False),
        (500, b"application/websocket-events", False),
    ],
)
def test_only_what_says_so_has_events(status: int, content_type: bytes | None, expected: bool) -> None:
    """Anything else comes from a server that does not know the protocol, or does not want the client."""
    headers = [] if content_type is None else [(b"content-type", content_type)]
    assert is_events_answer(check_response(status, b"", headers, is_head=False)) is expected


@pytest.mark.parametrize(
    ("status", "content_type", "expected"),
    [
        (404, b"application/websocket-events", "it answered with status 404"),
        (200, b"text/html", "it answered with Content-Type 'text/html', not 'application/websocket-events'"),
        (200, b"x\n\xff", "it answered with Content-Type 'x\\nÿ', not 'application/websocket-events'"),
        (200, None, "it answered with Content-Type '', not 'application/websocket-events'"),
    ],
)
def test_the_log_hears_what_is_wrong_with_it(status: int, content_type: bytes | None, expected: str) -> None:
    """One of the two, as they are mended in different places."""
    headers = [] if content_type is None else [(b"content-type", content_type)]
    assert why_no_events(check_response(status, b"", headers, is_head=False)) == expected


@pytest.mark.parametrize(
    ("value", "interval_s"),
    [
        *((b"60", 60), (b"5", 20), (b"20", 20), (b" 30 ", 30), (b"+30", 30), (b"0", 0), (b"-1", 0), (b"soon", 0)),
        *((b"", 0), (b"1.5", 0), (b"99999999999", 0)),
    ],
)
def test_an_interval_is_raised_to_the_least_or_switched_off(value: bytes, interval_s: int) -> None:
    assert decode_answer([(b"keep-alive-interval", value)]).interval_s == interval_s


def test_an_answer_may_say_nothing() -> None:
    assert decode_answer([(b"X", b"1")]) == EventsAnswer(None, None, ())


@pytest.mark.parametrize(
    ("value", "accepted_bytes"),
    [
        (b"5", 5),
        (b" 0 ", 0),
        (b"007", 7),
        (b"-1", None),
        (b"x", None),
        (b"", None),
        (b"1e3", None),
        (b"9" * 5000, None),
    ],
)
def test_how_much_was_accepted_is_a_number_or_all(value: bytes, accepted_bytes: int | None) -> None:
    assert decode_answer([(b"Content-Bytes-Accepted", value)]).accepted_bytes == accepted_bytes


def test_meta_changes_keep_their_spelling() -> None:
    headers = [(b"Set-Meta-User-Id", b"7"), (b"set-meta-x", b""), (b"Set-Meta-", b"?"), (b"Set-Meta-bad", b"a\0b")]
    assert decode_answer(headers).changes == ((b"User-Id", b"7"), (b"x", b""))


def test_meta_is_replaced_and_deleted_whatever_the_case() -> None:
    meta: Meta = ((b"User", b"1"), (b"Room", b"2"))
    assert with_changes(meta, ()) == meta
    assert with_changes(meta, ((b"uSER", b"3"),)) == ((b"Room", b"2"), (b"uSER", b"3"))
    assert with_changes(meta, ((b"user", b""), (b"none", b""))) == ((b"Room", b"2"),)
    assert with_changes((), ((b"a", b"1"), (b"A", b"2"))) == ((b"A", b"2"),)


def test_meta_has_a_bound() -> None:
    """It would grow with each answer, and with it each request."""
    meta = with_changes((), ((b"a", b"x" * (META_MAX_BYTES - 2)),))
    assert with_changes(meta, ((b"b", b""), (b"c", b""))) == meta
    with pytest.raises(OriginError, match="exceeds 65536 bytes"):
        with_changes(meta, ((b"b", b"1"),))


def test_the_client_sees_what_is_not_about_the_session() -> None:
    theirs = [(b"Sec-WebSocket-Protocol", b"chat"), (b"X-Version", b"3")]
    own = [(b"Content-Length", b"6"), (b"Content-Type", b"application/websocket-events"), (b"SET-META-a", b"b")]
    assert client_headers([own[0], theirs[0], *own[1:], (b"Keep-Alive-Interval", b"60"), theirs[1]]) == theirs
