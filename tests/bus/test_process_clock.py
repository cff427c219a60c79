"""CPU time and age of processes."""

import os
import subprocess
import time

from gripproxy.bus.process_clock import read_age_s, read_cpu_s


def test_cpu_time_is_what_the_process_knows_of_itself() -> None:
    """Compared with `os.times`, which counts in the same ticks."""
    before = os.times()
    read = read_cpu_s(os.getpid())
    after = os.times()
    assert read is not None
    assert before.user + before.system - 0.02 <= read <= after.user + after.system + 0.02


def test_age_counts_from_the_start_of_the_process() -> None:
    """A child's age lies between nothing and the time since before it was started."""
    before = time.monotonic()
    child = subprocess.Popen(["sleep", "60"])
    try:
        age_s = read_age_s(child.pid)
        assert age_s is not None
        assert -0.02 <= age_s <= time.monotonic() - before + 0.02
    finally:
        child.kill()
        child.wait()


def test_process_that_is_gone_has_neither() -> None:
    """A worker may die between the look at its row and the look at its clock."""
    child = subprocess.Popen(["true"])
    child.wait()
    assert read_cpu_s(child.pid) is None
    assert read_age_s(child.pid) is None
