"""The hub's part in requests to zhttp targets: it owns the ZeroMQ sockets and passes packets on, as they are.

What a packet means is the workers' business. The hub knows which request is whose: answers come for all workers to the
same sockets, and when a worker is gone, somebody must tell the origins to forget its requests.
"""

import asyncio
import logging
import os
import secrets
from collections.abc import Callable
from typing import Any, cast

from gripproxy.bus.control_server import open_unix_listener
from gripproxy.bus.refusal_log import RefusalLog
from gripproxy.bus.watched_socket import AnyContext
from gripproxy.bus.zhttp_sockets import ReqSocket, StreamSockets
from gripproxy.bus.zhttp_wire import (
    CLOSE,
    DECLARE,
    HELLO,
    OPEN,
    PACKET,
    REFUSED,
    SEND,
    MessageReader,
    SpecUse,
    encode_message,
)
from gripproxy.errors import ConfigError, OriginError
from gripproxy.protocol.zhttp import decode_response_packet, encode_cancel
from gripproxy.scoreboard import Field

log = logging.getLogger(__name__)

CHECK_S = 10.0  # for sockets that nobody needs any more, and for those that could not be bound; same as Pushpin
ORPHAN_MAX_S = 60.0  # an origin that has not answered by then has no request any more
WORKER_BEHIND_MAX_BYTES = 32 * 1024 * 1024  # unread by one worker: past this its requests fail

Sockets = StreamSockets | ReqSocket


class _Request:
    """A request under way. Without a link it is one to be cancelled as soon as its origin says who it is."""

    __slots__ = ("address", "link", "name", "orphaned_at", "packets_count", "sockets")

    def __init__(self, name: bytes, link: "_Link", sockets: Sockets) -> None:
        self.name = name
        self.link: _Link | None = link
        self.sockets = sockets
        self.address: bytes | None = None
        self.packets_count = 1  # sent to the origin
        self.orphaned_at = 0.0


