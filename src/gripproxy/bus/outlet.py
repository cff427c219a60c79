"""The hub's end of the bus: every item to every worker, in order, none dropped while its worker lives."""

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import ClassVar

import zmq

from gripproxy.bus.item_sequencer import ReleasedItem
from gripproxy.bus.watched_socket import BATCH_MAX_COUNT, AnyContext, WatchedSocket, bind
from gripproxy.bus.worker_notice import (
    AllChannelsTold,
    ChannelsChanged,
    IdsDoubted,
    Notice,
    WorkerJoined,
    WorkerLeft,
    decode_notice,
)
from gripproxy.errors import InternalError
from gripproxy.protocol.bus_message import (
    UNTOUCHED,
    NotedId,
    Payload,
    encode_audience,
    encode_conn_check,
    encode_forget,
    encode_hello,
    encode_items,
    encode_last_ids,
    encode_moved,
    encode_refresh,
    encode_stale,
)
from gripproxy.protocol.bus_parts import split_message
from gripproxy.protocol.receipt import receipt_number
from gripproxy.scoreboard import Field

log = logging.getLogger(__name__)

# Messages that may wait for one worker inside of ZeroMQ, on each side. Full ones ride out a worker's pause of some ten
# milliseconds; past it the hub stops reading its inputs, so that publishers wait and nothing is dropped. Large ones go
# in parts, so this bounds the memory too: 16 to 32 MB.
MESSAGES_HWM = 250
# Items of one turn of the loop share a message: ZeroMQ, its threads and their switches cost more than an item does.
# The first of so many waits for a fourth of a millisecond.
MESSAGE_MAX_COUNT = 64
MESSAGE_MAX_BYTES = 65_536  # past this a message costs by its bytes; one larger item goes alone
# What may wait in front of a blocked bus: a control request is all or nothing, so it may overshoot a full bus.
WAITING_MAX_COUNT = 10_000  # messages, most of them of few items: full ones reach the bytes first
WAITING_MAX_BYTES = 16 * 1024 * 1024
RETRY_S = 0.01  # the socket's own edge normally comes first
LINGER_MS = 500  # on a stop of the hub alone, for workers that still read

OnChannels = Callable[[ChannelsChanged], None]
OnWorker = Callable[[int], None]
OnDoubts = Callable[[IdsDoubted], None]


