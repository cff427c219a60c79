"""Moves items from publishers to hosts, and subscriptions the other way.

ZeroMQ's XPUB drops silently what a host's queue has no room for. Here it says so instead (`XPUB_NODROP`), and the item
waits for `WAIT_S`: in that time queues empty that are only full because items come faster than the I/O thread sends
them. Then it goes to the hosts that have room. So a host that does not read costs the others one such pause when its
queue is full. From there on ZeroMQ leaves that host out, without a word, until half of its queue was read: then it may
be full again.
"""

import asyncio
import logging
import time
from collections.abc import Callable

import zmq

from gripproxy.bus.watched_socket import AnySocket, WatchedSocket
from gripproxy.relay.counters import Counters

log = logging.getLogger(__name__)

BATCH_MAX_COUNT = 200  # items read in one turn of the loop
BATCH_MAX_BYTES = 1 << 20
WAIT_S = 0.02
RETRY_S = 0.002


class Pump:
    """Reads XSUB `publishers` and XPUB `hosts` whenever there is something; `close` closes them.

    Args:
        slow_hosts: names the hosts whose queues may be full, for the log.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        publishers: AnySocket,
        hosts: AnySocket,
        counters: Counters,
        slow_hosts: Callable[[], list[str]],
    ) -> None:
        self._loop = loop
        self._publishers = publishers
        self._hosts = hosts
        self._counters = counters
        self._slow_hosts = slow_hosts
        self._held: list[bytes] | None = None  # the item that does not fit in all queues
        self._held_until = 0.0
        self._retry: asyncio.TimerHandle | None = None
        hosts.setsockopt(zmq.XPUB_NODROP, 1)
        self.subscribed_at = time.monotonic()  # when the last subscription came
        self._host_watch = WatchedSocket(loop, hosts, self._read_subscriptions)
        self._publisher_watch = WatchedSocket(loop, publishers, self._read_items)

    def close(self, linger_ms: int) -> None:
        """Close both sockets; what hosts have still to get has so much time."""
        if self._retry is not None:
            self._retry.cancel()
        self._publisher_watch.close()
        self._host_watch.close(linger_ms)

    def _read_items(self) -> bool:
        if self._held is not None:
            self._publishers.getsockopt(zmq.EVENTS)  # or what comes meanwhile keeps its descriptor readable
            return False
        recv, send, counters = self._publishers.recv_multipart, self._hosts.send_multipart, self._counters
        size_bytes = count = 0
        frames: list[bytes] = []
        is_more = True
        try:
            while count < BATCH_MAX_COUNT and size_bytes < BATCH_MAX_BYTES:
                frames = recv(zmq.NOBLOCK)
                size_bytes += sum(map(len, frames))
                count += 1
                try:
                    send(frames, zmq.NOBLOCK)
                except zmq.Again:
                    self._hold(frames)
                    is_more = False
                    break
        except zmq.Again:
            is_more = False
        counters.items += count
        counters.bytes += size_bytes
        self._host_watch.look()
        return is_more

    def _hold(self, frames: list[bytes]) -> None:
        self._counters.waits += 1
        self._held = frames
        self._held_until = self._loop.time() + WAIT_S
        self._retry = self._loop.call_later(RETRY_S, self._try_again)

    def _try_again(self) -> None:
        if self._held is None:
            return
        try:
            self._hosts.send_multipart(self._held, zmq.NOBLOCK)
        except zmq.Again:
            if self._loop.time() < self._held_until:
                self._retry = self._loop.call_later(RETRY_S, self._try_again)
                return
            self._overflow(self._held)
        self._held = None
        self._publisher_watch.wake()
        self._host_watch.look()

    def _overflow(self, frames: list[bytes]) -> None:
        """Send to those who have room."""
        self._counters.overflows += 1
        names = ", ".join(self._slow_hosts()) or "unknown"
        log.warning("a host's queue is full, it misses items from here on (slow now: %s)", names)
        self._hosts.setsockopt(zmq.XPUB_NODROP, 0)
        try:
            self._hosts.send_multipart(frames, zmq.NOBLOCK)
        finally:
            self._hosts.setsockopt(zmq.XPUB_NODROP, 1)

    def _read_subscriptions(self) -> bool:
        try:
            for _ in range(BATCH_MAX_COUNT):
                frame = self._hosts.recv(zmq.NOBLOCK)
                if frame[:1] not in (b"\x00", b"\x01"):
                    continue  # what XSUB peers may say to publishers is no part of GRIP
                self.subscribed_at = time.monotonic()
                self._counters.subscriptions += 1 if frame[0] else -1
                self._publishers.send(frame)
        except zmq.Again:
            return False
        finally:
            self._publisher_watch.wake()
        return True
