"""The table of a dimension, with what is said of its curves."""

import json
from pathlib import Path

import pytest

from benchmarks import report as report_module
from benchmarks.growth.curve import Curve, CurveKind
from benchmarks.growth.growth_report import GrowthReport
from benchmarks.growth.picture import draw, label_of, relative
from benchmarks.report import Column, Figure

KIND = CurveKind("cost", "Cost of each", floor=1.0)


def make_report(*costs: float) -> GrowthReport:
    report = GrowthReport(
        "growth_some", "Some", (Column("cost", "cost", 1), Column("missing", "missing")), {"size": "5"}
    )
    report.figures = [Figure("gripproxy", f"{10**index}", {"cost": cost}) for index, cost in enumerate(costs, 1)]
    report.axis = "somethings"
    report.curves = [Curve(KIND, [(10.0**index, cost) for index, cost in enumerate(costs, 1)])]
    return report


def test_rows_do_not_compare_gripproxy_with_itself() -> None:
    """Two columns of gripproxy and 1.00 say nothing."""
    assert make_report(5, 6).rows() == [["case", "cost", "missing"], ["10", "5.0", "-"], ["100", "6.0", "-"]]


def test_growth_is_said_and_counts_as_failure() -> None:
    """It is what the whole benchmark is for."""
    assert not make_report(5, 5).grows
    report = make_report(5, 50)
    assert report.grows
    assert "GROWS: 5 at 10, 50 at 100" in report.terminal_table()
    assert "| Cost of each | GROWS: 5 at 10" in report.markdown({"memory": "1 GiB"})


def test_saved_report_has_rule_settings_and_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures without how they were judged cannot be repeated."""
    monkeypatch.setattr(report_module, "RESULTS", tmp_path)
    page, data = make_report(5, 5).save({"memory": "1 GiB"})
    text = page.read_text()
    assert (
        text.index("| Cost of each |") < text.index("log-log") < text.index("Settings: size 5.") < text.index("1 GiB")
    )
    content = json.loads(data.read_text())
    assert content["curves"] == [
        {"key": "cost", "judgement": "flat", "fit_exponent": 0.0, "last_exponent": 0.0},
    ]
    assert len(content["figures"]) == 2


def test_picture_is_drawn_also_of_steps_that_failed(tmp_path: Path) -> None:
    """An exception in the end would throw away the hours before it."""
    pytest.importorskip("matplotlib")
    empty = make_report()
    path = draw([make_report(5, 50), empty, make_report(-1, 0)], tmp_path / "growth.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_legend_has_both_ends_and_what_was_found() -> None:
    """The picture is seen without the tables."""
    assert label_of(make_report(5.25, 1234).curves[0]) == "Cost of each: 5.25 to 1,234, GROWS"


def test_curves_are_drawn_in_relation_to_their_first_point() -> None:
    """Bytes and microseconds share a panel."""
    assert relative(make_report(0.5, 4, 2).curves[0]) == [(10, 1.0), (100, 4.0), (1000, 2.0)]
