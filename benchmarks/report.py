"""A benchmark's figures as a table on the terminal, as Markdown and as JSON."""

import json
from dataclasses import dataclass, field
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"
OURS = "gripproxy"


@dataclass(frozen=True, slots=True)
class Column:
    """One value of a figure: its key, the heading with the unit, and how many digits follow the point."""

    key: str
    heading: str
    digits: int = 0


@dataclass(slots=True)
class Figure:
    """What one server did in one case. `failure` says why there are no values."""

    server: str
    case: str
    values: dict[str, float] = field(default_factory=dict)
    failure: str | None = None


@dataclass(slots=True)
class Report:
    """All figures of one benchmark. The first column is the one that servers are compared by; less is better."""

    name: str
    title: str
    columns: tuple[Column, ...]
    settings: dict[str, str]
    figures: list[Figure] = field(default_factory=list)

    def ratio(self, figure: Figure) -> float | None:
        """Divide the figure's first column by gripproxy's in the same case; None when either is missing."""
        key = self.columns[0].key
        ours = [other for other in self.figures if other.server == OURS and other.case == figure.case]
        value = figure.values.get(key)
        if value is None or not ours or not ours[0].values.get(key):
            return None
        return value / ours[0].values[key]

    def rows(self) -> list[list[str]]:
        """Lay the figures out as text, the heading first."""
        first, *others = self.columns
        rows = [["case", "server", first.heading, "x gripproxy", *(column.heading for column in others)]]
        for figure in self.figures:
            ratio = self.ratio(figure)
            cells = [figure.case, figure.server, _cell(figure, first), "-" if ratio is None else f"{ratio:.2f}"]
            cells += [_cell(figure, column) for column in others]
            rows.append(cells)
        return rows

    def terminal_table(self) -> str:
        """Give the table with columns aligned by spaces, and why a server has no values below it."""
        rows = self.rows()
        widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
        lines = [self.title]
        for row in rows:
            cells = [
                cell.ljust(width) if index < 2 else cell.rjust(width)
                for index, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  " + "  ".join(cells).rstrip())
        return "\n".join(lines + [f"  {line}" for line in self._failures()])

    def markdown(self, machine: dict[str, str]) -> str:
        """Give the page that is kept in `results/`."""
        heading, *rows = self.rows()
        lines = [f"# {self.title}", "", _markdown_row(heading)]
        lines.append(_markdown_row(["---", "---"] + ["---:"] * (len(heading) - 2)))
        lines += [_markdown_row(row) for row in rows]
        lines += ["", *self._failures()] if self._failures() else []
        lines += ["", f"Settings: {_listing(self.settings)}.", "", f"Machine: {_listing(machine)}."]
        return "\n".join(lines) + "\n"

    def save(self, machine: dict[str, str]) -> list[Path]:
        """Write ``results/NAME.md`` and ``results/NAME.json`` over those of the last run (git has them)."""
        RESULTS.mkdir(exist_ok=True)
        stem = self.name.replace("_", "-")
        page, data = RESULTS / f"{stem}.md", RESULTS / f"{stem}.json"
        page.write_text(self.markdown(machine))
        figures = [
            {
                "case": figure.case,
                "server": figure.server,
                "x_gripproxy": self.ratio(figure),
                "failure": figure.failure,
                **figure.values,
            }
            for figure in self.figures
        ]
        content = {"benchmark": self.name, "machine": machine, "settings": self.settings, "figures": figures}
        data.write_text(json.dumps(content, indent=2) + "\n")
        return [page, data]

    def _failures(self) -> list[str]:
        return [f"{figure.server}, {figure.case}: {figure.failure}" for figure in self.figures if figure.failure]


def _cell(figure: Figure, column: Column) -> str:
    value = figure.values.get(column.key)
    return "-" if value is None else f"{value:,.{column.digits}f}"


def _markdown_row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _listing(facts: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())
