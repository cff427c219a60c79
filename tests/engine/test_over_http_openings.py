"""Handshakes over HTTP: what an origin can say to OPEN, and what the client gets."""

import pytest

from gripproxy.engine.effects import LOG_INFO, DropLink, Effect, Log, OpenSocket, Respond, Write
from gripproxy.engine.events import OriginFailure
from gripproxy.protocol.events_answer import META_MAX_BYTES
from tests.engine.events_conversation import EVENTS, GRIP, EventsConversation, body_of, lines_of

FAILED = b"Error while proxying to origin.\n"


def response(effects: list[Effect]) -> bytes:
    """Give what a client that got no WebSocket was answered."""
    (respond,) = [effect for effect in effects if isinstance(effect, Respond)]
    return respond.payload


def test_an_origin_accepts() -> None:
    """It is asked by POST, with the client's own headers; its answer's headers reach the client, but for its own."""
    talk = EventsConversation()
    assert talk.begins(4, (b"Cookie", b"a=b"), (b"Meta-user", b"admin")) == []
    assert talk.asked is not None
    assert lines_of(talk.asked)[0] == b"POST / HTTP/1.1"
    assert b"Cookie: a=b" in lines_of(talk.asked)
    assert b"Sec-WebSocket-Extensions: grip" in lines_of(talk.asked)
    assert b"admin" not in talk.asked.head
    assert body_of(talk.asked) == b"OPEN\r\n"
    opened, *others = talk.answers(b"OPEN\r\n", GRIP, (b"Sec-WebSocket-Protocol", b"chat"), (b"Set-Meta-user", b"u"))
    assert isinstance(opened, OpenSocket)
    lines = opened.payload.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 101 Switching Protocols"
    assert b"Sec-WebSocket-Protocol: chat" in lines
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in lines
    assert not {b"content-type", b"set-meta-user", b"sec-websocket-extensions", b"content-length"} & {
        line.partition(b":")[0].lower() for line in lines
    }
    assert others == []
    assert not opened.has_origin
    assert opened.message_max_bytes == 200_000
    assert talk.is_quiet


def test_messages_may_come_with_the_acceptance() -> None:
    talk = EventsConversation()
    talk.begins()
    opened, *others = talk.answers(b"OPEN\r\nTEXT 4\r\nm:hi\r\nPING\r\n", GRIP)
    assert isinstance(opened, OpenSocket)
    assert others == [Write(4, b"\x81\x02hi"), Write(4, b"\x89\x00")]


def test_a_close_may_come_with_the_acceptance() -> None:
    talk = EventsConversation()
    talk.begins()
    opened, *others = talk.answers(b"OPEN\r\nTEXT 2\r\nhi\r\nCLOSE 2\r\n\x0f\xa0\r\nTEXT 1\r\nx\r\n")
    assert isinstance(opened, OpenSocket)
    assert others == [Write(4, b"\x81\x02hi"), Write(4, b"\x88\x02\x0f\xa0")]


def test_a_disconnect_behind_the_acceptance_drops_the_client() -> None:
    talk = EventsConversation()
    talk.begins()
    effects = talk.answers(b"OPEN\r\nDISCONNECT\r\n")
    assert [type(effect).__name__ for effect in effects] == ["OpenSocket", "Log", "Cut"]
    talk.leaves(4)
    assert talk.is_quiet


@pytest.mark.parametrize("body", [b"", b"TEXT 1\r\nx\r\n", b"PING\r\nOPEN\r\n", b"OPEN", b"TEXT x\r\n"])
def test_answers_that_are_no_acceptance_fail(body: bytes) -> None:
    """Without an interval there must be an OPEN, first."""
    talk = EventsConversation()
    talk.begins()
    assert response(talk.answers(body)).endswith(FAILED)
    assert talk.is_quiet


def test_an_acceptance_with_too_much_meta_fails() -> None:
    talk = EventsConversation()
    talk.begins()
    too_much = [(b"Set-Meta-Much", b"x" * META_MAX_BYTES)]
    assert response(talk.answers(b"OPEN\r\n", *EVENTS, *too_much)).endswith(FAILED)
    assert talk.is_quiet


@pytest.mark.parametrize(
    ("status", "content_type"),
    [
        *((401, b"text/plain"), (200, b"text/plain"), (200, b"application/websocket-events; charset=utf-8")),
        *((500, b"application/websocket-events"), (204, b"application/websocket-events")),
    ],
)
def test_other_answers_are_the_clients(status: int, content_type: bytes) -> None:
    """Rejections are the origin's own: status, headers and body."""
    talk = EventsConversation()
    talk.begins()
    body = b"" if status == 204 else b"go away"
    payload = response(talk.answers(body, (b"Content-Type", content_type), (b"X-Why", b"so"), status=status))
    assert payload.startswith(b"HTTP/1.1 %d OK\r\n" % status)
    assert b"X-Why: so\r\n" in payload
    assert payload.endswith(b"\r\n\r\n" + body)
    assert talk.is_quiet


