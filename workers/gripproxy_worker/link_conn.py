"""Requests of the engine's own, to go on with streams that are held, or to say that one has ended."""

from time import monotonic
from typing import TYPE_CHECKING

from gripproxy.engine.effects import AskLink, Forward
from gripproxy.engine.events import LinkAnswered, LinkBodyCame, LinkDone, LinkFailed, OriginFailure
from gripproxy.engine.timer_wheel import Slot
from gripproxy.protocol.http1 import ResponseHead
from gripproxy.scoreboard import Histogram, observe
from gripproxy_worker.client_conn import BACKLOG_PAUSE_BYTES
from gripproxy_worker.origin_conn import Origin
from gripproxy_worker.origin_line import Ask

if TYPE_CHECKING:
    from gripproxy_worker.driver import Driver

SHARED_WAIT_S = 5.0  # in all, that a link waits for slow readers while others could read on


class Links:
    """The links of a worker that are under way, by id."""

    def __init__(self, driver: "Driver") -> None:
        self._driver = driver
        self._conns: dict[int, LinkConn] = {}

    def __len__(self) -> int:
        return len(self._conns)

    def ask(self, effect: AskLink) -> None:
        """Begin with a link; its events follow, none of them before this returns."""
        conn = self._conns[effect.link_id] = LinkConn(self._driver, self, effect)
        conn.ask(is_fresh=False)

    def drop(self, link_id: int) -> None:
        """Let go of a link, if it is under way: no event of it follows."""
        conn = self._conns.pop(link_id, None)
        if conn is not None:
            conn.close()

    def close(self) -> None:
        """Drop every link."""
        for link_id in list(self._conns):
            self.drop(link_id)

    def is_open(self, link_id: int) -> bool:
        """Say whether the link is under way."""
        return link_id in self._conns

    def forward(self, effect: Forward) -> None:
        """Write to held streams. The link brings no more while one of them has much left to read, if it may wait."""
        slow_fds = self._driver.sockets.forward(effect.payload, effect.conn_ids, BACKLOG_PAUSE_BYTES)
        conn = self._conns.get(effect.link_id)
        if slow_fds and conn is not None:
            conn.wait_for(slow_fds, effect.readers_count)


