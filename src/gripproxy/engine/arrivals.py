"""Connections that come from another worker: held here as they were there, under another number."""

from collections.abc import Callable, Sequence
from typing import Any

from gripproxy.engine.client_request import ClientRequest
from gripproxy.engine.core import Core
from gripproxy.engine.effects import Effect
from gripproxy.engine.handed_tables import OldRoutes, TablesReader
from gripproxy.engine.holds import STALLED, Hold, ResponseHold, StreamHold, TrackedStream
from gripproxy.engine.over_http_origin import EventsOrigin
from gripproxy.engine.tracking import Tracking
from gripproxy.engine.updates import Standing
from gripproxy.engine.ws_keep_alive import WsTimed
from gripproxy.engine.ws_session import DETACHED, OPEN, WsExtra, WsSession
from gripproxy.protocol.handed_batch import HandedKind, HandedStream, read_record
from gripproxy.protocol.handed_hold import HandedResponse, HandedTracked
from gripproxy.protocol.handed_request import (
    HandedRequest,
    HandedTracking,
    Shared,
    take_head,
    take_jsonp,
    take_pairs,
    take_url,
)
from gripproxy.protocol.handed_socket import HandedDelayed, HandedOrigin, HandedSocket
from gripproxy.protocol.route import Route

Record = Sequence[Any]


def _as_written(route: Route) -> Route:
    return route


