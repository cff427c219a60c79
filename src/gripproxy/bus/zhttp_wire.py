"""What workers and the hub say to each other about zhttp requests, over a unix stream socket: msgpack arrays.

A stream socket and not ZeroMQ: each end sees at once that the other one is gone, and how much of what it wrote waits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgpack

from gripproxy.errors import InternalError

MESSAGE_MAX_BYTES = 64 * 1024 * 1024  # far above any packet: more than that is not of our making

# From a worker.
DECLARE = 0  # the specs that its routes name: ["spec", is_zhttpreq, file mode or None] each
OPEN = 1  # a request: spec, is_zhttpreq, id, packet
SEND = 2  # a further packet, for all requests of these ids: ids, packet
CLOSE = 3  # the worker has done with a request: id, whether the origin must be told

# From the hub.
HELLO = 4  # the instance id that packets are from; the first message
PACKET = 5  # from an origin: a packet for at least one request of this worker
REFUSED = 6  # the request cannot go on: id, reason, whether no origin can have it


@dataclass(frozen=True, slots=True)
class SpecUse:
    """How a spec is used: the first route that names it decides."""

    spec: str
    is_zhttpreq: bool
    file_mode: int | None = None


def encode_message(kind: int, *values: object) -> bytes:
    """Write one message."""
    packed: bytes = msgpack.packb((kind, *values))
    return packed


class MessageReader:
    """Cuts what comes over the socket into messages."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(max_buffer_size=MESSAGE_MAX_BYTES)

    def feed(self, data: bytes) -> Iterator[list[Any]]:
        """Take bytes and give the messages that are whole.

        Raises:
            InternalError: these are no messages of ours.
        """
        try:
            self._unpacker.feed(data)
            yield from self._unpacker
        except (ValueError, msgpack.UnpackException) as error:
            raise InternalError(f"no zhttp message: {error!r}") from error
