"""One picture of all dimensions: each curve in relation to its first point, so that flat and linear are lines."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no display is needed, and none is looked for

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.growth.curve import LINEAR, Curve, Judgement
from benchmarks.growth.growth_report import GrowthReport
from benchmarks.report import RESULTS

PANEL_INCHES = (6.4, 4.6)
COLUMNS = 2
DPI = 110
GRID, TEXT, FAILED = "#e4e8ec", "#24292f", "#cf222e"
COLOURS = ("#0b6e99", "#e07a1f", "#7c3aed", "#2da44e", "#8c6d31", "#57606a")


def draw(reports: list[GrowthReport], path: Path = RESULTS / "growth.png") -> Path:
    """Draw a panel for each report, and give the path."""
    rows = -(-len(reports) // COLUMNS)
    size = (PANEL_INCHES[0] * COLUMNS, PANEL_INCHES[1] * rows)
    style: Any = {"font.family": "DejaVu Sans", "font.size": 10, "text.color": TEXT, "axes.edgecolor": GRID}
    with plt.rc_context(style):
        figure, grid = plt.subplots(rows, COLUMNS, figsize=size, dpi=DPI, squeeze=False, facecolor="white")
        panels = list(grid.flat)
        for axes, report in zip(panels, reports, strict=False):
            _draw_panel(axes, report)
        for axes in panels[len(reports) :]:
            axes.set_axis_off()
        figure.tight_layout()
        path.parent.mkdir(exist_ok=True)
        figure.savefig(path)
        plt.close(figure)
    return path


def _draw_panel(axes: Axes, report: GrowthReport) -> None:
    axes.set_title(report.title, loc="left", fontsize=10.5, fontweight="bold")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    axes.set_xlabel(report.axis)
    axes.set_ylabel("cost, first step = 1")
    drawn = [curve for curve in report.curves if len(relative(curve)) > 1]
    for curve, colour in zip(drawn, COLOURS, strict=False):
        points = relative(curve)
        has_grown = curve.judgement is Judgement.GROWS
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            marker="o",
            markersize=4,
            linewidth=2,
            linestyle="-" if curve.kind.expected != LINEAR else (0, (5, 2)),
            color=FAILED if has_grown else colour,
            label=f"{curve.kind.heading}: {'GROWS' if has_grown else curve.judgement.name.lower()}",
        )
    bottom, top = axes.get_ylim()
    axes.set_ylim(min(bottom, 0.1), max(top, 10.0))
    axes.axhline(1, color=TEXT, linewidth=0.8)
    if drawn:
        axes.legend(frameon=False, fontsize=8.5)


def relative(curve: Curve) -> list[tuple[float, float]]:
    """Divide the curve by its first point that has a value; values below the floor count as the floor."""
    points = [(x, max(y, curve.kind.floor)) for x, y in curve.points]
    first = next((y for _, y in points if y > 0), None)
    return [] if first is None else [(x, y / first) for x, y in points if y > 0]
