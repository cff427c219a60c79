"""Remember which item ids were seen lately, so that an item that a publisher sends twice is passed on once."""

import hashlib
from collections.abc import Iterable
from itertools import islice

KEY_MAX_COUNT = 256  # characters of a channel's name and an id; of longer ones only a digest is remembered
IDS_MAX_COUNT = 1_000_000  # about 250 MB when full; at that many the oldest are forgotten early


class IdCache:
    """Ids per channel, each remembered for `ttl_s` seconds from its first sighting.

    Two dicts take turns: `_young` fills, and after one ttl it becomes `_old` and what was `_old` is dropped whole.
    That forgets in bulk, with no bookkeeping per id, and still answers by each id's own time.

    Source: Pushpin's `id_cache_ttl`; the bound is ours.
    """

    def __init__(self, ttl_s: float, ids_max_count: int = IDS_MAX_COUNT) -> None:
        self._ttl_s = ttl_s
        self._generation_max_count = max(1, ids_max_count // 2)
        self._young: dict[str, float] = {}
        self._old: dict[str, float] = {}
        self._young_since = 0.0

    def use_ttl(self, ttl_s: float) -> None:
        """Remember ids for so long from now on. Those that are forgotten already stay so."""
        self._ttl_s = ttl_s
        if ttl_s <= 0:
            self._young, self._old = {}, {}

    def is_duplicate(self, channel: str, item_id: str, now: float) -> bool:
        """Say whether this id was seen on this channel within the ttl, and remember it if not.

        A repeated sighting does not prolong the time. `now` is monotonic seconds. A ttl of 0 remembers nothing.
        """
        if self._ttl_s <= 0:
            return False
        if now - self._young_since >= self._ttl_s or len(self._young) >= self._generation_max_count:
            self._old, self._young, self._young_since = self._young, {}, now
        # The length keeps ("a", "bc") and ("ab", "c") apart.
        key = f"{len(channel)}:{channel}{item_id}"
        if len(key) > KEY_MAX_COUNT:
            key = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        seen_at = self._young.get(key)
        if seen_at is None:
            seen_at = self._old.get(key)
        if seen_at is not None and now - seen_at < self._ttl_s:
            return True
        self._young[key] = now
        return False

    def snapshot(self) -> list[tuple[str, float]]:
        """Give all that is remembered, the oldest first, for the cache of another process of this machine."""
        return [*self._old.items(), *self._young.items()]

    def since(self, count: int) -> list[tuple[str, float]]:
        """Give what came after a snapshot of so many; a little more if ids were forgotten meanwhile."""
        count = min(count, len(self))
        fresh = islice(self._young.items(), max(0, count - len(self._old)), None)
        return [*islice(self._old.items(), count, None), *fresh]

    def take_over(self, seen: Iterable[tuple[str, float]]) -> None:
        """Remember what another process's cache did."""
        for key, seen_at in seen:
            self._young.setdefault(key, seen_at)

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
