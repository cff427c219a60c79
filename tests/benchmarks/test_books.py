"""The books of a metrics page: what does not come out must show."""

import pytest

from benchmarks.books import Books
from benchmarks.errors import BenchmarkError

PAGE = """\
# HELP gripproxy_items_received_total Items from publishers by input.
gripproxy_items_received_total{process="hub",input="pull"} 9
gripproxy_items_received_total{process="hub",input="http"} 1
gripproxy_items_refused_total{process="hub"} 1
gripproxy_items_duplicate_total{process="hub"} 1
gripproxy_items_unordered_total{process="hub"} 0
gripproxy_items_parked{process="hub"} 0
gripproxy_items_sent_total{process="hub"} 7
gripproxy_items_lost_total{process="hub"} 1
gripproxy_bus_items_received_total{process="worker-0"} 6
gripproxy_bus_gaps_total{process="worker-0"} 1
gripproxy_bus_missed_total{process="worker-0"} 0
gripproxy_receptions_total{process="worker-0"} 20
gripproxy_deliveries_total{process="worker-0"} 12
gripproxy_deliveries_filtered_total{process="worker-0"} 2
gripproxy_deliveries_handed_over_total{process="worker-0"} 0
gripproxy_deliveries_refetched_total{process="worker-0"} 1
gripproxy_deliveries_dropped_total{process="worker-0",cause="slow"} 2
gripproxy_deliveries_dropped_total{process="worker-0",cause="gone"} 1
gripproxy_deliveries_pending{process="worker-0"} 2
gripproxy_loop_lag_seconds_bucket{process="hub",le="0.001"} 90
gripproxy_loop_lag_seconds_bucket{process="hub",le="0.05"} 99
gripproxy_loop_lag_seconds_bucket{process="hub",le="+Inf"} 100
gripproxy_loop_lag_seconds_count{process="hub"} 100
requests_received 7
"""


def changed(old: str, new: str) -> Books:
    assert old in PAGE
    return Books.decode(PAGE.replace(old, new))


def test_books_that_come_out() -> None:
    """Every input, and every way in which an item can end, is in them."""
    assert Books.decode(PAGE).faults() == []


def test_hub_that_lost_an_item() -> None:
    """It was taken from a publisher and is nowhere."""
    books = changed('input="pull"} 9', 'input="pull"} 10')
    assert books.faults() == ["the hub received 11 items, and 10 came to an end"]


def test_bus_that_lost_an_item() -> None:
    """A gap that the worker noticed is no secret; one that it did not is."""
    assert changed('gaps_total{process="worker-0"} 1', 'gaps_total{process="worker-0"} 0').faults() == [
        "worker-0 knows of 6 items of 7"
    ]


@pytest.mark.parametrize("line", ["filtered_total", "refetched_total", "pending"])
def test_worker_that_lost_a_reception(line: str) -> None:
    """Whatever its end should have been."""
    (old,) = [found for found in PAGE.splitlines() if found.startswith(f"gripproxy_deliveries_{line}")]
    (fault,) = changed(old, old[:-1] + "0").faults()
    assert fault.startswith("worker-0 had 20 receptions")


def test_metric_that_is_missing() -> None:
    """A renamed metric must not look like zero."""
    with pytest.raises(BenchmarkError, match="no gripproxy_items_sent_total"):
        changed("items_sent_total", "items_gone_total").faults()


def test_lag_is_what_came_since() -> None:
    """Of the probes since the first page, 99 in a hundred are within the bound."""
    later = Books.decode(PAGE.replace('0.05"} 99', '0.05"} 199').replace('Inf"} 100', 'Inf"} 200'))
    earlier = Books.decode(PAGE)
    assert later.lag_ms(earlier, 99) == 50
    assert (
        earlier.lag_ms(Books.decode(PAGE.replace("} 99", "} 0").replace("} 90", "} 0").replace("} 100", "} 0")), 90)
        == 1
    )
