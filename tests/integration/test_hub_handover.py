"""One hub takes over from another while publishers go on: what they send arrives once and in order."""

import asyncio
import http.client
import os
import signal
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest
import uvloop
import zmq

from gripproxy.bus.feed import Feed, Reader
from gripproxy.handover import CALL_OFF_SIGNAL, HUB, LISTEN_SIGNAL, handover_path, new_takeover
from gripproxy.protocol.bus_message import Payload, unpack_item
from gripproxy.protocol.last_ids import LastIds
from gripproxy.protocol.receipt import Receipt
from gripproxy.protocol.tnetstring import decode, encode
from gripproxy.scoreboard import Field, ProcessState
from gripproxy.settings import Settings
from tests.integration.deadline import wait_until
from tests.integration.hub_launcher import HubLauncher, Launched
from tests.integration.ports import free_ports

LIMIT_S = 20.0


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@dataclass
class Worker:
    """A worker's end of the bus, in the test's own process."""

    feed: Feed
    row: memoryview
    by_publisher: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    stale: list[list[str] | None] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(map(len, self.by_publisher.values()))

    def on_item(self, channel: str, payload: Payload, _: Receipt | None) -> None:
        item = unpack_item(channel, payload)
        assert item.http_stream is not None
        name, number = item.http_stream.content.decode().split()[:2]
        self.by_publisher[name].append(int(number))


class Upgrade:
    """Two generations of hubs, of which the second has not begun, and the feeds of workers of both."""

    def __init__(self, directory: str, **changes: object) -> None:
        ports = free_ports(6)
        plain = Settings(
            rundir=directory,
            push_in_spec=f"tcp://127.0.0.1:{ports[0]}",
            push_in_sub_specs=(f"tcp://127.0.0.1:{ports[1]}",),
            push_in_http_port=ports[2],
            command_spec=f"tcp://127.0.0.1:{ports[3]}",
            prometheus_port=f"127.0.0.1:{ports[4]}",
            stats_spec=f"tcp://127.0.0.1:{ports[5]}",
            message_wait_ms=300,
        )
        self.old = replace(plain, **changes)  # type: ignore[arg-type]  # the tests' own
        self.new = replace(self.old, generation=1)
        self.old_launcher = HubLauncher(self.old)
        self.new_launcher = HubLauncher(self.new, new_takeover(self.new, 2))
        self.old_hub = self.old_launcher.start_hub()
        assert self.old_hub.report == "ready"
        self.new_hub: Launched | None = None
        self.loop = uvloop.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.zmq_context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._workers: list[Worker] = []

    def join(self, settings: Settings, index: int, channel: str | None = "c") -> Worker:
        """Join the bus as a worker of one of the two, with a subscriber or without."""
        launcher = self.new_launcher if settings.generation else self.old_launcher
        row, received = launcher.scoreboard.row(index + 1), list[Worker]()
        reader = Reader(
            {"c"},
            LastIds(),
            lambda *item: received[0].on_item(*item),
            lambda names: received[0].stale.append(names),
        )
        worker = Worker(Feed(settings.own_ipc_path("bus"), settings.seat_of(index), self.loop, reader, row), row)
        received.append(worker)
        self._workers.append(worker)
        self.loop.run_until_complete(worker.feed.join(LIMIT_S))
        row[Field.STATE] = ProcessState.READY
        if channel is not None:
            worker.feed.subscribe(channel, is_update_wanted=True)
        return worker

    def run_until(self, is_reached: Callable[[], bool]) -> None:
        """Turn the loop, which drives the feeds, until something is so."""

        async def watch() -> None:
            while not is_reached():
                await asyncio.sleep(0.001)

        self.loop.run_until_complete(asyncio.wait_for(watch(), LIMIT_S))

    def start_new_hub(self) -> None:
        """Start the second hub, which takes nothing over yet."""
        self.new_hub = self.loop.run_until_complete(asyncio.to_thread(self.new_launcher.start_hub))
        assert self.new_hub.report == "ready"

    def begin(self) -> None:
        """Tell both hubs to hand over, as their supervisors do."""
        assert self.new_hub is not None
        os.kill(self.old_hub.pid, LISTEN_SIGNAL)
        wait_until(lambda: os.path.exists(handover_path(self.old, HUB)), "the old hub listens")
        os.kill(self.new_hub.pid, LISTEN_SIGNAL)

    @property
    def has_moved(self) -> bool:
        return self.new_launcher.scoreboard.row(0)[Field.SUCCEEDED] == 1

    def close(self) -> None:
        for worker in self._workers:
            worker.feed.close()
        self.zmq_context.destroy(0)
        self.loop.close()
        asyncio.set_event_loop(None)
        self.new_launcher.stop()  # first, as it has the ends of the older one's pipes
        self.old_launcher.stop()


