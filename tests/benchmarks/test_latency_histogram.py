"""Counting latencies and reading percentiles."""

import os
import time

import pytest

from benchmarks.item_mark import item_template
from benchmarks.latency_histogram import (
    BUCKET_COUNT,
    VALUE_MAX_BITS,
    LatencyBoard,
    LatencyHistogram,
    bucket_of,
    middle_ns,
)


def histogram_of(*latencies_ns: int) -> LatencyHistogram:
    board = LatencyBoard(1)
    recorder = board.recorder(0)
    for latency_ns in latencies_ns:
        recorder.count(latency_ns)
    return board.read()


def test_buckets_are_in_order_without_a_gap() -> None:
    """A percentile walks them from the shortest to the longest."""
    found = [bucket_of(value) for value in range(5000)]
    assert found == sorted(found)
    assert set(found) == set(range(found[-1] + 1))


def test_middle_of_a_bucket_is_within_a_hundredth() -> None:
    """The report's percentiles are as exact as it says."""
    for bits in range(VALUE_MAX_BITS):
        for value in (1 << bits, (1 << bits) + (1 << bits) // 3, (2 << bits) - 1):
            assert abs(middle_ns(bucket_of(value)) - value) <= value * 0.01


def test_what_is_out_of_range_is_counted_at_the_ends() -> None:
    """A delivery that is counted nowhere would make the others look better."""
    assert bucket_of(-5) == 0
    assert bucket_of(1 << 50) == BUCKET_COUNT - 1


def test_percentile_is_the_smallest_that_covers_so_many() -> None:
    """p99 of 100 is the 99th, not the longest; and p99.9 of 100 is the longest."""
    histogram = histogram_of(*([1_000_000] * 98), 50_000_000, 900_000_000)
    assert histogram.count == 100
    assert histogram.percentile_ms(0) == pytest.approx(1, rel=0.01)
    assert histogram.percentile_ms(98) == pytest.approx(1, rel=0.01)
    assert histogram.percentile_ms(99) == pytest.approx(50, rel=0.01)
    assert histogram.percentile_ms(99.9) == pytest.approx(900, rel=0.01)
    assert histogram.percentile_ms(100) == pytest.approx(900, rel=0.01)


def test_nothing_has_no_percentile() -> None:
    """0 ms would read as instant."""
    with pytest.raises(ValueError, match="no latency"):
        LatencyHistogram().percentile_ms(50)


def test_difference_is_what_came_since() -> None:
    """A load is judged without the warm-up before it."""
    board = LatencyBoard(1)
    recorder = board.recorder(0)
    recorder.count(5_000_000_000)
    before = board.read()
    recorder.count(2_000_000)
    since = board.read() - before
    assert since.count == 1
    assert since.percentile_ms(100) == pytest.approx(2, rel=0.01)
    assert (before + since).percentile_ms(100) == pytest.approx(5000, rel=0.01)


def test_rows_of_forked_processes_are_added() -> None:
    """Each client process counts on its own, and the parent reads them all."""
    board = LatencyBoard(2)
    for row in range(2):
        pid = os.fork()
        if not pid:
            board.recorder(row).count((row + 1) * 1_000_000)
            os._exit(0)
        os.waitpid(pid, 0)
    found = board.read()
    assert found.count == 2
    assert found.percentile_ms(50) == pytest.approx(1, rel=0.01)
    assert found.percentile_ms(100) == pytest.approx(2, rel=0.01)


def test_age_of_each_item_is_recorded() -> None:
    """One read can bring several items."""
    board = LatencyBoard(1)
    now_ns = time.monotonic_ns()
    text = "".join("5c\r\n" + item_template() % (now_ns - age_ns) + "\r\n" for age_ns in (10**10, 10**11))
    board.recorder(0).record(7, text.encode())
    assert board.read().count == 2
    assert board.read().percentile_ms(50) == pytest.approx(10_000, rel=0.02)
    assert board.read().percentile_ms(100) == pytest.approx(100_000, rel=0.02)


def test_time_cut_by_a_read_is_put_together() -> None:
    """Behind a full buffer, a read ends anywhere; the rest belongs to the same connection."""
    board = LatencyBoard(1)
    recorder = board.recorder(0)
    text = (item_template() % (time.monotonic_ns() - 10**10)).encode()
    for end in range(len(text) + 1):
        recorder.record(7, text[:end])
        recorder.record(8, b"xxxx")
        recorder.record(7, text[end:])
    assert board.read().count == len(text) + 1
    assert board.read().percentile_ms(100) == pytest.approx(10_000, rel=0.02)


def test_what_a_connection_left_is_forgotten_with_it() -> None:
    """Its descriptor is the next connection's."""
    board = LatencyBoard(1)
    recorder = board.recorder(0)
    recorder.record(7, b"~0000")
    recorder.forget(7)
    recorder.record(7, b"0" * 14 + b"xxx")
    assert board.read().count == 0
