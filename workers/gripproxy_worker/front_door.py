"""All listeners of one worker: which socket, which limit, and what becomes of a client that comes in."""

import asyncio
import socket
from collections.abc import Callable

from gripproxy.child import ChildContext
from gripproxy.protocol.front_proxies import FrontProxies
from gripproxy.settings import ListenAddress, LocalAddress
from gripproxy_worker.acceptor import ACCEPT_MAX_COUNT, BUSY, Acceptor, ListenerLimit, WorkerLimit
from gripproxy_worker.certificates import hush_odd_names
from gripproxy_worker.driver import Driver
from gripproxy_worker.handshakes import Handshakes
from gripproxy_worker.listener import bind
from gripproxy_worker.proxy_headers import ProxyHeaders
from gripproxy_worker.shared_listeners import SharedListeners

# Every worker is woken for each client of a unix socket; who takes more than one takes the others'.
LOCAL_ACCEPT_MAX_COUNT = 1
REFRESH_S = 1.0  # between two looks at the certificates' files: 3 us for each pair that was asked for


Welcome = Callable[[int, str], None]  # with a client's fd and address


class FrontDoor:
    """Accepts clients on every listener, from `start` to `close`.

    Args:
        worker_max: connections that this worker's fd limit allows.

    Raises:
        ConfigError: an address cannot be listened on.
    """

    def __init__(
        self,
        driver: Driver,
        loop: asyncio.AbstractEventLoop,
        context: ChildContext,
        worker_max: int,
        shared: SharedListeners,
    ) -> None:
        self._loop = loop
        self._limit = WorkerLimit(driver, context.scoreboard, worker_max)
        self._shared = shared
        self._worker = context.index
        self._acceptors: list[Acceptor] = []
        self._refresh: asyncio.TimerHandle | None = None
        row = shared.counts.row(context.index)
        for index in range(len(row)):
            row[index] = 0
        settings = driver.settings
        for address in settings.http_port:
            self._add(address, bind(address), self._welcome(address, driver))
        if settings.https_ports:
            hush_odd_names()
            self._refresh = loop.call_later(REFRESH_S, self._refresh_certificates)
        for address, tls_context in zip(settings.https_ports, shared.contexts, strict=True):
            shared.certificates.serve(tls_context, address.port)
            welcome = self._welcome(address, Handshakes(driver, tls_context))
            self._add(address, bind(address, "https_ports"), welcome, busy_answer=b"")
        for local_address, listener in zip(settings.local_ports, shared.local, strict=True):
            self._add(local_address, listener, self._welcome(local_address, driver), LOCAL_ACCEPT_MAX_COUNT)

    def start(self) -> None:
        """Let clients in."""
        for acceptor in self._acceptors:
            acceptor.start()

    def hold(self) -> None:
        """Let new clients wait outside, until `start`."""
        for acceptor in self._acceptors:
            acceptor.hold()

    def close(self) -> None:
        """Let nobody in any more but those who wait at the door."""
        if self._refresh is not None:
            self._refresh.cancel()
        for acceptor in self._acceptors:
            acceptor.close()

    def _refresh_certificates(self) -> None:
        self._shared.certificates.refresh()
        self._refresh = self._loop.call_later(REFRESH_S, self._refresh_certificates)

    def _welcome(self, address: ListenAddress | LocalAddress, server: Driver | Handshakes) -> Welcome:
        """Give what takes new clients of a listener, or those whose load balancer tells of them first."""
        if not address.proxy_protocol:
            return server.accept
        networks = self._limit.driver.settings.set_real_ip_from
        trusted = FrontProxies(networks) if networks else None
        return ProxyHeaders(self._limit.driver, server.begin, trusted).accept

    def _add(
        self,
        address: ListenAddress | LocalAddress,
        listener: socket.socket,
        welcome: Welcome,
        batch_count: int = ACCEPT_MAX_COUNT,
        busy_answer: bytes = BUSY,
    ) -> None:
        own_limit = None
        if address.maxconn is not None:
            own_limit = ListenerLimit(self._shared.counts, self._worker, len(self._acceptors), address.maxconn)
        self._acceptors.append(
            Acceptor(
                listener,
                self._limit,
                self._loop,
                welcome,
                own_limit=own_limit,
                batch_count=batch_count,
                busy_answer=busy_answer,
            )
        )
