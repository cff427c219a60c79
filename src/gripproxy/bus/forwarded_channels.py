"""Subscribe the SUB input to what the workers want, so that publishers send nothing that nobody reads.

ZeroMQ keeps a trie of the subscriptions (measured: 500 bytes and 2 us for a name of 16 random hex digits), so nothing
is subscribed before the first publisher connects: most installations publish by another input.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable

import zmq

from gripproxy.bus.channel_union import ChannelUnion
from gripproxy.bus.watched_socket import AnySocket, WatchedSocket

LOOK_S = 0.01
# ZeroMQ goes through its trie letter by letter on the stack: some 150,000 letters would end the process.
NAME_MAX_BYTES = 20_000
BATCH_MAX_COUNT = 2_000  # subscriptions in one turn of the loop: 4 ms

log = logging.getLogger(__name__)


class ForwardedChannels:
    """The copy of the workers' channels, `wanted`, in the SUB socket's subscriptions."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wanted: ChannelUnion) -> None:
        self.wanted = wanted
        self._loop = loop
        self._zmq_socket: AnySocket | None = None
        self._wake_input: Callable[[], None] | None = None
        self._monitor: WatchedSocket | None = None
        self._is_forwarding = False
        self.is_early = False  # subscribe to everything before the first publisher is connected
        self._connected_count = 0  # times that a publisher was connected
        # Channel and "subscribe it". In order: ZeroMQ counts, so every subscription is undone exactly once.
        self._due: deque[tuple[str, bool]] = deque()

    def attach(self, zmq_socket: AnySocket, wake_input: Callable[[], None]) -> None:
        """Keep this SUB socket's subscriptions up to date. `wake_input`: reads it, since subscribing eats edges."""
        self._zmq_socket = zmq_socket
        self._wake_input = wake_input
        if self.is_early:
            self._is_forwarding = True
            for channel in self.wanted:
                zmq_socket.setsockopt(zmq.SUBSCRIBE, channel.encode(errors="surrogatepass"))
        monitor = zmq_socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self._monitor = WatchedSocket(self._loop, monitor, lambda: self._read_monitor(monitor))

    @property
    def is_forwarding(self) -> bool:
        """Whether a publisher was ever connected."""
        return self._is_forwarding

    def on_change(self, new: Iterable[str], gone: Iterable[str]) -> None:
        """Note that these channels came to `wanted`, and that those left it."""
        if self._is_forwarding:
            self._forward(new, True)
            self._forward(gone, False)

    async def wait_connected(self, count: int) -> None:
        """Wait until publishers have been connected so often, and what is wanted has been subscribed to."""
        while self._connected_count < count or self._due:
            await asyncio.sleep(LOOK_S)

    def close(self) -> None:
        """Call before the SUB socket is closed."""
        self._due.clear()
        if self._monitor is not None and self._zmq_socket is not None:
            self._zmq_socket.disable_monitor()
            self._monitor.close()
        self._zmq_socket = None

    def _read_monitor(self, monitor: AnySocket) -> bool:
        try:
            monitor.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return False
        self._connected_count += 1
        if not self._is_forwarding:
            self._is_forwarding = True
            self._forward(self.wanted, True)
        return True

    def _forward(self, channels: Iterable[str], is_wanted: bool) -> None:
        was_idle = not self._due
        self._due.extend((channel, is_wanted) for channel in channels)
        if was_idle and self._due:
            self._loop.call_soon(self._forward_batch)

    def _forward_batch(self) -> None:
        if self._zmq_socket is None or self._wake_input is None:
            return
        for _ in range(min(BATCH_MAX_COUNT, len(self._due))):
            channel, is_wanted = self._due.popleft()
            name = channel.encode(errors="surrogatepass")
            if len(name) <= NAME_MAX_BYTES:
                self._zmq_socket.setsockopt(zmq.SUBSCRIBE if is_wanted else zmq.UNSUBSCRIBE, name)
            elif is_wanted:
                log.warning("no items from PUB sockets for the channel %.80r...: its name is too long", channel)
        self._wake_input()
        if self._due:
            self._loop.call_soon(self._forward_batch)
