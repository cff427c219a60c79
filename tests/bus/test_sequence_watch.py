"""Sequence numbers: every item that the bus lost is counted once, and nothing else is."""

from gripproxy.bus.sequence_watch import SequenceWatch


def test_unbroken_sequence_misses_nothing() -> None:
    """The first hub is joined wherever it is in its count."""
    watch = SequenceWatch()
    assert [watch.hello(7, 5), watch.items(7, 5, 1), watch.items(7, 6, 1), watch.items(7, 7, 1)] == [0, 0, 0, 0]


def test_hole_is_counted_once() -> None:
    """The counter is the number of lost items, not of times that somebody noticed."""
    watch = SequenceWatch()
    watch.items(7, 0, 1)
    assert [watch.items(7, 3, 1), watch.items(7, 4, 1)] == [2, 0]


def test_hello_of_the_same_hub_shows_a_hole() -> None:
    """A worker whose connection broke may have missed items in between."""
    watch = SequenceWatch()
    watch.items(7, 0, 1)
    assert [watch.hello(7, 4), watch.items(7, 4, 1)] == [3, 0]


def test_hello_does_not_count_items_twice() -> None:
    """Items that were already queued for this worker come before its hello."""
    watch = SequenceWatch()
    watch.items(7, 0, 1)
    watch.items(7, 1, 1)
    assert [watch.hello(7, 2), watch.items(7, 2, 1)] == [0, 0]


def test_new_hub_starts_from_zero() -> None:
    """A restarted hub waits for its workers, so its first item is due; joining late is a loss."""
    watch = SequenceWatch()
    watch.items(7, 40, 1)
    assert [watch.hello(8, 0), watch.items(8, 0, 1)] == [0, 0]
    assert [watch.hello(9, 3), watch.items(9, 3, 1)] == [3, 0]
