"""Making a connection to an origin: where it is, whether we may go there, and TLS."""

import asyncio
import os
import socket
import ssl
from collections import deque
from typing import Any

from gripproxy.engine.events import OriginFailure
from gripproxy.errors import OriginError
from gripproxy.protocol.address_policy import is_public
from gripproxy.protocol.route_target import Target
from gripproxy_worker.origin_conn import OriginConn

ADDRESSES_MAX_COUNT = 16  # of one name, same as Pushpin
NEXT_ADDRESS_S = 0.25  # without an answer from an address the next one is tried beside it (RFC 8305 section 5)

SocketAddress = tuple[Any, ...]  # as the socket module has them for IPv4 and IPv6
ContextKey = tuple[bool, str | None, str | None]  # insecure, client certificate, its key


class ConnectError(OriginError):
    """There is no connection to a target; `failure` says whether the next one may be tried."""

    def __init__(self, message: str, failure: OriginFailure = OriginFailure.CONNECT) -> None:
        super().__init__(message)
        self.failure = failure


class OriginConnector:
    """Makes connections, each within `timeout_s`: name look-up, TCP and TLS together."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout_s: float) -> None:
        self._loop = loop
        self._timeout_s = timeout_s
        self._contexts: dict[ContextKey, ssl.SSLContext] = {}

    def use_timeout(self, timeout_s: float) -> None:
        """Give up on connections that are begun from now on after another time."""
        self._timeout_s = timeout_s

    def reload(self) -> None:
        """Read certificates again when they are needed next."""
        self._contexts.clear()

    async def connect(self, origin: OriginConn, target: Target, server_name: str) -> None:
        """Connect `origin` to `target`.

        Raises:
            ConnectError: it could not be done, or must not be.
        """
        try:
            tls: dict[str, Any] = {}
            if target.is_ssl:
                tls = {"ssl": self._context(target), "server_hostname": server_name}
            async with asyncio.timeout(self._timeout_s):
                await self._open(origin, target, tls)
        except TimeoutError:
            raise ConnectError(f"no connection within {self._timeout_s:g} s") from None
        except OSError as error:
            raise ConnectError(f"cannot connect: {error.strerror or error}") from None
        except ValueError as error:  # a name that cannot be looked up, or be asked of a certificate
            raise ConnectError(f"cannot connect: {error}") from None

    async def _open(self, origin: OriginConn, target: Target, tls: dict[str, Any]) -> None:
        if target.unix_path is not None:
            if target.untrusted:
                raise _blocked(target.unix_path)
            await self._loop.create_unix_connection(lambda: origin, target.unix_path, **tls)
            return
        addresses = await self._addresses(target)
        family, address = addresses[0]
        # Half the CPU time of a socket of our own, which is needed for a race, or for an IPv6 address with a scope.
        if len(addresses) == 1 and not any(address[2:]):
            await self._loop.create_connection(lambda: origin, address[0], address[1], **tls)
            return
        sock = await self._race(addresses)
        try:
            await self._loop.create_connection(lambda: origin, sock=sock, **tls)
        except BaseException:
            sock.close()
            raise

    async def _addresses(self, target: Target) -> list[tuple[int, SocketAddress]]:
        """Look the target up; what an untrusted name leads to is known only then."""
        infos = await self._loop.getaddrinfo(
            target.host, target.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )
        addresses = [(int(family), tuple(address)) for family, _, _, _, address in infos[:ADDRESSES_MAX_COUNT]]
        if target.untrusted:
            addresses = [(family, address) for family, address in addresses if is_public(str(address[0]))]
            if not addresses:
                raise _blocked(target.host)
        return addresses

    async def _race(self, addresses: list[tuple[int, SocketAddress]]) -> socket.socket:
        """Give the first socket that gets through. A new address joins after a failure, or some silence.

        Raises:
            OSError: of the last one, if none does.
        """
        untried = deque(addresses)
        tasks: set[asyncio.Task[socket.socket]] = set()
        error: OSError | None = None
        try:
            while untried or tasks:
                if untried:
                    tasks.add(self._loop.create_task(self._dial(*untried.popleft())))
                wait_s = NEXT_ADDRESS_S if untried else None
                done, _ = await asyncio.wait(tasks, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    tasks.discard(task)
                    try:
                        return task.result()
                    except OSError as dial_error:
                        error = dial_error
        finally:
            for task in tasks:
                task.add_done_callback(_close_unused)
                task.cancel()
        assert error is not None
        raise error

    async def _dial(self, family: int, address: SocketAddress) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            await self._loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            raise OSError(error.errno, os.strerror(error.errno or 0)) from None  # the loop has words of its own
        except BaseException:
            sock.close()
            raise
        return sock

    def _context(self, target: Target) -> ssl.SSLContext:
        """Give the TLS settings for a target.

        Raises:
            ConnectError: its client certificate cannot be used.
        """
        key = target.insecure, target.client_cert, target.client_key
        context = self._contexts.get(key)
        if context is None:
            context = ssl.create_default_context()
            if target.insecure:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if target.client_cert is not None:
                try:  # without a password the library would ask for one at the terminal
                    context.load_cert_chain(target.client_cert, target.client_key, password="")
                except (OSError, ValueError) as error:
                    reason = getattr(error, "strerror", None) or error
                    raise ConnectError(f"client certificate {target.client_cert}: {reason}") from None
            self._contexts[key] = context
        return context


def _blocked(where: str) -> ConnectError:
    return ConnectError(f"an untrusted target must not lead to {where}", OriginFailure.BLOCKED)


def _close_unused(task: "asyncio.Task[socket.socket]") -> None:
    """Close the socket of an attempt that got through just when it was not wanted any more."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
