"""Workers see each other's share of the rate, and no process but a row's own writes to it."""

import os

from gripproxy.engine.rate_budget import RateBudget, Usage
from gripproxy.scoreboard import Field, Scoreboard
from gripproxy_worker.rate_rows import RateRows


def test_others_see_what_a_worker_told() -> None:
    scoreboard = Scoreboard(3)
    one, two, three = (RateRows(scoreboard, index) for index in range(3))
    two.tell(5_000_000_123_456, 63, True)
    three.tell(7, 2**40, False)
    assert one.others() == [Usage(1, 5_000_000_123_456, 63, True), Usage(2, 7, 2**40, False)]
    assert two.others()[0] == Usage(0, 0, 0, False)
    assert (two.worker_index, two.workers_count) == (1, 3)
    assert scoreboard.row(0).tolist() == [0] * len(scoreboard.row(0))


def test_window_is_shared_with_another_process() -> None:
    """What a forked worker has used is not left for this one."""
    scoreboard = Scoreboard(2)
    budget = RateBudget(2500, RateRows(scoreboard, 0))
    pid = os.fork()
    if not pid:
        try:
            other = RateBudget(2500, RateRows(scoreboard, 1))
            other.left(100.0)
            other.use(other.left(100.006), is_hungry=False)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    assert scoreboard.row(2)[Field.PACED_COUNT] >> 1 == 63
    assert budget.left(100.007) == 0
    assert budget.left(100.025) > 0
