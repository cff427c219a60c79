"""Holds that follow ids and links: what they get, what they wait for, and when they ask their origin again."""

import gc

import pytest

from gripproxy.engine.books import CROWDED, REFETCHED
from gripproxy.engine.effects import (
    AskLink,
    AskOrigin,
    CloseChannel,
    Deliver,
    DropLink,
    Effect,
    Finish,
    ForgetId,
    Forward,
    Log,
    OpenChannel,
    Park,
    Unpark,
    WakeUpdates,
)
from gripproxy.engine.events import OriginFailure
from gripproxy.engine.holds import QUEUE_MAX_COUNT
from gripproxy.protocol.http1 import Headers
from gripproxy.protocol.publish_format import Action, HttpResponseFormat, HttpStreamFormat
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.protocol.telemetry import Traffic
from gripproxy.settings import Settings
from tests.engine.conversation import (
    LINK,
    LONG_POLL,
    Conversation,
    answer,
    chunk,
    content,
    numbered,
    poll,
    request,
    stream,
)

FOLLOWED = b"news; prev-id=1"


def asked_links(effects: list[Effect]) -> list[AskLink]:
    return [effect for effect in effects if isinstance(effect, AskLink)]


def link_head(effects: list[Effect]) -> bytes:
    (ask,) = asked_links(effects)
    return ask.head


def link_id(effects: list[Effect]) -> int:
    (ask,) = asked_links(effects)
    return ask.link_id


def followed(talk: Conversation, conn_id: int = 4, *more: tuple[bytes, bytes]) -> None:
    """Hold a stream that follows the channel from id 1."""
    talk.gets_held(conn_id, stream(FOLLOWED, LINK, *more))


def test_items_that_follow_each_other_go_out() -> None:
    talk = Conversation()
    followed(talk)
    assert talk.publish(numbered(2)) == [Deliver(chunk(b"2"), [4])]
    assert talk.publish(numbered(3)) == [Deliver(chunk(b"3"), [4])]


def test_a_missing_item_is_fetched_and_the_rest_comes_behind_it() -> None:
    """What came too early waits; of that, what the next part contains is not sent again."""
    talk = Conversation()
    followed(talk)
    talk.last_ids["news"] = "3"
    assert talk.publish(numbered(3)) == [WakeUpdates(0.1)]
    talk.last_ids["news"] = "5"
    assert talk.publish(numbered(4)) == talk.publish(numbered(5)) == []
    effects = talk.updates()
    head = link_head(effects)
    assert head.startswith(b"GET /next?a=1 HTTP/1.1\r\nHost: d.test\r\nGrip-Last: news; last-id=1\r\n")
    link = link_id(effects)
    assert talk.link_answers(link, stream(b"news; prev-id=4", LINK)) == []
    assert talk.link_sends(link, b"2 3 4") == [Forward(link, chunk(b"2 3 4"), [4], 1)]
    assert talk.link_ends(link) == [Deliver(chunk(b"5"), [4])]
    assert talk.publish(numbered(6)) == [Deliver(chunk(b"6"), [4])]


def test_an_item_without_prev_id_does_not_follow() -> None:
    """Nobody can tell whether one is missing before it."""
    talk = Conversation()
    followed(talk)
    assert talk.publish(content(b"x")) == [WakeUpdates(0.1)]


def test_an_item_without_id_ends_following() -> None:
    talk = Conversation()
    followed(talk)
    talk.publish(PublishItem("news", None, "1", http_stream=HttpStreamFormat(content=b"x")))
    assert talk.publish(content(b"y")) == [Deliver(chunk(b"y"), [4])]


def test_a_hold_that_begins_where_the_channel_no_longer_stands_asks_for_more() -> None:
    talk = Conversation()
    talk.last_ids["news"] = "2"
    talk.asks(4)
    talk.origin_answers(4, stream(FOLLOWED, LINK))
    opened, park, *rest = talk.origin_sent(4, b"")
    assert (opened, type(park)) == (OpenChannel("news", True), Park)
    assert rest == [WakeUpdates(0.1)]
    talk.last_ids["news"] = "3"
    assert talk.publish(numbered(3)) == [], "it must not overtake the missing one"
    link = link_id(talk.updates())
    assert talk.links_to(link, stream(b"news; prev-id=2", LINK), b"2") == [Deliver(chunk(b"3"), [4])]


