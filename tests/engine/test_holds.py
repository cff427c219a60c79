"""What is kept of a client that waits."""

import gc
from dataclasses import fields

import pytest

from gripproxy.engine.holds import ResponseHold, StreamHold, StreamShapes
from gripproxy.engine.subscriptions import Channel
from tests.engine.conversation import client


def test_equal_streams_share_their_shape() -> None:
    """A million streams that are held alike have one copy of the keep-alive between them."""
    shapes = StreamShapes()
    first = shapes.shape(True, True, False, b":\n\n", 20, False)
    assert shapes.shape(True, True, False, b":\n\n", 20, False) is first
    assert shapes.shape(True, True, False, b":\n\n", 21, False) is not first
    assert shapes.shape(False, True, False, b":\n\n", 20, False) is not first


@pytest.mark.parametrize(
    ("is_chunked", "content", "payload"),
    [(True, b":\n\n", b"3\r\n:\n\n\r\n"), (False, b":\n\n", b":\n\n"), (True, b"", b""), (False, b"", b"")],
)
def test_keep_alive_is_ready_to_be_written(is_chunked: bool, content: bytes, payload: bytes) -> None:
    """It is framed once, not for each of the streams; no content must not become the chunk that ends the body."""
    assert StreamShapes().shape(is_chunked, True, False, content, 20, False).keep_alive == payload


def test_unused_shape_is_forgotten() -> None:
    """An origin that puts a time into its keep-alive would fill the memory otherwise."""
    shapes = StreamShapes()
    shapes.shape(True, True, False, b"12:00:01", 20, False)
    gc.collect()
    assert len(shapes._shapes) == 0


def test_hold_is_slotted_and_small() -> None:
    """There may be a million of them: no dictionary, and no field that is not needed."""
    shape = StreamShapes().shape(True, True, False, b"", 0, False)
    hold = StreamHold(1, shape, (Channel("news"),))
    assert not hasattr(hold, "__dict__")
    assert [field.name for field in fields(hold)] == ["conn_id", "shape", "channels", "slot"]


def test_holds_are_told_apart_by_identity() -> None:
    """They are members of the timer wheel's sets: a comparison of fields would be slow and wrong."""
    holds = {ResponseHold(1, (), client(), 200, b"OK", [], b"") for _ in range(2)}
    assert len(holds) == 2


def test_shape_of_a_payload_is_that_of_its_content() -> None:
    """So it is shared with streams that come from another worker."""
    shapes = StreamShapes()
    shape = shapes.shape(True, True, False, b"ping", 20, False)
    assert shapes.framed(True, True, False, b"4\r\nping\r\n", 20, False, shape.traffic) is shape