@pytest.fixture
def make() -> Iterator[Callable[..., Upgrade]]:
    made: list[Upgrade] = []
    with tempfile.TemporaryDirectory(prefix="hub") as directory:

        def start(**changes: object) -> Upgrade:
            changes = {name: _placed(value, directory) for name, value in changes.items()}
            made.append(Upgrade(directory, **changes))
            return made[-1]

        yield start
        for upgrade in made:
            upgrade.close()


def _placed(value: object, directory: str) -> object:
    return value.replace("DIRECTORY", directory) if isinstance(value, str) else value


def gaps(numbers: list[int]) -> list[tuple[int, int]]:
    """Give the places where numbers do not go up by one from 0, as what was due and what came."""
    due = [0, *(number + 1 for number in numbers[:-1])][: len(numbers)]
    return [pair for pair in zip(due, numbers, strict=True) if pair[0] != pair[1]]


PUBLIC, SECRET = (key.decode() for key in zmq.curve_keypair())
COUNT = 6_000
PUSHES = {
    "tcp": ({}, ""),
    "ipc": ({"push_in_spec": "ipc://DIRECTORY/push"}, ""),
    "curve": ({"zmq_curve_secret_key": SECRET}, f"curve={PUBLIC}"),
}


@pytest.mark.parametrize("kind", PUSHES)
def test_push_publishers_lose_and_double_nothing(make: Callable[..., Upgrade], kind: str) -> None:
    """Four that hardly pause: each one's items are all there, in order, in workers of both versions."""
    changes, options = PUSHES[kind]
    site = make(**changes)
    workers = [site.join(site.old, 0), site.join(site.old, 1)]
    names = ["a", "b", "d", "e"]
    assert site.old.push_in_spec is not None
    for name in names:
        site.old_launcher.start_publisher("PUSH", site.old.push_in_spec, name, COUNT, f"{options} pause=0.0003")
    site.run_until(lambda: all(worker.count > 1_000 for worker in workers))
    site.start_new_hub()
    new_worker = site.join(site.new, 0, channel=None)
    site.begin()
    site.run_until(lambda: site.has_moved)
    assert workers[0].count < 4 * COUNT
    for worker in workers:
        site.run_until(lambda worker=worker: worker.count >= 4 * COUNT)
        assert {name: gaps(worker.by_publisher[name]) for name in names} == {name: [] for name in names}
        assert worker.row[Field.BUS_GAPS] == 0
        assert len(worker.stale) <= 1  # of its own first subscription, not of the move
    for name in names:
        rest = new_worker.by_publisher[name]
        assert rest == list(range(COUNT - len(rest), COUNT))
    assert 0 < new_worker.count < 4 * COUNT


def test_publishers_that_bind_or_are_bound_to_lose_nothing(make: Callable[..., Upgrade]) -> None:
    """PUB connects to the SUB input; its subscriptions are with the new hub before its items."""
    site = make()
    worker = site.join(site.old, 0)
    site.old_launcher.start_publisher("PUB", site.old.push_in_sub_specs[0], "a", COUNT, "pause=0.0003")
    site.run_until(lambda: worker.count > 500)
    move(site)
    site.run_until(lambda: worker.count >= COUNT)
    assert gaps(worker.by_publisher["a"]) == []


def test_publishers_that_the_hub_connects_to_lose_and_double_nothing(make: Callable[..., Upgrade]) -> None:
    """Both hubs are subscribed for a while; what both get goes out once, without any id."""
    spec = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    site = make(push_in_sub_specs=(spec,), push_in_sub_connect=True)
    worker = site.join(site.old, 0)
    site.old_launcher.start_publisher("PUB", spec, "a", COUNT, "bind pause=0.0003")
    site.run_until(lambda: worker.count > 500)
    move(site)
    site.run_until(lambda: worker.count >= COUNT)
    assert gaps(worker.by_publisher["a"]) == []


def move(site: Upgrade) -> None:
    site.start_new_hub()
    site.begin()
    site.run_until(lambda: site.has_moved)


def test_http_publishers_commands_and_scrapes_are_all_answered(make: Callable[..., Upgrade]) -> None:
    """Nobody is refused, and every item that was acknowledged arrives."""
    site = make()
    worker = site.join(site.old, 0)
    metrics_port = int((site.old.prometheus_port or "").rpartition(":")[2])
    ended, answers, published = threading.Event(), list[object](), [0]

    def ask(port: int, path: str, items: bool) -> None:
        number = 0
        while not ended.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
            item = b'{"items":[{"channel":"c","http-stream":{"content":"http %d"}}]}' % number
            connection.request(*(("POST", path, item) if items else ("GET", path)))
            answers.append(connection.getresponse().status)
            connection.close()
            number += 1
            if items:
                published[0] = number

    def command() -> None:
        while not ended.is_set():
            client = site.zmq_context.socket(zmq.REQ)
            client.setsockopt(zmq.RCVTIMEO, int(LIMIT_S * 1000))
            client.connect(site.old.command_spec or "")
            client.send(encode({"method": "get-zmq-uris"}))
            answers.append(200 if decode(client.recv())["success"] else "failed")  # type: ignore[index,call-overload]  # a map
            client.close(0)

    threads = [
        threading.Thread(daemon=True, target=ask, args=(site.old.push_in_http_port, "/publish/", True)),
        threading.Thread(daemon=True, target=ask, args=(metrics_port, "/metrics", False)),
        threading.Thread(daemon=True, target=command),
    ]
    for thread in threads:
        thread.start()
    site.run_until(lambda: worker.count > 20)
    move(site)
    count = worker.count
    site.run_until(lambda: worker.count > count + 20)
    ended.set()
    for thread in threads:
        site.run_until(lambda thread=thread: not thread.is_alive())
    assert set(answers) == {200}
    site.run_until(lambda: len(worker.by_publisher["http"]) >= published[0])
    assert gaps(worker.by_publisher["http"]) == []