def test_a_long_poll_that_missed_an_item_is_asked_again_at_once() -> None:
    """Nothing is subscribed for the first answer; the second one is believed, whatever it says."""
    talk = Conversation()
    talk.last_ids["news"] = "2"
    talk.asks(4)
    talk.origin_answers(4, poll(FOLLOWED))
    (ask,) = talk.origin_sent(4, b"")
    assert isinstance(ask, AskOrigin)
    assert b"\r\nGrip-Last: news; last-id=1\r\n" in ask.head
    talk.origin_answers(4, poll(FOLLOWED))
    assert talk.origin_sent(4, b"") == [ForgetId("news", "2"), OpenChannel("news", True), Park(4, b"")]
    assert "news" not in talk.last_ids
    assert talk.core.accounts.traffic.of("").values[Traffic.ACTIVITY] == 2


def test_each_long_poll_whose_answer_is_older_than_the_last_item_is_asked_again() -> None:
    """What one finds out must not take from the others what they would find it out by."""
    talk = Conversation()
    talk.last_ids["news"] = "2"
    for conn_id in (4, 5):
        talk.asks(conn_id)
        talk.origin_answers(conn_id, poll(FOLLOWED))
        (ask,) = talk.origin_sent(conn_id, b"")
        assert isinstance(ask, AskOrigin)
    followed(talk, 6)
    assert talk.publish(numbered(4)) == []
    talk.asks(7)
    talk.origin_answers(7, poll(FOLLOWED))
    (ask,) = talk.origin_sent(7, b"")
    assert isinstance(ask, AskOrigin)


def test_a_held_long_poll_that_misses_an_item_is_asked_again_in_its_turn() -> None:
    talk = Conversation()
    talk.gets_held(4, poll(FOLLOWED), head=request(b"/x", b"POST"))
    assert talk.publish(numbered(3)) == [WakeUpdates(0.1)]
    assert talk.publish(numbered(4)) == []
    wake, closed, unpark, ask = talk.updates()
    assert wake == WakeUpdates(0.1)
    assert closed == CloseChannel("news")
    assert isinstance(unpark, Unpark)
    assert isinstance(ask, AskOrigin)
    assert (unpark.conn_id, unpark.body, ask.conn_id) == (4, b"", 4)
    assert ask.head.startswith(b"POST /x HTTP/1.1\r\n")
    assert b"\r\nGrip-Last: news; last-id=1\r\n" in ask.head
    talk.origin_answers(4)
    assert talk.updates() == []


def test_a_long_poll_is_answered_by_the_next_item() -> None:
    talk = Conversation()
    talk.gets_held(4, poll(FOLLOWED))
    (finish, closed) = talk.publish(numbered(2))
    assert isinstance(finish, Finish)
    assert finish.payload.endswith(b"\r\n\r\n2")
    assert closed == CloseChannel("news")


def test_the_request_body_is_kept_for_asking_again() -> None:
    talk = Conversation()
    talk.asks(4)
    talk.origin_answers(4, LONG_POLL)
    talk.origin_sent(4, b"", b"the request's body")
    (_, unpark, _) = talk.publish(answer(b"", action=Action.HINT))
    assert isinstance(unpark, Unpark)
    assert unpark.body == b"the request's body"


def test_an_origin_may_answer_at_last_when_asked_again() -> None:
    talk = Conversation(routes="* test")
    talk.asks(4, request(b"/response?channel=news"))
    talk.publish(answer(b"", action=Action.HINT))
    assert talk.core.holds.is_held(4), "the test target holds again"


def test_a_hint_is_for_all_that_can_ask() -> None:
    """Plain streams have nowhere to ask; a stream with a link forgets what waited."""
    talk = Conversation()
    talk.gets_held(4, LONG_POLL)
    talk.gets_held(5, stream())
    followed(talk, 6)
    item = PublishItem("news", "2", "1", HttpResponseFormat(Action.HINT), HttpStreamFormat(Action.HINT))
    effects = talk.publish(item)
    assert [type(effect) for effect in effects] == [Unpark, AskOrigin, AskLink]


def test_a_hint_empties_the_queue() -> None:
    talk = Conversation()
    followed(talk)
    talk.publish(numbered(3))
    talk.publish(numbered(4))
    link = link_id(talk.publish(content(b"", action=Action.HINT)))
    assert talk.links_to(link, stream(b"news; prev-id=3", LINK)) == []
    assert talk.publish(numbered(4)) == [Deliver(chunk(b"4"), [4])]


def test_close_ends_a_followed_stream() -> None:
    talk = Conversation()
    followed(talk)
    item = PublishItem("news", "2", "1", http_stream=HttpStreamFormat(Action.CLOSE))
    assert talk.publish(item) == [Finish(b"0\r\n\r\n", [4], True, True), CloseChannel("news")]
    assert not talk.core.holds.is_held(4)
    assert talk.passes(100) == []


