"""Connections to origins: made when needed, kept for the next request, and never more than a worker can afford."""

import asyncio
import logging
import ssl
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from gripproxy.engine.timer_wheel import TimerWheel
from gripproxy.protocol.routes import Target
from gripproxy_worker.origin_conn import Origin, OriginConn, OriginKey
from gripproxy_worker.outbox import Outbox

if TYPE_CHECKING:
    from gripproxy_worker.zhttp_client import ZhttpClient

log = logging.getLogger(__name__)

CONNECTS_MAX_COUNT = 16  # begun in one turn of the loop, 1 ms: by the next, answers may have freed some for the rest
IDLE_MAX_S = 55.0  # same as Pushpin; below nginx's keepalive_timeout of 75 s


@dataclass(slots=True, eq=False)
class Ask:
    """A request that wants a connection. `on_conn` gets it, `on_error` the reason why there is none."""

    target: Target
    server_name: str
    on_conn: Callable[[Origin], None]
    on_error: Callable[[str], None]
    is_fresh: bool = False  # no kept connection: the last one was closed when it was used
    task: "asyncio.Task[None] | None" = None
    is_cancelled: bool = False
    waiting: "Waiting | None" = None  # where it stands in line

    @property
    def key(self) -> OriginKey:
        return origin_key(self.target, self.server_name)

    def cancel(self) -> None:
        """Do not want it any more."""
        self.is_cancelled = True
        self.leave_line()
        if self.task is not None:
            self.task.cancel()

    def leave_line(self) -> None:
        """Wait no more, if it does."""
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            key = self.key
            del waiting[key][self]
            if not waiting[key]:
                del waiting[key]


def origin_key(target: Target, server_name: str) -> OriginKey:
    """Say which connections will do."""
    return target.host, target.port, target.is_ssl, target.insecure, server_name if target.is_ssl else ""


Waiting = dict[OriginKey, OrderedDict[Ask, None]]  # in the order of their turns; no line is empty


