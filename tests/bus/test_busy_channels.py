"""The busiest channels, by slots of time."""

from gripproxy.bus.busy_channels import NAMES_MAX_COUNT, SLOTS_COUNT, BusyChannel, BusyChannels


def test_busiest_come_first_with_their_rates() -> None:
    """A rate is over all slots that are kept, also those in which the channel was quiet."""
    busy = BusyChannels(now=10.0)
    busy.note(["a", "b", "a"])
    busy.roll(11.0)
    busy.note(["a"])
    busy.roll(12.0)
    assert busy.busiest(10) == [BusyChannel("a", 1.5), BusyChannel("b", 0.5)]
    assert busy.busiest(1) == [BusyChannel("a", 1.5)]


def test_slot_under_way_does_not_count_yet() -> None:
    """A rate of a slot that began a moment ago would be anything."""
    busy = BusyChannels(now=0.0)
    busy.note(["a"])
    assert busy.busiest(10) == []


def test_old_slots_are_forgotten() -> None:
    """What was busy a minute ago is not now."""
    busy = BusyChannels(now=0.0)
    busy.note(["a"])
    for second in range(SLOTS_COUNT + 1):
        busy.roll(second + 1.0)
    assert busy.busiest(10) == []


def test_no_more_names_are_kept_than_allowed_and_busy_ones_stay() -> None:
    """A publisher with a channel for each item must not fill the hub's memory, nor hide who is really busy."""
    busy = BusyChannels(now=0.0)
    names = [f"c{number}" for number in range(3 * NAMES_MAX_COUNT)]
    for start in range(0, len(names), 64):
        busy.note([*names[start : start + 64], "busy"])
        assert len(busy._counts) <= NAMES_MAX_COUNT
    busy.roll(1.0)
    (first,) = busy.busiest(1)
    assert first == BusyChannel("busy", len(range(0, len(names), 64)))
