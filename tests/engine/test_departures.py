"""What of a worker's connections can go to another one, and what becomes of those that are on their way."""

from dataclasses import replace

import pytest

from gripproxy.engine.departures import IDLE_RECORD, Packer
from gripproxy.engine.effects import AskLink, CloseChannel, Continue, Deliver, WakeUpdates
from gripproxy.engine.handover import catch_up, kind_of
from gripproxy.engine.holds import ResponseHold, TrackedStream
from gripproxy.protocol.handed_batch import HandedKind
from gripproxy.protocol.handed_hold import HandedTracked
from gripproxy.protocol.http1 import Headers
from gripproxy.protocol.publish_format import WsMessageFormat
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.protocol.websocket_frame import CLOSE, TEXT, Frame
from gripproxy.settings import Settings
from tests.engine.conversation import (
    LINK,
    LONG_POLL,
    STREAM,
    Conversation,
    content,
    numbered,
    poll,
    socket_request,
    stream,
)
from tests.engine.events_conversation import opened

KEPT: Headers = [*STREAM, (b"Grip-Keep-Alive", b"ping; timeout=20")]
GONE = (b"Grip-Link", b"</gone>; rel=gone")


def pack(talk: Conversation, conn_id: int = 4) -> Packer:
    packer = Packer(talk.core, talk.now)
    assert packer.pack(conn_id) is not None
    return packer


def is_at_rest(talk: Conversation, conn_id: int = 4) -> bool:
    return Packer(talk.core, talk.now).pack(conn_id) is not None


def test_connection_between_requests_has_nothing_in_the_engine() -> None:
    """Its record says so, and nothing else."""
    packer = Packer(Conversation().core, 0.0)
    record = packer.pack(4)
    assert record == IDLE_RECORD and kind_of(record) is HandedKind.IDLE
    assert packer.release(4) == packer.restore(4, 0.0) == []


def test_request_on_its_way_stays() -> None:
    """Its origin answers to this process."""
    talk = Conversation()
    talk.asks(4)
    assert not is_at_rest(talk)
    talk.asks(5, socket_request())
    assert not is_at_rest(talk, 5)


def test_kinds_say_what_a_worker_has_to_do() -> None:
    """It keeps its own books of descriptors by them."""
    talk = Conversation()
    talk.gets_held(4, STREAM)
    talk.gets_held(5, stream(b"news", GONE))
    talk.gets_held(6, LONG_POLL)
    talk.opens_socket(7)
    packer = Packer(talk.core, talk.now)
    kinds = [HandedKind.STREAM, HandedKind.TRACKED, HandedKind.RESPONSE, HandedKind.SOCKET]
    assert [kind_of(packer.pack(conn_id) or ()) for conn_id in (4, 5, 6, 7)] == kinds


def test_hold_that_is_still_due_an_item_stays_until_it_has_caught_up() -> None:
    """The other worker takes items from the position at which both stand, and this one was before it."""
    talk = Conversation()
    for conn_id in (*range(4, 1004), 2000):
        talk.gets_held(conn_id, STREAM)
    effects = talk.publish(content(b"hi"))
    assert any(isinstance(effect, Continue) for effect in effects)
    assert not is_at_rest(talk, 2000)
    assert [type(effect) for effect in catch_up(talk.core, [2000], talk.now)] == [Deliver]
    assert is_at_rest(talk, 2000)


def test_hold_whose_item_waits_for_its_turn_stays() -> None:
    """So it is where the rate of deliveries is limited."""
    talk = Conversation(settings=Settings(subscription_linger=0, message_rate=40))
    for conn_id in (4, 5, 6):
        talk.gets_held(conn_id, STREAM)
    talk.publish(content(b"hi"))
    talk.continues()
    assert [conn_id for conn_id in (4, 5, 6) if not is_at_rest(talk, conn_id)]
    catch_up(talk.core, [4, 5, 6], talk.now)
    assert all(is_at_rest(talk, conn_id) for conn_id in (4, 5, 6))


def test_packed_hold_has_no_deadlines() -> None:
    """What it would do now the other worker may do, too."""
    talk = Conversation()
    talk.gets_held(4, KEPT)
    talk.gets_held(5, [*LONG_POLL, (b"Grip-Timeout", b"20")])
    packer = Packer(talk.core, talk.now)
    assert packer.pack(4) and packer.pack(5)
    assert talk.passes(60.0) == []


def test_packed_hold_is_not_packed_again() -> None:
    """It is on its way already."""
    talk = Conversation()
    talk.gets_held(4, STREAM)
    assert pack(talk).pack(4) is None


def test_hold_that_stays_after_all_goes_on_as_if_nothing_had_been() -> None:
    """Its deadline is still that which it had."""
    talk = Conversation()
    talk.gets_held(4, KEPT)
    talk.now += 10.0
    packer = pack(talk)
    assert packer.restore(4, talk.now + 3.0) == []
    assert talk.passes(9.5) == []
    assert [type(effect) for effect in talk.passes(1.0)] == [Deliver]


