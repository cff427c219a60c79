"""What is read from the client's report."""

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.request_load import LoadResult, decode_load_output

WRK = """Running 1s test @ http://127.0.0.1:8000/plain
  1 threads and 4 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    96.12us   13.76us 533.00us   85.02%
  27115 requests in 1.10s, 4.42MB read
Requests/sec:  24650.21
"""


def test_total_and_time_are_read() -> None:
    """Requests/sec is rounded differently; CPU per request needs the count."""
    assert decode_load_output(WRK) == LoadResult(27115, 1.1)


@pytest.mark.parametrize(("text", "seconds"), [("5 requests in 900.00ms", 0.9), ("5 requests in 1.50m", 90.0)])
def test_other_units_of_time(text: str, seconds: float) -> None:
    """wrk changes the unit with the length of the run."""
    assert decode_load_output(text).seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    "line", ["  Non-2xx or 3xx responses: 7", "  Socket errors: connect 0, read 2, write 0, timeout 0", ""]
)
def test_errors_are_no_result(line: str) -> None:
    """502s are quick to serve: a server that fails would look fast."""
    with pytest.raises(BenchmarkError):
        decode_load_output(WRK + line if line else "Running")
