"""The books of a process that was killed, closed by its successor."""

from gripproxy.dead_rows import close_hub_row, close_worker_row
from gripproxy.scoreboard import Field, Scoreboard


def row_with(**counts: int) -> memoryview:
    row = Scoreboard(0).row(0)
    for name, count in counts.items():
        row[Field[name]] = count
    return row


def test_hub_that_died_with_items_in_hand() -> None:
    """Ten came in; one was refused, one is a duplicate, two were parked and six on the bus: two are lost."""
    row = row_with(
        ITEMS_RECEIVED=10, ITEMS_PULL=9, ITEMS_HTTP=1, ITEMS_REFUSED=1, ITEMS_DUPLICATE=1, ITEMS_SENT=6, ITEMS_PARKED=2
    )
    close_hub_row(row)
    assert (row[Field.ITEMS_LOST], row[Field.ITEMS_PARKED]) == (2, 0)
    close_hub_row(row)
    assert row[Field.ITEMS_LOST] == 2, "the next one finds nothing new"


def test_hub_that_died_between_two_counts() -> None:
    """An item that is in one of the two only is no item that came."""
    row = row_with(ITEMS_RECEIVED=8, ITEMS_PULL=7, ITEMS_SENT=7)
    close_hub_row(row)
    assert (row[Field.ITEMS_RECEIVED], row[Field.ITEMS_LOST]) == (7, 0)


def test_worker_that_died_with_receptions_under_way() -> None:
    """Their clients are gone with it."""
    row = row_with(RECEPTIONS=10, DELIVERIES=5, FILTERED=1, DROPPED_SLOW=1, PENDING=2)
    close_worker_row(row)
    assert (row[Field.DROPPED_GONE], row[Field.PENDING], row[Field.RECEPTIONS]) == (3, 0, 10)


def test_worker_that_died_before_it_told_of_receptions() -> None:
    """What was delivered was received."""
    row = row_with(RECEPTIONS=10, DELIVERIES=12)
    close_worker_row(row)
    assert (row[Field.DROPPED_GONE], row[Field.RECEPTIONS]) == (0, 12)


def test_first_processes_find_nothing() -> None:
    """Rows of zeros stay so."""
    row = row_with()
    close_hub_row(row)
    close_worker_row(row)
    assert not any(row)
