"""Holds that can ask their origin again, as they go from one worker to another."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class HandedTracked(NamedTuple):
    """A `TrackedStream`. `request` is a `HandedRequest`, `tracking` a `HandedTracking`, URLs are `HandedUrl`.

    `is_stalled`: an item is missing. `is_waiting`: for its turn to ask again. `group`: in how many seconds the streams
    with the same link ask together, and for how many it has been quiet. `sent` says for each channel how many seconds
    ago it was sent something.
    """

    kind: int
    age_s: int
    identity: Any
    shape: int
    channels: int
    request: Any
    url: Any
    due_s: float | None = None
    tracking: Any = None
    link: Any = None
    link_timeout_s: int = 0
    gone: Any = None
    is_stalled: bool = False
    is_waiting: bool = False
    group: tuple[float, float] | None = None
    sent: dict[str, float] | None = None
    doubted: dict[str, str] | None = None


class HandedResponse(NamedTuple):
    """A `ResponseHold`."""

    kind: int
    age_s: int
    identity: Any
    channels: int
    request: Any
    due_s: float
    status: int
    reason: bytes
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    tracking: Any = None
    gone: Any = None
    is_waiting: bool = False
