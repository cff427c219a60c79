"""The ZeroMQ inputs: what is taken, what is refused, and that a blocked bus makes publishers wait."""

import asyncio
import logging
from dataclasses import replace

import pytest
import zmq

from gripproxy.bus.channel_union import ChannelUnion
from gripproxy.bus.forwarded_channels import ForwardedChannels
from gripproxy.bus.watched_socket import AnySocket
from gripproxy.bus.worker_notice import ALL_ITEMS, SUBSCRIBE, encode_all_told, encode_join_topic
from gripproxy.bus.zmq_inputs import open_push_input, open_sub_input
from gripproxy.protocol.bus_message import HELLO, decode_message
from gripproxy.protocol.tnetstring import encode
from gripproxy.scoreboard import Field
from gripproxy.settings import Settings
from tests.bus.bench import BusBench
from tests.integration.readiness import is_readable

GOOD = b'J{"channel":"c","http-stream":{"content":"x"}}'


class Inputs:
    """Both inputs on socket files, in front of a bus with `workers` by hand."""

    def __init__(self, bench: BusBench) -> None:
        self.pull_spec = f"ipc://{bench.directory}/pull"
        self.sub_spec = f"ipc://{bench.directory}/sub"
        settings = replace(Settings(), push_in_spec=self.pull_spec, push_in_sub_specs=(self.sub_spec, "unused"))
        self.outlet = bench.outlet()
        self.row = bench.scoreboard.row(0)
        intake = bench.intake(self.outlet)
        self.channels = ForwardedChannels(bench.loop, ChannelUnion())
        loop, context = bench.loop, bench.zmq_context
        push_input = open_push_input(loop, context, settings, self.outlet, intake)
        bench.opened.callback(push_input.close)
        self.push_input = push_input
        self.pull = push_input._socket.zmq_socket
        bench.opened.callback(open_sub_input(loop, context, settings, self.outlet, intake, self.channels).close)
        bench.opened.callback(self.channels.close)


def push(bench: BusBench, spec: str) -> AnySocket:
    publisher = bench.socket(zmq.PUSH)
    publisher.connect(spec)
    return publisher


def join(bench: BusBench) -> AnySocket:
    """Join the bus by hand, as a worker that reads only when the test says so."""
    worker = bench.socket(zmq.XSUB)
    worker.setsockopt(zmq.RCVHWM, 1)
    worker.connect(f"ipc://{bench.bus_path}")
    worker.send(SUBSCRIBE + ALL_ITEMS)
    worker.send(SUBSCRIBE + encode_join_topic(0, 1))
    worker.send(encode_all_told(0))
    return worker


def test_push_takes_both_encodings_and_refuses_the_rest(bench: BusBench, caplog: pytest.LogCaptureFixture) -> None:
    """One bad frame is counted and logged, and the next good one still gets through."""
    inputs = Inputs(bench)
    publisher = push(bench, inputs.pull_spec)
    with caplog.at_level(logging.WARNING):
        publisher.send_multipart([GOOD, GOOD])
        publisher.send(b"J{")
        publisher.send(b"")
        publisher.send(GOOD)
        publisher.send(b"T" + encode({"channel": "c", "http-stream": {"content": "x"}}))
        bench.run_until(lambda: inputs.row[Field.ITEMS_RECEIVED] == 5)
    assert (inputs.row[Field.ITEMS_SENT], inputs.row[Field.ITEMS_REFUSED]) == (2, 3)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings[0] == "IN pull: received message with parts != 1, skipping"


def test_items_are_sent_at_the_end_of_their_batch(bench: BusBench) -> None:
    """They do not wait until the loop has turned."""
    inputs = Inputs(bench)
    worker = join(bench)
    bench.run(inputs.outlet.wait_joined({0}, 10))
    assert decode_message(worker.recv()).kind == HELLO
    push(bench, inputs.pull_spec).send(GOOD)
    assert inputs.pull.poll(10_000)
    inputs.push_input._read_batch()
    assert worker.poll(10_000)
    assert decode_message(worker.recv()).channels == ["c"]


