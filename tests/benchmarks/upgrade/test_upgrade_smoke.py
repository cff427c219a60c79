"""The whole command at a small size, with real processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.machine import REPOSITORY
from tests.benchmarks.c1m.test_c1m_smoke import ENVIRONMENT

COMMAND = [sys.executable, "-m", "benchmarks.upgrade", "--connections", "200", "--workers", "2", "--channels", "4"]
SMALL = ["--publish-rate", "40", "--newcomers", "20", "--quiet", "1", "--rounds", "1", "--without-picture", "--save"]


def upgrade(directory: Path, *options: str) -> dict[str, object]:
    """Run it; give what it has saved."""
    command = [*COMMAND, *SMALL, "--output", str(directory), *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    (path,) = directory.glob("*.json")
    result: dict[str, object] = json.loads(path.read_text())
    return result


def test_a_small_upgrade_moves_everybody_and_loses_nothing(tmp_path: Path) -> None:
    """What is broken here would be found out after minutes at full size."""
    (one,) = upgrade(tmp_path)["rounds"]  # type: ignore[misc]
    assert (one["held_before"], one["held_after"], one["lost"], one["moved"]) == (200, 200, 0, 200)
    assert one["during"]["items"] > 0 and one["during"]["missing"] == 0
    assert one["newcomers"]["counts"]["answered"] > 0
    assert one["seen"]["new_cpu_s"] > 0 and one["seen"]["old_cpu_s"] > 0
    assert one["seen"]["peak_bytes"] > one["quiet"]["memory_bytes"]
    page = (tmp_path / "upgrade-200.md").read_text()
    assert "| connections held before, after | 200, 200 |" in page


@pytest.mark.parametrize("side", ["new", "old"])
def test_a_killed_worker_takes_only_its_clients(tmp_path: Path, side: str) -> None:
    """One upgrade without a kill comes first, by which the moments are chosen."""
    rounds = upgrade(tmp_path, "--kill", side)["rounds"]
    assert isinstance(rounds, list)
    assert [one["faults"] for one in rounds] == [[]] * len(rounds)
    assert rounds[0]["seen"]["killed"] is None
    assert all(one["seen"]["said"] for one in rounds[1:])
