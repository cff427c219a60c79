"""Bytes by route, as reports have them."""

from collections.abc import Iterator

import pytest

from gripproxy.protocol.telemetry import Traffic
from gripproxy_worker.metering import Meter, head_size
from tests.worker.bench import WorkerBench


def test_size_of_a_head_is_that_of_its_words() -> None:
    """Method and target, or status and reason, names and values; nothing between them."""
    assert head_size(b"GET /a?b=1 HTTP/1.1\r\nHost: h\r\nA: bc\r\n\r\n") == len("GET/a?b=1Hosth" + "Abc")
    assert head_size(b"HTTP/1.1 404 Not Found\r\nA: b\r\n\r\n") == len("404Not FoundAb")
    assert head_size(b"HTTP/1.1 200 OK\r\n\r\n") == len("200OK")


@pytest.fixture
def bench() -> Iterator[WorkerBench]:
    bench = WorkerBench(routes="*,id=r {origin}")
    bench.driver.meter = Meter(bench.core)
    yield bench
    bench.close()


def test_request_and_response_count_on_both_sides(bench: WorkerBench) -> None:
    """A body counts where it comes in and where it goes out."""
    client = bench.client(b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde")
    bench.origin(ends=b"abcde").send(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n1234567")
    bench.until(lambda: client.received.endswith(b"1234567"))
    values = bench.core.accounts.traffic.of("r").values
    assert values[Traffic.CLIENT_CONTENT_BYTES_RECEIVED] == values[Traffic.SERVER_CONTENT_BYTES_SENT] == 5
    assert values[Traffic.CLIENT_CONTENT_BYTES_SENT] == values[Traffic.SERVER_CONTENT_BYTES_RECEIVED] == 7
    assert values[Traffic.CLIENT_HEADER_BYTES_RECEIVED] == len("POST/x" + "Hosth" + "Content-Length5")
    assert values[Traffic.SERVER_HEADER_BYTES_RECEIVED] == len("200OK" + "Content-Length7")
    assert values[Traffic.CLIENT_HEADER_BYTES_SENT] == len("200OK" + "Content-Length7")
    assert values[Traffic.SERVER_HEADER_BYTES_SENT] > len("POST/x")
