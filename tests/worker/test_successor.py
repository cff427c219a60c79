"""An old worker that gives its clients to a new one: each client is with one of them, and misses nothing."""

import asyncio
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gripproxy.handover import HANDOVER_VERSION
from gripproxy.scoreboard import Field
from gripproxy_worker.handover_link import HandoverLink, LinkClosed, close_all
from gripproxy_worker.handover_words import BATCH, HELLO, LISTENERS, NEXT, RETRACTED, STOPPED, TAKEN
from tests.worker.handover_bench import HandoverBench, open_bench
from tests.worker.held_clients import LONG_POLL, STREAM, TEST_ANSWER, response_item, stream_item

IDLE = b"GET / HTTP/1.1\r\n\r\n"


@pytest.fixture
def bench(short_path: Path) -> Iterator[HandoverBench]:
    yield from open_bench(short_path)


def test_clients_of_all_kinds_move(bench: HandoverBench) -> None:
    """The names of their connections, what they have not read, and what they sent early go with them."""
    streams = bench.held(STREAM, 600)
    polls = bench.held(LONG_POLL, 3)
    idle = bench.client(IDLE)
    bench.until(lambda: idle.received.endswith(TEST_ANSWER))
    names = {bench.old.telemetry.id_of(hold.conn_id) for hold in bench.old.core.holds.holds if hold is not None}
    moving = bench.move()
    bench.until(lambda: bench.new.held_count == 603 and bench.new.driver.sockets.count == 604)
    assert bench.old.driver.sockets.count == 0
    moved_names = {bench.new.telemetry.id_of(hold.conn_id) for hold in bench.new.core.holds.holds if hold is not None}
    assert moved_names == names
    assert bench.old.row[Field.HANDED_OVER] == bench.new.row[Field.TAKEN_OVER] == 604
    bench.publish(stream_item(b"to all"))
    bench.publish(response_item(b"answer"))
    bench.until(lambda: all(client.received.endswith(b"6\r\nto all\r\n") for client in streams))
    bench.until(lambda: all(client.received.endswith(b"answer") for client in polls))
    assert all(client.received.count(b"to all") == 1 for client in streams)
    idle.received.clear()
    idle.send(IDLE)
    bench.until(lambda: idle.received.endswith(TEST_ANSWER))
    late = bench.client(STREAM)
    bench.until(lambda: bench.new.held_count == 601)
    late.close()
    bench.until(lambda: bench.new.held_count == 600)
    moving.cancel()
    bench.until(moving.done)


def test_each_item_reaches_each_client_once_and_in_order(bench: HandoverBench) -> None:
    """While clients move in small batches, and items come all the time."""
    clients = bench.held(STREAM, 300)
    bench.room_count = 7
    moving = bench.move()
    count = 0
    rng = random.Random(7)
    while bench.new.held_count < 300:
        for _ in range(rng.randrange(4)):
            bench.publish(stream_item(b"<%d>" % count))
            count += 1
        bench.turn()
    bench.publish(stream_item(b"<last>"))
    bench.until(lambda: all(client.received.endswith(b"<last>\r\n") for client in clients))
    expected = [b"<%d>" % number for number in range(count)] + [b"<last>"]
    assert count > 50
    for client in clients:
        chunks = bytes(client.received).partition(b"\r\n\r\n")[2].split(b"\r\n")
        assert chunks[3::2][: len(expected)] == expected, chunks[:9]
    moving.cancel()
    bench.until(moving.done)


def test_unread_payloads_go_along(bench: HandoverBench) -> None:
    """A slow client reads on from its new worker, and the books of both come out."""
    slow = bench.client(STREAM, receive_bytes=4096)
    bench.until(lambda: bench.old.held_count == 1)
    slow.is_reading = False
    contents = [b"%02d" % number * 30_000 for number in range(30)]
    for content in contents:
        bench.publish(stream_item(content))
    bench.until(lambda: bench.old.core.accounts.books.receptions == 30)
    assert bench.old.driver.sockets.backlogs.items_count > 5
    moving = bench.move()
    bench.until(lambda: bench.new.held_count == 1 and not bench.old.held_count)
    handed_count = bench.old.row[Field.HANDED_ITEMS]
    assert handed_count == bench.new.row[Field.RECEPTIONS] == bench.new.driver.sockets.backlogs.items_count > 5
    bench.publish(stream_item(b"after"))
    slow.is_reading = True
    bench.until(lambda: slow.received.endswith(b"after\r\n"))
    for content in contents:
        assert slow.received.count(content) == 1
    for side in (bench.old, bench.new):
        side.driver.counts.fill(0.0)
        row = side.row
        assert row[Field.RECEPTIONS] == row[Field.DELIVERIES] + row[Field.HANDED_ITEMS]
    assert bench.old.driver.sockets.backlogs.total_bytes == bench.new.driver.sockets.backlogs.total_bytes == 0
    moving.cancel()
    bench.until(moving.done)


def test_listener_is_never_closed(bench: HandoverBench) -> None:
    """Who connects in the middle of it is served by one or the other, and if the new one fails, by the old one."""
    moving = bench.move()
    clients = []
    for _ in range(50):
        clients.append(bench.client(IDLE))
        bench.turn()
    bench.until(lambda: all(client.received.endswith(TEST_ANSWER) for client in clients))
    moving.cancel()
    bench.close_new_door()
    bench.until(lambda: not bench.successor.is_linked)
    late = bench.client(IDLE)
    bench.until(lambda: late.received.endswith(TEST_ANSWER))
    assert bench.old.driver.sockets.count == 1