def test_following_needs_a_link() -> None:
    """There would be nowhere to ask for what is missing. Debug or not, the log says so."""
    talk = Conversation(routes="*,debug origin:80")
    text = b"\n\nchannel 'news' specifies prev-id, but no next link found\n"
    *_, finish, closed = talk.gets_held(4, stream(FOLLOWED))
    assert finish == Finish(chunk(text) + b"0\r\n\r\n", [4], True)
    assert closed == CloseChannel("news")
    *_, log, finish, _ = Conversation().gets_held(4, stream(FOLLOWED))
    assert isinstance(log, Log)
    assert log.text == "bad instruct for http://d.test/: channel 'news' specifies prev-id, but no next link found"
    assert finish == Finish(b"0\r\n\r\n", [4], True)


def test_a_chain_of_links_makes_one_body() -> None:
    """Responses that hold nothing are joined; the last one ends the client's."""
    talk = Conversation()
    park, ask = talk.gets_held(4, [(b"Grip-Link", b"<two>; rel=next")], b"one ")
    assert isinstance(park, Park)
    assert park.payload.endswith(chunk(b"one "))
    assert isinstance(ask, AskLink)
    assert ask.head.startswith(b"GET /two HTTP/1.1\r\n")
    talk.link_answers(ask.link_id, [(b"Grip-Link", b"</deep/three>; rel=next")])
    (again,) = talk.link_ends(ask.link_id)
    assert isinstance(again, AskLink)
    talk.link_answers(again.link_id, [(b"Grip-Link", b"<four>; rel=next")])
    (last,) = talk.link_ends(again.link_id)
    assert isinstance(last, AskLink)
    assert last.head.startswith(b"GET /deep/four HTTP/1.1\r\n"), "relative to the last link"
    assert talk.links_to(last.link_id, []) == [Finish(b"0\r\n\r\n", [4], True)]


def test_a_quiet_stream_polls_its_link_when_the_timeout_is_over() -> None:
    talk = Conversation()
    followed(talk)
    assert talk.passes(29.0) == []
    assert talk.passes(1.5) == [WakeUpdates(0.1)]
    link = link_id(talk.updates())
    assert talk.links_to(link, stream(FOLLOWED, LINK)) == talk.updates() == []
    assert talk.passes(29.5) == []
    assert talk.passes(1.0) == [WakeUpdates(0.1)]


def test_a_busy_stream_is_excused_from_polling() -> None:
    """Every channel of it has had an item: it can have missed nothing."""
    talk = Conversation()
    talk.gets_held(4, stream(b"news, sport", LINK))
    talk.gets_held(5, stream(b"news", LINK))
    talk.passes(10.0)
    talk.publish(content(b"x"))
    assert talk.passes(20.5) == [WakeUpdates(0.1)], "number 4 has heard nothing of sport"
    (ask,) = asked_links(talk.updates())
    assert talk.core.sessions._links._by_conn.keys() == {4}
    talk.link_fails(ask.link_id)
    assert talk.passes(30.5) != [], "the excuse counts once"


def test_streams_that_want_the_same_share_one_request() -> None:
    """Whoever has other last ids, or another query, asks for himself."""
    talk = Conversation()
    for conn_id in (4, 5):
        followed(talk, conn_id)
    talk.gets_held(6, stream(b"news; prev-id=0", LINK))
    talk.gets_held(7, stream(FOLLOWED, (b"Grip-Link", b"</next?a=2>; rel=next")))
    talk.gets_held(8, stream(FOLLOWED, LINK), head=request(is_http11=False, is_keep_alive=False))
    assert WakeUpdates(0.1) in talk.is_told_to_update(["news"])
    asks = asked_links(talk.updates() + talk.updates())
    assert len(asks) == 3
    link = asks[0].link_id
    talk.link_answers(link, stream(b"news; prev-id=2", LINK))
    assert talk.link_sends(link, b"2") == [Forward(link, chunk(b"2"), [4, 5], 3), Forward(link, b"2", [8], 3)]
    assert talk.leaves(5) == []
    assert talk.link_sends(link, b"x") == [Forward(link, chunk(b"x"), [4], 2), Forward(link, b"x", [8], 2)]
    assert talk.leaves(4) == []
    (_, dropped) = (talk.leaves(8), talk.core.sessions.requests.count)
    assert dropped == 2, "nobody waits for it any more"


def test_a_link_nobody_waits_for_is_dropped() -> None:
    talk = Conversation()
    _, ask = talk.gets_held(4, [(b"Grip-Link", b"<two>; rel=next")])
    assert isinstance(ask, AskLink)
    assert talk.leaves(4) == [DropLink(ask.link_id)]
    assert talk.core.sessions.requests.count == 0


