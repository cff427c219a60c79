"""The one way in for items, by whichever input: count, drop duplicates, sort, put on the bus, log refusals."""

import logging
import time
from collections.abc import Sequence

from gripproxy.bus.channel_union import ChannelUnion
from gripproxy.bus.id_cache import IdCache
from gripproxy.bus.item_sequencer import ItemSequencer
from gripproxy.bus.outlet import Outlet
from gripproxy.bus.refusal_log import RefusalLog
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.scoreboard import Field

log = logging.getLogger(__name__)

LATE_MAX_COUNT = 1_000  # parked items that go out in one turn of the loop: some 5 ms

_RECEIVED = int(Field.ITEMS_RECEIVED)  # to look an IntEnum's member up takes longer than to count with it


class ItemIntake:
    """Takes valid items and the texts of refusals. `subscribed`: the channels with a subscriber on this host."""

    def __init__(
        self,
        outlet: Outlet,
        id_cache: IdCache,
        sequencer: ItemSequencer,
        subscribed: ChannelUnion,
        row: memoryview,
    ) -> None:
        self._outlet = outlet
        self._id_cache = id_cache
        self._sequencer = sequencer
        self._last_ids = sequencer.last_ids
        self._subscribed = subscribed
        self._row = row
        self._refusal_log = RefusalLog()

    def accept(self, items: Sequence[PublishItem]) -> None:
        """Put the items on the bus, each in its turn, but not those whose id was seen on their channel within the ttl.

        A duplicate is none of the sequencer's business, nor is a subscription the id cache's.
        """
        now = time.monotonic()
        self._row[Field.ITEMS_RECEIVED] += len(items)
        for item in items:
            if item.id is not None and self._id_cache.is_duplicate(item.channel, item.id, now):
                self._row[Field.ITEMS_DUPLICATE] += 1
            else:
                self._outlet.publish_released(self._sequencer.accept(item, item.channel in self._subscribed, now))

    def accept_content(self, channel: str, content: bytes) -> None:
        """Put an item without an id on the bus that is nothing but content for streams.

        It follows nothing, so its turn is now; and only a channel whose last id is known changes by it.
        """
        self._row[_RECEIVED] += 1
        if self._last_ids and channel in self._last_ids:
            self._last_ids.note(channel, None)
            self._outlet.publish_packed(channel, content, len(content), None)
        else:
            self._outlet.publish_packed(channel, content, len(content))

    def release_late(self) -> bool:
        """Put items on the bus that have waited long enough for the one before them; say whether there may be more.

        To be called every second. While the bus is blocked they wait on, as the inputs do.
        """
        if self._outlet.is_blocked:
            return False
        released = self._sequencer.due(time.monotonic(), LATE_MAX_COUNT)
        self._outlet.publish_released(released)
        return len(released) >= LATE_MAX_COUNT

    def refuse(self, input_name: str, text: str) -> None:
        """Count an item that came by ZeroMQ and is not valid, and log it; nobody is there to be answered."""
        self.count_refused()
        self._warn(self._refusal_log.note(f"IN {input_name}: {text}, skipping", time.monotonic()))

    def count_refused(self) -> None:
        """Count a refusal that its publisher was told about."""
        self._row[Field.ITEMS_RECEIVED] += 1
        self._row[Field.ITEMS_REFUSED] += 1

    def flush_log(self) -> None:
        """Log what was held back. To be called about every second."""
        self._warn(self._refusal_log.flush(time.monotonic()))

    def _warn(self, line: str | None) -> None:
        if line is not None:
            log.warning("%s", line)
