"""WebSocket clients of zhttp targets, with an origin that the test speaks for."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gripproxy.bus.zhttp_wire import CLOSE as HUB_CLOSE
from gripproxy.bus.zhttp_wire import SEND
from gripproxy.engine.timer_wheel import TICK_S
from gripproxy.protocol.websocket_frame import BINARY, CLOSE, PING, PONG, TEXT, Frame, encode_masked_frame
from gripproxy.protocol.websocket_handshake import accept_of
from gripproxy.protocol.websocket_reader import FrameReader
from gripproxy.protocol.zhttp import CREDITS_BYTES
from gripproxy.protocol.zhttp_stream import KEEP_ALIVE_S, SILENT_MAX_S
from gripproxy_worker.zhttp_socket import PACKETS_MAX_COUNT, UNSENT_MAX_BYTES, ZhttpSocket
from tests.worker.bench import Client, WorkerBench
from tests.worker.test_zhttp_client import pass_time
from tests.worker.zhttp_hub import Hub, zhttp_bench

ROUTE = "* zhttp/ipc:///x"
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = (
    b"GET /a?b HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n\r\n"
)
GRIP = [[b"Sec-WebSocket-Extensions", b"grip"]]
NORMAL = b"\x03\xe8"


def masked(opcode: int, payload: bytes = b"", is_final: bool = True) -> bytes:
    return encode_masked_frame(opcode, payload, is_final, os.urandom(4))


class Talk:
    """A client whose handshake an origin has accepted, and that origin. `frames` are what the client got."""

    def __init__(self, bench: WorkerBench, hub: Hub, accept: dict[str, Any], receive_bytes: int | None) -> None:
        self.bench, self.hub = bench, hub
        self.client: Client = bench.client(HANDSHAKE, receive_bytes)
        self.first = hub.opened()
        self.name: bytes = self.first[b"id"]
        self.origin_says(code=101, reason=b"Fine", **accept)
        bench.until(lambda: b"\r\n\r\n" in self.client.received)
        self.head, _, rest = bytes(self.client.received).partition(b"\r\n\r\n")
        self.client.received[:] = rest

    def origin_says(self, **values: Any) -> None:
        self.hub.origin_says(self.name, **values)

    @property
    def frames(self) -> list[Frame]:
        reader = FrameReader(False)
        frames = reader.feed(bytes(self.client.received))
        assert reader.error is None
        return frames

    def until_frames(self, *frames: Frame) -> None:
        self.bench.until(lambda: len(self.frames) >= len(frames))
        assert self.frames == list(frames)

    def until_in_time(self, condition: Callable[[], bool]) -> None:
        """Turn the loop until `condition` holds, with ticks of the clock as they are waited for."""
        (socket,) = self.sockets()
        now = self.bench.loop.time()

        def is_so() -> bool:
            nonlocal now
            if socket.slot is not None:
                now += TICK_S
                socket.on_deadline(now)
            return condition()

        self.bench.until(is_so)

    def sockets(self) -> list[ZhttpSocket]:
        """Give what the worker has of it."""
        return [conn for conn in self.bench.driver.pool.zhttp._conns.values() if isinstance(conn, ZhttpSocket)]


@contextmanager
def talk(receive_bytes: int | None = None, route: str = ROUTE, **accept: Any) -> Iterator[Talk]:
    """Let a client and an origin talk; at the end nothing of it may be left in the worker."""
    with zhttp_bench(route) as (bench, hub):
        yield Talk(bench, hub, {"credits": 1000, **accept}, receive_bytes)
        bench.until(lambda: not bench.driver.web_sockets.origins)


def test_handshake() -> None:
    """The origin is asked as for any WebSocket; how HTTP agrees to it is not its business."""
    with talk(headers=[[b"X", b"y"], *GRIP]) as said:
        headers = dict(said.first[b"headers"])
        assert said.first[b"uri"] == b"ws://h/a?b" and b"method" not in said.first
        assert headers[b"Sec-WebSocket-Extensions"] == b"grip" and headers[b"Sec-WebSocket-Version"] == b"13"
        agreed = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept_of(KEY)
        assert said.head == b"HTTP/1.1 101 Fine\r\nX: y\r\n" + agreed
        said.client.close()
        assert said.hub.closed(said.name) is True, "the origin would not know that the client has left"


def test_messages_both_ways_and_grip() -> None:
    """Control messages do not reach the client, the others lose their prefix."""
    with talk(headers=GRIP) as said:
        said.client.send(masked(TEXT, b"up") + masked(BINARY, b"up too") + masked(PING, b"p"))
        packets = [said.hub.sent() for _ in range(3)]
        assert [packet.get(b"content-type") for packet in packets] == [b"text", b"binary", None]
        assert [packet[b"body"] for packet in packets] == [b"up", b"up too", b"p"]
        said.origin_says(body=b'c:{"type": "subscribe", "channel": "news"}')
        said.origin_says(body=b"m:down")
        said.origin_says(body=b"m:down too", **{"content-type": b"binary"})
        said.origin_says(type=b"pong", body=b"p")
        said.until_frames(Frame(TEXT, b"down"), Frame(BINARY, b"down too"), Frame(PONG, b"p"))
        said.client.close()
        assert said.hub.closed(said.name) is True


def test_control_message_right_behind_the_acceptance() -> None:
    """It is there before the client has got its 101."""
    with zhttp_bench(ROUTE) as (bench, hub):
        client = bench.client(HANDSHAKE)
        name = hub.opened()[b"id"]
        hub.origin_says(name, code=101, headers=GRIP)
        hub.origin_says(name, body=b"m:early")
        bench.until(lambda: client.received.endswith(b"\r\n\r\n\x81\x05early"))
        client.close()
        assert hub.closed(name) is True


def test_origin_refuses() -> None:
    """Its response is the client's."""
    with zhttp_bench(ROUTE) as (bench, hub):
        client = bench.client(HANDSHAKE)
        name = hub.opened()[b"id"]
        refusal = {"type": b"error", "condition": b"rejected", "code": 403, "reason": b"No", "headers": [[b"X", b"y"]]}
        hub.origin_says(name, **refusal, body=b"no")
        bench.until(lambda: client.is_closed)
        assert bytes(client.received).startswith(b"HTTP/1.1 403 No\r\nX: y\r\n")
        assert bytes(client.received).endswith(b"Content-Length: 2\r\n\r\nno")
        assert hub.closed(name) is False


