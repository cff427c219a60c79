"""Sessions over HTTP from their first message to their end, as conversations of a client, us and its origin."""

import pytest

from gripproxy.engine.effects import LOG_INFO, DropLink, EndSocket, Log, Write
from gripproxy.engine.events import OriginFailure
from gripproxy.engine.ws_over_http import RETRIES_MAX_COUNT
from gripproxy.protocol.events_answer import META_MAX_BYTES
from gripproxy.protocol.websocket_events import encode_events
from gripproxy.protocol.websocket_frame import BINARY, CONTINUATION, PING, PONG, TEXT, Frame
from tests.engine.events_conversation import (
    EVENTS,
    GRIP,
    INTERVAL,
    EventsConversation,
    close,
    is_dropped,
    lines_of,
    names,
    opened,
    says,
    text,
)

DETACH = encode_events([text(b'c:{"type":"detach"}')])


# Messages.


def test_messages_go_out_and_come_back() -> None:
    talk = opened()
    assert says(talk, text(b"hello")) == []
    assert talk.body == b"TEXT 5\r\nhello\r\n"
    assert talk.answers(b"TEXT 5\r\nworld\r\nBINARY 0\r\n\r\nPONG 1\r\n!\r\n") == [
        *(Write(4, b"\x81\x05world"), Write(4, b"\x82\x00"), Write(4, b"\x8a\x01!"))
    ]
    assert talk.is_quiet
    session = talk.session()
    assert session is not None
    assert session.origin is not None
    assert session.origin.talk is None


def test_messages_gather_while_a_request_is_in_flight() -> None:
    talk = opened()
    says(talk, text(b"one"))
    for frame in (text(b"two"), Frame(PING, b""), Frame(BINARY, b"th", False), Frame(CONTINUATION, b"ree")):
        assert says(talk, frame) == []
    assert talk.body == b"TEXT 3\r\none\r\n"
    talk.answers()
    assert talk.body == b"TEXT 3\r\ntwo\r\nPING\r\nBINARY 5\r\nthree\r\n"
    talk.answers()
    assert talk.is_quiet


def test_a_message_that_is_not_whole_is_not_sent() -> None:
    talk = opened()
    asked = talk.asked
    says(talk, Frame(TEXT, b"ha", False))
    assert talk.asked is asked
    assert talk.is_quiet
    says(talk, Frame(PONG, b"x"))
    assert talk.body == b"PONG 1\r\nx\r\n"
    talk.answers()
    says(talk, Frame(CONTINUATION, b"lf"))
    assert talk.body == b"TEXT 4\r\nhalf\r\n"


def test_one_event_at_a_time() -> None:
    talk = opened(route="* origin:80,over_http,one_event")
    says(talk, text(b"one"), text(b"two"), close())
    bodies = []
    for _ in range(3):
        bodies.append(talk.body)
        effects = talk.answers(b"CLOSE 2\r\n\x03\xe8\r\n" if talk.body.startswith(b"CLOSE") else b"")
    assert bodies == [b"TEXT 3\r\none\r\n", b"TEXT 3\r\ntwo\r\n", b"CLOSE 2\r\n\x03\xe8\r\n"]
    assert EndSocket(4, b"\x88\x02\x03\xe8") in effects


def test_what_the_origin_says_is_obeyed_in_order() -> None:
    talk = opened(GRIP)
    says(talk, text(b"join"))
    subscribe = b'c:{"type":"subscribe","channel":"room"}'
    effects = talk.answers(encode_events([text(subscribe), text(b"m:ok"), text(b"no")]))
    assert names(effects) == ["OpenChannel", "Write"]
    assert effects[1] == Write(4, b"\x81\x02ok")


def test_unknown_events_are_ignored() -> None:
    talk = opened()
    says(talk, text(b"x"))
    assert talk.answers(b"NEWS 1\r\nx\r\ntext 1\r\ny\r\nTEXT 1\r\nz\r\n") == [Write(4, b"\x81\x01z")]


def test_meta_comes_back_with_each_request() -> None:
    talk = opened((b"Set-Meta-User-Id", b"7"))
    says(talk, text(b"a"))
    assert talk.asked is not None
    assert lines_of(talk.asked)[-1] == b"Meta-User-Id: 7"
    talk.answers(b"", (b"Set-Meta-user-id", b""), (b"Set-Meta-Room", b"x"))
    says(talk, text(b"b"))
    assert lines_of(talk.asked)[-1] == b"Meta-Room: x"
    assert b"7" not in b"\r\n".join(lines_of(talk.asked)).partition(b"Content-Length")[2]


