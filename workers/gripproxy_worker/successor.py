"""The worker of a new version that takes this one's clients over: what it is given, and when.

See `handover_words` for what is said.
"""

import asyncio
import contextlib
import functools
import logging
import os
import socket
import struct
from typing import Any

from gripproxy.bus.bus_position import BusPosition
from gripproxy.bus.feed import Feed
from gripproxy.engine import handover
from gripproxy.errors import InternalError
from gripproxy.handover import HANDOVER_VERSION
from gripproxy.scoreboard import Field
from gripproxy_worker.departures import BATCH_MAX_COUNT, Batch, Departures
from gripproxy_worker.driver import Driver
from gripproxy_worker.front_door import FrontDoor
from gripproxy_worker.handover_link import HandoverLink, LinkClosed, Message
from gripproxy_worker.handover_words import (
    ACCEPTING,
    ANSWER_MAX_S,
    BATCH,
    HELLO,
    LISTENERS,
    MEETING_MAX_S,
    NEXT,
    NOTHING,
    RETRACTED,
    SETTLED,
    STOPPED,
    TAKEN,
    TAKEN_MAX_S,
)

log = logging.getLogger(__name__)

_CREDENTIALS = struct.Struct("=iII")  # process, user and group ids, as SO_PEERCRED has them


class Successor:
    """Listens for the new worker from `listen` to `close`, and serves one at a time.

    When a link ends, this worker accepts clients again as before, unless it is stopping.
    """

    def __init__(self, driver: Driver, feed: Feed, door: FrontDoor, loop: asyncio.AbstractEventLoop, path: str) -> None:
        self._driver = driver
        self._feed = feed
        self._door = door
        self._loop = loop
        self._path = path
        self._departures = Departures(driver, loop.call_later)
        self._listener: socket.socket | None = None
        self._link: HandoverLink | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_round_told = False
        self.is_stopping = False  # clients that the next one does not get are to be ended, not kept

    def listen(self) -> None:
        """Let a new worker connect. Twice is as good as once."""
        if self._listener is not None:
            return
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
            mask = os.umask(0o177)
            try:
                listener.bind(self._path)
            finally:
                os.umask(mask)
            listener.setblocking(False)
            listener.listen(4)
        except OSError as error:
            listener.close()
            log.error("cannot be taken over: %s: %s", self._path, error.strerror or error)
            return
        self._listener = listener
        self._loop.add_reader(listener.fileno(), self._on_connection)

    def close(self) -> None:
        """Be taken over by nobody any more; what is on its way stays here, if it is not there already."""
        if self._listener is not None:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None
            with contextlib.suppress(OSError):
                os.unlink(self._path)
        if self._task is not None:
            self._task.cancel()

    @property
    def is_linked(self) -> bool:
        """Whether a new worker is connected."""
        return self._task is not None

    async def finish(self) -> None:
        """Do what `close` does, and wait until it is done."""
        self.close()
        if self._task is not None:
            await asyncio.wait((self._task,))

    def _on_connection(self) -> None:
        assert self._listener is not None
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        user_id = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[1]
        if user_id not in (0, os.geteuid()) or self._task is not None:
            log.warning("somebody else wanted to take clients over: user %d", user_id)
            sock.close()
            return
        self._link = HandoverLink(self._loop, sock)
        self._task = self._loop.create_task(self._serve(self._link))

    async def _serve(self, link: HandoverLink) -> None:
        count = self._driver.row[Field.HANDED_OVER]
        self._is_round_told = False
        try:
            while True:
                message, _ = await link.receive()
                await self._answer(link, message)
        except (LinkClosed, TimeoutError):
            pass
        except asyncio.CancelledError:
            pass
        except Exception:
            self._driver.row[Field.INTERNAL_ERRORS] += 1
            log.exception("internal error while handing clients over")
        finally:
            link.close()
            self._link = self._task = None
            self._feed.go_on()
            self._driver.sockets.can_stay = None
            if not self.is_stopping:
                self._door.take_back()
            handed_count = self._driver.row[Field.HANDED_OVER] - count
            log.info("handed %d connections over; %d are left", handed_count, self._driver.sockets.count)

    async def _answer(self, link: HandoverLink, message: Message) -> None:
        word, *rest = message
        if word == HELLO:
            if rest[0] != HANDOVER_VERSION:
                raise InternalError(f"the new worker speaks version {rest[0]} of the hand-over")
            await link.send((HELLO, HANDOVER_VERSION))
        elif word == LISTENERS:
            listeners = self._door.listeners
            names = [name for name, _ in listeners]
            await link.send((LISTENERS, names, self._lingering()), [listener.fileno() for _, listener in listeners])
        elif word == ACCEPTING:
            self._door.hand_over()
            self._driver.sockets.can_stay = self._departures.can_stay
        elif word == NEXT:
            await self._offer(link, rest[0])
        elif word != SETTLED:
            raise InternalError(f"the new worker said {word} out of turn")

    def _lingering(self) -> Any:
        return handover.pack_lingering(self._driver.core, self._driver.clock())

    async def _offer(self, link: HandoverLink, max_count: int) -> None:
        departures = self._departures
        fds = departures.find(min(max_count, BATCH_MAX_COUNT))
        if not fds:
            await self._say_nothing(link, is_more=not departures.is_round)
            return
        try:
            if not await self._meet(link):
                departures.look_again(fds)
                await self._say_nothing(link)
                return
            batch = departures.pack(fds)
            if not batch.departures:
                await self._say_nothing(link, is_more=not departures.is_round)
                return
            is_taken = False
            try:
                await link.send((BATCH, departures.is_round, *batch.message), batch.fds, TAKEN_MAX_S)
                message, _ = await link.receive(TAKEN_MAX_S)
                is_taken = message[0] == TAKEN
            except (LinkClosed, TimeoutError, asyncio.CancelledError):
                is_taken = self._ask_who_has_it(link)
                raise
            finally:
                self._end(batch, is_taken)
        finally:
            self._feed.go_on()

    async def _say_nothing(self, link: HandoverLink, is_more: bool = False) -> None:
        """Say that there is no batch now. `is_more`: there may be one at once."""
        is_round = self._departures.is_round
        lingering = self._lingering() if is_round and not self._is_round_told else ()
        self._is_round_told |= is_round
        await link.send((NOTHING, self._driver.sockets.count, is_round, lingering, is_more))

    def _ask_who_has_it(self, link: HandoverLink) -> bool:
        """Find out whether the new worker has the batch, if it has not answered.

        It cannot say so after this; if it tries to, it finds what is said here, or, if this process is gone by then,
        nothing, and then the batch is its own.
        """
        is_sent = link.is_flushed
        if any(message[0] == TAKEN for message, _ in link.stop_receiving()):
            return True
        try:
            return is_sent and not link.put_now((RETRACTED,))
        except LinkClosed:
            return False

    def _end(self, batch: Batch, is_taken: bool) -> None:
        if is_taken:
            self._departures.let_go(batch)
        else:
            self._departures.keep(batch)

    async def _meet(self, link: HandoverLink) -> bool:
        """Stop between two messages of the bus, where the new worker has stopped, too."""
        if not await stop(self._feed, self._loop, None):
            return False
        own = self._feed.position
        await link.send((STOPPED, own.encode()))
        message, _ = await link.receive(ANSWER_MAX_S)
        if message[0] != STOPPED:
            return False
        theirs = BusPosition.decode(message[1])
        if own.epoch == theirs.epoch and own.is_before(theirs) and not await stop(self._feed, self._loop, theirs):
            return False
        return self._feed.position.is_at(theirs)


async def stop(feed: Feed, loop: asyncio.AbstractEventLoop, target: BusPosition | None) -> bool:
    """Let a feed read on to `target`, or to the end of its present message; say whether it came to a halt in time."""
    stopped: asyncio.Future[bool] = loop.create_future()
    feed.stop_at(target, functools.partial(_answer, stopped, True))
    timer = loop.call_later(MEETING_MAX_S, _answer, stopped, False)
    try:
        return await stopped
    finally:
        timer.cancel()


def _answer(question: "asyncio.Future[bool]", answer: bool) -> None:
    if not question.done():
        question.set_result(answer)
