"""What the engine wants done: carried out in order by the worker's driver.

Effects are batch-shaped: a thousand clients that get the same bytes are one `Deliver`.
"""

from collections.abc import Collection
from dataclasses import dataclass

from gripproxy.engine.traffic import RouteTraffic
from gripproxy.protocol.http1 import BodyFraming, RequestHead
from gripproxy.protocol.receipt import Receipt
from gripproxy.protocol.route_target import Target
from gripproxy.protocol.websocket_frame import Frame


@dataclass(slots=True)
class AskOrigin:
    """Send `head` and the client's body to `target`. `framing` is the body's; it follows as it arrives.

    With `is_websocket` it is a handshake: if the answer is 101, the connection waits for `OpenSocket`.
    """

    conn_id: int
    target: Target
    server_name: str  # for TLS: the name that the certificate must carry
    head: bytes
    is_head: bool
    framing: BodyFraming
    is_websocket: bool = False


@dataclass(slots=True)
class Relay:
    """Send `head` to the client and then the origin's body as it comes, framed as `framing` says (pass-through).

    What a `Collect` has gathered before comes first. With `is_opening` the body is the beginning of a stream that
    will be held: at the origin's end the client's body is not ended.
    """

    conn_id: int
    head: bytes
    framing: BodyFraming
    is_persistent: bool
    is_opening: bool = False


@dataclass(slots=True)
class Collect:
    """Gather the origin's body, at most `max_bytes` of it, and come back with `OriginBodyCollected`.

    With `is_request_awaited` the request has to be whole by then: it may be asked again.
    """

    conn_id: int
    max_bytes: int
    is_request_awaited: bool = False


@dataclass(slots=True)
class Respond:
    """Send this whole response; whatever the origin still sends is not wanted. Then keep the connection or close."""

    conn_id: int
    payload: bytes
    is_persistent: bool


@dataclass(slots=True)
class Park:
    """Write `payload` (may be empty) and hold the connection: from now on it is an fd and a record."""

    conn_id: int
    payload: bytes


@dataclass(slots=True)
class Deliver:
    """Write `payload` to every one of these held connections. `conn_ids` is live: do not keep it.

    `receipt` is the item's, if somebody wants to know what becomes of it.
    """

    payload: bytes
    conn_ids: Collection[int]
    is_keep_alive: bool = False
    receipt: Receipt | None = None


@dataclass(slots=True)
class Finish:
    """Write `payload` to these held connections and end the hold: persistent ones wait for the next request.

    With `is_item` it is how each of them receives an item, with `receipt` as in `Deliver`.
    """

    payload: bytes
    conn_ids: Collection[int]
    is_persistent: bool
    is_item: bool = False
    receipt: Receipt | None = None


@dataclass(slots=True)
class Cut:
    """Close the connection at once: its response cannot be brought to a truthful end."""

    conn_id: int


@dataclass(slots=True)
class Unpark:
    """A held client's request is asked again: the connection is busy from now on, its whole request read.

    `body` is the request's. What is to be done with it follows: `AskOrigin`, or `Respond`.
    """

    conn_id: int
    head: RequestHead
    body: bytes


@dataclass(slots=True)
class OpenSocket:
    """Write `payload`, the head of the 101; from now on the client speaks WebSocket, and is an fd and a record.

    With `has_origin` so does the origin's connection whose answer was 101; otherwise the client has none of its own.
    `is_deflating` and `is_origin_deflating`: permessage-deflate was agreed with the client, with the origin.
    `message_max_bytes`: of a client's message, inflated; 0: no limit.
    """

    conn_id: int
    payload: bytes
    has_origin: bool
    is_deflating: bool = False
    is_origin_deflating: bool = False
    message_max_bytes: int = 0


@dataclass(slots=True)
class Write:
    """Write `payload`, whole frames, to one WebSocket client. Nothing of it is dropped: its origin waits for it."""

    conn_id: int
    payload: bytes


