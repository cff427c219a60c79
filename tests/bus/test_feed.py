"""The worker's end of the bus: every item once, losses counted, and a new hub is joined and told everything."""

import pytest
import zmq

from gripproxy.bus.bus_position import BusPosition
from gripproxy.bus.feed import Feed, Reader
from gripproxy.bus.outlet import Outlet
from gripproxy.bus.worker_notice import ChannelsChanged, IdsDoubted, decode_notice
from gripproxy.protocol.bus_message import (
    UNTOUCHED,
    Payload,
    encode_forget,
    encode_hello,
    encode_items,
    encode_last_ids,
    encode_stale,
    unpack_item,
)
from gripproxy.protocol.last_ids import LastIds
from gripproxy.protocol.receipt import Receipt, receipt_number
from gripproxy.scoreboard import Field
from tests.bus.bench import BusBench, publish, reader_of, stream_item


class Worker:
    """A feed and what came out of it."""

    def __init__(self, bench: BusBench, index: int) -> None:
        self.contents: list[bytes] = []
        self.row = bench.scoreboard.row(index + 1)

        def on_item(channel: str, payload: Payload, receipt: object) -> None:
            item = unpack_item(channel, payload)
            assert item.http_stream is not None
            self.contents.append(item.http_stream.content)

        self.stale: list[list[str] | None] = []
        self.reader = Reader({"c"}, LastIds(), on_item, self.stale.append)
        self.feed = Feed(bench.bus_path, index, bench.loop, self.reader, self.row)
        bench.opened.callback(self.feed.close)


def test_every_worker_gets_every_item_in_order(bench: BusBench) -> None:
    """Also more items than one batch, and than fit between hub and worker."""
    outlet = bench.hub().outlet
    workers = [Worker(bench, 0), Worker(bench, 1)]
    for worker in workers:
        bench.run(worker.feed.join(10))
    sent = [b"%d" % number for number in range(5_000)]
    for content in sent:
        publish(outlet, stream_item("c", content))
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
    bench.hub()
    bench.run(worker.feed.join(10))


def test_worker_has_joined_when_it_knows_all_last_ids(bench: BusBench) -> None:
    """A client whose hold begins before would not be told that items have passed it by."""
    hub = bench.socket(zmq.XPUB)
    hub.bind(f"ipc://{bench.bus_path}")
    feed = Worker(bench, 0).feed
    assert hub.recv() == b"\x01"
    hub.send(encode_last_ids(7, 0, 0, (), ()))  # for the process before this one: the hello comes first
    hub.send(encode_hello(7, 0, 0))
    hub.send(encode_last_ids(7, 0, 1, ["a"], ["its sibling's"]))
    hub.send(encode_last_ids(7, 0, 1, (), ()))
    hub.send(encode_last_ids(7, 0, 0, ["b"], ["1"]))
    bench.run_until(lambda: bool(feed.last_ids))
    with pytest.raises(OSError, match="the hub did not answer"):
        bench.run(feed.join(0.01))
    hub.send(encode_last_ids(7, 0, 0, (), ()))
    bench.run(feed.join(10))
    assert feed.last_ids == {"b": "1"}


def test_channels_are_reported(bench: BusBench) -> None:
    """Changes within one turn of the loop make one report of where it ended."""
    hub = bench.hub()
    feed = Worker(bench, 0).feed
    feed.subscribe("a")
    feed.subscribe("b")
    feed.unsubscribe("b")
    bench.run_until(lambda: set(hub.subscribed) == {"a"})
    feed.unsubscribe("a")
    bench.run_until(lambda: not set(hub.subscribed))


def test_report_says_which_channels_can_be_updated(bench: BusBench) -> None:
    """A channel that is subscribed twice keeps what either wanted, and one that was left keeps nothing."""
    hub = bench.socket(zmq.XPUB)
    hub.bind(f"ipc://{bench.bus_path}")
    feed = Worker(bench, 1).feed
    hub.recv(), hub.recv()
    feed.subscribe("a", True)
    feed.subscribe("a")
    feed.subscribe("b")
    feed.subscribe("c", True)
    feed.unsubscribe("c")
    feed.subscribe("c")
    bench.run_until(lambda: bool(hub.poll(0)))
    assert decode_notice(hub.recv()) == ChannelsChanged(1, ["a", "b", "c"], [], ["a"])


