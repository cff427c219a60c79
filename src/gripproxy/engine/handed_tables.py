"""What connections share that go to another worker together: written once for a batch, and shared there again."""

from collections.abc import Callable, Sequence
from typing import Any

from gripproxy.engine.core import Core
from gripproxy.engine.effects import Effect
from gripproxy.engine.holds import StreamShape
from gripproxy.engine.subscriptions import Channel
from gripproxy.engine.ws_keep_alive import WsKeepAlive
from gripproxy.engine.ws_session import WsShape
from gripproxy.errors import InternalError
from gripproxy.protocol.handed_batch import HandedChannel, HandedShape, HandedTables, read_record
from gripproxy.protocol.handed_request import hand_url, take_url
from gripproxy.protocol.handed_socket import HandedSocketShape
from gripproxy.protocol.route import Route, decode_route
from gripproxy.protocol.route_target import Target
from gripproxy.protocol.routes import RouteTable

Channels = tuple[Channel, ...]


class TablesWriter:
    """Gives what holds of one batch share a number each."""

    def __init__(self, now: float) -> None:
        self._now = now
        self._routes: dict[int, int] = {}  # by identity: to compare them takes long
        self._route_lines: list[str] = []
        self._shapes: dict[StreamShape, int] = {}
        self._channels: dict[Channel, int] = {}
        self._sets: dict[Channels, int] = {}
        self._socket_shapes: dict[WsShape, int] = {}
        self._keep_alives: dict[WsKeepAlive, int] = {}

    def route(self, route: Route) -> int:
        """Give a route's number."""
        number = self._routes.get(id(route))
        if number is None:
            number = self._routes[id(route)] = len(self._routes)
            self._route_lines.append(route.line)
        return number

    def shape(self, shape: StreamShape) -> int:
        """Give the number of what streams share."""
        return self._shapes.setdefault(shape, len(self._shapes))

    def channels(self, channels: Channels) -> int:
        """Give the number of a set of channels."""
        number = self._sets.get(channels)
        if number is None:
            number = self._sets[channels] = len(self._sets)
            for channel in channels:
                self._channels.setdefault(channel, len(self._channels))
        return number

    def socket_shape(self, shape: WsShape) -> int:
        """Give the number of what WebSocket clients share."""
        number = self._socket_shapes.get(shape)
        if number is None:
            number = self._socket_shapes[shape] = len(self._socket_shapes)
            self.route(shape.route)
        return number

    def keep_alive(self, keep_alive: WsKeepAlive) -> int:
        """Give the number of a WebSocket's keep-alive."""
        return self._keep_alives.setdefault(keep_alive, len(self._keep_alives))

    def tables(self) -> HandedTables:
        """Give all that has a number."""
        return HandedTables(
            self._route_lines,
            [self._shape(shape) for shape in self._shapes],
            [self._channel(channel) for channel in self._channels],
            [[self._channels[channel] for channel in channels] for channels in self._sets],
            [self._socket_shape(shape) for shape in self._socket_shapes],
            [(each.payload, each.timeout_s, each.is_interval) for each in self._keep_alives],
        )

    def _shape(self, shape: StreamShape) -> HandedShape:
        return HandedShape(
            shape.is_chunked,
            shape.is_persistent,
            shape.is_debug,
            shape.keep_alive,
            shape.keep_alive_s,
            shape.is_interval,
            shape.traffic.route,
        )

    def _channel(self, channel: Channel) -> HandedChannel:
        sent_s = self._now - channel.sent_at if channel.sent_at else None
        framed_s = self._now - channel.framed_at if channel.framed_at else None
        return HandedChannel(channel.name, sent_s, framed_s)

    def _socket_shape(self, shape: WsShape) -> HandedSocketShape:
        return HandedSocketShape(
            self.route(shape.route),
            target_number(shape.route, shape.target) or 0,
            shape.traffic.route,
            hand_url(shape.url),
            shape.is_debug,
            shape.is_deflating,
            shape.message_prefix,
            shape.common_head,
        )


