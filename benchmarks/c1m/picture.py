"""The picture of a run: connections, memory and the latency of a plain request over time.

``python -m benchmarks.c1m.picture benchmarks/results/c1m-1000000.json`` draws it again beside the file.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no display is needed, and none is looked for

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchmarks.c1m.timeline import Phase, Timeline, decode_timeline

SIZE_INCHES = (12.0, 8.0)
DPI = 120
TEXT, FAINT, GRID, BAND = "#24292f", "#57606a", "#dfe4e9", "#f2f5f8"
LEFT = 0.07  # of the figure
CONNECTIONS, KERNEL, USER, LATENCY, GOAL = "#0b6e99", "#c9ced6", "#e07a1f", "#7c3aed", "#cf222e"
LATENCY_GOAL_MS = 35
CHARACTER_SHARE = 0.0078  # of the run's length that a character of a name takes
# What phases are called in the picture; neighbours of the same name are one there.
NAMES = {
    "base": "start",
    "settle": "keep-alives only",
    "idle": "keep-alives only",
    "bare writes": "keep-alives only",
    "plain": "publish",
    "one channel": "publish",
    "rooms": "publish",
}


def draw(data: dict[str, Any], path: Path) -> None:
    """Draw what a run's JSON file holds.

    Args:
        data: the decoded file.
        path: of the PNG.
    """
    timeline = decode_timeline(data["timeline"])
    style: Any = {"font.family": "DejaVu Sans", "font.size": 12, "text.color": TEXT, "axes.labelcolor": TEXT}
    style |= {"xtick.color": TEXT, "ytick.color": TEXT, "axes.edgecolor": GRID, "axes.linewidth": 1.0}
    with plt.rc_context(style):
        figure, axes = plt.subplots(
            3, 1, sharex=True, figsize=SIZE_INCHES, dpi=DPI, height_ratios=(1.0, 1.0, 1.15), facecolor="white"
        )
        _draw_connections(axes[0], timeline)
        _draw_memory(axes[1], timeline)
        _draw_latency(axes[2], timeline)
        end_s = max([sample.at_s for sample in timeline.samples] + [phase.end_s for phase in timeline.phases] + [1.0])
        _mark_phases(axes, timeline, end_s)
        axes[2].set_xlim(0, end_s)
        axes[2].set_xlabel("seconds")
        headline, details = headlines(data)
        figure.text(LEFT, 0.955, headline, fontsize=20, fontweight="bold")
        figure.text(LEFT, 0.92, details, fontsize=12.5, color=FAINT)
        figure.subplots_adjust(left=LEFT, right=0.985, top=0.83, bottom=0.065, hspace=0.24)
        figure.savefig(path)
        plt.close(figure)


def headlines(data: dict[str, Any]) -> tuple[str, str]:
    """Give the title with the numbers that count, and the line below it."""
    figures, machine = data["figures"], data["machine"]
    held = figures.get("connections", 0)
    kind = "WebSockets" if data["settings"].get("is_websocket") else "HTTP streams"
    title = f"{held:,.0f} {kind} held by gripproxy"
    if data["stopped"]:
        title += f" (of {data['settings']['connections']:,.0f}, stopped early)"
    cores = machine.get("processor", "").rpartition(", ")[2].removesuffix(" CPUs")
    parts = [f"{cores} cores, {machine.get('memory', '?')}, clients and origin included"]
    if "user_all_bytes_per_connection" in figures:
        parts.append(f"{figures['user_all_bytes_per_connection']:,.0f} bytes of memory each")
    if "plain_new_p99_ms" in figures:
        parts.append(f"plain request p99 {figures['plain_new_p99_ms']:.0f} ms")
    parts.append(f"{figures.get('failures', 0):,.0f} failed, {figures.get('lost', 0):,.0f} lost")
    return title, "  ·  ".join(parts)


def _draw_connections(axes: Axes, timeline: Timeline) -> None:
    at_s = [sample.at_s for sample in timeline.samples]
    held = [sample.connections for sample in timeline.samples]
    axes.fill_between(at_s, held, color=CONNECTIONS, alpha=0.15, linewidth=0)
    axes.plot(at_s, held, color=CONNECTIONS, linewidth=2.2)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.set_ylim(0, max([*held, 1]) * 1.08)
    _label(axes, "connections held")


def _draw_memory(axes: Axes, timeline: Timeline) -> None:
    at_s = [sample.at_s for sample in timeline.samples]
    user = [sample.user_bytes / (1 << 30) for sample in timeline.samples]
    whole = [sample.kernel_bytes / (1 << 30) + own for sample, own in zip(timeline.samples, user, strict=True)]
    axes.fill_between(at_s, user, whole, color=KERNEL, linewidth=0, label="kernel, both ends of each connection")
    axes.fill_between(at_s, user, color=USER, linewidth=0, label="gripproxy, all processes")
    axes.set_ylim(0, max([*whole, 0.01]) * 1.08)
    axes.legend(loc="lower right", bbox_to_anchor=(1.005, 0.985), ncols=2, frameon=False, fontsize=11, reverse=True)
    _label(axes, "memory, GiB")


def _draw_latency(axes: Axes, timeline: Timeline) -> None:
    answered = [(at_s, taken_s * 1000) for at_s, taken_s in timeline.plain_requests if taken_s is not None]
    failed = [at_s for at_s, taken_s in timeline.plain_requests if taken_s is None]
    axes.set_yscale("log")
    at_s, taken_ms = [at for at, _ in answered], [taken for _, taken in answered]
    axes.scatter(at_s, taken_ms, s=5, color=LATENCY, alpha=0.45, linewidths=0)
    highest = max([*taken_ms, LATENCY_GOAL_MS * 2.0])
    if failed:
        axes.scatter(failed, [highest] * len(failed), marker="x", color=GOAL, s=30)
    axes.axhline(LATENCY_GOAL_MS, color=GOAL, linewidth=1.2, linestyle=(0, (6, 4)))
    axes.annotate(
        f"{LATENCY_GOAL_MS} ms",
        (1.0, LATENCY_GOAL_MS),
        xycoords=("axes fraction", "data"),
        xytext=(-6, 4),
        textcoords="offset points",
        ha="right",
        color=GOAL,
        fontsize=11,
    )
    axes.set_ylim(min([*taken_ms, 1.0]) * 0.7, highest * 1.6)
    axes.yaxis.set_major_locator(LogLocator(10))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    _label(axes, "plain request through the proxy, ms")


def _label(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=12.5, fontweight="bold", pad=7)
    axes.grid(axis="y", color=GRID, linewidth=1.0)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def shown_phases(phases: list[Phase]) -> list[Phase]:
    """Join neighbours that have the same name in the picture."""
    shown: list[Phase] = []
    for phase in phases:
        name = NAMES.get(phase.name, phase.name)
        if shown and shown[-1].name == name:
            shown[-1] = Phase(name, shown[-1].start_s, phase.end_s)
        else:
            shown.append(Phase(name, phase.start_s, phase.end_s))
    return shown


def _mark_phases(axes: Any, timeline: Timeline, end_s: float) -> None:
    free_from_s = 0.0  # names must not run into each other
    for number, phase in enumerate(shown_phases(timeline.phases)):
        for one in axes:
            if number % 2:
                one.axvspan(phase.start_s, phase.end_s, color=BAND, linewidth=0, zorder=-1)
        half_s = len(phase.name) * CHARACTER_SHARE * end_s / 2
        middle_s = min(max((phase.start_s + phase.end_s) / 2, half_s), end_s - half_s)
        if middle_s - half_s < free_from_s:
            continue
        free_from_s = middle_s + half_s
        axes[0].annotate(
            phase.name,
            (middle_s, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 25),
            textcoords="offset points",
            ha="center",
            fontsize=11,
            color=FAINT,
        )


def _short(value: float) -> str:
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        draw(json.loads(Path(name).read_text()), Path(name).with_suffix(".png"))
