"""One side of a relay: its ZeroMQ context and socket, keys, and who is connected to it."""

import asyncio
import logging
import struct
import time
from array import array
from collections.abc import Callable

import zmq

from gripproxy.bus.curve import CurveGate, CurveKeys, become_client
from gripproxy.bus.refusal_log import RefusalLog
from gripproxy.bus.watched_socket import AnyContext, AnySocket, WatchedSocket, bind, connect
from gripproxy.errors import ConfigError
from gripproxy.relay.peers import EVENTS, FAILED, Peers
from gripproxy.relay.plan import SidePlan
from gripproxy.scoreboard import ROW_CELLS, Field

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
        self._loop = loop
        self._plan = plan
        self._row = memoryview(array("Q", bytes(8 * ROW_CELLS)))
        self._refusals = RefusalLog("attempts", WARN_PERIOD_S)
        self._refused_count = 0
        self._gate: CurveGate | None = None
        self._context = self._new_context(secret_key)
        self.zmq_socket: AnySocket = self._context.socket(kind)
        if plan.server_key is not None:
            become_client(self.zmq_socket, plan.server_key, secret_key)
        self._keep_alive()
        self._endpoints: list[str] = []
        monitor = self.zmq_socket.get_monitor_socket(EVENTS)
        self._monitor = WatchedSocket(loop, monitor, lambda: self._read_event(monitor))
        self.on_change: Callable[[], None] = lambda: None

    @property
    def unauthorized_count(self) -> int:
        """Count those who were turned away for their keys, each time they came."""
        return self._refused_count + self._row[Field.UNAUTHORIZED]

    def open(self) -> None:
        """Bind and connect as planned.

        Raises:
            ConfigError: an address cannot be used.
        """
        for spec in self._plan.binds:
            bind(self.zmq_socket, f"--{self._plan.name}", spec)
            self._endpoints.append(self.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT))
            log.info("%ss may connect to %s", self._plan.noun, spec)
        for spec in self._plan.connects:
            connect(self.zmq_socket, f"--{self._plan.name}-connect", spec)
            log.info("connects to a %s at %s", self._plan.noun, spec)

    def stop_accepting(self) -> None:
        """Let nobody in any more; who is connected stays so."""
        for endpoint in self._endpoints:
            self.zmq_socket.unbind(endpoint)
        for spec in self._plan.connects:
            self.zmq_socket.disconnect(spec)
        self._endpoints = []

    def stop_watching(self) -> None:
        """Hear no more of who comes and leaves; call before the socket is closed."""
        self.zmq_socket.disable_monitor()
        self._monitor.close()

    def close(self) -> None:
        """Close what is left when the socket is closed, which waits until that has sent what it had to."""
        if self._gate is not None:
            self._gate.close()
        else:
            self._context.term()

    def _new_context(self, secret_key: bytes | None) -> AnyContext:
        if secret_key is None or self._plan.server_key is not None:
            return zmq.Context()
        keys = CurveKeys(secret_key, zmq.curve_public(secret_key), self._plan.client_keys)
        self._gate = CurveGate(self._loop, keys, self._row, f"--{self._plan.name}-client-key")
        return self._gate.context

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
            log.info("%s %s %s", self._plan.noun, name, "left" if event == zmq.EVENT_DISCONNECTED else "connected")
        self.on_change()
        return True

    def _note_failure(self, event: int) -> None:
        if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL and self._gate is not None:
            self._refused_count += 1
        reason = "it has to use CURVE with this relay's public key" if self._gate is not None else "no handshake"
        line = self._refusals.note(
            f"--{self._plan.name}: a {self._plan.noun} did not get in: {reason}", time.monotonic()
        )
        if line is not None:
            log.warning("%s", line)


def check_curve(side: RelaySide, plan: SidePlan, has_key: bool) -> None:
    """Make sure that a side which is to be encrypted is so.

    Raises:
        ConfigError: ZeroMQ does without.
    """
    if (has_key or plan.server_key is not None) and side.zmq_socket.getsockopt(zmq.MECHANISM) != zmq.CURVE:
        raise ConfigError(f"--{plan.name}: ZeroMQ refuses CURVE for it")
