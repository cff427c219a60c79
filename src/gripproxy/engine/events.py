"""What can happen to the engine: made by the worker, handled by `Core.handle`.

A `conn_id` is a small whole number, dense and reused after the connection is gone (the worker uses the socket's fd).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import IntEnum

from gripproxy.errors import WebSocketError
from gripproxy.protocol.http1 import RequestHead, ResponseHead
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.protocol.websocket_frame import Frame


class OriginFailure(IntEnum):
    """How asking one target ended without an answer."""

    CONNECT = 0  # nothing was sent: the next target may be asked
    BROKEN = 1  # closed early, sent garbage, or said nothing for too long
    UNREACHABLE = 2  # a zhttp service that said nothing for too long
    LENGTH_REQUIRED = 3  # a zhttp service wants the request's Content-Length
    BLOCKED = 4  # the target's address is not one to connect to


@dataclass(slots=True)
class RequestArrived:
    """A client sent a request head that passed `check_request`; without `is_request_done` its body is still coming."""

    conn_id: int
    head: RequestHead
    client_ip: str
    is_https: bool = False
    is_request_done: bool = True


@dataclass(slots=True)
class OriginAnswered:
    """The final response head of the origin arrived.

    Without `is_request_done` the client's body was still coming: the connection ends with this response.
    """

    conn_id: int
    head: ResponseHead
    is_request_done: bool = True


@dataclass(slots=True)
class OriginBodyCollected:
    """The whole body that `Collect` asked for is here; `body` is None when it was larger than allowed.

    `request_body` is the request's own, for a later repetition; None when it was too large to keep.
    """

    conn_id: int
    body: bytes | None
    request_body: bytes | None = b""


@dataclass(slots=True)
class OriginFailed:
    """The target that was asked last gave no usable answer; `detail` says why, for the log."""

    conn_id: int
    failure: OriginFailure
    detail: str
    is_request_done: bool = True


@dataclass(slots=True)
class RelayDone:
    """A response that was relayed reached its end, after so many bytes of body."""

    conn_id: int
    body_bytes: int = 0


@dataclass(slots=True)
class ClientGone:
    """The client's connection is gone; the id may be used again right after."""

    conn_id: int


@dataclass(slots=True)
class ContentPublished:
    """A publisher's item came over the bus that is nothing but content for the channel's streams, as most are."""

    channel: str
    content: bytes


@dataclass(slots=True)
class ItemPublished:
    """Any other item of a publisher came over the bus."""

    item: PublishItem


@dataclass(slots=True)
class LinkAnswered:
    """The final response head to an `AskLink` arrived. It is the first event of its link, unless that fails."""

    link_id: int
    head: ResponseHead


@dataclass(slots=True)
class LinkBodyCame:
    """A part of a link's body, not empty."""

    link_id: int
    part: bytes


@dataclass(slots=True)
class LinkDone:
    """A link's response reached its end. It is the last event of its link."""

    link_id: int


@dataclass(slots=True)
class LinkFailed:
    """A link got no answer, or broke off in it. It is the last event of its link.

    Without `is_sent` the origin cannot have read the whole request.
    """

    link_id: int
    failure: OriginFailure
    detail: str
    is_sent: bool = True


@dataclass(slots=True)
class FramesCame:
    """A WebSocket client sent these. With `error` it broke the protocol behind them: nothing more of it is read."""

    conn_id: int
    frames: list[Frame]
    error: WebSocketError | None = None


@dataclass(slots=True)
class OriginFramesCame:
    """A client's WebSocket origin sent these; `error` as in `FramesCame`."""

    conn_id: int
    frames: list[Frame]
    error: WebSocketError | None = None


@dataclass(slots=True)
class OriginSocketGone:
    """The connection of a client's WebSocket origin is gone, without a close frame. `detail` says why, for the log."""

    conn_id: int
    detail: str


@dataclass(slots=True)
class ReaderCaughtUp:
    """A WebSocket client has read nearly all that it was sent: what `AwaitReader` asked for."""

    conn_id: int


@dataclass(slots=True)
class RefreshAsked:
    """The origins of these WebSocket clients, and of those on these channels, are to be asked for news over HTTP."""

    conn_ids: Sequence[int] = ()
    channels: Sequence[str] = ()


@dataclass(slots=True)
class ChannelsStale:
    """Items may have passed holds on these channels by (None: on any channel): they should ask their origin again."""

    names: list[str] | None


@dataclass(slots=True)
class UpdatesDue:
    """The time that `WakeUpdates` asked for has passed."""


@dataclass(slots=True)
class PacingDue:
    """The time that `WakePacing` asked for has passed."""


@dataclass(slots=True)
class FarewellDue:
    """This process stops: end these holds. With `is_last` there is no time to wait for anything."""

    conn_ids: Collection[int]
    is_last: bool = False


@dataclass(slots=True)
class ClockTicked:
    """Time passed: deadlines may be due."""


@dataclass(slots=True)
class Continued:
    """The loop has turned since `Continue`: go on."""


Event = (
    RequestArrived
    | OriginAnswered
    | OriginBodyCollected
    | OriginFailed
    | RelayDone
    | ClientGone
    | ContentPublished
    | ItemPublished
    | LinkAnswered
    | LinkBodyCame
    | LinkDone
    | LinkFailed
    | FramesCame
    | OriginFramesCame
    | OriginSocketGone
    | ReaderCaughtUp
    | RefreshAsked
    | ChannelsStale
    | UpdatesDue
    | PacingDue
    | FarewellDue
    | ClockTicked
    | Continued
)