def test_doubts_of_one_turn_are_one_notice(bench: BusBench) -> None:
    """Each of a thousand clients may find the same id wrong. Here it is forgotten at once: their retries must pass."""
    hub = bench.socket(zmq.XPUB)
    hub.bind(f"ipc://{bench.bus_path}")
    feed = Worker(bench, 1).feed
    hub.recv(), hub.recv()
    feed.last_ids.update({"a": "1", "b": "2"})
    feed.forget_id("a", "1")
    feed.forget_id("a", "1")
    feed.forget_id("b", "older")
    assert feed.last_ids == {"b": "2"}
    bench.run_until(lambda: bool(hub.poll(0)))
    assert decode_notice(hub.recv()) == IdsDoubted(1, {"a": "1", "b": "older"})
    assert not hub.poll(0)


def test_new_hub_is_joined_and_told_all_channels(bench: BusBench) -> None:
    """A restarted hub knows nothing; the worker's clients are still there."""
    hub = bench.hub()
    worker = Worker(bench, 0)
    names = {f"channel {number}" for number in range(12_000)}  # more than one report holds
    for name in names:
        worker.feed.subscribe(name)
    bench.run_until(lambda: set(hub.subscribed) == names)
    publish(hub.outlet, stream_item("c", b"from the first hub"))
    bench.run_until(lambda: bool(worker.contents))
    hub.close()
    worker.feed.unsubscribe("channel 7")
    names.discard("channel 7")

    second = bench.hub()
    assert bench.run(second.outlet.wait_joined({0}, 10)) == set()
    assert set(second.subscribed) == names  # before it opens its inputs
    publish(second.outlet, stream_item("c", b"from the second hub"))
    bench.run_until(lambda: len(worker.contents) == 2)
    assert worker.row[Field.BUS_GAPS] == 0


def test_last_ids_stay_when_the_hub_is_replaced(bench: BusBench) -> None:
    """To forget what the old hub released last could miss an item; to keep it costs one request at most."""
    hub = bench.hub()
    worker = Worker(bench, 0)
    worker.feed.subscribe("c")
    bench.run_until(lambda: "c" in hub.subscribed)
    hub.intake.accept([stream_item("c", b"", "1")])
    bench.run_until(lambda: worker.reader.last_ids == {"c": "1"})
    hub.close()
    second = bench.hub()
    bench.run(second.outlet.wait_joined({0}, 10))
    publish(second.outlet, stream_item("c", b"marker"))
    bench.run_until(lambda: worker.contents == [b"", b"marker"])
    assert worker.reader.last_ids == {"c": "1"}
    second.intake.accept([stream_item("c", b"", "2", "1")])
    bench.run_until(lambda: worker.reader.last_ids == {"c": "2"})


def test_id_is_noted_when_its_item_has_its_turn(bench: BusBench) -> None:
    """A hold that is made between two items of a message still gets the second: its id has not passed the hold by."""
    hub = bench.socket(zmq.XPUB)
    hub.bind(f"ipc://{bench.bus_path}")
    last_ids = LastIds()
    seen: list[tuple[Payload, dict[str, str]]] = []

    def on_item(channel: str, payload: Payload, receipt: object) -> None:
        seen.append((payload, dict(last_ids)))
        if payload == b"2":
            feed.pause()

    feed = Feed(bench.bus_path, 0, bench.loop, reader_of({"c"}, on_item, last_ids), bench.scoreboard.row(1))
    bench.opened.callback(feed.close)
    assert hub.recv() == b"\x01"
    ids = ["10", "11", UNTOUCHED, None, "14"]
    hub.send(encode_items(7, 0, ["c", "other", "c", "c", "c"], [b"0", b"1", b"2", b"3", b"4"], ids))
    hub.send(encode_items(7, 5, ["other"], [b"5"], ["15"]))
    hub.send(encode_items(7, 6, ["other"], [b"6"]))
    bench.run_until(lambda: len(seen) == 2)
    bench.turn()
    assert seen == [(b"0", {"c": "10"}), (b"2", {"c": "10", "other": "11"})]
    assert last_ids == {"c": "10", "other": "11"}
    feed.resume()
    bench.run_until(lambda: last_ids.get("other") == "15")
    assert seen[2:] == [(b"3", {"other": "11"}), (b"4", {"other": "11", "c": "14"})]


