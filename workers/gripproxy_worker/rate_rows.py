"""What workers tell each other of `message_rate`, on the scoreboard: plain stores and loads, no message, no lock."""

from collections.abc import Sequence

from gripproxy.engine.rate_budget import Usage
from gripproxy.scoreboard import HUB_ROW, Field, Scoreboard

PACED_SLOT, PACED_COUNT = int(Field.PACED_SLOT), int(Field.PACED_COUNT)


class RateRows:
    """One worker's view of all workers' rows: a `RateBoard`.

    A row that is read between two stores tells of a new window with the count of an old one: for that moment this
    worker thinks that less is left than there is, or a little more.
    """

    def __init__(self, scoreboard: Scoreboard, worker_index: int) -> None:
        rows = scoreboard.worker_rows()
        self.worker_index = worker_index
        self.workers_count = len(rows)
        self._row = scoreboard.row(HUB_ROW + 1 + worker_index)
        self._others = [(index, row) for index, row in enumerate(rows) if index != worker_index]

    def others(self) -> Sequence[Usage]:
        return [
            Usage(index, row[PACED_SLOT], row[PACED_COUNT] >> 1, bool(row[PACED_COUNT] & 1))
            for index, row in self._others
        ]

    def tell(self, window_us: int, used_count: int, is_hungry: bool) -> None:
        self._row[PACED_SLOT] = window_us
        self._row[PACED_COUNT] = used_count << 1 | is_hungry
