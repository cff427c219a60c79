"""A dimension's table and what is said of its curves: terminal, Markdown, JSON."""

import json
from pathlib import Path

from benchmarks.growth.curve import FIT_TOLERANCE, STEP_TOLERANCE, Curve, Judgement
from benchmarks.report import Report

RULE = (
    "Exponents are of the log-log plot: of a straight line through all steps, and of the last step alone. A curve may "
    f"be steeper than flat, or than linear where cost is a total, by {FIT_TOLERANCE:g} and {STEP_TOLERANCE:g}."
)


class GrowthReport(Report):
    """A report of gripproxy alone, with the judgement of each curve below the table."""

    axis: str
    curves: list[Curve]

    def rows(self) -> list[list[str]]:
        """Lay the figures out without the columns that compare servers."""
        return [[row[0], row[2], *row[4:]] for row in super().rows()]

    def verdict_rows(self) -> list[list[str]]:
        """Give each curve's heading, and what it is."""
        return [[curve.kind.heading, curve.verdict()] for curve in self.curves]

    @property
    def grows(self) -> bool:
        """Whether any curve is steeper than it may be."""
        return any(curve.judgement is Judgement.GROWS for curve in self.curves)

    def terminal_table(self) -> str:
        """Give the table, then a line for each curve."""
        width = max(len(heading) for heading, _ in self.verdict_rows())
        lines = [f"    {heading.ljust(width)}  {verdict}" for heading, verdict in self.verdict_rows()]
        return "\n".join([super().terminal_table(), *lines])

    def markdown(self, machine: dict[str, str]) -> str:
        """Give the page that is kept in `results/`."""
        table, settings, after = super().markdown(machine).partition("\nSettings: ")
        lines = ["", "| curve | found |", "| --- | --- |"]
        lines += [f"| {heading} | {verdict} |" for heading, verdict in self.verdict_rows()]
        return table + "\n".join([*lines, "", RULE, ""]) + settings + after

    def save(self, machine: dict[str, str]) -> list[Path]:
        """Add the curves to the JSON."""
        page, data = super().save(machine)
        content = json.loads(data.read_text())
        content["curves"] = [
            {
                "key": curve.kind.key,
                "judgement": curve.judgement.name.lower(),
                "fit_exponent": curve.fit_exponent,
                "last_exponent": curve.last_exponent,
            }
            for curve in self.curves
        ]
        data.write_text(json.dumps(content, indent=2) + "\n")
        return [page, data]