def test_receipts_are_for_those_who_ask(bench: BusBench) -> None:
    """For the items that the hub asks about, wanted here or not, or for all while somebody looks at all."""
    hub = bench.socket(zmq.XPUB)
    hub.bind(f"ipc://{bench.bus_path}")
    seen: list[tuple[str, int | None]] = []

    def on_item(channel: str, payload: Payload, receipt: Receipt | None) -> None:
        seen.append((channel, None if receipt is None else receipt.number))

    def on_unwanted(receipt: Receipt) -> None:
        seen.append(("unwanted", receipt.number))

    reader = Reader({"c"}, LastIds(), on_item, [].append, on_unwanted)

    def number(sequence: int) -> int:
        return receipt_number(7, sequence)

    feed = Feed(bench.bus_path, 0, bench.loop, reader, bench.scoreboard.row(1))
    bench.opened.callback(feed.close)
    assert hub.recv() == b"\x01"
    three = ["c", "other", "c"], [b"0", b"1", b"2"]
    none = ["x", "y"], [b"0", b"1"]
    hub.send(encode_items(7, 0, *three))
    hub.send(encode_items(7, 3, *three, asked=[1, 2]))
    hub.send(encode_items(7, 6, *none))
    hub.send(encode_items(7, 8, *none, asked=[1]))
    bench.run_until(lambda: len(seen) == 6)
    none_asked = [("c", None), ("c", None), ("c", None)]
    assert seen == [*none_asked, ("unwanted", number(4)), ("c", number(5)), ("unwanted", number(9))]
    seen.clear()
    feed.is_asked_for_all = True
    hub.send(encode_items(7, 10, *three))
    hub.send(encode_items(7, 13, *none))
    bench.run_until(lambda: len(seen) == 5)
    places = [("c", 10), ("unwanted", 11), ("c", 12), ("unwanted", 13), ("unwanted", 14)]
    assert seen == [(name, number(sequence)) for name, sequence in places]


def test_stale_channels_are_handed_on_if_they_are_wanted(bench: BusBench) -> None:
    """None of them is not all of them."""
    hub = bench.socket(zmq.XPUB)
    hub.bind(f"ipc://{bench.bus_path}")
    worker = Worker(bench, 0)
    assert hub.recv() == b"\x01"
    hub.send(encode_stale(7, 0, ["a", "c"]))
    hub.send(encode_stale(7, 0, ["a"]))
    hub.send(encode_stale(7, 0, []))
    hub.send(encode_stale(7, 0, None))
    hub.send(encode_stale(7, 0, ["c"]))
    bench.run_until(lambda: worker.stale[1:].count(["c"]) == 1)
    assert worker.stale == [["c"], None, ["c"]]


def test_last_ids_are_forgotten_one_by_one_or_all(bench: BusBench) -> None:
    """A channel that is not known stays so."""
    hub = bench.socket(zmq.XPUB)
    hub.bind(f"ipc://{bench.bus_path}")
    worker = Worker(bench, 0)
    assert hub.recv() == b"\x01"
    last_ids = worker.reader.last_ids
    last_ids.update({"a": "1", "b": "2", "c": "3"})
    hub.send(encode_forget(7, 0, ["a", "x"]))
    bench.run_until(lambda: last_ids == {"b": "2", "c": "3"})
    hub.send(encode_forget(7, 0, None))
    bench.run_until(lambda: not last_ids)


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


def test_what_a_killed_hub_took_with_it_is_counted(bench: BusBench) -> None:
    """Its successor says how many were sent in all: those of which nothing came are lost, and only once."""
    hub = bench.socket(zmq.XPUB)
    hub.bind(f"ipc://{bench.bus_path}")
    worker = Worker(bench, 0)
    assert hub.recv() == b"\x01"
    hub.send(encode_hello(7, 0, 0, 100))  # sent before this worker was there
    hub.send(encode_items(7, 0, ["c", "c"], [b"0", b"1"]))
    bench.run_until(lambda: len(worker.contents) == 2)
    assert (worker.row[Field.ITEMS_MISSED], worker.row[Field.BUS_GAPS]) == (100, 0)
    hub.send(encode_hello(8, 0, 0, 107))
    hub.send(encode_hello(8, 0, 0, 107))
    hub.send(encode_items(8, 0, ["c"], [b"2"]))
    bench.run_until(lambda: len(worker.contents) == 3)
    assert (worker.row[Field.ITEMS_MISSED], worker.row[Field.BUS_GAPS], worker.row[Field.ITEMS_RECEIVED]) == (100, 5, 3)


