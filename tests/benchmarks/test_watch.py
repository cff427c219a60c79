"""The bounds of a measurement."""

import pytest

from benchmarks import watch as watch_module
from benchmarks.errors import BenchmarkError
from benchmarks.watch import Watch, available_memory_bytes


def test_time_limit_stops_and_says_how_far_it_came() -> None:
    """A server that hangs must not hang the run."""
    with pytest.raises(BenchmarkError, match="7 of 9 held"):
        Watch("label", 0.0).check("7 of 9 held")


def test_low_memory_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Holding connections can use up a machine; the kernel would then kill what it likes."""
    monkeypatch.setattr(watch_module, "available_memory_bytes", lambda: 1000)
    with pytest.raises(BenchmarkError, match="memory"):
        Watch("label", 60.0).check("holding")


def test_available_memory_is_read() -> None:
    """The guard works with this kernel's /proc/meminfo."""
    assert available_memory_bytes() > 1 << 20