def test_what_the_old_hub_knew_the_new_one_knows(make: Callable[..., Upgrade]) -> None:
    """Last ids, ids that were seen, and items that wait for the one before them."""
    site = make(message_wait_ms=60_000)
    worker = site.join(site.old, 0)
    subscribed = site.zmq_context.socket(zmq.XPUB)
    subscribed.connect(site.old.push_in_sub_specs[0])
    site.run_until(lambda: bool(subscribed.poll(0)))
    publish(site, "1")
    publish(site, "3", prev="2")
    site.run_until(lambda: worker.count == 1 and site.old_launcher.scoreboard.row(0)[Field.ITEMS_PARKED] == 1)
    site.start_new_hub()
    new_worker = site.join(site.new, 0, channel=None)
    site.begin()
    site.run_until(lambda: site.has_moved)
    site.run_until(lambda: new_worker.feed.last_ids == {"c": "1"})
    assert site.new_launcher.scoreboard.row(0)[Field.ITEMS_PARKED] == 1
    publish(site, "1")
    publish(site, "2", prev="1")
    for one in (worker, new_worker):
        site.run_until(lambda one=one: one.feed.last_ids == {"c": "3"})
    assert worker.by_publisher["id"] == [1, 2, 3]
    assert new_worker.by_publisher["id"] == [2, 3]


def publish(site: Upgrade, item_id: str, prev: str | None = None) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", site.old.push_in_http_port or 0, timeout=LIMIT_S)
    follows = "" if prev is None else f'"prev-id":"{prev}",'
    item = f'{{"items":[{{"channel":"c","id":"{item_id}",{follows}"http-stream":{{"content":"id {item_id}"}}}}]}}'
    connection.request("POST", "/publish/", item.encode())
    assert connection.getresponse().status == 200
    connection.close()


def test_old_hub_goes_on_when_the_new_one_dies_before_the_switch(make: Callable[..., Upgrade]) -> None:
    """A stopped new hub never takes over; killed, it leaves everything as it was."""
    site = make()
    worker = site.join(site.old, 0)
    site.old_launcher.start_publisher("PUSH", site.old.push_in_spec or "", "a", COUNT, "pause=0.0003")
    site.run_until(lambda: worker.count > 500)
    site.start_new_hub()
    assert site.new_hub is not None
    site.begin()
    os.kill(site.new_hub.pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(site.new_hub.pid if site.new_hub else 0), "the new hub is gone")
    os.kill(site.old_hub.pid, CALL_OFF_SIGNAL)
    wait_until(lambda: not os.path.exists(handover_path(site.old, HUB)), "the hand-over is called off")
    publish(site, "7")
    site.run_until(lambda: worker.by_publisher["id"] == [7])
    assert is_alive(site.old_hub.pid)
    assert worker.row[Field.BUS_GAPS] == 0


def test_old_hub_ends_when_the_new_one_dies_after_the_switch(make: Callable[..., Upgrade]) -> None:
    """Another hub in its place is joined by its workers again, and they leave the new one's path."""
    site = make()
    worker = site.join(site.old, 0)
    move(site)
    assert site.new_hub is not None
    os.kill(site.new_hub.pid, signal.SIGKILL)
    os.kill(site.old_hub.pid, signal.SIGTERM)
    wait_until(lambda: not is_alive(site.old_hub.pid), "the old hub is gone")
    again = site.loop.run_until_complete(asyncio.to_thread(site.old_launcher.start_hub))
    assert again.report == "ready"
    site.run_until(lambda: site.old_launcher.scoreboard.row(0)[Field.STATE] == ProcessState.READY)
    publish(site, "1")
    site.run_until(lambda: worker.by_publisher["id"] == [1])


def test_new_hub_begins_alone_where_the_old_one_is_gone(make: Callable[..., Upgrade]) -> None:
    """It binds what nobody holds any more."""
    site = make()
    site.start_new_hub()
    worker = site.join(site.new, 0)
    os.kill(site.old_hub.pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(site.old_hub.pid), "the old hub is gone")
    assert site.new_hub is not None
    os.kill(site.new_hub.pid, LISTEN_SIGNAL)
    site.run_until(lambda: site.has_moved)
    publish(site, "1")
    site.run_until(lambda: worker.by_publisher["id"] == [1])
