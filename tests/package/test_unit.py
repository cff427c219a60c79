"""The unit, looked at with systemd's own tools."""

import re
import subprocess
from pathlib import Path

import pytest

from deploy.package.build import DEBIAN_FOLDER
from deploy.package.debian_root import read_unit
from deploy.package.wheels import ROOT
from gripproxy.settings import Settings
from tests.installed import require

UNIT_PATH = DEBIAN_FOLDER / "gripproxy.service"
DROP_IN_PATH = DEBIAN_FOLDER / "examples" / "million.conf"
INSTALL_PAGE = ROOT / "docs" / "install.md"


@pytest.fixture
def unit_path(tmp_path: Path) -> Path:
    """Give the unit with a program that this machine has, and with the drop-in for a million clients."""
    require("systemd-analyze")
    path = tmp_path / "gripproxy.service"
    path.write_text(UNIT_PATH.read_text().replace("/usr/bin/gripproxy", "/bin/true"))
    drop_in = tmp_path / "gripproxy.service.d" / "million.conf"
    drop_in.parent.mkdir()
    drop_in.write_text(DROP_IN_PATH.read_text())
    return path


def test_unit_and_drop_in_have_no_mistake(unit_path: Path) -> None:
    """systemd skips what it does not know, and says so in a log that nobody reads."""
    command = ["systemd-analyze", "verify", "--man=no", str(unit_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    # It looks at the units around it as well.
    lines = [line for line in (result.stdout + result.stderr).splitlines() if str(unit_path.parent) in line]
    assert (result.returncode, lines) == (0, [])


def test_mistake_would_be_seen(unit_path: Path) -> None:
    """The tool looks at both files."""
    (unit_path.parent / "gripproxy.service.d" / "million.conf").write_text("[Service]\nMemoryHihg=1G\n")
    command = ["systemd-analyze", "verify", "--man=no", str(unit_path)]
    assert "MemoryHihg" in subprocess.run(command, capture_output=True, text=True, check=False).stderr


def test_unit_is_hardened_as_the_page_says(unit_path: Path) -> None:
    """The score is stated, and stays."""
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit_path)]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    match = re.search(r"Overall exposure level for gripproxy.service: ([\d.]+)", output)
    assert match is not None, output
    assert f"**{match[1]}**" in INSTALL_PAGE.read_text()


def test_stop_has_time_for_the_drain() -> None:
    """Or the default of drain_timeout would never be used up."""
    unit = read_unit(UNIT_PATH.read_text())
    assert int(unit["TimeoutStopSec"][0]) > Settings().drain_timeout + 10
    assert unit["KillMode"] == ["mixed"]


def test_fd_limit_is_for_a_million_clients() -> None:
    """And not above what kernels give without being asked (fs.nr_open)."""
    unit = read_unit(UNIT_PATH.read_text())
    assert 1_001_000 < int(unit["LimitNOFILE"][0]) <= 1_048_576
