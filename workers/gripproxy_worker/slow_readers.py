"""Clients that read their response more slowly than its origin sends it, each with a connection that waits for it."""

from collections.abc import Callable, Collection
from typing import Protocol

from gripproxy_worker.origin_conn import OriginKey

# In which a client did not read what waited for it, some 64 KB. Whoever has waited longest goes first, so somebody with
# a bad line is safe as long as there are others who do not read at all.
SLOW_S = 0.25


class SlowReader(Protocol):
    """Who is slow: a client connection."""

    def give_way(self) -> None: ...


class SlowReaders:
    """Who keeps a connection to an origin without reading from it, and since when: the longest first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._waits: dict[SlowReader, tuple[float, OriginKey]] = {}

    def __len__(self) -> int:
        return len(self._waits)

    def add(self, reader: SlowReader, key: OriginKey) -> None:
        """Its connection of this kind is not read from now on."""
        self._waits.setdefault(reader, (self._clock(), key))

    def discard(self, reader: SlowReader) -> None:
        """It has read, or its response is over."""
        self._waits.pop(reader, None)

    def cut(self, max_count: int, keys: Collection[OriginKey] | None) -> None:
        """Cut the slowest off, at most `max_count`, so that their connections are free; of `keys` only, if given."""
        slow_since = self._clock() - SLOW_S
        found: list[SlowReader] = []
        for reader, (since, key) in self._waits.items():
            if len(found) == max_count or since > slow_since:
                break
            if keys is None or key in keys:
                found.append(reader)
        for reader in found:
            reader.give_way()