def test_requests_of_a_session_have_one_connection_id() -> None:
    talk = opened()
    says(talk, text(b"a"))
    first = talk.asked
    talk.answers()
    says(talk, text(b"b"))
    assert first is not None
    assert talk.asked is not None
    assert lines_of(first) == lines_of(talk.asked)
    talk.answers()
    other = EventsConversation()
    other.opens(conn_id=5)
    assert other.asked is not None
    ids = {line for ask in (first, other.asked) for line in lines_of(ask) if line.startswith(b"Connection-Id")}
    assert len(ids) == 2


# Polling and refresh.


def test_an_origin_is_polled_after_so_much_quiet() -> None:
    talk = opened(INTERVAL)
    talk.waits(29)
    assert talk.is_quiet
    talk.waits(2)
    assert talk.body == b""
    assert talk.asked is not None
    assert b"Content-Length: 0" in lines_of(talk.asked)
    assert talk.answers(b"TEXT 1\r\nx\r\n") == [Write(4, b"\x81\x01x")]
    talk.waits(20)
    says(talk, text(b"not quiet"))
    talk.answers()
    talk.waits(20)
    assert talk.is_quiet
    talk.waits(11)
    assert talk.body == b""
    talk.answers(b"", (b"Keep-Alive-Interval", b"0"))
    talk.waits(100)
    assert talk.is_quiet


def test_an_origin_without_an_interval_is_not_polled() -> None:
    talk = opened()
    talk.waits(3600)
    assert talk.is_quiet


def test_a_refresh_asks_at_once_or_once_more() -> None:
    talk = opened()
    session = talk.session()
    assert session is not None
    talk.note(talk.core.sockets.refresh(session, talk.now))
    assert talk.body == b""
    for _ in range(3):
        assert talk.core.sockets.refresh(session, talk.now) == []
    says(talk, text(b"x"))
    talk.answers()
    assert talk.body == b"TEXT 1\r\nx\r\n"
    talk.answers()
    assert talk.is_quiet


# The end.


def test_a_client_closes_and_gets_the_origins_answer() -> None:
    talk = opened()
    says(talk, text(b"hello"))
    says(talk, text(b"bye"), Frame(BINARY, b"never whole", False), close(4001, b"going"))
    talk.answers()
    assert talk.body == b"TEXT 3\r\nbye\r\nCLOSE 7\r\n\x0f\xa1going\r\n"
    effects = talk.answers(b"TEXT 2\r\nok\r\nCLOSE 4\r\n\x0f\xa2so\r\nTEXT 1\r\nx\r\n")
    assert effects[:2] == [Write(4, b"\x81\x02ok"), EndSocket(4, b"\x88\x04\x0f\xa2so")]
    assert talk.is_quiet
    assert talk.session() is None


def test_a_close_may_come_while_a_request_is_in_flight() -> None:
    talk = opened()
    says(talk, text(b"x"))
    says(talk, close())
    assert talk.answers(b"TEXT 1\r\ny\r\n") == [Write(4, b"\x81\x01y")]
    assert talk.body == b"CLOSE 2\r\n\x03\xe8\r\n"
    assert EndSocket(4, b"\x88\x02\x03\xe8") in talk.answers(b"CLOSE 2\r\n\x00\x00\r\n")


def test_both_may_close_at_once() -> None:
    """The client is done; its origin still gets what the client said."""
    talk = opened()
    says(talk, text(b"x"))
    says(talk, close(4001))
    assert EndSocket(4, b"\x88\x02\x0f\xa2") in talk.answers(b"CLOSE 2\r\n\x0f\xa2\r\n")
    assert talk.body == b"CLOSE 2\r\n\x0f\xa1\r\n"
    assert names(talk.answers(status=500)) == ["DropLink", "Log"]
    assert talk.session() is None
    assert talk.is_quiet


def test_an_origin_that_does_not_answer_a_close_is_an_error() -> None:
    talk = opened()
    says(talk, close())
    assert is_dropped(talk.answers(b"TEXT 1\r\nx\r\n"))
    talk.leaves(4)
    assert talk.is_quiet


def test_with_an_interval_an_origin_may_take_its_time_to_close() -> None:
    talk = opened(INTERVAL)
    says(talk, close())
    assert talk.answers(b"TEXT 1\r\nx\r\n") == [Write(4, b"\x81\x01x")]
    talk.waits(31)
    assert talk.body == b""
    assert EndSocket(4, b"\x88\x02\x03\xe8") in talk.answers(b"CLOSE\r\n")
    assert talk.is_quiet


