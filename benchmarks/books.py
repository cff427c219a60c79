"""What became of all items, by gripproxy's metrics page: nothing may be missing in the end."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from benchmarks.errors import BenchmarkError
from benchmarks.metrics_page import read_page

_SAMPLE = re.compile(r"^gripproxy_(\w+)\{(.*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_HUB_ENDS = (
    "items_refused_total",
    "items_duplicate_total",
    "items_unordered_total",
    "items_parked",
    "items_sent_total",
    "items_lost_total",
)
_WORKER_COMINGS = ("bus_items_received_total", "bus_gaps_total", "bus_missed_total")
_WORKER_ENDS = (
    "deliveries_total",
    "deliveries_filtered_total",
    "deliveries_refetched_total",
    "deliveries_handed_over_total",
    "deliveries_dropped_total",
    "deliveries_pending",
)


@dataclass(frozen=True, slots=True)
class Books:
    """The samples of one page: name, labels, value."""

    samples: list[tuple[str, dict[str, str], float]]

    @classmethod
    def read(cls, port: int) -> Self:
        """Read the page.

        Raises:
            BenchmarkError: it cannot be read.
        """
        return cls.decode(read_page(port))

    @classmethod
    def decode(cls, page: str) -> Self:
        """Take gripproxy's own samples out of a page."""
        return cls(
            [(name, dict(_LABEL.findall(labels)), float(value)) for name, labels, value in _SAMPLE.findall(page)]
        )

    def total(self, name: str, **labels: str) -> float:
        """Add up a metric's samples, or those with these labels.

        Raises:
            BenchmarkError: there is none.
        """
        values = [value for found, has, value in self.samples if found == name and labels.items() <= has.items()]
        if not values:
            raise BenchmarkError(f"the metrics page has no gripproxy_{name} with {labels}")
        return sum(values)

    def workers(self) -> list[str]:
        """Name the worker processes."""
        return [labels["process"] for name, labels, _ in self.samples if name == "receptions_total"]

    def faults(self) -> list[str]:
        """Say which sums do not come out. While items are under way, some may not."""
        return list(self._faults())

    def _faults(self) -> Iterator[str]:
        received, ended = self.total("items_received_total"), sum(map(self.total, _HUB_ENDS))
        if received != ended:
            yield f"the hub received {received:,.0f} items, and {ended:,.0f} came to an end"
        sent = self.total("items_sent_total")
        for worker in self.workers():
            came = sum(self.total(name, process=worker) for name in _WORKER_COMINGS)
            if came != sent:
                yield f"{worker} knows of {came:,.0f} items of {sent:,.0f}"
            receptions = self.total("receptions_total", process=worker)
            ended = sum(self.total(name, process=worker) for name in _WORKER_ENDS)
            if receptions != ended:
                yield f"{worker} had {receptions:,.0f} receptions, and {ended:,.0f} came to an end"

    def lag_ms(self, earlier: Self, percent: float) -> float:
        """Give the worst process's loop lag since `earlier`: a bound that `percent` of the probes are within.

        Infinite if they are not within any.
        """
        return max(
            self._lag_ms(earlier, percent, labels["process"])
            for name, labels, _ in self.samples
            if name == "loop_lag_seconds_count"
        )

    def _lag_ms(self, earlier: Self, percent: float, process: str) -> float:
        name = "loop_lag_seconds_bucket"
        bounds = [has["le"] for found, has, _ in self.samples if found == name and has["process"] == process]
        counts = [
            self.total(name, process=process, le=bound) - earlier.total(name, process=process, le=bound)
            for bound in bounds
        ]
        rank = counts[-1] * percent / 100
        return next(float(bound) * 1000 for bound, count in zip(bounds, counts, strict=True) if count >= rank)
