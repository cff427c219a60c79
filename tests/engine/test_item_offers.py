"""Items for holds with filters: what each of them gets, what they share, and how many are served at once."""

import pytest

from gripproxy.engine.books import UNFIT
from gripproxy.engine.effects import Continue, Deliver, Effect, Finish, Park, Respond
from gripproxy.engine.item_offers import OFFERS_MAX_COUNT
from gripproxy.protocol.http1 import Headers
from gripproxy.protocol.publish_format import HttpResponseFormat, HttpStreamFormat
from gripproxy.protocol.publish_item import PublishItem
from tests.engine.conversation import (
    LINK,
    Conversation,
    answer,
    chunk,
    content,
    numbered,
    poll,
    request,
    stream,
)

FILTERED: Headers = [(b"Grip-Hold", b"stream"), (b"Grip-Channel", b"news; filter=skip-users")]


def delivered(effects: list[Effect]) -> list[tuple[bytes, int]]:
    return [(effect.payload, len(effect.conn_ids)) for effect in effects if isinstance(effect, Deliver)]


def crowd(count: int) -> Conversation:
    talk = Conversation()
    for conn_id in range(4, 4 + count):
        talk.gets_held(conn_id, FILTERED, head=request(is_http11=conn_id % 2 == 0, is_keep_alive=False))
    return talk


def test_holds_that_get_the_same_bytes_get_them_in_one_effect() -> None:
    talk = crowd(10)
    assert delivered(talk.publish(content(b"x"))) == [(b"1\r\nx\r\n", 5), (b"x", 5)]


def test_a_large_crowd_is_served_in_slices_and_in_order() -> None:
    talk = crowd(OFFERS_MAX_COUNT + 50)
    assert talk.publish(content(b"one")) == [Continue()]
    assert talk.publish(content(b"two")) == []
    received: dict[int, list[bytes]] = {conn_id: [] for conn_id in range(4, 54 + OFFERS_MAX_COUNT)}
    while talk.core.holds.is_unfinished:
        for effect in talk.continues():
            if isinstance(effect, Deliver):
                for conn_id in effect.conn_ids:
                    received[conn_id].append(effect.payload)
    assert all(b"one" in first and b"two" in second for first, second in received.values())


def test_empty_content_is_not_sent() -> None:
    """An empty chunk would end the body."""
    assert crowd(2).publish(content(b"")) == []


def test_filters_are_each_receivers_own() -> None:
    talk = Conversation()
    for conn_id, user in ((4, b"ann"), (5, b"bob"), (6, b"cy")):
        talk.gets_held(conn_id, stream(b"news; filter=skip-self", (b"Grip-Set-Meta", b'user="%s"' % user)))
    talk.gets_held(7, stream())
    item = content(b"hi")
    item.meta["sender"] = "bob"
    assert talk.publish(item) == [Deliver(chunk(b"hi"), {7: None}.keys()), Deliver(chunk(b"hi"), [4, 6])]


def test_a_filter_changes_what_a_long_poll_gets() -> None:
    talk = Conversation()
    talk.gets_held(4, poll(b"news; filter=var-subst", (b"Grip-Set-Meta", b"v=VAL")))
    finish, _ = talk.publish(answer(b"a %(v)s"))
    assert isinstance(finish, Finish)
    assert finish.payload.endswith(b"a VAL")


def test_content_that_fits_no_filter_is_not_sent() -> None:
    """The client of a debug route hears why."""
    for is_debug in (False, True):
        talk = Conversation(routes="*,debug origin:80" if is_debug else "* origin:80")
        talk.gets_held(4, stream(b"news; filter=var-subst"))
        talk.gets_held(5, poll(b"news; filter=var-subst"))
        item = PublishItem(
            "news", http_response=HttpResponseFormat(body=b"100%"), http_stream=HttpStreamFormat(content=b"100%")
        )
        payloads = [effect.payload for effect in talk.publish(item) if isinstance(effect, Finish)]
        assert [b"filter error: Expected directive after '%'" in payload for payload in payloads] == [
            True
        ] * 2 * is_debug


@pytest.mark.parametrize(
    "headers", [stream(), poll(), stream(b"news; filter=skip-self"), poll(b"news; filter=skip-self")]
)
def test_content_filters_must_be_the_subscriptions(headers: Headers) -> None:
    talk = Conversation(routes="*,debug origin:80")
    talk.gets_held(4, headers)
    item = PublishItem(
        "news",
        http_response=HttpResponseFormat(body=b"x", content_filters=("build-id",)),
        http_stream=HttpStreamFormat(content=b"x", content_filters=("build-id",)),
    )
    finish, *_ = talk.publish(item)
    assert isinstance(finish, Finish)
    assert b"content filter mismatch: subscription= message=build-id" in finish.payload


def test_build_id_knows_the_items_own_id() -> None:
    """As an event stream needs it, and as Pushpin 1.36 had it."""
    talk = Conversation()
    meta = (b"Grip-Set-Meta", b'id_format="X%(news)s%%"')
    talk.gets_held(4, stream(b"news; prev-id=1; filter=build-id", LINK, meta))
    assert talk.publish(numbered(2, b"id=%I h=%(ab)I")) == [Deliver(chunk(b"id=X2% h=ab"), [4])]


