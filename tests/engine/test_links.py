"""Requests for next parts: who shares one, and what a filter makes of its body. The rest is in test_sessions.py."""

from gripproxy.engine.effects import AskLink, Deliver, Finish, ForgetId, Forward, OpenChannel, WakeUpdates
from gripproxy.engine.events import OriginFailure
from gripproxy.engine.links import RETRIES_MAX_COUNT
from gripproxy.protocol.http1 import Headers
from gripproxy.protocol.publish_format import Action, HttpStreamFormat
from gripproxy.protocol.publish_item import PublishItem
from tests.engine.conversation import Conversation, chunk, content, numbered, request, stream

LINK = (b"Grip-Link", b"</two>; rel=next")
BUILT: Headers = [
    (b"Grip-Hold", b"stream"),
    (b"Grip-Channel", b"news; filter=build-id"),
    (b"Grip-Set-Meta", b"id_format=x, id_encoding=hex"),
    LINK,
]


def asked(talk: Conversation, conn_id: int = 4) -> AskLink:
    """Begin a chain, and give its first request."""
    _, ask = talk.gets_held(conn_id, [LINK])
    assert isinstance(ask, AskLink)
    return ask


def test_the_parts_own_filter_changes_its_body() -> None:
    """A directive may be cut in two."""
    talk = Conversation()
    ask = asked(talk)
    talk.link_answers(ask.link_id, BUILT)
    assert talk.link_sends(ask.link_id, b"100%") == [Forward(ask.link_id, b"3\r\n100\r\n", [4], 1)]
    assert talk.link_sends(ask.link_id, b"% %(a") == [Forward(ask.link_id, b"2\r\n% \r\n", [4], 1)]
    assert talk.link_sends(ask.link_id, b")I") == [Forward(ask.link_id, b"2\r\n61\r\n", [4], 1)]
    assert talk.link_ends(ask.link_id) == [OpenChannel("news", is_update_wanted=True)]


def test_a_body_that_fits_no_filter_ends_the_stream() -> None:
    for parts in ((b"a %x b",), (b"a ", b"%")):
        talk = Conversation("*,debug origin:80")
        ask = asked(talk)
        talk.link_answers(ask.link_id, BUILT)
        effects = [effect for part in parts for effect in talk.link_sends(ask.link_id, part)]
        effects += talk.link_ends(ask.link_id) if len(parts) > 1 else []
        (finish,) = [effect for effect in effects if isinstance(effect, Finish)]
        assert b"\n\nfilter error: " in finish.payload
        assert talk.core.sessions.requests.count == 0


def test_who_comes_after_the_answer_asks_for_himself() -> None:
    """He would miss the beginning of the body."""
    talk = Conversation()
    first = asked(talk, 4)
    _, *shared = talk.gets_held(5, [LINK])
    assert shared == []
    talk.link_answers(first.link_id, [LINK])
    assert asked(talk, 6).link_id != first.link_id
    assert talk.link_sends(first.link_id, b"x") == [Forward(first.link_id, b"1\r\nx\r\n", [4, 5], 2)]


def test_a_repetition_can_be_joined() -> None:
    """It is the same request, only later."""
    talk = Conversation()
    first = asked(talk, 4)
    talk.link_fails(first.link_id)
    _, *shared = talk.gets_held(5, [LINK])
    assert shared == []
    (again,) = talk.passes(1.5)
    assert isinstance(again, AskLink)
    talk.link_answers(again.link_id, [LINK])
    assert talk.link_sends(again.link_id, b"x") == [Forward(again.link_id, b"1\r\nx\r\n", [4, 5], 2)]


def test_a_repetition_nobody_waits_for_is_not_made() -> None:
    talk = Conversation()
    talk.link_fails(asked(talk).link_id)
    talk.leaves(4)
    assert talk.passes(10.0) == []


def test_a_success_forgets_the_failures_before_it() -> None:
    talk = Conversation()
    ask = asked(talk)
    for _ in range(RETRIES_MAX_COUNT):
        talk.link_fails(ask.link_id)
        (repeated,) = talk.passes(20.0)
        assert isinstance(repeated, AskLink)
        ask = repeated
    (again,) = talk.links_to(ask.link_id, [LINK])
    assert isinstance(again, AskLink)
    assert not any(isinstance(effect, Finish) for effect in talk.link_fails(again.link_id))