def test_no_origin_leads_to_the_next_target() -> None:
    """As where a connection is refused."""
    with zhttp_bench("*,debug zhttp/ipc:///x zhttp/ipc:///y") as (bench, hub):
        client = bench.client(HANDSHAKE)
        for _ in range(2):
            name = hub.opened()[b"id"]
            hub.origin_says(name, type=b"error", condition=b"connection-timeout")
            assert hub.closed(name) is False
        bench.until(lambda: client.is_closed)
        assert client.received.endswith(b"Unable to connect to any targets. Tried: zhttp/ipc:///x, zhttp/ipc:///y\n")


def test_nobody_takes_the_request() -> None:
    """As for other requests, that is no reason to ask another target."""
    with zhttp_bench("* zhttp/ipc:///x zhttp/ipc:///y") as (bench, hub):
        client = bench.client(HANDSHAKE)
        hub.refuse(hub.opened()[b"id"], "nobody is there")
        bench.until(lambda: client.is_closed)
        assert client.received.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
        assert hub.messages == []


def test_client_closes_first() -> None:
    """It gets the origin's answer, and the origin needs no more to be told."""
    with talk() as said:
        said.client.send(masked(CLOSE, b"\x03\xe9bye"))
        packet = said.hub.sent()
        assert (packet[b"type"], packet[b"code"], packet[b"body"]) == (b"close", 1001, b"bye")
        said.origin_says(type=b"close", code=1001, body=b"ok")
        said.until_frames(Frame(CLOSE, b"\x03\xe9ok"))
        assert said.hub.closed(said.name) is False
        said.bench.until(lambda: said.client.is_closed)


def test_client_closes_without_a_code() -> None:
    """A packet has none either: it is not for us to say."""
    with talk() as said:
        said.client.send(masked(CLOSE, b""))
        packet = said.hub.sent()
        assert packet[b"type"] == b"close" and b"code" not in packet
        said.origin_says(type=b"close")
        said.until_frames(Frame(CLOSE, NORMAL))
        said.bench.until(lambda: said.client.is_closed)


def test_origin_closes_first() -> None:
    """The client's answer goes to it."""
    with talk() as said:
        said.origin_says(type=b"close", code=1001, body=b"bye")
        said.until_frames(Frame(CLOSE, b"\x03\xe9bye"))
        said.client.send(masked(CLOSE, b"\x03\xe9"))
        packet = said.hub.sent()
        assert (packet[b"type"], packet[b"code"]) == (b"close", 1001) and b"body" not in packet
        assert said.hub.closed(said.name) is False
        said.bench.until(lambda: said.client.is_closed)


@pytest.mark.parametrize("is_answered", [True, False])
def test_detached_client_stays(is_answered: bool) -> None:
    """Its origin gets a close, and so long to answer."""
    with talk(headers=GRIP) as said:
        said.origin_says(body=b'c:{"type": "detach"}')
        packet = said.hub.sent()
        assert packet[b"type"] == b"close" and b"code" not in packet
        if is_answered:
            said.origin_says(type=b"close")
        else:
            (socket,) = said.sockets()
            assert socket.slot is not None
            socket.on_deadline(0.0)
        assert said.hub.closed(said.name) is not is_answered
        said.bench.until(lambda: not said.bench.driver.web_sockets.origins)
        said.client.send(masked(CLOSE, NORMAL))
        said.until_frames(Frame(CLOSE, NORMAL))


