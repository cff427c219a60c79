"""The hub's end of the bus: hellos, numbering, what a full worker causes, and who left."""

import zmq

from gripproxy.bus import outlet as outlet_module
from gripproxy.bus.worker_notice import (
    ALL_ITEMS,
    SUBSCRIBE,
    ChannelsChanged,
    IdsDoubted,
    WorkerJoined,
    encode_all_told,
    encode_channels,
    encode_doubts,
    encode_join_topic,
)
from gripproxy.protocol.bus_message import (
    FORGET,
    HELLO,
    ITEMS,
    LAST_IDS,
    STALE,
    UNTOUCHED,
    decode_message,
    unpack_item,
)
from gripproxy.protocol.bus_parts import PART_MAX_BYTES, MessageJoiner
from gripproxy.protocol.receipt import receipt_number
from gripproxy.scoreboard import Field
from tests.bus.bench import BusBench, publish, stream_item


def join(bench: BusBench, worker_index: int, pid: int, rcvhwm: int = 1000, is_told: bool = True) -> "zmq.Socket[bytes]":
    """Join the bus by hand, as a worker without channels that reads only when the test says so."""
    xsub = bench.socket(zmq.XSUB)
    xsub.setsockopt(zmq.RCVHWM, rcvhwm)
    xsub.connect(f"ipc://{bench.bus_path}")
    xsub.send(SUBSCRIBE + ALL_ITEMS)
    xsub.send(SUBSCRIBE + encode_join_topic(worker_index, pid))
    if is_told:
        xsub.send(encode_all_told(worker_index))
    return xsub


def test_joined_worker_gets_a_hello_and_then_every_item(bench: BusBench) -> None:
    """The hello's number is the next item's: a worker knows from where on it misses nothing."""
    outlet = bench.outlet()
    publish(outlet, stream_item("before", b""))
    bench.turn()
    worker = join(bench, 1, pid=5)
    assert bench.run(outlet.wait_joined({1}, timeout_s=10)) == set()
    publish(outlet, stream_item("news", b"hi"))
    bench.turn()
    hello, items = [decode_message(worker.recv()) for _ in range(2)]
    assert (hello.kind, hello.worker_index, hello.sequence, hello.epoch) == (HELLO, 1, 1, outlet.epoch)
    assert (items.channels, items.sequence, items.epoch) == (["news"], 1, outlet.epoch)
    assert bench.scoreboard.row(0)[Field.ITEMS_SENT] == 2


def test_items_of_one_turn_share_a_message(bench: BusBench) -> None:
    """ZeroMQ costs more per message than an item does; no item waits for more than its turn of the loop."""
    outlet = bench.outlet()
    worker = join(bench, 0, pid=5)
    bench.run(outlet.wait_joined({0}, timeout_s=10))
    bench.turn()
    assert decode_message(worker.recv()).kind == HELLO
    for number in range(outlet_module.MESSAGE_MAX_COUNT + 3):
        publish(outlet, stream_item("c", b"%d" % number))
    bench.turn()
    first, second = [decode_message(worker.recv()) for _ in range(2)]
    assert (first.sequence, len(first.channels)) == (0, outlet_module.MESSAGE_MAX_COUNT)
    assert (second.sequence, len(second.channels)) == (outlet_module.MESSAGE_MAX_COUNT, 3)


def test_items_before_a_hello_are_sent_before_it(bench: BusBench) -> None:
    """The hello says which number is next: an older item behind it would count as lost first."""
    outlet = bench.outlet()
    worker = join(bench, 0, pid=5)
    bench.run(outlet.wait_joined({0}, timeout_s=10))
    outlet.publish_packed("c", b"", 0)
    outlet._handle(WorkerJoined(1, b"topic"))
    outlet.publish_packed("c", b"", 0)
    bench.turn()
    messages = [decode_message(worker.recv()) for _ in range(4)]
    assert [(message.worker_index, message.sequence) for message in messages] == [(0, 0), (None, 0), (1, 1), (None, 1)]


