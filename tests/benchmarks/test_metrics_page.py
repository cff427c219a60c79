"""What is read from gripproxy's metrics page."""

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.metrics_page import metric_total

PAGE = """# HELP gripproxy_dropped_total Dropped.
# TYPE gripproxy_dropped_total counter
gripproxy_dropped_total{process="worker-0"} 30
gripproxy_dropped_total{process="worker-1"} 12
gripproxy_dropped_total_of_others{process="worker-1"} 5
"""


def test_processes_are_added_up() -> None:
    """Each worker counts its own clients."""
    assert metric_total(PAGE, "gripproxy_dropped_total") == 42


def test_a_metric_that_is_not_there_is_an_error() -> None:
    """0 would read as nothing dropped."""
    with pytest.raises(BenchmarkError, match="no gripproxy_lost"):
        metric_total(PAGE, "gripproxy_lost")
