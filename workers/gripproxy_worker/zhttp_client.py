"""The worker's way to zhttp targets: all its requests share one connection to the hub, which owns the sockets."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from typing import Any, cast

from gripproxy.bus.zhttp_wire import (
    CLOSE,
    DECLARE,
    HELLO,
    OPEN,
    PACKET,
    REFUSED,
    SEND,
    MessageReader,
    encode_message,
)
from gripproxy.engine.events import OriginFailure
from gripproxy.protocol.route_target import Target
from gripproxy.protocol.zhttp import IDS_MAX_COUNT, RequestId, decode_response_packet, encode_keep_alive
from gripproxy.scoreboard import Field
from gripproxy_worker.origin_line import WAITING_MAX_COUNT, Ask
from gripproxy_worker.zhttp_conn import ReqConn, StreamConn, ZhttpConn
from gripproxy_worker.zhttp_socket import ZhttpSocket

log = logging.getLogger(__name__)

RETRY_S = 0.1  # between attempts to reach the hub
ASK_MAX_S = 5.0  # that a request waits for the hub at least: a restart takes half a second
SWEEP_S = 5.0  # between two looks for silent origins, due keep-alives, and requests that waited for too long
BEHIND_BYTES = 1024 * 1024  # unread by the hub: past this no more of requests' bodies is sent
UNREAD_MAX_BYTES = 32 * 1024 * 1024  # unread by the hub: past this no further request begins


class ZhttpClient:
    """Requests to zhttp targets, by id. It connects to the hub when a route, or a request, needs it.

    Args:
        path: the hub's unix socket.
        row: the worker's row of the scoreboard.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, path: str, row: memoryview) -> None:
        self.clock: Callable[[], float] = loop.time
        self.instance = b""  # of the hub, once it has said hello
        self.is_behind = False  # the hub reads too slowly: send no more of requests' bodies
        self._loop = loop
        self._path = path
        self._row = row
        self._uses: dict[str, Target] = {}
        self._conns: dict[bytes, ZhttpConn | ZhttpSocket] = {}
        self._waiting: dict[Ask, float] = {}  # for the hub, since when
        self._link: _HubLink | None = None
        self._transport: asyncio.Transport | None = None  # of it, once the hub has said hello
        self._connecting: asyncio.Task[None] | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self._is_open = True
        self._names = map(f"{secrets.token_hex(8)}-%x".__mod__, count())

    def __len__(self) -> int:
        return len(self._conns) + len(self._waiting)

    def declare(self, targets: Iterable[Target]) -> None:
        """Say which specs the routes name now: their sockets are to be open."""
        self._uses = {target.zhttp_spec: target for target in targets if target.zhttp_spec is not None}
        if self._transport is not None:
            self._declare()
        elif self._uses:
            self._connect()

    def get(self, ask: Ask) -> None:
        """Give `ask` what it may use as a connection to its target, which is a zhttp one. Failures come later."""
        if self._transport is None:
            if len(self._waiting) >= WAITING_MAX_COUNT:
                text = f"{len(self._waiting)} requests wait for the hub already"
                self._loop.call_soon(self._fail_unserved, ask, text)
                return
            self._waiting[ask] = self.clock()
            self._connect()
            self._sweep_later()
        elif self._transport.get_write_buffer_size() > UNREAD_MAX_BYTES:
            self._loop.call_soon(ask.fail, OriginFailure.CONNECT, "the hub is too far behind")
        else:
            ask.on_conn(self._make(ask.target))

    def close(self) -> None:
        """End all requests: their origins are told by the hub. Nobody who asked hears any more."""
        self._is_open = False
        for handle in (self._connecting, self._sweeping):
            if handle is not None:
                handle.cancel()
        for conn in self._conns.values():
            conn.leave()
        self._conns.clear()
        self._waiting.clear()
        if self._link is not None:
            self._link.transport.close()

    def _fail_unserved(self, ask: Ask, reason: str) -> None:
        self._row[Field.ORIGIN_UNSERVED] += 1
        ask.fail(OriginFailure.CONNECT, reason)

    def _make(self, target: Target) -> ZhttpConn:
        first = self._uses.get(target.zhttp_spec or "", target)  # which decides how the sockets are used
        kind = ReqConn if first.is_zhttpreq else StreamConn
        return kind(self, target, next(self._names).encode())

    # For the requests.

    def open_request(self, conn: ZhttpConn, packet: bytes) -> None:
        """Send the first packet of a request."""
        if self._transport is None:
            self.fail_soon(conn, "the hub is gone")
            return
        self._conns[conn.name] = conn
        self._write(OPEN, conn.target.zhttp_spec, isinstance(conn, ReqConn), conn.name, packet)
        self._sweep_later()

    def send(self, names: list[bytes], packet: bytes) -> None:
        """Send a further packet."""
        self._write(SEND, names, packet)

    def open_socket(self, conn: ZhttpSocket) -> None:
        """Let a request that is under way go on as a WebSocket."""
        self._conns[conn.name] = conn

    def is_open(self, conn: ZhttpConn | ZhttpSocket) -> bool:
        """Say whether the request is under way."""
        return conn.name in self._conns

    def close_request(self, conn: ZhttpConn | ZhttpSocket) -> None:
        """Forget a request, if it is under way."""
        if self._conns.pop(conn.name, None) is not None:
            self._write(CLOSE, conn.name, conn.is_answer_pending)

    def fail_soon(self, conn: ZhttpConn, detail: str) -> None:
        """Let a request fail when its asker has done what it is doing."""
        self._loop.call_soon(conn.on_failed, detail)

    def _write(self, kind: int, *values: object) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode_message(kind, *values))

    # The hub.

    def _connect(self) -> None:
        if self._connecting is None and self._link is None and self._is_open:
            self._connecting = self._loop.create_task(self._reach_hub())

    async def _reach_hub(self) -> None:
        """Connect, and if it takes the hub's restart; only its hello completes it."""
        try:
            while self._uses or self._waiting:
                try:
                    await self._loop.create_unix_connection(partial(_HubLink, self), self._path)
                except OSError:
                    await asyncio.sleep(RETRY_S)
                else:
                    return
        finally:
            self._connecting = None

    def on_link(self, link: "_HubLink") -> None:
        self._link = link

    def on_message(self, message: list[Any]) -> None:
        """Do what the hub says."""
        kind, *values = message
        if kind == PACKET:
            self._on_packet(values[0])
        elif kind == REFUSED:
            conn = self._conns.pop(values[0], None)
            if conn is not None:
                conn.on_failed(values[1], is_untaken=values[2])
        elif kind == HELLO:
            self._on_hello(values[0])

    def on_bug(self) -> None:
        """An exception that is no fault of the hub's or an origin's came up while its message was handled."""
        self._row[Field.INTERNAL_ERRORS] += 1
        log.exception("internal error while handling the hub's zhttp message")

    def _on_hello(self, instance: bytes) -> None:
        assert self._link is not None
        self._transport = self._link.transport
        self.instance = instance
        self._declare()
        waiting, self._waiting = self._waiting, {}
        for ask in waiting:
            if not ask.is_cancelled:
                self.get(ask)

    def _declare(self) -> None:
        self._write(DECLARE, [(spec, use.is_zhttpreq, use.ipc_file_mode) for spec, use in self._uses.items()])

    def _on_packet(self, message: bytes) -> None:
        packet = decode_response_packet(message)  # the hub has found it valid
        for each in packet.ids:
            conn = self._conns.get(each.name)
            if conn is not None:
                conn.on_packet(packet, each.seq)

    def on_room(self) -> None:
        """The hub reads again."""
        self.is_behind = False
        for conn in list(self._conns.values()):
            conn.on_link_writable()

    def on_link_lost(self) -> None:
        """The hub is gone, and with it all requests under way."""
        self._link = self._transport = None
        self.is_behind = False
        conns, self._conns = self._conns, {}
        for conn in conns.values():
            conn.on_failed("the hub is gone")
        if self._uses or self._waiting:
            self._connect()

    # Time.

    def _sweep_later(self) -> None:
        if self._sweeping is None and self._is_open:
            self._sweeping = self._loop.call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """Let requests fail whose origins, or the hub, are silent; tell the others' origins that they are wanted."""
        self._sweeping = None
        now = self.clock()
        for ask, since in list(self._waiting.items()):
            if ask.is_cancelled or now - since >= ASK_MAX_S:
                del self._waiting[ask]
                if not ask.is_cancelled:
                    self._fail_unserved(ask, f"the hub did not answer within {ASK_MAX_S:g} s")
        due: dict[tuple[str | None, bytes | None], list[RequestId]] = {}
        for conn in list(self._conns.values()):
            number = conn.on_time(now)
            if number is None:
                continue
            assert isinstance(conn, StreamConn | ZhttpSocket)
            if conn.is_multi:
                due.setdefault((conn.target.zhttp_spec, conn.address), []).append(number)
            else:
                self._keep_alive([number])
        for numbers in due.values():
            for start in range(0, len(numbers), IDS_MAX_COUNT):
                self._keep_alive(numbers[start : start + IDS_MAX_COUNT])
        if self._conns or self._waiting:
            self._sweep_later()

    def _keep_alive(self, numbers: list[RequestId]) -> None:
        self.send([number.name for number in numbers], encode_keep_alive(numbers, self.instance))


class _HubLink(asyncio.Protocol):
    """The connection to one life of the hub."""

    def __init__(self, client: ZhttpClient) -> None:
        self._client = client
        self._reader = MessageReader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(BEHIND_BYTES)
        self._client.on_link(self)

    def data_received(self, data: bytes) -> None:
        for message in self._reader.feed(data):
            try:
                self._client.on_message(message)
            except Exception:  # a bug of ours ends one request at most, not all of them
                self._client.on_bug()

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.on_link_lost()

    def pause_writing(self) -> None:
        self._client.is_behind = True

    def resume_writing(self) -> None:
        self._client.on_room()
