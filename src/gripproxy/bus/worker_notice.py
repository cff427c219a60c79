"""What a worker says to the hub, on the same connection that brings it the items.

Three kinds of notice travel up the bus:

* The worker subscribes to its own join topic. ZeroMQ reports that to the hub, and reports the opposite when the
  worker leaves or is killed. The topic holds the process id, so that a new worker is never taken for the old one.
* A channel report: which channels got their first, or lost their last, subscriber in this worker. These are plain
  messages, not ZeroMQ subscriptions: those cost 1.4 KB per channel in ZeroMQ's tries of worker and hub together,
  measured with 100,000 names of 16 random hex digits, where this costs an entry of a table on each side. After each
  hello the worker reports all its channels, and then says that these were all.
* Doubts: last ids that an origin's answer or an item contradicted. The hub forgets them for all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgpack

from gripproxy.errors import InternalError

SUBSCRIBE = b"\x01"  # first byte of a ZeroMQ subscription, as XSUB sends and XPUB receives it
_UNSUBSCRIBE = b"\x00"
_JOIN_TOPIC = b"\xffworker-"
_CHANNELS = b"\x02"  # any bytes but 0 and 1, which ZeroMQ takes for subscriptions
_ALL_TOLD = b"\x03"
_DOUBTS = b"\x04"
ALL_ITEMS = b""  # the topic that every message begins with


@dataclass(slots=True)
class WorkerJoined:
    """A worker receives the bus from now on. `topic` is the name of this worker process."""

    worker_index: int
    topic: bytes


@dataclass(slots=True)
class WorkerLeft:
    """A worker's connection to the bus ended."""

    worker_index: int
    topic: bytes


@dataclass(slots=True)
class ChannelsChanged:
    """A worker's subscriptions changed since its last report.

    `updating` are those of `added` whose holds should ask their origin again if they are the first on this host.
    """

    worker_index: int
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    updating: list[str] = field(default_factory=list)


@dataclass(slots=True)
class AllChannelsTold:
    """A worker that joined has reported all its channels."""

    worker_index: int


@dataclass(slots=True)
class IdsDoubted:
    """Channels and last ids that should be forgotten, where they still are the last."""

    worker_index: int
    last_ids: dict[str, str]


Notice = WorkerJoined | WorkerLeft | ChannelsChanged | AllChannelsTold | IdsDoubted


def encode_join_topic(worker_index: int, pid: int) -> bytes:
    return b"%s%d:%d" % (_JOIN_TOPIC, worker_index, pid)


def encode_channels(
    worker_index: int, added: Sequence[str], removed: Sequence[str], updating: Sequence[str] = ()
) -> bytes:
    return _CHANNELS + _pack((worker_index, added, removed, updating))


def encode_all_told(worker_index: int) -> bytes:
    return _ALL_TOLD + _pack((worker_index,))


def encode_doubts(worker_index: int, last_ids: dict[str, str]) -> bytes:
    return _DOUBTS + _pack((worker_index, last_ids))


def _pack(fields: tuple[object, ...]) -> bytes:
    packed: bytes = msgpack.packb(fields, unicode_errors="surrogatepass")
    return packed


def decode_notice(message: bytes) -> Notice | None:
    """Decode what the hub's bus socket received; None for the subscription to all items, which says nothing.

    Raises:
        InternalError: not one of ours, for only workers connect to the bus.
    """
    kind, rest = message[:1], message[1:]
    try:
        if kind in _OF_KIND:
            return _OF_KIND[kind](*msgpack.unpackb(rest, unicode_errors="surrogatepass"))
        if rest == ALL_ITEMS and kind in (SUBSCRIBE, _UNSUBSCRIBE):
            return None
        if rest.startswith(_JOIN_TOPIC) and kind in (SUBSCRIBE, _UNSUBSCRIBE):
            worker_index = int(rest[len(_JOIN_TOPIC) :].partition(b":")[0])
            return (WorkerJoined if kind == SUBSCRIBE else WorkerLeft)(worker_index, rest)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise InternalError(f"notice on the bus is broken: {message[:80]!r}") from error
    raise InternalError(f"notice on the bus is of unknown kind: {message[:80]!r}")


_OF_KIND: dict[bytes, Callable[..., Notice]] = {
    _CHANNELS: ChannelsChanged,
    _ALL_TOLD: AllChannelsTold,
    _DOUBTS: IdsDoubted,
}
