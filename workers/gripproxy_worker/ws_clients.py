"""WebSocket clients: bare descriptors whose frames are read, unless their origin or the engine wants none for now.

One that is quiet, or sends its frames whole, has nothing here. A `WsClient` is made for those in the middle of
something, and for those with a WebSocket origin.
"""

import asyncio
import logging
import select
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gripproxy.engine.effects import (
    AwaitReader,
    CloseOrigin,
    Effect,
    EndSocket,
    OpenSocket,
    PauseClient,
    ToOrigin,
    Write,
)
from gripproxy.engine.events import ClientGone, FramesCame, OriginFramesCame, OriginSocketGone, ReaderCaughtUp
from gripproxy.errors import InternalError, WebSocketError
from gripproxy.protocol.websocket_frame import Frame
from gripproxy.protocol.websocket_reader import read_whole
from gripproxy.scoreboard import Field
from gripproxy_worker.client_sockets import BROKEN, GONE
from gripproxy_worker.idle_conn import ClosingConn
from gripproxy_worker.outbox import Outbox
from gripproxy_worker.ws_input import WsInput, WsKind, frame_size
from gripproxy_worker.ws_origin import DEFLATING_ORIGINS, ORIGINS, OriginSocket, WsOrigin

if TYPE_CHECKING:
    from gripproxy_worker.driver import Driver

log = logging.getLogger(__name__)

BACKLOG_PAUSE_BYTES = 65_536  # unread by the client: past this its origin is not read
TURN_MAX_COUNT = 1000  # frames of all clients in one turn of the loop, some 5 ms
KEPT_MAX_BYTES = 67_108_864  # of frames of all clients that are not whole: 1,024 of the largest that are kept at all
UNTAKEN_MAX_BYTES = 268_435_456  # that all WebSocket origins have not read, as much as clients may leave unread
FRAME_BYTES = 512  # of what is read, or inflated, count as much as a frame


class WsClient:
    """What the worker keeps of a client that is not just quiet."""

    __slots__ = ("has_more", "input", "is_ended", "is_paused", "is_turn_due", "origin")

    def __init__(self) -> None:
        self.input: WsInput | None = None
        self.origin: OriginSocket | None = None
        self.is_paused = False  # the engine wants no more of it
        self.is_ended = False  # its end was seen; what it sent before may be unread
        self.has_more = False  # something may be unread that no edge will tell of
        self.is_turn_due = False

    @property
    def is_wanted(self) -> bool:
        """Whether somebody takes what it sends."""
        return not (
            self.is_paused
            or (self.input is not None and self.input.is_closed)
            or (self.origin is not None and not self.origin.is_writable)
        )

    @property
    def is_needed(self) -> bool:
        """Whether it cannot be forgotten yet."""
        return (
            self.input is not None
            or self.origin is not None
            or self.is_paused
            or self.is_ended
            or self.has_more
            or self.is_turn_due
        )


