"""One side of a relay: its ZeroMQ context and socket, keys, and who is connected to it."""

import asyncio
import logging
import struct
import time
from collections.abc import Callable

import zmq

from gripproxy.bus.curve import become_client
from gripproxy.bus.refusal_log import RefusalLog
from gripproxy.bus.watched_socket import AnySocket, WatchedSocket, bind, connect
from gripproxy.errors import ConfigError
from gripproxy.relay.door import DOMAIN, Door
from gripproxy.relay.peer_log import PeerLog
from gripproxy.relay.peers import EVENTS, FAILED, Peers
from gripproxy.relay.plan import SidePlan

log = logging.getLogger(__name__)

WARN_PERIOD_S = 10.0  # who is turned away comes again ten times a second
CONNECT_MAX_MS = 3_000  # the kernel's own pauses between two tries grow to a minute
UNHEARD_MAX_MS = 60_000  # as long as the other side's keep-alives take to find out


class RelaySide:
    """The socket of a side, `zmq_socket`, not yet bound or connected. Each side has an I/O thread of its own."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, plan: SidePlan, kind: zmq.SocketType, secret_key: bytes | None
    ) -> None:
        self.peers = Peers()
        self._peer_log = PeerLog()
        self.unauthorized_count = 0
        self.on_change: Callable[[], None] = lambda: None
        self._plan = plan
        self._is_server = secret_key is not None and plan.server_key is None
        self._strangers = RefusalLog("attempts", WARN_PERIOD_S)
        self._failures = RefusalLog("attempts", WARN_PERIOD_S)
        self._context = zmq.Context()
        self._door = Door(loop, self._context, plan.client_keys, self._note_stranger)
        self.zmq_socket: AnySocket = self._context.socket(kind)
        self.zmq_socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
        if plan.server_key is not None:
            become_client(self.zmq_socket, plan.server_key, secret_key)
        elif secret_key is not None:
            self.zmq_socket.setsockopt(zmq.CURVE_SERVER, 1)
            self.zmq_socket.setsockopt(zmq.CURVE_SECRETKEY, secret_key)
        self._keep_alive()
        monitor = self.zmq_socket.get_monitor_socket(EVENTS)
        self._monitor = WatchedSocket(loop, monitor, lambda: self._read_event(monitor))

    def open(self) -> None:
        """Bind and connect as planned.

        Raises:
            ConfigError: an address cannot be used, or ZeroMQ would do without CURVE.
        """
        has_curve = self._is_server or self._plan.server_key is not None
        if has_curve and self.zmq_socket.getsockopt(zmq.MECHANISM) != zmq.CURVE:
            raise ConfigError(f"--{self._plan.name}: ZeroMQ refuses CURVE for it")
        for spec in self._plan.binds:
            bind(self.zmq_socket, f"--{self._plan.name}", spec)
            log.info("%ss may connect to %s", self._plan.noun, spec)
        for spec in self._plan.connects:
            connect(self.zmq_socket, f"--{self._plan.name}-connect", spec)
            log.info("connects to a %s at %s", self._plan.noun, spec)

    def turn_away(self) -> None:
        """Let those who have connected see the end of their connections, and nobody in any more.

        Not by unbinding: with the listener, ZeroMQ ends what it accepted, and what is under way there is lost.
        """
        self._door.shut()
        if self._plan.binds:
            self.peers.end_sending()

    def stop_watching(self) -> None:
        """Hear no more of who comes and leaves; call before the socket is closed."""
        self.zmq_socket.disable_monitor()
        self._monitor.close()

    def close(self) -> None:
        """Close what is left when the socket is closed, which waits until that has sent what it had to."""
        self._door.close()
        self._context.term()

    def _keep_alive(self) -> None:
        """Notice within a minute that the other machine is gone: then its queue is given up, and it may come again."""
        for option, value in (
            (zmq.TCP_KEEPALIVE, 1),
            (zmq.TCP_KEEPALIVE_IDLE, 30),
            (zmq.TCP_KEEPALIVE_CNT, 6),
            (zmq.TCP_KEEPALIVE_INTVL, 5),
            (zmq.TCP_MAXRT, UNHEARD_MAX_MS),
            (zmq.CONNECT_TIMEOUT, CONNECT_MAX_MS),
        ):
            self.zmq_socket.setsockopt(option, value)

    def _read_event(self, monitor: AnySocket) -> bool:
        try:
            frames = monitor.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return False
        event, value = struct.unpack("=HI", frames[0])
        if event & FAILED:
            self._note_failure(event)
            return True
        name = self.peers.take(event, value)
        if name is not None:
            verb = "left" if event == zmq.EVENT_DISCONNECTED else "connected"
            line = self._peer_log.note(f"{self._plan.noun} {name} {verb}", time.monotonic())
            if line is not None:
                log.info("%s", line)
        self.on_change()
        return True

    def _note_stranger(self, address: str) -> None:
        self.unauthorized_count += 1
        text = f"turned a {self._plan.noun} at {address} away: its key is not in --{self._plan.name}-client-key"
        _warn(self._strangers, text)
        self.on_change()

    def _note_failure(self, event: int) -> None:
        if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL and self._is_server:
            self.unauthorized_count += 1
        if event != zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            reason = "it has to use CURVE with this relay's public key" if self._is_server else "no handshake"
            _warn(self._failures, f"--{self._plan.name}: a {self._plan.noun} did not get in: {reason}")


def _warn(refusals: RefusalLog, text: str) -> None:
    line = refusals.note(text, time.monotonic())
    if line is not None:
        log.warning("%s", line)