class ZhttpGateway:
    """Binds the sockets of the specs that workers declare. `row`: the hub's of the scoreboard."""

    def __init__(self, loop: asyncio.AbstractEventLoop, zmq_context: AnyContext, row: memoryview) -> None:
        self.instance = f"gripproxy-{secrets.token_hex(8)}".encode()
        self.sockets: dict[str, Sockets] = {}  # by spec
        self.requests: dict[bytes, _Request] = {}
        self._loop = loop
        self._zmq_context = zmq_context
        self._row = row
        self._links: dict[_Link, None] = {}  # the first one's specs count, should workers differ
        self._refusal_log = RefusalLog("packets")
        self._server: asyncio.Server | None = None
        self._check = loop.call_later(CHECK_S, self._on_check)

    async def listen(self, path: str) -> None:
        """Take the workers' connections on `path`.

        Raises:
            ConfigError: it cannot be bound.
        """
        listener = open_unix_listener("rundir", path)
        os.chmod(path, 0o600)
        self._server = await self._loop.create_unix_server(lambda: _Link(self), sock=listener)

    def close(self) -> None:
        self._check.cancel()
        if self._server is not None:
            self._server.close()
        for link in list(self._links):
            link.transport.abort()
        self._links.clear()
        for sockets in self.sockets.values():
            sockets.close()
        self.sockets.clear()

    # Workers.

    def on_link(self, link: "_Link") -> None:
        self._links[link] = None
        link.send(encode_message(HELLO, self.instance))

    def on_link_lost(self, link: "_Link") -> None:
        """A worker is gone: nobody waits for its requests any more."""
        if link not in self._links:
            return  # it is us who close
        del self._links[link]
        for request in [request for request in self.requests.values() if request.link is link]:
            self._end(request, is_cancel=True)

    def on_message(self, link: "_Link", message: list[Any]) -> None:
        """Do what a worker says."""
        _DO[message[0]](self, link, *message[1:])

    def on_bug(self) -> None:
        self._row[Field.INTERNAL_ERRORS] += 1
        log.exception("internal error while handling a worker's zhttp message")

    def _declare(self, link: "_Link", uses: list[Any]) -> None:
        link.uses = {spec: SpecUse(spec, is_zhttpreq, file_mode) for spec, is_zhttpreq, file_mode in uses}
        self._open_missing()

    def _open(self, link: "_Link", spec: str, is_zhttpreq: bool, name: bytes, packet: bytes) -> None:
        sockets = self.sockets.get(spec)
        if sockets is None or sockets.use.is_zhttpreq is not is_zhttpreq:
            self._refuse(link, name, f"the sockets of {spec} are not open", is_untaken=True)
            return
        reason = sockets.open_request(name, packet)
        if reason is not None:
            self._refuse(link, name, reason, is_untaken=True)
            return
        self.requests[name] = _Request(name, link, sockets)
        sockets.requests_count += 1

    def _send(self, link: "_Link", names: list[bytes], packet: bytes) -> None:
        requests = [request for name in names if (request := self.requests.get(name)) is not None]
        for request in requests:
            request.packets_count += 1
        if requests and requests[0].address is not None:
            reason = requests[0].sockets.send(requests[0].address, packet)
            if reason is not None:
                for request in requests:
                    self._fail(request, reason)

    def _close(self, link: "_Link", name: bytes, is_cancel: bool) -> None:
        request = self.requests.get(name)
        if request is not None:
            self._end(request, is_cancel)

    def _fail(self, request: _Request, reason: str) -> None:
        if request.link is not None:
            self._refuse(request.link, request.name, reason, is_untaken=False)
        self._end(request, is_cancel=True)

    def _refuse(self, link: "_Link", name: bytes, reason: str, is_untaken: bool) -> None:
        self._row[Field.ZHTTP_REFUSED] += 1
        link.send(encode_message(REFUSED, name, reason, is_untaken))

    def _end(self, request: _Request, is_cancel: bool) -> None:
        """Forget a request, now, or if its origin must be told and is not known yet, when that answers."""
        sockets = request.sockets
        if request.link is not None:
            sockets.requests_count -= 1
            sockets.forget(request.name)
        if is_cancel and request.address is None and not sockets.use.is_zhttpreq:
            request.link = None
            request.orphaned_at = self._loop.time()
            return
        del self.requests[request.name]
        if is_cancel and request.address is not None:
            sockets.send(request.address, encode_cancel(request.name, request.packets_count, self.instance))

    # Origins.

    def _on_packet(self, spec: str, message: bytes) -> None:
        """Pass an origin's packet on to the workers whose requests it is for."""
        try:
            packet = decode_response_packet(message)
        except OriginError as error:
            self._row[Field.ZHTTP_INVALID] += 1
            self._warn(self._refusal_log.note(f"{spec}: {error}", self._loop.time()))
            return
        sockets = self.sockets[spec]
        links: dict[_Link, None] = {}
        for each in packet.ids:
            request = self.requests.get(each.name)
            if request is None or request.sockets is not sockets:
                continue
            if request.address is None:
                request.address = packet.sender
            if request.link is None:
                self._end(request, is_cancel=True)
            elif request.link.unread_bytes < WORKER_BEHIND_MAX_BYTES:
                links[request.link] = None
            else:
                self._fail(request, "this worker is too far behind")
        for link in links:
            link.send(encode_message(PACKET, message))

    def _warn(self, line: str | None) -> None:
        if line is not None:
            log.warning("zhttp packet ignored: %s", line)

    # Sockets.

    def _wanted(self) -> dict[str, SpecUse]:
        wanted: dict[str, SpecUse] = {}
        for link in self._links:
            for spec, use in link.uses.items():
                wanted.setdefault(spec, use)
        return wanted

    def _open_missing(self) -> None:
        for spec, use in self._wanted().items():
            if spec not in self.sockets:
                try:
                    self.sockets[spec] = self._bind(use)
                except ConfigError as error:
                    log.error("%s", error)
                else:
                    log.info("zhttp origins may connect to %s", spec)

    def _bind(self, use: SpecUse) -> Sockets:
        def on_packet(message: bytes) -> None:
            self._on_packet(use.spec, message)

        if use.is_zhttpreq:
            return ReqSocket(self._loop, self._zmq_context, use, on_packet)
        return StreamSockets(self._loop, self._zmq_context, self.instance, use, on_packet)

    def _on_check(self) -> None:
        """Close what no route names and no request uses, open what could not be, and forget what nobody answered."""
        self._check = self._loop.call_later(CHECK_S, self._on_check)
        now = self._loop.time()
        self._warn(self._refusal_log.flush(now))
        for request in list(self.requests.values()):
            if request.link is None and now - request.orphaned_at > ORPHAN_MAX_S:
                del self.requests[request.name]
        wanted = self._wanted()
        for spec, sockets in list(self.sockets.items()):
            if wanted.get(spec) != sockets.use and not sockets.requests_count:
                self._close_sockets(spec)
            else:
                sockets.flush()
        self._open_missing()

    def _close_sockets(self, spec: str) -> None:
        sockets = self.sockets.pop(spec)
        sockets.close()
        for request in [request for request in self.requests.values() if request.sockets is sockets]:
            del self.requests[request.name]
        log.info("zhttp sockets closed: %s", spec)


_DO: dict[int, Callable[..., None]] = {
    DECLARE: ZhttpGateway._declare,
    OPEN: ZhttpGateway._open,
    SEND: ZhttpGateway._send,
    CLOSE: ZhttpGateway._close,
}


class _Link(asyncio.Protocol):
    """The connection of one worker."""

    def __init__(self, gateway: ZhttpGateway) -> None:
        self.uses: dict[str, SpecUse] = {}
        self._gateway = gateway
        self._reader = MessageReader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._gateway.on_link(self)

    def data_received(self, data: bytes) -> None:
        for message in self._reader.feed(data):
            try:
                self._gateway.on_message(self, message)
            except Exception:  # a bug of ours ends one request, not all of a worker's
                self._gateway.on_bug()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gateway.on_link_lost(self)

    @property
    def unread_bytes(self) -> int:
        return self.transport.get_write_buffer_size()

    def send(self, message: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(message)


async def open_gateway(
    loop: asyncio.AbstractEventLoop, zmq_context: AnyContext, path: str, row: memoryview
) -> ZhttpGateway:
    """Make a gateway that workers find at `path`.

    Raises:
        ConfigError: it cannot be bound.
    """
    gateway = ZhttpGateway(loop, zmq_context, row)
    try:
        await gateway.listen(path)
    except ConfigError:
        gateway.close()
        raise
    return gateway
