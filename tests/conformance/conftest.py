"""The servers of the conformance run: started when a scenario wants them, for all scenarios alike."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.pairs import ServerPairs


@pytest.fixture(scope="session")
def pairs() -> Iterator[ServerPairs]:
    """Pushpin and gripproxy by configuration."""
    directory = Path(tempfile.mkdtemp(prefix="gp-c-", dir="/tmp"))
    pairs = ServerPairs(directory)
    try:
        yield pairs
    finally:
        pairs.close()
        shutil.rmtree(directory, ignore_errors=True)
