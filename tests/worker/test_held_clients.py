"""Held clients: what they get, and where they go on when their hold is over."""

import pytest

from gripproxy.engine.effects import Unpark
from gripproxy.protocol.http1 import RequestHead
from gripproxy.scoreboard import Field
from gripproxy_worker.client_sockets import HELD
from gripproxy_worker.idle_conn import IdleConn
from tests.worker.bench import WorkerBench
from tests.worker.conftest import MakeBench
from tests.worker.held_clients import LONG_POLL, STREAM, TEST_ANSWER, held, held_at, only_fd, response_item, stream_item

IDLE = b"GET / HTTP/1.1\r\n\r\n"


@pytest.fixture
def bench(make_bench: MakeBench) -> WorkerBench:
    return make_bench("* test")


def test_client_without_a_hold_is_nothing_but_its_socket(bench: WorkerBench) -> None:
    """What a million of them would cost otherwise is the reason for all this."""
    client = held(bench, STREAM)
    fd = only_fd(bench)
    assert bench.driver.sockets.records[fd] is HELD
    assert bench.driver.held.early_input == {}
    bench.publish(stream_item(b"x"))
    bench.until(lambda: client.received.endswith(b"x\r\n"))
    assert bench.row[Field.DELIVERIES] == 1


def test_answered_client_asks_again_on_its_connection(bench: WorkerBench) -> None:
    client, fd = held_at(bench, LONG_POLL)
    bench.publish(response_item(b"answer"))
    assert isinstance(bench.driver.sockets.records[fd], IdleConn)
    bench.until(lambda: client.received.endswith(b"answer"))
    bench.exchange(client, IDLE, TEST_ANSWER)


def test_request_that_came_early_is_answered_next(bench: WorkerBench) -> None:
    client, fd = held_at(bench, LONG_POLL + IDLE)
    assert bench.driver.held.early_input == {fd: IDLE}
    bench.publish(response_item(b"answer"))
    bench.until(lambda: client.received.endswith(TEST_ANSWER))
    assert b"answerHTTP/1.1 200 OK" in client.received


def test_only_a_held_request_can_be_taken_up_again(bench: WorkerBench) -> None:
    """A bug of the engine ends one connection."""
    client = bench.client(IDLE)
    bench.until(lambda: client.received.endswith(TEST_ANSWER))
    fd = only_fd(bench)
    head = RequestHead.__new__(RequestHead)
    bench.driver.perform([Unpark(fd, head, b"")])
    bench.until(lambda: client.is_closed)
    assert bench.row[Field.INTERNAL_ERRORS] == 1
    bench.row[Field.INTERNAL_ERRORS] = 0
