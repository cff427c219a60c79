"""The way in for items: duplicates, counters and the log."""

import logging

import pytest

from gripproxy.bus.id_cache import IdCache
from gripproxy.bus.item_intake import ItemIntake
from gripproxy.scoreboard import Field
from tests.bus.bench import BusBench, stream_item


def test_duplicates_are_dropped_and_counted(bench: BusBench) -> None:
    """An item without an id is never one."""
    row = bench.scoreboard.row(0)
    intake = ItemIntake(bench.outlet(), IdCache(60), row)
    intake.accept([stream_item("a", b"", "1"), stream_item("a", b"", "1"), stream_item("b", b"", "1")])
    intake.accept([stream_item("a", b""), stream_item("a", b"")])
    bench.turn()
    assert (row[Field.ITEMS_RECEIVED], row[Field.ITEMS_DUPLICATE], row[Field.ITEMS_SENT]) == (5, 1, 4)


def test_content_is_counted_as_an_item(bench: BusBench) -> None:
    """It has no id, so it is never a duplicate."""
    row = bench.scoreboard.row(0)
    intake = ItemIntake(bench.outlet(), IdCache(60), row)
    intake.accept_content("a", b"x")
    intake.accept_content("a", b"x")
    bench.turn()
    assert (row[Field.ITEMS_RECEIVED], row[Field.ITEMS_DUPLICATE], row[Field.ITEMS_SENT]) == (2, 0, 2)


def test_refusals_are_logged_in_the_reference_text(bench: BusBench, caplog: pytest.LogCaptureFixture) -> None:
    """At warning level, and a flood is held back."""
    row = bench.scoreboard.row(0)
    intake = ItemIntake(bench.outlet(), IdCache(60), row)
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            intake.refuse("pull", "received message with parts != 1")
        intake.flush_log()
    assert caplog.messages == ["IN pull: received message with parts != 1, skipping"]
    assert (row[Field.ITEMS_RECEIVED], row[Field.ITEMS_REFUSED], row[Field.ITEMS_SENT]) == (50, 50, 0)
