"""The ZeroMQ sockets of one zhttp or zhttpreq target: origins connect to them."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack

import zmq

from gripproxy.bus.watched_socket import BATCH_MAX_COUNT, AnyContext, AnySocket, WatchedSocket, bind
from gripproxy.bus.zhttp_wire import SpecUse
from gripproxy.protocol.zhttp import stream_addresses

KEY = "zhttp target"  # what an error names as the setting
FIRST_HWM = 100  # first packets that wait for an origin; same as Pushpin
PACKETS_HWM = 10_000  # later packets that wait for one origin, of all its requests: their bytes are bounded by credits
# Answers that wait for us. An origin's PUB socket drops what exceeds it, which ends a request; its bytes are bounded by
# the credits of the requests under way.
ANSWERS_HWM = 100_000
# New sockets take no requests for so long. Each of an origin's sockets finds them in its own time, ZeroMQ's default is
# within 0.2 s; what an origin answers over a PUB socket that is not back yet is lost, and its client waits in vain.
SETTLE_S = 0.3
PACKET_MAX_BYTES = 16 * 1024 * 1024  # past this ZeroMQ drops the connection; a whole response may have 1,000,000
QUEUED_MAX_COUNT = 1_000  # whole requests that wait for a REP socket to come
QUEUED_MAX_BYTES = 64 * 1024 * 1024

NO_ORIGIN = "no zhttp origin takes it: none is connected, or its queue is full"
PROBE_ANSWER = b"probe-ack"


class StreamSockets:
    """PUSH, ROUTER and SUB of a zhttp target.

    Args:
        instance: the proxy's id, to which origins address their answers.
        on_packet: gets what an origin sent.

    Raises:
        ConfigError: one of the addresses cannot be bound.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        zmq_context: AnyContext,
        instance: bytes,
        use: SpecUse,
        on_packet: Callable[[bytes], None],
    ) -> None:
        self.use = use
        self.requests_count = 0
        self._on_packet = on_packet
        self._mark = instance + b" "
        self._loop = loop
        self._usable_at = loop.time() + SETTLE_S
        out_address, stream_address, in_address = stream_addresses(use.spec)
        with ExitStack() as opened:
            self._push = _socket(zmq_context, zmq.PUSH, opened)
            self._push.setsockopt(zmq.SNDHWM, FIRST_HWM)
            self._router = _socket(zmq_context, zmq.ROUTER, opened)
            self._router.setsockopt(zmq.ROUTING_ID, instance)
            self._router.setsockopt(zmq.SNDHWM, PACKETS_HWM)
            self._router.setsockopt(zmq.ROUTER_MANDATORY, 1)  # a full queue must not swallow a packet
            self._router.setsockopt(zmq.ROUTER_HANDOVER, 1)  # an origin that was restarted keeps its id
            self._sub = _socket(zmq_context, zmq.SUB, opened)
            self._sub.setsockopt(zmq.RCVHWM, ANSWERS_HWM)
            self._sub.setsockopt(zmq.SUBSCRIBE, self._mark)
            bind(self._push, KEY, out_address, use.file_mode)
            bind(self._router, KEY, stream_address, use.file_mode)
            bind(self._sub, KEY, in_address, use.file_mode)
            opened.pop_all()
        self._watched_router = WatchedSocket(loop, self._router, self._read_router)
        self._watched_sub = WatchedSocket(loop, self._sub, self._read_sub)

    def open_request(self, name: bytes, packet: bytes) -> str | None:
        """Send a first packet; give the reason if nobody takes it."""
        if self._loop.time() < self._usable_at:
            return NO_ORIGIN
        try:
            self._push.send(packet, zmq.NOBLOCK)
        except zmq.Again:
            return NO_ORIGIN
        return None

    def send(self, address: bytes, packet: bytes) -> str | None:
        """Send a further packet; give the reason if the request cannot go on.

        To an origin that is gone, or has no ROUTER socket, it goes nowhere, as with Pushpin: if it was needed, the
        origin's silence ends the request.
        """
        try:
            self._router.send_multipart((address, b"", packet), zmq.NOBLOCK)
        except zmq.Again:
            return "the zhttp origin takes no more packets: its queue is full"
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
        self._watched_router.look()
        return None

    def forget(self, name: bytes) -> None:
        """Do not send a request that still waits: here none does."""

    def flush(self) -> None:
        """Send what waits: here nothing does."""

    def close(self) -> None:
        self._watched_router.close()
        self._watched_sub.close()
        self._push.close(0)

    def _read_router(self) -> bool:
        try:
            for _ in range(BATCH_MAX_COUNT):
                frames = self._router.recv_multipart(zmq.NOBLOCK)
                if len(frames) == 3:
                    self._on_packet(frames[2])
                elif len(frames) == 2:  # an origin looks whether we are there
                    self.send(frames[0], PROBE_ANSWER)
        except zmq.Again:
            return False
        return True

    def _read_sub(self) -> bool:
        try:
            for _ in range(BATCH_MAX_COUNT):
                frames = self._sub.recv_multipart(zmq.NOBLOCK)
                self._on_packet(frames[0][len(self._mark) :])
        except zmq.Again:
            return False
        return True


