"""The socket that monitors connect to: a publisher that knows what they are subscribed to, and makes nothing else."""

import asyncio
import logging
from collections.abc import Callable

import zmq

from gripproxy.bus.watched_socket import BATCH_MAX_COUNT, AnyContext, AnySocket, WatchedSocket, bind
from gripproxy.protocol.stats_packet import KINDS

log = logging.getLogger(__name__)

PACKETS_HWM = 200_000  # that a slow monitor may leave unread, as Pushpin; it loses what exceeds it
TOPIC_MAX_BYTES = 100_000  # of what monitors send
_SUBSCRIBE, _UNSUBSCRIBE = 1, 0


class StatsSocket:
    """An XPUB socket, which to monitors is a PUB socket. `wanted` has the kinds of packets that anybody gets.

    `on_change` is called when that has changed. Source: Pushpin's stats socket.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        zmq_context: AnyContext,
        spec: str,
        file_mode: int | None,
        on_change: Callable[[], None],
        listener_fd: int | None = None,
    ) -> None:
        self.wanted: frozenset[str] = frozenset()
        self._on_change = on_change
        self._topics: set[bytes] = set()  # those that packets can begin with
        self._counts = dict.fromkeys(KINDS, 0)  # of these topics: one monitor may have very many
        xpub = zmq_context.socket(zmq.XPUB)
        xpub.setsockopt(zmq.SNDHWM, PACKETS_HWM)
        xpub.setsockopt(zmq.MAXMSGSIZE, TOPIC_MAX_BYTES)
        bind(xpub, "stats_spec", spec, file_mode, listener_fd)
        log.info("statistics: ZeroMQ PUB on %s", spec)
        self._send = xpub.send
        self._recv = xpub.recv
        self._socket = WatchedSocket(loop, xpub, self._read_batch)

    @property
    def zmq_socket(self) -> AnySocket:
        return self._socket.zmq_socket

    def send(self, packet: bytes) -> None:
        """Send to all who are subscribed; those who are full lose it."""
        self._send(packet, zmq.NOBLOCK)
        self._socket.look()

    def close(self) -> None:
        self._socket.close()

    def _read_batch(self) -> bool:
        try:
            for _ in range(BATCH_MAX_COUNT):
                self._take(self._recv(zmq.NOBLOCK))
        except zmq.Again:
            self._settle()
            return False
        return True

    def _take(self, message: bytes) -> None:
        """Take the first subscription to a topic, or the end of the last; all else that anybody sends says nothing."""
        topic = message[1:]
        if message[:1] == bytes([_SUBSCRIBE]):
            if topic not in self._topics and self._count(topic, 1):
                self._topics.add(topic)
        elif message[:1] == bytes([_UNSUBSCRIBE]) and topic in self._topics:
            self._topics.remove(topic)
            self._count(topic, -1)

    def _count(self, topic: bytes, difference: int) -> bool:
        """Count a topic for the kinds of packets that may begin with it; say whether there are any."""
        kinds = [kind for kind in KINDS if _fits(topic, kind)]
        for kind in kinds:
            self._counts[kind] += difference
        return bool(kinds)

    def _settle(self) -> None:
        wanted = frozenset(kind for kind, count in self._counts.items() if count)
        if wanted != self.wanted:
            self.wanted = wanted
            self._on_change()


def _fits(topic: bytes, kind: str) -> bool:
    """Say whether packets of a kind may begin with the topic."""
    head = f"{kind} ".encode()
    return head.startswith(topic) or topic.startswith(head)