def test_a_failing_link_is_repeated_with_growing_pauses() -> None:
    talk = Conversation(routes="*,debug origin:80")
    _, ask = talk.gets_held(4, [(b"Grip-Link", b"<two>; rel=next")])
    assert isinstance(ask, AskLink)
    for pause_s in (1, 2, 4, 8, 16):
        talk.link_answers(ask.link_id, [], status=503)
        assert talk.passes(pause_s - 0.25) == []
        (ask,) = talk.passes(0.75)
        assert isinstance(ask, AskLink)
    log, finish = talk.link_fails(ask.link_id)
    assert finish == Finish(chunk(b"\n\nFailed to retrieve next link.\n") + b"0\r\n\r\n", [4], True)


def test_a_link_that_broke_off_in_its_body_is_not_repeated() -> None:
    """The client has a part of it already."""
    talk = Conversation()
    _, ask = talk.gets_held(4, [(b"Grip-Link", b"<two>; rel=next")])
    assert isinstance(ask, AskLink)
    talk.link_answers(ask.link_id, [])
    talk.link_sends(ask.link_id, b"half")
    _, finish = talk.link_fails(ask.link_id)
    assert finish == Finish(b"0\r\n\r\n", [4], True)


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        (poll(), b"Next link returned non-stream hold."),
        ([(b"Grip-Timeout", b"x")], b"Failed to parse accept instructions: failed to parse Grip-Timeout (value: 'x')"),
    ],
)
def test_a_link_that_answers_nonsense_ends_the_stream(headers: Headers, text: bytes) -> None:
    """Before anything of its body is passed on."""
    talk = Conversation(routes="*,debug origin:80")
    _, ask = talk.gets_held(4, [(b"Grip-Link", b"<two>; rel=next")])
    assert isinstance(ask, AskLink)
    drop, _, finish = talk.link_answers(ask.link_id, headers)
    assert drop == DropLink(ask.link_id)
    assert finish == Finish(chunk(b"\n\n" + text + b"\n") + b"0\r\n\r\n", [4], True)


def test_the_next_part_replaces_what_was_said_before() -> None:
    """Channels, keep-alive and link: a header that is forgotten is gone."""
    talk = Conversation(routes="*,prefix=p- origin:80,sub=own")
    talk.gets_held(4, stream(b"a, b", LINK, (b"Grip-Keep-Alive", b"x; timeout=20")))
    talk.is_told_to_update(["p-a"])
    link = link_id(talk.updates())
    effects = talk.links_to(link, stream(b"b, c"))
    assert effects == [OpenChannel("p-c"), CloseChannel("p-a")]
    assert talk.publish(content(b"1", "own")) == [Deliver(chunk(b"1"), [4])]
    assert talk.publish(content(b"2", "p-c")) == [Deliver(chunk(b"2"), [4])]
    assert talk.passes(500.0) == [], "neither a keep-alive nor a poll"


def test_a_link_elsewhere_is_asked_for_directly() -> None:
    talk = Conversation()
    _, ask = talk.gets_held(4, [(b"Grip-Link", b"<https://e.test:8443/two>; rel=next")])
    assert isinstance(ask, AskLink)
    assert (ask.target.host, ask.target.port, ask.target.is_ssl, ask.server_name) == ("e.test", 8443, True, "e.test")
    assert ask.head.startswith(b"GET /two HTTP/1.1\r\nHost: e.test:8443\r\n")


@pytest.mark.parametrize(("link", "path"), [(b"</aa/two>", b"/two"), (b"</two>", b"/two")])
def test_a_link_is_written_in_the_public_path_space_or_in_the_origins(link: bytes, path: bytes) -> None:
    """What begins like the route's public paths is rewritten as they are."""
    talk = Conversation(routes="*,path_beg=/aa/,replace_beg=/ origin:80")
    _, ask = talk.gets_held(4, [(b"Grip-Link", link + b"; rel=next")], head=request(b"/aa/one"))
    assert isinstance(ask, AskLink)
    assert ask.head.startswith(b"GET " + path + b" HTTP/1.1\r\n")


def test_the_next_target_is_asked_for_a_link() -> None:
    talk = Conversation(routes="* one:80 two:80")
    _, ask = talk.gets_held(4, [(b"Grip-Link", b"<two>; rel=next")])
    assert isinstance(ask, AskLink)
    (_, again) = talk.link_fails(ask.link_id, OriginFailure.CONNECT)
    assert isinstance(again, AskLink)
    assert (ask.target.host, again.target.host) == ("one", "two")


