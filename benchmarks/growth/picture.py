"""One picture of all dimensions: each curve in relation to its first point, so that flat and linear are lines."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no display is needed, and none is looked for

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.growth.curve import FIT_TOLERANCE, LINEAR, STEP_TOLERANCE, Curve, Judgement
from benchmarks.growth.growth_report import GrowthReport
from benchmarks.report import RESULTS

PANEL_INCHES = (7.0, 4.8)
COLUMNS = 2
DPI = 110
GRID, TEXT, QUIET, FAILED = "#e4e8ec", "#24292f", "#8c959f", "#cf222e"
COLOURS = ("#0b6e99", "#e07a1f", "#7c3aed", "#2da44e", "#8c6d31", "#57606a", "#d63384", "#0aa2c0")
LIMITS = (0.1, 10.0)  # of every panel at least: what is nearly flat should look so
KEY = (
    "Every curve is divided by its first step; its legend has the\n"
    "first and the last value.\n\n"
    "Whole lines must be flat: cost of one connection, channel,\n"
    "delivery. They may fall, where a fixed cost is shared by more.\n\n"
    "Dashed lines are totals and may be linear, which is the\n"
    "dotted line.\n\n"
    f"Red: steeper than that by {FIT_TOLERANCE:g} (exponent of all steps) or\n"
    f"{STEP_TOLERANCE:g} (of the last step)."
)


def draw(reports: list[GrowthReport], path: Path = RESULTS / "growth.png") -> Path:
    """Draw a panel for each report and one that says how to read them, and give the path."""
    rows = -(-(len(reports) + 1) // COLUMNS)
    size = (PANEL_INCHES[0] * COLUMNS, PANEL_INCHES[1] * rows)
    style: Any = {"font.family": "DejaVu Sans", "font.size": 10, "text.color": TEXT, "axes.edgecolor": GRID}
    with plt.rc_context(style):
        figure, grid = plt.subplots(rows, COLUMNS, figsize=size, dpi=DPI, squeeze=False, facecolor="white")
        panels = list(grid.flat)
        for axes, report in zip(panels, reports, strict=False):
            _draw_panel(axes, report)
        for axes in panels[len(reports) :]:
            axes.set_axis_off()
        panels[len(reports)].text(0.04, 0.94, KEY, va="top", fontsize=11, linespacing=1.5)
        figure.tight_layout(pad=1.5)
        path.parent.mkdir(exist_ok=True)
        figure.savefig(path)
        plt.close(figure)
    return path


def _draw_panel(axes: Axes, report: GrowthReport) -> None:
    axes.set_title(report.title.partition(",")[0].partition(":")[0], loc="left", fontsize=12, fontweight="bold")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    axes.set_xlabel(report.axis)
    axes.set_ylabel("cost, first step = 1")
    drawn = [curve for curve in report.curves if len(relative(curve)) > 1]
    for number, curve in enumerate(drawn):
        has_grown = curve.judgement is Judgement.GROWS
        axes.plot(
            *zip(*relative(curve), strict=True),
            marker="o",
            markersize=4,
            linewidth=2,
            linestyle="-" if curve.kind.expected != LINEAR else (0, (5, 2)),
            color=FAILED if has_grown else COLOURS[number % len(COLOURS)],
            label=label_of(curve),
        )
    highest = max([y for curve in drawn for _, y in relative(curve)], default=1.0)
    lowest = min([y for curve in drawn for _, y in relative(curve)], default=1.0)
    axes.set_ylim(min(LIMITS[0], lowest / 2), max(LIMITS[1], highest * 2))
    axes.axhline(1, color=QUIET, linewidth=0.8)
    if drawn:
        axes.legend(frameon=True, edgecolor=GRID, framealpha=0.85, fontsize=8.5, loc="best")
        linear = [curve for curve in drawn if curve.kind.expected == LINEAR]
        if linear:
            xs = [x for x, _ in linear[0].points]
            axes.plot(xs, [x / xs[0] for x in xs], color=QUIET, linewidth=1.2, linestyle=":", zorder=0)


def label_of(curve: Curve) -> str:
    """Say what the curve is, from where to where it goes, and what it was found to be."""
    (_, first), (_, last) = curve.points[0], curve.points[-1]
    found = "GROWS" if curve.judgement is Judgement.GROWS else curve.judgement.name.lower()
    return f"{curve.kind.heading}: {_short(first)} to {_short(last)}, {found}"


def relative(curve: Curve) -> list[tuple[float, float]]:
    """Divide the curve by its first point that has a value; values below the floor count as the floor."""
    points = [(x, max(y, curve.kind.floor)) for x, y in curve.points]
    first = next((y for _, y in points if y > 0), None)
    return [] if first is None else [(x, y / first) for x, y in points if y > 0]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
