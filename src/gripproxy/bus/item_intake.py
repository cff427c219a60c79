"""The one way in for items, whichever input they came by: count, drop duplicates, put on the bus, log refusals."""

import logging
import time
from collections.abc import Sequence

from gripproxy.bus.id_cache import IdCache
from gripproxy.bus.outlet import Outlet
from gripproxy.bus.refusal_log import RefusalLog
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.scoreboard import Field

log = logging.getLogger(__name__)

_RECEIVED = int(Field.ITEMS_RECEIVED)  # to look an IntEnum's member up takes longer than to count with it


class ItemIntake:
    """Takes valid items and the texts of refusals."""

    def __init__(self, outlet: Outlet, id_cache: IdCache, row: memoryview) -> None:
        self._outlet = outlet
        self._id_cache = id_cache
        self._row = row
        self._refusal_log = RefusalLog()

    def accept(self, items: Sequence[PublishItem]) -> None:
        """Put the items on the bus, in order, but not those whose id was seen on their channel within the ttl."""
        now = time.monotonic()
        self._row[Field.ITEMS_RECEIVED] += len(items)
        for item in items:
            if item.id is not None and self._id_cache.is_duplicate(item.channel, item.id, now):
                self._row[Field.ITEMS_DUPLICATE] += 1
            else:
                self._outlet.publish(item)

    def accept_content(self, channel: str, content: bytes) -> None:
        """Put an item without an id on the bus that is nothing but content for streams."""
        self._row[_RECEIVED] += 1
        self._outlet.publish_packed(channel, content, len(content))

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
