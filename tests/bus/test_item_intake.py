"""The way in for items: duplicates, counters and the log."""

import logging

import pytest

from gripproxy.bus import item_intake
from gripproxy.scoreboard import Field
from tests.bus.bench import BusBench, stream_item


def test_duplicates_are_dropped_and_counted(bench: BusBench) -> None:
    """An item without an id is never one."""
    row = bench.scoreboard.row(0)
    intake = bench.intake(bench.outlet())
    intake.accept([stream_item("a", b"", "1"), stream_item("a", b"", "1"), stream_item("b", b"", "1")])
    intake.accept([stream_item("a", b""), stream_item("a", b"")])
    bench.turn()
    assert (row[Field.ITEMS_RECEIVED], row[Field.ITEMS_DUPLICATE], row[Field.ITEMS_SENT]) == (5, 1, 4)


def test_content_is_counted_as_an_item(bench: BusBench) -> None:
    """It has no id, so it is never a duplicate."""
    row = bench.scoreboard.row(0)
    intake = bench.intake(bench.outlet())
    intake.accept_content("a", b"x")
    intake.accept_content("a", b"x")
    bench.turn()
    assert (row[Field.ITEMS_RECEIVED], row[Field.ITEMS_DUPLICATE], row[Field.ITEMS_SENT]) == (2, 0, 2)


def test_duplicate_is_none_before_it_is_out_of_order(bench: BusBench) -> None:
    """The id cache comes first, with and without a subscriber: what it drops sets no last id and waits for nothing."""
    hub, row = bench.hub(), bench.scoreboard.row(0)
    hub.intake.accept([stream_item("a", b"", "1")])
    hub.subscribed.change(0, ["a"], [])
    hub.intake.accept([stream_item("a", b"", "1")])
    assert hub.last_ids == {}
    hub.intake.accept([stream_item("a", b"", "2"), stream_item("a", b"", "4", "3"), stream_item("a", b"", "4", "5")])
    bench.turn()
    assert (row[Field.ITEMS_PARKED], row[Field.ITEMS_DUPLICATE], row[Field.ITEMS_SENT]) == (1, 2, 2)


def test_order_is_for_channels_with_a_subscriber(bench: BusBench) -> None:
    """Nobody could miss anything on the others."""
    intake, row = bench.intake(bench.outlet(), "a"), bench.scoreboard.row(0)
    for channel in "ab":
        intake.accept([stream_item(channel, b"", "1"), stream_item(channel, b"", "3", "2")])
    bench.turn()
    assert (row[Field.ITEMS_PARKED], row[Field.ITEMS_SENT]) == (1, 3)


def test_late_items_go_in_parts_and_not_into_a_blocked_bus(bench: BusBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait on, as the inputs do, and no turn of the loop is long."""
    monkeypatch.setattr(item_intake, "LATE_MAX_COUNT", 2)
    outlet, row, channels = bench.outlet(), bench.scoreboard.row(0), "abc"
    intake = bench.intake(outlet, *channels, message_wait_s=0.0)
    for channel in channels:
        intake.accept([stream_item(channel, b"", "1"), stream_item(channel, b"", "3", "2")])
    bench.turn()
    assert row[Field.ITEMS_SENT] == 3
    outlet.is_blocked = True
    assert not intake.release_late()
    assert row[Field.ITEMS_PARKED] == 3
    outlet.is_blocked = False
    assert intake.release_late()
    assert not intake.release_late()
    bench.turn()
    assert (row[Field.ITEMS_PARKED], row[Field.ITEMS_LATE], row[Field.ITEMS_SENT]) == (0, 3, 6)


def test_refusals_are_logged_in_the_reference_text(bench: BusBench, caplog: pytest.LogCaptureFixture) -> None:
    """At warning level, and a flood is held back."""
    row = bench.scoreboard.row(0)
    intake = bench.intake(bench.outlet())
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            intake.refuse(Field.ITEMS_PULL, "received message with parts != 1")
        intake.flush_log()
    assert caplog.messages == ["IN pull: received message with parts != 1, skipping"]
    assert (row[Field.ITEMS_RECEIVED], row[Field.ITEMS_REFUSED], row[Field.ITEMS_SENT]) == (50, 50, 0)
