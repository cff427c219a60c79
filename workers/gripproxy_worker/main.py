"""A worker process from its fork to its end."""

import asyncio
import logging
import random
import signal
import time

import uvloop

from gripproxy.bus.feed import Feed
from gripproxy.child import ChildContext
from gripproxy.engine.core import Core
from gripproxy.errors import ConfigError
from gripproxy.fd_limit import fd_limit, origin_connections, reserve_fds
from gripproxy.protocol.last_ids import LastIds
from gripproxy.protocol.origin_request import OriginRequests
from gripproxy.routes_file import read_routes
from gripproxy.scoreboard import Field, ProcessState
from gripproxy.settings import Settings
from gripproxy.signing_keys import read_signing_keys
from gripproxy_worker import garbage
from gripproxy_worker.driver import Driver
from gripproxy_worker.listener import Acceptor, bind

log = logging.getLogger(__name__)

JOIN_TIMEOUT_S = 15.0  # for the hub to answer; it may be starting too


def worker_main(settings: Settings, context: ChildContext) -> None:
    """Serve clients until SIGTERM, or until the supervisor is gone.

    Raises:
        ConfigError, OSError: before it is ready: it cannot start.
    """
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(_serve(settings, context, loop))
    finally:
        loop.close()


async def _serve(settings: Settings, context: ChildContext, loop: asyncio.AbstractEventLoop) -> None:
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    loop.add_reader(context.lifeline_fd, stopped.set)
    # The warnings of both were said at start-up.
    routes, _ = read_routes(settings)
    keys, _ = read_signing_keys(settings, routes.routes)
    requests = OriginRequests(settings, keys, time.time)
    last_ids = LastIds()
    core = Core(settings, routes, requests, loop.time(), random.random, last_ids)
    limit = fd_limit()
    driver = Driver(settings, core, loop, context.row, origin_connections(limit))
    driver.tick()
    wanted = core.holds.subscriptions.channels.keys()
    feed = Feed(settings.ipc_path("bus"), context.index, loop, wanted, driver.on_item, context.row)
    driver.feed = feed
    joining = loop.create_task(feed.join(JOIN_TIMEOUT_S))
    stopping = loop.create_task(stopped.wait())
    try:
        await asyncio.wait((joining, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not stopped.is_set():
            joining.result()
            loop.add_signal_handler(signal.SIGHUP, _reload_routes, settings, core, requests)
            await _accept_until(stopping, settings, context, driver, limit - reserve_fds(limit))
    finally:  # an open bus would keep the process from ending
        joining.cancel()
        stopping.cancel()
        driver.close()
        feed.close()


async def _accept_until(
    stopping: "asyncio.Task[bool]", settings: Settings, context: ChildContext, driver: Driver, worker_max: int
) -> None:
    loop = asyncio.get_running_loop()
    acceptors = [
        Acceptor(bind(address), driver, loop, context.scoreboard, worker_max) for address in settings.http_port
    ]
    for acceptor in acceptors:
        acceptor.start()
    garbage.begin()
    context.report_ready()
    await stopping
    context.row[Field.STATE] = ProcessState.STOPPING
    for acceptor in acceptors:
        acceptor.close()


def _reload_routes(settings: Settings, core: Core, requests: OriginRequests) -> None:
    """Use the routes and keys as they are in their files now; one that cannot be read changes nothing."""
    started = time.monotonic()
    try:
        routes, warnings = read_routes(settings, is_reload=True)
        keys, key_warnings = read_signing_keys(settings, routes.routes)
    except ConfigError as error:
        log.error("routes not reloaded, the old ones stay: %s", error)
        return
    requests.reload(keys)
    core.replace_routes(routes)
    for warning in warnings + key_warnings:
        log.warning("%s", warning)
    log.info("routes loaded with %d entries in %.1f ms", routes.count, (time.monotonic() - started) * 1000)
