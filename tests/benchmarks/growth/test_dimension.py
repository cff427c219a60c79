"""Rounds over the steps of a dimension."""

from dataclasses import replace

from benchmarks.errors import BenchmarkError
from benchmarks.growth.curve import CurveKind
from benchmarks.growth.dimension import Dimension, least, run_dimension
from benchmarks.growth.steps import STEPS, Steps
from benchmarks.report import Column

TWO_ROUNDS = replace(STEPS["tiny"], rounds=2)


def make_dimension(costs: dict[int, list[float | str]], one_round_above: float = float("inf")) -> Dimension:
    def measure(steps: Steps, value: int) -> dict[str, float]:
        cost = costs[value].pop(0)
        if isinstance(cost, str):
            raise BenchmarkError(cost)
        return {"cost": cost}

    columns, curves = (Column("cost", "Cost"),), (CurveKind("cost", "Cost"),)
    return Dimension("some", "Some", "values", columns, curves, lambda steps: tuple(costs), measure, one_round_above)


def test_least_of_all_rounds_counts() -> None:
    """Whatever else the machine does adds to a reading and never takes away."""
    report = run_dimension(make_dimension({1: [9.0, 5.0], 10: [6.0, 8.0]}), TWO_ROUNDS, {})
    assert [figure.values for figure in report.figures] == [{"cost": 5.0}, {"cost": 6.0}]
    assert report.curves[0].points == [(1, 5.0), (10, 6.0)]


def test_what_went_wrong_is_not_hidden_by_a_better_round() -> None:
    """A delivery that was missing once is a fault."""
    before = {"missing": 2.0, "many_missing": 0.0, "lost": 1.0, "cost": 3.0}
    now = {"missing": 0.0, "many_missing": 4.0, "lost": 0.0, "cost": 2.0}
    assert least(before, now) == {"missing": 2.0, "many_missing": 4.0, "lost": 1.0, "cost": 2.0}


def test_step_that_fails_is_told_and_the_others_are_measured() -> None:
    """The largest step is the one that fails; hours of the others must not go with it."""
    costs: dict[int, list[float | str]] = {1: [5.0, 4.0], 10: ["no memory left"], 100: [7.0, 7.0]}
    report = run_dimension(make_dimension(costs), TWO_ROUNDS, {})
    assert [figure.failure for figure in report.figures] == [None, "no memory left", None]
    assert report.curves[0].points == [(1, 4.0), (100, 7.0)]


def test_large_steps_are_measured_once() -> None:
    """A million connections take minutes."""
    costs: dict[int, list[float | str]] = {1: [5.0, 4.0], 100: [7.0, 6.0]}
    report = run_dimension(make_dimension(costs, one_round_above=10), TWO_ROUNDS, {})
    assert report.curves[0].points == [(1, 4.0), (100, 7.0)]
