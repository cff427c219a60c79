"""How many holds get an item at once, and what they share. What each of them gets is in test_sessions.py."""

from gripproxy.engine.effects import Continue, Deliver, Effect
from gripproxy.engine.item_offers import OFFERS_MAX_COUNT
from gripproxy.protocol.http1 import Headers
from tests.engine.conversation import Conversation, content, request

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
