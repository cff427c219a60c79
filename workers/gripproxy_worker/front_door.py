"""All listeners of one worker: which socket, which limit, and what becomes of a client that comes in."""

import asyncio
import socket
from collections.abc import Callable, Mapping

from gripproxy.child import ChildContext
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
        handed: open listeners by their names, of the workers before, which are used in place of new ones.

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
        handed: Mapping[str, list[socket.socket]] | None = None,
    ) -> None:
        self._loop = loop
        self._limit = WorkerLimit(driver, context.scoreboard, worker_max)
        self._shared = shared
        self._worker = context.index
        self._acceptors: list[Acceptor] = []
        self._limits: dict[str, ListenerLimit | None] = {}
        self._tcp: list[tuple[str, socket.socket]] = []
        self._handed = dict(handed or {})
        self._is_started = False
        self._is_held = False
        self._is_handed_over = False
        self._refresh: asyncio.TimerHandle | None = None
        row = shared.counts.row(context.index)
        for index in range(len(row)):
            row[index] = 0
        settings = driver.settings
        for address in settings.http_port:
            name = f"http_port {address}"
            limit = self._limit_for(name, address)
            for listener in self._listeners(name, address, "http_port"):
                self._add(listener, self._welcome(address, driver), limit)
        if settings.https_ports:
            hush_odd_names()
            self._refresh = loop.call_later(REFRESH_S, self._refresh_certificates)
        for address, tls_context in zip(settings.https_ports, shared.contexts, strict=True):
            shared.certificates.serve(tls_context, address.port)
            welcome = self._welcome(address, Handshakes(driver, tls_context))
            name = f"https_ports {address}"
            limit = self._limit_for(name, address)
            for listener in self._listeners(name, address, "https_ports"):
                self._add(listener, welcome, limit, busy_answer=b"")
        for local_address, listener in zip(settings.local_ports, shared.local, strict=True):
            limit = self._limit_for(str(local_address), local_address)
            self._add(listener, self._welcome(local_address, driver), limit, LOCAL_ACCEPT_MAX_COUNT)
        self._close_unused()

    def start(self) -> None:
        """Let clients in, unless they are to wait."""
        self._is_started = True
        self._open_or_hold()

    def hold(self) -> None:
        """Let new clients wait outside."""
        self._is_held = True
        self._open_or_hold()

    def let_in(self) -> None:
        """Let in who waits because of `hold`."""
        self._is_held = False
        self._open_or_hold()

    def _open_or_hold(self) -> None:
        for acceptor in self._acceptors:
            if self._is_held or self._is_handed_over or not self._is_started:
                acceptor.hold()
            else:
                acceptor.start()

    # From one worker to another.

    @property
    def listeners(self) -> list[tuple[str, socket.socket]]:
        """The listeners that are this worker's own, by their names."""
        return self._tcp

    def hand_over(self) -> None:
        """Let another worker, which has the listeners now, too, let clients in."""
        self._is_handed_over = True
        self._open_or_hold()

    def take_back(self) -> None:
        """Let clients in again after `hand_over`."""
        if self._is_handed_over:
            self._is_handed_over = False
            self._open_or_hold()

    def limit_of(self, name: str) -> ListenerLimit | None:
        """Give the limit of a listener, if it has one."""
        return self._limits.get(name)

    def _limit_for(self, name: str, address: ListenAddress | LocalAddress) -> ListenerLimit | None:
        limit, number = None, len(self._limits)
        if address.maxconn is not None:
            limit = ListenerLimit(self._shared.counts, self._worker, number, address.maxconn, name)
        # Two listeners of one name are possible where the kernel chooses their ports.
        self._limits[name if name not in self._limits else f"{name} {number}"] = limit
        return limit

    def _listeners(self, name: str, address: ListenAddress, key: str) -> list[socket.socket]:
        """Give those that were handed over for an address, or else a new one."""
        listeners = self._handed.pop(name, None) or [bind(address, key)]
        self._tcp += [(name, listener) for listener in listeners]
        return listeners

    def _close_unused(self) -> None:
        """Close the listeners that the settings have no more, behind the clients that wait there."""
        for name, listeners in self._handed.items():
            for listener in listeners:
                if name.startswith("http_port "):
                    Acceptor(listener, self._limit, self._loop, self._limit.driver.accept).close()
                else:
                    listener.close()

    def close(self) -> None:
        """Let nobody in any more but those who wait at the door; who is on hold there is refused."""
        if self._refresh is not None:
            self._refresh.cancel()
        for acceptor in self._acceptors:
            acceptor.close(is_refusing=self._is_held and not self._is_handed_over)

    def _refresh_certificates(self) -> None:
        self._shared.certificates.refresh()
        self._refresh = self._loop.call_later(REFRESH_S, self._refresh_certificates)

    def _welcome(self, address: ListenAddress | LocalAddress, server: Driver | Handshakes) -> Welcome:
        """Give what takes new clients of a listener, or those whose load balancer tells of them first."""
        if not address.proxy_protocol:
            return server.accept
        return ProxyHeaders(self._limit.driver, server.begin).accept

    def _add(
        self,
        listener: socket.socket,
        welcome: Welcome,
        own_limit: ListenerLimit | None,
        batch_count: int = ACCEPT_MAX_COUNT,
        busy_answer: bytes = BUSY,
    ) -> None:
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
