"""Which channels have a subscriber in any worker: what the hub asks publishers on the SUB input for."""

from collections.abc import Iterable, Iterator


class ChannelUnion:
    """One set of channel names per worker, and the difference that each change makes to their union."""

    def __init__(self, workers_count: int) -> None:
        self._channels_of: list[set[str]] = [set() for _ in range(workers_count)]

    def change(self, worker_index: int, added: Iterable[str], removed: Iterable[str]) -> tuple[list[str], list[str]]:
        """Take over a worker's report; give the channels that are new to the union and those that left it.

        Adding a channel twice, or removing one that is not there, changes nothing.
        """
        own = self._channels_of[worker_index]
        new = []
        for channel in added:
            if channel not in self:
                new.append(channel)
            own.add(channel)
        gone = []
        for channel in removed:
            if channel in own:
                own.remove(channel)
                if channel not in self:
                    gone.append(channel)
        return new, gone

    def forget_worker(self, worker_index: int) -> list[str]:
        """Drop all that a worker reported; give the channels that left the union."""
        own = self._channels_of[worker_index]
        self._channels_of[worker_index] = set()
        return [channel for channel in own if channel not in self]

    def __contains__(self, channel: str) -> bool:
        return any(channel in channels for channels in self._channels_of)

    def __iter__(self) -> Iterator[str]:
        return iter(set[str]().union(*self._channels_of))
