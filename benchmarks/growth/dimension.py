"""What a dimension is, and how its steps are measured: round by round, and what each value is at its least."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.errors import BenchmarkError
from benchmarks.growth.curve import Curve, CurveKind
from benchmarks.growth.growth_report import GrowthReport
from benchmarks.growth.steps import Steps
from benchmarks.report import OURS, Column, Figure

WORST_COUNTS = ("missing", "lost")  # values that count what went wrong: no round hides another's


@dataclass(frozen=True, slots=True)
class Dimension:
    """One dimension. `measure` starts a server, reads the values of one step and stops it.

    Args:
        values: the steps' values, ascending.
        axis: what they are.
        one_round_above: steps with larger values are measured once, however many rounds there are.
    """

    name: str
    title: str
    axis: str
    columns: tuple[Column, ...]
    curves: tuple[CurveKind, ...]
    values: Callable[[Steps], tuple[int, ...]]
    measure: Callable[[Steps, int], dict[str, float]]
    one_round_above: float = math.inf


def run_dimension(dimension: Dimension, steps: Steps, settings: dict[str, str]) -> GrowthReport:
    """Measure all steps; a step that fails gets its reason, and the others are still measured."""
    report = GrowthReport(f"growth_{dimension.name}", dimension.title, dimension.columns, settings)
    found = {value: Figure(OURS, f"{value:,}") for value in dimension.values(steps)}
    for number in range(steps.rounds):
        for value, figure in found.items():
            if figure.failure is not None or (number and value > dimension.one_round_above):
                continue
            try:
                figure.values = least(figure.values, dimension.measure(steps, value))
            except BenchmarkError as error:
                figure.failure = str(error)
    report.figures = list(found.values())
    report.axis = dimension.axis
    report.curves = [curve_of(kind, found) for kind in dimension.curves]
    return report


def curve_of(kind: CurveKind, found: dict[int, Figure]) -> Curve:
    """Take one curve out of the steps' values; a step without the value gives it no point."""
    return Curve(
        kind, [(value, figure.values[kind.key]) for value, figure in found.items() if kind.key in figure.values]
    )


def least(before: dict[str, float], now: dict[str, float]) -> dict[str, float]:
    """Give the less of each value, and the more of those that count what went wrong."""
    merged = before | now
    for key in before.keys() & now.keys():
        choose = max if key.rpartition("_")[2] in WORST_COUNTS else min
        merged[key] = choose(before[key], now[key])
    return merged
