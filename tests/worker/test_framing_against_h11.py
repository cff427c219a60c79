"""Odd requests, read by us and by h11, and by h11 once more when they arrive at an origin.

Where two parsers see different requests in the same bytes, one can be hidden from the first and reach the second.
"""

import re
from collections.abc import Iterator

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gripproxy.errors import ClientError
from tests.worker.bench import OriginSide, WorkerBench
from tests.worker.odd_requests import CATEGORIES, OddRequest, read_corpus
from tests.worker.test_request_reader import NASTY, Reader, Request, by_h11

CORPUS = read_corpus()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
QUIET_TURNS = 3  # of the loop after the last expected request: one more would come within them
_STRAY = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")


def ours(data: bytes) -> tuple[list[Request], bool]:
    """Give the requests that we read, and whether we refused what follows."""
    reader = Reader()
    try:
        reader.feed(data)
    except ClientError:
        return reader.requests, True
    return reader.requests, False


@pytest.mark.parametrize("odd", CORPUS, ids=range(1, len(CORPUS) + 1))
def test_difference_from_h11_is_a_known_one(odd: OddRequest) -> None:
    """In a new version of either parser too: its line in the file says which, CATEGORIES why."""
    assert odd.category in CATEGORIES
    we_read, are_we_refusing = ours(odd.data)
    it_reads, is_it_refusing = by_h11(odd.data)
    is_same = (we_read, are_we_refusing) == (it_reads, is_it_refusing)
    assert is_same == (odd.category == "same"), (we_read, it_reads)


def test_corpus_is_large_and_uses_every_category() -> None:
    """A category without a case would be a claim without a proof."""
    assert len({odd.data for odd in CORPUS}) == len(CORPUS) > 500
    assert {odd.category for odd in CORPUS} == set(CATEGORIES)


class ParsingOrigin:
    """An origin that is h11. `requests` are what it read, on whichever connection."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._connections: dict[OriginSide, h11.Connection] = {}

    def serve(self, sides: list[OriginSide]) -> None:
        """Take what came, and answer every request.

        Raises:
            h11.RemoteProtocolError: what came is not HTTP.
        """
        for side in sides:
            received, side.received = bytes(side.received), bytearray()
            if received:
                conn = self._connections.setdefault(side, h11.Connection(h11.SERVER))
                conn.receive_data(received)
                self._read(conn, side)

    def _read(self, conn: h11.Connection, side: OriginSide) -> None:
        while True:
            event = conn.next_event()
            if isinstance(event, h11.Request):
                check_head(event)
                self._head, self._body = event, b""
            elif isinstance(event, h11.Data):
                self._body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert event.headers == [], "trailers end at the proxy"
                self.requests.append((self._head.method, self._head.target, self._body))
                side.send(OK)
                conn.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                conn.send(h11.EndOfMessage())
                conn.start_next_cycle()
            else:
                return


def check_head(head: h11.Request) -> None:
    """One host, one length at the most, one way to read each line."""
    names = [name for name, _ in head.headers]
    assert names.count(b"host") == 1
    assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1
    assert not any(_STRAY.search(value) for _, value in head.headers)
    assert head.http_version == b"1.1"


def check_relayed(bench: WorkerBench, data: bytes) -> None:
    """Whatever we read of `data` is what an origin reads, and nothing else."""
    expected, is_refused = ours(data)
    origin = ParsingOrigin()
    client = bench.client(data)
    answers_count = len(expected) + is_refused

    def is_answered() -> bool:
        origin.serve(bench.origins)
        return client.received.count(b"HTTP/1.") - client.received.count(b" 100 Continue\r\n") >= answers_count

    bench.until(is_answered)
    for _ in range(QUIET_TURNS):
        bench.turn()
        origin.serve(bench.origins)
    assert origin.requests == expected
    client.close()
    bench.until(lambda: bench.driver.sockets.count == 0)
    bench.clients.remove(client)
    bench.origins[:] = [side for side in bench.origins if not side.is_closed]


@pytest.fixture(scope="module")
def shared_bench() -> Iterator[WorkerBench]:
    bench = WorkerBench()
    yield bench
    bench.check_nothing_left()
    bench.close()


def test_origin_reads_what_we_read(shared_bench: WorkerBench) -> None:
    """The whole corpus on the same connections to the origin: what one request leaves there is the next one's."""
    for odd in CORPUS:
        check_relayed(shared_bench, odd.data)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(
    st.sampled_from(CORPUS),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 3), st.sampled_from(NASTY)), min_size=1, max_size=3),
)
def test_origin_reads_what_we_read_of_anything(
    shared_bench: WorkerBench, odd: OddRequest, edits: list[tuple[int, int, bytes]]
) -> None:
    """The same for requests that nobody thought of."""
    data = odd.data
    for position, removed_count, inserted in edits:
        data = data[:position] + inserted + data[position + removed_count :]
    check_relayed(shared_bench, data)