@dataclass(slots=True)
class ToOrigin:
    """Send these to a client's WebSocket origin. While it takes no more, the client is not read."""

    conn_id: int
    frames: list[Frame]


@dataclass(slots=True)
class EndSocket:
    """Write `payload`, a close frame or nothing, to a WebSocket client and then close gently.

    It is forgotten: no event follows. So is its origin's connection, if it still has one, which is closed at once.
    """

    conn_id: int
    payload: bytes


@dataclass(slots=True)
class CloseOrigin:
    """A client is to have no origin any more: send it this close frame, and close when it answers, or after a while.

    No event of it follows.
    """

    conn_id: int
    frame: Frame


@dataclass(slots=True)
class PauseClient:
    """Read no more of this WebSocket client; or read on, with `is_paused` off."""

    conn_id: int
    is_paused: bool


@dataclass(slots=True)
class AwaitReader:
    """Come back with `ReaderCaughtUp` when this WebSocket client has little left to read, which may be so already."""

    conn_id: int


@dataclass(slots=True)
class AskLink:
    """Send a request of our own to `target`: for a held stream's next part or end, a filter, a WebSocket's events.

    `head` is all of it, with the body if it has one. `link_id` is made by the engine; what comes of it are events with
    the same one. `traffic` is that of the route on whose behalf it is sent. With `is_repeatable` it goes out again if
    a connection that was kept turns out to be closed, as a GET does anyway.
    """

    link_id: int
    target: Target
    server_name: str
    head: bytes
    traffic: RouteTraffic | None = None
    is_repeatable: bool = False


@dataclass(slots=True)
class DropLink:
    """Nobody waits for this link any more: close its connection. No event follows."""

    link_id: int


@dataclass(slots=True)
class Forward:
    """Write a part of a link's body to held streams, and drop none of it: the link waits for those who read slowly.

    `readers_count` is how many streams get this part, in this effect and others.
    """

    link_id: int
    payload: bytes
    conn_ids: Collection[int]
    readers_count: int


@dataclass(slots=True)
class ForgetId:
    """The channel's last id is in doubt, everywhere: tell the hub to forget it, if it is still this one."""

    channel: str
    last_id: str


@dataclass(slots=True)
class WakeUpdates:
    """Come back with `UpdatesDue` after so long."""

    delay_s: float


@dataclass(slots=True)
class WakePacing:
    """Come back with `PacingDue` after so long."""

    delay_s: float


@dataclass(slots=True)
class OpenChannel:
    """The channel has its first subscriber in this worker, or the first that can ask its origin again.

    `is_update_wanted`: it can, and should, if the channel turns out to be new on this host, or to a new hub.
    """

    name: str
    is_update_wanted: bool = False


@dataclass(slots=True)
class CloseChannel:
    """The channel lost its last subscriber in this worker."""

    name: str


@dataclass(slots=True)
class Continue:
    """More is to be done than one turn of the loop should take: come back with `Continued` in the next."""


@dataclass(slots=True)
class FannedOut:
    """An item that took more than one turn of the loop has reached all its receivers. It came at `began_at`."""

    began_at: float


LOG_WARNING, LOG_INFO, LOG_DEBUG = 1, 2, 3


@dataclass(slots=True)
class Log:
    """Say this to the operator. `level` is the reference's: 0 error, 1 warning, 2 info, 3 debug.

    With `is_origin_error` it also says that a request got no answer, or a bad one, from any origin. `about`: the
    connection whose request it is about.
    """

    level: int
    text: str
    is_origin_error: bool = False
    about: int | None = None


Effect = (
    AskOrigin
    | Relay
    | Collect
    | Respond
    | Park
    | Unpark
    | Deliver
    | Finish
    | Cut
    | OpenSocket
    | Write
    | ToOrigin
    | EndSocket
    | CloseOrigin
    | PauseClient
    | AwaitReader
    | AskLink
    | DropLink
    | Forward
    | ForgetId
    | WakeUpdates
    | WakePacing
    | OpenChannel
    | CloseChannel
    | Continue
    | FannedOut
    | Log
)
