"""Clients of a listener behind a load balancer, until the balancer's PROXY protocol header has come."""

import logging
import socket
from collections.abc import Callable

from gripproxy.bus.refusal_log import RefusalLog
from gripproxy.engine.timer_wheel import Slot
from gripproxy.errors import ClientError
from gripproxy.protocol.front_proxies import FrontProxies
from gripproxy.protocol.proxy_header import HEADER_MAX_BYTES, ProxyHeader, decode_proxy_header
from gripproxy.scoreboard import Field
from gripproxy_worker.client_sockets import Record
from gripproxy_worker.driver import Driver
from gripproxy_worker.proxied_clients import encode_record

log = logging.getLogger(__name__)

HEADER_MAX_S = 10.0  # from the connection to the header's last byte; balancers send it at once


class ProxyHeaders:
    """The connections of one listener whose client is not known yet.

    Args:
        begin: goes on with a connection as a new client of this address; gives its record.
    """

    def __init__(self, driver: Driver, begin: Callable[[int, str], Record]) -> None:
        self.driver = driver
        self.begin = begin
        self._networks: tuple[str, ...] = ()  # those that `_trusted` was made of
        self._trusted = FrontProxies(())
        self._refusals = RefusalLog("connections")

    def accept(self, fd: int, peer_ip: str) -> None:
        """Take a new connection's socket.

        Raises:
            OSError: the kernel has no memory for it; the socket is still the caller's.
        """
        driver = self.driver
        conn = HeaderConn(self, fd, peer_ip)
        driver.sockets.add(fd, conn)
        driver.row[Field.ACCEPTED] += 1
        if not self._is_trusted(peer_ip):
            self.refuse(conn, "set_real_ip_from does not name it")
        else:
            driver.wheel.schedule(conn, driver.clock() + HEADER_MAX_S)

    def _is_trusted(self, peer_ip: str) -> bool:
        """Say whether it may send a header: everybody who reaches the listener, unless the settings name them."""
        networks = self.driver.settings.set_real_ip_from
        if networks != self._networks:
            self._networks, self._trusted = networks, FrontProxies(networks)
        return not networks or self._trusted.has(peer_ip)

    def refuse(self, conn: "HeaderConn", reason: str) -> None:
        """Close a connection that is not a balancer's."""
        line = self._refusals.note(f"connection of {conn.peer_ip or 'a unix socket'} closed: {reason}", conn.clock())
        if line is not None:
            log.warning("%s", line)
        self.driver.row[Field.CLIENT_ERRORS] += 1
        conn.on_gone()


class HeaderConn:
    """A connection whose header is awaited. It is looked at in the kernel, so what follows it stays there."""

    __slots__ = ("_headers", "fd", "peer_ip", "slot")

    def __init__(self, headers: ProxyHeaders, fd: int, peer_ip: str) -> None:
        self.fd = fd
        self.peer_ip = peer_ip
        self.slot: Slot | None = None
        self._headers = headers

    def clock(self) -> float:
        return self._headers.driver.clock()

    def on_readable(self) -> None:
        peer = socket.socket(fileno=self.fd)
        try:
            data = peer.recv(HEADER_MAX_BYTES, socket.MSG_PEEK)
            header = decode_proxy_header(data) if data else None
            if header is not None:
                peer.recv(header.length_bytes)
        except BlockingIOError:
            return
        except OSError:
            data, header = b"", None
        except ClientError as error:
            self._headers.refuse(self, str(error))
            return
        finally:
            peer.detach()
        if not data:
            self.on_gone()
        elif header is not None:
            self._finish(header)

    def _finish(self, header: ProxyHeader) -> None:
        driver = self._headers.driver
        driver.wheel.cancel(self)
        if header.client_ip is not None or header.is_https:
            driver.sockets.proxied.put(self.fd, encode_record(header.client_ip, header.is_https))
        record = self._headers.begin(self.fd, header.client_ip or self.peer_ip)
        driver.sockets.records[self.fd] = record
        record.on_readable()

    def on_drained(self) -> None:
        """Nothing is written to it."""

    def on_gone(self) -> None:
        self._headers.driver.wheel.cancel(self)
        self._headers.driver.sockets.close(self.fd)

    def on_deadline(self, now: float) -> None:
        self._headers.refuse(self, f"no PROXY protocol header came within {HEADER_MAX_S:g} s")
