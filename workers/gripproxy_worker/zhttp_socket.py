"""A client's WebSocket origin over ZeroMQ, in the place of a connection to one over TCP."""

import logging
from typing import TYPE_CHECKING

from gripproxy.engine.timer_wheel import TICK_S, Slot
from gripproxy.protocol.route_target import Target
from gripproxy.protocol.websocket_frame import Frame
from gripproxy.protocol.zhttp import RequestId, ResponsePacket
from gripproxy.protocol.zhttp_socket import ENDED, SocketSession
from gripproxy.protocol.zhttp_stream import Came
from gripproxy_worker.ws_origin import CLOSING_MAX_S, SocketOwner

if TYPE_CHECKING:
    from gripproxy_worker.zhttp_client import ZhttpClient

log = logging.getLogger(__name__)

UNSENT_MAX_BYTES = 65_536  # of what waits for credits: past this the client is not read
# Of one client in a `TICK_S`; if it has sent more, it is not read until that many for each tick have passed. Credits do
# not count packets, and an origin's queue is for all: when it is full, others' requests fail as well.
PACKETS_MAX_COUNT = 250


class ZhttpSocket:
    """An `OriginSocket`. `session` is the request's, whose handshake is over."""

    __slots__ = (
        *("_client", "_conn_id", "_counted_at", "_is_closed", "_is_paused", "_owner", "_packets_count", "_session"),
        *("slot", "target"),
    )

    def __init__(
        self, client: "ZhttpClient", target: Target, session: SocketSession, owner: SocketOwner, conn_id: int
    ) -> None:
        self.slot: Slot | None = None
        self.target = target
        self._client = client
        self._conn_id: int | None = conn_id  # None: the client needs it no more
        self._counted_at = 0.0  # when `_packets_count` was last made less
        self._packets_count = 0
        self._is_closed = False
        self._is_paused = False  # its client reads too slowly
        self._owner = owner
        self._session = session
        client.open_socket(self)
        owner.on_origin_opened(self)

    @property
    def is_writable(self) -> bool:
        is_calm = self._packets_count < PACKETS_MAX_COUNT and self._session.unsent_bytes < UNSENT_MAX_BYTES
        return is_calm and not self._client.is_behind

    def send(self, frames: list[Frame]) -> None:
        """Send frames, or keep them until there are credits: see `is_writable`."""
        now = self._owner.clock()
        self._count_down(now)
        self._session.send(frames, self._client.clock())
        self._packets_count += self._flush()
        if self._packets_count >= PACKETS_MAX_COUNT:
            self._owner.wheel.schedule(self, now)

    def pause_reading(self) -> None:
        """Grant no more credits until the client has read what there is."""
        self._is_paused = True

    def resume_reading(self) -> None:
        """Grant credits again."""
        self._is_paused = False
        self._grant()

    def close(self, frame: Frame | None = None) -> None:
        """Close, after what waits and `frame`. After a close the origin is to answer with its own."""
        if frame is not None:
            self.send([frame])
        self._conn_id = None
        if self._session.has_closed:
            self._owner.wheel.schedule(self, self._owner.clock() + CLOSING_MAX_S)
        else:
            self._end()

    def abort(self) -> None:
        """End it at once: the origin is told, if it does not know."""
        self._conn_id = None
        self._end()

    def on_deadline(self, now: float) -> None:
        """It was closed long enough ago, or may send again."""
        if self._conn_id is None:
            self._end()
            return
        self._count_down(now)
        if self._packets_count >= PACKETS_MAX_COUNT:
            self._owner.wheel.schedule(self, now)
        else:
            self.on_link_writable()

    # For the client of the hub: as `ZhttpConn`.

    @property
    def name(self) -> bytes:
        return self._session.name

    @property
    def address(self) -> bytes | None:
        return self._session.address

    @property
    def is_multi(self) -> bool:
        return self._session.is_multi

    @property
    def is_answer_pending(self) -> bool:
        return self._session.is_answer_pending

    def leave(self) -> None:
        """Forget whose it is: the worker stops."""
        self._conn_id = None

    def on_packet(self, packet: ResponsePacket, seq: int | None) -> None:
        """Take a packet that is for this request."""
        was_writable = self.is_writable
        came = self._session.receive(packet, seq, self._client.clock())
        self._flush()
        frames = self._session.take_frames()
        if frames and self._conn_id is not None:
            self._owner.on_origin_frames(self._conn_id, frames, None)
        if self._check(came) and not self._is_paused:
            self._grant()
        if self.is_writable and not was_writable and self._conn_id is not None:
            self._owner.on_origin_writable(self._conn_id)

    def on_failed(self, detail: str, is_untaken: bool = False) -> None:
        """It cannot go on."""
        conn_id, self._conn_id = self._conn_id, None
        self._end()
        if conn_id is not None:
            self._owner.on_origin_gone(conn_id, detail)

    def on_time(self, now: float) -> RequestId | None:
        """Fail if the origin is silent for too long; else give the number of a keep-alive that is due."""
        return self._session.keep_alive(now) if self._check(self._session.check(now)) else None

    def on_link_writable(self) -> None:
        """The way to the hub may be free again."""
        if self._conn_id is not None and self.is_writable:
            self._owner.on_origin_writable(self._conn_id)

    def _check(self, came: Came) -> bool:
        """See whether it goes on. Where both ends have closed, it is for the client's end to say that it knows."""
        if came.failure is not None:
            self.on_failed(came.detail)
        elif self._session.state is ENDED:
            self._client.close_request(self)
            if self._conn_id is None:
                self._end()
        return self._client.is_open(self)

    def _count_down(self, now: float) -> None:
        """Forget packets that were sent long enough ago."""
        ticks_count = int((now - self._counted_at) / TICK_S)
        if ticks_count > 0:
            self._counted_at = now
            self._packets_count = max(0, self._packets_count - ticks_count * PACKETS_MAX_COUNT)

    def _grant(self) -> None:
        self._session.grant(self._client.clock())
        self._flush()

    def _flush(self) -> int:
        """Send what there is to send, and give the number of packets."""
        packets = self._session.take_outgoing()
        for packet in packets:
            self._client.send([self.name], packet)
        return len(packets)

    def _end(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if self._session.excess_bytes:
            log.warning("%s sent %d bytes more than it had credits for", self.target.label, self._session.excess_bytes)
        self._owner.wheel.cancel(self)
        self._client.close_request(self)
        self._owner.call_soon(self._owner.on_origin_closed, self)
