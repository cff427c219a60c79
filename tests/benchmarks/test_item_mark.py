"""The text of items."""

import pytest

from benchmarks.item_mark import ITEM_MIN_BYTES, MARK, item_template, sse_template


@pytest.mark.parametrize("size_bytes", [ITEM_MIN_BYTES, 64, 1024])
@pytest.mark.parametrize("at_ns", [0, 10**17])
def test_item_has_its_size_at_any_time(size_bytes: int, at_ns: int) -> None:
    """A publisher states the length once, and bytes per delivery are compared."""
    assert len(item_template(size_bytes) % at_ns) == size_bytes


def test_item_without_room_for_its_time_is_refused() -> None:
    """It would be larger than the report says."""
    with pytest.raises(ValueError, match="at least 19"):
        item_template(18)


def test_mark_is_there_once() -> None:
    """Clients count marks, not items."""
    assert (sse_template(100) % 5).encode().count(MARK) == 1