class Outlet:
    """An XPUB socket on a private unix socket file, numbering its items from 0 within a random epoch.

    A worker that joins is sent a hello with the number of the next item; then `on_joined` is called. While a worker is
    full, `is_blocked` is True, and the inputs must not read; the callables in `on_unblocked` are called when they may
    again. Those in `on_gone` are called with a worker whose process is gone, and `on_left` also with one that joins, as
    the hub knows nothing of it then. `on_items_sent` is called with the channels of each message of items.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        zmq_context: AnyContext,
        path: str,
        workers_count: int,
        row: memoryview,
    ) -> None:
        self.epoch = secrets.randbits(32)
        self.is_blocked = False  # a worker is full: read no input
        self.on_unblocked: list[Callable[[], None]] = []
        self.on_channels: OnChannels | None = None
        self.on_joined: OnWorker | None = None
        self.on_left: OnWorker | None = None
        self.on_gone: list[OnWorker] = []
        self.on_doubts: OnDoubts | None = None
        self.on_items_sent: Callable[[list[str]], None] | None = None
        self._loop = loop
        self._row = row
        self._workers_count = workers_count
        self._next_sequence = 0
        self._is_open = True
        self._has_moved = False
        self._path = path
        self._former_seats: Collection[int] = ()
        self._former_count = 0  # items that these got from the hub before
        self._channels: list[str] = []  # of the items that are gathered for the next message
        self._payloads: list[Payload] = []
        self._asked: list[int] = []  # places of those whose fate somebody wants to know
        self._taken_us = 0  # when the first of them came
        self._noted_ids: list[NotedId] = []  # not longer than up to the last item that did something to a last id
        self._gathered_bytes = 0
        self._is_batch = False
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._retry: asyncio.TimerHandle | None = None
        self._joined: dict[int, bytes] = {}
        self._told: set[int] = set()  # those that have also reported all their channels
        self._join_happened = asyncio.Event()
        xpub = zmq_context.socket(zmq.XPUB)
        xpub.setsockopt(zmq.XPUB_NODROP, 1)
        xpub.setsockopt(zmq.SNDHWM, MESSAGES_HWM)
        bind(xpub, "rundir", f"ipc://{path}", file_mode=0o600)
        self._send = xpub.send
        self._recv = xpub.recv
        self._socket = WatchedSocket(loop, xpub, self._read_batch)

    @property
    def joined(self) -> Collection[int]:
        """The workers that get what is sent now."""
        return self._joined.keys()

    @property
    def is_overfull(self) -> bool:
        """So much waits for the full worker that items must be turned away."""
        return len(self._waiting) >= WAITING_MAX_COUNT or self._waiting_bytes >= WAITING_MAX_BYTES

    def has_joined(self, worker_index: int) -> bool:
        """Say whether a worker is on the bus."""
        return worker_index in self._joined

    def has_told(self, worker_index: int) -> bool:
        """Say whether a worker that joined has reported all the channels that it had then."""
        return worker_index in self._told

    def publish_packed(
        self,
        channel: str,
        payload: Payload,
        size_bytes: int,
        noted_id: NotedId = UNTOUCHED,
        is_receipt_wanted: bool = False,
    ) -> int:
        """Send an item to every worker, or queue it while one of them is full. Give its `receipt_number`.

        It waits for the others of its batch or this turn of the loop.

        Args:
            payload: the content alone, or what `pack_item` gives.
            size_bytes: of it, for the bounds on a message.
            noted_id: what the item does to its channel's last id.
            is_receipt_wanted: every worker is to tell what became of it.
        """
        channels = self._channels
        if not channels:
            self._begin_message()
        if is_receipt_wanted:
            self._asked.append(len(channels))
        if noted_id is not UNTOUCHED:
            if len(self._noted_ids) < len(channels):
                self._fill_noted_ids(len(channels))
            self._noted_ids.append(noted_id)
        channels.append(channel)
        self._payloads.append(payload)
        self._gathered_bytes += size_bytes
        number = receipt_number(self.epoch, self._next_sequence + len(channels) - 1)
        if len(channels) >= MESSAGE_MAX_COUNT or self._gathered_bytes >= MESSAGE_MAX_BYTES:
            self._send_gathered()
        return number

    def publish_contents(self, channels: list[str], contents: list[bytes]) -> None:
        """Do what `publish_packed` does for many items that are content alone, in a small part of the time."""
        if not self._channels:
            self._begin_message()
        self._channels += channels
        self._payloads += contents
        self._gathered_bytes += sum(map(len, contents))
        if len(self._channels) >= MESSAGE_MAX_COUNT or self._gathered_bytes >= MESSAGE_MAX_BYTES:
            self._send_gathered()

    def publish_released(self, items: Iterable[ReleasedItem]) -> None:
        """Send what the sequencer has released, in order, as `publish_packed` does."""
        for item in items:
            inquiry = item.inquiry
            size_bytes, is_asked = len(item.payload[0]), inquiry is not None
            number = self.publish_packed(item.channel, item.payload, size_bytes, item.noted_id, is_asked)
            if inquiry is not None:
                inquiry.on_sent(number)

    def begin_batch(self) -> None:
        """Announce that items follow, and after them `end_batch`: they need not wait for the loop to turn."""
        self._is_batch = True

    def end_batch(self) -> None:
        """Send what was gathered."""
        self._is_batch = False
        self._send_gathered()

    def tell_last_ids(self, worker_index: int, channels: Sequence[str], last_ids: Sequence[str]) -> None:
        """Tell one worker what was known before it joined; no channels: that was all."""
        self._send_gathered()
        self._send_in_order(encode_last_ids(self.epoch, self._next_sequence, worker_index, channels, last_ids))

    def tell_forget(self, channels: Sequence[str] | None) -> None:
        """Tell every worker to forget the last ids of these channels, or all."""
        self._send_gathered()
        self._send_in_order(encode_forget(self.epoch, self._next_sequence, channels))

    def tell_stale(self, channels: Sequence[str] | None) -> None:
        """Tell every worker that holds on these channels, or on any, should ask their origin again."""
        self._send_gathered()
        self._send_in_order(encode_stale(self.epoch, self._next_sequence, channels))

    def tell_conn_check(self, query: int, conn_ids: Sequence[str], is_refresh: bool = False) -> None:
        """Ask every worker which of these are its connections; they answer by telemetry.

        With `is_refresh` they also ask the origins of those that are WebSockets over HTTP whether there is news.
        """
        self._send_gathered()
        self._send_in_order(encode_conn_check(self.epoch, self._next_sequence, query, conn_ids, is_refresh))

    def tell_refresh(self, channel: str) -> None:
        """Let every worker ask the origins of the WebSockets on a channel whether there is news."""
        self._send_gathered()
        self._send_in_order(encode_refresh(self.epoch, self._next_sequence, (channel,)))

    def tell_audience(self, channels: Sequence[str]) -> None:
        """Ask every worker how many listen to each of these channels; they answer by telemetry."""
        self._send_gathered()
        self._send_in_order(encode_audience(self.epoch, self._next_sequence, channels))

    def tell_moved(self, bus_path: str, telemetry_path: str) -> None:
        """Tell every worker that another hub goes on from here; say nothing more, whatever happens."""
        self._send_gathered()
        self._send_in_order(encode_moved(self.epoch, self._next_sequence, bus_path, telemetry_path))
        self._has_moved = True

    def take_over(self, seats: Collection[int], sent_count: int) -> None:
        """Expect these workers, to whom another hub had sent so many items."""
        self._former_seats, self._former_count = seats, sent_count

    async def wait_unblocked(self) -> None:
        """Wait until all that was said is with ZeroMQ."""
        self._send_gathered()
        while self._waiting:
            await asyncio.sleep(RETRY_S)

    async def wait_joined(self, worker_indices: Collection[int], timeout_s: float) -> set[int]:
        """Wait until all these have joined and told all their channels; give those that have not after `timeout_s`."""
        deadline = self._loop.time() + timeout_s
        while missing := set(worker_indices) - self._told:
            self._join_happened.clear()
            try:
                await asyncio.wait_for(self._join_happened.wait(), deadline - self._loop.time())
            except TimeoutError:
                return missing
        return set()

    def close(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        self._send_gathered()
        self._is_open = False
        self._socket.close(LINGER_MS)

    def _begin_message(self) -> None:
        self._taken_us = time.monotonic_ns() // 1000
        if not self._is_batch:
            self._loop.call_soon(self._send_gathered)

    def _send_gathered(self) -> None:
        count = len(self._channels)
        if count and self._is_open:
            channels, self._channels = self._channels, []  # first: what cannot be encoded must not stay
            payloads, self._payloads = self._payloads, []
            if self._noted_ids:
                self._fill_noted_ids(count)
            noted_ids, self._noted_ids = self._noted_ids, []
            asked, self._asked = self._asked, []
            self._gathered_bytes = 0
            message = encode_items(
                self.epoch, self._next_sequence, channels, payloads, noted_ids, self._taken_us, asked
            )
            if self.on_items_sent is not None:
                self.on_items_sent(channels)
            self._next_sequence += count
            self._row[Field.ITEMS_SENT] += count
            self._send_in_order(message)

    def _fill_noted_ids(self, count: int) -> None:
        while len(self._noted_ids) < count:
            self._noted_ids.append(UNTOUCHED)

    def _send_in_order(self, message: bytes) -> None:
        for part in split_message(message):
            self._send_part(part)

    def _send_part(self, message: bytes) -> None:
        if self._has_moved:
            return
        if not self.is_blocked:
            try:
                self._send(message, zmq.NOBLOCK)
            except zmq.Again:
                self.is_blocked = True
            else:
                self._socket.look()
                return
        self._waiting.append(message)
        self._waiting_bytes += len(message)
        self._retry_later()

    def _retry_later(self) -> None:
        if self._retry is None:
            self._retry = self._loop.call_later(RETRY_S, self._on_retry)

    def _on_retry(self) -> None:
        self._retry = None
        self._socket.wake()

    def _read_batch(self) -> bool:
        """Take the workers' notices, then send what waits: one edge tells of both."""
        try:
            for _ in range(BATCH_MAX_COUNT):
                message = self._recv(zmq.NOBLOCK)
                try:
                    self._handle(decode_notice(message))
                except InternalError as error:
                    self._row[Field.INTERNAL_ERRORS] += 1
                    log.error("%s", error)
        except zmq.Again:
            self._send_waiting()
            return False
        return True

    def _send_waiting(self) -> None:
        if not self._waiting:
            return
        try:
            while self._waiting:
                self._send(self._waiting[0], zmq.NOBLOCK)
                self._waiting_bytes -= len(self._waiting.popleft())
        except zmq.Again:
            self._retry_later()
            return
        self.is_blocked = False
        self._socket.wake()
        for resume in self.on_unblocked:
            resume()

    def _handle(self, notice: Notice | None) -> None:
        if notice is None:
            return
        if notice.worker_index >= self._workers_count:
            raise InternalError(f"worker {notice.worker_index} on the bus, of {self._workers_count}")
        self._on_notice[type(notice)](self, notice)

    def _on_channels(self, notice: ChannelsChanged) -> None:
        if self.on_channels is not None:
            self.on_channels(notice)

    def _on_doubts(self, notice: IdsDoubted) -> None:
        if self.on_doubts is not None:
            self.on_doubts(notice)

    def _on_joined(self, notice: WorkerJoined) -> None:
        before = self._joined.get(notice.worker_index, notice.topic)
        self._joined[notice.worker_index] = notice.topic
        self._forget_worker(notice.worker_index)
        if before != notice.topic:
            self._tell_gone(notice.worker_index)
        self._send_gathered()
        sent_count = self._row[Field.ITEMS_SENT]
        if notice.worker_index in self._former_seats:
            sent_count += self._former_count
        hello = encode_hello(self.epoch, self._next_sequence, notice.worker_index, sent_count, self._path)
        self._send_in_order(hello)
        if self.on_joined is not None:
            self.on_joined(notice.worker_index)

    def _on_all_told(self, notice: AllChannelsTold) -> None:
        self._told.add(notice.worker_index)
        self._join_happened.set()

    def _on_left(self, notice: WorkerLeft) -> None:
        if self._joined.get(notice.worker_index) == notice.topic:
            del self._joined[notice.worker_index]
            self._forget_worker(notice.worker_index)
            self._tell_gone(notice.worker_index)

    def _tell_gone(self, worker_index: int) -> None:
        for on_gone in self.on_gone:
            on_gone(worker_index)

    def _forget_worker(self, worker_index: int) -> None:
        self._told.discard(worker_index)
        if self.on_left is not None:
            self.on_left(worker_index)

    _on_notice: ClassVar[dict[type[Notice], Callable[..., None]]] = {
        ChannelsChanged: _on_channels,
        IdsDoubted: _on_doubts,
        WorkerJoined: _on_joined,
        AllChannelsTold: _on_all_told,
        WorkerLeft: _on_left,
    }
