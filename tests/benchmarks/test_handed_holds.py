"""The benchmark of handing holds over, small: every kind arrives, and costs no more than one that began there."""

import json
from pathlib import Path

import pytest

from benchmarks import handed_holds, report


def test_every_kind_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(handed_holds, "MEMORY_COUNT", 300)
    assert handed_holds.main(["--holds", "600", "--save"]) == 0
    figures = json.loads((tmp_path / "handed-holds.json").read_text())["figures"]
    assert [figure["case"] for figure in figures] == list(handed_holds.CASES)
    for figure in figures:
        assert figure["total_us"] > 0
        assert figure["moved_bytes"] <= 1.05 * figure["native_bytes"], figure["case"]