class OriginPool:
    """All connections to origins of one worker.

    Args:
        wheel: the worker's, for the idle connections' deadlines.
        connect_timeout_s: for name look-up, TCP and TLS together, per target.
        inactive_max_s: without a byte either way, after which a request has failed.
        connections_max: to all origins together; more requests wait their turn. One origin gets three quarters of what
            the others leave, so that there is always something left for one more: a hung origin must not stop the rest.
        zhttp: for targets that are not reached by HTTP.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        wheel: TimerWheel,
        connect_timeout_s: float,
        inactive_max_s: float,
        connections_max: int,
        zhttp: "ZhttpClient",
    ) -> None:
        self.zhttp = zhttp
        self.clock = loop.time
        self.outbox: Outbox[OriginConn] = Outbox(OriginConn.write, loop.call_soon)
        self._loop = loop
        self._wheel = wheel
        self._connect_timeout_s = connect_timeout_s
        self._inactive_max_s = inactive_max_s
        self._look_s = min(IDLE_MAX_S, inactive_max_s)
        self._connections_max = connections_max
        self._idle: dict[OriginKey, list[OriginConn]] = {}
        self._open: set[OriginConn] = set()  # and those that are being made
        self._open_counts: Counter[OriginKey] = Counter()
        self._waiting: Waiting = {}
        self._begun_count = 0  # connections begun in this turn
        self._tasks: set[asyncio.Task[None]] = set()
        self._contexts: dict[bool, ssl.SSLContext] = {}

    def get(self, ask: Ask) -> None:
        """Give a connection to `ask`, at once if one is idle, else when it is made."""
        if ask.target.zhttp_spec is not None:
            self.zhttp.get(ask)
            return
        origin = None if ask.is_fresh else self.take_idle(ask.key)
        if origin is not None:
            ask.on_conn(origin)
            return
        key = ask.key
        if self._can_connect(key):
            self._connect_for(ask)
            return
        ask.waiting = self._waiting
        self._waiting.setdefault(key, OrderedDict())[ask] = None
        self._make_room()

    def take_idle(self, key: OriginKey) -> OriginConn | None:
        """Give a kept connection, if there is one: the short way of most requests."""
        idle = self._idle.get(key)
        while idle:
            origin = idle.pop()
            if origin.transport is not None and not origin.transport.is_closing():
                origin.is_reused = True
                self._watch(origin)
                return origin
        return None

    def _can_connect(self, key: OriginKey) -> bool:
        is_room = self._begun_count < CONNECTS_MAX_COUNT and len(self._open) < self._connections_max
        return is_room and self._is_below_share(key)

    def _is_below_share(self, key: OriginKey) -> bool:
        own_count = self._open_counts[key]
        left_count = self._connections_max - (len(self._open) - own_count)
        return own_count < max(1, -(-left_count * 3 // 4))

    async def _connect(self, ask: Ask, origin: OriginConn) -> None:
        target = ask.target
        try:
            context = self._context(target.insecure) if target.is_ssl else None
            async with asyncio.timeout(self._connect_timeout_s):
                await self._loop.create_connection(
                    lambda: origin,
                    target.host,
                    target.port,
                    ssl=context,
                    server_hostname=ask.server_name if context else None,
                )
        except TimeoutError:
            self._fail(ask, origin, f"no connection within {self._connect_timeout_s:g} s")
        except OSError as error:
            self._fail(ask, origin, f"cannot connect: {error.strerror or error}")
        except ValueError as error:  # a name that cannot be looked up, or be asked of a certificate
            self._fail(ask, origin, f"cannot connect: {error}")
        else:
            if origin.transport is None:
                self._fail(ask, origin, "it closed the connection at once")
            elif ask.is_cancelled:
                self._keep(origin)
            else:
                self._hand_over(ask, origin)

    def _hand_over(self, ask: Ask, origin: OriginConn) -> None:
        self._watch(origin)
        ask.on_conn(origin)

    def _watch(self, origin: OriginConn) -> None:
        """Look at the connection from time to time, busy or idle: no request moves that deadline."""
        if origin.slot is None:
            self._wheel.schedule(origin, self.clock() + self._look_s)

    def _fail(self, ask: Ask, origin: OriginConn, reason: str) -> None:
        if origin.transport is not None:
            origin.abandon()  # it is counted off when it is closed
        else:
            self._forget(origin)
        if not ask.is_cancelled:
            ask.on_error(reason)

    def _context(self, is_insecure: bool) -> ssl.SSLContext:
        context = self._contexts.get(is_insecure)
        if context is None:
            context = self._contexts[is_insecure] = ssl.create_default_context()
            if is_insecure:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
        return context

    def on_origin_free(self, origin: OriginConn, is_reusable: bool) -> None:
        """Take back a connection whose request is over, or that is closed."""
        if origin.transport is None:
            self._forget(origin)
        elif is_reusable and not origin.transport.is_closing():
            self._keep(origin)
        else:
            origin.transport.abort()

    def on_deadline(self, origin: OriginConn, now: float) -> None:
        """Close a connection that was idle for too long; fail a request whose origin was silent for too long."""
        if origin not in self._open:
            return  # one before it has just closed it
        silent_s = 0.0 if origin.is_paused else now - origin.active_at
        silent_max_s = IDLE_MAX_S if origin.asker is None else self._inactive_max_s
        if silent_s < silent_max_s:
            self._wheel.schedule(origin, now + min(silent_max_s - silent_s, self._look_s))
        elif origin.asker is None:
            origin.abandon()
        else:
            origin.fail(f"it was silent for {silent_s:.0f} s")

    def close(self) -> None:
        """Close every connection and stop connecting: nobody who asked hears any more."""
        self.zhttp.close()
        for ask in [ask for line in self._waiting.values() for ask in line]:
            ask.leave_line()
        for task in self._tasks:
            task.cancel()
        for origin in list(self._open):
            origin.abandon()

    def _keep(self, origin: OriginConn) -> None:
        key = origin.key
        # A request that wants no kept connection gets it too: it has just answered, so it was not closed meanwhile.
        ask = self._pop_waiting(key) if self._waiting else None
        if ask is not None:
            origin.is_reused = True
            self._hand_over(ask, origin)
            return
        self._idle.setdefault(key, []).append(origin)
        self._watch(origin)
        self._make_room()

    def _pop_waiting(self, key: OriginKey) -> Ask | None:
        """Take the first request that waits for such a connection."""
        line = self._waiting.get(key)
        if line is None:
            return None
        ask = next(iter(line))
        ask.leave_line()
        return ask

    def _forget(self, origin: OriginConn) -> None:
        key = origin.key
        if origin in self._open:
            self._open.discard(origin)
            self._open_counts[key] -= 1
            if not self._open_counts[key]:
                del self._open_counts[key]
        self._wheel.cancel(origin)
        idle = self._idle.get(key)
        if idle is not None and origin in idle:
            idle.remove(origin)
        self._serve_waiting()

    def _serve_waiting(self) -> None:
        """Connect for those who wait, for one of each origin at a time."""
        keys = list(self._waiting)
        while keys:
            keys = [key for key in keys if self._can_connect(key)]
            for key in keys:
                ask = self._pop_waiting(key) if self._can_connect(key) else None
                if ask is not None:
                    self._connect_for(ask)
            keys = [key for key in keys if key in self._waiting]

    def _on_turn(self) -> None:
        self._begun_count = 0
        self._serve_waiting()

    def _make_room(self) -> None:
        """Close an idle connection, if that is what a request to another origin waits for."""
        if len(self._open) < self._connections_max or not any(map(self._is_below_share, self._waiting)):
            return
        for origins in self._idle.values():
            if origins:
                origins.pop(0).abandon()
                return

    def _connect_for(self, ask: Ask) -> None:
        if not self._begun_count:
            self._loop.call_soon(self._on_turn)
        self._begun_count += 1
        origin = OriginConn(ask.key, self)
        self._open.add(origin)
        self._open_counts[ask.key] += 1
        ask.task = self._loop.create_task(self._connect(ask, origin))
        self._tasks.add(ask.task)
        ask.task.add_done_callback(partial(self._on_task_done, ask, origin))

    def _on_task_done(self, ask: Ask, origin: OriginConn, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():  # perhaps before its first step
            ask.is_cancelled = True
            self._fail(ask, origin, "cancelled")
        elif (error := task.exception()) is not None:  # a bug of ours, which must not leave the client waiting
            log.error("internal error while connecting to %s", ask.target.label, exc_info=error)
            self._fail(ask, origin, f"internal error: {error!r}")
