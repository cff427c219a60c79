"""Connections that go to another worker: made to plain values, kept still until that one has them, then forgotten."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gripproxy.engine.client_request import ClientRequest
from gripproxy.engine.core import Core
from gripproxy.engine.effects import Effect
from gripproxy.engine.handed_tables import TablesWriter, target_number
from gripproxy.engine.holds import HOLDING, STALLED, Hold, ResponseHold, StreamHold, TrackedStream
from gripproxy.engine.over_http_origin import EventsOrigin
from gripproxy.engine.tracking import Tracking
from gripproxy.engine.updates import Standing
from gripproxy.engine.ws_keep_alive import WsTimed
from gripproxy.engine.ws_session import DETACHED, OPEN, Incoming, WsSession
from gripproxy.protocol.handed_batch import HandedKind, HandedStream, HandedTables, Plain
from gripproxy.protocol.handed_hold import HandedResponse, HandedTracked
from gripproxy.protocol.handed_request import HandedRequest, HandedTracking, hand_head, hand_jsonp, hand_url
from gripproxy.protocol.handed_socket import HandedDelayed, HandedOrigin, HandedSocket

IDLE_RECORD: Plain = (int(HandedKind.IDLE),)
STREAM, TRACKED, RESPONSE, SOCKET = map(
    int, (HandedKind.STREAM, HandedKind.TRACKED, HandedKind.RESPONSE, HandedKind.SOCKET)
)

Handed = tuple[Any, ...]
Deadlines = list[tuple[Any, float]]  # records of the timer wheel, and when they are due


@dataclass(slots=True)
class _Stopped:
    """What a hold would do if it were not on its way."""

    deadlines: Deadlines
    standing: Standing | None = None


class Packer:
    """Packs one batch of a worker's connections.

    From `pack` to `release` or `restore` a connection's hold does nothing: it has no deadlines and asks for nothing,
    and the engine must hear nothing of it. It keeps its channels, so that none of them seems to have lost its last
    subscriber. `now` is that of the batch; the bus stands still meanwhile.
    """

    def __init__(self, core: Core, now: float) -> None:
        self._core = core
        self._holds = core.holds
        self._wheel = core.holds.wheel
        self._tables = TablesWriter(now)
        self._now = now
        self._stopped: dict[int, _Stopped] = {}

    def pack(self, conn_id: int) -> Handed | None:
        """Give a connection as plain values; None if it is not at rest now."""
        table = self._holds
        hold = table.holds[conn_id] if conn_id < len(table.holds) else None
        if hold is None:
            return None if conn_id in self._core.exchanges else IDLE_RECORD
        if table.fan_outs.is_due(conn_id) or conn_id in self._stopped:
            return None
        return _PACK[type(hold)](self, hold)

    def tables(self) -> HandedTables:
        """Give what the records share that were packed so far."""
        return self._tables.tables()

    def release(self, conn_id: int) -> list[Effect]:
        """Forget a connection that the other worker has now."""
        stopped = self._stopped.pop(conn_id, None)
        return [] if stopped is None else self._holds.hand_over(conn_id)

    def restore(self, conn_id: int, now: float) -> list[Effect]:
        """Let a connection that stays go on as before."""
        stopped = self._stopped.pop(conn_id, None)
        if stopped is None:
            return []
        for record, at in stopped.deadlines:
            self._wheel.schedule(record, at)
        hold = self._holds.holds[conn_id]
        if stopped.standing is None or not isinstance(hold, TrackedStream | ResponseHold):
            return []
        return self._core.sessions.reinstate(hold, stopped.standing, now)

    def _stop(self, conn_id: int, *records: Any) -> list[float | None]:
        """Take these records' deadlines off; give in how many seconds they are due."""
        deadlines: Deadlines = []
        due_s: list[float | None] = []
        for record in records:
            left_s = None if record is None else self._wheel.left_s(record, self._now)
            due_s.append(left_s)
            if left_s is not None:
                deadlines.append((record, self._now + left_s))
                self._wheel.cancel(record)
        self._stopped[conn_id] = _Stopped(deadlines)
        return due_s

    def _who(self, hold: Hold) -> tuple[int, Any]:
        accounts = self._core.accounts
        return accounts.traffic.age_s(hold.conn_id), accounts.observer.identity(hold.conn_id)

    def _pack_stream(self, hold: StreamHold) -> Handed:
        (due_s,) = self._stop(hold.conn_id, hold)
        tables = self._tables
        return HandedStream(STREAM, *self._who(hold), tables.shape(hold.shape), tables.channels(hold.channels), due_s)

    def _pack_tracked(self, hold: TrackedStream) -> Handed | None:
        is_at_rest = hold.state in (HOLDING, STALLED) and not hold.queue
        if not is_at_rest or hold.conn_id in self._core.sessions.offers.checks or not hold.request.route.line:
            return None
        (due_s,) = self._stop(hold.conn_id, hold)
        standing = self._stopped[hold.conn_id].standing = self._core.sessions.suspend(hold, self._now)
        return HandedTracked(
            TRACKED,
            *self._who(hold),
            self._tables.shape(hold.shape),
            self._tables.channels(hold.channels),
            self._pack_request(hold.request),
            hand_url(hold.url),
            due_s,
            _hand_tracking(hold.tracking),
            hand_url(hold.link),
            hold.link_timeout_s,
            hand_url(hold.gone),
            hold.state is STALLED,
            standing.is_waiting,
            standing.group,
            {name: self._now - sent_at for name, sent_at in hold.sent_at.items()} or None,
            hold.doubted or None,
        )

    def _pack_response(self, hold: ResponseHold) -> Handed | None:
        if hold.conn_id in self._core.sessions.offers.checks or not hold.request.route.line:
            return None
        (due_s,) = self._stop(hold.conn_id, hold)
        standing = self._stopped[hold.conn_id].standing = self._core.sessions.suspend(hold, self._now)
        return HandedResponse(
            RESPONSE,
            *self._who(hold),
            self._tables.channels(hold.channels),
            self._pack_request(hold.request),
            due_s or 0.0,
            hold.status,
            hold.reason,
            hold.headers,
            hold.body,
            _hand_tracking(hold.tracking),
            hand_url(hold.gone),
            standing.is_waiting,
        )

    def _pack_request(self, request: ClientRequest) -> HandedRequest:
        return HandedRequest(
            hand_head(request.head),
            request.client_ip,
            request.is_https,
            self._tables.route(request.route),
            request.traffic.route,
            request.is_debug,
            request.is_cross_origin,
            request.is_trusted,
            request.is_websocket,
            target_number(request.route, request.target),
            request.body,
            hand_jsonp(request.jsonp),
        )

    def _pack_socket(self, hold: WsSession) -> Handed | None:
        origin, extra, keep_alive = hold.origin, hold.extra, hold.keep_alive
        delayed = None if extra is None else extra.delayed
        if (
            hold.state not in (OPEN, DETACHED)
            or hold.incoming is not Incoming.NONE
            or (origin is not None and origin.talk is not None)
            or hold.conn_id in self._core.sessions.offers.checks
            or not hold.shape.route.line
        ):
            return None
        due_s, origin_due_s, delayed_due_s = self._stop(hold.conn_id, hold, origin, delayed)
        return HandedSocket(
            SOCKET,
            *self._who(hold),
            self._tables.socket_shape(hold.shape),
            self._tables.channels(hold.channels),
            hold.state is DETACHED,
            self._core.accounts.traffic.silence_s(hold.conn_id),
            _hand_origin(origin, origin_due_s),
            hold.path,
            None if keep_alive is None else self._tables.keep_alive(keep_alive),
            due_s,
            extra and extra.filters or None,
            extra and extra.meta or None,
            _hand_delayed(delayed, delayed_due_s),
        )


def _hand_tracking(tracking: Tracking | None) -> HandedTracking | None:
    if tracking is None:
        return None
    return HandedTracking(tracking.own, tracking.ids, tracking.filters, tracking.meta, sorted(tracking.names))


def _hand_origin(origin: EventsOrigin | None, due_s: float | None) -> HandedOrigin | None:
    if origin is None:
        return None
    return HandedOrigin(origin.values, origin.interval_s, origin.meta, origin.unread_kib, due_s)


def _hand_delayed(delayed: WsTimed | None, due_s: float | None) -> HandedDelayed | None:
    return None if delayed is None else HandedDelayed(delayed.opcode, delayed.payload, due_s or 0.0)


_PACK: dict[type, Callable[[Packer, Any], Handed | None]] = {
    StreamHold: Packer._pack_stream,
    TrackedStream: Packer._pack_tracked,
    ResponseHold: Packer._pack_response,
    WsSession: Packer._pack_socket,
}