def target_number(route: Route, target: Target | None) -> int | None:
    """Give a target's place among its route's."""
    return next((number for number, each in enumerate(route.targets) if each is target), None)


class OldRoutes:
    """Routes of holds that come from another worker: this one's own, where it has the same line, else as they were.

    `settle`: finishes a route with what is not in its line.
    """

    def __init__(self, core: Core, settle: Callable[[Route], Route]) -> None:
        self._core = core
        self._settle = settle
        self._table: RouteTable | None = None
        self._own: dict[str, Route] = {}
        self._old: dict[str, Route] = {}

    def find(self, line: str) -> Route:
        """Give the route that was written as `line`."""
        if self._table is not self._core.routes:
            self._table = self._core.routes
            self._own = self._table.by_line()
        route = self._own.get(line) or self._old.get(line)
        if route is None:
            decoded = decode_route(line)
            if decoded is None:
                raise InternalError(f"a connection was handed over whose route is {line!r}")
            route = self._old[line] = self._settle(decoded[0])
        return route


class TablesReader:
    """Makes what the holds of one batch share, once each, and shares it with those that are here."""

    def __init__(self, core: Core, routes: OldRoutes, tables: Sequence[Any], now: float) -> None:
        """Read what `TablesWriter` gave."""
        self._core = core
        self._old_routes = routes
        self._now = now
        self._tables = read_record(HandedTables, tables)
        self._routes: list[Route | None] = [None] * len(self._tables.routes)
        self._shapes: list[StreamShape | None] = [None] * len(self._tables.shapes)
        self._sets: list[Channels | None] = [None] * len(self._tables.channel_sets)
        self._socket_shapes: list[WsShape | None] = [None] * len(self._tables.socket_shapes)

    def route(self, number: int) -> Route:
        """Give a route."""
        route = self._routes[number]
        if route is None:
            route = self._routes[number] = self._old_routes.find(self._tables.routes[number])
        return route

    def shape(self, number: int) -> StreamShape:
        """Give what streams share."""
        shape = self._shapes[number]
        if shape is None:
            handed = read_record(HandedShape, self._tables.shapes[number])
            traffic = self._core.accounts.traffic.of(handed.traffic)
            shape = self._shapes[number] = self._core.holds.shapes.framed(*handed[:6], traffic)
        return shape

    def channels(self, number: int, is_update_wanted: bool = False) -> tuple[Channels, list[Effect]]:
        """Give a set of channels, for a hold that is to listen to them at once."""
        known = self._sets[number]
        if known is not None and all(each.alone and (each.is_updating or not is_update_wanted) for each in known):
            return known, []
        handed = [read_record(HandedChannel, self._tables.channels[each]) for each in self._tables.channel_sets[number]]
        names = [channel.name for channel in handed]
        channels, effects = self._core.holds.open_channels(names, is_update_wanted)
        for channel, (_, sent_s, framed_s) in zip(channels, handed, strict=True):
            if sent_s is not None:
                channel.sent_at = max(channel.sent_at, self._now - sent_s)
            if framed_s is not None:
                channel.framed_at = max(channel.framed_at, self._now - framed_s)
        self._sets[number] = channels
        return channels, effects

    def socket_shape(self, number: int) -> WsShape:
        """Give what WebSocket clients share."""
        shape = self._socket_shapes[number]
        if shape is None:
            handed = read_record(HandedSocketShape, self._tables.socket_shapes[number])
            route, url = self.route(handed.route), take_url(handed.url)
            assert url is not None
            traffic = self._core.accounts.traffic.of(handed.traffic)
            shape = WsShape(route, route.targets[handed.target], traffic, url, *handed[4:])
            shape = self._socket_shapes[number] = self._core.sockets.shapes.shared(shape)
        return shape

    def keep_alive(self, number: int) -> WsKeepAlive:
        """Give a WebSocket's keep-alive."""
        return self._core.sockets.timers.shared(*self._tables.keep_alives[number][:3])