@pytest.mark.parametrize("headers", [poll(), stream()])
def test_the_origin_hears_when_a_hold_is_over(headers: Headers) -> None:
    """One attempt, whatever comes of it."""
    talk = Conversation()
    talk.gets_held(4, [*headers, (b"Grip-Link", b"</gone>; rel=gone")])
    (_, ask) = talk.leaves(4)
    assert isinstance(ask, AskLink)
    assert ask.head.startswith(b"POST /gone HTTP/1.1\r\n")
    drop, log = talk.link_answers(ask.link_id, [], status=500)
    assert drop == DropLink(ask.link_id), "nobody reads the body"
    assert "gone link http://d.test/gone: status 500" in str(log)
    assert talk.core.sessions.requests.count == 0


def test_the_first_subscription_is_followed_by_a_question() -> None:
    """An item may have come between the origin's answer and the hold. Plain streams could not ask."""
    talk = Conversation()
    opened, _ = talk.gets_held(4, LONG_POLL)
    assert opened == OpenChannel("news", is_update_wanted=True)
    opened, _ = talk.gets_held(5, stream(b"sport"))
    assert opened == OpenChannel("sport")
    assert talk.is_told_to_update(["news", "sport", "nobody's"]) == [WakeUpdates(0.1)]
    assert [type(effect) for effect in talk.updates()] == [WakeUpdates, CloseChannel, Unpark, AskOrigin]


def test_recovery_is_for_all() -> None:
    talk = Conversation()
    talk.gets_held(4, LONG_POLL)
    talk.gets_held(5, stream())
    followed(talk, 6)
    assert talk.is_told_to_update(None) == [WakeUpdates(0.1)]
    effects = talk.updates() + talk.updates()
    assert len(asked_links(effects)) == 1
    assert [effect.conn_id for effect in effects if isinstance(effect, Unpark)] == [4]


def test_a_thousand_ask_in_batches() -> None:
    """A hundred every tenth of a second, over all workers of the host."""
    talk = Conversation(settings=Settings(subscription_linger=0, workers=4))
    for conn_id in range(4, 64):
        talk.gets_held(conn_id, LONG_POLL)
    talk.is_told_to_update(["news"])
    counts = [sum(isinstance(effect, Unpark) for effect in talk.updates()) for _ in range(4)]
    assert counts == [25, 25, 10, 0]


@pytest.mark.parametrize("how", ["leaves", "answered"])
def test_whoever_is_gone_does_not_ask(how: str) -> None:
    talk = Conversation()
    talk.gets_held(4, LONG_POLL)
    talk.is_told_to_update(["news"])
    if how == "leaves":
        talk.leaves(4)
    else:
        talk.publish(answer(b"x"))
    assert talk.updates() == []


def test_the_queue_of_a_stream_that_asks_is_bounded() -> None:
    """What is too much is counted; the next part tells what is missing."""
    talk = Conversation()
    followed(talk)
    talk.publish(numbered(3))
    for number in range(4, 4 + QUEUE_MAX_COUNT + 5):
        talk.publish(numbered(number))
    books = talk.core.accounts.books
    assert (books.pending, books.ends[CROWDED], books.ends[REFETCHED]) == (QUEUE_MAX_COUNT, 5, 1)
    link = link_id(talk.updates())
    delivered = talk.links_to(link, stream(b"news; prev-id=3", LINK))
    assert len(delivered) == QUEUE_MAX_COUNT
    assert books.pending == 0
    assert talk.updates() == []
    assert talk.publish(numbered(500)) == [WakeUpdates(0.1)]


def test_holds_leave_no_garbage() -> None:
    """Cycles among frozen objects would never be found."""
    talk = Conversation(routes="*,debug origin:80")
    meta = (b"Grip-Set-Meta", b'url="/check"')
    gone = (b"Grip-Link", b"</gone>; rel=gone")
    gc.collect()
    gc.disable()
    try:
        for conn_id in range(4, 14):
            followed(talk, conn_id)
            talk.publish(numbered(3))
            link = link_id(talk.updates())
            talk.links_to(link, stream(b"news; prev-id=3; filter=http-check", LINK, meta), b"2 3")
            asked_links(talk.publish(numbered(4)))
            talk.leaves(conn_id)
            talk.gets_held(conn_id, poll(b"news; prev-id=1; filter=var-subst", meta, gone))
            talk.publish(numbered(2, b"%"))
            talk.gets_held(conn_id, poll(FOLLOWED))
            talk.publish(answer(b"", action=Action.HINT))
            talk.publish(numbered(9))
            talk.updates()
            talk.leaves(conn_id)
            talk.updates()
        assert gc.collect() == 0
    finally:
        gc.enable()
