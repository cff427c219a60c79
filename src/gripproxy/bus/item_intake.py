"""The one way in for items, by whichever input: count, drop duplicates, sort, put on the bus, log refusals."""

import logging
import time
from collections.abc import Sequence

from gripproxy.bus.channel_union import ChannelUnion
from gripproxy.bus.id_cache import IdCache
from gripproxy.bus.item_sequencer import ItemSequencer
from gripproxy.bus.outlet import Outlet
from gripproxy.bus.receipts import Inquiry, ItemOutcome, Receipts
from gripproxy.bus.refusal_log import RefusalLog
from gripproxy.protocol.bus_message import UNTOUCHED, NotedId
from gripproxy.protocol.item_blocks import STREAM, blocks_by_transport, count_blocks
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.scoreboard import Field, Watch

log = logging.getLogger(__name__)

LATE_MAX_COUNT = 1_000  # parked items that go out in one turn of the loop: some 5 ms

# To look an IntEnum's member up takes longer than to count with it.
_RECEIVED, _PULL, _WATCHED = int(Field.ITEMS_RECEIVED), int(Field.ITEMS_PULL), int(Field.WATCHED)
_MESSAGES = int(Watch.MESSAGES)
_SOURCE_NAMES = {
    Field.ITEMS_PULL: "pull",
    Field.ITEMS_SUB: "sub",
    Field.ITEMS_HTTP: "http",
    Field.ITEMS_COMMAND: "command",
}


class ItemIntake:
    """Takes valid items and the texts of refusals. `source` is the column of the input that they came by.

    `subscribed`: the channels with a subscriber on this host. `block_bytes`: what `blocks_count` counts items in, 0 for
    not at all.
    """

    def __init__(
        self,
        outlet: Outlet,
        id_cache: IdCache,
        sequencer: ItemSequencer,
        subscribed: ChannelUnion,
        row: memoryview,
        receipts: Receipts,
        block_bytes: int = 0,
    ) -> None:
        self.blocks_count = 0  # of each item's largest format
        self._outlet = outlet
        self._id_cache = id_cache
        self._sequencer = sequencer
        self._last_ids = sequencer.last_ids
        self._subscribed = subscribed
        self._row = row
        self._receipts = receipts
        self.block_bytes = block_bytes
        self._refusal_log = RefusalLog()

    def accept(self, items: Sequence[PublishItem], source: Field = Field.ITEMS_PULL) -> None:
        """Put the items on the bus, each in its turn, but not those whose id was seen on their channel within the ttl.

        A duplicate is none of the sequencer's business, nor is a subscription the id cache's.
        """
        if self._row[_WATCHED] & _MESSAGES:
            self.accept_asked(items, source)
            return
        now = time.monotonic()
        self._row[source] += len(items)
        self._row[Field.ITEMS_RECEIVED] += len(items)
        for item in items:
            if item.id is not None and self._id_cache.is_duplicate(item.channel, item.id, now):
                self._row[Field.ITEMS_DUPLICATE] += 1
            else:
                if self.block_bytes:
                    self._count_blocks(item)
                self._outlet.publish_released(self._sequencer.accept(item, item.channel in self._subscribed, now))

    def accept_asked(self, items: Sequence[PublishItem], source: Field) -> list[Inquiry]:
        """Do what `accept` does, and give for each item a question about what becomes of it."""
        now = time.monotonic()
        self._row[source] += len(items)
        self._row[Field.ITEMS_RECEIVED] += len(items)
        inquiries = [self._receipts.inquire(item.channel, item.id, _SOURCE_NAMES[source]) for item in items]
        for item, inquiry in zip(items, inquiries, strict=True):
            if item.id is not None and self._id_cache.is_duplicate(item.channel, item.id, now):
                self._row[Field.ITEMS_DUPLICATE] += 1
                inquiry.close(ItemOutcome.DUPLICATE)
                continue
            if self.block_bytes:
                inquiry.blocks = self._count_blocks(item)
            is_subscribed = item.channel in self._subscribed
            self._outlet.publish_released(self._sequencer.accept(item, is_subscribed, now, inquiry))
        return inquiries

    def accept_contents(self, channels: list[str], contents: list[bytes]) -> None:
        """Put items without ids on the bus that are nothing but content for streams, and came by PULL.

        Both lists are given away. Such items follow nothing, so their turn is now; and only a channel whose last id is
        known changes by one.
        """
        self._row[_RECEIVED] += len(channels)
        self._row[_PULL] += len(channels)
        if self.block_bytes or self._last_ids or self._row[_WATCHED] & _MESSAGES:
            for channel, content in zip(channels, contents, strict=True):
                self._accept_content(channel, content)
        else:
            self._outlet.publish_contents(channels, contents)

    def _accept_content(self, channel: str, content: bytes) -> None:
        if self.block_bytes:
            self.blocks_count += count_blocks(len(content), self.block_bytes)
        if self._row[_WATCHED] & _MESSAGES:
            self._accept_asked_content(channel, content)
        elif channel in self._last_ids:
            self._last_ids.note(channel, None)
            self._outlet.publish_packed(channel, content, len(content), None)
        else:
            self._outlet.publish_packed(channel, content, len(content))

    def _accept_asked_content(self, channel: str, content: bytes) -> None:
        inquiry = self._receipts.inquire(channel, None, _SOURCE_NAMES[Field.ITEMS_PULL])
        if self.block_bytes:
            inquiry.blocks = {STREAM: count_blocks(len(content), self.block_bytes)}
        noted_id: NotedId = UNTOUCHED
        if channel in self._last_ids:
            self._last_ids.note(channel, None)
            noted_id = None
        inquiry.on_sent(self._outlet.publish_packed(channel, content, len(content), noted_id, True))

    def _count_blocks(self, item: PublishItem) -> dict[str, int]:
        blocks = blocks_by_transport(item, self.block_bytes)
        self.blocks_count += max(blocks.values(), default=0)
        return blocks

    def release_late(self) -> bool:
        """Put items on the bus that have waited long enough for the one before them; say whether there may be more.

        To be called every second. While the bus is blocked they wait on, as the inputs do.
        """
        if self._outlet.is_blocked:
            return False
        released = self._sequencer.due(time.monotonic(), LATE_MAX_COUNT)
        self._outlet.publish_released(released)
        return len(released) >= LATE_MAX_COUNT

    def refuse(self, source: Field, text: str) -> None:
        """Count an item that came by ZeroMQ and is not valid, and log it; nobody is there to be answered."""
        self.count_refused(source)
        self._warn(self._refusal_log.note(f"IN {_SOURCE_NAMES[source]}: {text}, skipping", time.monotonic()))

    def count_refused(self, source: Field) -> None:
        """Count a refusal that its publisher was told about."""
        self._row[source] += 1
        self._row[Field.ITEMS_RECEIVED] += 1
        self._row[Field.ITEMS_REFUSED] += 1

    def count_unread(self) -> None:
        """Count an item of a channel that nobody subscribed to; it has not been received."""
        self._row[Field.ITEMS_UNREAD] += 1

    def count_turned_away(self, count: int) -> None:
        """Count items whose publisher was told to come again; they have not been received."""
        self._row[Field.ITEMS_TURNED_AWAY] += count

    def flush_log(self) -> None:
        """Log what was held back. To be called about every second."""
        self._warn(self._refusal_log.flush(time.monotonic()))

    def _warn(self, line: str | None) -> None:
        if line is not None:
            log.warning("%s", line)
