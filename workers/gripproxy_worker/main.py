"""A worker process from its fork to its end."""

import asyncio
import functools
import logging
import random
import signal
import time

import uvloop

from gripproxy.bus.feed import Feed, Reader
from gripproxy.child import ChildContext
from gripproxy.dead_rows import close_worker_row
from gripproxy.engine.core import Core
from gripproxy.event_log import EventLog
from gripproxy.fd_limit import fd_limit, origin_connections, reserve_fds
from gripproxy.memory_use import MemoryGauge
from gripproxy.protocol.last_ids import LastIds
from gripproxy.protocol.origin_request import OriginRequests
from gripproxy.routes_file import read_running_routes
from gripproxy.scoreboard import HUB_ROW, Field, ProcessState
from gripproxy.settings import Settings
from gripproxy.signing_keys import read_signing_keys, read_upstream_key
from gripproxy.vital_signs import VitalSigns
from gripproxy_worker import garbage
from gripproxy_worker.drain import Drain
from gripproxy_worker.driver import Driver
from gripproxy_worker.front_door import FrontDoor
from gripproxy_worker.generations import Generations, Listeners
from gripproxy_worker.memory_guard import MemoryGuard
from gripproxy_worker.rate_rows import RateRows
from gripproxy_worker.refreshes import refresh_channels, refresh_connections
from gripproxy_worker.settings_reload import NewSettings, SettingsReload
from gripproxy_worker.shared_listeners import SharedListeners
from gripproxy_worker.telemetry import Telemetry

log = logging.getLogger(__name__)

JOIN_TIMEOUT_S = 15.0  # for the hub to answer; it may be starting too


def worker_main(settings: Settings, context: ChildContext, shared: SharedListeners) -> None:
    """Serve clients until SIGTERM, or until the supervisor is gone.

    Raises:
        ConfigError, OSError: before it is ready: it cannot start.
    """
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(_serve(settings, context, loop, shared))
    finally:
        loop.close()


async def _serve(
    settings: Settings, context: ChildContext, loop: asyncio.AbstractEventLoop, shared: SharedListeners
) -> None:
    close_worker_row(context.row)
    stopped = asyncio.Event()
    orphaned = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)

    def on_lifeline() -> None:
        loop.remove_reader(context.lifeline_fd)  # its end of file stays readable
        orphaned.set()
        stopped.set()

    loop.add_reader(context.lifeline_fd, on_lifeline)
    # The warnings of both were said when they were read first.
    routes = read_running_routes(settings)
    keys, _ = read_signing_keys(settings, routes.routes)
    requests = OriginRequests(settings, keys, time.time, read_upstream_key(settings))
    last_ids = LastIds()
    seat = settings.seat_of(context.index)
    rates = RateRows(context.scoreboard, context.index)
    core = Core(settings, routes, requests, loop.time(), random.random, last_ids, rates)
    limit = fd_limit()
    driver = Driver(settings, core, loop, context.row, origin_connections(limit))
    driver.use_routes(routes)
    rows = context.row, context.scoreboard.row(HUB_ROW)
    event_log = EventLog(settings, context.row)
    telemetry = Telemetry(settings, seat, rows, core, driver.sockets, loop, event_log)
    driver.observe(telemetry)
    VitalSigns(loop, context.row).start()
    wanted = core.holds.subscriptions.channels.keys()
    reader = Reader(wanted, last_ids, driver.on_item, driver.on_stale, driver.on_unwanted, driver.on_message_done)
    feed = Feed(settings.own_ipc_path("bus"), seat, loop, reader, context.row)
    _answer_hub(feed, driver, telemetry)
    feed.on_moved = telemetry.move
    driver.feed = feed
    driver.sent_count = functools.partial(rows[1].__getitem__, int(Field.ITEMS_SENT))
    telemetry.connect(feed.zmq_context)
    driver.tick()
    reload = SettingsReload(settings, context, NewSettings(driver, requests, shared.certificates).use)
    joining = loop.create_task(feed.join(JOIN_TIMEOUT_S))
    stopping = loop.create_task(stopped.wait())
    try:
        await asyncio.wait((joining, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not stopped.is_set():
            joining.result()
            loop.add_signal_handler(signal.SIGHUP, reload.ask)
            doors = _Doors(driver, loop, context, limit - reserve_fds(limit), shared)
            generations = Generations(context, driver, feed, doors.open, doors.worker_max)
            await _accept_until(stopping, context, generations, doors)
            await _drain(driver, loop, orphaned, generations)
            await generations.close()
    finally:  # an open bus would keep the process from ending
        joining.cancel()
        stopping.cancel()
        reload.close()
        driver.close()
        telemetry.close()
        feed.close()


def _answer_hub(feed: Feed, driver: Driver, telemetry: Telemetry) -> None:
    feed.on_conn_check = telemetry.live
    feed.on_audience = telemetry.tell_audience
    feed.on_conn_refresh = functools.partial(refresh_connections, driver, telemetry)
    feed.on_refresh = functools.partial(refresh_channels, driver)
    feed.on_new_hub = telemetry.retell
    feed.on_moved = telemetry.move


class _Doors:
    """Opens the front door, when it is time, and sets a guard there that looks after the memory."""

    def __init__(
        self,
        driver: Driver,
        loop: asyncio.AbstractEventLoop,
        context: ChildContext,
        worker_max: int,
        shared: SharedListeners,
    ) -> None:
        self.worker_max = worker_max
        self._driver = driver
        self._loop = loop
        self._context = context
        self._shared = shared
        self._guards: list[MemoryGuard] = []

    def open(self, handed: Listeners) -> FrontDoor:
        driver, loop, scoreboard = self._driver, self._loop, self._context.scoreboard
        door = FrontDoor(driver, loop, self._context, self.worker_max, self._shared, handed)
        guard = MemoryGuard(driver, loop, door, scoreboard, MemoryGauge(scoreboard))
        self._guards.append(guard)
        guard.start()
        return door

    def close_guards(self) -> None:
        for guard in self._guards:
            guard.close()


async def _accept_until(
    stopping: "asyncio.Task[bool]", context: ChildContext, generations: Generations, doors: "_Doors"
) -> None:
    generations.begin()
    garbage.begin()
    context.report_ready()
    failing = asyncio.ensure_future(generations.failed())
    await asyncio.wait((stopping, failing), return_when=asyncio.FIRST_COMPLETED)
    if failing.done():
        failing.result()
    failing.cancel()
    context.row[Field.STATE] = ProcessState.STOPPING
    doors.close_guards()
    generations.stop()


async def _drain(
    driver: Driver, loop: asyncio.AbstractEventLoop, orphaned: asyncio.Event, generations: Generations
) -> None:
    """End all clients. Without a supervisor at once: another one may be waiting for our sockets.

    But for those whom a new version takes over: then there is one, and it has the sockets.
    """
    is_alone = orphaned.is_set() and not generations.has_successor
    drain = Drain(driver, loop, 0.0 if is_alone else driver.settings.drain_timeout)
    waiting = loop.create_task(orphaned.wait())
    waiting.add_done_callback(lambda _: None if generations.has_successor else drain.hurry())
    try:
        await drain.run()
    finally:
        waiting.cancel()
