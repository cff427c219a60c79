"""The benchmark of the loop's longest turn, small: every case does what it says."""

import json
from pathlib import Path

import pytest

from benchmarks import loop_stall, report


def test_every_case_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    arguments = ["--streams", "2000", "--crowd", "1000", "--sockets", "50", "--seconds", "2", "--save"]
    assert loop_stall.main(arguments) == 0
    assert (tmp_path / "loop-stall.md").is_file()
    figures = json.loads((tmp_path / "loop-stall.json").read_text())["figures"]
    writes = {figure["case"]: figure["writes"] for figure in figures}
    assert len(writes) == 6
    assert writes["item for 1,000 streams"] >= 1000
    assert writes["10 KB for 1,000 streams"] >= 1000
    assert writes["keep-alives of 1,000 due at once"] >= 1000
    assert writes["item for 50 long-polls"] == 50