def test_the_test_target_has_no_next_parts() -> None:
    talk = Conversation("* origin:80 test")
    _, ask = talk.gets_held(4, [LINK], head=request(b"/one"))
    assert isinstance(ask, AskLink)
    effects = talk.link_fails(ask.link_id, OriginFailure.CONNECT)
    assert not any(isinstance(effect, AskLink | Finish) for effect in effects)


def test_a_request_is_shared_by_so_many_only() -> None:
    """Each part of its body is written to all of them at once."""
    talk = Conversation()
    asks = [
        effect for conn_id in range(4, 254) for effect in talk.gets_held(conn_id, [LINK]) if isinstance(effect, AskLink)
    ]
    assert len(asks) == 3
    for ask in asks:
        talk.link_answers(ask.link_id, [LINK])
    counts = [len(talk.link_sends(ask.link_id, b"x")[0].conn_ids) for ask in asks]  # type: ignore[union-attr]
    assert counts == [100, 100, 50]


def test_keep_alives_go_on_until_the_next_part_comes() -> None:
    """An origin may be slow or away for a minute; but nothing may come between the bytes of a part."""
    talk = Conversation()
    ping = (b"Grip-Keep-Alive", b"~; timeout=20")
    talk.gets_held(4, stream(b"news", LINK, ping))
    sent = Deliver(chunk(b"~"), [4], is_keep_alive=True)
    (ask,) = talk.publish(content(b"", action=Action.HINT))
    assert isinstance(ask, AskLink)
    assert sent in talk.passes(20.5)
    talk.link_answers(ask.link_id, stream(b"news", LINK, ping))
    assert sent in talk.passes(20.5)
    talk.link_sends(ask.link_id, b"half of a ")
    assert sent not in talk.passes(20.5)
    talk.link_ends(ask.link_id)
    assert sent not in talk.passes(19.0)
    assert sent in talk.passes(1.5)


def test_a_part_without_a_body_leaves_the_keep_alive_its_time() -> None:
    """A stream that polls more often than it is kept alive would have no keep-alive at all."""
    talk = Conversation()
    headers = stream(b"news", (b"Grip-Link", b"</next>; rel=next; timeout=15"), (b"Grip-Keep-Alive", b"~; timeout=20"))
    talk.gets_held(4, headers)
    talk.passes(15.5)
    *_, ask = talk.updates()
    assert isinstance(ask, AskLink)
    talk.links_to(ask.link_id, headers)
    assert talk.passes(5.0) == [Deliver(chunk(b"~"), [4], is_keep_alive=True)]


def test_a_hint_that_comes_with_the_next_part_asks_for_another() -> None:
    """The origin may have written the one that is coming before it had what the hint is about. Items go out first."""
    talk = Conversation()
    talk.gets_held(4, stream(b"news", LINK))
    (first,) = talk.publish(content(b"", action=Action.HINT))
    assert isinstance(first, AskLink)
    talk.publish(content(b"one"))
    assert talk.publish(content(b"", action=Action.HINT)) == []
    deliver, second = talk.links_to(first.link_id, stream(b"news", LINK))
    assert deliver == Deliver(chunk(b"one"), [4])
    assert isinstance(second, AskLink)
    assert talk.links_to(second.link_id, stream(b"news", LINK)) == []


def test_what_went_stale_while_the_next_part_came_is_asked_for_in_its_turn() -> None:
    talk = Conversation()
    talk.gets_held(4, stream(b"news", LINK))
    (first,) = talk.publish(content(b"", action=Action.HINT))
    assert isinstance(first, AskLink)
    assert talk.is_told_to_update(None) == []
    talk.publish(content(b"x"))
    assert talk.links_to(first.link_id, stream(b"news", LINK)) == [Deliver(chunk(b"x"), [4]), WakeUpdates(0.1)]


