"""A WebSocket client and what the engine keeps of it. Small on purpose, like all holds: there are a million of them."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from gripproxy.engine.client_request import ClientRequest
from gripproxy.engine.effects import Write
from gripproxy.engine.subscriptions import Channel
from gripproxy.engine.timer_wheel import Slot
from gripproxy.engine.traffic import RouteTraffic
from gripproxy.protocol.link_url import LinkUrl, root_of
from gripproxy.protocol.permessage_deflate import deflate
from gripproxy.protocol.route import Route
from gripproxy.protocol.route_target import Target
from gripproxy.protocol.websocket_frame import BINARY, TEXT, encode_frame

if TYPE_CHECKING:
    from gripproxy.engine.over_http_origin import EventsOrigin
    from gripproxy.engine.ws_keep_alive import WsKeepAlive, WsTimed


class WsState(IntEnum):
    """How far a WebSocket connection is towards its end."""

    OPEN = 0
    DETACHED = 1  # it has no origin any more, and lives on by what is published
    CLIENT_CLOSING = 2  # the client has closed, and gets the origin's answer to that
    ORIGIN_CLOSING = 3  # the origin has closed, and gets the client's answer to that
    ENDING = 4  # the client was sent a close that no origin waits for: its answer is the end


OPEN, DETACHED, CLIENT_CLOSING, ORIGIN_CLOSING, ENDING = WsState


class Incoming(IntEnum):
    """What becomes of the message that the origin is sending: of the pieces behind its first one."""

    NONE = 0  # none has begun
    RELAYED = 1  # to the client: nothing else may come between
    DROPPED = 2


@dataclass(slots=True, eq=False, weakref_slot=True)
class WsShape:
    """What all WebSocket clients that are alike share.

    `message_prefix` is None where the origin did not agree to GRIP. `url` is the root of what was asked for: paths are
    often a client's own, as tokens are in them. `common_head` is how requests to the origin begin, over HTTP only.
    """

    route: Route
    target: Target
    traffic: RouteTraffic
    url: LinkUrl
    is_debug: bool
    is_deflating: bool
    message_prefix: bytes | None
    common_head: bytes = b""


def shape_of(
    request: ClientRequest, is_deflating: bool, message_prefix: bytes | None, common_head: bytes = b""
) -> WsShape:
    """Make the shape of a session from the request that asked for it."""
    target = request.target
    assert target is not None
    return WsShape(
        *(request.route, target, request.traffic, root_of(request.url), request.is_debug),
        *(is_deflating, message_prefix, common_head),
    )


class WsShapes:
    """One `WsShape` for all equal ones, as long as a session uses it."""

    def __init__(self) -> None:
        self._shapes: WeakValueDictionary[tuple[object, ...], WsShape] = WeakValueDictionary()

    def shared(self, shape: WsShape) -> WsShape:
        """Give the shape that is equal to this one, which it is itself if it is the first."""
        key = (
            *(id(shape.route), id(shape.target), shape.traffic.route, str(shape.url), shape.is_debug),
            *(shape.is_deflating, shape.message_prefix, shape.common_head),
        )
        return self._shapes.setdefault(key, shape)

    @property
    def targets(self) -> list[Target]:
        """Those of all sessions. Routes may name others by now."""
        return [shape.target for shape in self._shapes.values()]


@dataclass(slots=True, eq=False)
class WsExtra:
    """What only some sessions have.

    `filters` are those of channels that have any, by name; `meta` is what filters know of the client.
    """

    filters: dict[str, tuple[str, ...]] = field(default_factory=dict)
    meta: dict[str, str] = field(default_factory=dict)
    delayed: "WsTimed | None" = None


@dataclass(slots=True, eq=False)
class WsSession:
    """A WebSocket client, from its 101 to its end.

    `slot` is of its keep-alive, or of the deadline for the end of a closing. `origin` is what it needs over HTTP; a
    WebSocket origin is the worker's. `path`, with the query, is what its origin was asked for, if there is no `origin`
    that knows it.
    """

    conn_id: int
    shape: WsShape
    channels: tuple[Channel, ...] = ()
    slot: Slot | None = None
    state: WsState = OPEN
    incoming: Incoming = Incoming.NONE
    origin: "EventsOrigin | None" = None
    keep_alive: "WsKeepAlive | None" = None
    extra: WsExtra | None = None
    path: bytes | None = None

    @property
    def traffic(self) -> RouteTraffic:
        """Its route's."""
        return self.shape.traffic

    @property
    def request(self) -> WsShape:
        """On whose behalf servers are asked."""
        return self.shape

    @property
    def url(self) -> LinkUrl:
        """What the origin was asked for."""
        path = self.path if self.origin is None else self.origin.path
        root = self.shape.url
        return root if path is None else LinkUrl(root.is_https, root.host, path.decode("latin-1"))

    def rare(self) -> WsExtra:
        """Give `extra`, made if it is not there yet."""
        if self.extra is None:
            self.extra = WsExtra()
        return self.extra

    def write(self, opcode: int, payload: bytes, is_final: bool = True) -> Write:
        """Make the effect that sends the client a frame."""
        return Write(self.conn_id, encode_for_client(self.shape.is_deflating, opcode, payload, is_final))


def encode_for_client(is_deflating: bool, opcode: int, payload: bytes, is_final: bool = True) -> bytes:
    """Encode a frame to a client with whom compression was agreed, or not.

    Only whole messages are compressed: RFC 7692 section 6 leaves that to the sender.
    """
    if is_deflating and is_final and opcode in (TEXT, BINARY):
        return encode_frame(opcode, deflate(payload), is_compressed=True)
    return encode_frame(opcode, payload, is_final)
