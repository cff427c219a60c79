"""What became of one item in a worker, for a publisher or an operator who asks."""

_SEQUENCE_BITS = 32


def receipt_number(epoch: int, sequence: int) -> int:
    """Number an item so that no item of another hub has the number: a worker may have to tell of an old one's yet."""
    return epoch << _SEQUENCE_BITS | sequence & (1 << _SEQUENCE_BITS) - 1


class Receipt:
    """Counts of an item's receivers. `number` is its `receipt_number`.

    Those whose bytes wait for a slow client count as delivered. `open_count` fan-outs of it are unfinished.
    `response_blocks`, `stream_blocks` and `message_blocks` are the item's size for a receiver, if blocks are counted.
    """

    __slots__ = (
        "delivered",
        "dropped",
        "filtered",
        "message_blocks",
        "messages",
        "number",
        "open_count",
        "response_blocks",
        "responses",
        "stream_blocks",
        "streams",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.responses = 0
        self.streams = 0
        self.messages = 0
        self.delivered = 0
        self.filtered = 0  # should not have it
        self.dropped = 0  # should, and do not have it
        self.open_count = 0
        self.response_blocks = 0
        self.stream_blocks = 0
        self.message_blocks = 0

    @property
    def is_done(self) -> bool:
        """Whether nothing of the item is under way any more."""
        receivers = self.responses + self.streams + self.messages
        return not self.open_count and receivers <= self.delivered + self.filtered + self.dropped
