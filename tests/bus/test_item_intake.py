"""The way in for items: duplicates, counters and the log."""

import logging

import pytest

from gripproxy.bus import item_intake
from gripproxy.bus.channel_union import ChannelUnion
from gripproxy.bus.id_cache import IdCache
from gripproxy.bus.item_intake import ItemIntake
from gripproxy.bus.item_sequencer import ItemSequencer
from gripproxy.bus.receipts import Inquiry, Receipts
from gripproxy.protocol.last_ids import LastIds
from gripproxy.protocol.publish_format import HttpResponseFormat
from gripproxy.scoreboard import Field, Watch
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
    intake.accept_contents(["a"], [b"x"])
    intake.accept_contents(["a"], [b"x"])
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


def test_items_are_counted_by_input(bench: BusBench) -> None:
    """Refused ones too: together they are what was received."""
    intake, row = bench.intake(bench.outlet()), bench.scoreboard.row(0)
    intake.accept([stream_item("a", b"")] * 2, Field.ITEMS_SUB)
    intake.accept([stream_item("a", b"")] * 3, Field.ITEMS_COMMAND)
    intake.accept_contents(["a"], [b"x"])
    intake.accept_asked([stream_item("a", b"")] * 4, Field.ITEMS_HTTP)
    intake.count_refused(Field.ITEMS_HTTP)
    counts = [row[column] for column in (Field.ITEMS_PULL, Field.ITEMS_SUB, Field.ITEMS_HTTP, Field.ITEMS_COMMAND)]
    assert counts == [1, 2, 5, 3]
    assert row[Field.ITEMS_RECEIVED] == sum(counts)


def test_every_item_is_asked_about_while_somebody_looks(bench: BusBench) -> None:
    """And none when nobody does: then nothing is kept of it."""
    hub, row, found = bench.hub(), bench.scoreboard.row(0), list[Inquiry]()
    hub.receipts.on_published.append(found.append)
    hub.intake.accept([stream_item("a", b"", "1")])
    hub.intake.accept_contents(["a"], [b"x"])
    assert found == []
    row[Field.WATCHED] = int(Watch.MESSAGES | Watch.CONNS)
    hub.intake.accept([stream_item("a", b"", "1"), stream_item("a", b"", "2")], Field.ITEMS_SUB)
    hub.intake.accept_contents(["b"], [b"x"])
    assert [(inquiry.channel, inquiry.item_id, inquiry.source) for inquiry in found] == [
        ("a", "2", "sub"),
        ("b", None, "pull"),
    ]


def test_plain_content_changes_the_last_id_also_while_somebody_looks(bench: BusBench) -> None:
    """A look must not change what is seen."""
    hub, row = bench.hub(), bench.scoreboard.row(0)
    hub.subscribed.change(0, ["a"], [])
    hub.intake.accept([stream_item("a", b"", "1")])
    assert hub.last_ids == {"a": "1"}
    row[Field.WATCHED] = int(Watch.MESSAGES)
    hub.intake.accept_contents(["a"], [b"x"])
    assert hub.last_ids == {}


def test_blocks_are_those_of_the_largest_format(bench: BusBench) -> None:
    """Of items that are no duplicates, looked at or not."""
    outlet, row = bench.outlet(), bench.scoreboard.row(0)
    sequencer, receipts = ItemSequencer(5.0, LastIds(), row), Receipts(lambda: outlet.joined)
    intake = ItemIntake(outlet, IdCache(60), sequencer, ChannelUnion(), row, receipts, block_bytes=10)
    item = stream_item("a", b"x" * 25, "1")
    item.http_response = HttpResponseFormat(body=b"x" * 31)
    intake.accept([item, item])
    assert intake.blocks_count == 4
    intake.accept_contents(["a"], [b"x" * 11])
    assert intake.blocks_count == 6
    row[Field.WATCHED] = int(Watch.MESSAGES)
    intake.accept_contents(["a"], [b"x" * 11])
    intake.accept([stream_item("a", b"x", "2")])
    assert intake.blocks_count == 9
