"""Items that a server has to agree to: order, rate, time limit, and holds that leave meanwhile."""

import pytest

from gripproxy.engine.books import CROWDED, GONE
from gripproxy.engine.effects import AskLink, CloseChannel, Deliver, DropLink, Finish, Log, Unpark
from gripproxy.engine.events import OriginFailure
from gripproxy.protocol.http1 import Headers
from gripproxy.protocol.network_filter import REQUESTS_MAX_RATE
from gripproxy.protocol.publish_format import Action, HttpResponseFormat, HttpStreamFormat
from gripproxy.protocol.publish_item import PublishItem
from tests.engine.conversation import Conversation, answer, content

META = (b"Grip-Set-Meta", b'url="/check", user=ann')
DROP: Headers = [(b"Action", b"drop")]


def talk_with(filters: bytes = b"filter=http-check", mode: bytes = b"stream", routes: str = "* one:80") -> Conversation:
    """Hold one client whose items are checked."""
    talk = Conversation(routes)
    talk.gets_held(4, [(b"Grip-Hold", mode), (b"Grip-Channel", b"news; " + filters), META])
    return talk


def asked(talk: Conversation, item: PublishItem) -> AskLink:
    (ask,) = talk.publish(item)
    assert isinstance(ask, AskLink)
    return ask


def test_the_server_hears_both_sides() -> None:
    talk = talk_with(b"filter=http-modify")
    item = content(b"hi")
    item.meta["sender"] = "bob"
    ask = asked(talk, item)
    assert ask.head.startswith(b"POST /check HTTP/1.1\r\nHost: d.test\r\n")
    assert b'\r\nSub-Meta: {"url":"/check","user":"ann"}\r\nPub-Meta: {"sender":"bob"}\r\n' in ask.head
    assert ask.head.endswith(b"\r\nContent-Length: 2\r\n\r\nhi")


@pytest.mark.parametrize(
    ("filters", "headers", "status", "body", "sent"),
    [
        (b"filter=http-check", [], 200, b"new", b"old"),
        (b"filter=http-check", [], 204, b"", b"old"),
        (b"filter=http-check", DROP, 200, b"", None),
        (b"filter=http-modify", [], 200, b"new", b"new"),
        (b"filter=http-modify", [], 204, b"", b"old"),
        (b"filter=http-modify", [], 500, b"new", None),
    ],
)
def test_the_answer_decides(filters: bytes, headers: Headers, status: int, body: bytes, sent: bytes | None) -> None:
    talk = talk_with(filters)
    ask = asked(talk, content(b"old"))
    talk.link_answers(ask.link_id, headers, status)
    if body:
        talk.link_sends(ask.link_id, body)
    effects = [effect for effect in talk.link_ends(ask.link_id) if not isinstance(effect, Log)]
    assert effects == ([] if sent is None else [Deliver(b"3\r\n%s\r\n" % sent, [4])])


def test_later_items_wait_their_turn() -> None:
    """Each is asked about when the one before it has gone out."""
    talk = talk_with()
    ask = asked(talk, content(b"one"))
    assert talk.publish(content(b"two")) == talk.publish(content(b"", action=Action.CLOSE)) == []
    talk.link_answers(ask.link_id, [])
    deliver, second = talk.link_ends(ask.link_id)
    assert deliver == Deliver(b"3\r\none\r\n", [4])
    assert isinstance(second, AskLink)
    talk.link_answers(second.link_id, DROP)
    (third,) = talk.link_ends(second.link_id)
    assert isinstance(third, AskLink)
    talk.link_answers(third.link_id, [])
    assert talk.link_ends(third.link_id) == [Finish(b"0\r\n\r\n", [4], True, True), CloseChannel("news")]


def test_what_waits_is_bounded() -> None:
    talk = talk_with()
    ask = asked(talk, content(b"one"))
    for _ in range(103):
        talk.publish(content(b"x"))
    books = talk.core.accounts.books
    assert (books.receptions, books.pending, books.ends[CROWDED]) == (104, 101, 3)
    assert talk.leaves(4) == [CloseChannel("news"), DropLink(ask.link_id)]
    assert (books.pending, books.ends[GONE]) == (0, 101)


