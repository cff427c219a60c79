"""The seat that stands for the old hub; all else about an arrival is tested with real hubs."""

from dataclasses import replace

from gripproxy.bus.channel_union import ChannelUnion
from gripproxy.bus.hub_arrival import OLD_HUB
from gripproxy.settings import WORKERS_MAX_COUNT, Settings


def test_old_hub_has_no_workers_seat() -> None:
    """Its channels are taken back when the old workers have told theirs, and no channel of a worker with them."""
    settings = Settings()
    seats = {
        replace(settings, generation=generation).seat_of(index)
        for generation in (0, 1)
        for index in (0, WORKERS_MAX_COUNT - 1)
    }
    assert OLD_HUB not in seats
    union = ChannelUnion()
    union.change(OLD_HUB, ["both", "old"], ())
    union.change(max(seats), ["both"], ())
    assert union.forget_worker(OLD_HUB) == ["old"]
    assert "both" in union
