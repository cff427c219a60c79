"""The hub's end of the bus: every item to every worker, in order, none dropped while its worker lives."""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Callable, Collection

import zmq

from gripproxy.bus.watched_socket import BATCH_MAX_COUNT, WatchedSocket, bind
from gripproxy.bus.worker_notice import ChannelsChanged, Notice, WorkerJoined, WorkerLeft, decode_notice
from gripproxy.errors import InternalError
from gripproxy.protocol.bus_message import Payload, encode_hello, encode_items, pack_item
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.scoreboard import Field

log = logging.getLogger(__name__)

# Messages that may wait for one worker inside of ZeroMQ, on each side. Full ones ride out a worker's pause of some ten
# milliseconds; past it the hub stops reading its inputs, so that publishers wait and nothing is dropped.
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
OnLeft = Callable[[int], None]


class Outlet:
    """An XPUB socket on a private unix socket file, numbering its items from 0 within a random epoch.

    A worker that joins is sent a hello with the number of the next item. While a worker is full, `is_blocked` is
    True, and the inputs must not read; the callables in `on_unblocked` are called when they may again.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        zmq_context: zmq.Context[zmq.Socket[bytes]],
        path: str,
        workers_count: int,
        row: memoryview,
    ) -> None:
        self.epoch = secrets.randbits(32)
        self.is_blocked = False  # a worker is full: read no input
        self.on_unblocked: list[Callable[[], None]] = []
        self.on_channels: OnChannels | None = None
        self.on_left: OnLeft | None = None
        self._loop = loop
        self._row = row
        self._workers_count = workers_count
        self._next_sequence = 0
        self._is_open = True
        self._channels: list[str] = []  # of the items that are gathered for the next message
        self._payloads: list[Payload] = []
        self._gathered_bytes = 0
        self._is_batch = False
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._retry: asyncio.TimerHandle | None = None
        self._joined: dict[int, bytes] = {}
        self._join_happened = asyncio.Event()
        xpub = zmq_context.socket(zmq.XPUB)
        xpub.setsockopt(zmq.XPUB_NODROP, 1)
        xpub.setsockopt(zmq.SNDHWM, MESSAGES_HWM)
        bind(xpub, "rundir", f"ipc://{path}", file_mode=0o600)
        self._send = xpub.send
        self._recv = xpub.recv
        self._socket = WatchedSocket(loop, xpub, self._read_batch)

    @property
    def is_overfull(self) -> bool:
        """So much waits for the full worker that items must be turned away."""
        return len(self._waiting) >= WAITING_MAX_COUNT or self._waiting_bytes >= WAITING_MAX_BYTES

    def publish(self, item: PublishItem) -> None:
        """Send an item to every worker, or queue it while one of them is full."""
        payload = pack_item(item)
        self.publish_packed(item.channel, payload, len(payload[0]))

    def publish_packed(self, channel: str, payload: Payload, size_bytes: int) -> None:
        """Send what `publish` would make of an item. It waits for the others of its batch or this turn of the loop."""
        channels = self._channels
        if not channels and not self._is_batch:
            self._loop.call_soon(self._send_gathered)
        channels.append(channel)
        self._payloads.append(payload)
        self._gathered_bytes += size_bytes
        if len(channels) >= MESSAGE_MAX_COUNT or self._gathered_bytes >= MESSAGE_MAX_BYTES:
            self._send_gathered()

    def begin_batch(self) -> None:
        """Announce that items follow, and after them `end_batch`: they need not wait for the loop to turn."""
        self._is_batch = True

    def end_batch(self) -> None:
        """Send what was gathered."""
        self._is_batch = False
        self._send_gathered()

    async def wait_joined(self, worker_indices: Collection[int], timeout_s: float) -> set[int]:
        """Wait until all these workers have joined; give those that have not after `timeout_s`."""
        deadline = self._loop.time() + timeout_s
        while missing := set(worker_indices) - self._joined.keys():
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

    def _send_gathered(self) -> None:
        count = len(self._channels)
        if count and self._is_open:
            channels, self._channels = self._channels, []  # first: what cannot be encoded must not stay
            payloads, self._payloads = self._payloads, []
            self._gathered_bytes = 0
            message = encode_items(self.epoch, self._next_sequence, channels, payloads)
            self._next_sequence += count
            self._row[Field.ITEMS_SENT] += count
            self._send_in_order(message)

    def _send_in_order(self, message: bytes) -> None:
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
        if isinstance(notice, ChannelsChanged):
            if self.on_channels is not None:
                self.on_channels(notice)
        elif isinstance(notice, WorkerJoined):
            self._joined[notice.worker_index] = notice.topic
            self._forget_channels(notice.worker_index)
            self._send_gathered()
            self._send_in_order(encode_hello(self.epoch, self._next_sequence, notice.worker_index))
            self._join_happened.set()
        elif isinstance(notice, WorkerLeft) and self._joined.get(notice.worker_index) == notice.topic:
            del self._joined[notice.worker_index]
            self._forget_channels(notice.worker_index)

    def _forget_channels(self, worker_index: int) -> None:
        if self.on_left is not None:
            self.on_left(worker_index)
