"""Reads routes and keys again while the worker serves, and lets them take effect all at once."""

import asyncio
import errno
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from gripproxy.child import ChildContext
from gripproxy.errors import ConfigError
from gripproxy.protocol.grip_sig import SigKey
from gripproxy.protocol.routes import RouteTable
from gripproxy.routes_file import decode_routes, keep_routes, read_routes_text
from gripproxy.scoreboard import Field, ProcessState
from gripproxy.settings import Settings
from gripproxy.signing_keys import read_signing_keys, read_upstream_key

SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # what one worker may suffer from and the others not

log = logging.getLogger(__name__)

Keys = dict[str, SigKey]
UseRoutes = Callable[[RouteTable], None]
UseKeys = Callable[[Keys, SigKey | None], None]


class RoutesReload:
    """Does what SIGHUP asks for. Requests under way and held connections keep the routes that they have.

    Ten thousand routes take most of a second to read, so that a thread does it, and the loop goes on. Every worker
    reads the same file, and only one of them says what it found.

    Args:
        use_keys: takes effect just before `use_routes`.
    """

    def __init__(self, settings: Settings, context: ChildContext, use_keys: UseKeys, use_routes: UseRoutes) -> None:
        self._settings = settings
        self._context = context
        self._use_keys = use_keys
        self._use_routes = use_routes
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
            log.error("internal error while reading the routes again", exc_info=error)

    async def _run(self) -> None:
        self._is_asked_again = True
        while self._is_asked_again:
            self._is_asked_again = False
            await self._reload()

    async def _reload(self) -> None:
        """Use the routes and keys as they are in their files now; one that cannot be read changes nothing."""
        started = time.monotonic()
        executor = ThreadPoolExecutor(1, "routes")
        try:
            reading = asyncio.get_running_loop().run_in_executor(executor, _read, self._settings, self._is_speaker())
            routes, keys, upstream_key, warnings = await reading
        except ConfigError as error:
            is_own = isinstance(error.__cause__, OSError) and error.__cause__.errno in SHORTAGES
            self._say(logging.ERROR, f"routes not reloaded, the old ones stay: {error}", is_own)
            return
        finally:
            executor.shutdown(wait=False)
        self._use_keys(keys, upstream_key)
        self._use_routes(routes)
        for warning in warnings:
            self._say(logging.WARNING, warning)
        took_ms = (time.monotonic() - started) * 1000
        level = logging.INFO if routes.count else logging.WARNING
        self._say(level, f"routes loaded with {routes.count} entries in {took_ms:.1f} ms")

    def _say(self, level: int, text: str, is_own: bool = False) -> None:
        """Log it for all workers, unless another one does. `is_own`: the others may have nothing to say."""
        log.log(level if is_own or self._is_speaker() else logging.DEBUG, "%s", text)

    def _is_speaker(self) -> bool:
        """Whether this is the first of the workers that serve."""
        rows = self._context.scoreboard.worker_rows()
        return not any(row[Field.STATE] == ProcessState.READY for row in rows[: self._context.index])


def _read(settings: Settings, is_keeper: bool) -> tuple[RouteTable, Keys, SigKey | None, list[str]]:
    text = read_routes_text(settings)
    routes, warnings = decode_routes(settings, text)
    keys, key_warnings = read_signing_keys(settings, routes.routes)
    upstream_key = read_upstream_key(settings)
    if is_keeper:
        try:
            keep_routes(settings, text)
        except OSError as error:
            warnings.append(f"routes cannot be kept for workers that start while they cannot be read: {error}")
    return routes, keys, upstream_key, warnings + key_warnings