class Stranger:
    """A new worker whose words are the test's."""

    def __init__(self, bench: HandoverBench) -> None:
        self.bench = bench
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(bench.path)
        self.link = HandoverLink(bench.loop, sock)

    def say(self, *message: object) -> None:
        self.bench.run(self.link.send(message))

    def hear(self, word: int) -> tuple[tuple[object, ...], list[int]]:
        message, fds = self.bench.run(self.link.receive())
        assert message[0] == word
        return message, fds

    def take_batch(self) -> list[int]:
        self.say(HELLO, HANDOVER_VERSION, 1)
        self.hear(HELLO)
        self.say(NEXT, 100)
        message, _ = self.hear(STOPPED)
        self.say(STOPPED, message[1])
        return self.hear(BATCH)[1]


@pytest.mark.parametrize("is_told", [True, False])
def test_each_client_is_with_one_side_when_the_new_one_dies(bench: HandoverBench, is_told: bool) -> None:
    """What it has said that it has dies with it; all else stays, and misses nothing."""
    clients = bench.held(STREAM, 5)
    stranger = Stranger(bench)
    fds = stranger.take_batch()
    assert len(fds) == 5
    bench.publish(stream_item(b"meanwhile"))
    for _ in range(20):
        bench.turn()
    assert not any(client.received.endswith(b"meanwhile\r\n") for client in clients)
    if is_told:
        stranger.say(TAKEN)
    close_all(fds)
    stranger.link.close()
    if is_told:
        bench.until(lambda: all(client.is_closed for client in clients))
        assert bench.old.driver.sockets.count == 0
    else:
        bench.until(lambda: all(client.received.endswith(b"meanwhile\r\n") for client in clients))
        assert all(client.received.count(b"meanwhile") == 1 for client in clients)
    bench.until(lambda: not bench.successor.is_linked)
    assert bench.old.row[Field.HANDED_OVER] == 5 * is_told


def test_client_that_leaves_on_its_way_leaves_once(bench: HandoverBench) -> None:
    """The old worker sees nothing of it while the new one may have the client, and all of it if that one has not."""
    client, other = bench.held(STREAM, 2)
    stranger = Stranger(bench)
    fds = stranger.take_batch()
    client.close()
    for _ in range(20):
        bench.turn()
    assert bench.old.held_count == 2
    close_all(fds)
    stranger.link.close()
    bench.until(lambda: bench.old.held_count == 1)
    bench.publish(stream_item(b"still"))
    bench.until(lambda: other.received.endswith(b"still\r\n"))


@pytest.mark.parametrize("is_told", [True, False])
def test_called_off_in_the_middle_of_a_batch(bench: HandoverBench, is_told: bool) -> None:
    """The new worker hears that it is too late, or it was not."""
    clients = bench.held(STREAM, 5)
    stranger = Stranger(bench)
    fds = stranger.take_batch()
    if is_told:
        assert stranger.link.put_now((TAKEN,))
    bench.run(bench.successor.finish())
    assert not os.path.exists(bench.path)
    if is_told:
        with pytest.raises(LinkClosed):
            bench.run(stranger.link.receive())
        assert bench.old.driver.sockets.count == 0
    else:
        with pytest.raises(LinkClosed):
            stranger.link.put_now((TAKEN,))
        stranger.hear(RETRACTED)
        bench.publish(stream_item(b"still"))
        bench.until(lambda: all(client.received.endswith(b"still\r\n") for client in clients))
    close_all(fds)
    stranger.link.close()


@pytest.mark.parametrize("message", [(HELLO, HANDOVER_VERSION + 1, 0), (TAKEN,), (99,)])
def test_worker_that_says_something_odd_gets_nothing(
    bench: HandoverBench, message: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    stranger = Stranger(bench)
    stranger.say(*message)
    with pytest.raises(LinkClosed):
        bench.run(stranger.link.receive())
    bench.until(lambda: not bench.successor.is_linked)
    assert bench.old.row[Field.INTERNAL_ERRORS] == 1
    bench.old.row[Field.INTERNAL_ERRORS] = 0
    stranger.link.close()


def test_only_one_may_take_over_and_nobody_else_may_connect(bench: HandoverBench) -> None:
    first, second = Stranger(bench), Stranger(bench)
    first.say(LISTENERS)
    close_all(first.hear(LISTENERS)[1])
    with pytest.raises(LinkClosed):
        bench.run(second.link.receive())
    assert os.stat(bench.path).st_mode & 0o777 == 0o600
    for stranger in (first, second):
        stranger.link.close()


def test_listening_again_is_possible_after_it_was_called_off(bench: HandoverBench) -> None:
    bench.successor.close()
    bench.successor.listen()
    bench.successor.listen()
    clients = bench.held(STREAM, 5)
    moving = bench.move()
    bench.until(lambda: bench.new.held_count == 5)
    assert len(clients) == 5 and isinstance(moving, asyncio.Task)
    moving.cancel()
    bench.until(moving.done)
