"""One item, or one hello, as one frame on the bus from the hub to its workers; one or more frames as a message.

``HEAD CHANNEL ID REST``: the head's fields are fixed and its texts lie at known places, so that a worker without
a subscriber for the channel reads sequence, channel and id and never unpacks the rest. Both ends are always the same
version of gripproxy, so the rest is a msgpack array whose fields go by position.
"""

import struct
from dataclasses import dataclass

import msgpack

from gripproxy.errors import InternalError
from gripproxy.protocol.publish_format import (
    Action,
    HttpResponseFormat,
    HttpStreamFormat,
    WsMessageFormat,
    WsMessageType,
)
from gripproxy.protocol.publish_item import PublishItem

# epoch, sequence, flags, length of the channel in bytes, length of the id in bytes
_HEAD = struct.Struct("<IQBII")
_WORKER_INDEX = struct.Struct("<I")
_FRAME_SIZE = struct.Struct("<I")

_HAS_ID = 1
_IS_HELLO = 2

_ACTIONS = tuple(Action)
_WS_TYPES = tuple(WsMessageType)
_pack_rest = msgpack.Packer(use_bin_type=True).pack  # made once: making a packer costs more than packing an item
_unpack_rest = msgpack.unpackb


@dataclass(slots=True)
class BusHead:
    """The part of a frame that every worker reads."""

    epoch: int  # chosen by each hub when it starts
    sequence: int  # counts every frame of this epoch
    channel: str
    item_id: str | None
    offset: int  # where the rest starts
    hello_worker: int | None = None  # the hub greets this worker: the frame carries no item


def encode_bus_frame(epoch: int, sequence: int, item: PublishItem) -> bytes:
    """Encode an item. `epoch` is 32 bits, `sequence` 64."""
    response, stream, message = item.http_response, item.http_stream, item.ws_message
    rest = (
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
    channel = item.channel.encode()
    if item.id is None:
        return b"".join((_HEAD.pack(epoch, sequence, 0, len(channel), 0), channel, _pack_rest(rest)))
    item_id = item.id.encode()
    head = _HEAD.pack(epoch, sequence, _HAS_ID, len(channel), len(item_id))
    return b"".join((head, channel, item_id, _pack_rest(rest)))


def encode_hello(epoch: int, sequence: int, worker_index: int) -> bytes:
    """Encode the hub's answer to a worker that joined the bus."""
    return _HEAD.pack(epoch, sequence, _IS_HELLO, 0, 0) + _WORKER_INDEX.pack(worker_index)


def encode_bus_message(frames: list[bytes]) -> bytes:
    """Put frames into one message, each behind its size. ZeroMQ's cost per message is then shared by all of them."""
    parts: list[bytes] = []
    for frame in frames:
        parts.append(_FRAME_SIZE.pack(len(frame)))
        parts.append(frame)
    return b"".join(parts)


def split_bus_message(message: bytes) -> list[bytes]:
    """Take the frames out of a message, in order.

    Raises:
        InternalError: the message is cut off.
    """
    frames: list[bytes] = []
    start = _FRAME_SIZE.size
    while start <= len(message):
        end = start + _FRAME_SIZE.unpack_from(message, start - _FRAME_SIZE.size)[0]
        frames.append(message[start:end])
        start = end + _FRAME_SIZE.size
    if start != len(message) + _FRAME_SIZE.size:
        raise InternalError(f"bus message of {len(message)} bytes is cut off")
    return frames


def decode_bus_head(frame: bytes) -> BusHead:
    """Decode what a worker needs to know of every frame.

    Raises:
        InternalError: the frame is cut off.
    """
    try:
        epoch, sequence, flags, channel_size, id_size = _HEAD.unpack_from(frame)
        channel_end = _HEAD.size + channel_size
        offset = channel_end + id_size
        if offset >= len(frame):
            raise InternalError(f"bus frame of {len(frame)} bytes is cut off")
        if flags & _IS_HELLO:
            return BusHead(epoch, sequence, "", None, offset, _WORKER_INDEX.unpack_from(frame, offset)[0])
    except struct.error as error:
        raise InternalError(f"bus frame of {len(frame)} bytes is cut off: {error}") from None
    channel = str(frame[_HEAD.size : channel_end], "utf-8")
    return BusHead(
        epoch, sequence, channel, str(frame[channel_end:offset], "utf-8") if flags & _HAS_ID else None, offset
    )


def decode_bus_item(frame: bytes, head: BusHead) -> PublishItem:
    """Decode the item of a frame whose head is known, exactly as it was encoded."""
    prev_id, is_no_seq, size, meta, response, stream, message = _unpack_rest(memoryview(frame)[head.offset :])
    return PublishItem(
        head.channel,
        head.item_id,
        prev_id,
        response and _decode_http_response(*response),
        stream and HttpStreamFormat(_ACTIONS[stream[0]], stream[1], _tuple_or_none(stream[2])),
        message and _decode_ws_message(*message),
        meta or {},
        size,
        is_no_seq,
    )


def _decode_http_response(
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


def _decode_ws_message(
    action: int, kind: int, content: bytes, code: int | None, reason: bytes | None, filters: list[str] | None
) -> WsMessageFormat:
    return WsMessageFormat(_ACTIONS[action], _WS_TYPES[kind], content, code, reason, _tuple_or_none(filters))


def _tuple_or_none(names: list[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)