def test_message_is_handled_when_its_last_item_is(bench: BusBench) -> None:
    """What the hub counts as sent before this worker was there counts as handled."""
    hub = bench.socket(zmq.XPUB)
    hub.bind(f"ipc://{bench.bus_path}")
    handled: list[bool] = []

    def on_item(channel: str, payload: Payload, receipt: object) -> None:
        handled.append(feed.has_handled(104))

    feed = Feed(bench.bus_path, 0, bench.loop, reader_of({"c"}, on_item, LastIds()), bench.scoreboard.row(1))
    bench.opened.callback(feed.close)
    assert hub.recv() == b"\x01"
    hub.send(encode_hello(7, 0, 0, 100))
    hub.send(encode_items(7, 0, ["other", "other"], [b"0", b"1"]))
    bench.run_until(lambda: feed.has_handled(102))
    assert not feed.has_handled(103)
    hub.send(encode_items(7, 2, ["c", "c"], [b"2", b"3"]))
    bench.run_until(lambda: feed.has_handled(104))
    assert handled == [False, False]


def test_each_new_hub_is_announced(bench: BusBench) -> None:
    """Who tells the hub things has to tell each one from the beginning."""
    hub = bench.socket(zmq.XPUB)
    hub.bind(f"ipc://{bench.bus_path}")
    feed = Worker(bench, 0).feed
    hubs: list[None] = []
    feed.on_new_hub = lambda: hubs.append(None)
    assert hub.recv() == b"\x01"
    for epoch in (7, 8):
        hub.send(encode_hello(epoch, 0, 0))
    bench.run_until(lambda: len(hubs) == 2)


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


def test_end_of_a_message_is_told_once_if_anything_in_it_was_wanted(bench: BusBench) -> None:
    """By it the time is measured that items took; a message of others' items is none of ours."""
    hub = bench.socket(zmq.XPUB)
    hub.bind(f"ipc://{bench.bus_path}")
    done: list[int] = []
    contents: list[Payload] = []

    def on_item(channel: str, payload: Payload, receipt: object) -> None:
        contents.append(payload)

    reader = Reader({"c"}, LastIds(), on_item, lambda names: None, on_message_done=done.append)
    feed = Feed(bench.bus_path, 0, bench.loop, reader, bench.scoreboard.row(1))
    bench.opened.callback(feed.close)
    assert hub.recv() == b"\x01"
    hub.send(encode_items(7, 0, ["other"], [b"0"], (), 1_000))
    hub.send(encode_items(7, 1, ["c", "other", "c"], [b"1", b"2", b"3"], (), 2_000))
    hub.send(encode_items(7, 4, ["c"], [b"4"], (), 3_000))
    bench.run_until(lambda: len(contents) == 3 and len(done) == 2)
    assert done == [2_000, 3_000]


