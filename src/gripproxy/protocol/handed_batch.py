"""Connections on their way from one worker to another, both of this host: how a batch of them is written.

Everything in it is plain: records are arrays whose first field is their kind. What many of them have in common is in
tables, and they name it by its number there. A record of a later version may have more fields at its end, which an
earlier one does not read; those that are missing at the end have their defaults.
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any, NamedTuple, TypeVar

import msgpack

Plain = Any  # what msgpack can write

_Record = TypeVar("_Record", bound=tuple[Any, ...])

_pack = msgpack.Packer(use_bin_type=True, unicode_errors="surrogatepass").pack


class HandedKind(IntEnum):
    """What the engine keeps of a connection."""

    IDLE = 0  # nothing: it is between requests
    STREAM = 1
    TRACKED = 2
    RESPONSE = 3
    SOCKET = 4


class HandedShape(NamedTuple):
    """What equal streams share: see `StreamShape`. `keep_alive` is framed. `traffic` is the route's id there."""

    is_chunked: bool
    is_persistent: bool
    is_debug: bool = False
    keep_alive: bytes = b""
    keep_alive_s: int = 0
    is_interval: bool = False
    traffic: str = ""


class HandedChannel(NamedTuple):
    """A channel. `sent_s` and `framed_s`: how long ago its streams, its WebSockets were sent an item; None: never."""

    name: str
    sent_s: float | None = None
    framed_s: float | None = None


class HandedTables(NamedTuple):
    """What the records of a batch share.

    `routes` are lines of a routes file; `channel_sets` are numbers of `channels`; `keep_alives` are WebSockets': frame,
    seconds, whether traffic does not put it off.
    """

    routes: Sequence[str] = ()
    shapes: Sequence[Plain] = ()
    channels: Sequence[Plain] = ()
    channel_sets: Sequence[Sequence[int]] = ()
    socket_shapes: Sequence[Plain] = ()
    keep_alives: Sequence[tuple[bytes, int, bool]] = ()


class HandedStream(NamedTuple):
    """A stream that is nothing but its channels. It is due in `due_s`, negative if late; None: it has no deadline.

    `age_s`: of its present minute, see `TrafficTable`. `identity`: see `Observer`. So in the other kinds of records.
    """

    kind: int
    age_s: int
    identity: Plain
    shape: int
    channels: int
    due_s: float | None = None


def read_record(kind: type[_Record], values: Iterable[Any]) -> _Record:
    """Make a record of what was written, by this version or another one."""
    fields: tuple[str, ...] = kind._fields  # type: ignore[attr-defined]  # of a NamedTuple
    return kind(*tuple(values)[: len(fields)])


def encode_batch(batch: Plain) -> bytes:
    """Write what is to go from one worker to another."""
    packed: bytes = _pack(batch)
    return packed


def decode_batch(packed: bytes) -> Plain:
    """Read it again; arrays become tuples.

    Raises:
        ValueError: it is damaged.
    """
    return msgpack.unpackb(packed, use_list=False, strict_map_key=False, unicode_errors="surrogatepass")
