"""The ends of holds whose process stops: what each client reads, and what its origin hears."""

from gripproxy.engine.effects import (
    AskLink,
    CloseChannel,
    CloseOrigin,
    Cut,
    Deliver,
    DropLink,
    Effect,
    EndSocket,
    Finish,
    Write,
)
from gripproxy.engine.events import FarewellDue
from gripproxy.engine.web_sockets import CLOSING_MAX_S, GOING_MAX_S
from gripproxy.protocol.websocket_close import GOING_AWAY, encode_close
from gripproxy.protocol.websocket_frame import CLOSE, CONTINUATION, TEXT, Frame, encode_frame
from tests.engine.conversation import HTTP10, LINK, LONG_POLL, STREAM, Conversation, answer, content
from tests.engine.events_conversation import opened
from tests.engine.test_core import is_forgotten

GONE_LINK = (b"Grip-Link", b"</gone>; rel=gone")
GOING = encode_close(GOING_AWAY, b"")


def says_farewell(talk: Conversation, *conn_ids: int, is_last: bool = False) -> list[Effect]:
    return talk.core.handle(FarewellDue(conn_ids, is_last), talk.now)


def test_streams_end_whole_and_their_connections_with_them() -> None:
    """An EventSource comes back on a connection of its own; the body of an HTTP/1.0 client ends with the connection."""
    talk = Conversation()
    talk.gets_held(4, STREAM)
    talk.gets_held(5, STREAM)
    talk.gets_held(6, STREAM, head=HTTP10)
    assert says_farewell(talk, 4, 5, 6) == [
        Finish(b"0\r\n\r\n", [4, 5], is_persistent=False),
        Finish(b"", [6], is_persistent=False),
        CloseChannel("news"),
    ]
    assert is_forgotten(talk)


def test_long_poll_gets_what_it_would_get_at_its_timeout() -> None:
    """And hears that its next request needs another connection."""
    talk = Conversation()
    talk.gets_held(4, LONG_POLL, b"nothing\n")
    (finish, _) = says_farewell(talk, 4)
    assert isinstance(finish, Finish)
    assert not finish.is_persistent
    assert finish.payload == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 8\r\n\r\nnothing\n"
    )
    assert is_forgotten(talk)


def test_long_poll_that_gets_an_item_before_its_turn_hears_it_too() -> None:
    talk = Conversation()
    talk.gets_held(4, LONG_POLL)
    talk.core.expect_farewells([4, 99])
    (finish, _) = talk.publish(answer(b"one"))
    assert isinstance(finish, Finish)
    assert not finish.is_persistent
    assert b"\r\nConnection: close\r\n" in finish.payload


def test_origin_that_wants_to_know_of_the_end_is_told() -> None:
    """For it nothing is different from a client that leaves."""
    talk = Conversation()
    talk.gets_held(4, [*STREAM, GONE_LINK])
    effects = says_farewell(talk, 4)
    assert effects[0] == Finish(b"0\r\n\r\n", [4], is_persistent=False)
    (told,) = [effect for effect in effects if isinstance(effect, AskLink)]
    assert told.head.startswith(b"POST /gone ")


def test_what_is_still_due_goes_first() -> None:
    """The end of a stream must not overtake items that were published before it."""
    talk = Conversation()
    for conn_id in range(1000):
        talk.gets_held(conn_id, STREAM)
    talk.publish(content(b"x"))
    effects = says_farewell(talk, 7)
    assert effects == [Deliver(b"1\r\nx\r\n", {7}), Finish(b"0\r\n\r\n", [7], is_persistent=False)]


def test_stream_whose_next_part_is_coming_is_left_until_it_rests() -> None:
    """The end in the middle of a part would make a part look whole. Without time left it is cut, which is the truth."""
    talk = Conversation()
    effects = talk.gets_held(4, [(b"Content-Type", b"text/plain"), LINK])
    (asked,) = [effect for effect in effects if isinstance(effect, AskLink)]
    assert says_farewell(talk, 4) == []
    talk.link_answers(asked.link_id, [LINK])
    talk.link_sends(asked.link_id, b"half of it")
    assert says_farewell(talk, 4) == []
    assert says_farewell(talk, 4, is_last=True) == [Cut(4)]
    assert DropLink(asked.link_id) in talk.leaves(4)
    assert is_forgotten(talk)


def test_web_socket_is_closed_on_both_sides() -> None:
    """Both hear that somebody goes away. A client that does not answer is not waited for as long as otherwise."""
    talk = Conversation()
    talk.opens_socket(4)
    assert says_farewell(talk, 4) == [CloseOrigin(4, Frame(CLOSE, GOING)), Write(4, encode_frame(CLOSE, GOING))]
    assert says_farewell(talk, 4) == [], "it is on its way"
    assert GOING_MAX_S < CLOSING_MAX_S
    assert talk.passes(GOING_MAX_S + 0.3) == [EndSocket(4, b"")]
    assert is_forgotten(talk)


def test_close_may_come_in_the_middle_of_a_message() -> None:
    """As every control frame may; the rest of the message is for nobody then."""
    talk = Conversation()
    talk.opens_socket(4)
    talk.origin_speaks(4, Frame(TEXT, b"m:a", False))
    assert Write(4, encode_frame(CLOSE, GOING)) in says_farewell(talk, 4)
    assert talk.core.sockets.mid_message == set()
    assert talk.origin_speaks(4, Frame(CONTINUATION, b"b")) == []


def test_web_socket_without_an_origin_is_closed() -> None:
    talk = Conversation()
    talk.opens_socket(4)
    talk.origin_speaks(4, Frame(TEXT, b'c:{"type":"detach"}'))
    assert says_farewell(talk, 4) == [Write(4, encode_frame(CLOSE, GOING))]


def test_origin_over_http_gets_the_close() -> None:
    """Behind what the client has said."""
    talk = opened()
    effects = talk.note(says_farewell(talk, 4))
    assert effects == [Write(4, encode_frame(CLOSE, GOING))]
    assert talk.body == b"CLOSE 2\r\n\x03\xe9\r\n"
    assert talk.client_sends(4, Frame(CLOSE, GOING)) == [EndSocket(4, b"")]


def test_who_is_gone_is_no_error() -> None:
    """Clients leave while their turn comes."""
    talk = Conversation()
    talk.asks(5)
    assert says_farewell(talk, 4, 5, 1000) == []
