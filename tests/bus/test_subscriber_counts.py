"""Numbers of several workers become one, and monitors are told in time."""

import pytest

from gripproxy.bus import subscriber_counts
from gripproxy.bus.subscriber_counts import CHANGE_S, DUE_S, News, SubscriberCounts
from gripproxy.protocol.telemetry import SubsRecord

STREAM = ["stream", "news"]
POLL = ["response", "news"]


def told(worker_index: int, *counts: list[str | int], is_first: bool = False, is_all: bool = False) -> SubsRecord:
    return SubsRecord(worker_index, is_first, is_all, list(counts))


def begun(*workers: int, refresh_s: float = 45.0) -> SubscriberCounts:
    """Make a table whose workers have told that they have no subscriber."""
    counts = SubscriberCounts(refresh_s, linger_s=60.0)
    for worker_index in workers:
        assert counts.take(told(worker_index, is_first=True, is_all=True), 0.0) == []
    return counts


def test_first_subscription_is_told_at_once_and_changes_within_a_second() -> None:
    """Two workers' numbers are one number to a monitor."""
    counts = begun(0, 1)
    assert counts.take(told(0, [*STREAM, 1]), 0.0) == [("stream", "news", 1)]
    assert counts.take(told(1, [*STREAM, 2]), 0.1) == []
    assert counts.take(told(0, [*STREAM, 5]), 0.2) == []
    assert counts.due(0.5) == []
    assert counts.due(1.1) == [("stream", "news", 7)]
    assert counts.due(2.1) == []


def test_end_of_a_stream_is_told_at_once() -> None:
    """Only when the last worker has none any more."""
    counts = begun(0, 1)
    counts.take(told(0, [*STREAM, 1]), 0.0)
    counts.take(told(1, [*STREAM, 1]), 0.0)
    assert counts.take(told(0, [*STREAM, 0]), 0.5) == []
    assert counts.take(told(1, [*STREAM, 0]), 0.5) == [("stream", "news", 0)]
    assert counts.due(1.0) == []
    assert len(counts) == 0


def test_channel_of_long_polls_lingers() -> None:
    """Between two polls of a client it has none; to a monitor that would be a flicker."""
    counts = begun(0)
    assert counts.take(told(0, [*POLL, 1]), 0.0) == [("response", "news", 1)]
    assert counts.take(told(0, [*POLL, 0]), 10.0) == []
    assert counts.due(11.0) == []
    assert counts.take(told(0, [*POLL, 1]), 20.0) == [("response", "news", 1)]
    assert counts.take(told(0, [*POLL, 0]), 30.0) == []
    assert counts.due(71.0) == []
    assert counts.due(90.0) == [("response", "news", 0)]
    assert len(counts) == 0


def test_poll_that_came_back_in_time_keeps_its_channel() -> None:
    """Its end was due, and is not any more."""
    counts = begun(0)
    counts.take(told(0, [*POLL, 1]), 0.0)
    counts.take(told(0, [*POLL, 0]), 10.0)
    counts.take(told(0, [*POLL, 1]), 20.0)
    assert counts.due(100.0) == [("response", "news", 1)]


def test_lingering_channel_is_not_told_again_meanwhile() -> None:
    """There is nothing to tell of it: neither subscribers nor their end."""
    counts = begun(0, refresh_s=10.0)
    counts.take(told(0, [*POLL, 1]), 0.0)
    counts.take(told(0, [*POLL, 0]), 1.0)
    assert [counts.due(float(second)) for second in range(2, 61)] == [[]] * 59


def test_worker_that_is_gone_takes_its_subscribers_with_it() -> None:
    """Its clients come to other workers, or never."""
    counts = begun(0, 1)
    counts.take(told(0, [*STREAM, 2], ["ws", "other", 1], [*POLL, 1]), 0.0)
    counts.take(told(1, [*STREAM, 1]), 0.0)
    assert counts.forget_worker(0, 1.0) == [("ws", "other", 0)]
    assert counts.due(2.0) == [("stream", "news", 1)]
    assert counts.due(61.0) == [("response", "news", 0), ("stream", "news", 1)]


def test_late_word_of_a_worker_that_is_gone_does_not_count() -> None:
    """It would never be taken back."""
    counts = begun(0)
    counts.take(told(0, [*STREAM, 2]), 0.0)
    counts.forget_worker(0, 1.0)
    assert counts.take(told(0, [*STREAM, 3]), 1.0) == []
    assert len(counts) == 0
    assert counts.take(told(0, [*STREAM, 4], is_first=True), 2.0) == [("stream", "news", 4)]


def test_worker_that_tells_all_anew_changes_only_what_differs() -> None:
    """A monitor that comes makes workers tell all; others must see no flicker of it."""
    counts = begun(0)
    counts.take(told(0, [*STREAM, 2], ["stream", "old", 1], ["stream", "same", 1]), 0.0)
    assert counts.take(told(0, [*STREAM, 3], is_first=True), 1.0) == []
    assert counts.take(told(0, ["stream", "new", 1], ["stream", "same", 1]), 1.0) == [("stream", "new", 1)]
    assert counts.take(told(0, is_all=True), 1.0) == [("stream", "old", 0)]
    assert counts.due(2.0) == [("stream", "news", 3)]
    assert len(counts) == 3


def test_telling_anew_twice_keeps_nothing_of_before() -> None:
    """The first try was cut off by the second."""
    counts = begun(0)
    counts.take(told(0, [*STREAM, 2], ["stream", "old", 1]), 0.0)
    counts.take(told(0, [*STREAM, 2], is_first=True), 1.0)
    assert counts.take(told(0, [*STREAM, 2], is_first=True, is_all=True), 2.0) == [("stream", "old", 0)]
    assert counts.take(told(0, [*STREAM, 0]), 3.0) == [("stream", "news", 0)]


def test_all_are_told_again_in_time_and_not_together() -> None:
    """Monitors forget what they have not heard of for a third longer; and a burst would overrun them."""
    counts = begun(0)
    many: list[list[str | int]] = [["stream", f"c{number}", 1] for number in range(900)]
    assert len(counts.take(told(0, *many), 0.0)) == 900
    last_told = {f"c{number}": 0.0 for number in range(900)}
    largest = 0
    for turn in range(1, 3000):
        now = turn * DUE_S
        news: list[News] = counts.due(now)
        largest = max(largest, len(news))
        for _, channel, count in news:
            assert count == 1
            last_told[channel] = now
        assert now - min(last_told.values()) <= 45.0
    assert largest <= 5


def test_turns_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub has items to pass on."""
    monkeypatch.setattr(subscriber_counts, "TURN_MAX_COUNT", 10)
    counts = begun(0)
    names = [f"c{number}" for number in range(25)]
    counts.take(told(0, *(["response", name, 1] for name in names)), 0.0)
    counts.take(told(0, *(["response", name, 2] for name in names)), 0.0)
    assert [len(counts.due(CHANGE_S + turn * DUE_S)) for turn in range(4)] == [10, 10, 5, 0]
    counts.take(told(0, *(["response", name, 0] for name in names)), 2.0)
    assert [len(counts.due(62.0 + turn * DUE_S)) for turn in range(4)] == [10, 10, 5, 0]
