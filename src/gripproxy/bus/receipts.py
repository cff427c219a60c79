"""What became of items: the answers of all workers for those that somebody asks about, put together.

Somebody asks about every item (`Watch.MESSAGES`), or a publisher about his own. Nobody else pays for it.
"""

import time
from collections.abc import Callable, Collection
from enum import IntEnum

from gripproxy.protocol.telemetry import PublishRecord, ReceiptRecord

OPEN_MAX_COUNT = 100_000  # items that wait for a worker's answer; past it the oldest are closed with what is known
OPEN_MAX_S = 60.0  # a worker's word may be lost; nobody waits longer for it


class ItemOutcome(IntEnum):
    """How far an item came."""

    WAITING = 0  # parked, as the one before it is missing
    SENT = 1  # it is with the workers, not all of which have told yet
    DONE = 2
    DUPLICATE = 3  # dropped, its id was seen before
    UNORDERED = 4  # dropped, its place in the order was taken
    UNKNOWN = 5  # sent, but a worker that got it did not tell in time, or died


OPEN = (ItemOutcome.WAITING, ItemOutcome.SENT)


class Inquiry:
    """A question about one item, and the answers so far: receivers by kind, and what each of them got.

    `on_closed` is called once, when nothing more will come.
    """

    __slots__ = (
        "_receipts",
        "asked_at",
        "blocks",
        "channel",
        "delivered",
        "dropped",
        "filtered",
        "is_incomplete",
        "item_id",
        "messages",
        "on_closed",
        "outcome",
        "responses",
        "source",
        "streams",
        "waits_for",
    )

    def __init__(self, receipts: "Receipts", channel: str, item_id: str | None, source: str) -> None:
        self._receipts = receipts
        self.asked_at = 0.0
        self.channel = channel
        self.item_id = item_id
        self.source = source
        self.blocks: dict[str, int] = {}  # by transport, if they are counted
        self.outcome = ItemOutcome.WAITING
        self.waits_for = 0  # bits of workers
        self.is_incomplete = False
        self.responses = self.streams = self.messages = 0
        self.delivered = self.filtered = self.dropped = 0
        self.on_closed: Callable[[], None] | None = None

    @property
    def receivers(self) -> int:
        return self.responses + self.streams + self.messages

    def on_sent(self, number: int) -> None:
        """Wait for the workers: the item is on its way, with this number."""
        self.outcome = ItemOutcome.SENT
        self._receipts.expect(number, self)

    def close(self, outcome: ItemOutcome) -> None:
        """Take note of the end."""
        self.outcome = outcome
        if self.on_closed is not None:
            self.on_closed()


class Receipts:
    """Keeps the open inquiries. `workers` gives the workers that are on the bus now.

    `on_published` are called with what became of each item that all workers have told of, or should have.
    """

    def __init__(self, workers: Callable[[], Collection[int]]) -> None:
        self._workers = workers
        self._open: dict[int, Inquiry] = {}  # by number on the bus, so the oldest is first
        self.on_published: list[Callable[[Inquiry], None]] = []

    def __len__(self) -> int:
        return len(self._open)

    def inquire(self, channel: str, item_id: str | None, source: str) -> Inquiry:
        """Make a question about an item of an input: pull, sub, http or command."""
        return Inquiry(self, channel, item_id, source)

    def expect(self, number: int, inquiry: Inquiry) -> None:
        """Wait for the answers of the workers that are on the bus now."""
        for worker_index in self._workers():
            inquiry.waits_for |= 1 << worker_index
        if not inquiry.waits_for:
            self._close(inquiry)
            return
        inquiry.asked_at = time.monotonic()
        self._open[number] = inquiry
        if len(self._open) > OPEN_MAX_COUNT:
            self._give_up(next(iter(self._open)))

    def take(self, record: ReceiptRecord) -> None:
        """Add one worker's answer; what nobody asked for, or asks for no more, is void."""
        inquiry = self._open.get(record.number)
        bit = 1 << record.worker_index
        if inquiry is None or not inquiry.waits_for & bit:
            return
        inquiry.responses += record.responses
        inquiry.streams += record.streams
        inquiry.messages += record.messages
        inquiry.delivered += record.delivered
        inquiry.filtered += record.filtered
        inquiry.dropped += record.dropped
        self._settle(record.number, inquiry, bit)

    def on_worker_gone(self, worker_index: int) -> None:
        """Wait for this one no more."""
        bit = 1 << worker_index
        for number, inquiry in [entry for entry in self._open.items() if entry[1].waits_for & bit]:
            inquiry.is_incomplete = True
            self._settle(number, inquiry, bit)

    def expire(self, now: float) -> None:
        """Close what was asked too long ago. To be called about every second with the monotonic time."""
        while self._open:
            number = next(iter(self._open))
            if now - self._open[number].asked_at < OPEN_MAX_S:
                return
            self._give_up(number)

    def give_up_all(self) -> None:
        """Close all with what is known: no worker tells this hub any more."""
        while self._open:
            self._give_up(next(iter(self._open)))

    def _settle(self, number: int, inquiry: Inquiry, bit: int) -> None:
        inquiry.waits_for &= ~bit
        if not inquiry.waits_for:
            del self._open[number]
            self._close(inquiry)

    def _give_up(self, number: int) -> None:
        inquiry = self._open.pop(number)
        inquiry.is_incomplete = True
        self._close(inquiry)

    def _close(self, inquiry: Inquiry) -> None:
        inquiry.close(ItemOutcome.UNKNOWN if inquiry.is_incomplete else ItemOutcome.DONE)
        for consumer in self.on_published:
            consumer(inquiry)


def publish_record(inquiry: Inquiry, at: float) -> PublishRecord:
    """Say of an item what logs say. `at`: seconds since 1970."""
    counts = inquiry.responses, inquiry.streams, inquiry.messages
    return PublishRecord(at, inquiry.channel, inquiry.item_id, inquiry.source, *counts)
