"""The connection to a client's WebSocket origin, from the origin's 101 to its end."""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Protocol

from gripproxy.engine.timer_wheel import Slot, TimerWheel
from gripproxy.errors import WebSocketError
from gripproxy.protocol.permessage_deflate import deflate
from gripproxy.protocol.websocket_close import NORMAL, encode_close
from gripproxy.protocol.websocket_frame import BINARY, CLOSE, TEXT, Frame, encode_masked_frame
from gripproxy_worker.outbox import Outbox
from gripproxy_worker.ws_input import WsInput, WsKind

CLOSING_MAX_S = 10.0  # for the end of an origin that was sent a close, or is to be sent what waits for it
# Of what it sends, before the others' turn. A client can make an origin send pongs without end.
STEPS_MAX_COUNT = 16  # slices
STEPS_MAX_FRAMES = 250  # 2 ms
STEPS_MAX_BYTES = 1_048_576  # inflated
_PROBES = (  # of a silent origin, whose end nobody might hear of: it is gone after 5 minutes
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 180),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
)
ORIGINS = WsKind(is_client=False, is_deflating=False)
DEFLATING_ORIGINS = WsKind(is_client=False, is_deflating=True)


class OriginSocket(Protocol):
    """What a WebSocket client has of its origin: a `WsOrigin`, or what plays its part where no HTTP is spoken."""

    @property
    def is_writable(self) -> bool: ...
    def send(self, frames: list[Frame]) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def close(self, frame: Frame | None = None) -> None: ...
    def abort(self) -> None: ...


class SocketOwner(Protocol):
    """Who hears what origins send, and of their end: the worker's table of WebSocket clients."""

    @property
    def clock(self) -> Callable[[], float]: ...
    @property
    def call_soon(self) -> Callable[..., object]: ...
    @property
    def wheel(self) -> TimerWheel: ...
    @property
    def origin_outbox(self) -> "Outbox[WsOrigin]": ...
    def on_origin_opened(self, origin: OriginSocket) -> None: ...
    def on_origin_frames(self, conn_id: int, frames: list[Frame], error: WebSocketError | None) -> None: ...
    def on_origin_full(self, origin: "WsOrigin", size_bytes: int) -> None: ...
    def on_origin_drained(self, origin: "WsOrigin") -> None: ...
    def on_origin_writable(self, conn_id: int) -> None: ...
    def on_origin_gone(self, conn_id: int, detail: str) -> None: ...
    def on_origin_closed(self, origin: OriginSocket) -> None: ...


