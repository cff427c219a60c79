"""Connections to origins: made when needed, kept for the next request, and never more than a worker can afford."""

import asyncio
import logging
from collections import Counter
from functools import partial
from itertools import filterfalse

from gripproxy.engine.events import OriginFailure
from gripproxy.engine.timer_wheel import TimerWheel
from gripproxy.scoreboard import Field
from gripproxy.settings import Settings
from gripproxy_worker.origin_conn import OriginConn, OriginKey
from gripproxy_worker.origin_connector import ConnectError, OriginConnector
from gripproxy_worker.origin_line import Ask, Line
from gripproxy_worker.outbox import Outbox
from gripproxy_worker.slow_readers import SLOW_S, SlowReaders
from gripproxy_worker.zhttp_client import ZhttpClient

log = logging.getLogger(__name__)

CONNECTS_MAX_COUNT = 16  # begun in one turn of the loop, 1 ms: by the next, answers may have freed some for the rest
IDLE_MAX_S = 55.0  # same as Pushpin; below nginx's keepalive_timeout of 75 s


class OriginPool:
    """All connections to origins of one worker.

    Args:
        wheel: the worker's, for the deadlines of connections and of those who wait for one.
        row: the worker's row of the scoreboard.
        connections_max: to all origins together, unless the settings want fewer; more requests wait their turn. One
            origin gets three quarters of what the others leave, so that there is always something left for one more: a
            hung origin must not stop the rest.
        zhttp: for targets that are not reached by HTTP.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        wheel: TimerWheel,
        settings: Settings,
        row: memoryview,
        connections_max: int,
        zhttp: ZhttpClient,
    ) -> None:
        self.zhttp = zhttp
        self.clock = loop.time
        self.outbox: Outbox[OriginConn] = Outbox(OriginConn.write, loop.call_soon)
        self._loop = loop
        self._wheel = wheel
        self._row = row
        self._allowed_max = connections_max
        self._sockets_count = 0  # of connections that have become WebSockets
        self._connector = OriginConnector(loop, settings.origin_connect_timeout)
        self._line = Line(wheel, self.clock, settings.origin_queue_timeout, row)
        self._idle: dict[OriginKey, list[OriginConn]] = {}
        self._open: set[OriginConn] = set()  # and those that are being made
        self._open_counts: Counter[OriginKey] = Counter()
        self._begun_count = 0  # connections begun in this turn
        self._tasks: set[asyncio.Task[None]] = set()
        self.slow_readers = SlowReaders(self.clock)
        self._is_way_watched = False  # slow readers are looked at again soon
        self.use_settings(settings)

    def use_settings(self, settings: Settings) -> None:
        """Go by other limits from now on; a request that waits for a connection may do so for as long as before."""
        self._inactive_max_s = settings.origin_timeout
        self._look_s = min(IDLE_MAX_S, settings.origin_timeout)
        self._connections_max = self._allowed_max
        self._is_bounded = settings.max_open_requests > 0
        if self._is_bounded:
            self._connections_max = min(self._allowed_max, -(-settings.max_open_requests // settings.workers))
        self._connector.use_timeout(settings.origin_connect_timeout)
        self._line.waiting_max_s = settings.origin_queue_timeout
        self._serve_waiting()

    def get(self, ask: Ask) -> None:
        """Give a connection to `ask`, at once if one is idle, else when it is made. Failures come in a later turn."""
        if ask.target.zhttp_spec is not None:
            self.zhttp.get(ask)
            return
        origin = None if ask.is_fresh else self.take_idle(ask.key)
        if origin is not None:
            ask.on_conn(origin)
        elif self._has_room() and self._is_below_share(ask.key):
            self._connect_for(ask)
        elif self._line.join(ask):
            self._make_room()
            self._make_way(1)
        else:
            text = f"{len(self._line)} requests wait for a connection already"
            self._loop.call_soon(ask.fail, OriginFailure.CONNECT, text)

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

    def reload(self) -> None:
        """Read certificates again, and use no kept connection that was made with the old ones."""
        self._connector.reload()
        for origins in self._idle.values():
            while origins:
                origins.pop().abandon()

    def _has_room(self) -> bool:
        return self._begun_count < CONNECTS_MAX_COUNT and not self._is_full

    @property
    def _is_full(self) -> bool:
        sockets_count = self._sockets_count if self._is_bounded else 0
        return len(self._open) + sockets_count >= self._connections_max

    def _is_below_share(self, key: OriginKey) -> bool:
        own_count = self._open_counts[key]
        left_count = self._connections_max - (len(self._open) + self._sockets_count - own_count)
        return own_count < max(1, -(-left_count * 3 // 4))

    async def _connect(self, ask: Ask, origin: OriginConn) -> None:
        try:
            await self._connector.connect(origin, ask.target, ask.server_name)
        except ConnectError as error:
            self._fail(ask, origin, str(error), error.failure)
            return
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

    def _fail(self, ask: Ask, origin: OriginConn, reason: str, failure: OriginFailure = OriginFailure.CONNECT) -> None:
        if origin.transport is not None:
            origin.abandon()  # it is counted off when it is closed
        else:
            self._forget(origin)
        ask.fail(failure, reason)

    def on_origin_free(self, origin: OriginConn, is_reusable: bool) -> None:
        """Take back a connection whose request is over, or that is closed."""
        if origin.transport is None:
            self._forget(origin)
        elif is_reusable and not origin.transport.is_closing():
            self._keep(origin)
        else:
            origin.transport.abort()

    def on_origin_switched(self, origin: OriginConn) -> None:
        """Let go of a connection that speaks WebSocket now. It counts on only where the settings bound their number."""
        self._sockets_count += 1
        self._forget(origin)
        self._make_room()  # its origin may have a connection more than before

    def on_socket_closed(self) -> None:
        """One of those that speak WebSocket is closed."""
        self._sockets_count -= 1
        self._serve_waiting()

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
            what = "its response head was not whole after" if origin.is_in_head else "it was silent for"
            origin.fail(f"{what} {silent_s:.0f} s")

    def close(self) -> None:
        """Close every connection and stop connecting: nobody who asked hears any more."""
        self.zhttp.close()
        self._line.clear()
        for task in self._tasks:
            task.cancel()
        for origin in list(self._open):
            origin.abandon()

    def _keep(self, origin: OriginConn) -> None:
        key = origin.key
        # A request that wants no kept connection gets it too: it has just answered, so it was not closed meanwhile.
        ask = self._line.pop(key) if self._line else None
        if ask is not None:
            origin.is_reused = True
            self._hand_over(ask, origin)
            return
        self._idle.setdefault(key, []).append(origin)
        self._watch(origin)
        self._make_room()

    def _forget(self, origin: OriginConn) -> None:
        key = origin.key
        if origin in self._open:
            self._open.discard(origin)
            self._open_counts[key] -= 1
            if not self._open_counts[key]:
                del self._open_counts[key]
        self._wheel.cancel(origin)
        idle = self._idle.get(key)
        if idle is not None:
            if origin in idle:
                idle.remove(origin)
            if not idle:
                del self._idle[key]  # clients choose the names of TLS origins: there is no end to them
        self._serve_waiting()

    def _serve_waiting(self) -> None:
        """Connect for those who wait; the origins take turns."""
        while self._line and self._has_room():
            key = next(filter(self._is_below_share, self._line.keys()), None)
            ask = None if key is None else self._line.pop(key)
            if ask is None:
                return
            self._connect_for(ask)

    def _on_turn(self) -> None:
        self._begun_count = 0
        self._serve_waiting()

    def _make_room(self) -> None:
        """Close an idle connection, if that is what a request to another origin waits for."""
        if not self._is_full or not any(map(self._is_below_share, self._line.keys())):
            return
        for origins in self._idle.values():
            if origins:
                origins.pop(0).abandon()
                return

    def _make_way(self, max_count: int) -> None:
        """Let clients that read too slowly lose their connections to requests that wait; look again until none does.

        Not to those that wait only since so many connections were begun in this turn: theirs are made in the next.
        """
        if self._is_full:
            self.slow_readers.cut(max_count, None)
        elif crowded_keys := set(filterfalse(self._is_below_share, self._line.keys())):
            self.slow_readers.cut(max_count, crowded_keys)
        if self.slow_readers and not self._is_way_watched:
            self._is_way_watched = True
            self._loop.call_later(SLOW_S, self._on_way)

    def _on_way(self) -> None:
        self._is_way_watched = False
        if self._line:
            self._make_way(len(self._line))

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
        ask.task = None  # which knows of it: a cycle that nobody would collect
        if task.cancelled():  # perhaps before its first step
            ask.is_cancelled = True
            self._fail(ask, origin, "cancelled")
        elif (error := task.exception()) is not None:  # a bug of ours, which must not leave the client waiting
            self._row[Field.INTERNAL_ERRORS] += 1
            log.error("internal error while connecting to %s", ask.target.label, exc_info=error)
            self._fail(ask, origin, f"internal error: {error!r}")