class ReqSocket:
    """The DEALER of a zhttpreq target. What no origin takes at once waits, bounded; see `StreamSockets`."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, zmq_context: AnyContext, use: SpecUse, on_packet: Callable[[bytes], None]
    ) -> None:
        self.use = use
        self.requests_count = 0
        self._on_packet = on_packet
        self._queued: dict[bytes, bytes] = {}  # packets by their requests' ids, in order
        self._queued_bytes = 0
        with ExitStack() as opened:
            self._dealer = _socket(zmq_context, zmq.DEALER, opened)
            self._dealer.setsockopt(zmq.SNDHWM, FIRST_HWM)
            bind(self._dealer, KEY, use.spec, use.file_mode)
            opened.pop_all()
        self._watched = WatchedSocket(loop, self._dealer, self._read)

    def open_request(self, name: bytes, packet: bytes) -> str | None:
        """Send a whole request, or let it wait for an origin."""
        if not self._queued and self._send(packet):
            return None
        if len(self._queued) >= QUEUED_MAX_COUNT or self._queued_bytes + len(packet) > QUEUED_MAX_BYTES:
            return NO_ORIGIN
        self._queued[name] = packet
        self._queued_bytes += len(packet)
        return None

    def send(self, address: bytes, packet: bytes) -> str | None:
        """Send nothing: there are no further packets."""
        return None

    def forget(self, name: bytes) -> None:
        """Do not send a request that still waits: nobody waits for it any more."""
        packet = self._queued.pop(name, None)
        if packet is not None:
            self._queued_bytes -= len(packet)

    def flush(self) -> None:
        """Send what waits, as far as origins take it."""
        while self._queued:
            name, packet = next(iter(self._queued.items()))
            if not self._send(packet):
                return
            self.forget(name)

    def close(self) -> None:
        self._watched.close()

    def _send(self, packet: bytes) -> bool:
        try:
            self._dealer.send_multipart((b"", packet), zmq.NOBLOCK)
        except zmq.Again:
            return False
        self._watched.look()
        return True

    def _read(self) -> bool:
        try:
            for _ in range(BATCH_MAX_COUNT):
                frames = self._dealer.recv_multipart(zmq.NOBLOCK)
                self._on_packet(frames[-1])
        except zmq.Again:
            self.flush()  # one edge tells of both
            return False
        return True


def _socket(zmq_context: AnyContext, kind: int, opened: ExitStack) -> AnySocket:
    zmq_socket = zmq_context.socket(kind)
    opened.callback(zmq_socket.close, 0)
    zmq_socket.setsockopt(zmq.MAXMSGSIZE, PACKET_MAX_BYTES)
    return zmq_socket