def test_feed_stops_between_two_messages(bench: BusBench) -> None:
    """There two workers can move a connection: one has sent it all up to here, the other sends all from here."""
    hub = bench.socket(zmq.XPUB)
    hub.bind(f"ipc://{bench.bus_path}")
    worker = Worker(bench, 0)
    stops: list[BusPosition] = []
    worker.feed.stop_at(BusPosition(7, 5, 0), lambda: stops.append(worker.feed.position))
    bench.run_until(lambda: len(stops) == 1)  # no hub has been joined, so there is no way to get there
    hub.recv(), hub.recv()
    hub.send(encode_items(7, 0, ["c", "c"], [b"1", b"2"]))
    hub.send(encode_items(7, 2, ["other"], [b""]))
    hub.send(encode_items(7, 3, ["c", "c", "c"], [b"3", b"4", b"5"]))
    hub.send(encode_stale(7, 6, ["c"]))
    hub.send(encode_items(7, 6, ["c"], [b"6"]))
    worker.feed.stop_at(BusPosition(7, 3, 0), lambda: stops.append(worker.feed.position))
    bench.run_until(lambda: len(stops) == 2)
    assert (worker.contents, stops[1]) == ([], BusPosition(None, 0, None))
    worker.feed.go_on()
    bench.run_until(lambda: len(worker.contents) == 6)
    hub.send(encode_items(7, 7, ["c", "c"], [b"7", b"8"]))
    hub.send(encode_items(7, 9, ["c"], [b"9"]))
    hub.send(encode_stale(7, 10, ["c"]))
    hub.send(encode_items(7, 10, ["c"], [b"10"]))
    worker.feed.stop_at(BusPosition(7, 8, 0), lambda: stops.append(worker.feed.position))
    bench.run_until(lambda: len(stops) == 3)
    assert stops[2] == BusPosition(7, 9, 0)  # the end of the message that it lies in
    worker.feed.stop_at(BusPosition(7, 10, 1), lambda: stops.append(worker.feed.position))
    bench.run_until(lambda: len(stops) == 4)
    assert (stops[3], worker.contents[-1], worker.stale) == (BusPosition(7, 10, 1), b"9", [["c"], ["c"]])
    worker.feed.resume()  # which is not why it waits
    bench.turn()
    assert worker.contents[-1] == b"9"
    worker.feed.go_on()
    bench.run_until(lambda: worker.contents[-1] == b"10")


def test_feed_that_is_paused_stops_when_its_message_has_had_its_turn(bench: BusBench) -> None:
    """An item of a message that was begun must not be taken for one that a moved connection still gets."""
    hub = bench.socket(zmq.XPUB)
    hub.bind(f"ipc://{bench.bus_path}")
    worker = Worker(bench, 0)
    hub.recv(), hub.recv()
    on_item, stops = worker.feed._on_item, list[BusPosition]()

    def pause_at_first(channel: str, payload: Payload, receipt: Receipt | None) -> None:
        on_item(channel, payload, receipt)
        if worker.contents == [b"1"]:
            worker.feed.pause()

    worker.feed._on_item = pause_at_first
    hub.send(encode_items(7, 0, ["c", "c"], [b"1", b"2"]))
    hub.send(encode_items(7, 2, ["c"], [b"3"]))
    bench.run_until(lambda: worker.contents == [b"1"])
    worker.feed.stop_at(None, lambda: stops.append(worker.feed.position))
    for _ in range(5):
        bench.turn()
    assert (worker.contents, stops) == ([b"1"], [])
    worker.feed.resume()
    bench.run_until(lambda: bool(stops))
    assert (worker.contents, stops) == ([b"1", b"2"], [BusPosition(7, 2, 0)])


def test_worker_goes_where_its_hub_has_moved(bench: BusBench) -> None:
    """It misses nothing, and comes back when there is a hub at its own path again."""
    worker, told = Worker(bench, 0), list[str]()
    worker.feed.on_moved = told.append
    first = bench.hub().outlet
    bench.run(worker.feed.join(10))
    publish(first, stream_item("c", b"1"))
    second = Outlet(bench.loop, bench.zmq_context, f"{bench.bus_path}.1", 2, bench.scoreboard.row(2))
    second.take_over([0], 1)
    bench.opened.callback(second.close)
    first.tell_moved(f"{bench.bus_path}.1", "telemetry.1")
    publish(first, stream_item("c", b"never"))
    bench.run(second.wait_joined({0}, 10))
    publish(second, stream_item("c", b"2"))
    bench.run_until(lambda: worker.contents == [b"1", b"2"])
    assert (told, worker.row[Field.BUS_GAPS]) == (["telemetry.1"], 0)
    first.close()
    third = Outlet(bench.loop, bench.zmq_context, bench.bus_path, 2, bench.scoreboard.row(2))
    bench.opened.callback(third.close)
    bench.run(third.wait_joined({0}, 10))
    bench.run_until(lambda: not second.has_joined(0))
    publish(third, stream_item("c", b"3"))
    bench.run_until(lambda: worker.contents == [b"1", b"2", b"3"])
    assert told == ["telemetry.1", ""]