def test_an_origin_closes_and_gets_the_clients_answer() -> None:
    """Nothing else is sent to it until then."""
    talk = opened(INTERVAL)
    says(talk, text(b"x"))
    says(talk, text(b"y"))
    assert talk.answers(b"CLOSE 5\r\n\x0f\xa0bye\r\nTEXT 1\r\nz\r\n") == [Write(4, b"\x88\x05\x0f\xa0bye")]
    assert talk.is_quiet
    talk.waits(29)
    assert talk.is_quiet
    effects = says(talk, close(4000))
    assert talk.body == b"TEXT 1\r\ny\r\nCLOSE 2\r\n\x0f\xa0\r\n"
    assert EndSocket(4, b"") in effects
    assert talk.answers(b"TEXT 1\r\n!\r\n") == []
    assert talk.is_quiet


def test_an_origin_that_closed_hears_of_a_client_that_does_not_answer() -> None:
    talk = opened()
    says(talk, text(b"x"))
    talk.answers(b"CLOSE\r\n")
    talk.waits(3600)
    assert talk.body == b"DISCONNECT\r\n"
    talk.answers()
    assert talk.is_quiet


def test_an_origin_hears_of_a_client_that_is_lost() -> None:
    talk = opened(INTERVAL)
    talk.note(talk.leaves(4))
    assert talk.body == b"DISCONNECT\r\n"
    assert talk.answers(status=500) == []
    assert talk.is_quiet
    assert talk.waits(100) == []


def test_the_request_in_flight_comes_before_the_disconnect() -> None:
    """Its answer's events are for nobody; what waited behind it is not sent."""
    talk = opened()
    says(talk, text(b"last words"))
    says(talk, text(b"more"))
    assert talk.leaves(4) == []
    assert talk.answers(b"TEXT 1\r\nx\r\nCLOSE\r\n") == []
    assert talk.body == b"DISCONNECT\r\n"
    talk.answers()
    assert talk.is_quiet


@pytest.mark.parametrize("answer", [b"CLOSE 2\r\n\x03\xe8\r\n", b""])
def test_a_client_lost_after_its_close(answer: bytes) -> None:
    """If both have closed, nobody is missed."""
    talk = opened()
    says(talk, close())
    talk.leaves(4)
    talk.answers(answer)
    assert talk.is_quiet == bool(answer)
    if not answer:
        assert talk.body == b"DISCONNECT\r\n"


def test_a_detached_client_lives_without_its_origin() -> None:
    """What it has sent still goes out, and then a CLOSE; what else the origin had to say is dropped."""
    talk = opened(GRIP, INTERVAL)
    says(talk, text(b"one"))
    says(talk, text(b"two"))
    assert talk.answers(b"TEXT 3\r\nm:a\r\n" + DETACH + b"TEXT 3\r\nm:b\r\nCLOSE\r\n") == [Write(4, b"\x81\x01a")]
    assert talk.body == b"TEXT 3\r\ntwo\r\nCLOSE\r\n"
    assert talk.answers(b"TEXT 3\r\nm:c\r\n") == []
    says(talk, text(b"three"))
    talk.waits(100)
    assert talk.is_quiet
    assert EndSocket(4, b"\x88\x02\x03\xe8") in says(talk, close(4001))


def test_a_client_that_has_closed_is_detached() -> None:
    """Its own close is the only one that the origin gets."""
    talk = opened(GRIP)
    says(talk, text(b"x"))
    says(talk, close(4001))
    assert EndSocket(4, b"\x88\x02\x03\xe8") in talk.answers(DETACH)
    assert talk.body == b"CLOSE 2\r\n\x0f\xa1\r\n"
    talk.answers()
    assert talk.is_quiet


def test_a_published_close_closes_towards_the_origin() -> None:
    talk = opened()
    session = talk.session()
    assert session is not None
    effects = talk.note(talk.core.sockets.close(session, 4000, b"out", talk.now))
    assert Write(4, b"\x88\x05\x0f\xa0out") in effects
    assert talk.body == b"CLOSE\r\n"  # what is said to the client is not said to the origin
    talk.leaves(4)
    talk.answers(b"CLOSE\r\n")
    assert talk.is_quiet


