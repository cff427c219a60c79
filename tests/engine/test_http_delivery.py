"""Items on their way to HTTP clients that get them as they are: what is written, and to whom."""

from gripproxy.engine.effects import CloseChannel, Deliver, Finish
from gripproxy.protocol.instruct import KeepAlive
from gripproxy.protocol.publish_format import Action, HttpResponseFormat, HttpStreamFormat
from gripproxy.protocol.publish_item import PublishItem
from tests.engine.conversation import HTTP10, answer, content, hold_response, hold_stream, new_hold_table


def test_plain_content_is_an_item_like_any_other() -> None:
    """The short way for most items must do what the long one does."""
    holds, same = new_hold_table(), new_hold_table()
    for each in (holds, same):
        hold_stream(each, 1, ["news", "other"], KeepAlive(b"\n", 20))
        hold_stream(each, 2, head=HTTP10)
        hold_response(each, 3)
    for text, name in ((b"x", "news"), (b"", "news"), (b"y", "other"), (b"z", "nobody")):
        assert holds.publish_content(name, text, 15.0) == same.publish(content(text, name), 15.0)
    assert holds.tick(21.0) == same.tick(21.0) == []


def test_subscribers_are_not_copied() -> None:
    """A copy of the channel's ids for each item would cost more than the item."""
    holds = new_hold_table()
    hold_stream(holds, 1)
    (effect,) = holds.publish(content(b"x"), 1.0)
    assert isinstance(effect, Deliver)
    hold_stream(holds, 2)
    assert effect.conn_ids == {1, 2}, "a view"


def test_empty_content_writes_nothing() -> None:
    """An empty chunk is the end of the body: publishing nothing must not close everybody's stream."""
    holds = new_hold_table()
    hold_stream(holds, 1)
    hold_stream(holds, 2, head=HTTP10)
    assert holds.publish(content(b""), 1.0) == []


def test_large_content_is_one_delivery_of_several_chunks() -> None:
    """Other receivers read a chunk size of at most four digits."""
    holds = new_hold_table()
    hold_stream(holds, 1)
    (effect,) = holds.publish(content(b"x" * 0x1_0001), 1.0)
    assert isinstance(effect, Deliver)
    assert effect.payload == b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n2\r\nxx\r\n"


def test_close_ends_the_streams_of_its_channel_and_frees_their_other_channels() -> None:
    """The client's response ends; nobody must get anything for its connection id afterwards."""
    holds = new_hold_table()
    hold_stream(holds, 1, ["a", "b"])
    hold_stream(holds, 2, ["b"])
    closing = content(b"", "a", Action.CLOSE)
    assert holds.publish(closing, 1.0) == [Finish(b"0\r\n\r\n", [1], True, True), CloseChannel("a")]
    assert holds.publish(content(b"x", "b"), 1.0) == [Deliver(b"1\r\nx\r\n", {2})]
    assert holds.publish(closing, 1.0) == []


def test_close_leaves_long_polls_alone() -> None:
    """As in the reference: a long-poll has no body that could be ended."""
    holds = new_hold_table()
    hold_response(holds, 1)
    assert holds.publish(answer(b"", action=Action.CLOSE), 1.0) == []
    assert holds.responses_count == 1


def test_refresh_writes_nothing() -> None:
    """It is for WebSockets."""
    holds = new_hold_table()
    hold_stream(holds, 1)
    hold_response(holds, 2)
    action = Action.REFRESH
    item = PublishItem("news", http_response=HttpResponseFormat(action), http_stream=HttpStreamFormat(action))
    assert holds.publish(item, 1.0) == []
    assert (holds.streams_count, holds.responses_count) == (1, 1)


def test_each_format_reaches_its_own_kind_of_hold() -> None:
    """One item may serve streams and long-polls at once."""
    holds = new_hold_table()
    hold_stream(holds, 1)
    hold_response(holds, 2)
    item = PublishItem("news", http_response=HttpResponseFormat(body=b"r"), http_stream=HttpStreamFormat(content=b"s"))
    poll_payload = b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 1\r\n\r\nr"
    assert holds.publish(item, 1.0) == [Finish(poll_payload, [2], True, True), Deliver(b"1\r\ns\r\n", {1})]
