"""Bring the items of each channel into their publisher's order, by the id that each says it follows."""

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass

from gripproxy.bus.receipts import Inquiry, ItemOutcome
from gripproxy.protocol.bus_message import UNTOUCHED, NotedId, pack_item
from gripproxy.protocol.last_ids import LastIds
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.scoreboard import Field

PARKED_MAX_COUNT = 100  # on one channel, same as Pushpin
# On all channels together. Past it the oldest are released before their time: late and out of order, but not lost.
ALL_PARKED_MAX_COUNT = 100_000
ALL_PARKED_MAX_BYTES = 64 * 1024 * 1024


@dataclass(slots=True)
class ReleasedItem:
    """An item whose turn it is, packed for the bus, and what it did to its channel's last id."""

    channel: str
    payload: list[bytes]
    noted_id: NotedId
    inquiry: Inquiry | None = None  # somebody asks what becomes of it


@dataclass(slots=True, eq=False)
class _ParkedItem:
    """An item that waits for the one with id `prev_id`."""

    channel: str
    id: str | None
    prev_id: str
    payload: list[bytes]
    parked_at: float
    inquiry: Inquiry | None


class ItemSequencer:
    """The last id of each channel, and the items that came before the one that they follow.

    An item goes out at once unless it names another predecessor than the channel's last item, and that is known.
    Such an item is parked until its predecessor was released, or for `message_wait_s`. Only channels with a
    subscriber have a last id or parked items, so whoever calls tells whether there is one, and calls `clear` for
    those that lose their last one.

    `row`: where parked, late and dropped items are counted.

    Source: GRIP's ``prev-id``; limits and times are Pushpin's `Sequencer`. The bound over all channels is ours.
    """

    def __init__(self, message_wait_s: float, last_ids: LastIds, row: memoryview) -> None:
        self.last_ids = last_ids
        self.message_wait_s = message_wait_s
        self._row = row
        self._parked: dict[str, dict[str, _ParkedItem]] = {}  # by channel, then by the id that is missing
        self._by_age: OrderedDict[_ParkedItem, None] = OrderedDict()  # which pops its first at no cost; a dict does not
        self._parked_bytes = 0
        row[Field.ITEMS_PARKED] = 0  # those of a hub before this one are gone

    def accept(
        self, item: PublishItem, is_subscribed: bool, now: float, inquiry: Inquiry | None = None
    ) -> list[ReleasedItem]:
        """Take an item in; give what goes out now, in order: nothing, or it and those that waited for it.

        `now` is monotonic seconds. `inquiry` goes with the item, or is closed.
        """
        payload = pack_item(item)
        if item.is_no_seq or not is_subscribed:
            return [ReleasedItem(item.channel, payload, UNTOUCHED, inquiry)]
        released: list[ReleasedItem] = []
        prev_id = item.prev_id
        if prev_id is not None and self._is_early(item.channel, prev_id):
            waiting = self._parked.get(item.channel, {})
            if prev_id in waiting or len(waiting) >= PARKED_MAX_COUNT:
                self._row[Field.ITEMS_UNORDERED] += 1
                if inquiry is not None:
                    inquiry.close(ItemOutcome.UNORDERED)
                return released
            self._make_room(len(payload[0]), released)
            if self._is_early(item.channel, prev_id):  # what had to go may have been what it waits for
                self._park(_ParkedItem(item.channel, item.id, prev_id, payload, now, inquiry))
                return released
        self._release(item.channel, item.id, payload, released, inquiry)
        return released

    def due(self, now: float, max_count: int) -> list[ReleasedItem]:
        """Release what was parked for the whole wait, oldest first, each followed by those that waited for it.

        As soon as `max_count` items are reached it stops; then there may be more.
        """
        released: list[ReleasedItem] = []
        while self._by_age and len(released) < max_count:
            oldest = next(iter(self._by_age))
            if now - oldest.parked_at < self.message_wait_s:
                break
            self._release_late(oldest, released)
        return released

    def forget(self, channel: str, last_id: str) -> bool:
        """Forget the channel's last id if it is still this one; say whether it was."""
        if self.last_ids.get(channel) != last_id:
            return False
        del self.last_ids[channel]
        return True

    def forget_all(self) -> None:
        """Forget all last ids. What is parked stays so: its wait goes on."""
        self.last_ids.clear()

    def parked(self) -> list[tuple[str, str | None, str, list[bytes], float]]:
        """Give what is parked, oldest first: channel, id, missing id, payload, and when it was parked."""
        return [(item.channel, item.id, item.prev_id, item.payload, item.parked_at) for item in self._by_age]

    def give_away(self) -> None:
        """Forget what is parked, as another hub has it. Whoever asks what becomes of it is told that nobody knows."""
        for item in list(self._by_age):
            self._unpark(item)
            if item.inquiry is not None:
                item.inquiry.close(ItemOutcome.UNKNOWN)

    def take_over(
        self, channel: str, item_id: str | None, prev_id: str, payload: list[bytes], parked_at: float
    ) -> None:
        """Take in what another hub gave away."""
        self._park(_ParkedItem(channel, item_id, prev_id, payload, parked_at, None))

    def clear(self, channels: Collection[str]) -> tuple[list[str], list[ReleasedItem]]:
        """Forget channels that have no subscriber any more; give those that had a last id, and what was parked.

        Pushpin discards what was parked. Here the next subscriber may be there already, in a worker whose report is
        still on its way: he gets it out of order rather than never, and if there is none, nobody sees it.
        """
        released: list[ReleasedItem] = []
        for channel in channels if self._parked else ():
            for parked in list(self._parked.get(channel, {}).values()):
                self._unpark(parked)
                self._row[Field.ITEMS_LATE] += 1
                released.append(ReleasedItem(channel, parked.payload, UNTOUCHED, parked.inquiry))
        return [channel for channel in channels if self.last_ids.pop(channel, None) is not None], released

    def _is_early(self, channel: str, prev_id: str) -> bool:
        last_id = self.last_ids.get(channel)
        return last_id is not None and last_id != prev_id

    def _park(self, parked: _ParkedItem) -> None:
        self._parked.setdefault(parked.channel, {})[parked.prev_id] = parked
        self._by_age[parked] = None
        self._parked_bytes += len(parked.payload[0])
        self._row[Field.ITEMS_PARKED] = len(self._by_age)

    def _unpark(self, parked: _ParkedItem) -> None:
        waiting = self._parked[parked.channel]
        del waiting[parked.prev_id]
        if not waiting:
            del self._parked[parked.channel]
        del self._by_age[parked]
        self._parked_bytes -= len(parked.payload[0])
        self._row[Field.ITEMS_PARKED] = len(self._by_age)

    def _make_room(self, size_bytes: int, released: list[ReleasedItem]) -> None:
        while self._by_age and (
            len(self._by_age) >= ALL_PARKED_MAX_COUNT or self._parked_bytes + size_bytes > ALL_PARKED_MAX_BYTES
        ):
            self._release_late(next(iter(self._by_age)), released)

    def _release_late(self, parked: _ParkedItem, released: list[ReleasedItem]) -> None:
        self._row[Field.ITEMS_LATE] += 1
        self._unpark(parked)
        self._release(parked.channel, parked.id, parked.payload, released, parked.inquiry)

    def _release(
        self,
        channel: str,
        item_id: str | None,
        payload: list[bytes],
        released: list[ReleasedItem],
        inquiry: Inquiry | None,
    ) -> None:
        """Release an item, then the one that waited for it, and so on."""
        while True:
            released.append(ReleasedItem(channel, payload, self._note(channel, item_id), inquiry))
            waiting = self._parked.get(channel)
            follower = None if waiting is None or item_id is None else waiting.get(item_id)
            if follower is None:
                return
            self._unpark(follower)
            item_id, payload, inquiry = follower.id, follower.payload, follower.inquiry

    def _note(self, channel: str, item_id: str | None) -> NotedId:
        if item_id is None and channel not in self.last_ids:
            return UNTOUCHED
        self.last_ids.note(channel, item_id)
        return item_id
