"""What is kept of an origin over HTTP, at rest and in talk."""

import sys
from collections.abc import Callable

import pytest

from gripproxy.engine.over_http_origin import DISCONNECTING, EventsOrigin, Gathered, Talk
from gripproxy.engine.timer_wheel import Slot
from gripproxy.protocol.websocket_frame import PING, Frame
from tests.engine.conversation import response
from tests.engine.events_conversation import EventsConversation


def talk() -> Talk:
    conversation = EventsConversation()
    conversation.opens()
    session = conversation.session()
    assert session is not None
    assert session.origin is not None
    return Talk(session.origin, session.shape, session)


def test_an_idle_session_is_small() -> None:
    """There are a million of them. The id is the session's own object, and what clients say alike is the shape's."""
    conversation = EventsConversation()
    for conn_id in (300, 301):
        conversation.opens(conn_id=conn_id)
    one, two = conversation.session(300), conversation.session(301)
    assert one is not None
    assert two is not None
    assert one.shape is two.shape
    assert isinstance(one.origin, EventsOrigin)
    assert one.origin.talk is None
    assert one.origin.conn_id is one.conn_id
    assert sys.getsizeof(one.origin) <= 96
    assert sys.getsizeof(one.origin.values) <= 140


def test_a_talk_that_is_over_is_not_kept() -> None:
    assert talk().is_idle


@pytest.mark.parametrize(
    "change",
    [
        lambda talk: setattr(talk, "stage", DISCONNECTING),
        lambda talk: setattr(talk, "link_id", 1),
        lambda talk: setattr(talk, "slot", object()),
        lambda talk: setattr(talk, "is_poll_due", True),
        lambda talk: setattr(talk, "is_reader_awaited", True),
        lambda talk: setattr(talk, "is_client_paused", True),
        lambda talk: talk.outgoing.push(Frame(PING, b"")),
        lambda talk: talk.outgoing.push(Frame(PING + 1, b"")),
        lambda talk: talk.outgoing.push(Frame(1, b"", False)),
    ],
)
def test_a_talk_with_anything_under_way_is_kept(change: Callable[[Talk], None]) -> None:
    changed = talk()
    change(changed)
    assert not changed.is_idle


def test_a_request_is_under_way_until_it_is_not_repeated_any_more() -> None:
    under_way = talk()
    assert not under_way.is_under_way
    under_way.link_id = 1
    assert under_way.is_under_way
    under_way.link_id, under_way.slot = 0, Slot(1)
    assert under_way.is_under_way


def test_parts_are_gathered() -> None:
    gathered = Gathered(response())
    for part in (b"ab", b"c"):
        gathered.add(part)
    assert (gathered.body, gathered.size_bytes) == (b"abc", 3)
