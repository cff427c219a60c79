"""How many deliveries may go, over all workers: the rate is kept, used up by whoever needs it, and shared fairly."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.engine.rate_budget import SETTLE_US, US_PER_S, Alone, RateBudget, Usage

SETTLE_S = SETTLE_US / US_PER_S
WINDOW_S = 0.025


class SharedBoard:
    """What all workers told, in one list."""

    def __init__(self, worker_index: int, told: list[Usage]) -> None:
        self.worker_index = worker_index
        self.workers_count = len(told)
        self.told = told
        self.is_blind = False

    def others(self) -> Sequence[Usage]:
        return [] if self.is_blind else [usage for usage in self.told if usage.worker_index != self.worker_index]

    def tell(self, window_us: int, used_count: int, is_hungry: bool) -> None:
        self.told[self.worker_index] = Usage(self.worker_index, window_us, used_count, is_hungry)


def budgets(rate: int, workers_count: int) -> list[RateBudget]:
    told = [Usage(index, 0, 0, False) for index in range(workers_count)]
    return [RateBudget(rate, SharedBoard(index, told)) for index in range(workers_count)]


def take(budget: RateBudget, now: float, wanted_count: int) -> int:
    """Use as much as is wanted and left."""
    count = min(budget.left(now), wanted_count)
    budget.use(count, wanted_count > count)
    return count


@pytest.mark.parametrize(
    ("rate", "batch_count", "window_s"),
    [(2500, 63, 0.025), (1_000_000, 25_000, 0.025), (50, 2, 0.025), (40, 1, 0.025), (39, 1, 0.025), (30, 1, 0.033)]
    + [(7, 1, 0.142), (1, 1, 1.0)],
)
def test_batches_are_those_of_the_reference(rate: int, batch_count: int, window_s: float) -> None:
    budget = RateBudget(rate, Alone())
    assert take(budget, 100.0, 10**9) == batch_count
    assert budget.left(100.0 + window_s * 0.99) == 0
    assert budget.wait_s(100.0) == pytest.approx(window_s)
    assert take(budget, 100.0 + window_s, 10**9) == batch_count


def test_first_batch_after_a_pause_goes_at_once() -> None:
    """And the next one a whole window later: the windows begin with it."""
    budget = RateBudget(1, Alone())
    assert take(budget, 0.9, 5) == 1
    assert budget.left(1.8) == 0
    assert take(budget, 1.9, 5) == 1
    assert take(budget, 50.3, 5) == 1
    assert budget.left(51.2) == 0


def test_what_is_not_used_in_a_window_can_be_used_later_in_it() -> None:
    budget = RateBudget(2500, Alone())
    assert take(budget, 10.0, 60) == 60
    assert take(budget, 10.01, 60) == 3


def test_what_is_not_used_in_a_window_is_not_kept() -> None:
    budget = RateBudget(2500, Alone())
    take(budget, 10.0, 1)
    assert take(budget, 10.03, 1000) == 63


def test_a_late_timer_does_not_move_the_windows() -> None:
    budget = RateBudget(40, Alone())
    assert [take(budget, now, 9) for now in (10.0, 10.035, 10.051, 10.074, 10.0751)] == [1, 1, 1, 0, 1]


def test_workers_share_a_window() -> None:
    """An item's receivers sit on both, and each finds that out within the same microseconds."""
    one, two = budgets(2500, 2)
    first = take(one, 10.0, 1000) + take(two, 10.000002, 1000)
    assert first == 63
    assert take(one, 10.0 + SETTLE_S, 1000) + take(two, 10.0 + SETTLE_S, 1000) == 0
    now = 10.0 + WINDOW_S
    assert take(one, now, 1000) + take(two, now + 0.001, 1000) == 63


def test_worker_that_is_alone_with_its_crowd_gets_the_whole_rate() -> None:
    one, _, _ = budgets(2500, 3)
    total = 0
    for window in range(40):
        begin = 10.0 + WINDOW_S * window
        total += take(one, begin, 10**6) + take(one, begin + SETTLE_S, 10**6)
    assert total == 63 * 40


def test_what_one_worker_leaves_the_others_share() -> None:
    one, two, three = budgets(2520, 3)
    assert take(one, 10.0, 1) == 1
    assert take(two, 10.0, 1000) == 21
    assert take(three, 10.0, 1000) == 21
    now = 10.0 + SETTLE_S
    assert take(two, now, 1000) == 10
    assert take(three, now, 1000) == 10