class Installer:
    """Takes connections over, batch by batch.

    Args:
        settle: finishes a route that this worker's table lacks with what is not in its line.
    """

    def __init__(self, core: Core, settle: Callable[[Route], Route] = _as_written) -> None:
        self._core = core
        self._holds = core.holds
        self._wheel = core.holds.wheel
        self._routes = OldRoutes(core, settle)
        self._tables = TablesReader(core, self._routes, (), 0.0)
        self._shared: Shared = {}

    def begin(self, tables: Record, now: float) -> None:
        """Begin a batch whose records share these."""
        self._tables = TablesReader(self._core, self._routes, tables, now)
        self._shared = {}

    def install(self, record: Record, conn_id: int, now: float) -> list[Effect]:
        """Hold a connection of the batch from now on."""
        return _INSTALL[record[0]](self, record, conn_id, now)

    def _install_idle(self, record: Record, conn_id: int, now: float) -> list[Effect]:
        return []

    def _install_stream(self, record: Record, conn_id: int, now: float) -> list[Effect]:
        _, age_s, identity, shape_number, set_number, due_s = read_record(HandedStream, record)
        channels, effects = self._tables.channels(set_number)
        hold = StreamHold(conn_id, self._tables.shape(shape_number), channels)
        self._take_over(hold, age_s, identity, due_s, now)
        return effects

    def _install_tracked(self, record: Record, conn_id: int, now: float) -> list[Effect]:
        handed = read_record(HandedTracked, record)
        request, shape = self._request(handed.request), self._tables.shape(handed.shape)  # they may be damaged
        link, url = take_url(handed.link), take_url(handed.url)
        assert url is not None
        channels, effects = self._tables.channels(handed.channels, is_update_wanted=link is not None)
        hold = TrackedStream(
            conn_id,
            shape,
            channels,
            request=request,
            url=url,
            tracking=_take_tracking(handed.tracking),
            link=link,
            link_timeout_s=handed.link_timeout_s,
            gone=take_url(handed.gone),
        )
        if handed.is_stalled:
            hold.state = STALLED
        if handed.sent:
            hold.sent_at = {name: now - ago_s for name, ago_s in handed.sent.items()}
        if handed.doubted:
            hold.doubted = dict(handed.doubted)
        self._take_over(hold, handed.age_s, handed.identity, handed.due_s, now)
        return effects + self._core.sessions.reinstate(hold, Standing(handed.is_waiting, handed.group), now)

    def _install_response(self, record: Record, conn_id: int, now: float) -> list[Effect]:
        handed = read_record(HandedResponse, record)
        request = self._request(handed.request)  # it may be damaged
        channels, effects = self._tables.channels(handed.channels, is_update_wanted=True)
        hold = ResponseHold(
            conn_id,
            channels,
            request,
            handed.status,
            self._shared.setdefault(handed.reason, handed.reason),
            take_pairs(handed.headers, self._shared),
            self._shared.setdefault(handed.body, handed.body),
            _take_tracking(handed.tracking),
            take_url(handed.gone),
        )
        self._take_over(hold, handed.age_s, handed.identity, handed.due_s, now)
        return effects + self._core.sessions.reinstate(hold, Standing(handed.is_waiting), now)

    def _install_socket(self, record: Record, conn_id: int, now: float) -> list[Effect]:
        handed = read_record(HandedSocket, record)
        shape = self._tables.socket_shape(handed.shape)  # it may be damaged
        channels, effects = self._tables.channels(handed.channels)
        hold = WsSession(conn_id, shape, channels, path=handed.path)
        hold.state = DETACHED if handed.is_detached else OPEN
        if handed.origin is not None:
            values, interval_s, meta, unread_kib, origin_due_s = read_record(HandedOrigin, handed.origin)
            hold.origin = EventsOrigin(conn_id, values, interval_s, tuple(meta), unread_kib)
            self._schedule(hold.origin, origin_due_s, now)
        if handed.keep_alive is not None:
            hold.keep_alive = self._tables.keep_alive(handed.keep_alive)
        if handed.filters or handed.meta or handed.delayed:
            filters = {name: tuple(filters) for name, filters in (handed.filters or {}).items()}
            hold.extra = WsExtra(filters, dict(handed.meta or {}))
        if hold.extra is not None and handed.delayed is not None:
            opcode, payload, delayed_due_s = read_record(HandedDelayed, handed.delayed)
            hold.extra.delayed = WsTimed(conn_id, opcode, payload)
            self._schedule(hold.extra.delayed, delayed_due_s, now)
        self._take_over(hold, handed.age_s, handed.identity, handed.due_s, now)
        self._core.accounts.traffic.take_over_frames(conn_id, handed.silence_s)
        return effects

    def _take_over(self, hold: Hold, age_s: int, identity: Any, due_s: float | None, now: float) -> None:
        accounts, conn_id = self._core.accounts, hold.conn_id
        self._holds.take_over(hold)
        accounts.traffic.take_over(conn_id, hold.traffic, age_s)
        accounts.observer.on_taken_over(conn_id, identity)
        self._schedule(hold, due_s, now)

    def _schedule(self, record: Any, due_s: float | None, now: float) -> None:
        if due_s is not None:
            self._wheel.schedule(record, now + due_s)

    def _request(self, values: Record) -> ClientRequest:
        handed = read_record(HandedRequest, values)
        route = self._tables.route(handed.route)
        return ClientRequest(
            take_head(handed.head, self._shared),
            handed.client_ip,
            handed.is_https,
            route,
            handed.is_debug,
            handed.is_cross_origin,
            handed.is_trusted,
            handed.is_websocket,
            take_jsonp(handed.jsonp, self._shared),
            None if handed.target is None else route.targets[handed.target],
            handed.body,
            self._core.accounts.traffic.of(handed.traffic),
        )


def _take_tracking(values: Record | None) -> Tracking | None:
    if values is None:
        return None
    own, ids, filters, meta, names = read_record(HandedTracking, values)
    own_filters = {name: tuple(each) for name, each in filters.items()}
    return Tracking(dict(own), dict(ids), own_filters, dict(meta), frozenset(names))


_INSTALL: dict[int, Callable[[Installer, Record, int, float], list[Effect]]] = {
    HandedKind.IDLE: Installer._install_idle,
    HandedKind.STREAM: Installer._install_stream,
    HandedKind.TRACKED: Installer._install_tracked,
    HandedKind.RESPONSE: Installer._install_response,
    HandedKind.SOCKET: Installer._install_socket,
}
