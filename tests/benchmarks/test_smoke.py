"""Every benchmark runs through at its smallest size."""

import pytest

from benchmarks.__main__ import BENCHMARKS, parse_arguments
from benchmarks.servers.nginx import NCHAN_MODULE
from benchmarks.sizes import SIZES
from tests.installed import require

PEERS = ("pushpin", "nchan", "nginx")
RUNS_MAX_COUNT = 3  # Pushpin now and then loses all its clients in a flood, which a benchmark reports as it is


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmark_gives_a_value_for_each_column(name: str) -> None:
    """A benchmark that broke would only be noticed when its figures are needed."""
    require("nginx", "pushpin", "zurl", "wrk", NCHAN_MODULE)
    benchmark = BENCHMARKS[name]
    for _ in range(RUNS_MAX_COUNT):
        report = benchmark.run(SIZES["tiny"], PEERS)
        failed = {figure.server for figure in report.figures if figure.failure}
        if not failed or not failed <= set(PEERS):
            break
    assert [figure.failure for figure in report.figures if figure.failure] == []
    assert {"gripproxy", *PEERS} & set(benchmark.servers) == {figure.server for figure in report.figures} - {
        "write loop"
    }
    keys = {column.key for column in benchmark.columns}
    optional = {"dropped", "hub_us", "worker_us"}  # only gripproxy has them
    assert all(keys - optional <= set(figure.values) <= keys for figure in report.figures)
    assert all(set(figure.values) == keys for figure in report.figures if figure.server == "gripproxy")
    assert all(figure.values.get("missing", 0) == 0 for figure in report.figures if figure.server == "gripproxy")


def test_wrong_names_end_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt rival must not be left out silently."""
    with pytest.raises(SystemExit):
        parse_arguments(["fan_out", "--against", "nchan,ngnix"])
    assert "ngnix: not one of pushpin, nchan, nginx" in capsys.readouterr().err