def test_a_long_poll_is_answered_when_the_server_agrees() -> None:
    talk = talk_with(mode=b"response")
    ask = asked(talk, answer(b"one"))
    talk.link_answers(ask.link_id, DROP)
    assert talk.link_ends(ask.link_id) == []
    ask = asked(talk, answer(b"two"))
    talk.link_answers(ask.link_id, [])
    finish, closed = talk.link_ends(ask.link_id)
    assert isinstance(finish, Finish)
    assert finish.payload.endswith(b"\r\n\r\ntwo")
    ask_again = talk_with(mode=b"response")
    hint = asked(ask_again, answer(b"", action=Action.HINT))
    ask_again.link_answers(hint.link_id, [])
    assert Unpark in map(type, ask_again.link_ends(hint.link_id))


def test_a_server_that_takes_too_long_is_not_waited_for() -> None:
    talk = talk_with(routes="*,debug one:80")
    ask = asked(talk, content(b"one"))
    assert talk.passes(9.5) == []
    drop, finish, *_ = talk.passes(1.0)
    assert drop == DropLink(ask.link_id)
    assert isinstance(finish, Finish)
    assert b"filter error: network request failed: request timed out" in finish.payload


def test_the_next_target_is_asked_and_then_none() -> None:
    talk = talk_with(routes="*,debug one:80 two:80")
    ask = asked(talk, content(b"one"))
    (again,) = talk.link_fails(ask.link_id, OriginFailure.CONNECT)
    assert isinstance(again, AskLink)
    assert (ask.target.host, again.target.host) == ("one", "two")
    finish, *_ = talk.link_fails(again.link_id, OriginFailure.CONNECT)
    assert isinstance(finish, Finish)
    assert b"filter error: network request failed: connection refused" in finish.payload


def test_only_so_many_ask_in_a_second() -> None:
    """The others wait; one that has left meanwhile does not ask."""
    talk = Conversation()
    count = REQUESTS_MAX_RATE + 20
    for conn_id in range(4, 4 + count):
        talk.gets_held(conn_id, [(b"Grip-Hold", b"stream"), (b"Grip-Channel", b"news; filter=http-check"), META])
    asks = talk.publish(content(b"x"))
    assert len(asks) == REQUESTS_MAX_RATE
    waiting = set(range(4, 4 + count)) - {
        check for check, each in talk.core.sessions.offers.checks._checks.items() if each.link_id
    }
    assert len(waiting) == 20
    talk.leaves(min(waiting))
    assert talk.passes(0.5) == []
    assert len(talk.passes(1.0)) == 19


def test_an_item_for_the_other_kind_of_hold_asks_nobody() -> None:
    talk = talk_with()
    assert talk.publish(PublishItem("news", http_response=HttpResponseFormat(body=b"x"))) == []
    talk.publish(PublishItem("news", http_stream=HttpStreamFormat(content=b"x")))
    assert talk.core.sessions.requests.count == 1


@pytest.mark.parametrize(("filters", "sent"), [(b"filter=http-check", b"one"), (b"filter=http-modify", None)])
def test_an_answer_that_is_too_long_is_not_read_to_its_end(filters: bytes, sent: bytes | None) -> None:
    talk = talk_with(filters)
    ask = asked(talk, content(b"one"))
    talk.link_answers(ask.link_id, [])
    assert talk.link_sends(ask.link_id, bytes(100_000)) == []
    drop, *delivered = talk.link_sends(ask.link_id, b"x")
    assert drop == DropLink(ask.link_id)
    assert delivered[:1] == ([Deliver(b"3\r\none\r\n", [4])] if sent else delivered[:1])
    assert any(isinstance(effect, Log) for effect in delivered) is (sent is None)
    assert talk.passes(20.0) == []
