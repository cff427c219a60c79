"""Counters that every process sees and that outlive the process that counted."""

import os

import pytest

from gripproxy.scoreboard import (
    BOUNDS_S,
    HUB_ROW,
    Field,
    Histogram,
    ProcessState,
    Scoreboard,
    observe,
    read_histogram,
)


def test_rows_do_not_overlap() -> None:
    """Each process writes its own row without a lock."""
    scoreboard = Scoreboard(workers_count=2)
    for index in range(scoreboard.rows_count):
        for column in range(Field.FIELD_COUNT):
            scoreboard.row(index)[column] = index * 1000 + column
    for index in range(scoreboard.rows_count):
        values = list(scoreboard.row(index)[: Field.FIELD_COUNT])
        assert values == [index * 1000 + column for column in range(Field.FIELD_COUNT)]


def test_total_leaves_out_the_hub() -> None:
    """The hub counts items that it sent, the workers items that they got: a sum of both would mean nothing."""
    scoreboard = Scoreboard(workers_count=3)
    scoreboard.row(HUB_ROW)[Field.ITEMS_RECEIVED] = 100
    for row in scoreboard.worker_rows():
        row[Field.ITEMS_RECEIVED] += 7
    assert scoreboard.total(Field.ITEMS_RECEIVED) == 21


def test_fresh_row_is_starting() -> None:
    """Nobody takes a process for ready before it said so."""
    assert Scoreboard(1).row(1)[Field.STATE] == ProcessState.STARTING


def test_counts_of_a_forked_process_outlive_it() -> None:
    """A killed worker's requests were served all the same."""
    scoreboard = Scoreboard(1)
    pid = os.fork()
    if pid == 0:
        scoreboard.row(1)[Field.REQUESTS] += 5
        os._exit(0)
    os.waitpid(pid, 0)
    assert scoreboard.row(1)[Field.REQUESTS] == 5


def test_every_field_has_its_own_column() -> None:
    """An enum with a number given twice makes an alias, and two counters one."""
    assert len(Field.__members__) == len(set(Field))
    assert max(set(Field) - {Field.FIELD_COUNT}) < Field.FIELD_COUNT


def test_times_fall_into_the_buckets_that_their_bounds_say() -> None:
    """A time that is a bound is in its bucket, as Prometheus has it; histograms and counters do not touch."""
    row = Scoreboard(1).row(1)
    row[Field.FIELD_COUNT - 1] = 7
    for seconds in (BOUNDS_S[0], 0.0002, 99.0, -1.0):
        observe(row, Histogram.BUS, seconds)
    counts, sum_s = read_histogram(row, Histogram.BUS)
    assert counts == [2, 1, *[0] * (len(BOUNDS_S) - 2), 1] and sum_s == pytest.approx(99.0003)
    assert read_histogram(row, Histogram.ORIGIN) == read_histogram(row, Histogram.WRITE) == ([0] * len(counts), 0.0)
    assert row[Field.FIELD_COUNT - 1] == 7