def test_turns_change_when_a_window_has_one_place() -> None:
    """At low rates a window is for one worker: each gets every other one."""
    one, two = budgets(10, 2)
    counts = [0, 0]
    for window in range(100):
        for late in (0.0, SETTLE_S):
            now = 10.0 + window * 0.1 + late
            counts[0] += take(one, now, 10)
            counts[1] += take(two, now, 10)
    assert counts == [50, 50]


def test_worker_that_died_in_its_window_is_not_waited_for() -> None:
    one, two = budgets(2520, 2)
    take(one, 10.0, 1000)
    assert take(two, 10.0 + WINDOW_S * 2, 1000) == 31
    assert take(two, 10.0 + WINDOW_S * 2 + SETTLE_S, 1000) == 32


def test_worker_that_comes_late_to_a_window_takes_no_share_that_others_used() -> None:
    one, two = budgets(2520, 2)
    assert take(one, 10.0, 1000) + take(one, 10.0 + SETTLE_S, 1000) == 63
    assert take(two, 10.01, 1000) == 0
    assert two.wait_s(10.01) == pytest.approx(WINDOW_S - 0.01)


def test_what_was_shared_out_and_then_used_by_another_worker_is_gone() -> None:
    """One worker had all the rest to itself, and did not use it at once."""
    one, two = budgets(81, 2)
    take(one, 10.0, 1)
    late = 10.0 + WINDOW_S + SETTLE_S + 0.001
    assert take(one, late, 1) == 1
    assert take(two, late, 5) + take(one, late, 5) == 2


def test_windows_of_two_workers_become_one() -> None:
    """Both began within microseconds, and saw nothing of each other: neither may go again in the other one's window."""
    told = [Usage(index, 0, 0, False) for index in range(2)]
    boards = [SharedBoard(index, told) for index in range(2)]
    one, two = (RateBudget(2500, board) for board in boards)
    for board in boards:
        board.is_blind = True
    one.left(10.0)
    two.left(10.000_2)
    for board in boards:
        board.is_blind = False
    for window in range(3):
        begin = 10.0 + window * WINDOW_S + 0.000_01
        took = [take(one, begin, 1000), take(two, begin + 0.000_1, 1000), take(two, begin + 0.000_3, 1000)]
        assert sum(took) == 63
    assert told[0].window_us == told[1].window_us


def test_wait_is_until_others_have_taken_their_share() -> None:
    one, _ = budgets(2500, 2)
    take(one, 10.0, 1000)
    assert one.wait_s(10.0) == pytest.approx(SETTLE_S)
    one.left(10.0 + SETTLE_S)
    assert one.wait_s(10.0 + SETTLE_S) == pytest.approx(WINDOW_S - SETTLE_S)


@given(
    rate=st.integers(1, 5000),
    workers_count=st.integers(1, 5),
    calls=st.lists(st.tuples(st.integers(0, 4), st.floats(0.0, 0.03), st.integers(1, 200)), min_size=1, max_size=200),
)
def test_rate_is_never_exceeded_by_more_than_a_batch(
    rate: int, workers_count: int, calls: list[tuple[int, float, int]]
) -> None:
    """Whoever asks when: from one window's beginning to another's no more goes than the windows in between allow."""
    all_budgets = budgets(rate, workers_count)
    window_s = WINDOW_S if rate >= 40 else (1000 // rate) / 1000
    now, went = 10.0, list[tuple[float, int]]()
    for index, pause_s, wanted_count in calls:
        now += pause_s
        went.append((now, take(all_budgets[index % workers_count], now, wanted_count)))
    batch_count = all_budgets[0].window_count
    for first, (begin, _) in enumerate(went):
        total = 0
        for at, count in went[first:]:
            total += count
            windows_count = math.floor((at - begin) / window_s) + 2
            assert total <= windows_count * batch_count


@given(rate=st.integers(40, 5000), workers_count=st.integers(1, 5), hungry=st.sets(st.integers(0, 4), min_size=1))
def test_whole_rate_is_used_while_anybody_wants_it(rate: int, workers_count: int, hungry: set[int]) -> None:
    """Each comes when it was told to: in every window as many go as may."""
    all_budgets = budgets(rate, workers_count)
    wanting = [all_budgets[index] for index in sorted(hungry) if index < workers_count] or all_budgets
    for window in range(10):
        begin = 10.0 + WINDOW_S * window
        total = 0
        for now in (begin, begin + SETTLE_S + 0.001):
            total += sum(take(budget, now, 10**6) for budget in wanting)
        assert total == all_budgets[0].window_count