def test_content_and_items_go_in_order(bench: BusBench) -> None:
    """There are two ways to publish, and one order."""
    outlet = bench.outlet()
    worker = join(bench, 0, pid=5)
    bench.run(outlet.wait_joined({0}, timeout_s=10))
    outlet.publish_packed("a", b"1", 1)
    publish(outlet, stream_item("b", b"2"))
    outlet.publish_packed("c", b"3", 1)
    bench.turn()
    worker.recv()
    message = decode_message(worker.recv())
    assert message.channels is not None
    items = map(unpack_item, message.channels, message.payloads)
    assert list(items) == [stream_item("a", b"1"), stream_item("b", b"2"), stream_item("c", b"3")]


def test_receipts_of_another_hub_have_other_numbers(bench: BusBench) -> None:
    """A worker may tell of a killed hub's item when its successor has sent one with the same place in the order."""
    outlet = bench.outlet()
    assert outlet.publish_packed("c", b"", 0) == receipt_number(outlet.epoch, 0)
    assert outlet.publish_packed("c", b"", 0) == receipt_number(outlet.epoch, 1)
    assert receipt_number(outlet.epoch, 0) != receipt_number(outlet.epoch + 1, 0)


def test_batch_is_sent_at_its_end(bench: BusBench) -> None:
    """Its items share a message, and those that come later wait for the turn of the loop again."""
    outlet = bench.outlet()
    worker = join(bench, 0, pid=5)
    bench.run(outlet.wait_joined({0}, timeout_s=10))
    worker.recv()
    outlet.begin_batch()
    for _ in range(3):
        outlet.publish_packed("c", b"", 0)
    outlet.end_batch()
    assert worker.poll(10_000)
    assert len(decode_message(worker.recv()).channels) == 3
    outlet.publish_packed("c", b"", 0)
    bench.turn()
    assert decode_message(worker.recv()).sequence == 3


def test_ids_travel_with_the_items_that_set_them(bench: BusBench) -> None:
    """One for each item, or none at all: most messages have nothing to say about them."""
    outlet = bench.outlet()
    worker = join(bench, 0, pid=5)
    bench.run(outlet.wait_joined({0}, timeout_s=10))
    worker.recv()
    for channel, noted_id in (("a", UNTOUCHED), ("b", "1"), ("c", UNTOUCHED), ("d", None), ("e", UNTOUCHED)):
        outlet.publish_packed(channel, b"", 0, noted_id)
    bench.turn()
    outlet.publish_packed("f", b"", 0)
    bench.turn()
    assert decode_message(worker.recv()).ids == [UNTOUCHED, "1", UNTOUCHED, None, UNTOUCHED]
    assert decode_message(worker.recv()).ids == []


def test_what_is_told_of_channels_is_in_order_with_the_items(bench: BusBench) -> None:
    """An id that is set after it was forgotten is known, and not the other way round."""
    outlet = bench.outlet()
    worker = join(bench, 0, pid=5)
    bench.run(outlet.wait_joined({0}, timeout_s=10))
    worker.recv()
    outlet.publish_packed("a", b"", 0, "1")
    outlet.tell_forget(["a"])
    outlet.publish_packed("a", b"", 0, "2")
    outlet.tell_stale(None)
    outlet.publish_packed("a", b"", 0, "3")
    outlet.tell_last_ids(0, ["a"], ["3"])
    messages = [decode_message(worker.recv()) for _ in range(6)]
    assert [(message.kind, message.sequence) for message in messages] == [
        (ITEMS, 0),
        (FORGET, 1),
        (ITEMS, 1),
        (STALE, 2),
        (ITEMS, 2),
        (LAST_IDS, 3),
    ]
    assert [message.channels for message in messages] == [["a"], ["a"], ["a"], None, ["a"], ["a"]]


