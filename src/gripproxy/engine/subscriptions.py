"""Who listens to which channel in this worker: channel name -> the ids of the held connections, by transport."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass

from gripproxy.engine.timer_wheel import Slot

ConnIds = dict[int, None]  # a set; by its size a `set` needs up to three times as much: 113 bytes per id with 20
SPARSE_BYTES = 256  # of the table for each id in it: a full one has 28 to 55


@dataclass(slots=True, eq=False)
class Channel:
    """One channel with at least one subscriber. The ids are None while nobody of their kind listens.

    `chunked` and `raw` are streams of HTTP/1.1 and HTTP/1.0 clients, which get the same content in other bytes;
    `responses` are long-polls. `tracked` are holds of either kind that need a look of their own at each item: they
    are in none of the others. `sockets` and `deflating` are WebSocket clients, without and with compression; `choosy`
    are those that have filters, which are in neither of the two. `sent_at` is when the streams last got an item, in
    monotonic seconds.
    """

    name: str
    chunked: ConnIds | None = None
    raw: ConnIds | None = None
    responses: ConnIds | None = None
    tracked: ConnIds | None = None
    sockets: ConnIds | None = None
    deflating: ConnIds | None = None
    choosy: ConnIds | None = None
    sent_at: float = 0.0
    framed_at: float = 0.0
    alone: "tuple[Channel, ...]" = ()  # (self,), shared by every hold that has just this channel
    slot: Slot | None = None  # the timer wheel's, while the channel lingers without subscribers
    polls_count: int = 0  # long-polls among `tracked`
    is_updating: bool = False  # the hub knows that some of its holds can ask their origin again

    def add_stream(self, conn_id: int, is_chunked: bool) -> None:
        if is_chunked:
            self.chunked = _with(self.chunked, conn_id)
        else:
            self.raw = _with(self.raw, conn_id)

    def remove_stream(self, conn_id: int, is_chunked: bool) -> None:
        if is_chunked:
            self.chunked = _without(self.chunked, conn_id)
        else:
            self.raw = _without(self.raw, conn_id)

    def add_response(self, conn_id: int) -> None:
        self.responses = _with(self.responses, conn_id)

    def remove_response(self, conn_id: int) -> None:
        self.responses = _without(self.responses, conn_id)

    def add_tracked(self, conn_id: int, is_response: bool = False) -> None:
        self.tracked = _with(self.tracked, conn_id)
        self.polls_count += is_response

    def remove_tracked(self, conn_id: int, is_response: bool = False) -> None:
        self.tracked = _without(self.tracked, conn_id)
        self.polls_count -= is_response

    def add_socket(self, conn_id: int, is_deflating: bool, is_choosy: bool) -> None:
        if is_choosy:
            self.choosy = _with(self.choosy, conn_id)
        elif is_deflating:
            self.deflating = _with(self.deflating, conn_id)
        else:
            self.sockets = _with(self.sockets, conn_id)

    def remove_socket(self, conn_id: int) -> None:
        self.sockets = _without(self.sockets, conn_id)
        self.deflating = _without(self.deflating, conn_id)
        self.choosy = _without(self.choosy, conn_id)

    @property
    def has_sockets(self) -> bool:
        return bool(self.sockets or self.deflating or self.choosy)

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many streams, how many long-polls and how many WebSockets listen."""
        tracked_count = len(self.tracked or ()) - self.polls_count
        streams_count = len(self.chunked or ()) + len(self.raw or ()) + tracked_count
        sockets_count = len(self.sockets or ()) + len(self.deflating or ()) + len(self.choosy or ())
        return streams_count, len(self.responses or ()) + self.polls_count, sockets_count

    @property
    def is_empty(self) -> bool:
        return not (self.chunked or self.raw or self.responses or self.tracked or self.has_sockets)


class Subscriptions:
    """The table of channels: one entry per channel that has a subscriber or lingers after its last one."""

    def __init__(self) -> None:
        self.channels: dict[str, Channel] = {}

    def channels_of(self, names: Iterable[str]) -> tuple[Channel, ...]:
        """Give the channels of these names, made where they do not exist; each once, in order."""
        found = tuple([self.channels.get(name) or self._open(name) for name in dict.fromkeys(names)])
        return found[0].alone if len(found) == 1 else found

    def _open(self, name: str) -> Channel:
        channel = Channel(name)
        channel.alone = (channel,)
        self.channels[name] = channel
        return channel

    def drop_if_empty(self, channel: Channel) -> bool:
        """Forget the channel when nobody listens any more; say whether it was forgotten."""
        if not channel.is_empty or self.channels.get(channel.name) is not channel:
            return False
        del self.channels[channel.name]
        channel.alone = ()  # breaks the cycle, so that no garbage collection is needed
        return True


def _with(conn_ids: ConnIds | None, conn_id: int) -> ConnIds:
    if conn_ids is None:
        return {conn_id: None}
    conn_ids[conn_id] = None
    return conn_ids


def _without(conn_ids: ConnIds | None, conn_id: int) -> ConnIds | None:
    if conn_ids is None:
        return None
    conn_ids.pop(conn_id, None)
    left_count = len(conn_ids)
    # A table never shrinks by itself, and walking it costs by its size, not by what is left.
    if not left_count & 15 and sys.getsizeof(conn_ids) > SPARSE_BYTES * max(left_count, 16):
        conn_ids = dict.fromkeys(conn_ids)
    return conn_ids or None
