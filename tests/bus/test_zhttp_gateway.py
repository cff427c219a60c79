"""The hub between workers and zhttp origins: whose request is whose, and who is told when somebody is gone."""

import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from gripproxy.bus import zhttp_gateway, zhttp_sockets
from gripproxy.bus.zhttp_gateway import ZhttpGateway, open_gateway
from gripproxy.bus.zhttp_sockets import NO_ORIGIN
from gripproxy.bus.zhttp_wire import (
    CLOSE,
    DECLARE,
    HELLO,
    OPEN,
    PACKET,
    REFUSED,
    SEND,
    MessageReader,
    encode_message,
)
from gripproxy.protocol.zhttp import encode_packet
from gripproxy.scoreboard import Field
from tests.bus.bench import BusBench


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Origins are joined here when a test says so: no time must pass."""
    monkeypatch.setattr(zhttp_sockets, "SETTLE_S", 0.0)


class Worker:
    """A worker's end of the connection."""

    def __init__(self, bench: BusBench) -> None:
        self.bench = bench
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(f"{bench.directory}/zhttp")
        self.socket.setblocking(False)
        self.reader = MessageReader()
        self.messages: list[list[Any]] = []
        ((kind, self.instance),) = self.receive()
        assert kind == HELLO

    def send(self, kind: int, *values: object) -> None:
        self.socket.sendall(encode_message(kind, *values))

    def pump(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.messages += self.reader.feed(self.socket.recv(1_000_000))

    def receive(self) -> list[list[Any]]:
        """Wait for at least one message."""

        def is_here() -> bool:
            self.pump()
            return bool(self.messages)

        self.bench.run_until(is_here)
        messages, self.messages = self.messages, []
        return messages


class Origin:
    """One ROUTER and one PULL socket; answers go over the ROUTER."""

    def __init__(self, bench: BusBench, spec: str, instance: bytes) -> None:
        self.bench = bench
        self.instance = instance
        self.router = bench.socket(zmq.ROUTER)
        self.router.setsockopt(zmq.ROUTING_ID, b"wk")
        self.router.connect(f"{spec}-out-stream")
        self.pull = bench.socket(zmq.PULL)
        self.pull.connect(f"{spec}-out")
        while not self.router.poll(10):  # until it is joined
            self.router.send_multipart([instance, b"probe"])
            bench.turn()
        while self.router.poll(10):
            self.router.recv_multipart()
            bench.turn()

    def request(self) -> bytes:
        self.bench.run_until(lambda: bool(self.pull.poll(0)))
        return self.pull.recv()

    def packet(self) -> bytes:
        self.bench.run_until(lambda: bool(self.router.poll(0)))
        return self.router.recv_multipart()[-1]

    def say(self, **values: object) -> bytes:
        message = encode_packet({"from": b"wk", **values})
        self.router.send_multipart([self.instance, b"", message])
        return message


class Scene:
    """A gateway, two workers that name one spec, and an origin there."""

    def __init__(self, bench: BusBench) -> None:
        self.bench = bench
        self.spec = f"ipc://{bench.directory}/z"
        self.row = bench.scoreboard.row(0)
        self.gateway: ZhttpGateway = bench.run(
            open_gateway(bench.loop, bench.zmq_context, f"{bench.directory}/zhttp", self.row)
        )
        bench.opened.callback(self.gateway.close)
        self.one, self.two = Worker(bench), Worker(bench)
        for worker in (self.one, self.two):
            worker.send(DECLARE, [(self.spec, False, None)])
        bench.run_until(lambda: self.spec in self.gateway.sockets)
        self.origin = Origin(bench, self.spec, self.one.instance)

    def open(self, worker: Worker, name: bytes) -> None:
        worker.send(OPEN, self.spec, False, name, b"T" + name)
        assert self.origin.request() == b"T" + name

    def settle(self) -> None:
        """Let everything that is under way arrive."""
        for _ in range(20):
            self.bench.turn()
            self.origin.router.poll(1)


@pytest.fixture
def scene(bench: BusBench) -> Iterator[Scene]:
    made = Scene(bench)
    yield made
    for worker in (made.one, made.two):
        worker.socket.close()
    assert made.row[Field.INTERNAL_ERRORS] == 0


def cancel(scene: Scene, name: bytes, seq: int) -> bytes:
    return encode_packet({"from": scene.one.instance, "id": name, "seq": seq, "type": b"cancel"})


def test_answers_go_to_the_worker_that_asked(scene: Scene) -> None:
    """All origins answer to the same sockets."""
    scene.open(scene.one, b"a")
    scene.open(scene.two, b"b")
    answer = scene.origin.say(id=b"b", seq=0, code=200)
    assert scene.two.receive() == [[PACKET, answer]]
    answer = scene.origin.say(id=b"a", seq=0, code=200)
    assert scene.one.receive() == [[PACKET, answer]]
    scene.one.send(SEND, [b"a"], b"Tlater")
    assert scene.origin.packet() == b"Tlater"
    assert scene.two.messages == []


def test_packet_for_many_goes_to_each_worker_once(scene: Scene) -> None:
    """A keep-alive may be for requests of several workers."""
    for worker, name in ((scene.one, b"a"), (scene.one, b"b"), (scene.two, b"c")):
        scene.open(worker, name)
    ids = [{"id": name, "seq": 0} for name in (b"a", b"b", b"c", b"unknown")]
    message = scene.origin.say(id=ids, type=b"keep-alive")
    assert scene.one.receive() == [[PACKET, message]]
    assert scene.two.receive() == [[PACKET, message]]


def test_request_without_an_origin_is_refused(scene: Scene) -> None:
    """And one to sockets that are not there, or are for the other kind of requests."""
    spec = f"ipc://{scene.bench.directory}/other"
    scene.one.send(OPEN, spec, False, b"a", b"T")
    assert scene.one.receive() == [[REFUSED, b"a", f"the sockets of {spec} are not open", True]]
    scene.one.send(OPEN, scene.spec, True, b"a", b"T")
    assert scene.one.receive() == [[REFUSED, b"a", f"the sockets of {scene.spec} are not open", True]]
    scene.one.send(DECLARE, [(scene.spec, False, None), (spec, False, None)])
    scene.one.send(OPEN, spec, False, b"a", b"T")
    assert scene.one.receive() == [[REFUSED, b"a", NO_ORIGIN, True]]
    assert scene.row[Field.ZHTTP_REFUSED] == 3
    assert scene.gateway.requests == {}


def test_invalid_packet_is_counted_and_ignored(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """The request goes on as if it had not come."""
    scene.open(scene.one, b"a")
    scene.origin.say(id=b"a", seq=0, code=b"200")
    answer = scene.origin.say(id=b"a", seq=0, code=200)
    assert scene.one.receive() == [[PACKET, answer]]
    assert scene.row[Field.ZHTTP_INVALID] == 1
    assert "zhttp packet ignored: " in caplog.text and "code is not of type int" in caplog.text


def test_requests_of_a_worker_that_is_gone_are_cancelled(scene: Scene) -> None:
    """At once where the origin is known, with the number that is next; else as soon as it answers."""
    for name in (b"a", b"b"):
        scene.open(scene.one, name)
    scene.open(scene.two, b"c")
    scene.origin.say(id=b"a", seq=0, type=b"keep-alive")
    scene.one.receive()
    scene.one.send(SEND, [b"a"], b"Tlater")
    assert scene.origin.packet() == b"Tlater"
    scene.one.socket.close()
    assert scene.origin.packet() == cancel(scene, b"a", 2)
    scene.origin.say(id=b"b", seq=0, code=200)
    assert scene.origin.packet() == cancel(scene, b"b", 1)
    assert list(scene.gateway.requests) == [b"c"]
    answer = scene.origin.say(id=b"c", seq=0, code=200)
    assert scene.two.receive() == [[PACKET, answer]]


def test_origin_is_told_of_a_request_that_was_left(scene: Scene) -> None:
    """And not of one that has come to its end."""
    for name in (b"a", b"b"):
        scene.open(scene.one, name)
        scene.origin.say(id=name, seq=0, code=200)
        scene.one.receive()
    scene.one.send(CLOSE, b"a", False)
    scene.one.send(CLOSE, b"b", True)
    scene.one.send(CLOSE, b"unknown", True)
    assert scene.origin.packet() == cancel(scene, b"b", 1)
    assert scene.gateway.requests == {}
    assert scene.gateway.sockets[scene.spec].requests_count == 0


def test_request_that_nobody_answers_is_forgotten(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its origin has died with it."""
    scene.open(scene.one, b"a")
    scene.one.send(CLOSE, b"a", True)
    scene.bench.run_until(lambda: scene.gateway.requests[b"a"].link is None)
    scene.gateway._on_check()
    assert list(scene.gateway.requests) == [b"a"]
    monkeypatch.setattr(zhttp_gateway, "ORPHAN_MAX_S", -1.0)
    scene.gateway._on_check()
    assert scene.gateway.requests == {}


def test_worker_that_does_not_read_loses_its_requests(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for it is bounded, and the others go on."""
    monkeypatch.setattr(zhttp_gateway, "WORKER_BEHIND_MAX_BYTES", 100_000)
    scene.open(scene.one, b"a")
    scene.open(scene.two, b"b")
    seq = 0
    while b"a" in scene.gateway.requests:
        scene.origin.say(id=b"a", seq=seq, body=b"x" * 50_000)
        seq += 1
        assert seq < 200
        scene.settle()
    assert scene.origin.packet() == cancel(scene, b"a", 1)
    assert scene.row[Field.ZHTTP_REFUSED] == 1
    answer = scene.origin.say(id=b"b", seq=0, code=200)
    assert scene.two.receive() == [[PACKET, answer]]
    messages: list[list[Any]] = []
    while not messages or messages[-1][0] == PACKET:
        messages += scene.one.receive()
    assert messages[-1] == [REFUSED, b"a", "this worker is too far behind", False]


def test_sockets_stay_as_long_as_they_are_used(scene: Scene) -> None:
    """A request keeps the route that it began with."""
    scene.open(scene.one, b"a")
    for worker in (scene.one, scene.two):
        worker.send(DECLARE, [])
    scene.bench.run_until(lambda: not any(link.uses for link in scene.gateway._links))
    scene.gateway._on_check()
    assert scene.spec in scene.gateway.sockets
    scene.one.send(CLOSE, b"a", False)
    scene.bench.run_until(lambda: not scene.gateway.requests)
    scene.gateway._on_check()
    assert scene.gateway.sockets == {}


def test_spec_that_is_used_otherwise_gets_other_sockets(scene: Scene) -> None:
    """Routes may be changed so; a check does it once the old ones are idle."""
    scene.open(scene.one, b"a")
    scene.one.send(CLOSE, b"a", True)  # its origin has not answered yet
    for worker in (scene.one, scene.two):
        worker.send(DECLARE, [(scene.spec, True, 0o660)])
    scene.bench.run_until(lambda: all(link.uses[scene.spec].is_zhttpreq for link in scene.gateway._links))
    assert not scene.gateway.sockets[scene.spec].use.is_zhttpreq
    scene.gateway._on_check()
    assert scene.gateway.sockets[scene.spec].use.is_zhttpreq
    assert os.stat(f"{scene.bench.directory}/z").st_mode & 0o777 == 0o660
    assert scene.gateway.requests == {}


def test_address_that_is_taken_is_tried_again(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """Another program may be about to leave it."""
    taken = socket.create_server(("127.0.0.1", 0))
    spec = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
    scene.one.send(DECLARE, [(scene.spec, False, None), (spec, True, None)])
    scene.bench.run_until(lambda: f"zhttp target {spec}: address already in use" in caplog.text)
    taken.close()
    scene.gateway._on_check()
    assert spec in scene.gateway.sockets


def test_bug_ends_no_other_request(scene: Scene) -> None:
    """A message that cannot be handled is skipped."""
    scene.one.send(99)
    scene.open(scene.one, b"a")
    assert scene.row[Field.INTERNAL_ERRORS] == 1
    scene.row[Field.INTERNAL_ERRORS] = 0


def test_only_our_own_user_may_connect(scene: Scene) -> None:
    """Whoever may could read and answer other workers' requests."""
    assert os.stat(f"{scene.bench.directory}/zhttp").st_mode & 0o777 == 0o600
