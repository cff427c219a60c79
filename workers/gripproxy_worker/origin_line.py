"""Requests that wait for a connection to their origin: each origin's in order, none for ever, and not too many."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, KeysView

from gripproxy.engine.events import OriginFailure
from gripproxy.engine.timer_wheel import Slot, TimerWheel
from gripproxy.protocol.route_target import Target
from gripproxy.scoreboard import Field
from gripproxy_worker.origin_conn import Origin, OriginKey

WAITING_MAX_COUNT = 20_000  # in one worker: with what is kept of their clients some 80 MB


def origin_key(target: Target, server_name: str) -> OriginKey:
    """Say which connections will do. One that was made to a trusted target may lead where another must not go."""
    if not target.is_ssl:
        return target.host, target.port, target.unix_path, target.untrusted
    return (
        *(target.host, target.port, target.unix_path, target.untrusted),
        *(target.insecure, target.client_cert, target.client_key, server_name),
    )


class Ask:
    """A request that wants a connection. `on_conn` gets it, `on_error` how it failed and why.

    With `is_fresh` no kept connection will do: the last one was closed when it was used.
    """

    __slots__ = (
        "_on_error",
        "is_cancelled",
        "is_fresh",
        "key",
        "line",
        "on_conn",
        "server_name",
        "slot",
        "target",
        "task",
    )

    def __init__(
        self,
        target: Target,
        server_name: str,
        on_conn: Callable[[Origin], None],
        on_error: Callable[[OriginFailure, str], None],
        is_fresh: bool = False,
    ) -> None:
        self.target = target
        self.server_name = server_name
        self.key = origin_key(target, server_name)
        self.on_conn = on_conn
        self.is_fresh = is_fresh
        self.is_cancelled = False
        self.task: asyncio.Task[None] | None = None  # that connects for it
        self.line: Line | None = None  # where it stands
        self.slot: Slot | None = None
        self._on_error = on_error

    def fail(self, failure: OriginFailure, reason: str) -> None:
        """Say that there will be no connection, if anybody still wants it."""
        if not self.is_cancelled:
            self._on_error(failure, reason)

    def cancel(self) -> None:
        """Do not want it any more."""
        self.is_cancelled = True
        if self.line is not None:
            self.line.leave(self)
        if self.task is not None:
            self.task.cancel()

    def on_deadline(self, now: float) -> None:
        if self.line is not None:
            self.line.on_deadline(self)


class Line:
    """Who waits, by origin. `keys` is in the order of the origins' turns."""

    def __init__(self, wheel: TimerWheel, clock: Callable[[], float], waiting_max_s: float, row: memoryview) -> None:
        self._wheel = wheel
        self._clock = clock
        self.waiting_max_s = waiting_max_s
        self._row = row
        self._asks: OrderedDict[OriginKey, OrderedDict[Ask, None]] = OrderedDict()  # none of them is empty
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def keys(self) -> KeysView[OriginKey]:
        return self._asks.keys()

    def join(self, ask: Ask) -> bool:
        """Stand at the end; False if the line is too long."""
        if self._count >= WAITING_MAX_COUNT:
            self._row[Field.ORIGIN_UNSERVED] += 1
            return False
        ask.line = self
        self._asks.setdefault(ask.key, OrderedDict())[ask] = None
        self._count += 1
        self._wheel.schedule(ask, self._clock() + self.waiting_max_s)
        return True

    def leave(self, ask: Ask) -> None:
        """Wait no more."""
        asks = self._asks[ask.key]
        del asks[ask]
        if not asks:
            del self._asks[ask.key]
        self._count -= 1
        ask.line = None
        self._wheel.cancel(ask)

    def pop(self, key: OriginKey) -> Ask | None:
        """Take the first of those who wait for such a connection; it is the other origins' turn then."""
        asks = self._asks.get(key)
        if asks is None:
            return None
        self._asks.move_to_end(key)
        ask = next(iter(asks))
        self.leave(ask)
        return ask

    def clear(self) -> None:
        """Send all away without a word."""
        for ask in [ask for asks in self._asks.values() for ask in asks]:
            self.leave(ask)

    def on_deadline(self, ask: Ask) -> None:
        """Tell one that it has waited for too long."""
        self.leave(ask)
        self._row[Field.ORIGIN_UNSERVED] += 1
        ask.fail(OriginFailure.CONNECT, f"no connection became free within {self.waiting_max_s:g} s")