def test_items_wait_through_parts_that_hold_nothing() -> None:
    """The channels stay until another hold names others. Where the client stands in them only the link says.

    An origin that believes Grip-Last before the link's query would send the same part for ever.
    """
    talk = Conversation(routes="* origin:80,sub=own")
    *_, ask = talk.gets_held(4, [LINK], b"first")
    assert isinstance(ask, AskLink)
    talk.publish(content(b"1", "own"))
    followed = stream(b"news; prev-id=1", LINK)
    assert talk.links_to(ask.link_id, followed)[-1] == Deliver(chunk(b"1"), [4])
    (ask,) = talk.publish(PublishItem("news", "2", "1", http_stream=HttpStreamFormat(Action.HINT)))
    assert isinstance(ask, AskLink)
    (ask,) = talk.links_to(ask.link_id, [LINK])
    assert isinstance(ask, AskLink)
    assert b"Grip-Last" not in ask.head
    talk.publish(numbered(3))
    assert talk.links_to(ask.link_id, stream(b"news; prev-id=2", LINK)) == [Deliver(chunk(b"3"), [4])]


def test_channels_of_what_holds_nothing_are_not_followed() -> None:
    talk = Conversation()
    *_, ask = talk.gets_held(4, [LINK, (b"Grip-Channel", b"news; prev-id=1")])
    assert isinstance(ask, AskLink)
    assert b"Grip-Last" not in ask.head


def test_a_farewell_goes_to_the_next_target_where_one_cannot_be_reached() -> None:
    talk = Conversation("* one:80 test two:80")
    talk.gets_held(4, stream(b"news", (b"Grip-Link", b"</gone>; rel=gone")))
    _, first = talk.leaves(4)
    assert isinstance(first, AskLink)
    _, second = talk.link_fails(first.link_id, OriginFailure.CONNECT)
    assert isinstance(second, AskLink)
    assert (first.target.host, second.target.host) == ("one", "two")
    assert len(talk.link_fails(second.link_id, OriginFailure.CONNECT)) == 1
    assert talk.core.sessions.requests.count == 0


def test_a_link_without_a_pause_is_polled_in_every_batch() -> None:
    """The deadlines' ticks would be too coarse for it."""
    talk = Conversation()
    headers = stream(b"news", (b"Grip-Link", b"</next>; rel=next; timeout=0"))
    assert talk.gets_held(4, headers)[-1] == WakeUpdates(0.1)
    *_, ask = talk.updates()
    assert isinstance(ask, AskLink)
    assert talk.links_to(ask.link_id, headers) == []
    again, _ = talk.updates()
    assert again == WakeUpdates(0.1)


def test_a_next_part_that_is_older_than_the_last_item_is_asked_for_again() -> None:
    """Items came with it, but another one before them was lost, and maybe no further item will show that."""
    talk = Conversation()
    talk.gets_held(4, stream(b"news; prev-id=1", LINK))
    (ask,) = talk.publish(PublishItem("news", http_stream=HttpStreamFormat(Action.HINT, b""), prev_id="1", id="1"))
    assert isinstance(ask, AskLink)
    talk.last_ids["news"] = "3"
    assert talk.publish(numbered(3)) == []
    assert talk.links_to(ask.link_id, stream(b"news; prev-id=1", LINK)) == [WakeUpdates(0.1)]
    *_, ask = talk.updates()
    assert isinstance(ask, AskLink)
    assert talk.links_to(ask.link_id, stream(b"news; prev-id=3", LINK), b"23") == []
    assert talk.publish(numbered(4)) == [Deliver(chunk(b"4"), [4])]


def test_a_next_part_that_says_twice_where_it_stands_is_believed() -> None:
    """An origin that begins its ids anew must not be asked for ever."""
    talk = Conversation()
    talk.last_ids["news"] = "900"
    talk.gets_held(4, stream(b"news; prev-id=1", LINK))
    *_, ask = talk.updates()
    assert isinstance(ask, AskLink)
    assert talk.links_to(ask.link_id, stream(b"news; prev-id=1", LINK)) == [ForgetId("news", "900")]
    assert talk.publish(numbered(2)) == [Deliver(chunk(b"2"), [4])]