def test_worker_that_has_not_told_its_channels_is_waited_for(bench: BusBench) -> None:
    """A restarted hub must know who listens before it takes items: it orders them only on such channels."""
    outlet = bench.outlet()
    joined: list[int] = []
    outlet.on_joined = joined.append
    worker = join(bench, 1, pid=5, is_told=False)
    bench.run_until(lambda: joined == [1])
    assert bench.run(outlet.wait_joined({1}, timeout_s=0.01)) == {1}
    worker.send(encode_all_told(1))
    assert bench.run(outlet.wait_joined({1}, timeout_s=10)) == set()
    join(bench, 1, pid=6, is_told=False)
    bench.run_until(lambda: joined == [1, 1])
    assert bench.run(outlet.wait_joined({1}, timeout_s=0.01)) == {1}


def test_doubts_reach_the_hub(bench: BusBench) -> None:
    """They are forgotten for all workers."""
    outlet = bench.outlet()
    doubts: list[IdsDoubted] = []
    outlet.on_doubts = doubts.append
    join(bench, 1, pid=5).send(encode_doubts(1, {"a": "7"}))
    bench.run_until(lambda: bool(doubts))
    assert doubts == [IdsDoubted(1, {"a": "7"})]


def test_missing_workers_are_named(bench: BusBench) -> None:
    """A hub that restarts waits for the workers that serve, but not for ever."""
    outlet = bench.outlet()
    join(bench, 0, pid=5)
    bench.run(outlet.wait_joined({0}, timeout_s=10))
    assert bench.run(outlet.wait_joined({0, 1}, timeout_s=0.01)) == {1}


def test_full_worker_blocks_the_bus_and_nothing_is_lost(bench: BusBench) -> None:
    """Publishers wait; the other worker, and the full one once it reads again, get every item in order."""
    outlet = bench.outlet()
    resumed: list[bool] = []
    outlet.on_unblocked.append(lambda: resumed.append(outlet.is_blocked))
    full, ready = join(bench, 0, pid=1, rcvhwm=1), join(bench, 1, pid=2)
    bench.run(outlet.wait_joined({0, 1}, timeout_s=10))
    sent_count = 0
    while not outlet.is_blocked:
        publish(outlet, stream_item("c", b"x" * 70_000))
        sent_count += 1
        while ready.poll(0):
            ready.recv()
    assert sent_count > outlet_module.MESSAGES_HWM / 2
    publish(outlet, stream_item("c", b"last"))
    sequences: list[int] = []
    while len(sequences) < sent_count + 1:
        bench.run_until(lambda: bool(full.poll(0)))
        message = decode_message(full.recv())
        sequences += range(message.sequence, message.sequence + len(message.channels))
    assert sequences == list(range(sent_count + 1))
    bench.run_until(lambda: not outlet.is_blocked)
    assert resumed == [False]


def test_overfull_outlet_says_so(bench: BusBench) -> None:
    """Control requests are turned away before the memory is full: large items take the places of many messages."""
    outlet = bench.outlet()
    join(bench, 0, pid=1, rcvhwm=1)
    bench.run(outlet.wait_joined({0}, timeout_s=10))
    item = stream_item("c", b"x" * 1_000_000)
    count = 0
    while not outlet.is_overfull:
        publish(outlet, item)
        count += 1
    assert outlet.is_blocked
    bound_bytes = outlet_module.MESSAGES_HWM * PART_MAX_BYTES + outlet_module.WAITING_MAX_BYTES
    assert 10 < count <= bound_bytes // 1_000_000 + 10


def test_large_item_goes_in_parts_and_keeps_its_place(bench: BusBench) -> None:
    """No other item gets between them, or past them, blocked bus or not."""
    outlet = bench.outlet()
    worker, joiner = join(bench, 0, pid=1, rcvhwm=1), MessageJoiner()
    bench.run(outlet.wait_joined({0}, timeout_s=10))
    assert joiner.take(worker.recv()) is not None
    large_count = 0
    while not outlet.is_blocked:
        publish(outlet, stream_item("c", b"x" * 1_000_000))
        publish(outlet, stream_item("c", b"small"))
        large_count += 1
    messages, parts_count = [], 0
    while len(messages) < 2 * large_count:
        bench.run_until(lambda: bool(worker.poll(0)))
        parts_count += 1
        if (whole := joiner.take(worker.recv())) is not None:
            message = decode_message(whole)
            messages += [(message.sequence + place, len(whole)) for place in range(len(message.channels or ()))]
    assert [sequence for sequence, _ in messages] == list(range(2 * large_count))
    assert parts_count > 8 * large_count