# Errors.


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        *((500, EVENTS, b""), (201, EVENTS, b""), (204, EVENTS, b""), (200, [(b"Content-Type", b"text/plain")], b"")),
        *(
            (200, EVENTS, b"OPEN\r\n"),
            (200, EVENTS, b"DISCONNECT\r\n"),
            (200, EVENTS, b"TEXT z\r\n"),
            (200, EVENTS, b"x"),
        ),
        (200, [*EVENTS, (b"Content-Bytes-Accepted", b"2")], b""),
        (200, [*EVENTS, (b"Set-Meta-Much", b"x" * META_MAX_BYTES)], b""),
    ],
)
def test_answers_that_make_no_sense_end_the_session(
    status: int, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    """The client is dropped without a close frame, and nothing more is said to the origin."""
    talk = opened()
    says(talk, text(b"x"))
    assert is_dropped(talk.answers(body, *headers, status=status))
    assert talk.leaves(4) == []
    assert talk.is_quiet
    assert talk.waits(100) == []


def test_messages_before_a_disconnect_are_delivered() -> None:
    talk = opened()
    says(talk, text(b"x"))
    effects = talk.answers(b"TEXT 1\r\ny\r\nDISCONNECT\r\nTEXT 1\r\nz\r\n")
    assert effects[0] == Write(4, b"\x81\x01y")
    assert is_dropped(effects)


def test_an_answer_that_never_ends_is_not_kept() -> None:
    talk = opened()
    says(talk, text(b"x"))
    assert talk.asked is not None
    talk.link_answers(talk.asked.link_id, EVENTS)
    assert talk.link_sends(talk.asked.link_id, b"x" * 1_000_000) == []
    effects = talk.link_sends(talk.asked.link_id, b"x")
    assert effects[0] == DropLink(talk.asked.link_id)
    assert is_dropped(effects)


def test_an_origin_that_cannot_be_reached_is_asked_again() -> None:
    """With growing pauses; what comes meanwhile waits. The log hears of the first."""
    talk = opened(INTERVAL)
    says(talk, text(b"x"))
    first = talk.asked
    again = Log(LOG_INFO, "origin origin:80: it broke; asking again", about=4)
    for pause_s in (1, 2, 4, 8, 16):
        assert talk.fails() == ([again] if pause_s == 1 else [])
        says(talk, text(b"%d" % pause_s))
        talk.waits(pause_s - 0.25)
        assert talk.is_quiet
        talk.waits(0.5)
        assert talk.body == b"TEXT 1\r\nx\r\n"
        assert talk.asked is not first
    talk.answers()
    assert talk.body == b"TEXT 1\r\n1\r\nTEXT 1\r\n2\r\nTEXT 1\r\n4\r\nTEXT 1\r\n8\r\nTEXT 2\r\n16\r\n"
    assert talk.fails() == [again]  # the counter was reset
    talk.waits(1.5)
    assert not talk.is_quiet


def test_an_origin_that_stays_away_loses_its_clients() -> None:
    talk = opened()
    says(talk, text(b"x"))
    for _ in range(RETRIES_MAX_COUNT):
        assert not is_dropped(talk.fails())
        talk.waits(20)
    effects = talk.fails()
    assert is_dropped(effects)
    assert [effect for effect in effects if isinstance(effect, Log) and effect.is_origin_error]
    talk.leaves(4)
    assert talk.is_quiet


def test_what_an_origin_may_have_acted_on_is_not_sent_again() -> None:
    talk = opened()
    says(talk, text(b"x"))
    assert is_dropped(talk.fails(OriginFailure.BROKEN))
    talk = opened()
    says(talk, text(b"x"))
    assert not is_dropped(talk.fails(OriginFailure.BROKEN, is_sent=False))
    talk.waits(1.5)
    assert talk.body == b"TEXT 1\r\nx\r\n"


def test_what_is_harmless_is_sent_again() -> None:
    """An origin may be polled twice, and hear twice that a client is gone."""
    talk = opened(INTERVAL)
    talk.waits(31)
    assert not is_dropped(talk.fails(OriginFailure.BROKEN))
    says(talk, text(b"later"))
    talk.waits(1.5)
    assert talk.body == b""
    talk.answers()
    assert talk.body == b"TEXT 5\r\nlater\r\n"
    talk.answers()
    talk.note(talk.leaves(4))
    assert [effect.about for effect in talk.fails(OriginFailure.BROKEN) if isinstance(effect, Log)] == [None]
    talk.waits(1.5)
    assert talk.body == b"DISCONNECT\r\n"


def test_a_target_that_must_not_be_reached_is_not_asked_again() -> None:
    talk = opened()
    says(talk, text(b"x"))
    assert is_dropped(talk.fails(OriginFailure.BLOCKED))


def test_a_disconnect_is_repeated_too() -> None:
    talk = opened()
    says(talk, text(b"x"))
    talk.fails()
    talk.leaves(4)
    talk.waits(1.5)
    assert talk.body == b"TEXT 1\r\nx\r\n"
    talk.answers()
    assert talk.body == b"DISCONNECT\r\n"
    for _ in range(RETRIES_MAX_COUNT):
        assert not is_dropped(talk.fails())
        talk.waits(20)
        assert talk.body == b"DISCONNECT\r\n"
    (log,) = talk.fails()
    assert isinstance(log, Log)
    assert talk.is_quiet
