"""Whom a worker takes over from when it starts, and who takes over from it later: the workers of other versions."""

import asyncio
import functools
import logging
import socket
from collections.abc import Callable, Coroutine, Mapping

from gripproxy.bus.feed import Feed
from gripproxy.child import ChildContext
from gripproxy.engine.arrivals import Installer
from gripproxy.handover import CALL_OFF_SIGNAL, LISTEN_SIGNAL, handover_path
from gripproxy.routes_file import settled_route
from gripproxy.scoreboard import Field
from gripproxy_worker.arrivals import Arrivals
from gripproxy_worker.driver import Driver
from gripproxy_worker.front_door import FrontDoor
from gripproxy_worker.predecessor import Predecessor
from gripproxy_worker.successor import Successor

log = logging.getLogger(__name__)

AGAIN_S = 1.0  # before a link that was lost is made again

Listeners = Mapping[str, list[socket.socket]]  # by their names
OpenDoor = Callable[[Listeners], FrontDoor]


class Generations:
    """A worker's ties to the version before and the version after it.

    Args:
        open_door: makes the front door, of listeners that were handed over; raises ConfigError.
        worker_max: connections that this worker's fd limit allows.
    """

    def __init__(self, context: ChildContext, driver: Driver, feed: Feed, open_door: OpenDoor, worker_max: int) -> None:
        self._context = context
        self._driver = driver
        self._feed = feed
        self._open_door = open_door
        self._worker_max = worker_max
        self._loop = asyncio.get_running_loop()
        self._door: FrontDoor | None = None
        self._successor: Successor | None = None
        self._predecessors: list[Predecessor] = []
        self._is_called = False  # the old workers can be asked
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] = self._loop.create_future()

    def begin(self) -> None:
        """Let clients in, or, if there are old workers, wait until they can be asked for their clients.

        Raises:
            ConfigError: an address cannot be listened on.
        """
        self._loop.add_signal_handler(LISTEN_SIGNAL, self._on_listen)
        self._loop.add_signal_handler(CALL_OFF_SIGNAL, self._on_call_off)
        if self._context.takeover is None:
            self._use_door({})

    async def failed(self) -> None:
        """Return never, or raise what keeps this worker from going on: ConfigError if it cannot listen."""
        await self._failed

    def stop(self) -> None:
        """Let nobody in any more, and take nothing over any more. Who has its clients now can still take the rest."""
        for task in self._tasks:
            task.cancel()
        if self._successor is not None:
            self._successor.is_stopping = True
        if self._door is not None:
            self._door.close()

    async def close(self) -> None:
        """End all links."""
        if self._successor is not None:
            await self._successor.finish()

    @property
    def has_successor(self) -> bool:
        """Whether a worker of the next version takes clients over now."""
        return self._successor is not None and self._successor.is_linked

    def _on_listen(self) -> None:
        if self._context.takeover is not None and not self._is_called:
            self._is_called = True
            self._start(self._take_over())
        elif self._successor is not None:
            self._successor.listen()

    def _on_call_off(self) -> None:
        if self._successor is not None:
            self._successor.close()

    def _use_door(self, handed: Listeners) -> None:
        door = self._door = self._open_door(handed)
        path = handover_path(self._driver.settings, self._driver.settings.seat_of(self._context.index))
        self._successor = Successor(self._driver, self._feed, door, self._loop, path)
        door.start()

    async def _take_over(self) -> None:
        """Take the listeners of this worker's old workers, then their clients."""
        takeover, settings = self._context.takeover, self._driver.settings
        assert takeover is not None
        turns = asyncio.Lock()
        for old in takeover.workers_of(self._context.index, settings.workers):
            seat = settings.seat_of(self._context.index)
            predecessor = Predecessor(old, seat, self._driver, self._feed, self._loop, turns, self._room)
            predecessor.on_over = self._look_whether_over
            self._predecessors.append(predecessor)
        handed: dict[str, list[socket.socket]] = {}
        connected = []
        for predecessor in self._predecessors:
            if await predecessor.connect():
                connected.append(predecessor)
                for name, listener in await predecessor.take_listeners():
                    handed.setdefault(name, []).append(listener)
            else:
                predecessor.set_over()
        self._use_door(handed)
        assert self._door is not None
        installer = Installer(self._driver.core, functools.partial(settled_route, settings))
        for predecessor in self._predecessors:
            predecessor.arrivals = Arrivals(self._driver, self._loop, installer, self._door.limit_of)
        for predecessor in connected:
            self._start(self._take_connections(predecessor))
        self._look_whether_over()

    async def _take_connections(self, predecessor: Predecessor) -> None:
        """Take an old worker's clients until it is gone. A link that was lost is made again."""
        while True:
            await predecessor.take_connections()
            await asyncio.sleep(AGAIN_S)
            if not await predecessor.connect():
                break
            for _, listener in await predecessor.take_listeners():
                listener.close()  # they are here already
        predecessor.set_over()

    def _look_whether_over(self) -> None:
        if self._door is not None and all(predecessor.is_over for predecessor in self._predecessors):
            self._driver.declare_targets()
            self._context.row[Field.SUCCEEDED] = 1

    def _room(self) -> int:
        driver = self._driver
        return self._worker_max - driver.sockets.count - driver.web_sockets.origin_fds_count

    def _start(self, coroutine: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._failed.done():
            self._failed.set_exception(error)
