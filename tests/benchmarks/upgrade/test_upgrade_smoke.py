"""The whole command at a small size, with real processes."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.machine import REPOSITORY
from tests.benchmarks.c1m.test_c1m_smoke import ENVIRONMENT

COMMAND = [sys.executable, "-m", "benchmarks.upgrade", "--connections", "200", "--workers", "2", "--channels", "4"]
SMALL = ["--publish-rate", "40", "--newcomers", "20", "--quiet", "1", "--rounds", "1", "--kill", "new", "--save"]


def test_a_small_upgrade_moves_everybody_and_a_killed_worker_takes_only_its_clients(tmp_path: Path) -> None:
    """What is broken here would be found out after minutes at full size. The upgrade without a kill comes first."""
    command = [*COMMAND, *SMALL, "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    first, *others = json.loads((tmp_path / "upgrade-kill-200.json").read_text())["rounds"]
    assert (first["held_before"], first["held_after"], first["lost"], first["moved"]) == (200, 200, 0, 200)
    assert first["during"]["items"] > 0 and first["during"]["missing"] == 0
    assert first["newcomers"]["counts"]["answered"] > 0
    assert first["seen"]["new_cpu_s"] > 0 and first["seen"]["old_cpu_s"] > 0
    assert first["seen"]["peak_bytes"] > first["quiet"]["memory_bytes"]
    assert first["seen"]["killed"] is None and others
    assert [one["faults"] for one in (first, *others)] == [[]] * (1 + len(others))
    page = (tmp_path / "upgrade-kill-200.md").read_text()
    assert "| 1 | nobody |" in page and "| 2 | " in page