def test_hold_that_waits_for_its_turn_to_ask_again_asks_if_it_stays() -> None:
    """Whoever it was that it missed something of, it still has."""
    talk = Conversation()
    talk.gets_held(4, LONG_POLL)
    talk.is_told_to_update(["news"])
    packer = pack(talk)
    assert talk.updates() == []
    assert [type(effect) for effect in packer.restore(4, talk.now)] == [WakeUpdates]
    assert len(talk.updates()) > 1


def test_released_hold_ends_for_nobody() -> None:
    """Neither is its origin told, nor does its channel linger: the client is still there."""
    talk = Conversation(settings=Settings(subscription_linger=60))
    talk.gets_held(4, stream(b"news", GONE))
    talk.gets_held(5, poll(b"news", GONE))
    packer = Packer(talk.core, talk.now)
    assert packer.pack(4) and packer.pack(5)
    assert packer.release(4) == []
    assert packer.release(5) == [CloseChannel("news")]
    assert packer.release(5) == []
    assert not talk.core.holds.is_held(4)
    assert (talk.core.holds.streams_count, talk.core.holds.responses_count) == (0, 0)


def test_released_session_says_nothing_to_an_origin_over_http() -> None:
    """DISCONNECT would end it there."""
    talk = opened((b"Keep-Alive-Interval", b"20"))
    assert pack(talk).release(4) == []
    assert talk.core.holds.sockets_count == 0
    assert talk.passes(60.0) == []


def test_session_that_speaks_with_its_origin_stays() -> None:
    """The answer comes to this process."""
    talk = opened()
    talk.client_sends(4, Frame(TEXT, b"hi"))
    assert not is_at_rest(talk)


@pytest.mark.parametrize(
    "frames", [[Frame(TEXT, b"m:part", is_final=False)], [Frame(TEXT, b"c:part", is_final=False)], [Frame(CLOSE, b"")]]
)
def test_session_in_the_middle_of_something_stays(frames: list[Frame]) -> None:
    """Of a message that is relayed, of one that is dropped, or of its end."""
    talk = Conversation()
    talk.opens_socket(4, b'grip; message-prefix="m:"')
    assert is_at_rest(talk, 4)
    packer = Packer(talk.core, talk.now)
    talk.origin_speaks(4, *frames)
    assert packer.pack(4) is None


@pytest.mark.parametrize("headers", [stream(b"news; filter=http-check", GONE), poll(b"news; filter=http-check")])
def test_hold_whose_item_is_being_checked_stays(headers: Headers) -> None:
    """The server that was asked answers to this process."""
    talk = Conversation()
    talk.gets_held(4, [*headers, (b"Grip-Set-Meta", b"url=/check")])
    assert is_at_rest(talk)
    assert any(isinstance(effect, AskLink) for effect in talk.publish(numbered(1)))
    assert not is_at_rest(talk)


def test_session_whose_item_is_being_checked_stays() -> None:
    """As with other holds."""
    talk = Conversation()
    talk.opens_socket(4)
    talk.origin_speaks(4, Frame(TEXT, b'c:{"type": "subscribe", "channel": "news", "filters": ["http-check"]}'))
    talk.origin_speaks(4, Frame(TEXT, b'c:{"type": "set-meta", "name": "url", "value": "/check"}'))
    effects = talk.publish(PublishItem("news", ws_message=WsMessageFormat(content=b"hi")))
    assert any(isinstance(effect, AskLink) for effect in effects)
    assert not is_at_rest(talk)


def test_stream_that_asks_for_its_next_part_stays() -> None:
    """So does one that is being sent it."""
    talk = Conversation()
    talk.gets_held(4, [*STREAM, LINK])
    (asked,) = [effect for effect in talk.passes(40.0) + talk.updates() if isinstance(effect, AskLink)]
    assert not is_at_rest(talk)
    talk.link_answers(asked.link_id, [*STREAM, LINK])
    talk.link_sends(asked.link_id, b"more")
    assert not is_at_rest(talk)
    talk.link_ends(asked.link_id)
    assert is_at_rest(talk)


def test_stalled_stream_goes_if_nothing_waits_for_it() -> None:
    """There may be a hundred thousand of them, that ask again one after the other."""
    talk = Conversation()
    talk.gets_held(4, [*stream(b"news; prev-id=1"), LINK])
    talk.publish(numbered(3))
    packer = Packer(talk.core, talk.now)
    record = packer.pack(4)
    assert isinstance(record, HandedTracked) and record.is_stalled and record.is_waiting
    packer.restore(4, talk.now)
    talk.publish(numbered(4))
    stream_hold = talk.core.holds.holds[4]
    assert isinstance(stream_hold, TrackedStream) and stream_hold.queue
    assert not is_at_rest(talk)


def test_hold_of_a_route_that_was_never_written_stays() -> None:
    """The other worker could not know it."""
    talk = Conversation()
    talk.gets_held(4, LONG_POLL)
    hold = talk.core.holds.holds[4]
    assert isinstance(hold, ResponseHold)
    hold.request.route = replace(hold.request.route, line="")
    assert not is_at_rest(talk)
