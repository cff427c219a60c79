"""The books of deliveries: every receiver that an item finds is a reception, and every reception has one end."""

from enum import IntEnum

from gripproxy.protocol.receipt import Receipt


class End(IntEnum):
    """How a reception ended, as far as the engine knows. What is handed to the sockets ends there."""

    DELIVERED = 0  # there was an action to do, or content without any bytes
    FILTERED = 1  # kept back by the hold's filters, or nothing for it to do
    UNFIT = 2  # did not fit the hold's filters, or other ones were assumed
    REFETCHED = 3  # not sent, as the origin is asked for what is missing
    CROWDED = 4  # too many waited for the hold's next part, or for a filter's answer; or its origin had the word
    GONE = 5  # the hold was over before the item had its turn
    OVER_RATE = 6  # over `message_hwm`


DELIVERED, FILTERED, UNFIT, REFETCHED, CROWDED, GONE, OVER_RATE = End
_KEPT_BACK = frozenset((FILTERED, UNFIT))


class Books:
    """Counts of one worker, by `take` since the last one. `pending` is no count: receptions that wait in the engine."""

    __slots__ = ("ends", "pending", "receptions", "wanted")

    def __init__(self) -> None:
        self.pending = 0
        self.wanted = 0  # items that found a receiver
        self.receptions = 0
        self.ends = [0] * len(End)

    def take(self) -> tuple[int, int, list[int]]:
        """Give wanted items, receptions and ends, and begin again with none."""
        taken = self.wanted, self.receptions, self.ends
        self.wanted = self.receptions = 0
        self.ends = [0] * len(End)
        return taken

    def found(self, responses: int, streams: int, messages: int, receipt: Receipt | None) -> None:
        """Count receivers whose turn has come."""
        self.receptions += responses + streams + messages
        if receipt is not None:
            receipt.responses += responses
            receipt.streams += streams
            receipt.messages += messages

    def end(self, end: End, count: int, receipt: Receipt | None) -> None:
        """Count receptions that ended."""
        self.ends[end] += count
        if receipt is None:
            return
        if end is DELIVERED:
            receipt.delivered += count
        elif end in _KEPT_BACK:
            receipt.filtered += count
        else:
            receipt.dropped += count
