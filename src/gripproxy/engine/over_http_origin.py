"""A WebSocket client's origin that speaks HTTP: what is kept of it at rest, and while something is under way."""

from dataclasses import dataclass, field
from enum import IntEnum

from gripproxy.engine.over_http_outgoing import OutgoingEvents
from gripproxy.engine.timer_wheel import Slot
from gripproxy.engine.ws_session import WsSession, WsShape
from gripproxy.protocol.events_answer import Meta
from gripproxy.protocol.events_request import path_of
from gripproxy.protocol.http1 import ResponseHead
from gripproxy.protocol.websocket_events import WsEvent


@dataclass(slots=True, eq=False)
class EventsOrigin:
    """All that an idle session needs to speak with its origin again. Small: see `WsSession`.

    `values` fill in the template of the shape. `interval_s` is 0 while the origin is not asked of itself. `unread_kib`
    is what the client was sent since it was last known to have read all. `slot` is of the next poll.
    """

    conn_id: int
    values: bytes
    interval_s: int = 0
    meta: Meta = ()
    unread_kib: int = 0
    talk: "Talk | None" = field(default=None, repr=False)
    slot: Slot | None = field(default=None, repr=False)  # in which there may be very many

    @property
    def path(self) -> bytes:
        """Of requests, with the query."""
        return path_of(self.values)


@dataclass(slots=True)
class Gathered:
    """A response, as far as it has come."""

    head: ResponseHead
    parts: list[bytes] = field(default_factory=list)
    size_bytes: int = 0

    def add(self, part: bytes) -> None:
        """Take a part of the body."""
        self.parts.append(part)
        self.size_bytes += len(part)

    @property
    def body(self) -> bytes:
        """The whole body so far."""
        return b"".join(self.parts)


class Stage(IntEnum):
    """How far a session is towards its end, as its origin is told."""

    OPEN = 0
    CLIENT_CLOSED = 1  # the origin is told, and its own close is waited for
    ORIGIN_CLOSED = 2  # nothing is sent until the client has answered that
    LEAVING = 3  # the client has gone on without: a CLOSE is the last that the origin gets
    DISCONNECTING = 4  # the client is lost: that is the last that the origin gets


OPEN, CLIENT_CLOSED, ORIGIN_CLOSED, LEAVING, DISCONNECTING = Stage


@dataclass(slots=True, eq=False)
class Talk:
    """What is under way between a client and its origin: there is none while all is quiet.

    `session` is None when the client has gone on without its origin, or is gone. `undelivered` is the rest of a long
    answer. `slot` is of a repetition, or of the next of these.
    """

    origin: EventsOrigin
    shape: WsShape
    session: WsSession | None
    outgoing: OutgoingEvents = field(default_factory=OutgoingEvents)
    stage: Stage = OPEN
    link_id: int = 0  # of the request in flight
    answer: "Gathered | None" = None  # what has come of its answer
    undelivered: list[WsEvent] = field(default_factory=list)
    retries_count: int = 0
    is_poll_due: bool = False  # a request is wanted though nothing is to be said
    is_reader_awaited: bool = False  # the client has much to read: nothing is asked until it has
    is_client_paused: bool = False
    has_client_closed: bool = False
    is_disconnect_sent: bool = False
    slot: Slot | None = field(default=None, repr=False)

    @property
    def is_under_way(self) -> bool:
        """Whether a request is in flight, or waits for its repetition."""
        return self.link_id != 0 or self.slot is not None

    @property
    def is_idle(self) -> bool:
        """Whether nothing in it is worth keeping."""
        return (
            self.stage is OPEN
            and not self.is_under_way
            and not self.is_poll_due
            and not self.is_reader_awaited
            and not self.is_client_paused
            and self.outgoing.is_empty
        )
