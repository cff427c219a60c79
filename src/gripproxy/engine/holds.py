"""Held connections: what the engine keeps of a client that waits. Small on purpose: there are a million of them."""

from dataclasses import dataclass
from weakref import WeakValueDictionary

from gripproxy.engine.subscriptions import Channel
from gripproxy.engine.timer_wheel import Slot
from gripproxy.protocol.http1 import Headers, RequestHead, encode_chunk


@dataclass(slots=True, eq=False, weakref_slot=True)
class StreamShape:
    """What all streams that are held alike share.

    `keep_alive` is ready to be written (chunk framing included), empty for none; `keep_alive_s` is its period.
    With `is_interval` traffic does not put it off.
    """

    is_chunked: bool
    is_persistent: bool
    keep_alive: bytes
    keep_alive_s: int
    is_interval: bool


class StreamShapes:
    """One `StreamShape` for all equal ones, as long as a hold uses it."""

    def __init__(self) -> None:
        self._shapes: WeakValueDictionary[tuple[bool, bool, bytes, int, bool], StreamShape] = WeakValueDictionary()

    def shape(
        self, is_chunked: bool, is_persistent: bool, content: bytes, period_s: int, is_interval: bool
    ) -> StreamShape:
        """Give the shared shape; `content` is the keep-alive's, not yet framed."""
        key = (is_chunked, is_persistent, content, period_s, is_interval)
        shape = self._shapes.get(key)
        if shape is None:
            payload = encode_chunk(content) if content and is_chunked else content
            shape = StreamShape(is_chunked, is_persistent, payload, period_s, is_interval)
            self._shapes[key] = shape
        return shape


@dataclass(slots=True, eq=False)
class StreamHold:
    """A client whose response stays open. Lives from the instruct until the client leaves or a `close` comes."""

    conn_id: int
    shape: StreamShape
    channels: tuple[Channel, ...]
    slot: Slot | None = None


@dataclass(slots=True, eq=False)
class ResponseHold:
    """A long-poll: a client whose response has not begun. `status` to `body` is what it gets at the timeout."""

    conn_id: int
    channels: tuple[Channel, ...]
    request: RequestHead
    status: int
    reason: bytes
    headers: Headers
    body: bytes
    slot: Slot | None = None


Hold = StreamHold | ResponseHold
