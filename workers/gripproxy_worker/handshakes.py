"""TLS clients before they are clients like any other: their handshakes, a few in each turn of the loop."""

import logging
import ssl
from collections import deque

from gripproxy.engine.timer_wheel import Slot
from gripproxy.protocol.http1 import encode_refusal
from gripproxy.scoreboard import Field
from gripproxy_worker.driver import Driver
from gripproxy_worker.idle_conn import IdleConn

log = logging.getLogger(__name__)

HANDSHAKE_MAX_S = 10.0  # from the connection to the last byte of the handshake
STEPS_MAX_COUNT = 4  # in one turn: each may cost a signature, 0.2 ms with an elliptic curve's key, 1 ms with RSA's
PLAIN_HTTP = "HTTP_REQUEST"  # OpenSSL's reason when the first bytes are a method's name
NOT_TLS = encode_refusal(400, "This port takes HTTPS only.")


class Handshakes:
    """The clients of one TLS listener that are not known yet.

    Args:
        context: of the listener; it picks the certificate.
    """

    def __init__(self, driver: Driver, context: ssl.SSLContext) -> None:
        self.driver = driver
        self.context = context
        self._ready: deque[HandshakeConn] = deque()

    def accept(self, fd: int, client_ip: str) -> None:
        """Take a new client's socket.

        Raises:
            OSError: the kernel has no memory for it; the socket is still the caller's.
        """
        conn = self.begin(fd, client_ip)
        try:
            self.driver.sockets.add(fd, conn)
        except OSError:
            self.driver.wheel.cancel(conn)
            raise
        self.driver.row[Field.ACCEPTED] += 1

    def begin(self, fd: int, client_ip: str) -> "HandshakeConn":
        """Make the record of a new client."""
        conn = HandshakeConn(self, fd, client_ip)
        self.driver.wheel.schedule(conn, self.driver.clock() + HANDSHAKE_MAX_S)
        return conn

    def put(self, conn: "HandshakeConn") -> None:
        """Go on with a handshake when its turn comes."""
        if not self._ready:
            self.driver.call_soon(self._step)
        self._ready.append(conn)

    def _step(self) -> None:
        for _ in range(min(STEPS_MAX_COUNT, len(self._ready))):
            conn = self._ready.popleft()
            if self.driver.sockets.records[conn.fd] is conn:
                self._advance(conn)
        if self._ready:
            self.driver.call_soon(self._step)

    def _advance(self, conn: "HandshakeConn") -> None:
        try:
            conn.advance()
        except Exception:  # a bug of ours ends one handshake: the others' turns must come
            self.driver.row[Field.INTERNAL_ERRORS] += 1
            log.exception("internal error in a handshake")
            self.driver.sockets.tls.take_output()  # of this client, and the next one must not get it
            if self.driver.sockets.records[conn.fd] is conn:
                conn.on_gone()


class HandshakeConn:
    """A client whose handshake is under way. Until its first byte it costs no more than one that waits."""

    __slots__ = ("_handshakes", "_is_ready", "client_ip", "fd", "slot")

    def __init__(self, handshakes: Handshakes, fd: int, client_ip: str) -> None:
        self.fd = fd
        self.client_ip = client_ip
        self.slot: Slot | None = None
        self._handshakes = handshakes
        self._is_ready = False

    def on_readable(self) -> None:
        if not self._is_ready:
            self._is_ready = True
            self._handshakes.put(self)

    def advance(self) -> None:
        """Take what the client has sent, and answer."""
        self._is_ready = False
        sockets = self._handshakes.driver.sockets
        data = sockets.read_as_is(self.fd)
        if data is None:
            return
        if not data:
            self.on_gone()
            return
        has_more = sockets.has_more
        if self.fd not in sockets.tls:
            sockets.tls.begin(self.fd, self._handshakes.context)
        try:
            early_input = sockets.tls.shake_hands(self.fd, data)
        except ssl.SSLError as error:
            self._fail(error)
            return
        sockets.flush_tls(self.fd)
        if early_input is not None:
            self._finish(early_input, has_more)
        elif has_more:
            self.on_readable()

    def _finish(self, early_input: bytes, has_more: bool) -> None:
        driver = self._handshakes.driver
        driver.row[Field.HANDSHAKES] += 1
        idle = IdleConn(driver, self.fd, self.client_ip, early_input)
        driver.wheel.cancel(self)
        driver.sockets.records[self.fd] = idle
        driver.wheel.schedule(idle, driver.clock() + driver.settings.keepalive_timeout)
        if early_input or has_more or self.fd in driver.sockets.tls.ended:
            idle.wake()

    def _fail(self, error: ssl.SSLError) -> None:
        driver = self._handshakes.driver
        alert = driver.sockets.tls.take_output()
        if error.reason == PLAIN_HTTP:
            alert = NOT_TLS
        if alert:
            driver.sockets.write_as_is(self.fd, alert)
        log.debug("client %s: no TLS: %s", self.client_ip, error.reason or error)
        self._give_up()

    def _give_up(self) -> None:
        driver = self._handshakes.driver
        driver.row[Field.HANDSHAKE_ERRORS] += 1
        driver.wheel.cancel(self)
        driver.sockets.close(self.fd)

    def on_drained(self) -> None:
        """The handshake goes on when the client answers."""

    def on_gone(self) -> None:
        self._give_up()

    def on_deadline(self, now: float) -> None:
        self._give_up()
