"""The worker's end of the bus: items in, channel reports out."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import islice

import zmq

from gripproxy.bus.sequence_watch import SequenceWatch
from gripproxy.bus.watched_socket import AnySocket, WatchedSocket, connect
from gripproxy.bus.worker_notice import ALL_ITEMS, SUBSCRIBE, encode_channels, encode_join_topic
from gripproxy.errors import InternalError
from gripproxy.protocol.bus_message import BusMessage, Payload, decode_message
from gripproxy.scoreboard import Field

log = logging.getLogger(__name__)

MESSAGES_HWM = 250  # as the hub's side: past both the hub stops reading its inputs
BATCH_MAX_S = 0.002  # a client's request waits for no more than this and one item
RECONNECT_MS = 20  # a new hub is joined this soon after it listens
REPORT_MAX_COUNT = 5_000  # channels in one report after a new hub was joined: about 2 ms

OnItem = Callable[[str, Payload], None]


class Feed:
    """Receives every item from the hub, and joins each new hub by itself.

    `on_item` is called, in order, with the channel and the payload of every item whose channel is in `wanted` at that
    moment; it may raise InternalError for a damaged one. `row` is the worker's scoreboard row.
    """

    def __init__(
        self,
        bus_path: str,
        worker_index: int,
        loop: asyncio.AbstractEventLoop,
        wanted: AbstractSet[str],
        on_item: OnItem,
        row: memoryview,
    ) -> None:
        self._bus_path = bus_path
        self._worker_index = worker_index
        self._loop = loop
        self._wanted = wanted
        self._on_item = on_item
        self._row = row
        self._watch = SequenceWatch()
        self._channels: set[str] = set()
        self._changes: dict[str, bool] = {}  # not yet reported; True: subscribed
        self._joined = loop.create_future()
        self._items: Iterator[tuple[str, Payload]] = iter(())  # what is left of the message that is being handled
        self._is_paused = False
        self._is_open = True
        self._zmq_context: zmq.Context[AnySocket] = zmq.Context()
        xsub = self._zmq_context.socket(zmq.XSUB)
        # ZeroMQ silently drops what exceeds this limit; what waits is bounded by the number of channels.
        xsub.setsockopt(zmq.SNDHWM, 0)
        xsub.setsockopt(zmq.RCVHWM, MESSAGES_HWM)
        xsub.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        connect(xsub, "rundir", f"ipc://{bus_path}")
        # In this order: once the hub knows of the join, every item comes.
        xsub.send(SUBSCRIBE + ALL_ITEMS)
        xsub.send(SUBSCRIBE + encode_join_topic(worker_index, os.getpid()))
        self._recv = xsub.recv
        self._socket = WatchedSocket(loop, xsub, self._read_batch)

    async def join(self, timeout_s: float) -> None:
        """Wait for the hub's hello: every item that the hub takes after it reaches this worker.

        Raises:
            OSError: no hello came in time.
        """
        try:
            await asyncio.wait_for(asyncio.shield(self._joined), timeout_s)
        except TimeoutError:
            raise OSError(f"the hub did not answer on {self._bus_path} within {timeout_s:g} s") from None

    def subscribe(self, channel: str) -> None:
        """Tell the hub that the channel has a subscriber here. Twice is as good as once."""
        self._channels.add(channel)
        self._change(channel, True)

    def unsubscribe(self, channel: str) -> None:
        """Tell the hub that the channel has no subscriber here any more."""
        self._channels.discard(channel)
        self._change(channel, False)

    def pause(self) -> None:
        """Hand out no more items until `resume`. They wait on the bus, and when it is full, at the publishers."""
        self._is_paused = True

    def resume(self) -> None:
        """Go on after `pause`; nothing if it was not paused."""
        if self._is_paused:
            self._is_paused = False
            self._socket.wake()

    def close(self) -> None:
        """Leave the bus at once."""
        self._is_open = False
        self._socket.close()
        self._zmq_context.term()

    def _change(self, channel: str, is_subscribed: bool) -> None:
        if not self._changes:
            self._loop.call_soon(self._report_changes)
        self._changes[channel] = is_subscribed

    def _report_changes(self) -> None:
        changes, self._changes = self._changes, {}
        self._report(
            [channel for channel, is_subscribed in changes.items() if is_subscribed],
            [channel for channel, is_subscribed in changes.items() if not is_subscribed],
        )

    def _report_all(self, rest: Iterable[str]) -> None:
        """Tell a new hub of all channels, a part in each turn of the loop."""
        part = list(islice(rest, REPORT_MAX_COUNT))
        # A channel that was left meanwhile has its own report, which must not be overtaken by this one.
        self._report([channel for channel in part if channel in self._channels], [])
        if part:
            self._loop.call_soon(self._report_all, rest)

    def _report(self, added: list[str], removed: list[str]) -> None:
        if self._is_open and (added or removed):
            self._socket.zmq_socket.send(encode_channels(self._worker_index, added, removed), zmq.NOBLOCK)
            self._socket.wake()

    def _read_batch(self) -> bool:
        """Handle items for a short time."""
        deadline = time.monotonic() + BATCH_MAX_S
        while not self._is_paused:
            for channel, payload in self._items:
                if channel in self._wanted:
                    try:
                        self._on_item(channel, payload)
                    except InternalError as error:
                        self._on_damage(error)  # which takes no other item of its message with it
                    if self._is_paused or time.monotonic() > deadline:
                        return not self._is_paused
            if time.monotonic() > deadline:
                return True
            try:
                self._open(decode_message(self._recv(zmq.NOBLOCK)))
            except zmq.Again:
                return False
            except InternalError as error:
                self._on_damage(error)
        return False

    def _open(self, message: BusMessage) -> None:
        """Begin with a message. Most often nobody here wants anything of it, and then that is all."""
        if message.hello_worker is None:
            self._row[Field.ITEMS_RECEIVED] += len(message.channels)
            self._row[Field.BUS_GAPS] += self._watch.items(message.epoch, message.sequence, len(message.channels))
            if not self._wanted.isdisjoint(message.channels):
                self._items = zip(message.channels, message.payloads, strict=True)
        elif message.hello_worker == self._worker_index:
            self._row[Field.BUS_GAPS] += self._watch.hello(message.epoch, message.sequence)
            if not self._joined.done():
                self._joined.set_result(None)
            self._report_all(iter(list(self._channels)))

    def _on_damage(self, error: InternalError) -> None:
        self._row[Field.INTERNAL_ERRORS] += 1
        log.error("%s", error)
