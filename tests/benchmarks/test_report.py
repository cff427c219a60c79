"""Tables and what is kept of them."""

import json
from pathlib import Path

import pytest

from benchmarks import report as report_module
from benchmarks.report import Column, Figure, Report


def make_report() -> Report:
    report = Report(
        "some_thing", "Some thing", (Column("cpu_us", "CPU us", 1), Column("rate", "per s")), {"count": "5"}
    )
    report.figures = [
        Figure("gripproxy", "one", {"cpu_us": 50.0, "rate": 20_000.0}),
        Figure("pushpin", "one", {"cpu_us": 125.0, "rate": 8000.0}),
        Figure("pushpin", "two", {"cpu_us": 1.0, "rate": 2.0}),
        Figure("nchan", "one", failure="did not start"),
    ]
    return report


def test_ratio_is_taken_within_a_case() -> None:
    """A rival's figure with other sizes says nothing about ours."""
    report = make_report()
    assert [report.ratio(figure) for figure in report.figures] == [1.0, 2.5, None, None]


def test_rows_show_missing_values_as_a_dash() -> None:
    """0 would read as infinitely fast."""
    assert make_report().rows() == [
        ["case", "server", "CPU us", "x gripproxy", "per s"],
        ["one", "gripproxy", "50.0", "1.00", "20,000"],
        ["one", "pushpin", "125.0", "2.50", "8,000"],
        ["two", "pushpin", "1.0", "-", "2"],
        ["one", "nchan", "-", "-", "-"],
    ]


def test_failures_are_said_below_both_tables() -> None:
    """A row of dashes needs its reason."""
    report = make_report()
    assert "nchan, one: did not start" in report.terminal_table()
    assert "nchan, one: did not start" in report.markdown({})


def test_saved_results_name_machine_and_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure without commit and machine cannot be compared with the next one."""
    monkeypatch.setattr(report_module, "RESULTS", tmp_path)
    page, data = make_report().save({"commit": "abc"})
    assert (page.name, data.name) == ("some-thing.md", "some-thing.json")
    assert "commit abc" in page.read_text()
    kept = json.loads(data.read_text())
    assert kept["machine"] == {"commit": "abc"}
    assert kept["settings"] == {"count": "5"}
    assert kept["figures"][1] == {
        "case": "one",
        "server": "pushpin",
        "x_gripproxy": 2.5,
        "failure": None,
        "cpu_us": 125.0,
        "rate": 8000.0,
    }
