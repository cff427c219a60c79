"""What the items of the publish rate are."""

from benchmarks.publish_rate import ITEMS_PER_MARK, Marked


class Recorder:
    """Keeps the channels of what it was given."""

    def __init__(self) -> None:
        self.channels: list[int] = []

    def publish(self, channel: int, at_ns: int = 0) -> None:
        self.channels.append(channel)

    def close(self) -> None:
        """Nothing to close."""


def test_the_item_that_is_heard_is_the_last_of_its_lot() -> None:
    """When it arrives, all before it have been taken in: the rate counts them."""
    recorder = Recorder()
    Marked(recorder).publish(0)
    assert len(recorder.channels) == ITEMS_PER_MARK
    assert recorder.channels[-1] == 0
    assert 0 not in recorder.channels[:-1]
