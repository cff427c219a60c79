"""What client processes count is what the measuring process adds up."""

from benchmarks.c1m.board import ROUNDS_MAX_COUNT, Board, Cell, Series, record_delivery

MS = 1_000_000


def test_rounds_give_first_and_last_delivery_over_all_processes() -> None:
    """First and last are figures of the report."""
    board = Board(3)
    for process, now_ns in ((2, 40 * MS), (2, 70 * MS), (0, 55 * MS)):
        record_delivery(board.row(process), Series.CHANNEL, 7, 30 * MS, now_ns)
    assert board.round_deliveries(7) == 3
    assert board.round_times_ns(7) == (40 * MS, 70 * MS)
    assert board.round_times_ns(6) is None


def test_series_have_their_own_latencies() -> None:
    """One channel and many rooms are different cases."""
    board = Board(2)
    for process in (0, 1):
        record_delivery(board.row(process), Series.CHANNEL, 0, 0, 10 * MS)
        record_delivery(board.row(process), Series.ROOMS, 1, 0, 500 * MS)
    assert round(board.histogram(Series.CHANNEL).percentile_ms(100)) == 10
    assert round(board.histogram(Series.ROOMS).percentile_ms(50), -1) == 500
    assert board.histogram(Series.ROOMS).count == 2


def test_the_last_round_does_not_touch_a_histogram() -> None:
    """All cells of a row lie behind one another."""
    board = Board(1)
    record_delivery(board.row(0), Series.CHANNEL, ROUNDS_MAX_COUNT - 1, 0, MS)
    assert (board.histogram(Series.CHANNEL).count, board.histogram(Series.ROOMS).count) == (1, 0)


def test_counters_are_added_up() -> None:
    """A row per process."""
    board = Board(2)
    board.row(0)[Cell.HELD] = 3
    board.row(1)[Cell.HELD] = 4
    assert board.total(Cell.HELD) == 7
    assert board.of(1, Cell.HELD) == 4