def test_items_of_a_batch_keep_their_order(bench: BusBench) -> None:
    """The plainest go on together, and yet none overtakes another kind, or a message that is refused."""
    inputs = Inputs(bench)
    worker = join(bench)
    bench.run(inputs.outlet.wait_joined({0}, 10))
    assert decode_message(worker.recv()).kind == HELLO
    publisher = push(bench, inputs.pull_spec)
    large = b"x" * 40_000
    for number in range(150):
        channel = b"%d" % number
        if number % 7 == 3:
            publisher.send(b"T" + encode({"channel": channel, "http-stream": {"content": b"t"}}))
        elif number % 31 == 30:
            publisher.send_multipart([GOOD, GOOD])
        else:
            content = large if number % 40 < 5 else b"j"
            publisher.send(b'J{"channel":"%s","formats":{"http-stream":{"content":"%s"}}}' % (channel, content))
    channels: list[str] = []
    bench.run_until(lambda: inputs.row[Field.ITEMS_RECEIVED] == 150)
    while len(channels) < inputs.row[Field.ITEMS_SENT]:
        bench.run_until(lambda: bool(worker.poll(0)))
        channels += decode_message(worker.recv()).channels or []
    assert inputs.row[Field.ITEMS_REFUSED] == 4
    assert inputs.row[Field.ITEMS_PULL] == 150
    assert channels == [str(number) for number in range(150) if number % 7 == 3 or number % 31 != 30]


def test_sub_takes_the_channel_from_the_first_frame(bench: BusBench) -> None:
    """And drops what only matched as a prefix: nobody here has that channel."""
    inputs = Inputs(bench)
    publisher = bench.socket(zmq.XPUB)
    publisher.connect(inputs.sub_spec)
    inputs.channels.on_change(*inputs.channels.wanted.change(0, ["news"], []))
    bench.run_until(lambda: bool(publisher.poll(0)))
    assert publisher.recv() == b"\x01news"
    body = b'J{"channel":"other","http-stream":{"content":"x"}}'
    publisher.send_multipart([b"news2", body])
    publisher.send_multipart([b"news", b"x", b"y"])
    publisher.send(b"news")
    publisher.send_multipart([b"news", body])
    bench.run_until(lambda: inputs.row[Field.ITEMS_SENT] == 1)
    assert (inputs.row[Field.ITEMS_RECEIVED], inputs.row[Field.ITEMS_REFUSED]) == (3, 2)
    assert inputs.row[Field.ITEMS_UNREAD] == 1


def test_blocked_bus_makes_publishers_wait(bench: BusBench) -> None:
    """Nothing is dropped: what was pushed stays where it is until the worker reads again."""
    inputs = Inputs(bench)
    worker = join(bench)
    bench.run(inputs.outlet.wait_joined({0}, 10))
    publisher = push(bench, inputs.pull_spec)
    body = b'J{"channel":"c","http-stream":{"content":"%s"}}' % (b"x" * 2_000)
    pushed_count = 0
    while not inputs.outlet.is_blocked:
        publisher.send(body)
        pushed_count += 1
        bench.run_until(
            lambda count=pushed_count: inputs.outlet.is_blocked or inputs.row[Field.ITEMS_RECEIVED] == count
        )
    received_count = inputs.row[Field.ITEMS_RECEIVED]
    for _ in range(100):
        publisher.send(body)
    bench.run(asyncio.sleep(0.05))
    assert inputs.row[Field.ITEMS_RECEIVED] == received_count
    # A hub that waits must not spin: nothing wakes its loop again.
    bench.run_until(lambda: not is_readable(inputs.pull.fileno(), 0))
    items_count = 0
    while items_count < pushed_count + 100:
        bench.run_until(lambda: bool(worker.poll(0)))
        items_count += len(decode_message(worker.recv()).channels)
    assert inputs.row[Field.ITEMS_SENT] == pushed_count + 100
