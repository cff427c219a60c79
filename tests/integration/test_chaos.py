"""Processes that are killed and stopped at random under load, for some seconds: `benchmarks.chaos` in small."""

import asyncio
import random
from pathlib import Path

import pytest

from benchmarks.chaos.trial import Trial

pytestmark = pytest.mark.gripproxy_only

DURATION_S = 10.0
CLIENTS_COUNT = 48  # of each kind four for each input


def test_chaos_leaves_nothing_wrong(short_path: Path) -> None:
    """Who is not hit notices nothing, who is hit comes back, and it recovers by itself each time. The seed is told."""
    seed = random.randrange(2**31)
    rounds: list[str] = []
    trial = Trial(short_path, CLIENTS_COUNT, seed, has_hangs=False)
    try:
        asyncio.run(trial.run(DURATION_S, rounds.append))
        assert trial.wrong == [], (seed, rounds)
    finally:
        trial.service.clean_up()
    assert rounds