class WsClients:
    """All WebSocket clients of a worker."""

    def __init__(self, driver: "Driver") -> None:
        self.clock = driver.clock
        self.wheel = driver.wheel
        self.call_soon = driver.call_soon
        self.origin_outbox: Outbox[WsOrigin] = Outbox(WsOrigin.write, driver.call_soon)
        self.origins: set[OriginSocket] = set()  # those that are being closed are among them
        self.origin_fds_count = 0  # of file descriptors that they have
        self.fds_max: int | None = None  # of clients and their WebSocket origins together
        self._driver = driver
        self._sockets = driver.sockets
        self._clients: dict[int, WsClient] = {}
        self._kinds: dict[tuple[bool, int], WsKind] = {}
        self._awaited: set[int] = set()  # the engine wants to know when they have read
        self._kept: dict[int, int] = {}  # bytes of frames that are not whole, the oldest frame first
        self._kept_bytes = 0
        self._untaken: dict[WsOrigin, int] = {}  # bytes that wait for those that take no more, the slowest first
        self._untaken_bytes = 0
        self._turns: deque[tuple[int, WsClient]] = deque()
        self._is_turn_due = False
        self._left_count = TURN_MAX_COUNT  # of frames, in this turn

    # Clients.

    def on_turn_begun(self) -> None:
        """Hear that sockets are about to be served."""
        self._left_count = TURN_MAX_COUNT

    def on_ready(self, fd: int, kind: WsKind, mask: int) -> None:
        """Something became possible at a client's socket."""
        sockets = self._sockets
        if mask & select.EPOLLOUT and fd in sockets.backlogs:
            sockets.flush(fd)
            if sockets.records[fd] is not kind:
                return
        client = self._clients.get(fd)
        if mask & GONE:
            client = client or self._client(fd)
            client.is_ended = True
            if mask & BROKEN and not client.is_wanted:
                self.on_gone(fd)
                return
        elif not mask & select.EPOLLIN:
            return
        if client is None or client.is_wanted:
            self._read(fd, kind, client)
        else:
            client.has_more = True  # no other edge will tell of it

    def _read(self, fd: int, kind: WsKind, client: WsClient | None) -> None:
        """Read once. Most reads bring whole frames, and leave nothing behind."""
        if self._left_count <= 0 or (client is not None and client.is_turn_due):
            self._client(fd).has_more = True  # no other edge will tell of it
            self._take_turn(fd)
            return
        data = self._sockets.read(fd)
        if not data:
            if data is not None:
                self.on_gone(fd)
            elif client is not None:
                client.has_more = False
                self._tidy(fd, client)
            return
        has_more = self._sockets.has_more
        self._left_count -= len(data) // FRAME_BYTES
        is_between_frames = client is None or (client.input is None and not client.is_ended)
        if is_between_frames and not has_more and (len(data) <= kind.slice_bytes or frame_size(data, 0) == len(data)):
            frames, end = read_whole(data, True, kind.inflater, kind.message_max_bytes)
            if end == len(data):
                if client is not None:
                    client.has_more = False
                    self._tidy(fd, client)
                self._hand_over(FramesCame(fd, frames), kind)
                return
        client = client or self._client(fd)
        client.has_more = has_more
        client.input = client.input or WsInput()
        client.input.put(data)
        self._advance(fd, kind, client)

    def _advance(self, fd: int, kind: WsKind, client: WsClient) -> None:
        """Hand on what was read, as long as it is wanted and it is this client's turn."""
        source = client.input
        while source is not None and source.is_waiting and client.is_wanted and self._left_count > 0:
            frames, error = source.step(kind)
            if frames or error is not None:
                self._forget_kept(fd)
                if error is not None:
                    self._driver.row[Field.CLIENT_ERRORS] += 1
                    log.info("WebSocket client %s: %s", self._sockets.client_ip(fd), error)
                self._hand_over(FramesCame(fd, frames, error), kind)
                if self._clients.get(fd) is not client:
                    return
        if client.is_wanted and ((source is not None and source.is_waiting) or client.has_more or client.is_ended):
            self._take_turn(fd)
        else:
            self._tidy(fd, client)
        if source is not None and source.kept_bytes:
            self._keep(fd, source.kept_bytes)

    def _keep(self, fd: int, kept_bytes: int) -> None:
        """Note what is kept of a client's frame. If it is too much of all clients', whose frame is the oldest goes."""
        self._kept_bytes += kept_bytes - self._kept.get(fd, 0)
        self._kept[fd] = kept_bytes
        while self._kept_bytes > KEPT_MAX_BYTES:
            oldest_fd = next(iter(self._kept))
            log.info("WebSocket client cut off: too many are in the middle of a frame, it for the longest time")
            self.on_gone(oldest_fd)

    def _forget_kept(self, fd: int) -> None:
        if fd in self._kept:
            self._kept_bytes -= self._kept.pop(fd)

    def _hand_over(self, event: FramesCame, kind: WsKind) -> None:
        self._left_count -= len(event.frames)
        if kind.inflater is not None:
            self._left_count -= sum([len(frame.payload) for frame in event.frames]) // FRAME_BYTES
        if self._driver.meter is not None:
            self._driver.meter.frames_came(event.conn_id, event.frames)
        self._driver.dispatch(None, event)

    def _client(self, fd: int) -> WsClient:
        client = self._clients.get(fd)
        if client is None:
            client = self._clients[fd] = WsClient()
        return client

    def _tidy(self, fd: int, client: WsClient) -> None:
        """Let go of what is not needed any more."""
        if client.input is not None and client.input.is_idle:
            client.input = None
        if not client.is_needed:
            del self._clients[fd]

    def _take_turn(self, fd: int) -> None:
        """Go on with a client when the loop has turned."""
        client = self._client(fd)
        if not client.is_turn_due:
            client.is_turn_due = True
            self._turns.append((fd, client))
            self._plan_turn()

    def _plan_turn(self) -> None:
        if not self._is_turn_due:
            self._is_turn_due = True
            self.call_soon(self._on_turn)

    def _on_turn(self) -> None:
        self._is_turn_due = False
        self._left_count = TURN_MAX_COUNT
        for _ in range(len(self._turns)):
            if self._left_count <= 0:
                break
            fd, client = self._turns.popleft()
            if self._clients.get(fd) is client:
                client.is_turn_due = False
                self._go_on(fd, client)
        if self._turns:
            self._plan_turn()

    def _go_on(self, fd: int, client: WsClient) -> None:
        kind = self._sockets.records[fd]
        assert type(kind) is WsKind
        try:
            if not client.is_wanted:
                self._tidy(fd, client)
            elif client.input is not None and client.input.is_waiting:
                self._advance(fd, kind, client)
            else:
                self._read(fd, kind, client)
        except Exception:  # a bug of ours ends one connection: the others' turns must come
            self._driver.row[Field.INTERNAL_ERRORS] += 1
            log.exception("internal error while reading a WebSocket client, which is closed")
            self._driver.end(fd)

    def on_gone(self, fd: int) -> None:
        """The client is gone, or is to be gone at once."""
        self._forget(fd, self._clients.pop(fd, None))
        self._driver.outbox.take(fd)
        self._sockets.close(fd)
        self._driver.dispatch(None, ClientGone(fd))

    def _forget(self, fd: int, client: WsClient | None) -> None:
        self._awaited.discard(fd)
        self._forget_kept(fd)
        self._sockets.room_waits.pop(fd, None)
        if client is not None and client.origin is not None:
            client.origin.close()

    def _on_room(self, fd: int) -> None:
        """A slow client has read all that waited for it."""
        client = self._clients.get(fd)
        if client is not None and client.origin is not None:
            client.origin.resume_reading()
        if fd in self._awaited:
            self._awaited.discard(fd)
            self._driver.dispatch(None, ReaderCaughtUp(fd))

    # From one worker to another.

    def is_at_rest(self, fd: int) -> bool:
        """Say whether nothing is under way at a client, nor at its origin."""
        client = self._clients.get(fd)
        if fd in self._awaited or client is None:
            return fd not in self._awaited
        if client.input is not None or client.is_paused or client.is_ended or client.has_more or client.is_turn_due:
            return False
        return client.origin is None or (type(client.origin) is WsOrigin and client.origin.is_at_rest)

    def is_movable(self, fd: int) -> bool:
        """Say whether a client's origin, if it has one, could go with it some time."""
        origin = client.origin if (client := self._clients.get(fd)) is not None else None
        return origin is None or (type(origin) is WsOrigin and origin.is_movable)

    def origin_of(self, fd: int) -> WsOrigin | None:
        """Give the connection to the WebSocket origin of a client at rest."""
        client = self._clients.get(fd)
        return client.origin if client is not None and type(client.origin) is WsOrigin else None

    def hand_over(self, fd: int) -> None:
        """Forget a client that another worker has now, and its origin."""
        client = self._clients.pop(fd, None)
        if client is not None and client.origin is not None:
            client.origin.abort()

    def take_over(self, fd: int, is_deflating: bool, message_max_bytes: int) -> None:
        """Take a client that another worker has had. Its socket is one of ours already."""
        self._sockets.records[fd] = self._kind(is_deflating, message_max_bytes)

    def take_over_origin(self, fd: int, transport: asyncio.Transport, is_deflating: bool, early_input: bytes) -> None:
        """Take the connection to a client's WebSocket origin that another worker has had."""
        kind = DEFLATING_ORIGINS if is_deflating else ORIGINS
        origin = self._client(fd).origin = WsOrigin(self, fd, transport, kind, early_input)
        origin.stay()

    # Their origins.

    @property
    def has_room(self) -> bool:
        """Whether there are file descriptors for one more WebSocket origin."""
        return self.fds_max is None or self._sockets.count + self.origin_fds_count < self.fds_max

    def on_origin_opened(self, origin: OriginSocket) -> None:
        """Count one more."""
        self.origins.add(origin)
        self.origin_fds_count += type(origin) is WsOrigin

    def on_origin_closed(self, origin: OriginSocket) -> None:
        """Its connection is gone."""
        self.origins.discard(origin)
        if type(origin) is WsOrigin:
            self.on_origin_drained(origin)
            self.origin_fds_count -= 1
            self._driver.pool.on_socket_closed()

    def on_origin_frames(self, conn_id: int, frames: list[Frame], error: WebSocketError | None) -> None:
        """A client's origin sent these."""
        if self._driver.meter is not None:
            self._driver.meter.frames_from_origin(conn_id, frames)
        self._driver.dispatch(None, OriginFramesCame(conn_id, frames, error))

    def on_origin_full(self, origin: WsOrigin, size_bytes: int) -> None:
        """A client's origin takes no more for now: so much waits for it."""
        self._untaken[origin] = size_bytes
        self._untaken_bytes += size_bytes
        if self._untaken_bytes > UNTAKEN_MAX_BYTES:
            self.call_soon(self._cut_slow_origins)

    def on_origin_drained(self, origin: WsOrigin) -> None:
        """An origin has taken what waited for it, or is gone."""
        self._untaken_bytes -= self._untaken.pop(origin, 0)

    def _cut_slow_origins(self) -> None:
        """Let go of those for whom something waits for the longest time, while too much waits for all."""
        while self._untaken_bytes > UNTAKEN_MAX_BYTES:
            origin = next(iter(self._untaken))
            log.info("WebSocket client cut off: too much waits for origins, and for its for the longest time")
            self.on_origin_drained(origin)
            conn_id = origin.conn_id
            origin.abort()
            if conn_id is not None:
                self.on_gone(conn_id)

    def on_origin_writable(self, conn_id: int) -> None:
        """A client's origin takes more."""
        self._take_turn(conn_id)

    def on_origin_gone(self, conn_id: int, detail: str) -> None:
        """A client's origin has left."""
        self._client(conn_id).origin = None
        self._take_turn(conn_id)
        self._driver.dispatch(None, OriginSocketGone(conn_id, detail))

    def close(self) -> None:
        """Close the connections to all origins, and do nothing more for clients, which are closed, too."""
        self._turns.clear()
        for origin in list(self.origins):
            origin.abort()

    # Effects. A client may be gone by the time of one, by what an earlier one has led to.

    def open(self, effect: OpenSocket) -> None:
        """Make a busy client, whose request is over, a WebSocket client."""
        driver, fd = self._driver, effect.conn_id
        conn = driver.busy_client(fd)
        early_input = conn.take_early_input()
        origin, has_more = conn.leave(effect.has_origin)
        driver.wheel.cancel(conn)
        self._sockets.records[fd] = self._kind(effect.is_deflating, effect.message_max_bytes)
        driver.counts.responses(effect.payload)
        if driver.meter is not None:
            driver.meter.responded(effect.payload, (fd,))
        driver.outbox.put(fd, effect.payload)
        if effect.has_origin:
            if origin is None:
                raise InternalError(f"connection {fd} has no origin")
            self._client(fd).origin = origin.open_socket(self, fd, effect.is_origin_deflating)
        if early_input or has_more:
            client = self._client(fd)
            client.has_more = has_more
            if early_input:
                client.input = WsInput()
                client.input.put(early_input)
            self._take_turn(fd)

    def write(self, effect: Write) -> None:
        """Send a client frames. None of them is dropped, so its origin is not read while it does not read."""
        fd = effect.conn_id
        if not self._is_open(fd):
            return
        if self._driver.meter is not None:
            self._driver.meter.frames_written(effect.payload, (fd,))
        self._driver.outbox.put(fd, effect.payload)
        backlogs = self._sockets.backlogs
        backlog = backlogs.get(fd) if backlogs else None
        if backlog is None or backlog.bytes_count <= BACKLOG_PAUSE_BYTES:
            return
        if backlogs.is_overfull(backlog):
            log.info("WebSocket client cut off: it reads too slowly, and %d bytes wait for it", backlog.bytes_count)
            self.on_gone(fd)
            return
        client = self._clients.get(fd)
        if client is not None and client.origin is not None:
            client.origin.pause_reading()
            self._sockets.room_waits[fd] = self._on_room

    def to_origin(self, effect: ToOrigin) -> None:
        """Send a client's WebSocket origin frames."""
        client = self._clients.get(effect.conn_id)
        if client is not None and client.origin is not None:
            if self._driver.meter is not None:
                self._driver.meter.frames_to_origin(effect.conn_id, effect.frames)
            client.origin.send(effect.frames)

    def close_origin(self, effect: CloseOrigin) -> None:
        """Let a client have no origin any more."""
        client = self._clients.get(effect.conn_id)
        if client is not None and client.origin is not None:
            origin, client.origin = client.origin, None
            self._take_turn(effect.conn_id)
            origin.close(effect.frame)

    def pause(self, effect: PauseClient) -> None:
        """Read no more of a client, or read on."""
        fd = effect.conn_id
        if self._is_open(fd):
            self._client(fd).is_paused = effect.is_paused
            if not effect.is_paused:
                self._take_turn(fd)

    def await_reader(self, effect: AwaitReader) -> None:
        """Tell the engine when a client has read what it was sent."""
        fd = effect.conn_id
        if not self._is_open(fd):
            return
        self._driver.outbox.flush_one(fd)
        if fd in self._sockets.backlogs:
            self._awaited.add(fd)
            self._sockets.room_waits[fd] = self._on_room
        else:
            self._driver.dispatch(None, ReaderCaughtUp(fd))

    def end(self, effect: EndSocket) -> None:
        """Send a client the last it gets, and close when it has read that."""
        fd = effect.conn_id
        if not self._is_open(fd):
            return
        self._forget(fd, self._clients.pop(fd, None))
        self._driver.outbox.flush_one(fd)
        if effect.payload:
            self._sockets.write(fd, effect.payload)
        ClosingConn(self._driver, fd).start()

    def _kind(self, is_deflating: bool, message_max_bytes: int) -> WsKind:
        key = is_deflating, message_max_bytes
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = WsKind(True, *key)
        return kind

    def _is_open(self, fd: int) -> bool:
        return type(self._sockets.records[fd]) is WsKind


SOCKET_EFFECTS: dict[type[Effect], Callable[[WsClients, Any], None]] = {
    OpenSocket: WsClients.open,
    Write: WsClients.write,
    ToOrigin: WsClients.to_origin,
    EndSocket: WsClients.end,
    CloseOrigin: WsClients.close_origin,
    PauseClient: WsClients.pause,
    AwaitReader: WsClients.await_reader,
}
