"""The page for Prometheus (text format 0.0.4): Pushpin's five metrics, and then gripproxy's own."""

import time
from collections.abc import Iterator, Mapping, Sequence

from gripproxy import __version__
from gripproxy.bus.metrics_table import FAMILIES, HISTOGRAMS, ROUTE_FAMILIES, Derived, Family, Kind, Scope
from gripproxy.bus.process_clock import read_cpu_s
from gripproxy.bus.reference_metrics import reference_lines
from gripproxy.scoreboard import BOUNDS_S, HUB_ROW, ROW_CELLS, Field, Histogram, ProcessState, read_histogram

CONTENT_TYPE = b"text/plain"  # as Pushpin; Prometheus takes it for format 0.0.4

Row = memoryview | Sequence[int]

_FIRST_HISTOGRAM = ROW_CELLS + len(Derived)  # column of the first cumulative bucket of the first histogram
_LE = (*(str(bound) for bound in BOUNDS_S), "+Inf")
_HISTOGRAM_COLUMNS = len(_LE) + 1  # the last bucket is the count too; and the sum


class MetricsPage:
    """Writes the page of a scoreboard with `workers_count` workers. `prefix` goes before every name.

    `has_reports`: routes' traffic is that of an interval, so that the most connections in it are known.

    Whatever does not change in it is put together once: the hub writes it while items wait.
    """

    def __init__(self, workers_count: int, prefix: str = "", has_reports: bool = True) -> None:
        self._names = ["hub", *(f"worker-{index}" for index in range(workers_count))]
        self.use(prefix, has_reports)

    def use(self, prefix: str, has_reports: bool) -> None:
        """Write the page so from now on."""
        self._prefix = prefix
        self._has_reports = has_reports
        # What comes before a value, which row has it, and in which column.
        self._samples: list[tuple[str, int, int]] = []
        self._own = f"{prefix}gripproxy_"
        info = f"{self._own}build_info"
        self._text = f'{_header(info, Kind.GAUGE, "Always 1")}\n{info}{{version="{__version__}"}} 1'
        for family in FAMILIES:
            self._add(family, self._plain(family))
        for family in HISTOGRAMS:
            self._add(family, self._buckets(family))

    def encode(self, rows: Sequence[Row], routes: Mapping[str, Sequence[int]]) -> bytes:
        """Render the rows, the hub's first, and the traffic by route id."""
        now_s = time.monotonic()
        plain_rows = [list(row) for row in rows]
        cells = [_with_derived(row, now_s) for row in plain_rows]
        lines = reference_lines(plain_rows, routes, self._prefix, self._has_reports)
        lines.append(self._text)
        lines += [f"{head}{cells[index][column]}" for head, index, column in self._samples]
        lines += self._route_lines(routes)
        return "\n".join(lines).encode(errors="replace") + b"\n"

    def _add(self, family: Family, samples: Iterator[tuple[str, int, int]]) -> None:
        """Put the header before the first sample."""
        header = _header(self._own + family.name, family.kind, family.help) + "\n"
        for head, index, column in samples:
            self._samples.append((header + head, index, column))
            header = ""

    def _rows_of(self, family: Family) -> Iterator[tuple[int, str]]:
        for index, name in enumerate(self._names):
            if family.scope == Scope.ALL or (family.scope == Scope.HUB) == (index == HUB_ROW):
                yield index, f'process="{name}"'

    def _plain(self, family: Family) -> Iterator[tuple[str, int, int]]:
        for index, process in self._rows_of(family):
            for labels, column in family.samples:
                yield f"{self._own}{family.name}{{{_joined(process, labels)}}} ", index, int(column)

    def _buckets(self, family: Family) -> Iterator[tuple[str, int, int]]:
        metric = self._own + family.name
        start = _FIRST_HISTOGRAM + family.samples[0][1] * _HISTOGRAM_COLUMNS
        for index, process in self._rows_of(family):
            for number, bound in enumerate(_LE):
                yield f'{metric}_bucket{{{process},le="{bound}"}} ', index, start + number
            yield f"{metric}_sum{{{process}}} ", index, start + len(_LE)
            yield f"{metric}_count{{{process}}} ", index, start + len(_LE) - 1

    def _route_lines(self, routes: Mapping[str, Sequence[int]]) -> Iterator[str]:
        for family in ROUTE_FAMILIES if routes else ():
            metric = self._own + family.name
            yield _header(metric, family.kind, family.help)
            for route, traffic in sorted(routes.items()):
                name = f'route="{_escape(route)}"'
                for labels, column, less_column in family.samples:
                    value = traffic[column] - (0 if less_column is None else traffic[less_column])
                    yield f"{metric}{{{_joined(name, labels)}}} {value}"


def _with_derived(row: list[int], now_s: float) -> list[int | float]:
    """Add the columns of `Derived` and of the histograms."""
    held_count = row[Field.HELD_STREAMS] + row[Field.HELD_RESPONSES] + row[Field.HELD_WEBSOCKETS]
    busy_count = row[Field.EXCHANGES] + held_count
    cells: list[int | float] = [
        *row,
        int(row[Field.STATE] == ProcessState.READY),
        max(0, row[Field.CONNECTIONS] - busy_count),
        max(0.0, round(now_s - row[Field.HEARTBEAT_MS] / 1000, 3)),
        read_cpu_s(row[Field.PID]) or 0.0,
    ]
    for histogram in Histogram:
        counts, sum_s = read_histogram(row, histogram)
        total = 0
        for count in counts:
            total += count
            cells.append(total)
        cells.append(sum_s)
    return cells


def _header(metric: str, kind: Kind, text: str) -> str:
    return f"# HELP {metric} {text}.\n# TYPE {metric} {kind}"


def _joined(first: str, second: str) -> str:
    return f"{first},{second}" if second else first


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
