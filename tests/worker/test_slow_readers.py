"""Slow readers keep nobody from an origin: when its connections are all taken, the slowest lose theirs."""

import pytest

from gripproxy_worker import slow_readers
from gripproxy_worker.origin_pool import CONNECTS_MAX_COUNT
from gripproxy_worker.slow_readers import SLOW_S, SlowReaders
from tests.worker.bench import WorkerBench
from tests.worker.conftest import MakeBench
from tests.worker.zhttp_hub import zhttp_bench

KEY, OTHER_KEY = ("a", 80, False, False, ""), ("b", 80, False, False, "")
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LARGE = b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + bytes(9_000_000)


class Reader:
    """A reader that remembers that it was cut off."""

    def __init__(self, readers: SlowReaders) -> None:
        self._readers = readers
        self.is_cut = False

    def give_way(self) -> None:
        self.is_cut = True
        self._readers.discard(self)


def test_slowest_readers_are_cut_and_no_more_than_needed() -> None:
    """Who has waited for less than `SLOW_S` may just be on his way to read."""
    now = [0.0]
    readers = SlowReaders(lambda: now[0])
    given = [Reader(readers) for _ in range(4)]
    for number, reader in enumerate(given):
        now[0] = number / 100
        readers.add(reader, KEY if number else OTHER_KEY)
    now[0] = SLOW_S + 0.025
    readers.cut(1, [KEY])
    assert [reader.is_cut for reader in given] == [False, True, False, False]
    readers.cut(9, None)
    assert [reader.is_cut for reader in given] == [True, True, True, False]
    assert len(readers) == 1


def slow_client(bench: WorkerBench) -> None:
    client = bench.client(GET, receive_bytes=4096)
    client.is_reading = False
    bench.origin().send(LARGE)
    bench.until(lambda: len(bench.driver.pool.slow_readers) == 1)


@pytest.mark.parametrize("is_slow_already", [False, True])
def test_slow_reader_loses_its_connection_to_a_request_that_waits(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch, is_slow_already: bool
) -> None:
    """At once, or as soon as it counts as slow."""
    monkeypatch.setattr(slow_readers, "SLOW_S", 0.0 if is_slow_already else 0.05)
    monkeypatch.setattr("gripproxy_worker.origin_pool.SLOW_S", 0.01)
    bench = make_bench(connections_max=1)
    slow_client(bench)
    other = bench.client(GET)
    bench.origin(1).send(OK)
    bench.until(lambda: other.received == OK)
    assert bench.driver.sockets.count == 1


def test_slow_reader_that_is_in_nobodys_way_stays(make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as there are connections for the others."""
    monkeypatch.setattr(slow_readers, "SLOW_S", 0.0)
    bench = make_bench(connections_max=10)
    slow_client(bench)
    other = bench.client(GET)
    bench.origin(1).send(OK)
    bench.until(lambda: other.received == OK)
    assert bench.driver.sockets.count == 2


def test_burst_that_gets_its_connections_in_the_next_turn_cuts_nobody(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits, but not for those that others have."""
    monkeypatch.setattr(slow_readers, "SLOW_S", 0.0)
    bench = make_bench(connections_max=200)
    slow_client(bench)
    others = [bench.client(GET) for _ in range(2 * CONNECTS_MAX_COUNT)]
    for number in range(len(others)):
        bench.origin(number + 1).send(OK)
    bench.until(lambda: all(other.received == OK for other in others))
    assert bench.driver.sockets.count == len(others) + 1


def test_slow_reader_of_a_zhttp_origin_is_in_nobodys_way() -> None:
    """It has none of the connections that others wait for."""
    with zhttp_bench("* zhttp/ipc:///x") as (bench, hub):
        client = bench.client(GET, receive_bytes=4096)
        client.is_reading = False
        name = hub.opened()[b"id"]
        hub.origin_says(name, code=200, reason=b"OK", body=bytes(150_000), more=True)
        bench.until(lambda: any(conn.is_paused for conn in bench.driver.pool.zhttp._conns.values()))
        assert len(bench.driver.pool.slow_readers) == 0


def test_who_is_slow_for_long_does_not_become_the_last() -> None:
    """A connection may still bring something after it was told to stop."""
    now = [0.0]
    readers = SlowReaders(lambda: now[0])
    slowest, other = Reader(readers), Reader(readers)
    for now[0], reader in enumerate((slowest, other, slowest)):
        readers.add(reader, KEY)
    readers.cut(1, None)
    assert (slowest.is_cut, other.is_cut) == (True, False)


def test_reader_that_reads_on_is_forgotten(bench: WorkerBench) -> None:
    client = bench.client(GET, receive_bytes=4096)
    client.is_reading = False
    bench.origin().send(LARGE)
    bench.until(lambda: len(bench.driver.pool.slow_readers) == 1)
    client.is_reading = True
    bench.until(lambda: len(client.received) == len(LARGE))
    assert len(bench.driver.pool.slow_readers) == 0
