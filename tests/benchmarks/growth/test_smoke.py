"""Every dimension runs through at its smallest size."""

from pathlib import Path

import pytest

from benchmarks import report as report_module
from benchmarks.growth.__main__ import DIMENSIONS, parse_arguments
from benchmarks.growth.dimension import run_dimension
from benchmarks.growth.steps import STEPS
from tests.installed import require


@pytest.mark.parametrize("name", DIMENSIONS)
def test_dimension_gives_a_value_for_each_column(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks at a dimension between two releases."""
    require("nginx")
    dimension = DIMENSIONS[name]
    report = run_dimension(dimension, STEPS["tiny"], {})
    assert [figure.failure for figure in report.figures if figure.failure] == []
    keys = {column.key for column in dimension.columns} | {kind.key for kind in dimension.curves}
    seen = set().union(*(figure.values for figure in report.figures))
    # Memory of a handful of channels is not measured.
    assert (
        keys - seen <= {"memory_bytes", "hub_bytes", "open_us", "hub_open_us"} if name == "channels" else keys == seen
    )
    for figure in report.figures:
        assert all(figure.values[key] == 0 for key in figure.values if key.endswith(("missing", "lost")))
    monkeypatch.setattr(report_module, "RESULTS", tmp_path)
    assert all(path.stat().st_size for path in report.save({}))


def test_wrong_names_end_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt dimension must not be left out silently."""
    with pytest.raises(SystemExit):
        parse_arguments(["channels", "conections"])
    assert "conections: not one of connections" in capsys.readouterr().err
