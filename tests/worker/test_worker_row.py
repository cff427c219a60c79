"""A worker's row of the scoreboard, as requests and items bring it about."""

from collections.abc import Iterator

import pytest

from gripproxy.engine import http_delivery
from gripproxy.scoreboard import Field, Histogram, read_histogram
from tests.worker.bench import WorkerBench
from tests.worker.held_clients import LONG_POLL, STREAM, held, response_item, stream_item


@pytest.fixture
def bench() -> Iterator[WorkerBench]:
    bench = WorkerBench(routes="* test")
    bench.driver.tick()
    yield bench
    bench.close()


def fields(bench: WorkerBench, *wanted: Field) -> list[int]:
    bench.driver.counts.fill(bench.loop.time())
    return [bench.row[field] for field in wanted]


def test_receptions_and_their_ends_are_in_the_row(bench: WorkerBench) -> None:
    """With what waits for slow clients they come out even."""
    held(bench, STREAM)
    slow = bench.client(STREAM, receive_bytes=2_000)
    bench.until(lambda: bench.core.holds.streams_count == 2)
    slow.is_reading = False
    bench.publish(stream_item(b"x" * 1_000_000))
    bench.publish(response_item(b"for nobody"))
    assert fields(bench, Field.RECEPTIONS, Field.ITEMS_WANTED) == [2, 1]
    delivered, pending = fields(bench, Field.DELIVERIES, Field.PENDING)
    assert delivered + pending == 2 and pending >= 1
    slow.close()
    bench.until(lambda: bench.core.holds.streams_count == 1)
    bench.until(lambda: sum(fields(bench, Field.DELIVERIES, Field.DROPPED_GONE)) == 2)
    assert fields(bench, Field.DROPPED_GONE, Field.PENDING) == [1, 0]


def test_responses_count_by_their_status(bench: WorkerBench) -> None:
    """The answer to a long-poll too; what goes on with a stream is none."""
    plain = bench.client(b"GET / HTTP/1.1\r\n\r\n")
    bench.until(lambda: plain.received)
    missing = bench.client(b"GET /x HTTP/1.1\r\n\r\n")
    bench.until(lambda: missing.received)
    held(bench, STREAM)
    held(bench, LONG_POLL)
    bench.publish(response_item(b"y"))
    bench.publish(stream_item(b"y"))
    assert fields(bench, Field.RESPONSES_2XX, Field.RESPONSES_4XX) == [3, 1]
    assert fields(bench, Field.REQUESTS, Field.EXCHANGES, Field.HELD_STREAMS) == [4, 0, 1]


def test_times_of_items_are_noted_when_all_have_them(bench: WorkerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes several turns counts at its end, and once."""
    monkeypatch.setattr(http_delivery, "STREAMS_MAX_COUNT", 1)
    counts = bench.driver.counts

    def times(histogram: Histogram) -> int:
        return sum(read_histogram(bench.row, histogram)[0])

    def publish() -> None:
        now = bench.loop.time()
        bench.publish(stream_item(b"x"))
        counts.message_done(now, int(now * 1e6))

    publish()
    assert (times(Histogram.WRITE), times(Histogram.FAN_OUT)) == (0, 0), "nobody got it"
    held(bench, STREAM)
    publish()
    assert (times(Histogram.WRITE), times(Histogram.FAN_OUT)) == (1, 0)
    held(bench, STREAM)
    publish()
    bench.until(lambda: not bench.core.holds.is_unfinished)
    assert (times(Histogram.WRITE), times(Histogram.FAN_OUT)) == (2, 1)
