"""Items that say when, and in which round, they were published, so that a client process knows how long they took.

The text of `item_mark` (MARK and monotonic nanoseconds), then series (1 digit) and round (3) in place of filling.
"""

import json
import time

from benchmarks.item_mark import ITEM_MIN_BYTES, STAMP_DIGITS, event_of, item_template
from benchmarks.item_publisher import ZmqPublisher, item_formats

STAMP_BYTES = ITEM_MIN_BYTES + 4
_FILLING = "xxxx"  # the part of the template's that is replaced, once


def encode_text(series: int, number: int, now_ns: int) -> str:
    """Write the text of an item."""
    return (item_template() % now_ns).replace(_FILLING, f"{series:01d}{number:03d}", 1)


def decode_stamp(data: bytes, at: int) -> tuple[int, int, int]:
    """Read series, round and nanoseconds of the item whose MARK is at `at`.

    Raises:
        ValueError: the data ends within it.
    """
    if len(data) < at + STAMP_BYTES:
        raise ValueError("cut off")
    middle = at + 1 + STAMP_DIGITS
    return data[middle] - 48, int(data[middle + 1 : middle + 4]), int(data[at + 1 : middle])


class StampPublisher(ZmqPublisher):
    """Publishes as Pushpin's client libraries do: JSON on a ZeroMQ PUSH socket."""

    def __init__(self, spec: str, is_websocket: bool = False) -> None:
        super().__init__(spec, 0, ITEM_MIN_BYTES)
        self._is_websocket = is_websocket

    def publish_stamped(self, channel: str, series: int, number: int) -> int:
        """Publish an item that is stamped now; gives that time in monotonic nanoseconds.

        Raises:
            BenchmarkError: gripproxy takes no item.
        """
        now_ns = time.monotonic_ns()
        text = encode_text(series, number, now_ns)
        formats = item_formats(event_of(text), text, self._is_websocket)
        self.send(b"J" + json.dumps({"channel": channel, "formats": formats}).encode())
        return now_ns
