"""A worker between the version before and the version after it: whose turn it is to accept, and when."""

import os
import signal
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from gripproxy.errors import ConfigError
from gripproxy.handover import CALL_OFF_SIGNAL, LISTEN_SIGNAL, OldWorker, Takeover
from gripproxy.scoreboard import Field
from gripproxy_worker import generations as module
from gripproxy_worker.front_door import FrontDoor
from gripproxy_worker.generations import Generations
from tests.worker.bench import Client
from tests.worker.handover_bench import HandoverBench, open_bench
from tests.worker.held_clients import STREAM, stream_item


@pytest.fixture
def bench(short_path: Path) -> Iterator[HandoverBench]:
    yield from open_bench(short_path)


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Both are ignored by a worker that has no handlers yet."""
    former = {number: signal.signal(number, signal.SIG_IGN) for number in (LISTEN_SIGNAL, CALL_OFF_SIGNAL)}
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


class NewWorker:
    """The new side of a bench, as a worker has it."""

    def __init__(self, bench: HandoverBench, paths: Mapping[int, str]) -> None:
        self.bench = bench
        self.handed: list[str] = []
        others = OldWorker(seat=7, path="")  # which falls to another one
        workers = tuple(each for seat, path in paths.items() for each in (others, OldWorker(seat=seat, path=path)))
        context = bench.new.context
        context.takeover = Takeover(generation=0, hub_path="", workers=workers) if workers else None

        async def make() -> Generations:
            return Generations(context, bench.new.driver, bench.new.feed, self.open_door, 1000)

        self.generations = bench.run(make())
        self.generations.begin()

    def open_door(self, handed: Mapping[str, list[socket.socket]]) -> FrontDoor:
        bench = self.bench
        self.handed += [name for name, listeners in handed.items() for _ in listeners]
        bench.new_door = FrontDoor(bench.new.driver, bench.loop, bench.new.context, 1000, bench.shared, handed)
        return bench.new_door

    @property
    def has_succeeded(self) -> bool:
        return self.bench.new.row[Field.SUCCEEDED] == 1

    def call(self, number: signal.Signals = LISTEN_SIGNAL) -> None:
        self.bench.loop.call_soon(os.kill, os.getpid(), number)

    def stop(self) -> None:
        self.generations.stop()
        self.bench.new_door = None
        self.bench.run(self.generations.close())


def test_worker_takes_over_when_it_is_called(bench: HandoverBench) -> None:
    """Not before: until the old one is asked, nothing has changed for anybody."""
    clients = bench.held(STREAM, 3)
    new = NewWorker(bench, {0: bench.path})
    for _ in range(20):
        bench.turn()
    assert not new.has_succeeded and not new.handed
    new.call()
    bench.until(lambda: new.has_succeeded and bench.new.held_count == 3)
    assert new.handed == [f"http_port 127.0.0.1:{bench.port}"]
    bench.publish(stream_item(b"x"))
    bench.until(lambda: all(client.received.endswith(b"x\r\n") for client in clients))
    new.stop()


def test_worker_without_old_ones_alive_opens_listeners_of_its_own(bench: HandoverBench, short_path: Path) -> None:
    """They died meanwhile, or there were fewer of them."""
    new = NewWorker(bench, {0: str(short_path / "nobody")})
    new.call()
    bench.until(lambda: new.has_succeeded)
    assert new.handed == [] and bench.new_door is not None
    bench.close_old_door()
    client = bench.client(STREAM)
    bench.until(lambda: bench.new.held_count == 1)
    assert isinstance(client, Client)
    new.stop()


def test_link_that_was_lost_is_made_again(bench: HandoverBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the old worker is there; the listeners are here already."""
    monkeypatch.setattr(module, "AGAIN_S", 0.01)
    bench.held(STREAM, 2)
    bench.room_count = 0
    new = NewWorker(bench, {0: bench.path})
    new.call()
    bench.until(lambda: new.has_succeeded and bench.new.held_count == 2)
    assert bench.successor._link is not None
    bench.successor._link.close()
    bench.until(lambda: not bench.successor.is_linked)
    bench.until(lambda: bench.successor.is_linked and bench.old.driver.sockets.can_stay is not None)
    late = bench.client(STREAM)
    bench.until(lambda: bench.new.held_count == 3)
    assert isinstance(late, Client)
    bench.successor.is_stopping = True
    bench.run(bench.successor.finish())
    bench.until(lambda: not new.generations._tasks)
    new.stop()


def test_worker_serves_the_next_one_in_its_turn(bench: HandoverBench) -> None:
    """Its hand-over socket is there from when it is called to when that is called off."""
    new = NewWorker(bench, {0: bench.path})
    new.call()
    bench.until(lambda: new.has_succeeded)
    path = new.generations._successor._path if new.generations._successor is not None else ""
    for _ in range(2):
        new.call()
        bench.until(lambda: os.path.exists(path))
        new.call(CALL_OFF_SIGNAL)
        bench.until(lambda: not os.path.exists(path))
    assert not new.generations.has_successor
    new.stop()


def test_first_worker_listens_at_once(bench: HandoverBench) -> None:
    bench.close_old_door()
    new = NewWorker(bench, {})
    client = bench.client(STREAM)
    bench.until(lambda: bench.new.held_count == 1)
    assert isinstance(client, Client)
    new.stop()


def test_worker_that_cannot_listen_says_why(bench: HandoverBench, short_path: Path) -> None:
    """Then it ends, and the supervisor knows what to do."""
    bench.close_old_door()
    new = NewWorker(bench, {0: str(short_path / "nobody")})
    with socket.create_server(("127.0.0.1", bench.port)):
        new.call()
        with pytest.raises(ConfigError, match="cannot listen on"):
            bench.run(new.generations.failed())
    bench.run(new.generations.close())
