"""What a dimension is: its steps, the values read at each, and the curves that are judged."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.growth.curve import Curve, CurveKind
from benchmarks.growth.steps import Steps
from benchmarks.report import Column, Figure

Rows = list[tuple[str, float, dict[str, float]]]  # the step as text, as a number, and its values


@dataclass(frozen=True, slots=True)
class Dimension:
    """One dimension. `measure` appends a row to what it is given as soon as the row is complete.

    `axis`: what x is.
    """

    name: str
    title: str
    axis: str
    columns: tuple[Column, ...]
    curves: tuple[CurveKind, ...]
    measure: Callable[[Steps, Rows], None]


def curves_of(dimension: Dimension, rows: Rows) -> list[Curve]:
    """Take the dimension's curves out of its rows; a row without a value gives the curve no point."""
    return [
        Curve(kind, [(x, values[kind.key]) for _, x, values in rows if kind.key in values]) for kind in dimension.curves
    ]


def figures_of(rows: Rows, failure: str | None) -> list[Figure]:
    """Lay rows out as figures; what ended the measurement early comes last."""
    figures = [Figure("gripproxy", case, values) for case, _, values in rows]
    return figures if failure is None else [*figures, Figure("gripproxy", "stopped", failure=failure)]
