"""Connections that leave this worker for another one: found, kept still, sent, and let go of once they are there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gripproxy.engine import handover
from gripproxy.engine.departures import Packer
from gripproxy.engine.effects import CloseChannel
from gripproxy.scoreboard import Field
from gripproxy_worker.backlog import Backlog
from gripproxy_worker.client_conn import ClientConn
from gripproxy_worker.client_sockets import HELD, Record
from gripproxy_worker.driver import Driver
from gripproxy_worker.handover_link import close_all
from gripproxy_worker.idle_conn import IdleConn
from gripproxy_worker.ws_input import WsKind

BATCH_MAX_COUNT = 500  # connections: some 10 ms of either worker's time
BATCH_MAX_BYTES = 4_194_304  # of what they have not read, past which a batch takes no more
LOOK_MAX_COUNT = 5_000  # descriptors looked at in one turn of the loop
# How long a channel that nobody here listens to any more counts as subscribed: the other worker has told the hub that
# it has listeners, but by another socket.
CLOSE_DELAY_S = 5.0


class Leaving:
    """The record of a connection that is on its way: it belongs to whichever worker is known to have it in the end."""

    __slots__ = ()

    def on_readable(self) -> None:
        """Leave it to who has it next."""

    def on_drained(self) -> None:
        """Leave it to who has it next."""

    def on_gone(self) -> None:
        """Leave it to who has it next."""


LEAVING = Leaving()


@dataclass(slots=True)
class Departure:
    """A connection that is on its way, and what is needed if it is to stay."""

    fd: int
    record: Record
    backlog: Backlog | None
    origin_fd: int | None


@dataclass(slots=True)
class Batch:
    """Connections that go together. `message` is what the other worker is to know, `fds` go with it."""

    packer: Packer
    departures: list[Departure] = field(default_factory=list)
    records: list[Any] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    payload_numbers: dict[int, int] = field(default_factory=dict)  # by the identity of what waits
    waiting_bytes: int = 0

    @property
    def message(self) -> tuple[Any, ...]:
        return self.packer.tables(), self.payloads, self.records

    @property
    def fds(self) -> list[int]:
        origin_fds = [each.origin_fd for each in self.departures if each.origin_fd is not None]
        return [each.fd for each in self.departures] + origin_fds


class Departures:
    """Moves connections of one worker out, batch by batch."""

    def __init__(self, driver: Driver, call_later: Callable[..., object]) -> None:
        self._driver = driver
        self._call_later = call_later
        self._next_fd = 0
        self.is_round = False  # the last `find` has come to the end of all connections
        self._closed: set[str] = set()  # channels that are still said to be subscribed

    def can_move(self, fd: int) -> bool:
        """Say whether a connection is of a kind that can move, and does not do anything of its own now."""
        driver, record = self._driver, self._driver.sockets.records[fd]
        if record is None or not driver.sockets.is_at_rest(fd) or fd in driver.outbox:
            return False
        if record is HELD or isinstance(record, IdleConn):
            return True
        if type(record) is WsKind:
            return driver.web_sockets.is_at_rest(fd)
        return isinstance(record, ClientConn) and record.is_resting and fd not in driver.sockets.backlogs

    def can_stay(self, fd: int) -> bool:
        """Say whether a worker that ends need not end a connection: it can move, or could yet when it rests."""
        sockets = self._driver.sockets
        if sockets.is_late or fd in sockets.tls:
            return self.can_move(fd)
        record = sockets.records[fd]
        if type(record) is WsKind:
            return self._driver.web_sockets.is_movable(fd)
        return record is HELD or isinstance(record, IdleConn | ClientConn)

    def find(self, max_count: int) -> list[int]:
        """Look on for connections that can move."""
        self._driver.outbox.flush()
        records, found = self._driver.sockets.records, list[int]()
        end = min(len(records), self._next_fd + LOOK_MAX_COUNT)
        for fd in range(self._next_fd, end):
            if records[fd] is not None and self.can_move(fd):
                found.append(fd)
                if len(found) >= max_count:
                    end = fd + 1
                    break
        self.is_round = end >= len(records)
        self._next_fd = 0 if self.is_round else end
        return found

    def look_again(self, fds: Sequence[int]) -> None:
        """Begin with these when looking on: they were found, and could not be sent."""
        self._next_fd = fds[0]
        self.is_round = False

    def pack(self, fds: Sequence[int]) -> Batch:
        """Keep these still that are still at rest, and make a batch of them. The bus has to stand still for us."""
        driver = self._driver
        now = driver.clock()
        driver.perform(handover.catch_up(driver.core, fds, now))
        driver.outbox.flush()
        batch = Batch(Packer(driver.core, now))
        for fd in fds:
            if self.can_move(fd):
                self._pack(batch, fd, now)
                if batch.waiting_bytes > BATCH_MAX_BYTES:
                    break
        return batch

    def _pack(self, batch: Batch, fd: int, now: float) -> None:
        driver, sockets = self._driver, self._driver.sockets
        record = sockets.records[fd]
        assert record is not None
        handed = batch.packer.pack(fd)
        if handed is None:
            return
        early_input, idle_s = b"", None
        if record is HELD:
            early_input = driver.held.early_input.get(fd, b"")
        elif isinstance(record, IdleConn):
            early_input = record.early_input
            idle_s = driver.wheel.left_s(record, now)
            driver.wheel.cancel(record)
        elif isinstance(record, ClientConn):
            idle_s = record.active_at + driver.settings.keepalive_timeout - now
            driver.wheel.cancel(record)
        origin = driver.web_sockets.origin_of(fd) if type(record) is WsKind else None
        backlog = sockets.backlogs.take_out(fd)
        limit = sockets.limited.get(fd)
        batch.records.append(
            (
                handed,
                early_input,
                idle_s,
                self._pack_backlog(batch, backlog),
                None if limit is None else limit.name,
                sockets.proxied.get(fd),
                None if origin is None else origin.is_deflating,
            )
        )
        sockets.records[fd] = LEAVING
        batch.departures.append(Departure(fd, record, backlog, None if origin is None else origin.lend()))

    def _pack_backlog(self, batch: Batch, backlog: Backlog | None) -> tuple[int, list[int]] | None:
        """Name what waits by its number among the batch's payloads; twice it, and one more for an item."""
        if backlog is None:
            return None
        numbers = []
        for waiting in backlog.queue:
            number = batch.payload_numbers.get(id(waiting))
            if number is None:
                number = batch.payload_numbers[id(waiting)] = len(batch.payloads)
                batch.payloads.append(waiting.payload)
                batch.waiting_bytes += len(waiting.payload)
            numbers.append(2 * number + waiting.is_item)
        return backlog.written_bytes, numbers

    def let_go(self, batch: Batch) -> None:
        """Forget connections that are the other worker's now."""
        driver, sockets = self._driver, self._driver.sockets
        items_count = 0
        for departure in batch.departures:
            fd = departure.fd
            for effect in batch.packer.release(fd):
                if isinstance(effect, CloseChannel):
                    self._closed.add(effect.name)
            driver.held.early_input.pop(fd, None)
            driver.web_sockets.hand_over(fd)
            if departure.backlog is not None:
                items_count += sum([waiting.is_item for waiting in departure.backlog.queue])
            sockets.leave(fd)
        close_all([each.origin_fd for each in batch.departures if each.origin_fd is not None])
        driver.row[Field.HANDED_OVER] += len(batch.departures)
        driver.row[Field.HANDED_ITEMS] += items_count
        if self._closed:
            closed, self._closed = self._closed, set()
            self._call_later(CLOSE_DELAY_S, self._close_channels, closed)

    def keep(self, batch: Batch) -> None:
        """Go on with connections that the other worker has not taken."""
        driver, sockets = self._driver, self._driver.sockets
        now = driver.clock()
        close_all([each.origin_fd for each in batch.departures if each.origin_fd is not None])
        for departure, fields in zip(batch.departures, batch.records, strict=True):
            fd, record, idle_s = departure.fd, departure.record, fields[2]
            sockets.records[fd] = record
            if departure.backlog is not None:
                sockets.backlogs.put_in(fd, departure.backlog.queue, departure.backlog.written_bytes)
            if isinstance(record, IdleConn | ClientConn):
                driver.wheel.schedule(record, now + (idle_s or 0.0))
            origin = driver.web_sockets.origin_of(fd)
            if origin is not None:
                origin.stay()
            driver.perform(batch.packer.restore(fd, now))
            sockets.watch_again(fd)

    def _close_channels(self, names: set[str]) -> None:
        feed, channels = self._driver.feed, self._driver.core.holds.subscriptions.channels
        if feed is not None:
            for name in names:
                if name not in channels:
                    feed.unsubscribe(name)