class WsOrigin(asyncio.Protocol):
    """One origin of one client. Once it is told to `close`, the owner hears only that it `on_origin_closed`."""

    __slots__ = (
        *("_has_sent_close", "_input", "_is_paused", "_is_turn_due", "_kind", "_owner", "_transport"),
        *("conn_id", "is_writable", "slot"),
    )

    def __init__(
        self, owner: SocketOwner, conn_id: int, transport: asyncio.Transport, kind: WsKind, early_input: bytes
    ) -> None:
        self.is_writable = True
        self.slot: Slot | None = None
        self._owner = owner
        self.conn_id: int | None = conn_id  # None: the client needs it no more
        self._transport: asyncio.Transport | None = transport
        self._kind = kind
        self._input = WsInput()
        self._has_sent_close = False
        self._is_paused = False  # its client reads too slowly
        self._is_turn_due = False
        transport.set_protocol(self)
        _probe(transport)
        owner.on_origin_opened(self)
        if early_input:
            self._input.put(early_input)
            self._take_turn()

    def send(self, frames: list[Frame]) -> None:
        """Send frames, whatever room there is for them: see `is_writable`."""
        if self._has_sent_close:
            return
        keys = os.urandom(4 * len(frames))
        parts = []
        for index, frame in enumerate(frames):
            key = keys[4 * index : 4 * index + 4]
            payload, opcode = frame.payload, frame.opcode
            if opcode == CLOSE:
                self._has_sent_close = True
                payload = payload or encode_close(NORMAL)  # as the newest Pushpin
            is_compressed = self._kind.inflater is not None and frame.is_final and opcode in (TEXT, BINARY)
            if is_compressed:
                payload = deflate(payload)
            parts.append(encode_masked_frame(opcode, payload, frame.is_final, key, is_compressed))
        self._owner.origin_outbox.put(self, b"".join(parts))

    def write(self, payload: bytes) -> None:
        """Hand bytes to the transport; nothing if the connection was closed in the meantime."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(payload)

    def pause_reading(self) -> None:
        """Read no more until the client has read what there is."""
        self._is_paused = True
        self._let_read()

    def resume_reading(self) -> None:
        """Read on."""
        if self._is_paused:
            self._is_paused = False
            if self._input.is_waiting:
                self._take_turn()
            self._let_read()

    def close(self, frame: Frame | None = None) -> None:
        """Close, after what waits and `frame`. After a close frame the origin is to end the connection, as servers do.

        Source: RFC 6455 section 7.1.1.
        """
        if frame is not None:
            self.send([frame])
        self.conn_id = None
        self._owner.origin_outbox.flush_one(self)
        transport = self._transport
        if transport is None:
            return
        self._input = WsInput()
        if self._has_sent_close:
            self._let_read()
        else:
            transport.close()
        self._owner.wheel.schedule(self, self._owner.clock() + CLOSING_MAX_S)

    def abort(self) -> None:
        """Close at once."""
        self.conn_id = None
        self._owner.origin_outbox.take(self)
        if self._transport is not None:
            self._transport.abort()

    def on_deadline(self, now: float) -> None:
        """It was closed long enough ago."""
        self.abort()

    # From one worker to another.

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is under way in either direction."""
        transport = self._transport
        return (
            transport is not None
            and not (transport.is_closing() or self._has_sent_close or self._is_paused or self._is_turn_due)
            and self.conn_id is not None
            and self.is_writable
            and self._input.is_idle
            and self not in self._owner.origin_outbox
            and not transport.get_write_buffer_size()
            and self.is_movable
        )

    @property
    def is_movable(self) -> bool:
        """Whether another process could have it: it is no TLS connection."""
        return self._transport is None or self._transport.get_extra_info("ssl_object") is None

    @property
    def is_deflating(self) -> bool:
        """Whether compression was agreed with it."""
        return self._kind is DEFLATING_ORIGINS

    def lend(self) -> int:
        """Give a descriptor of its socket, which is the caller's, and read nothing more for now."""
        assert self._transport is not None
        self._transport.pause_reading()
        return os.dup(self._transport.get_extra_info("socket").fileno())

    def stay(self) -> None:
        """Go on after `lend`."""
        self._let_read()

    # The transport.

    def pause_writing(self) -> None:
        self.is_writable = False
        if self._transport is not None:
            self._owner.on_origin_full(self, self._transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self.is_writable = True
        self._owner.on_origin_drained(self)
        if self.conn_id is not None:
            self._owner.on_origin_writable(self.conn_id)

    def data_received(self, data: bytes) -> None:
        if self.conn_id is None or self._input.is_closed:
            return
        self._input.put(data)
        if not (self._is_paused or self._is_turn_due):
            self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        owner, conn_id = self._owner, self.conn_id
        self._transport = None
        while self.conn_id is not None and self._input.is_waiting:  # it may have been said before the end
            self._step()
        conn_id, self.conn_id = self.conn_id, None
        owner.wheel.cancel(self)
        owner.origin_outbox.take(self)
        owner.on_origin_closed(self)
        if conn_id is not None:
            owner.on_origin_gone(conn_id, f"it closed the connection{'' if exc is None else f': {exc}'}")

    def _advance(self) -> None:
        room_count, room_bytes = STEPS_MAX_FRAMES, STEPS_MAX_BYTES
        for _ in range(STEPS_MAX_COUNT):
            if self.conn_id is None or self._is_paused or not self._input.is_waiting:
                return
            frames = self._step()
            room_count -= len(frames)
            room_bytes -= sum([len(frame.payload) for frame in frames])
            if room_count < 0 or room_bytes < 0:
                break
        if self._input.is_waiting:
            self._take_turn()

    def _step(self) -> list[Frame]:
        """Decode a slice, and hand it on."""
        frames, error = self._input.step(self._kind)
        if (frames or error is not None) and self.conn_id is not None:
            self._owner.on_origin_frames(self.conn_id, frames, error)
        return frames

    def _take_turn(self) -> None:
        if not self._is_turn_due:
            self._is_turn_due = True
            self._owner.call_soon(self._on_turn)
            self._let_read()

    def _on_turn(self) -> None:
        self._is_turn_due = False
        self._advance()
        self._let_read()

    def _let_read(self) -> None:
        """Let the transport read, unless something has to be done first with what is here."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            if self.conn_id is not None and (self._is_paused or self._is_turn_due):
                transport.pause_reading()
            else:
                transport.resume_reading()


def _probe(transport: asyncio.Transport) -> None:
    """Let the kernel find out whether a silent origin is still there."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        for level, option, value in _PROBES:
            sock.setsockopt(level, option, value)
