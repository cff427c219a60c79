"""Lag of the loop and memory, as a process writes them to its row."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from gripproxy.scoreboard import BOUNDS_S, Field, Histogram, Scoreboard, read_histogram
from gripproxy.vital_signs import PROBE_S, PROBES_MAX_COUNT, VitalSigns, observe_lag, read_rss_bytes
from tests.integration.server import source_env

LIMIT_S = 20.0


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = uvloop.new_event_loop()
    yield made
    made.close()


def lags(row: memoryview) -> list[int]:
    return read_histogram(row, Histogram.LOOP)[0]


def late_count(row: memoryview, seconds: float) -> int:
    """Count the probes that were later than a bound."""
    return sum(lags(row)[BOUNDS_S.index(seconds) + 1 :])


def run_until_probed(loop: asyncio.AbstractEventLoop, row: memoryview, count: int) -> None:
    async def watch() -> None:
        while sum(lags(row)) < count:
            await asyncio.sleep(0.01)

    loop.run_until_complete(asyncio.wait_for(watch(), LIMIT_S))


def test_a_stop_of_the_loop_is_seen_in_its_full_length(loop: asyncio.AbstractEventLoop) -> None:
    """Whoever waits for a process that does not answer should find out why."""
    row = Scoreboard(1).row(1)
    signs = VitalSigns(loop, row)
    signs.start()
    run_until_probed(loop, row, 2)
    counted, late = sum(lags(row)), late_count(row, 0.1)
    loop.call_soon(time.sleep, 3.5 * PROBE_S)
    run_until_probed(loop, row, counted + 2)
    assert late_count(row, 0.1) > late
    signs.close()


def test_nothing_is_measured_after_the_end(loop: asyncio.AbstractEventLoop) -> None:
    """The row may be another process's then."""
    row = Scoreboard(1).row(1)
    signs = VitalSigns(loop, row)
    signs.start()
    signs.close()
    loop.run_until_complete(asyncio.sleep(1.5 * PROBE_S))
    assert sum(lags(row)) == 1


def test_a_long_stop_counts_for_all_who_came_in_it() -> None:
    """One late timer among a hundred good ones would be no 99th percentile."""
    row = Scoreboard(1).row(1)
    observe_lag(row, 10.5 * PROBE_S)
    counts, sum_s = read_histogram(row, Histogram.LOOP)
    assert sum(counts) == 11
    assert sum_s == pytest.approx(sum((number + 0.5) * PROBE_S for number in range(11)))


def test_a_stop_of_hours_is_counted_in_no_time() -> None:
    """A suspended machine must not keep its processes busy with counting."""
    row = Scoreboard(1).row(1)
    observe_lag(row, 36_000.0)
    assert sum(lags(row)) == PROBES_MAX_COUNT


def test_a_timer_in_time_counts_once() -> None:
    """Libuv's timers count whole milliseconds, so they may even be early."""
    row = Scoreboard(1).row(1)
    observe_lag(row, -0.0007)
    observe_lag(row, 0.0)
    assert lags(row)[0] == 2


def test_memory_is_told(loop: asyncio.AbstractEventLoop) -> None:
    """In bytes: this process has more than 10 MB, and less than all."""
    row = Scoreboard(1).row(1)
    signs = VitalSigns(loop, row)
    signs.start()
    signs.close()
    assert 10_000_000 < row[Field.RSS_BYTES] < 100_000_000_000


def test_memory_grows_with_what_is_used() -> None:
    """In a process of its own: in this one other tests' memory may be given back between the two looks."""
    script = (
        "from gripproxy.vital_signs import read_rss_bytes\n"
        "before = read_rss_bytes()\n"
        "ballast = b'\\x01' * 100_000_000\n"
        "print(read_rss_bytes() - before)\n"
    )
    output = subprocess.run([sys.executable, "-c", script], env=source_env(), capture_output=True, check=True).stdout
    assert int(output) > 50_000_000  # the kernel's figure lags by some megabytes where there are many CPUs


def test_a_system_without_proc_has_no_figure(tmp_path: Path) -> None:
    """That is no reason to stop."""
    assert read_rss_bytes(str(tmp_path / "statm")) is None
