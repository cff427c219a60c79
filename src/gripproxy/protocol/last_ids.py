"""The id of the last item of each channel: what tells whether a client's hold begins where the channel stands."""

from itertools import islice

LAST_IDS_MAX_COUNT = 1_000_000  # channels, same as Pushpin


class LastIds(dict[str, str]):
    """Channel name -> id of the last item that was released on it, the channels used longest ago first."""

    def note(self, channel: str, item_id: str | None) -> None:
        """Take over a released item: its id is the channel's last now, and an item without one leaves it unknown."""
        self.pop(channel, None)
        if item_id is None:
            return
        if len(self) >= LAST_IDS_MAX_COUNT:
            # Some at once: to find a dict's first entry takes as long as there were entries before it.
            for oldest in list(islice(self, len(self) // 1000 + 1)):
                del self[oldest]
        self[channel] = item_id
