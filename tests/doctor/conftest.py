"""The machine that the tests of the checks start from."""

from pathlib import Path

import pytest

from gripproxy.doctor.machine import Machine
from tests.doctor import debian


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give a fake / with Debian's defaults."""
    return debian.install(tmp_path / "root")


@pytest.fixture
def machine(root: Path) -> Machine:
    """Give what is read from it."""
    return debian.read(root)
