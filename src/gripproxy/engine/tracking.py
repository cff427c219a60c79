"""What a hold keeps beyond its channels if its origin asked for more than that every item is sent."""

from dataclasses import dataclass, field

from gripproxy.protocol.filters import NETWORK_FILTERS, FilterContext, content_filters_of, filter_content
from gripproxy.protocol.instruct import Instruct
from gripproxy.protocol.network_filter import FilterRun
from gripproxy.protocol.publish_item import PublishItem


class Conflict(Exception):
    """The item does not follow the last one that the hold got on this channel."""


class Mismatch(Exception):
    """The item was made for other content filters than the hold's."""

    def __init__(self, actual: tuple[str, ...], assumed: tuple[str, ...]) -> None:
        super().__init__(mismatch_text(actual, assumed))


@dataclass(slots=True, eq=False)
class Tracking:
    """Ids, filters and meta of one hold. Channels have the names that the origin knows: without the route's prefix.

    `own` gives that name for a channel's full one; channels of the target's ``sub`` are not in it. `ids` are the ids
    of the last items of channels that are followed strictly. `names` is what ``require-sub`` compares with.
    """

    own: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    filters: dict[str, tuple[str, ...]] = field(default_factory=dict)
    meta: dict[str, str] = field(default_factory=dict)
    names: frozenset[str] = frozenset()

    def take(self, item: PublishItem, content: bytes, assumed: tuple[str, ...] | None) -> bytes | FilterRun | None:
        """Take an item on one of the hold's channels; give the content as this hold gets it, None if it does not.

        A `FilterRun` is for the caller to finish: a server has to be asked.

        Args:
            content: of the format that is for this hold.
            assumed: the content filters that the publisher assumed.

        Raises:
            Conflict: the channel is followed, and an item is missing between the last one and this.
            Mismatch: the content filters are others.
            FilterError: the content does not fit a filter.
        """
        name = self.own.get(item.channel)  # None for the target's own channel, which has neither id nor filters
        if not self.is_next(item):
            raise Conflict
        filters = () if name is None else self.filters.get(name, ())
        if assumed is not None and (actual := content_filters_of(filters)) != assumed:
            raise Mismatch(actual, assumed)
        is_asking = not NETWORK_FILTERS.isdisjoint(filters)
        last_ids = dict(self.ids) if is_asking else {}
        if name in self.ids:  # before the filters: `%I` is this item's id, as in Pushpin 1.36
            del self.ids[name]
            if item.id is not None:
                self.ids[name] = item.id
        if not filters:
            return content
        if not is_asking:
            return filter_content(filters, FilterContext(self.meta, item.meta, self.ids, self.names), content)
        context = FilterContext(dict(self.meta), item.meta, dict(self.ids), self.names)  # as they are now
        return FilterRun(filters, context, last_ids, content)

    @property
    def stands(self) -> dict[str, str]:
        """The ids by the full names of their channels."""
        return {channel: self.ids[name] for channel, name in self.own.items() if name in self.ids}

    def is_next(self, item: PublishItem) -> bool:
        """Whether no item is missing before this one, as far as its channel is followed."""
        name = self.own.get(item.channel)
        if name is None or name not in self.ids:
            return True
        return (item.prev_id or "") == self.ids[name]  # an empty id is before all others: nothing precedes the next


def mismatch_text(actual: tuple[str, ...], assumed: tuple[str, ...]) -> str:
    """Say to a client of a debug route why it did not get an item."""
    return f"content filter mismatch: subscription={','.join(actual)} message={','.join(assumed)}"


def track(instruct: Instruct, prefix: str, subs: tuple[str, ...], channels_max_count: int) -> Tracking | None:
    """Make what has to be kept of an instruct: None if its channels get every item as it is.

    Args:
        prefix: of the route, before the names of the instruct's channels.
        subs: the target's own channels.
    """
    channels = instruct.channels[:channels_max_count]
    if not any(channel.filters or channel.prev_id is not None for channel in channels):
        return None
    return Tracking(
        {prefix + channel.name: channel.name for channel in channels},
        {channel.name: channel.prev_id for channel in channels if channel.prev_id is not None},
        {channel.name: channel.filters for channel in channels if channel.filters},
        instruct.meta,
        frozenset([*subs, *[channel.name for channel in channels]]),
    )
