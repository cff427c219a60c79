"""The bench of the bus's tests, made and closed around each test."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bus.bench import BusBench


@pytest.fixture
def bench() -> Iterator[BusBench]:
    # A unix socket's path has room for 107 bytes, which pytest's own directories may exceed.
    with tempfile.TemporaryDirectory(prefix="bus") as directory:
        made = BusBench(Path(directory))
        yield made
        made.close()