@pytest.mark.parametrize(
    ("status", "content_type", "text"),
    [
        (200, b"text/html", "it answered with Content-Type 'text/html', not 'application/websocket-events'"),
        (204, b"", "it answered with status 204"),
        (404, b"text/html", None),
    ],
)
def test_a_page_for_events_is_in_the_log(status: int, content_type: bytes, text: str | None) -> None:
    """It is no refusal, and browsers do not show the answer."""
    talk = EventsConversation()
    talk.begins()
    effects = talk.answers(b"", (b"Content-Type", content_type), status=status)
    said = [effect.text for effect in effects if isinstance(effect, Log) and effect.level == LOG_INFO]
    assert said[:1] == ([] if text is None else [f"origin origin:80: {text}"])


def test_a_large_rejection_is_not_waited_for() -> None:
    talk = EventsConversation()
    talk.begins()
    assert talk.asked is not None
    link_id = talk.asked.link_id
    assert talk.link_answers(link_id, [], 403) == []
    assert talk.link_sends(link_id, b"x" * 100_000) == []
    dropped, *effects = talk.link_sends(link_id, b"x")
    assert dropped == DropLink(link_id)
    assert response(effects).endswith(FAILED)
    assert talk.is_quiet


def test_an_acceptance_that_never_ends_is_not_kept() -> None:
    talk = EventsConversation()
    talk.begins()
    assert talk.asked is not None
    link_id = talk.asked.link_id
    talk.link_answers(link_id, [(b"Content-Type", b"application/websocket-events")])
    assert talk.link_sends(link_id, b"x" * 1_000_000) == []
    dropped, *effects = talk.link_sends(link_id, b"x")
    assert dropped == DropLink(link_id)
    assert response(effects).endswith(FAILED)


def test_an_origin_may_let_a_client_wait() -> None:
    """With an interval and no events the handshake stays open, and OPEN is sent again, by the same connection id."""
    talk = EventsConversation()
    talk.begins()
    first = talk.asked
    assert talk.answers(b"", (b"Keep-Alive-Interval", b"30"), (b"Set-Meta-Turn", b"1")) == []
    assert talk.waits(29) == []
    assert talk.asked is first
    talk.waits(2)
    assert first is not None
    assert talk.asked is not None
    assert lines_of(talk.asked) == [*lines_of(first), b"Meta-Turn: 1"]
    assert talk.answers(b"") == []  # the interval is as before
    talk.waits(31)
    (opened,) = talk.answers(b"OPEN\r\n")
    assert isinstance(opened, OpenSocket)


def test_a_client_that_waits_may_be_refused() -> None:
    talk = EventsConversation()
    talk.begins()
    talk.answers(b"", (b"Keep-Alive-Interval", b"30"))
    talk.waits(31)
    assert response(talk.answers(b"", (b"Keep-Alive-Interval", b"0"))).endswith(FAILED)


def test_the_next_target_is_asked_where_one_cannot_be_reached() -> None:
    """Also of another kind, and again over HTTP."""
    talk = EventsConversation("* one:80,over_http two:80,over_http three:80")
    talk.begins()
    talk.fails()
    assert talk.asked is not None
    assert talk.asked.target.host == "two"
    assert talk.body == b"OPEN\r\n"
    log, ask = talk.fails()
    assert type(log).__name__, type(ask).__name__ == ("Log", "AskOrigin")
    assert talk.is_quiet


def test_what_an_origin_did_not_answer_is_not_asked_again() -> None:
    """Nobody knows whether it has acted on it; and no client waits half a minute for its handshake."""
    talk = EventsConversation("* one:80,over_http two:80,over_http")
    talk.begins()
    assert response(talk.fails(OriginFailure.BROKEN)).endswith(FAILED)
    talk = EventsConversation("*,debug one:80,over_http")
    talk.begins()
    assert response(talk.fails()).endswith(b"Unable to connect to any targets. Tried: one:80\n")
    assert talk.is_quiet


def test_an_origin_that_accepts_a_client_that_has_left_is_told() -> None:
    talk = EventsConversation()
    talk.begins()
    assert talk.leaves(4) == []
    assert talk.answers(b"OPEN\r\nTEXT 2\r\nhi\r\n") == []
    assert talk.body == b"DISCONNECT\r\n"
    assert talk.answers(b"") == []
    assert talk.is_quiet


@pytest.mark.parametrize("body", [b"", b"TEXT 1\r\nx\r\n", b"nonsense"])
def test_an_origin_that_does_not_accept_a_client_that_has_left_is_not_told(body: bytes) -> None:
    talk = EventsConversation()
    talk.begins()
    talk.leaves(4)
    assert talk.answers(body, (b"Keep-Alive-Interval", b"30")) == []
    assert talk.waits(31) == []
    assert talk.is_quiet
    talk.begins()  # another one by the same id
    assert talk.body == b"OPEN\r\n"


def test_a_client_that_leaves_while_it_waits_is_forgotten() -> None:
    talk = EventsConversation()
    talk.begins()
    talk.answers(b"", (b"Keep-Alive-Interval", b"30"))
    talk.leaves(4)
    assert talk.waits(31) == []
    assert talk.is_quiet


def test_trusted_clients_and_routes_without_grip_get_no_offer() -> None:
    talk = EventsConversation("*,no_grip origin:80,over_http")
    talk.begins()
    assert talk.asked is not None
    assert b"rip" not in talk.asked.head
    (opened, *others) = talk.answers(b"OPEN\r\nTEXT 3\r\nc:{\r\n", GRIP)
    assert isinstance(opened, OpenSocket)
    assert others == [Write(4, b"\x81\x03c:{")]
