"""The benchmark of TLS clients, small: every way serves, and what it says of each is plausible."""

import json
from pathlib import Path

import pytest

from benchmarks import report, tls_memory


def test_every_way_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(tls_memory, "SETTLE_S", 0.0)
    assert tls_memory.main(["--clients", "50", "--save"]) == 0
    figures = json.loads((tmp_path / "tls-memory.json").read_text())["figures"]
    assert len(figures) == 2 * len(tls_memory.WAYS)
    for figure in figures:
        assert figure["handshake_us"] > 0 and figure["write_us"] > 0, figure
        if tls_memory.PLAIN not in figure["server"]:
            assert figure["bytes_per_client"] > 5000, figure
