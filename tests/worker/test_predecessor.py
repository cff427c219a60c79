"""A new worker that takes the clients of an old one over, as far as the old one can say what it has to."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gripproxy.handover import HANDOVER_VERSION, OldWorker
from gripproxy_worker import predecessor as module
from gripproxy_worker import successor
from gripproxy_worker.handover_link import HandoverLink, LinkClosed
from gripproxy_worker.handover_words import ACCEPTING, BATCH, HELLO, NEXT, NOTHING, RETRACTED, STOPPED, TAKEN
from gripproxy_worker.predecessor import Predecessor
from tests.worker.handover_bench import HandoverBench, open_bench
from tests.worker.held_clients import STREAM, stream_item


@pytest.fixture
def bench(short_path: Path) -> Iterator[HandoverBench]:
    yield from open_bench(short_path)


class Stranger:
    """An old worker whose words are the test's, and a new one that asks it."""

    def __init__(self, bench: HandoverBench) -> None:
        self.bench = bench
        self.predecessor = bench.predecessor()
        bench.successor.close()
        bench.until(lambda: not bench.successor.is_linked)
        self.predecessor.close()
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.link = HandoverLink(bench.loop, mine)
        self.predecessor._link = HandoverLink(bench.loop, its)
        self.moving = bench.loop.create_task(self.predecessor.take_connections())
        self.hear(ACCEPTING)

    def say(self, *message: object, fds: tuple[int, ...] = ()) -> None:
        self.bench.run(self.link.send(message, fds))

    def hear(self, word: int) -> tuple[object, ...]:
        message, _ = self.bench.run(self.link.receive())
        assert message[0] == word, message
        return message

    def offer(self, packed: tuple[object, ...], fds: tuple[int, ...]) -> None:
        self.hear(NEXT)
        self.say(STOPPED, self.bench.new.feed.position.encode())
        self.hear(STOPPED)
        self.say(BATCH, True, *packed, fds=fds)


def new_predecessor(bench: HandoverBench, path: Path) -> Predecessor:
    old = OldWorker(seat=0, path=str(path))
    return Predecessor(old, 1, bench.new.driver, bench.new.feed, bench.loop, asyncio.Lock(), lambda: 1)


def test_old_worker_that_is_gone(bench: HandoverBench, short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its socket is not there, or nobody listens any more."""
    monkeypatch.setattr(module, "CONNECT_S", 0.05)
    assert not bench.run(new_predecessor(bench, short_path / "nobody").connect())
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(short_path / "dead"))
        assert not bench.run(new_predecessor(bench, short_path / "dead").connect())
    os.unlink(short_path / "dead")


def test_batch_of_an_old_worker_that_died_is_the_new_ones(bench: HandoverBench) -> None:
    """Nobody else has the clients now, and what they were sent is known."""
    client = bench.held(STREAM)[0]
    departures = bench.successor._departures
    stranger = Stranger(bench)
    batch = departures.pack(departures.find(9))
    stranger.offer(batch.message, tuple(batch.fds))
    stranger.link.close()  # as the kernel does for it
    departures.let_go(batch)
    bench.until(lambda: bench.new.held_count == 1 and stranger.moving.done())
    bench.publish(stream_item(b"next"))
    bench.until(lambda: client.received.endswith(b"next\r\n"))
    assert client.received.count(b"next") == 1


def test_batch_that_the_old_worker_wants_back_is_not(bench: HandoverBench) -> None:
    """It has waited for too long for an answer."""
    client = bench.held(STREAM)[0]
    departures = bench.successor._departures
    stranger = Stranger(bench)
    batch = departures.pack(departures.find(9))
    stranger.hear(NEXT)
    stranger.say(STOPPED, bench.new.feed.position.encode())
    stranger.hear(STOPPED)
    stranger.link.put((BATCH, True, *batch.message), batch.fds)
    assert stranger.link.stop_receiving() == []
    assert stranger.link.put_now((RETRACTED,))
    bench.until(stranger.moving.done)
    assert bench.new.driver.sockets.count == 0
    departures.keep(batch)
    bench.publish(stream_item(b"next"))
    bench.until(lambda: client.received.endswith(b"next\r\n"))
    stranger.link.close()


def test_bus_goes_on_between_two_batches_and_when_they_do_not_meet(bench: HandoverBench) -> None:
    """The workers are on the buses of two hubs, say, for a moment."""
    feed = bench.new.feed
    stranger = Stranger(bench)
    stranger.hear(NEXT)
    stranger.say(STOPPED, (1, 5, 0))
    assert stranger.hear(STOPPED)[1] == feed.position.encode()
    assert feed._pauses
    stranger.say(NOTHING, 3, False, (), False)
    bench.until(lambda: not feed._pauses)
    assert not stranger.predecessor.is_over
    stranger.hear(NEXT)
    stranger.say(NOTHING, 3, True, [("lingering", 20.0)], False)
    bench.until(lambda: stranger.predecessor.is_over)
    assert "lingering" in bench.new.core.holds.subscriptions.channels
    stranger.link.close()
    bench.until(stranger.moving.done)


def test_worker_that_is_too_far_behind_puts_it_off(bench: HandoverBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the old one does not wait for ever, and its clients get what comes."""
    monkeypatch.setattr(successor, "MEETING_MAX_S", 0.05)
    feed = bench.new.feed
    stranger = Stranger(bench)
    stranger.hear(NEXT)
    stranger.say(STOPPED, (feed.position.epoch, 1_000_000, 0))
    stranger.hear(NOTHING)
    stranger.say(NOTHING, 1, False, (), False)
    bench.until(lambda: not feed._pauses and feed._stop is None)
    stranger.link.close()
    bench.until(stranger.moving.done)


def test_without_room_nothing_is_asked_for(bench: HandoverBench, caplog: pytest.LogCaptureFixture) -> None:
    """What the kernel cannot give a number would be lost on the way."""
    bench.held(STREAM)
    bench.room_count = 0
    moving = bench.move()
    bench.until(lambda: bench.predecessors[0].is_over)
    assert bench.old.held_count == 1
    assert "no file descriptor is left" in caplog.text
    bench.room_count = 1
    bench.until(lambda: bench.new.held_count == 1)
    moving.cancel()
    bench.until(moving.done)


@pytest.mark.parametrize("words", [(TAKEN,), (HELLO, HANDOVER_VERSION)])
def test_odd_words_end_the_link(bench: HandoverBench, words: tuple[object, ...]) -> None:
    stranger = Stranger(bench)
    stranger.hear(NEXT)
    stranger.say(*words)
    bench.until(stranger.moving.done)
    with pytest.raises(LinkClosed):
        bench.run(stranger.link.receive())
    stranger.link.close()
