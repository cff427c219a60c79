"""Every reception ends once, in the books and in its item's receipt."""

from collections.abc import Callable

from gripproxy.engine.books import DELIVERED, FILTERED, GONE, REFETCHED, UNFIT, Books, End
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.protocol.receipt import Receipt
from tests.engine.conversation import LINK, Conversation, answer, content, stream


def test_what_is_taken_begins_again() -> None:
    """The worker adds it to its row of the scoreboard every time."""
    books = Books()
    books.wanted = 1
    books.found(1, 3, 1, None)
    books.end(GONE, 4, None)
    books.pending = 5
    expected = [0] * len(End)
    expected[GONE] = 4
    assert books.take() == (1, 5, expected)
    assert books.take() == (0, 0, [0] * len(End))
    assert books.pending == 5


def test_receipt_has_what_its_item_did() -> None:
    """Kept back is not dropped: that client should not have it."""
    books, receipt = Books(), Receipt(7)
    books.found(1, 3, 2, receipt)
    for end, count in ((DELIVERED, 2), (FILTERED, 1), (UNFIT, 1), (REFETCHED, 1)):
        books.end(end, count, receipt)
    assert (receipt.responses, receipt.streams, receipt.messages) == (1, 3, 2)
    assert (receipt.delivered, receipt.filtered, receipt.dropped) == (2, 2, 1)
    assert not receipt.is_done
    books.end(GONE, 1, receipt)
    assert receipt.is_done


def publish(talk: Conversation, item: PublishItem) -> Receipt:
    item.receipt = Receipt(1)
    for effect in talk.publish(item):
        if getattr(effect, "receipt", None) is item.receipt:
            item.receipt.delivered += len(effect.conn_ids)  # as the worker's sockets do
    return item.receipt


def fate(receipt: Receipt) -> tuple[int, int, int, int]:
    assert receipt.is_done
    return receipt.streams + receipt.responses, receipt.delivered, receipt.filtered, receipt.dropped


def hold(mode: bytes) -> Callable[[Conversation, int], object]:
    return lambda talk, conn_id: talk.gets_held(conn_id, [(b"Grip-Hold", mode), (b"Grip-Channel", b"news")])


def test_plain_holds_receive_what_is_for_them() -> None:
    """A stream gets no answer, a long-poll no content: they are no receivers of it."""
    talk = Conversation()
    for conn_id, mode in ((4, b"stream"), (5, b"stream"), (6, b"response")):
        hold(mode)(talk, conn_id)
    assert fate(publish(talk, content(b"x"))) == (2, 2, 0, 0)
    assert fate(publish(talk, answer(b"x"))) == (1, 1, 0, 0)
    assert fate(publish(talk, answer(b"x"))) == (0, 0, 0, 0), "it has been answered"
    assert talk.core.accounts.books.wanted == 2
    assert fate(publish(talk, content(b""))) == (2, 2, 0, 0), "nothing to write is written"


def test_filtered_items_are_kept_back() -> None:
    """And not dropped."""
    talk = Conversation()
    talk.gets_held(4, stream(b"news; filter=skip-self", (b"Grip-Set-Meta", b"user=u")))
    hold(b"stream")(talk, 5)
    item = content(b"x")
    item.meta = {"sender": "u"}
    item.http_stream.content_filters = ("other",)  # type: ignore[union-attr]
    assert fate(publish(talk, item)) == (2, 0, 2, 0)


def test_item_that_a_link_will_tell_is_refetched() -> None:
    """The publisher learns that it did not go out as it is."""
    talk = Conversation()
    talk.gets_held(4, stream(b"news; prev-id=1", LINK))
    item = content(b"x")
    item.id, item.prev_id = "3", "2"
    assert fate(publish(talk, item)) == (1, 0, 0, 1)
    waiting = content(b"y")
    waiting.id, waiting.prev_id = "4", "3"
    receipt = publish(talk, waiting)
    assert not receipt.is_done and talk.core.accounts.books.pending == 1
    talk.leaves(4)
    assert fate(receipt) == (1, 0, 0, 1)
    assert talk.core.accounts.books.pending == 0
