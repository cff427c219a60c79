"""The id of the last item of each channel: what tells whether a client's hold begins where the channel stands."""

LAST_IDS_MAX_COUNT = 1_000_000  # channels, same as Pushpin


class LastIds(dict[str, str]):
    """Channel name -> id of the last item that was released on it, the channels used longest ago first."""

    def note(self, channel: str, item_id: str | None) -> None:
        """Take over a released item: its id is the channel's last now, and an item without one leaves it unknown."""
        self.pop(channel, None)
        if item_id is None:
            return
        if len(self) >= LAST_IDS_MAX_COUNT:
            del self[next(iter(self))]
        self[channel] = item_id
