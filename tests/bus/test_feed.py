"""The worker's end of the bus: every item once, losses counted, and a new hub is joined and told everything."""

import pytest
import zmq

from gripproxy.bus.feed import Feed
from gripproxy.bus.outlet import Outlet
from gripproxy.bus.worker_notice import ChannelsChanged
from gripproxy.protocol.bus_message import Payload, encode_items, unpack_item
from gripproxy.scoreboard import Field
from tests.bus.bench import BusBench, stream_item


class Worker:
    """A feed and what came out of it."""

    def __init__(self, bench: BusBench, index: int) -> None:
        self.contents: list[bytes] = []
        self.row = bench.scoreboard.row(index + 1)

        def on_item(channel: str, payload: Payload) -> None:
            item = unpack_item(channel, payload)
            assert item.http_stream is not None
            self.contents.append(item.http_stream.content)

        self.feed = Feed(bench.bus_path, index, bench.loop, {"c"}, on_item, self.row)
        bench.opened.callback(self.feed.close)


def outlet_with_channels(bench: BusBench) -> tuple[Outlet, set[str]]:
    """Open a hub's end that keeps the channels that it was told of."""
    outlet, channels = bench.outlet(), set[str]()

    def on_channels(notice: ChannelsChanged) -> None:
        channels.update(notice.added)
        channels.difference_update(notice.removed)

    outlet.on_channels = on_channels
    return outlet, channels


def test_every_worker_gets_every_item_in_order(bench: BusBench) -> None:
    """Also more items than one batch, and than fit between hub and worker."""
    outlet = bench.outlet()
    workers = [Worker(bench, 0), Worker(bench, 1)]
    for worker in workers:
        bench.run(worker.feed.join(10))
    sent = [b"%d" % number for number in range(5_000)]
    for content in sent:
        outlet.publish(stream_item("c", content))
    for worker in workers:
        bench.run_until(lambda worker=worker: len(worker.contents) == len(sent))
        assert worker.contents == sent
        assert worker.row[Field.ITEMS_RECEIVED] == len(sent)
        assert worker.row[Field.BUS_GAPS] == 0


def test_worker_may_start_before_the_hub(bench: BusBench) -> None:
    """They are forked one after the other, and either may be late."""
    worker = Worker(bench, 0)
    with pytest.raises(OSError, match="the hub did not answer on .*bus within 0.01 s"):
        bench.run(worker.feed.join(0.01))
    bench.outlet()
    bench.run(worker.feed.join(10))


def test_channels_are_reported(bench: BusBench) -> None:
    """Changes within one turn of the loop make one report of where it ended."""
    _, channels = outlet_with_channels(bench)
    feed = Worker(bench, 0).feed
    feed.subscribe("a")
    feed.subscribe("b")
    feed.unsubscribe("b")
    bench.run_until(lambda: channels == {"a"})
    feed.unsubscribe("a")
    bench.run_until(lambda: not channels)


def test_new_hub_is_joined_and_told_all_channels(bench: BusBench) -> None:
    """A restarted hub knows nothing; the worker's clients are still there."""
    outlet, channels = outlet_with_channels(bench)
    worker = Worker(bench, 0)
    names = {f"channel {number}" for number in range(12_000)}  # more than one report holds
    for name in names:
        worker.feed.subscribe(name)
    bench.run_until(lambda: channels == names)
    outlet.publish(stream_item("c", b"from the first hub"))
    bench.run_until(lambda: bool(worker.contents))
    outlet.close()
    worker.feed.unsubscribe("channel 7")
    names.discard("channel 7")

    second, channels = outlet_with_channels(bench)
    assert bench.run(second.wait_joined({0}, 10)) == set()
    bench.run_until(lambda: channels == names)
    second.publish(stream_item("c", b"from the second hub"))
    bench.run_until(lambda: len(worker.contents) == 2)
    assert worker.row[Field.BUS_GAPS] == 0


def test_lost_items_are_counted(bench: BusBench) -> None:
    """Nothing is lost silently."""
    hub = bench.socket(zmq.XPUB)
    hub.bind(f"ipc://{bench.bus_path}")
    worker = Worker(bench, 0)
    assert hub.recv() == b"\x01"
    for sequence in (4, 5, 9):
        hub.send(encode_items(7, sequence, ["c"], [b"x"]))
    bench.run_until(lambda: len(worker.contents) == 3)
    assert worker.row[Field.BUS_GAPS] == 3


def test_only_what_is_wanted_is_handed_out(bench: BusBench) -> None:
    """The rest of a message is counted and not unpacked, or its damage would be noticed."""
    hub = bench.socket(zmq.XPUB)
    hub.bind(f"ipc://{bench.bus_path}")
    worker = Worker(bench, 0)
    assert hub.recv() == b"\x01"
    damaged = [b"\xc1"]
    hub.send(encode_items(7, 0, ["a", "b"], [damaged, damaged]))
    hub.send(encode_items(7, 2, ["a", "c", "d", "c"], [damaged, b"0", damaged, b"1"]))
    bench.run_until(lambda: len(worker.contents) == 2)
    assert worker.contents == [b"0", b"1"]
    assert worker.row[Field.ITEMS_RECEIVED] == 6
    assert worker.row[Field.INTERNAL_ERRORS] == 0


def test_damaged_item_takes_no_other_with_it(bench: BusBench) -> None:
    """It is counted; the items that travel in the same message are delivered, and so are those behind it."""
    hub = bench.socket(zmq.XPUB)
    hub.bind(f"ipc://{bench.bus_path}")
    worker = Worker(bench, 0)
    assert hub.recv() == b"\x01"
    hub.send(encode_items(7, 0, ["c"] * 3, [b"0", [b"\xc1"], b"2"]))
    hub.send(b"\xc1")
    hub.send(encode_items(7, 3, ["c"], [b"3"]))
    bench.run_until(lambda: len(worker.contents) == 3)
    assert worker.contents == [b"0", b"2", b"3"]
    assert worker.row[Field.INTERNAL_ERRORS] == 2
    assert worker.row[Field.BUS_GAPS] == 0
