"""Which channels have a subscriber in any worker of this host."""

from collections.abc import Iterable, Iterator


class ChannelUnion:
    """Channel names with a bit for each worker that has subscribers, and the difference that each change makes.

    One dict for all workers: with a set for each, every new channel had to be looked for in all of them.
    """

    def __init__(self) -> None:
        self._bits: dict[int, int] = {}  # by worker, numbered as they come; shared: most channels have one worker
        self._masks: dict[str, int] = {}

    def change(self, worker_index: int, added: Iterable[str], removed: Iterable[str]) -> tuple[list[str], list[str]]:
        """Take over a worker's report; give the channels that are new to the union and those that left it.

        Adding a channel twice, or removing one that is not there, changes nothing.
        """
        bit, masks = self._bit_of(worker_index), self._masks
        new = []
        for channel in added:
            mask = masks.get(channel)
            if mask is None:
                masks[channel] = bit
                new.append(channel)
            elif not mask & bit:
                masks[channel] = mask | bit
        return new, [channel for channel in removed if self._remove(channel, bit)]

    def forget_worker(self, worker_index: int) -> list[str]:
        """Drop all that a worker reported; give the channels that left the union."""
        bit = self._bit_of(worker_index)
        own = [channel for channel, mask in self._masks.items() if mask & bit]
        return [channel for channel in own if self._remove(channel, bit)]

    def _bit_of(self, worker_index: int) -> int:
        bit = self._bits.get(worker_index)
        if bit is None:
            bit = self._bits[worker_index] = 1 << len(self._bits)
        return bit

    def _remove(self, channel: str, bit: int) -> bool:
        """Take the worker's bit off the channel; say whether it was the last."""
        mask = self._masks.get(channel, 0)
        if mask == bit:
            del self._masks[channel]
            return True
        if mask & bit:
            self._masks[channel] = mask ^ bit
        return False

    def __contains__(self, channel: str) -> bool:
        return channel in self._masks

    def __iter__(self) -> Iterator[str]:
        return iter(self._masks)
