"""Which channels get the most items right now. Counts only while somebody asks, and never more names than it may."""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

NAMES_MAX_COUNT = 20_000  # in one slot: some 3 MB
NAMES_KEPT_COUNT = 1_000  # the busiest of them, when a slot is full
SLOTS_COUNT = 3  # that figures are made of: long enough to be calm, short enough to be of now


@dataclass(slots=True)
class BusyChannel:
    """A channel and its rate."""

    channel: str
    items_per_s: float


class BusyChannels:
    """Counts names by slots of time. A name that is rare in a slot with very many may be missing."""

    def __init__(self, now: float) -> None:
        self._since = now
        self._counts = Counter[str]()
        self._done: deque[tuple[float, Counter[str]]] = deque(maxlen=SLOTS_COUNT)  # seconds, counts

    def note(self, channels: Iterable[str]) -> None:
        """Count one item for each name; for all items of a bus message at once."""
        counts = self._counts
        counts.update(channels)
        if len(counts) > NAMES_MAX_COUNT:
            self._counts = Counter(dict(counts.most_common(NAMES_KEPT_COUNT)))

    def roll(self, now: float) -> None:
        """End the slot, and begin the next one."""
        if now > self._since:
            self._done.append((now - self._since, self._counts))
            self._since, self._counts = now, Counter()

    def busiest(self, count: int) -> list[BusyChannel]:
        """Give the busiest channels of the last slots that ended, the busiest first."""
        seconds, counts = 0.0, Counter[str]()
        for slot_s, slot in self._done:
            seconds += slot_s
            counts.update(slot)
        return [BusyChannel(channel, items / seconds) for channel, items in counts.most_common(count)]
