"""Takes new settings, routes and keys while the worker serves, and lets them take effect all at once."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from gripproxy import logs
from gripproxy.child import ChildContext
from gripproxy.errors import ConfigError
from gripproxy.kept_settings import read_kept_settings
from gripproxy.protocol.grip_sig import SigKey
from gripproxy.protocol.origin_request import OriginRequests
from gripproxy.protocol.routes import RouteTable
from gripproxy.routes_file import decode_routes, read_kept_routes
from gripproxy.scoreboard import Field
from gripproxy.settings import Settings
from gripproxy.signing_keys import read_signing_keys, read_upstream_key
from gripproxy_worker.certificates import CertificateStore
from gripproxy_worker.driver import Driver

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Reading:
    """What was read."""

    settings: Settings
    routes: RouteTable
    keys: dict[str, SigKey]
    upstream_key: SigKey | None


class SettingsReload:
    """Does what SIGHUP asks for. The supervisor has had everything checked, and kept for all processes to read.

    Ten thousand routes take most of a second to read, so that a thread does it, and the loop goes on.

    Args:
        use: lets what was read take effect.
    """

    def __init__(self, settings: Settings, context: ChildContext, use: Callable[[Reading], None]) -> None:
        self._settings = settings
        self._context = context
        self._use = use
        self._task: asyncio.Task[None] | None = None
        self._is_asked_again = False

    def ask(self) -> None:
        """Read everything again; if that is being done, once more after it, as it may have come too early."""
        if self._task is not None and not self._task.done():
            self._is_asked_again = True
            return
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(self._on_done)

    def close(self) -> None:
        """Let what is being read not take effect."""
        if self._task is not None:
            self._task.cancel()

    def _on_done(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:  # a bug of ours: nobody awaits the task
            self._context.row[Field.INTERNAL_ERRORS] += 1
            log.error("internal error while taking new settings", exc_info=error)

    async def _run(self) -> None:
        self._is_asked_again = True
        while self._is_asked_again:
            self._is_asked_again = False
            await self._reload()

    async def _reload(self) -> None:
        """Use what is kept now. If it cannot be read here, as it could before, nothing changes."""
        executor = ThreadPoolExecutor(1, "reload")
        try:
            reading = await asyncio.get_running_loop().run_in_executor(executor, _read, self._settings)
        except ConfigError as error:
            log.error("settings and routes not taken, the old ones stay: %s", error)
            return
        finally:
            executor.shutdown(wait=False)
        self._use(reading)
        log.debug("settings taken, and %d routes", reading.routes.count)


class NewSettings:
    """Everything in a worker that goes by settings, routes or keys."""

    def __init__(self, driver: Driver, requests: OriginRequests, certificates: CertificateStore) -> None:
        self._driver = driver
        self._requests = requests
        self._certificates = certificates

    def use(self, reading: Reading) -> None:
        """Go by what was read. Requests under way and held connections keep the routes that they have."""
        settings = reading.settings
        logs.use(settings.log_level, settings.log_format == "json")
        self._requests.reload(settings, reading.keys, reading.upstream_key)
        self._driver.use_settings(settings)
        self._driver.use_routes(reading.routes)
        self._certificates.refresh()


def _read(running: Settings) -> Reading:
    """Read what is kept.

    Raises:
        ConfigError: it cannot be read, or a key cannot.
    """
    settings, text = read_kept_settings(running), read_kept_routes(running)
    if settings is None or text is None:
        raise ConfigError(f"what was kept in {running.rundir} cannot be read")
    routes, _ = decode_routes(settings, text)
    keys, _ = read_signing_keys(settings, routes.routes)
    return Reading(settings, routes, keys, read_upstream_key(settings))
