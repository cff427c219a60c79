"""The channels that are subscribed on this host, and what the hub tells its workers when one opens or closes."""

import asyncio
from collections import deque
from collections.abc import Iterator
from itertools import islice

from gripproxy.bus.channel_union import ChannelUnion
from gripproxy.bus.forwarded_channels import ForwardedChannels
from gripproxy.bus.item_sequencer import ItemSequencer
from gripproxy.bus.outlet import Outlet
from gripproxy.bus.worker_notice import ChannelsChanged, IdsDoubted

UPDATE_DELAY_S = 1.0  # from a channel's first subscription to the update of its holds, same as Pushpin
UPDATE_GAP_S = 0.01  # what becomes due within it goes in one message
NAMES_MAX_COUNT = 5_000  # in one message: about 1 ms of a worker's work
LAST_IDS_MAX_COUNT = 1_000  # told to a new worker in one turn of the loop: about 0.5 ms
RETRY_S = 0.01  # while the bus is blocked


class HostChannels:
    """Takes the workers' notices about channels, and keeps the last ids in every worker the same as in the sequencer.

    * What the sequencer does to a last id travels with the item that did it, in `BusMessage.ids`.
    * All else that changes one is told here, in order with the items: a channel lost its last subscriber, a worker
      doubts its last id, recovery forgets all.
    * A worker that joins is told all of them, and serves nobody before it knows them.

    A hub that was restarted knows no last id and tells of none, and the workers keep theirs, which are as old as the
    last item of the hub before. That errs to the safe side only. Where an old id is behind, a hold that begins with a
    newer one is in conflict with it, asks its origin once more, and the old id is gone. To forget them could miss an
    item that the old hub released while an origin was answering. What the old hub took and released to nobody is made
    good by the same thing as everything before a first subscription: to the new hub all channels are new, so with
    `update_on_first_subscription` their holds ask their origin again.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        outlet: Outlet,
        sequencer: ItemSequencer,
        forwarded: ForwardedChannels,
        is_updating: bool,
    ) -> None:
        self.is_quiet = False  # what workers tell was there before: no hold need ask its origin again for it
        self._loop = loop
        self._outlet = outlet
        self._sequencer = sequencer
        self._forwarded = forwarded
        self._subscribed: ChannelUnion = forwarded.wanted
        self.is_updating = is_updating
        self._updates: deque[tuple[float, list[str]]] = deque()  # loop time, and channels whose holds are stale then
        self._timer: asyncio.TimerHandle | None = None
        self._untold: dict[int, Iterator[str]] = {}  # by worker: channels whose last id it may not know yet
        outlet.on_channels, outlet.on_doubts = self._on_channels, self._on_doubts
        outlet.on_joined, outlet.on_left = self._on_joined, self._on_left

    def recover(self) -> None:
        """Forget every last id and let every hold ask its origin again: the publisher says that items are missing."""
        self._sequencer.forget_all()
        self._outlet.tell_forget(None)
        self._outlet.tell_stale(None)

    def retell(self, worker_index: int) -> None:
        """Tell a worker all last ids: more are known than when it joined."""
        self._on_joined(worker_index)

    @property
    def is_telling(self) -> bool:
        """Whether a worker has still to be told of last ids."""
        return bool(self._untold)

    def forget_seat(self, worker_index: int) -> None:
        """Take back all channels of one that is no worker: those that it stood for have told theirs."""
        self._on_left(worker_index)

    def close(self) -> None:
        self._untold.clear()
        self._updates.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _on_channels(self, notice: ChannelsChanged) -> None:
        new, gone = self._subscribed.change(notice.worker_index, notice.added, notice.removed)
        self._forwarded.on_change(new, gone)
        self._close_channels(gone)
        if notice.updating and self.is_updating and not self.is_quiet:
            # To a new hub all that a worker had before is new, whoever told of it first.
            is_new_to_hub = not self._outlet.has_told(notice.worker_index)
            first = set(notice.updating).intersection(notice.added if is_new_to_hub else new)
            if first:
                self._updates.append((self._loop.time() + UPDATE_DELAY_S, list(first)))
                self._wake_for_updates()

    def _on_left(self, worker_index: int) -> None:
        self._untold.pop(worker_index, None)
        gone = self._subscribed.forget_worker(worker_index)
        self._forwarded.on_change((), gone)
        self._close_channels(gone)

    def _on_doubts(self, notice: IdsDoubted) -> None:
        forget = self._sequencer.forget
        self._tell_forget([channel for channel, last_id in notice.last_ids.items() if forget(channel, last_id)])

    def _close_channels(self, gone: list[str]) -> None:
        known, released = self._sequencer.clear(gone)
        self._outlet.publish_released(released)
        self._tell_forget(known)

    def _tell_forget(self, channels: list[str]) -> None:
        for start in range(0, len(channels), NAMES_MAX_COUNT):
            self._outlet.tell_forget(channels[start : start + NAMES_MAX_COUNT])

    # A worker that joins.

    def _on_joined(self, worker_index: int) -> None:
        rest = iter(list(self._sequencer.last_ids))
        self._untold[worker_index] = rest
        self._tell_last_ids(worker_index, rest)

    def _tell_last_ids(self, worker_index: int, rest: Iterator[str]) -> None:
        """Tell a part, as it is now: what changes later is told in its place."""
        if self._untold.get(worker_index) is not rest:
            return  # it left, and maybe its successor has joined
        if self._outlet.is_blocked:
            self._loop.call_later(RETRY_S, self._tell_last_ids, worker_index, rest)
            return
        last_ids, part = self._sequencer.last_ids, list(islice(rest, LAST_IDS_MAX_COUNT))
        known = [channel for channel in part if channel in last_ids]
        if known:
            self._outlet.tell_last_ids(worker_index, known, [last_ids[channel] for channel in known])
        if part:
            self._loop.call_soon(self._tell_last_ids, worker_index, rest)
        else:
            del self._untold[worker_index]
            self._outlet.tell_last_ids(worker_index, (), ())

    # First subscriptions.

    def _wake_for_updates(self) -> None:
        if self._timer is None and self._updates:
            delay_s = max(UPDATE_GAP_S, self._updates[0][0] - self._loop.time())
            self._timer = self._loop.call_later(delay_s, self._on_updates_due)

    def _on_updates_due(self) -> None:
        self._timer = None
        now, due = self._loop.time(), list[str]()
        while self._updates and self._updates[0][0] <= now and len(due) < NAMES_MAX_COUNT:
            due += [channel for channel in self._updates.popleft()[1] if channel in self._subscribed]
        if due:
            self._outlet.tell_stale(due)
        self._wake_for_updates()