def test_build_id_is_for_the_first_body_too() -> None:
    talk = Conversation()
    meta = (b"Grip-Set-Meta", b"id_format=x")
    *_, park = talk.gets_held(4, stream(b"news; filter=build-id", meta), b"%(a)I 100%%")
    assert isinstance(park, Park)
    assert park.payload.endswith(chunk(b"a 100%"))
    talk.asks(5)
    talk.origin_answers(5, [(b"Grip-Channel", b"news; filter=build-id"), meta])
    _, respond = talk.origin_sent(5, b"%I")
    assert isinstance(respond, Respond)
    assert respond.payload.startswith(b"HTTP/1.1 502 ")


def test_a_patch_is_made_from_the_held_body() -> None:
    talk = Conversation()
    talk.gets_held(4, poll(), b'{"a":1}\n')
    patch: list[object] = [{"op": "replace", "path": "/a", "value": 2}]
    finish, _ = talk.publish(PublishItem("news", http_response=HttpResponseFormat(body_patch=patch)))
    assert isinstance(finish, Finish)
    assert finish.payload.endswith(b'\r\n\r\n{"a":2}\n')


def test_only_what_a_stream_got_puts_its_keep_alive_off() -> None:
    """Proxies in between count on it, also where filters leave nothing of a busy channel."""
    talk = Conversation()
    ping = (b"Grip-Keep-Alive", b"~; timeout=20")
    for conn_id, user in ((4, b"ann"), (5, b"bob")):
        talk.gets_held(conn_id, stream(b"news; filter=skip-self", (b"Grip-Set-Meta", b"user=" + user), ping))
    talk.gets_held(6, stream(b"news; filter=var-subst", ping))
    talk.passes(15.0)
    item = content(b"x")
    item.meta["sender"] = "bob"
    talk.publish(item)
    fitting = HttpStreamFormat(content=b"y", content_filters=("var-subst",))
    talk.publish(PublishItem("news", http_stream=fitting))
    assert talk.passes(6.0) == [Deliver(chunk(b"~"), [5], is_keep_alive=True)]
    assert talk.passes(15.0) == [Deliver(chunk(b"~"), [4, 6], is_keep_alive=True)]


def patched(patch: list[object], sender: str = "") -> PublishItem:
    return PublishItem("news", meta={"sender": sender}, http_response=HttpResponseFormat(body_patch=patch))


def test_filters_work_on_the_patched_body() -> None:
    talk = Conversation()
    talk.gets_held(4, poll(b"news; filter=var-subst", (b"Grip-Set-Meta", b"v=VAL")), b'{"a":1}\n')
    finish, _ = talk.publish(patched([{"op": "replace", "path": "/a", "value": "%(v)s"}]))
    assert isinstance(finish, Finish)
    assert finish.payload.endswith(b'\r\n\r\n{"a":"VAL"}\n')


def test_a_patch_that_fails_is_told_only_to_whom_it_is_for() -> None:
    talk = Conversation()
    talk.gets_held(4, poll(b"news; filter=skip-self", (b"Grip-Set-Meta", b"user=ann")), b"no JSON")
    assert talk.publish(patched([], "ann")) == []
    finish, _ = talk.publish(patched([], "bob"))
    assert isinstance(finish, Finish)
    assert finish.payload.startswith(b"HTTP/1.1 502 ")


def test_what_a_long_poll_gets_at_its_timeout_passes_no_filter() -> None:
    """Its origin has written it for this one client, and Pushpin sends it as it is."""
    talk = Conversation()
    talk.gets_held(4, poll(b"news; filter=build-id"), b"100%")
    finish, *_ = talk.passes(56.0)
    assert isinstance(finish, Finish)
    assert finish.payload.endswith(b"100%")


PATCH: list[object] = [{"op": "remove", "path": "/user"}]


@pytest.mark.parametrize(
    ("channel", "published", "count"),
    [
        (b"news", HttpResponseFormat(body_patch=PATCH), 4),
        (b"news; filter=var-subst", HttpResponseFormat(body_patch=PATCH), 4),
        (b"news; filter=var-subst", HttpResponseFormat(body=b"%(v)s" * 10_000), 1),
    ],
)
def test_patches_and_large_templates_are_made_for_few_at_once(
    channel: bytes, published: HttpResponseFormat, count: int
) -> None:
    """Each may take as long as many writes, however small the item is."""
    talk = Conversation()
    for conn_id in range(4, 24):
        talk.gets_held(conn_id, poll(channel, (b"Grip-Set-Meta", b'v="1"')), b'{"user":%d}' % conn_id)
    assert talk.publish(PublishItem("news", http_response=published))[0] == Continue()
    finished = [effect for effect in talk.continues() if isinstance(effect, Finish)]
    assert sum(len(effect.conn_ids) for effect in finished) == count
    while talk.core.holds.is_unfinished:
        talk.continues()
    assert not any(talk.core.holds.is_held(conn_id) for conn_id in range(4, 24))


def test_items_that_fit_no_filter_are_counted_and_said_once_a_second() -> None:
    """Whoever publishes them gets no other answer."""
    talk = Conversation()
    for conn_id in (4, 5):
        talk.gets_held(conn_id, stream(b"news; filter=var-subst"))
    (log,) = talk.publish(content(b"100%"))
    assert "item on channel 'news' for http://d.test/ was not sent: filter error: Expected directive" in str(log)
    assert talk.publish(content(b"100%")) == []
    talk.passes(1.0)
    assert len(talk.publish(content(b"100%"))) == 1
    books = talk.core.accounts.books
    assert (books.receptions, books.ends[UNFIT]) == (6, 6)