class LinkConn:
    """One link: it asks, reports, and waits for those who read what it brings."""

    __slots__ = (
        "_ask",
        "_asked_at",
        "_driver",
        "_effect",
        "_is_ended",
        "_is_repeated",
        "_links",
        "_origin",
        "_parts",
        "_patience_s",
        "_readers_count",
        "_slow_fds",
        "_waits_since",
        "slot",
    )

    def __init__(self, driver: "Driver", links: Links, effect: AskLink) -> None:
        self.slot: Slot | None = None
        self._driver = driver
        self._links = links
        self._effect = effect
        self._asked_at = monotonic()
        self._is_repeated = False
        self._is_ended = False  # the response is whole
        self._ask: Ask | None = None  # while it waits for a connection
        self._origin: Origin | None = None
        self._parts: list[bytes] = []
        self._slow_fds: set[int] = set()
        self._waits_since = 0.0
        self._readers_count = 1
        self._patience_s = SHARED_WAIT_S  # what is left of it

    def ask(self, is_fresh: bool) -> None:
        """Take a connection from the pool and send the request on it."""
        effect = self._effect
        self._ask = Ask(effect.target, effect.server_name, self._on_origin_conn, self._on_no_origin, is_fresh)
        self._driver.pool.get(self._ask)

    def close(self) -> None:
        """Let go of everything; what comes later is not wanted."""
        if self._ask is not None:
            ask, self._ask = self._ask, None
            ask.cancel()
        if self._origin is not None:
            origin, self._origin = self._origin, None
            origin.abandon()
        self._wait_no_more()

    # The origin.

    def _on_origin_conn(self, origin: Origin) -> None:
        self._ask = None
        self._origin = origin
        origin.ask(self, self._effect.head, is_head=False)

    def _on_no_origin(self, failure: OriginFailure, reason: str) -> None:
        self._ask = None
        self._fail(failure, reason)

    def on_origin_head(self, head: ResponseHead) -> None:
        observe(self._driver.row, Histogram.ORIGIN, monotonic() - self._asked_at)
        if self._driver.meter is not None:
            self._driver.meter.link_head(self._effect.traffic, head)
        self._driver.dispatch(None, LinkAnswered(self._effect.link_id, head))

    def on_origin_body(self, part: bytes) -> None:
        if self._driver.meter is not None:
            self._driver.meter.link_body(self._effect.traffic, len(part))
        self._parts.append(part)

    def on_origin_read(self) -> None:
        """Report what one read brought as one part."""
        if self._parts:
            part = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._parts.clear()
            self._driver.dispatch(None, LinkBodyCame(self._effect.link_id, part))

    def on_origin_end(self) -> None:
        self._origin = None
        self.on_origin_read()
        self._is_ended = True
        if not self._slow_fds:
            self._go_on()

    def on_origin_failed(self, origin: Origin, detail: str) -> None:
        self._origin = None
        is_stale = origin.is_reused and not origin.has_answered
        if is_stale and not self._is_repeated and self._is_repeatable:
            self._is_repeated = True  # that the origin closed a kept connection says nothing about it
            self.ask(is_fresh=True)
            return
        self.on_origin_read()
        self._fail(origin.failure, detail, is_sent=not origin.is_untaken)

    def on_origin_writable(self) -> None:
        """The whole request was written at once."""

    @property
    def _is_repeatable(self) -> bool:
        return self._effect.is_repeatable or self._effect.head.startswith(b"GET ")

    def _fail(self, failure: OriginFailure, detail: str, is_sent: bool = True) -> None:
        if self._links.is_open(self._effect.link_id):
            self._links.drop(self._effect.link_id)
            self._driver.dispatch(None, LinkFailed(self._effect.link_id, failure, detail, is_sent))

    # Slow readers.

    def wait_for(self, fds: list[int], readers_count: int) -> None:
        """Bring no more, not even the end, until these clients have read all that they were sent, or are gone.

        Of several readers the slow ones must not stop the others for long: after SHARED_WAIT_S it is the fastest who
        is waited for, and those who fall far behind are cut off (`ClientSockets.forward`).
        """
        driver, sockets = self._driver, self._driver.sockets
        self._readers_count = readers_count
        if self._patience_s <= 0.0 and len(self._slow_fds.union(fds)) < readers_count:
            return
        if not self._slow_fds:
            if self._origin is not None:
                self._origin.pause_reading()
            self._waits_since = driver.clock()
            is_patient = readers_count > 1 and self._patience_s > 0.0
            driver.wheel.schedule(
                self, self._waits_since + (self._patience_s if is_patient else driver.settings.send_timeout)
            )
        self._slow_fds.update(fds)
        for fd in fds:
            sockets.room_waits[fd] = self._on_room
            sockets.backlogs[fd].has_moved()

    def _on_room(self, fd: int) -> None:
        self._slow_fds.discard(fd)
        if not self._slow_fds or self._patience_s <= 0.0:
            self._wait_no_more()
            self._driver.call_soon(self._go_on)  # the engine hears first that this one has left, if it has

    def _go_on(self) -> None:
        """Nobody has much left to read: read on, or say that this was all. More links may follow from that."""
        if self._slow_fds or not self._links.is_open(self._effect.link_id):
            return
        if self._is_ended:
            self._links.drop(self._effect.link_id)
            self._driver.dispatch(None, LinkDone(self._effect.link_id))
        elif self._origin is not None:
            self._origin.resume_reading()

    def on_deadline(self, now: float) -> None:
        """Let nobody wait for others any more; later, give up on those who read nothing for so long."""
        driver = self._driver
        if self._readers_count > 1 and self._patience_s > 0.0:
            self._patience_s = 0.0
            if len(self._slow_fds) < self._readers_count:
                self._wait_no_more()
                self._go_on()
            else:
                driver.wheel.schedule(self, now + driver.settings.send_timeout)
            return
        for fd in list(self._slow_fds):
            if not driver.sockets.backlogs[fd].has_moved():
                driver.end(fd)
        if self._slow_fds:
            driver.wheel.schedule(self, now + driver.settings.send_timeout)

    def _wait_no_more(self) -> None:
        self._driver.wheel.cancel(self)
        if self._readers_count > 1:
            self._patience_s -= self._driver.clock() - self._waits_since
        for fd in self._slow_fds:
            del self._driver.sockets.room_waits[fd]
        self._slow_fds.clear()
