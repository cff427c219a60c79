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
    return metric_total(read_page(port), name)


def read_page(port: int, limit_s: float = READ_LIMIT_S) -> str:
    """Read the page.

    Raises:
        BenchmarkError: it cannot be read.
    """
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=limit_s) as answer:
            return str(answer.read().decode())
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
