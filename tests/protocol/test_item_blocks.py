"""Blocks of items, as the reference's `message` and `report` packets count them."""

import pytest

from gripproxy.protocol.item_blocks import blocks_by_transport, count_blocks
from gripproxy.protocol.publish_format import CLOSE, HttpResponseFormat, HttpStreamFormat, WsMessageFormat
from gripproxy.protocol.publish_item import PublishItem


@pytest.mark.parametrize(("size_bytes", "count"), [(0, 0), (1, 1), (10, 1), (11, 2), (100, 10)])
def test_a_block_that_is_begun_counts(size_bytes: int, count: int) -> None:
    """And nothing is nothing."""
    assert count_blocks(size_bytes, 10) == count


def test_each_format_has_blocks_of_its_own() -> None:
    """A stream may get a line where a long-poll gets a page."""
    item = PublishItem("c", None, None, HttpResponseFormat(body=b"y"), HttpStreamFormat(content=b"x" * 25))
    assert blocks_by_transport(item, 10) == {"http-response": 1, "http-stream": 3}
    item = PublishItem("c", ws_message=WsMessageFormat(content=b"x" * 11))
    assert blocks_by_transport(item, 10) == {"ws-message": 2}


def test_size_of_the_item_counts_instead() -> None:
    """A publisher may say what the content costs, 0 included."""
    item = PublishItem("c", None, None, HttpResponseFormat(body=b"y"), HttpStreamFormat(content=b"x" * 25), size=100)
    assert blocks_by_transport(item, 10) == {"http-response": 10, "http-stream": 10}
    item.size = 0
    assert blocks_by_transport(item, 10) == {"http-response": 0, "http-stream": 0}


def test_close_has_no_content() -> None:
    """It ends streams and brings them nothing."""
    assert blocks_by_transport(PublishItem("c", http_stream=HttpStreamFormat(CLOSE)), 10) == {"http-stream": 0}
