"""The worker's end of the bus: items and last ids in, channel reports out."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import IntFlag
from itertools import islice, repeat
from typing import ClassVar

import zmq

from gripproxy.bus.bus_position import BusPosition
from gripproxy.bus.sequence_watch import SequenceWatch
from gripproxy.bus.watched_socket import AnyContext, WatchedSocket, connect
from gripproxy.bus.worker_notice import (
    ALL_ITEMS,
    SUBSCRIBE,
    encode_all_told,
    encode_channels,
    encode_doubts,
    encode_join_topic,
)
from gripproxy.errors import InternalError
from gripproxy.protocol.bus_message import (
    AUDIENCE,
    CONN_CHECK,
    CONN_REFRESH,
    FORGET,
    HELLO,
    ITEMS,
    LAST_IDS,
    MOVED,
    REFRESH,
    STALE,
    UNTOUCHED,
    BusMessage,
    NotedId,
    Payload,
    decode_message,
)
from gripproxy.protocol.bus_parts import MessageJoiner
from gripproxy.protocol.last_ids import LastIds
from gripproxy.protocol.receipt import Receipt, receipt_number
from gripproxy.scoreboard import Field, Histogram, observe

log = logging.getLogger(__name__)

_BUS = int(Histogram.BUS)

MESSAGES_HWM = 250  # as the hub's side: past both the hub stops reading its inputs
BATCH_MAX_S = 0.002  # a client's request waits for no more than this and one item
RECONNECT_MS = 20  # a new hub is joined this soon after it listens
REPORT_MAX_COUNT = 5_000  # channels in one report after a new hub was joined: about 2 ms


class Pause(IntFlag):
    """Why no items are handed out."""

    ENGINE = 1  # it has enough unfinished fan-outs
    HANDOVER = 2  # connections are moving between two workers


@dataclass(slots=True)
class Reader:
    """Whom a feed is for.

    `on_item` is called, in order, with the channel and the payload of every item whose channel is in `wanted` at that
    moment, and a receipt if somebody wants to know what becomes of it; it may raise InternalError for a damaged one.
    `on_unwanted` is called with the receipt of an item that nobody here wants. `on_message_done` is called when all
    items of a message that had some for us have had their turn, with the time when the hub took the first. `on_stale`
    is called with those of `wanted` whose holds should ask their origin again, or with None for all. `last_ids` is kept
    up to date: at each call, and between them, it says what the hub knew when it sent that item. It covers all channels
    of the host, wanted here or not: a client that held in another worker may come here next.
    """

    wanted: AbstractSet[str]
    last_ids: LastIds
    on_item: Callable[[str, Payload, Receipt | None], None]
    on_stale: Callable[[list[str] | None], None]
    on_unwanted: Callable[[Receipt], None] = lambda receipt: None
    on_message_done: Callable[[int], None] = lambda taken_us: None


class Feed:
    """Receives every item from the hub, and joins each new hub by itself. `row` is the worker's scoreboard row."""

    def __init__(
        self, bus_path: str, worker_index: int, loop: asyncio.AbstractEventLoop, reader: Reader, row: memoryview
    ) -> None:
        self.last_ids = reader.last_ids
        self._bus_path = bus_path
        self._worker_index = worker_index
        self._loop = loop
        self._wanted = reader.wanted
        self._on_item = reader.on_item
        self._on_unwanted = reader.on_unwanted
        self.is_asked_for_all = False  # somebody wants to know what becomes of every item
        self._on_message_done = reader.on_message_done
        self._is_message_open = False  # items of it have been handed out, or will be
        self._open_count = 0  # items of that message
        self._taken_us = 0  # when the hub took its first item, as `BusMessage` has it
        self._on_stale = reader.on_stale
        self._row = row
        self._watch = SequenceWatch()
        self._channels: dict[str, bool] = {}  # True: its holds can ask their origin again
        self._changes: dict[str, bool] = {}  # not yet reported; True: subscribed
        self._doubts: dict[str, str] = {}  # not yet reported
        self._is_reporting = False
        self._untold: Iterator[str] | None = None  # of the channels that a new hub is told of
        self._is_greeted = False
        self._joined = loop.create_future()
        # What is left of the message that is being handled.
        self._items: Iterator[tuple[str, Payload, NotedId, Receipt | None]] = iter(())
        self._pauses = 0  # of `Pause`
        self._notices_count: int | None = None  # as `BusPosition` has it
        self._stop: tuple[BusPosition | None, Callable[[], None]] | None = None
        self._is_open = True
        self.on_conn_check: Callable[[int, list[str]], None] = lambda query, conn_ids: None  # the hub asks
        self.on_conn_refresh: Callable[[int, list[str]], None] = lambda query, conn_ids: None  # as well
        self.on_audience: Callable[[list[str]], None] = lambda channels: None  # as well
        self.on_refresh: Callable[[list[str]], None] = lambda channels: None  # WebSockets on these are meant
        self.on_new_hub: Callable[[], None] = lambda: None  # a hub has taken us up
        self.on_moved: Callable[[str], None] = lambda telemetry_path: None  # a hub elsewhere takes what we tell
        self._next_path: str | None = None  # of the hub that this worker's own one handed over to
        self.zmq_context: AnyContext = zmq.Context()
        xsub = self.zmq_context.socket(zmq.XSUB)
        # ZeroMQ silently drops what exceeds this limit; what waits is bounded by the number of channels.
        xsub.setsockopt(zmq.SNDHWM, 0)
        xsub.setsockopt(zmq.RCVHWM, MESSAGES_HWM)
        xsub.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        connect(xsub, "rundir", f"ipc://{bus_path}")
        # In this order: once the hub knows of the join, every item comes.
        xsub.send(SUBSCRIBE + ALL_ITEMS)
        xsub.send(SUBSCRIBE + encode_join_topic(worker_index, os.getpid()))
        self._recv = xsub.recv
        self._join = MessageJoiner().take
        self._socket = WatchedSocket(loop, xsub, self._read_batch)

    async def join(self, timeout_s: float) -> None:
        """Wait for the hub's hello and all last ids: every item that the hub takes after it reaches this worker.

        Raises:
            OSError: they did not come in time.
        """
        try:
            await asyncio.wait_for(asyncio.shield(self._joined), timeout_s)
        except TimeoutError:
            raise OSError(f"the hub did not answer on {self._bus_path} within {timeout_s:g} s") from None

    def subscribe(self, channel: str, is_update_wanted: bool = False) -> None:
        """Tell the hub that the channel has a subscriber here. Twice is as good as once.

        `is_update_wanted`: if it is the first on this host, `on_stale` is to be called with the channel a second later.
        """
        self._channels[channel] = is_update_wanted or self._channels.get(channel, False)
        self._changes[channel] = True
        self._report_soon()

    def unsubscribe(self, channel: str) -> None:
        """Tell the hub that the channel has no subscriber here any more."""
        self._channels.pop(channel, None)
        self._changes[channel] = False
        self._report_soon()

    def forget_id(self, channel: str, last_id: str) -> None:
        """Forget the channel's last id here, and tell the hub, which forgets it for all, if it is still this one."""
        if self.last_ids.get(channel) == last_id:
            del self.last_ids[channel]
        self._doubts[channel] = last_id
        self._report_soon()

    def has_handled(self, sent_count: int) -> bool:
        """Say whether the items that the hub had sent when its count of them was `sent_count` have had their turn."""
        return self._known_count() - self._open_count >= sent_count

    def _known_count(self) -> int:
        row = self._row
        return row[Field.ITEMS_RECEIVED] + row[Field.BUS_GAPS] + row[Field.ITEMS_MISSED]

    def pause(self, reason: Pause = Pause.ENGINE) -> None:
        """Hand out no more items until `resume`. They wait on the bus, and when it is full, at the publishers."""
        self._pauses |= reason

    def resume(self, reason: Pause = Pause.ENGINE) -> None:
        """Go on after `pause`, if nothing else speaks against it; nothing if it was not paused for that."""
        if self._pauses & reason:
            self._pauses &= ~reason
            self._socket.wake()

    @property
    def position(self) -> BusPosition:
        """How far it is. Where it has not stopped, items of the last message may still be due their turn."""
        return BusPosition(self._watch.epoch, self._watch.due, self._notices_count)

    def stop_at(self, target: BusPosition | None, on_stopped: Callable[[], None]) -> None:
        """Read on until `target`, or until the end of the present message, and pause there; then call `on_stopped`.

        It does not go on by itself: see `go_on`. What passed before this was called may be past the target.
        """
        self._stop = target, on_stopped
        self._pauses &= ~Pause.HANDOVER
        self._socket.wake()

    def go_on(self) -> None:
        """Go on after `stop_at`, whether or not it has stopped."""
        self._stop = None
        self.resume(Pause.HANDOVER)

    def close(self) -> None:
        """Leave the bus at once."""
        self._is_open = False
        self._socket.close()
        self.zmq_context.term()

    def _report_soon(self) -> None:
        if not self._is_reporting:
            self._is_reporting = True
            self._loop.call_soon(self._report_changes)

    def _report_changes(self) -> None:
        self._is_reporting = False
        if self._changes:
            changes, self._changes = self._changes, {}
            self._report(
                [channel for channel, is_subscribed in changes.items() if is_subscribed],
                [channel for channel, is_subscribed in changes.items() if not is_subscribed],
            )
        if self._doubts:
            doubts, self._doubts = self._doubts, {}
            self._send(encode_doubts(self._worker_index, doubts))

    def _report_all(self, rest: Iterator[str]) -> None:
        """Tell a new hub of all channels, a part in each turn of the loop."""
        if rest is not self._untold:
            return  # there is another hub
        part = list(islice(rest, REPORT_MAX_COUNT))
        if part:
            # A channel that was left meanwhile has its own report, which must not be overtaken by this one.
            self._report([channel for channel in part if channel in self._channels], [])
            self._loop.call_soon(self._report_all, rest)
        else:
            self._send(encode_all_told(self._worker_index))

    def _report(self, added: list[str], removed: list[str]) -> None:
        channels = self._channels
        updating = [channel for channel in added if channels[channel]]
        self._send(encode_channels(self._worker_index, added, removed, updating))

    def _send(self, notice: bytes) -> None:
        if self._is_open:
            self._socket.zmq_socket.send(notice, zmq.NOBLOCK)
            self._socket.wake()

    def _read_batch(self) -> bool:
        """Handle items for a short time."""
        deadline = time.monotonic() + BATCH_MAX_S
        while not self._pauses:
            for channel, payload, noted_id, receipt in self._items:
                if noted_id is not UNTOUCHED:
                    self.last_ids.note(channel, noted_id)
                if channel in self._wanted:
                    try:
                        self._on_item(channel, payload, receipt)
                    except InternalError as error:
                        self._on_damage(error)  # which takes no other item of its message with it
                    if self._pauses or time.monotonic() > deadline:
                        return not self._pauses
                elif receipt is not None:
                    self._on_unwanted(receipt)
            if self._is_message_open:
                self._is_message_open, self._open_count = False, 0
                self._on_message_done(self._taken_us)
            if self._stop is not None and self._has_arrived(*self._stop):
                return False
            if time.monotonic() > deadline:
                return True
            try:
                message = self._join(self._recv(zmq.NOBLOCK))
                if message is not None:
                    self._open(decode_message(message))
            except zmq.Again:
                return False
            except InternalError as error:
                self._on_damage(error)
        return False

    def _has_arrived(self, target: BusPosition | None, on_stopped: Callable[[], None]) -> bool:
        if target is not None and target.epoch == self._watch.epoch and self.position.is_before(target):
            return False
        self._stop = None
        self.pause(Pause.HANDOVER)
        self._loop.call_soon(on_stopped)
        return True

    def _open(self, message: BusMessage) -> None:
        """Begin with a message of items. Most often nobody here wants anything of it, and then that is all."""
        channels, kind = message.channels, message.kind
        if kind != ITEMS or channels is None:
            if message.epoch != self._watch.epoch:
                self._notices_count = None
            elif message.worker_index is None and self._notices_count is not None:
                self._notices_count += 1
            self._row[Field.BUS_GAPS] += self._watch.hello(message.epoch, message.sequence)
            self._on_kind[kind](self, message)
            return
        self._notices_count = 0
        self._row[Field.ITEMS_RECEIVED] += len(channels)
        self._row[Field.BUS_GAPS] += self._watch.items(message.epoch, message.sequence, len(channels))
        observe(self._row, _BUS, time.monotonic() - message.taken_us / 1e6, len(channels))
        if not self._wanted.isdisjoint(channels):
            # An item's id is noted when the item has its turn: a hold that is made before it will still get the item.
            ids: Iterable[NotedId] = message.ids or repeat(UNTOUCHED, len(channels))
            self._items = zip(channels, message.payloads, ids, self._receipts(message, len(channels)), strict=True)
            self._is_message_open, self._taken_us, self._open_count = True, message.taken_us, len(channels)
            return
        if message.ids:
            self._note(channels, message.ids)
        for place in range(len(channels)) if self.is_asked_for_all else message.asked:
            self._on_unwanted(_new_receipt(message, place))

    def _receipts(self, message: BusMessage, count: int) -> Iterable[Receipt | None]:
        """Make a receipt for each item that somebody asks for; most often nobody does."""
        if not self.is_asked_for_all and not message.asked:
            return repeat(None, count)
        asked = range(count) if self.is_asked_for_all else set(message.asked)
        return [_new_receipt(message, place) if place in asked else None for place in range(count)]

    def _note(self, channels: list[str], ids: list[NotedId]) -> None:
        note = self.last_ids.note
        for channel, noted_id in zip(channels, ids, strict=True):
            if noted_id is not UNTOUCHED:
                note(channel, noted_id)

    def _on_hello(self, message: BusMessage) -> None:
        if message.worker_index == self._worker_index:
            self._count_missed(message.asked[0])
            self._is_greeted = True
            if message.payloads == [self._bus_path.encode()]:
                self._stay()
            self.on_new_hub()
            self._untold = iter(list(self._channels))
            self._report_all(self._untold)

    def _on_moved(self, message: BusMessage) -> None:
        """Join the hub of the next version. The path of this one is kept: should the next one fail, another comes."""
        self._next_path, telemetry_path = message.channels or ["", ""]
        connect(self._socket.zmq_socket, "rundir", f"ipc://{self._next_path}")
        self.on_moved(telemetry_path)

    def _stay(self) -> None:
        """Leave the next version's hub, for there is one again at the place of ours."""
        if self._next_path is not None:
            self._socket.zmq_socket.disconnect(f"ipc://{self._next_path}")
            self._next_path = None
            self.on_moved("")

    def _count_missed(self, sent_count: int) -> None:
        """Count items of which nothing came: those that a killed hub took with it, or from before this process."""
        field = Field.BUS_GAPS if self._is_greeted else Field.ITEMS_MISSED
        self._row[field] += max(0, sent_count - self._known_count())

    def _on_last_ids(self, message: BusMessage) -> None:
        if message.worker_index != self._worker_index or not self._is_greeted:
            return  # for another worker, or for the one before this process
        if message.channels:
            self._note(message.channels, message.ids)
        elif not self._joined.done():
            self._joined.set_result(None)

    def _on_forget(self, message: BusMessage) -> None:
        if message.channels is None:
            self.last_ids.clear()
        else:
            for channel in message.channels:
                self.last_ids.pop(channel, None)

    def _on_stale_message(self, message: BusMessage) -> None:
        channels = message.channels
        if channels is None:
            self._on_stale(None)
        elif names := [channel for channel in channels if channel in self._wanted]:
            self._on_stale(names)

    def _on_conn_check(self, message: BusMessage) -> None:
        self.on_conn_check(message.asked[0], message.channels or [])

    def _on_conn_refresh(self, message: BusMessage) -> None:
        self.on_conn_refresh(message.asked[0], message.channels or [])

    def _on_refresh(self, message: BusMessage) -> None:
        self.on_refresh(message.channels or [])

    def _on_audience(self, message: BusMessage) -> None:
        self.on_audience(message.channels or [])

    def _on_damage(self, error: InternalError) -> None:
        self._row[Field.INTERNAL_ERRORS] += 1
        log.error("%s", error)

    _on_kind: ClassVar[dict[int, Callable[["Feed", BusMessage], None]]] = {
        HELLO: _on_hello,
        LAST_IDS: _on_last_ids,
        FORGET: _on_forget,
        STALE: _on_stale_message,
        CONN_CHECK: _on_conn_check,
        AUDIENCE: _on_audience,
        CONN_REFRESH: _on_conn_refresh,
        REFRESH: _on_refresh,
        MOVED: _on_moved,
    }


def _new_receipt(message: BusMessage, place: int) -> Receipt:
    return Receipt(receipt_number(message.epoch, message.sequence + place))
