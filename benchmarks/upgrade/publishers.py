"""Publishers that number their items: half of the channels get theirs by ZeroMQ PUSH, the others by HTTP."""

import http.client
import json
import time
from functools import partial
from multiprocessing.connection import Connection
from typing import Protocol

from benchmarks.c1m.forked import Forked
from benchmarks.errors import BenchmarkError
from benchmarks.item_mark import ITEM_MIN_BYTES
from benchmarks.item_publisher import ZmqPublisher
from benchmarks.upgrade.numbered_item import encode_event

LINGER_MS = 20_000
POST_LIMIT_S = 30.0
PAUSE_LIMIT_S = 60.0


class Way(Protocol):
    """How items are handed over."""

    def send(self, channel: int, event: str) -> None:
        """Hand one over; raises OSError when it is not known to have been taken. It is not sent again."""


class PushWay:
    """A PUSH socket, which keeps for a while what it cannot send."""

    def __init__(self, spec: str) -> None:
        self._socket = ZmqPublisher(spec, 0, ITEM_MIN_BYTES, LINGER_MS)

    def send(self, channel: int, event: str) -> None:
        """See Way."""
        try:
            self._socket.send(b"J" + json.dumps(_item(channel, event, "formats")).encode())
        except BenchmarkError as error:
            raise OSError(str(error)) from error


class PostWay:
    """One POST for each item, on a connection of its own."""

    def __init__(self, port: int) -> None:
        self._port = port

    def send(self, channel: int, event: str) -> None:
        """See Way."""
        body = json.dumps({"items": [_item(channel, event)]})
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=POST_LIMIT_S)
        try:
            connection.request("POST", "/publish/", body, {"Connection": "close"})
            answer = connection.getresponse()
            answer.read()
        except http.client.HTTPException as error:
            raise OSError(repr(error)) from error
        finally:
            connection.close()
        if answer.status != 200:
            raise OSError(f"status {answer.status}")


class Publishers:
    """Both of them, as processes; `rate` items a second together, to one of the channels after the other."""

    def __init__(self, push_spec: str, control_port: int, channels: int, rate: float) -> None:
        self._channels = channels
        ways = [(partial(PushWay, push_spec), "PUSH"), (partial(PostWay, control_port), "HTTP")]
        self._processes = [
            Forked(f"publisher {name}", partial(_run, way, range(number, channels, len(ways)), rate / len(ways)))
            for number, (way, name) in enumerate(ways)
            if number < channels
        ]
        self.failures: list[str] = []  # by now

    def publish(self, phase: int) -> None:
        """Publish from now on, or say another phase in the items from now on."""
        for process in self._processes:
            process.pipe.send(phase)

    def pause(self) -> list[int]:
        """Publish no more; gives how many items each channel has had.

        Raises:
            BenchmarkError: a publisher does not stop.
        """
        counts = [0] * self._channels
        self.failures = []
        self.publish(-1)
        for process in self._processes:
            if not process.pipe.poll(PAUSE_LIMIT_S):
                raise BenchmarkError(f"{process.name} does not come to an end with an item")
            numbers, failures = process.pipe.recv()
            self.failures += failures
            for channel, number in numbers.items():
                counts[channel] = number
        return counts

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.close()


def _item(channel: int, event: str, formats: str | None = None) -> dict[str, object]:
    content = {"http-stream": {"content": event}}
    return {"channel": f"c{channel}", **({formats: content} if formats else content)}


def _run(open_way: "partial[Way]", channels: range, rate: float, orders: Connection) -> None:
    """Publish as told by phases; -1 is to pause, which is answered with the numbers, and what has failed since."""
    way = open_way()
    numbers = dict.fromkeys(channels, 0)
    failures: list[str] = []
    turn, phase, due_s = 0, -1, time.monotonic()
    while True:
        wait_s = None if phase < 0 else max(0.0, due_s - time.monotonic())
        if orders.poll(wait_s):
            if phase < 0:
                due_s = time.monotonic()
            phase = orders.recv()
            if phase < 0:
                orders.send((dict(numbers), failures))
                failures = []
            continue
        channel = channels[turn % len(channels)]
        turn += 1
        try:
            way.send(channel, encode_event(channel, numbers[channel], phase, int(due_s * 1e9)))
        except OSError as error:
            failures.append(str(error))
        numbers[channel] += 1
        due_s += 1 / rate
