"""WebSocket clients, as they go from one worker to another."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class HandedSocketShape(NamedTuple):
    """A `WsShape`. `route` is a number in the batch's table; `target` is the place among the route's."""

    route: int
    target: int
    traffic: str
    url: Any
    is_debug: bool = False
    is_deflating: bool = False
    message_prefix: bytes | None = None
    common_head: bytes = b""


class HandedOrigin(NamedTuple):
    """An `EventsOrigin` at rest; it is asked of itself in `due_s`, if at all."""

    values: bytes
    interval_s: int = 0
    meta: Sequence[tuple[bytes, bytes]] = ()
    unread_kib: int = 0
    due_s: float | None = None


class HandedDelayed(NamedTuple):
    """A message that waits for its time."""

    opcode: int
    payload: bytes
    due_s: float


class HandedSocket(NamedTuple):
    """A `WsSession` at rest. `silence_s`: see `TrafficTable`.

    `origin` is a `HandedOrigin`, `delayed` a `HandedDelayed`. `keep_alive` is a number in the batch's table, and the
    next one goes out in `due_s`.
    """

    kind: int
    age_s: int
    identity: Any
    shape: int
    channels: int
    is_detached: bool = False
    silence_s: int = 0
    origin: Any = None
    path: bytes | None = None
    keep_alive: int | None = None
    due_s: float | None = None
    filters: Mapping[str, Sequence[str]] | None = None
    meta: dict[str, str] | None = None
    delayed: Any = None
