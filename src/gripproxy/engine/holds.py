"""Held connections: what the engine keeps of a client that waits. Small on purpose: there are a million of them."""

from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from weakref import WeakValueDictionary

from gripproxy.engine.client_request import ClientRequest
from gripproxy.engine.subscriptions import Channel
from gripproxy.engine.timer_wheel import Slot
from gripproxy.engine.tracking import Tracking
from gripproxy.engine.traffic import RouteTraffic
from gripproxy.engine.updates import PollGroup
from gripproxy.engine.ws_session import WsSession
from gripproxy.protocol.http1 import Headers, encode_chunk
from gripproxy.protocol.link_url import LinkUrl
from gripproxy.protocol.publish_item import PublishItem

COMMON = RouteTraffic("")
QUEUE_MAX_COUNT = 100  # items that wait while a stream asks for its next part, same as Pushpin


@dataclass(slots=True, eq=False, weakref_slot=True)
class StreamShape:
    """What all streams that are held alike share.

    `keep_alive` is ready to be written (chunk framing included), empty for none; `keep_alive_s` is its period.
    With `is_interval` traffic does not put it off. On a debug route a stream that ends because of an error says so.
    """

    is_chunked: bool
    is_persistent: bool
    is_debug: bool
    keep_alive: bytes
    keep_alive_s: int
    is_interval: bool
    traffic: RouteTraffic


class StreamShapes:
    """One `StreamShape` for all equal ones, as long as a hold uses it."""

    def __init__(self) -> None:
        self._shapes: WeakValueDictionary[tuple[bool, bool, bool, bytes, int, bool, str], StreamShape]
        self._shapes = WeakValueDictionary()

    def shape(
        self,
        is_chunked: bool,
        is_persistent: bool,
        is_debug: bool,
        content: bytes,
        period_s: int,
        is_interval: bool,
        traffic: RouteTraffic = COMMON,
    ) -> StreamShape:
        """Give the shared shape; `content` is the keep-alive's, not yet framed."""
        payload = encode_chunk(content) if content and is_chunked else content
        return self.framed(is_chunked, is_persistent, is_debug, payload, period_s, is_interval, traffic)

    def framed(
        self,
        is_chunked: bool,
        is_persistent: bool,
        is_debug: bool,
        payload: bytes,
        period_s: int,
        is_interval: bool,
        traffic: RouteTraffic,
    ) -> StreamShape:
        """Give the shared shape whose keep-alive is this payload."""
        key = (is_chunked, is_persistent, is_debug, payload, period_s, is_interval, traffic.route)
        shape = self._shapes.get(key)
        if shape is None:
            shape = StreamShape(is_chunked, is_persistent, is_debug, payload, period_s, is_interval, traffic)
            self._shapes[key] = shape
        return shape


@dataclass(slots=True, eq=False)
class StreamHold:
    """A client whose response stays open. Lives from the instruct until the client leaves or a `close` comes."""

    conn_id: int
    shape: StreamShape
    channels: tuple[Channel, ...]
    slot: Slot | None = None

    @property
    def traffic(self) -> RouteTraffic:
        """Its route's."""
        return self.shape.traffic


class StreamState(IntEnum):
    """What a stream with links or ids is doing."""

    HOLDING = 0  # items go out as they come
    STALLED = 1  # an item is missing: others wait until the origin has been asked for the next part
    FETCHING = 2  # it was asked
    RECEIVING = 3  # the next part is coming: nothing else may stand between its bytes


HOLDING, STALLED, FETCHING, RECEIVING = StreamState


@dataclass(slots=True, eq=False)
class TrackedStream(StreamHold):
    """A stream that is more than its channels: it follows ids or links, has filters, or tells when it ends.

    `url` is where its last part came from: what the next link is relative to. `queue` are items that wait. `sent_at`
    is when an item of each channel was last sent to this client, filters permitting, in monotonic seconds. `doubted`
    are last ids that the origin seemed not to know. With `is_hinted` or `is_stale` the part that was asked for may be
    out of date when it comes: another one is due.
    """

    request: ClientRequest = field(kw_only=True)
    url: LinkUrl = field(kw_only=True)
    tracking: Tracking | None = None
    link: LinkUrl | None = None
    link_timeout_s: int = 0
    gone: LinkUrl | None = None
    state: StreamState = HOLDING
    queue: deque[PublishItem] = field(default_factory=deque)
    group: PollGroup | None = None
    sent_at: dict[str, float] = field(default_factory=dict)
    doubted: dict[str, str] = field(default_factory=dict)
    is_hinted: bool = False
    is_stale: bool = False

    @property
    def bucket(self) -> str:
        """What streams have in common that ask for their next part together: the link without its query."""
        assert self.link is not None
        return str(self.link).partition("?")[0]


@dataclass(slots=True, eq=False)
class ResponseHold:
    """A long-poll: a client whose response has not begun. `status` to `body` is what it gets at the timeout."""

    conn_id: int
    channels: tuple[Channel, ...]
    request: ClientRequest
    status: int
    reason: bytes
    headers: Headers
    body: bytes
    tracking: Tracking | None = None
    gone: LinkUrl | None = None
    slot: Slot | None = None

    @property
    def url(self) -> LinkUrl:
        """Where its origin was asked, as `TrackedStream` has it."""
        return self.request.url

    @property
    def traffic(self) -> RouteTraffic:
        """Its route's."""
        return self.request.traffic


Hold = StreamHold | ResponseHold | WsSession


def join_channels(hold: StreamHold | ResponseHold) -> None:
    """Let a hold's channels have it, each where it looks for those of its kind."""
    conn_id = hold.conn_id
    for channel in hold.channels:
        if isinstance(hold, TrackedStream):
            channel.add_tracked(conn_id)
        elif isinstance(hold, StreamHold):
            channel.add_stream(conn_id, hold.shape.is_chunked)
        elif hold.tracking is None:
            channel.add_response(conn_id)
        else:
            channel.add_tracked(conn_id, is_response=True)


def leave_channels(hold: StreamHold | ResponseHold) -> None:
    """Let a hold's channels have it no more; the hold still knows them."""
    conn_id = hold.conn_id
    for channel in hold.channels:
        if isinstance(hold, TrackedStream):
            channel.remove_tracked(conn_id)
        elif isinstance(hold, StreamHold):
            channel.remove_stream(conn_id, hold.shape.is_chunked)
        elif hold.tracking is None:
            channel.remove_response(conn_id)
        else:
            channel.remove_tracked(conn_id, is_response=True)
