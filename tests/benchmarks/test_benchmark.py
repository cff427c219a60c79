"""Which servers a benchmark is run over."""

from dataclasses import dataclass

import pytest

from benchmarks.benchmark import Benchmark
from benchmarks.report import Column, Figure
from benchmarks.sizes import SIZES, Sizes


@dataclass(frozen=True)
class NamesOnly(Benchmark):
    """Measures nothing."""

    def figures(self, servers: list[str], sizes: Sizes) -> list[Figure]:
        return [Figure(name, "") for name in servers]


BENCHMARK = NamesOnly("waves", "Title", (Column("x", "x"),), ("write loop", "gripproxy", "pushpin", "nchan"))


@pytest.mark.parametrize(
    ("against", "has_ours", "expected"),
    [
        ((), True, ["write loop", "gripproxy"]),
        (("nchan", "nginx"), True, ["write loop", "gripproxy", "nchan"]),
        (("pushpin",), False, ["write loop", "pushpin"]),
    ],
)
def test_rivals_are_measured_where_asked_for(against: tuple[str, ...], has_ours: bool, expected: list[str]) -> None:
    """They take minutes; what is no rival belongs beside the figures always."""
    report = BENCHMARK.run(SIZES["tiny"], against, has_ours)
    assert [figure.server for figure in report.figures] == expected


def test_report_lists_the_sizes_of_its_benchmark_only() -> None:
    """A reader looks for the numbers that matter to the table above them."""
    settings = BENCHMARK.run(SIZES["full"], ()).settings
    assert settings["waves"] == "20"
    assert settings["settle_s"] == "2.0"
    assert "low_count" not in settings