def test_channel_reports_reach_the_hub(bench: BusBench) -> None:
    """They are forwarded to publishers."""
    outlet = bench.outlet()
    reports: list[ChannelsChanged] = []
    outlet.on_channels = reports.append
    worker = join(bench, 1, pid=5)
    worker.send(encode_channels(1, ["a"], ["b"]))
    bench.run_until(lambda: bool(reports))
    assert reports == [ChannelsChanged(1, ["a"], ["b"])]


def test_notice_whose_edge_a_send_swallowed_is_read(bench: BusBench) -> None:
    """Sending also takes the socket's edge, and no second one comes."""
    outlet = bench.outlet()
    reports: list[ChannelsChanged] = []
    outlet.on_channels = reports.append
    worker = join(bench, 1, pid=5)
    bench.run(outlet.wait_joined({1}, timeout_s=10))
    bench.turn()
    worker.send(encode_channels(1, ["a"], []))
    xpub = outlet._socket.zmq_socket
    while not int(xpub.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
        pass
    bench.turn()
    assert reports == []
    outlet.begin_batch()
    outlet.publish_packed("c", b"", 0)
    outlet.end_batch()
    bench.turn()
    assert reports == [ChannelsChanged(1, ["a"], [])]


def test_worker_that_is_gone_is_forgotten_unless_replaced(bench: BusBench) -> None:
    """The end of the old process may be seen after the start of the new one, whose channels must stay."""
    outlet = bench.outlet()
    left: list[int] = []
    outlet.on_left = left.append
    old = join(bench, 1, pid=5)
    bench.run_until(lambda: left == [1])  # a join starts from nothing
    new = join(bench, 1, pid=6)
    bench.run_until(lambda: left == [1, 1])
    old.close(0)
    other = join(bench, 0, pid=7)
    bench.run_until(lambda: left == [1, 1, 0])
    new.close(0)
    bench.run_until(lambda: left == [1, 1, 0, 1])
    other.close(0)
    bench.run_until(lambda: left == [1, 1, 0, 1, 0])


def test_foreign_notice_is_counted_and_does_not_stop_the_bus(bench: BusBench) -> None:
    """Whatever connects there by mistake."""
    outlet = bench.outlet()
    stranger = bench.socket(zmq.XSUB)
    stranger.connect(f"ipc://{bench.bus_path}")
    stranger.send(b"\x02nonsense")
    stranger.send(encode_channels(77, ["a"], []))
    row = bench.scoreboard.row(0)
    bench.run_until(lambda: row[Field.INTERNAL_ERRORS] == 2)
    join(bench, 0, pid=5)
    assert bench.run(outlet.wait_joined({0}, timeout_s=10)) == set()


def test_process_that_is_gone_is_told_once_and_one_that_joins_is_not_gone(bench: BusBench) -> None:
    """Its successor may join before its own connection is found broken."""
    outlet, gone = bench.outlet(), list[int]()
    outlet.on_gone.append(gone.append)
    first = join(bench, 1, pid=5)
    bench.run(outlet.wait_joined({1}, timeout_s=10))
    assert (gone, set(outlet.joined)) == ([], {1})
    second = join(bench, 1, pid=6)
    bench.run_until(lambda: gone == [1])
    first.close(0)
    third = join(bench, 0, pid=7)
    bench.run(outlet.wait_joined({0}, timeout_s=10))
    assert (gone, set(outlet.joined)) == ([1], {0, 1})
    second.close(0)
    bench.run_until(lambda: gone == [1, 1])
    third.close(0)
    bench.run_until(lambda: gone == [1, 1, 0])
    assert not outlet.joined
