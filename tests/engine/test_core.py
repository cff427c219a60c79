"""A worker's brain as a whole: the conversations that it exists for."""

from typing import get_args

import pytest

from gripproxy.engine.core import _ON
from gripproxy.engine.effects import AskOrigin, CloseChannel, Deliver, Finish, OpenChannel, Park
from gripproxy.engine.events import Event, OriginFailure, RelayDone
from gripproxy.errors import InternalError
from gripproxy.protocol.publish_format import Action
from gripproxy.protocol.routes import parse_routes
from gripproxy.settings import Settings
from tests.engine.conversation import LONG_POLL, STREAM, Conversation, answer, content, request


def is_forgotten(talk: Conversation) -> bool:
    """Whether nothing is left of any client."""
    holds = talk.core.holds
    is_nobody_held = not any(holds.holds) and holds.streams_count == holds.responses_count == 0
    return is_nobody_held and not talk.core.exchanges and not holds.subscriptions.channels


def test_every_event_has_a_handler() -> None:
    """The driver hands over whatever happens."""
    assert set(_ON) == set(get_args(Event))


def test_stream_from_request_to_close() -> None:
    """Hold, deliver, deliver, end: the life of a stream. Then the same connection asks again."""
    talk = Conversation()
    talk.gets_held(4, STREAM, b"hi\n")
    assert talk.core.exchanges == {}, "a held client is no request any more"
    assert "news" in talk.core.holds.subscriptions.channels
    assert talk.publish(content(b"one")) == [Deliver(b"3\r\none\r\n", {4})]
    assert talk.publish(content(b"two")) == [Deliver(b"3\r\ntwo\r\n", {4})]
    closing = content(b"", action=Action.CLOSE)
    assert talk.publish(closing) == [Finish(b"0\r\n\r\n", [4], True, True), CloseChannel("news")]
    assert is_forgotten(talk)
    assert isinstance(talk.asks(4)[0], AskOrigin)


def test_long_poll_that_comes_back() -> None:
    """The channel stays open between two polls, so that publishers with subscriptions do not lose it."""
    talk = Conversation(settings=Settings(subscription_linger=60))
    assert talk.gets_held(4, LONG_POLL)[0] == OpenChannel("news", True)
    (finish,) = talk.publish(answer(b"one"))
    assert isinstance(finish, Finish)
    assert list(finish.conn_ids) == [4]
    assert "news" in talk.core.holds.subscriptions.channels
    assert talk.gets_held(4, LONG_POLL) == [Park(4, b"")]
    talk.publish(answer(b"two"))
    assert talk.passes(61) == [CloseChannel("news")]
    assert is_forgotten(talk)


def test_long_poll_times_out_with_the_origins_response() -> None:
    """Grip-Timeout is counted from the hold."""
    talk = Conversation()
    talk.gets_held(4, [*LONG_POLL, (b"Grip-Timeout", b"10")], b"nothing\n")
    assert talk.passes(9.9) == []
    payload = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\nnothing\n"
    assert talk.passes(0.5) == [Finish(payload, (4,), True), CloseChannel("news")]
    assert is_forgotten(talk)


def test_keep_alive_of_the_walkthrough() -> None:
    """The header of the first script that anybody writes."""
    talk = Conversation()
    talk.gets_held(4, [*STREAM, (b"Grip-Keep-Alive", rb":\n\n; format=cstring; timeout=55")])
    assert talk.passes(55.0) == []
    assert talk.passes(0.25) == [Deliver(b"3\r\n:\n\n\r\n", [4], is_keep_alive=True)]


def test_clients_of_a_channel_are_delivered_to_together() -> None:
    """And only they."""
    talk = Conversation()
    for conn_id in (4, 5):
        talk.gets_held(conn_id, STREAM)
    talk.gets_held(6, [(b"Grip-Hold", b"stream"), (b"Grip-Channel", b"sport")])
    assert talk.publish(content(b"x")) == [Deliver(b"1\r\nx\r\n", {4, 5})]
    assert talk.publish(content(b"x", "nobody")) == []


def test_client_that_leaves_while_held_is_forgotten() -> None:
    """At once: its id may be another client's in the next moment."""
    talk = Conversation()
    talk.gets_held(4, STREAM)
    assert talk.leaves(4) == [CloseChannel("news")]
    assert is_forgotten(talk)
    assert "news" not in talk.core.holds.subscriptions.channels
    assert talk.publish(content(b"x")) == []


def test_client_that_leaves_while_asking_is_forgotten() -> None:
    """Its request is no hold yet."""
    talk = Conversation()
    talk.asks(4)
    assert talk.leaves(4) == []
    assert is_forgotten(talk)
    assert isinstance(talk.asks(4)[0], AskOrigin)


def test_client_that_leaves_twice_does_no_harm() -> None:
    """A cut is reported by whoever notices it, held or not."""
    talk = Conversation()
    assert talk.leaves(4) == []


def test_answered_request_is_forgotten() -> None:
    """However it was answered."""
    talk = Conversation("d.test a:1")
    talk.asks(4)
    talk.origin_answers(4)
    assert talk.core.handle(RelayDone(4), talk.now) == []
    talk.asks(5)
    talk.origin_fails(5, OriginFailure.CONNECT)
    talk.gets_held(6, [(b"Grip-Status", b"404")])
    assert is_forgotten(talk)


def test_second_request_before_the_first_is_answered_is_our_bug() -> None:
    """Pipelined requests wait in the worker; to take one early would mix up two responses."""
    talk = Conversation()
    talk.asks(4)
    with pytest.raises(InternalError, match="connection 4 got RequestArrived"):
        talk.asks(4)
    talk.gets_held(5, STREAM)
    with pytest.raises(InternalError, match="connection 5 got RequestArrived"):
        talk.asks(5)


def test_origin_that_answers_nobody_is_our_bug() -> None:
    """It is named with the connection."""
    talk = Conversation()
    with pytest.raises(InternalError, match="connection 4 without a request got OriginAnswered"):
        talk.origin_answers(4)


def test_new_routes_count_from_the_next_request() -> None:
    """What is on its way or held keeps its route."""
    talk = Conversation("*,prefix=old- origin:80")
    talk.asks(4)
    talk.core.replace_routes(parse_routes("*,prefix=new- origin:80", "routes")[0])
    talk.origin_answers(4, STREAM)
    assert talk.origin_sent(4, b"")[0] == OpenChannel("old-news")
    assert talk.gets_held(5, STREAM)[0] == OpenChannel("new-news")


def test_test_target_holds_without_an_origin() -> None:
    """The default route lets everybody try a hold in the first minute."""
    talk = Conversation("* test")
    opened, park = talk.asks(4, request(b"/stream?channel=a"))
    assert opened == OpenChannel("a")
    assert isinstance(park, Park)
    assert park.payload.endswith(b"\r\n\r\n10\r\n[stream opened]\n\r\n")
