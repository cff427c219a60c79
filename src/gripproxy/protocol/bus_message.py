"""Messages on the bus from the hub to its workers: items most of all.

A message is one msgpack array: epoch, sequence, kind, worker, channels, payloads, ids, time, asked. The channels of
items lie together, so that a worker sees at one look whether it has a subscriber for any of them, and every item is
packed for itself inside of that. Both ends are always the same version of gripproxy, so fields go by position.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Literal

import msgpack

from gripproxy.errors import InternalError
from gripproxy.protocol.publish_format import (
    SEND,
    Action,
    HttpResponseFormat,
    HttpStreamFormat,
    WsMessageFormat,
    WsMessageType,
)
from gripproxy.protocol.publish_item import PublishItem

# An item: as bytes, the content for the streams of its channel, of which most items consist; else packed, in a list.
Payload = bytes | list[bytes]

# What an item did to its channel's last id: it is the last now, it left the last unknown (None), or nothing.
NotedId = str | Literal[False] | None
UNTOUCHED: Final = False

_ACTIONS = tuple(Action)
_WS_TYPES = tuple(WsMessageType)
_pack = msgpack.Packer(use_bin_type=True).pack  # made once: making a packer costs more than packing an item
_unpack = msgpack.unpackb
# An instruct's channels may hold what no item's can: half a surrogate pair.
_pack_names = msgpack.Packer(use_bin_type=True, unicode_errors="surrogatepass").pack


class BusKind(IntEnum):
    """What a message is."""

    ITEMS = 0
    HELLO = 1  # the hub greets a worker that joined
    LAST_IDS = 2  # a part of what the hub knew before a worker joined; without channels: that was all
    FORGET = 3  # the last ids of these channels are not to be relied on
    STALE = 4  # items may have passed holds on these channels by
    CONN_CHECK = 5  # which of these are connections? They stand where others have channels
    AUDIENCE = 6  # how many listen to these channels?
    CONN_REFRESH = 7  # as CONN_CHECK, of WebSockets; and their origins should be asked for news
    REFRESH = 8  # so should those of the WebSockets on these channels
    MOVED = 9  # another hub goes on from here: its sockets for bus and telemetry stand where others have channels


# Plain ints: they are compared for each message.
ITEMS, HELLO, LAST_IDS, FORGET, STALE, CONN_CHECK, AUDIENCE, CONN_REFRESH, REFRESH, MOVED = map(int, BusKind)


@dataclass(slots=True)
class BusMessage:
    """What a worker reads of every message. Item number N has channel N, payload N and number `sequence` + N."""

    epoch: int  # chosen by each hub when it starts
    sequence: int  # of the first item, or of the hub's next; counts every item of this epoch
    kind: int  # a BusKind
    worker_index: int | None  # HELLO and LAST_IDS are for this worker alone
    channels: list[str] | None  # None in FORGET and STALE: all channels
    payloads: list[Payload]
    ids: list[NotedId]  # one per channel; of ITEMS also none at all, if no item did anything to a last id
    taken_us: int = 0  # when the hub took the first item: microseconds on the machine's monotonic clock
    # Numbers N of items whose fate the hub wants to know; of CONN_* the question's; of HELLO how many were sent.
    asked: Sequence[int] = ()


def encode_items(
    epoch: int,
    sequence: int,
    channels: Sequence[str],
    payloads: Sequence[Payload],
    ids: Sequence[NotedId] = (),
    taken_us: int = 0,
    asked: Sequence[int] = (),
) -> bytes:
    """Encode as many channels as payloads, and as many ids or none. Whole numbers are at most 64 bits."""
    message: bytes = _pack((epoch, sequence, ITEMS, None, channels, payloads, ids, taken_us, asked))
    return message


def encode_hello(epoch: int, sequence: int, worker_index: int, sent_count: int = 0, bus_path: str = "") -> bytes:
    """Encode the hub's answer to a worker that joined the bus.

    Args:
        sent_count: all items sent, by earlier hubs too.
        bus_path: where this hub is, which stands where other messages have payloads.
    """
    message: bytes = _pack_names((epoch, sequence, HELLO, worker_index, (), (bus_path.encode(),), (), 0, (sent_count,)))
    return message


def encode_last_ids(epoch: int, sequence: int, worker_index: int, channels: Sequence[str], ids: Sequence[str]) -> bytes:
    """Encode last ids for a worker that joined after they were set; no channels at the end of all."""
    message: bytes = _pack_names((epoch, sequence, LAST_IDS, worker_index, channels, (), ids, 0, ()))
    return message


def encode_forget(epoch: int, sequence: int, channels: Sequence[str] | None) -> bytes:
    """Encode that the last ids of these channels are to be forgotten, or all."""
    message: bytes = _pack_names((epoch, sequence, FORGET, None, channels, (), (), 0, ()))
    return message


def encode_stale(epoch: int, sequence: int, channels: Sequence[str] | None) -> bytes:
    """Encode that holds on these channels should ask their origin again, or all."""
    message: bytes = _pack_names((epoch, sequence, STALE, None, channels, (), (), 0, ()))
    return message


def encode_conn_check(
    epoch: int, sequence: int, query: int, conn_ids: Sequence[str], is_refresh: bool = False
) -> bytes:
    """Encode a question to every worker, with its number: which of these ids are connections of yours?

    With `is_refresh` those that are WebSockets are meant, and they are to be refreshed.
    """
    kind = CONN_REFRESH if is_refresh else CONN_CHECK
    message: bytes = _pack_names((epoch, sequence, kind, None, conn_ids, (), (), 0, (query,)))
    return message


def encode_refresh(epoch: int, sequence: int, channels: Sequence[str]) -> bytes:
    """Encode that all WebSockets on these channels are to be refreshed."""
    message: bytes = _pack_names((epoch, sequence, REFRESH, None, channels, (), (), 0, ()))
    return message


def encode_moved(epoch: int, sequence: int, bus_path: str, telemetry_path: str) -> bytes:
    """Encode that nothing more comes from this hub, and where the one is that goes on."""
    message: bytes = _pack_names((epoch, sequence, MOVED, None, (bus_path, telemetry_path), (), (), 0, ()))
    return message


def encode_audience(epoch: int, sequence: int, channels: Sequence[str]) -> bytes:
    """Encode a question to every worker: how many listen to each of these channels in you?"""
    message: bytes = _pack_names((epoch, sequence, AUDIENCE, None, channels, (), (), 0, ()))
    return message


def decode_message(message: bytes) -> BusMessage:
    """Take a message apart, but not its payloads.

    Raises:
        InternalError: it is damaged.
    """
    try:
        fields = _unpack(message, unicode_errors="surrogatepass")
        epoch, sequence, kind, worker_index, channels, payloads, ids, taken_us, asked = fields
        if kind > LAST_IDS:
            return BusMessage(epoch, sequence, BusKind(kind), worker_index, channels, payloads, ids, taken_us, asked)
        count = len(channels)
        if (len(payloads) == count or kind != ITEMS) and (not ids or len(ids) == count):
            return BusMessage(epoch, sequence, kind, worker_index, channels, payloads, ids, taken_us, asked)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise InternalError(f"bus message of {len(message)} bytes is damaged: {error}") from None
    raise InternalError(f"bus message has {count} channels for {len(payloads)} items and {len(ids)} ids")


def pack_item(item: PublishItem) -> list[bytes]:
    """Pack all of an item but its channel."""
    response, stream, message = item.http_response, item.http_stream, item.ws_message
    packed: bytes = _pack(
        (
            item.id,
            item.prev_id,
            item.is_no_seq,
            item.size,
            item.meta or None,
            response
            and (
                response.action,
                response.code,
                response.reason,
                response.headers,
                response.body,
                response.body_patch,
                response.content_filters,
            ),
            stream and (stream.action, stream.content, stream.content_filters),
            message
            and (message.action, message.type, message.content, message.code, message.reason, message.content_filters),
        )
    )
    return [packed]


def unpack_item(channel: str, payload: Payload) -> PublishItem:
    """Give the item as it was packed.

    Raises:
        InternalError: the payload is damaged.
    """
    if type(payload) is bytes:
        return PublishItem(channel, http_stream=HttpStreamFormat(SEND, payload))
    try:
        return _unpack_fields(channel, *_unpack(*payload))
    except (ValueError, TypeError, IndexError, msgpack.UnpackException) as error:
        raise InternalError(f"item on the bus is damaged: {error}") from None


def _unpack_fields(
    channel: str,
    item_id: str | None,
    prev_id: str | None,
    is_no_seq: bool,
    size: int | None,
    meta: dict[str, str] | None,
    response: Any,
    stream: Any,
    message: Any,
) -> PublishItem:
    return PublishItem(
        channel,
        item_id,
        prev_id,
        response and _unpack_http_response(*response),
        stream and HttpStreamFormat(_ACTIONS[stream[0]], stream[1], _tuple_or_none(stream[2])),
        message and _unpack_ws_message(*message),
        meta or {},
        size,
        is_no_seq,
    )


def _unpack_http_response(
    action: int,
    code: int,
    reason: bytes | None,
    headers: list[list[bytes]] | None,
    body: bytes,
    body_patch: list[object] | None,
    filters: list[str] | None,
) -> HttpResponseFormat:
    pairs = None if headers is None else [(name, value) for name, value in headers]
    return HttpResponseFormat(_ACTIONS[action], code, reason, pairs, body, body_patch, _tuple_or_none(filters))


def _unpack_ws_message(
    action: int, kind: int, content: bytes, code: int | None, reason: bytes | None, filters: list[str] | None
) -> WsMessageFormat:
    return WsMessageFormat(_ACTIONS[action], _WS_TYPES[kind], content, code, reason, _tuple_or_none(filters))


def _tuple_or_none(names: list[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)
