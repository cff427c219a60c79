"""A worker of the version before, whose listeners and clients this one takes over.

See `handover_words` for what is said.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

from gripproxy.bus.bus_position import BusPosition
from gripproxy.bus.feed import Feed
from gripproxy.engine import handover
from gripproxy.handover import HANDOVER_VERSION, OldWorker
from gripproxy_worker.arrivals import Arrivals, ArrivingBatch
from gripproxy_worker.driver import Driver
from gripproxy_worker.handover_link import HandoverLink, LinkClosed, Message, close_all
from gripproxy_worker.handover_words import (
    ACCEPTING,
    ANSWER_MAX_S,
    BATCH,
    HELLO,
    LISTENERS,
    NEXT,
    NOTHING,
    RETRACTED,
    SETTLED,
    STOPPED,
    TAKEN,
)
from gripproxy_worker.successor import stop

log = logging.getLogger(__name__)

CONNECT_S = 1.0  # for an old worker to listen whose socket is there
RETRY_S = 0.02
PAUSE_S = 0.1  # before it is asked again for clients that were busy
PAUSE_MAX_S = 0.5  # when nothing has moved for some time
AGAIN_S = 1.0  # before a link that was lost is made again

Listeners = list[tuple[str, socket.socket]]


class Predecessor:
    """One old worker. `is_over`: everything that can move was offered once, or it is gone.

    Args:
        one_at_a_time: of all old workers, as the bus can stand still for one of them only.
        room: for how many more clients this worker has file descriptors.
    """

    def __init__(
        self,
        old: OldWorker,
        seat: int,
        driver: Driver,
        feed: Feed,
        loop: asyncio.AbstractEventLoop,
        one_at_a_time: asyncio.Lock,
        room: Callable[[], int],
    ) -> None:
        self.is_over = False
        self.on_over: Callable[[], None] = lambda: None
        self.old = old
        self.arrivals: Arrivals | None = None
        self._seat = seat
        self._driver = driver
        self._feed = feed
        self._loop = loop
        self._one_at_a_time = one_at_a_time
        self._room = room
        self._link: HandoverLink | None = None
        self._taken_count = 0

    async def connect(self) -> bool:
        """Connect; say whether there is somebody."""
        deadline = self._loop.time() + CONNECT_S
        while True:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.setblocking(False)
            try:
                sock.connect(self.old.path)
                break
            except (ConnectionRefusedError, BlockingIOError):
                sock.close()
                if self._loop.time() >= deadline:
                    return False
                await asyncio.sleep(RETRY_S)
            except OSError:
                sock.close()
                return False
        self._link = HandoverLink(self._loop, sock)
        try:
            await self._say(HELLO, HANDOVER_VERSION, self._seat)
            message, _ = await self._hear(HELLO)
            return bool(message[1] == HANDOVER_VERSION)
        except (LinkClosed, TimeoutError):
            self.close()
            return False

    async def take_listeners(self) -> Listeners:
        """Give the listeners of its own that it has; none if it is gone."""
        try:
            await self._say(LISTENERS)
            message, fds = await self._hear(LISTENERS)
        except (LinkClosed, TimeoutError):
            self.close()
            return []
        self._take_lingering(message[2])
        return [(name, socket.socket(fileno=fd)) for name, fd in zip(message[1], fds, strict=True)]

    async def take_connections(self) -> None:
        """Take its clients over, and those that become free later, until it is gone."""
        pause_s = PAUSE_S
        try:
            await self._say(ACCEPTING)
            while True:
                before = self._taken_count
                async with self._one_at_a_time:
                    is_more = await self._take_next()
                pause_s = PAUSE_S if self._taken_count != before else min(PAUSE_MAX_S, 1.2 * pause_s)
                await asyncio.sleep(0 if is_more else pause_s)
        except (LinkClosed, TimeoutError):
            pass
        finally:
            self.close()

    def set_over(self) -> None:
        """Everything that can move was offered."""
        if not self.is_over:
            self.is_over = True
            self.on_over()

    def close(self) -> None:
        """End the link."""
        if self._link is not None:
            self._link.close()
            self._link = None

    async def _take_next(self) -> bool:
        """Ask for a batch and take it; say whether there may be another one at once."""
        room_count = self._room()
        if room_count <= 0:
            if not self.is_over:
                log.warning("no file descriptor is left for the clients of the old worker %d", self.old.seat)
            self.set_over()
            return False
        await self._say(NEXT, room_count)
        message, _ = await self._hear(NOTHING, STOPPED)
        if message[0] == NOTHING:
            return self._on_nothing(message)
        try:
            return await self._meet(BusPosition.decode(message[1]))
        finally:
            self._feed.go_on()

    def _on_nothing(self, message: Message) -> bool:
        _, _, is_round, lingering, is_more = message[:5]
        self._take_lingering(lingering)
        if is_round:
            self.set_over()
        return bool(is_more)

    async def _meet(self, theirs: BusPosition) -> bool:
        """Stop where the old worker has stopped, or let it come to where this one is; then take the batch."""
        if not await stop(self._feed, self._loop, theirs):
            await self._say(NOTHING)
            message, _ = await self._hear(NOTHING)
            return self._on_nothing(message)
        await self._say(STOPPED, self._feed.position.encode())
        message, fds = await self._hear(NOTHING, BATCH)
        if message[0] == NOTHING:
            return self._on_nothing(message)
        is_round, tables, payloads, records = message[1:5]
        batch = ArrivingBatch.decode(tables, payloads, records, fds)
        if not self._own(batch):
            raise LinkClosed
        assert self.arrivals is not None
        await self.arrivals.take(batch)
        self._taken_count += len(batch.arrivals)
        self._feed.go_on()
        await asyncio.sleep(0)  # in which the hub is told of the channels
        await self._say(SETTLED)
        if is_round:
            self.set_over()
        return True

    def _own(self, batch: ArrivingBatch) -> bool:
        """Say to the old worker that the batch is ours, if it can still hear that, or is gone; give whether it is."""
        assert self._link is not None
        try:
            is_ours = self._link.put_now((TAKEN,))
        except LinkClosed:
            is_ours = not any(message[0] == RETRACTED for message, _ in self._link.stop_receiving())
        if not is_ours:
            batch.close()
        return is_ours

    def _take_lingering(self, lingering: Any) -> None:
        self._driver.perform(handover.install_lingering(self._driver.core, lingering, self._driver.clock()))

    async def _say(self, *message: Any) -> None:
        if self._link is None:
            raise LinkClosed
        await self._link.send(message)

    async def _hear(self, *words: int) -> tuple[Message, list[int]]:
        """Give the next message, one of these."""
        if self._link is None:
            raise LinkClosed
        message, fds = await self._link.receive(ANSWER_MAX_S)
        if message[0] not in words:
            close_all(fds)
            if message[0] != RETRACTED:
                log.error("an old worker said %d out of turn", message[0])
            raise LinkClosed
        return message, fds
