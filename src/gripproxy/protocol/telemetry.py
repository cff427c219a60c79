"""What a worker tells the hub of what happens in it, if somebody looks, and what the hub tells those who look.

A message is one msgpack array of records, each an array that begins with its kind. Both ends are always the same
version of gripproxy, so fields go by position. What is wanted the hub says by `Field.WATCHED` of the scoreboard.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import IntEnum
from operator import attrgetter
from typing import ClassVar

import msgpack

from gripproxy.errors import InternalError


class Traffic(IntEnum):
    """Columns of a route's traffic in one worker. Sums since the worker started, but for the first two."""

    CONNECTIONS = 0  # requests under way and held, right now
    CONNECTIONS_MAX = 1  # the most at once since this was last told
    REQUESTS = 2  # without retries
    MINUTES = 3  # 1 for each connection, and 1 for each further full minute of it
    ACTIVITY = 4  # requests, retries and keep-alives
    SENT = 5  # receptions of items
    RESPONSES_SENT = 6  # those of SENT that were for long-polls
    BLOCKS_SENT = 7
    # From here on only while `Watch.TRAFFIC` is set.
    CLIENT_HEADER_BYTES_RECEIVED = 8
    CLIENT_HEADER_BYTES_SENT = 9
    CLIENT_CONTENT_BYTES_RECEIVED = 10
    CLIENT_CONTENT_BYTES_SENT = 11
    CLIENT_MESSAGES_RECEIVED = 12
    CLIENT_MESSAGES_SENT = 13
    SERVER_HEADER_BYTES_RECEIVED = 14
    SERVER_HEADER_BYTES_SENT = 15
    SERVER_CONTENT_BYTES_RECEIVED = 16
    SERVER_CONTENT_BYTES_SENT = 17
    SERVER_MESSAGES_RECEIVED = 18
    SERVER_MESSAGES_SENT = 19


class Outcome(IntEnum):
    """How a request ended."""

    ANSWERED = 0
    HELD = 1  # it goes on as a hold
    FAILED = 2  # the client or the origin went away before the response was whole


@dataclass(slots=True)
class RequestRecord:
    """A request that was answered, held, or given up. `at` is when it ended, in seconds since 1970.

    `id` is the request's in all records and log lines. `target` is empty if no origin was asked; `body_bytes` went to
    the client. `last_ids` are what its Grip-Last headers say. With `is_link` it is one of our own, for a held stream's
    next part, and so without a client and its address. With `is_over_http` it is a WebSocket's, whose origin speaks
    HTTP.
    """

    kind: ClassVar[int] = 0
    at: float
    id: str
    client_ip: str
    method: str
    url: str
    route: str  # the route's id, empty for none
    target: str
    status: int  # 0: none was sent
    outcome: int
    body_bytes: int
    duration_s: float
    is_retry: bool = False
    referer: str = ""
    user_agent: str = ""
    last_ids: list[list[str]] = field(default_factory=list)
    is_link: bool = False
    is_over_http: bool = False


@dataclass(slots=True)
class HoldRecord:
    """A hold that began, or a stream that got other channels. `mode` is ``stream``, ``response`` or ``ws``."""

    kind: ClassVar[int] = 1
    at: float
    id: str
    url: str
    route: str
    mode: str
    channels: list[str]
    is_retry: bool = False


@dataclass(slots=True)
class PublishRecord:
    """An item that went out. Receivers are those in all workers, before filters. `source`: pull, sub, http, command."""

    kind: ClassVar[int] = 2
    at: float
    channel: str
    item_id: str | None
    source: str
    responses: int
    streams: int
    messages: int  # WebSockets

    @property
    def receivers(self) -> int:
        return self.responses + self.streams + self.messages


@dataclass(slots=True)
class ConnRecord:
    """A request that began, or that is still under way or held."""

    kind: ClassVar[int] = 3
    id: str
    type: str  # "http" or "ws"
    peer_address: str
    is_tls: bool
    route: str


@dataclass(slots=True)
class ConnEndRecord:
    """A request, or its hold, that ended."""

    kind: ClassVar[int] = 4
    id: str
    route: str


@dataclass(slots=True)
class SubsRecord:
    """How many subscribers channels have in a worker now. `counts`: mode (stream, response, ws), name, number.

    `is_first`: all that was told before of this worker is void. `is_all`: every channel has been told.
    """

    kind: ClassVar[int] = 5
    worker_index: int
    is_first: bool
    is_all: bool
    counts: list[list[str | int]]


@dataclass(slots=True)
class TrafficRecord:
    """Each route's traffic in a worker, by route id ("" for all without one), as `Traffic` says. Told every second."""

    kind: ClassVar[int] = 6
    worker_index: int
    pid: int  # sums of another process begin at 0
    by_route: dict[str, list[int]]


@dataclass(slots=True)
class ReceiptRecord:
    """What became of one item in a worker. `number` is its `receipt_number`.

    Of the receivers found, `delivered` got it, or it waits for them to read it, `filtered` should not have it,
    `dropped` should. A worker tells it once, when nothing is under way any more.
    """

    kind: ClassVar[int] = 7
    worker_index: int
    number: int
    responses: int
    streams: int
    messages: int
    delivered: int
    filtered: int
    dropped: int


@dataclass(slots=True)
class LiveConnsRecord:
    """Answer to a question of the hub: which of the ids are connections of this worker."""

    kind: ClassVar[int] = 8
    worker_index: int
    query: int
    ids: list[str]


@dataclass(slots=True)
class AudienceRecord:
    """Answer to another question: how many listen to each channel in this worker."""

    kind: ClassVar[int] = 9
    worker_index: int
    counts: dict[str, int]


Record = (
    RequestRecord
    | HoldRecord
    | PublishRecord
    | ConnRecord
    | ConnEndRecord
    | SubsRecord
    | TrafficRecord
    | ReceiptRecord
    | LiveConnsRecord
    | AudienceRecord
)
_KINDS: tuple[type[Record], ...] = (
    RequestRecord,
    HoldRecord,
    PublishRecord,
    ConnRecord,
    ConnEndRecord,
    SubsRecord,
    TrafficRecord,
    ReceiptRecord,
    LiveConnsRecord,
    AudienceRecord,
)
# With `dataclasses.astuple`, which copies what is only to be read, a record took 8.6 us instead of 0.7.
_read_fields = {kind: attrgetter(*(each.name for each in fields(kind))) for kind in _KINDS}
_pack = msgpack.Packer(use_bin_type=True, unicode_errors="surrogatepass").pack


def encode_records(records: Sequence[Record]) -> bytes:
    """Encode records into one message."""
    message: bytes = _pack([(record.kind, *_read_fields[type(record)](record)) for record in records])
    return message


def decode_records(message: bytes) -> list[Record]:
    """Give the records of a message.

    Raises:
        InternalError: it is damaged.
    """
    try:
        entries = msgpack.unpackb(message, unicode_errors="surrogatepass", strict_map_key=False)
        return [_KINDS[kind](*values) for kind, *values in entries]
    except (ValueError, TypeError, IndexError, msgpack.UnpackException) as error:
        raise InternalError(f"telemetry message of {len(message)} bytes is damaged: {error}") from None
