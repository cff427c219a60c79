"""Publishing at a fixed rate."""

import time

from benchmarks.item_pacer import ItemPacer
from benchmarks.watch import Watch


class SlowPublisher:
    """Takes its time for the first item, and keeps what it was given."""

    def __init__(self, first_s: float) -> None:
        self.published: list[tuple[int, int]] = []
        self._pause_s = first_s

    def publish(self, channel: int, at_ns: int = 0) -> None:
        self.published.append((channel, at_ns))
        time.sleep(self._pause_s)
        self._pause_s = 0.0

    def close(self) -> None:
        """Nothing to close."""


def test_items_carry_the_time_they_should_have_been_sent_at() -> None:
    """A server that makes its publisher wait must be charged for what all later items waited."""
    publisher = SlowPublisher(first_s=0.05)
    pacer = ItemPacer(publisher, 1)
    pacer.publish(1000.0, 20, Watch("label", 60.0))
    times = [at_ns for _, at_ns in publisher.published]
    assert {later - earlier for earlier, later in zip(times, times[1:], strict=False)} <= {
        999_999,
        1_000_000,
        1_000_001,
    }
    assert pacer.lateness.read().percentile_ms(100) >= 45


def test_channels_take_turns_over_several_calls() -> None:
    """Otherwise the first channels' clients get more than their share."""
    publisher = SlowPublisher(first_s=0.0)
    pacer = ItemPacer(publisher, 3)
    for _ in range(2):
        pacer.publish(1e6, 4, Watch("label", 60.0))
    assert [channel for channel, _ in publisher.published] == [0, 1, 2, 0, 1, 2, 0, 1]


def test_pacer_that_naps_sends_the_same_items_with_the_same_times() -> None:
    """It wakes for several at once, which must change neither how many there are nor when they were due."""
    publisher = SlowPublisher(first_s=0.0)
    ItemPacer(publisher, 1, nap_s=0.02).publish(1000.0, 50, Watch("label", 60.0))
    times = [at_ns for _, at_ns in publisher.published]
    assert [round((at_ns - times[0]) / 1e6) for at_ns in times] == list(range(50))
