"""Two workers of one host, an old one and a new one, in the test's process, on one hub; and clients of the old one."""

import asyncio
import contextlib
import gc
import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gripproxy.bus.feed import Feed, Reader
from gripproxy.child import ChildContext
from gripproxy.engine.arrivals import Installer
from gripproxy.engine.core import Core
from gripproxy.event_log import EventLog
from gripproxy.handover import OldWorker
from gripproxy.log_levels import LogLevels
from gripproxy.protocol.last_ids import LastIds
from gripproxy.protocol.origin_request import OriginRequests
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.protocol.routes import parse_routes
from gripproxy.scoreboard import Field
from gripproxy.settings import ListenAddress, Settings
from gripproxy.signing_keys import read_signing_keys
from gripproxy_worker.arrivals import Arrivals
from gripproxy_worker.driver import Driver
from gripproxy_worker.front_door import FrontDoor
from gripproxy_worker.predecessor import Predecessor
from gripproxy_worker.shared_listeners import SharedListeners
from gripproxy_worker.successor import Successor
from gripproxy_worker.telemetry import Telemetry
from tests.bus.bench import BusBench, publish
from tests.worker.bench import Client, OriginSide


class Side:
    """A worker without its process."""

    def __init__(self, bench: "HandoverBench", index: int) -> None:
        loop, settings = bench.loop, bench.settings
        self.row = bench.bus.scoreboard.row(index + 1)
        table, warnings = parse_routes(bench.routes, "test")
        assert not warnings
        keys, _ = read_signing_keys(settings, table.routes)
        requests, last_ids = OriginRequests(settings, keys, time.time), LastIds()
        self.core = Core(settings, table, requests, loop.time(), random.random, last_ids)
        driver = self.driver = Driver(settings, self.core, loop, self.row, 100)
        rows = self.row, bench.bus.scoreboard.row(0)
        self.telemetry = Telemetry(settings, index, rows, self.core, driver.sockets, loop, EventLog(settings, self.row))
        driver.observe(self.telemetry)
        wanted = self.core.holds.subscriptions.channels.keys()
        reader = Reader(wanted, last_ids, driver.on_item, driver.on_stale, driver.on_unwanted, driver.on_message_done)
        self.feed = driver.feed = Feed(bench.bus.bus_path, index, loop, reader, self.row)
        self.context = ChildContext(f"worker {index}", index, index + 1, bench.bus.scoreboard, -1, -1)
        bench.run(self.feed.join(10))

    @property
    def held_count(self) -> int:
        holds = self.core.holds
        return holds.streams_count + holds.responses_count + holds.sockets_count

    def close(self) -> None:
        self.driver.close()
        self.feed.close()


class HandoverBench:
    """Everything, with an origin that answers `answer` to each request. `old` listens to clients and for `new`."""

    def __init__(self, directory: Path, routes: str = "* test", **settings: Any) -> None:
        self.bus = BusBench(directory)
        self.loop = self.bus.loop
        self.run = self.bus.run
        self.clients: list[Client] = []
        self.origins: list[OriginSide] = []
        self.answer: bytes | None = None
        self._origin_server = self.run(self.loop.create_server(lambda: OriginSide(self), "127.0.0.1", 0))  # type: ignore[arg-type]  # it needs these two
        self.routes = routes.format(origin=f"127.0.0.1:{self._origin_server.sockets[0].getsockname()[1]}")
        with socket.create_server(("127.0.0.1", 0)) as unused:
            self.port = unused.getsockname()[1]
        address = ListenAddress(host="127.0.0.1", port=self.port, maxconn=1000)
        self.settings = Settings(
            rundir=str(directory),
            ipc_prefix="",
            workers=2,
            log_level=LogLevels.all(1),
            http_port=(address,),
            **settings,
        )
        self.shared = SharedListeners(self.settings)
        self.hub = self.bus.hub()
        self.old, self.new = Side(self, 0), Side(self, 1)
        self.door = FrontDoor(self.old.driver, self.loop, self.old.context, 1000, self.shared)
        self.path = str(directory / "next")
        self.successor = Successor(self.old.driver, self.old.feed, self.door, self.loop, self.path)
        self.new_door: FrontDoor | None = None
        self.predecessors: list[Predecessor] = []
        self.room_count = 1000
        self._is_old_door_open = True
        self.door.start()
        self.successor.listen()

    def client(self, payload: bytes = b"", receive_bytes: int | None = None) -> Client:
        """Connect a client, which sends `payload`. `receive_bytes` makes its kernel take little."""
        sock = socket.socket()
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.connect(("127.0.0.1", self.port))
        client = Client(sock)
        self.clients.append(client)
        if payload:
            client.send(payload)
        return client

    def held(self, request: bytes, count: int = 1) -> list[Client]:
        """Let clients be held by the old worker."""
        wanted_count = self.old.held_count + count
        clients = [self.client(request) for _ in range(count)]
        self.until(lambda: self.old.held_count == wanted_count)
        return clients

    def turn(self) -> None:
        self.bus.turn()
        for client in self.clients:
            client.pump()

    def until(self, condition: Callable[[], Any]) -> None:
        """Turn the loop until `condition` holds."""
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, [bytes(client.received[-200:]) for client in self.clients]
            self.turn()

    def publish(self, item: PublishItem) -> None:
        publish(self.hub.outlet, item)

    def predecessor(self) -> Predecessor:
        """Make the new worker's side, connected, with the listeners taken."""
        old = OldWorker(seat=0, path=self.path)
        predecessor = Predecessor(
            old, 1, self.new.driver, self.new.feed, self.loop, asyncio.Lock(), lambda: self.room_count
        )
        self.predecessors.append(predecessor)
        assert self.run(predecessor.connect())
        listeners = self.run(predecessor.take_listeners())
        if self.new_door is None:
            handed: dict[str, list[socket.socket]] = {}
            for name, listener in listeners:
                handed.setdefault(name, []).append(listener)
            self.new_door = FrontDoor(self.new.driver, self.loop, self.new.context, 1000, self.shared, handed)
            self.new_door.start()
        else:
            for _, listener in listeners:
                listener.close()
        limit_of = self.new_door.limit_of
        predecessor.arrivals = Arrivals(self.new.driver, self.loop, Installer(self.new.core), limit_of)
        return predecessor

    def move(self) -> "asyncio.Task[None]":
        """Begin to move the clients."""
        return self.loop.create_task(self.predecessor().take_connections())

    def close_old_door(self) -> None:
        """Let the old worker accept nobody."""
        if self._is_old_door_open:
            self._is_old_door_open = False
            self.door.close()

    def close_new_door(self) -> None:
        """Let the new worker accept nobody."""
        if self.new_door is not None:
            self.new_door.close()
            self.new_door = None

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for predecessor in self.predecessors:
            predecessor.close()
        self.run(self.successor.finish())
        self.close_old_door()
        self.close_new_door()
        self.shared.close()
        for side in (self.old, self.new):
            assert side.row[Field.INTERNAL_ERRORS] == 0
            side.close()
        self._origin_server.close()
        for origin in self.origins:
            origin.transport.abort()
        self.turn()
        self.bus.close()


def open_bench(directory: Path, **arguments: Any) -> Iterator[HandoverBench]:
    """Give a bench, and look after it that no descriptor is left."""
    gc.collect()
    before = sockets_count()
    bench = HandoverBench(directory, **arguments)
    yield bench
    bench.close()
    gc.collect()
    assert sockets_count() == before


def sockets_count() -> int:
    """Say how many sockets this process has."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return count
