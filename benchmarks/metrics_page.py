"""What gripproxy counts itself, read from its metrics page."""

import urllib.error
import urllib.request

from benchmarks.errors import BenchmarkError

READ_LIMIT_S = 5.0


def read_metric(port: int, name: str) -> int:
    """Sum a metric over all processes.

    Raises:
        BenchmarkError: the page cannot be read, or does not have it.
    """
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=READ_LIMIT_S) as answer:
            return metric_total(answer.read().decode(), name)
    except (urllib.error.URLError, OSError) as error:
        raise BenchmarkError(f"the metrics page on port {port} cannot be read: {error}") from error


def metric_total(page: str, name: str) -> int:
    """Sum the samples ``name{...} value`` of a page in Prometheus's text format.

    Raises:
        BenchmarkError: there is none.
    """
    values = [int(line.rpartition(" ")[2]) for line in page.splitlines() if line.partition("{")[0] == name]
    if not values:
        raise BenchmarkError(f"the metrics page has no {name}")
    return sum(values)