@pytest.mark.parametrize("ending", [{"type": b"cancel"}, {"type": b"error", "condition": b"disconnected"}, {"seq": 77}])
def test_origin_breaks_off(ending: dict[str, Any]) -> None:
    """The client gets no close frame, as if the origin's own connection had broken."""
    with talk() as said:
        said.origin_says(**ending)
        said.bench.until(lambda: said.client.is_closed)
        assert said.frames == []
        assert said.hub.closed(said.name) is ("seq" in ending)


def test_hub_is_lost() -> None:
    """Its origins cannot be reached any more: clients come again."""
    with talk() as said:
        said.hub.sides[0].transport.abort()
        said.bench.until(lambda: said.client.is_closed)
        assert said.frames == []


def test_silent_origin_is_given_up_and_a_living_one_told_that_it_is_wanted() -> None:
    """Both by the clock alone."""
    with talk() as said:
        pass_time(said.bench, KEEP_ALIVE_S)
        assert said.hub.sent()[b"type"] == b"keep-alive"
        pass_time(said.bench, SILENT_MAX_S)
        said.bench.until(lambda: said.client.is_closed)
        assert said.hub.closed(said.name) is True


def test_client_is_read_as_far_as_credits_go() -> None:
    """What waits for them is bounded, and arrives whole in the end."""
    with talk(credits=10) as said:
        sock, size = said.client.sock, 16_000
        message = masked(BINARY, b"x" * size)
        unsent, count = b"", 0
        idle_turns_count = 0
        while idle_turns_count < 50:
            unsent = unsent or message
            try:
                sent = sock.send(unsent)
            except BlockingIOError:
                idle_turns_count += 1
            else:
                idle_turns_count = 0
                count += sent == len(unsent)
                unsent = unsent[sent:]
            said.bench.turn()
        (socket,) = said.sockets()
        assert not socket.is_writable
        assert socket._session.unsent_bytes < 3 * UNSENT_MAX_BYTES
        received = 0
        while received < count * size:
            said.origin_says(type=b"credit", credits=size)
            said.until_in_time(lambda: bool(said.hub.messages))
            received += len(said.hub.sent()[b"body"])
        said.client.close()
        said.until_in_time(lambda: bool(said.hub.messages) and said.hub.messages[-1][0] == HUB_CLOSE)


def test_flood_of_pings_waits_for_its_time() -> None:
    """Empty ones need no credits; other clients need the origin's queue, too."""
    count = 20 * PACKETS_MAX_COUNT
    with talk() as said:
        said.client.send(masked(PING) * count)
        (socket,) = said.sockets()
        said.bench.until(lambda: not socket.is_writable)
        for _ in range(20):
            said.bench.turn()
        assert PACKETS_MAX_COUNT <= len(said.hub.messages) < 5 * PACKETS_MAX_COUNT, "4 KB of frames are taken at once"
        said.until_in_time(lambda: len(said.hub.messages) == count)
        said.client.close()
        said.until_in_time(lambda: said.hub.messages[-1][0] == HUB_CLOSE)


def test_credits_are_granted_as_the_client_reads() -> None:
    """One that does not read costs a bounded amount."""
    with talk(receive_bytes=4096) as said:
        said.client.is_reading = False
        left, total = CREDITS_BYTES, 0
        while left:
            part = min(left, 20_000)
            said.origin_says(body=b"x" * part, **{"content-type": b"binary"})
            left, total = left - part, total + part
            for _ in range(50):
                said.bench.turn()
            while said.hub.messages:
                assert said.hub.messages[0][0] == SEND
                left += said.hub.sent()[b"credits"]
            assert total < 1_000_000, "credits were granted although nobody reads"
        (socket,) = said.sockets()
        assert socket._is_paused
        said.client.is_reading = True
        said.bench.until(lambda: said.hub.messages)
        assert said.hub.sent()[b"credits"] > 0
        said.bench.until(lambda: len(said.client.received) >= total)
        assert b"".join(frame.payload for frame in said.frames) == b"x" * total
        said.client.close()
        said.bench.until(lambda: said.hub.messages and said.hub.messages[-1][0] == HUB_CLOSE)


def test_worker_that_stops_leaves_its_origins_to_the_hub() -> None:
    """Nobody hears of their end any more."""
    with talk() as said:
        (socket,) = said.sockets()
        said.bench.driver.pool.zhttp.close()
        socket.on_failed("late")
        assert not said.client.is_closed
        socket.abort()


def test_zhttpreq_is_refused() -> None:
    """There is no stream to carry messages."""
    with zhttp_bench("*,debug zhttpreq/ipc:///x") as (bench, hub):
        client = bench.client(HANDSHAKE)
        bench.until(lambda: client.is_closed)
        assert client.received.endswith(b"WebSockets cannot be used with zhttpreq target\n")
        assert hub.messages == []
