"""WebSocket clients of a worker: what they send and get, how far they are read, and their ends."""

import contextlib
import socket
import struct

import pytest

from gripproxy.engine.effects import (
    AskOrigin,
    AwaitReader,
    CloseOrigin,
    Cut,
    Effect,
    EndSocket,
    OpenSocket,
    PauseClient,
    ToOrigin,
    Write,
)
from gripproxy.engine.events import (
    ClientGone,
    FramesCame,
    OriginFailed,
    OriginFailure,
    OriginFramesCame,
    OriginSocketGone,
    ReaderCaughtUp,
    RequestArrived,
)
from gripproxy.protocol.http1 import NONE
from gripproxy.protocol.permessage_deflate import deflate
from gripproxy.protocol.route_target import Target
from gripproxy.protocol.websocket_frame import BINARY, CLOSE, PING, TEXT, Frame, encode_frame, encode_masked_frame
from gripproxy.scoreboard import Field
from gripproxy_worker import ws_clients
from gripproxy_worker.idle_conn import ClosingConn
from gripproxy_worker.ws_clients import BACKLOG_PAUSE_BYTES, TURN_MAX_COUNT
from gripproxy_worker.ws_input import SLICE_BYTES
from gripproxy_worker.ws_origin import WsOrigin
from tests.worker.bench import WorkerBench
from tests.worker.socket_bench import HANDSHAKE, SWITCHED, SocketBench, close_frame, frames_of, masked


@pytest.fixture
def sockets(bench: WorkerBench) -> SocketBench:
    return SocketBench(bench)


def test_frames_that_arrive_whole_leave_nothing_behind(sockets: SocketBench) -> None:
    """An idle client is an fd and the engine's record."""
    client, conn_id = sockets.open()
    client.send(masked(TEXT, b"one") + masked(PING, b"two"))
    sockets.bench.until(lambda: sockets.events)
    assert sockets.events == [FramesCame(conn_id, [Frame(TEXT, b"one"), Frame(PING, b"two")])]
    assert sockets.bench.driver.web_sockets._clients == {}


def test_frame_in_pieces_is_one_frame(sockets: SocketBench) -> None:
    client, conn_id = sockets.open()
    frame = masked(BINARY, b"x" * 300)
    for start in range(0, len(frame), 100):
        client.send(frame[start : start + 100])
        sockets.bench.turn()
    sockets.bench.until(lambda: sockets.events)
    assert sockets.events == [FramesCame(conn_id, [Frame(BINARY, b"x" * 300)])]
    sockets.bench.until(lambda: not sockets.bench.driver.web_sockets._clients)


def test_frames_to_and_from_an_origin(sockets: SocketBench) -> None:
    client, origin, conn_id = sockets.proxied(behind=encode_frame(TEXT, b"early"))
    sockets.bench.until(lambda: sockets.events)
    assert sockets.events == [OriginFramesCame(conn_id, [Frame(TEXT, b"early")])]
    sockets.do(
        ToOrigin(conn_id, [Frame(TEXT, b"up"), Frame(BINARY, b"up too")]), Write(conn_id, encode_frame(TEXT, b"down"))
    )
    sockets.bench.until(lambda: client.received and origin.received)
    assert frames_of(client.received) == [Frame(TEXT, b"down")]
    assert frames_of(origin.received, is_client=False) == [Frame(TEXT, b"up"), Frame(BINARY, b"up too")]


def test_close_by_us(sockets: SocketBench) -> None:
    """The close frame, then the end of our side (RFC 6455 section 7.1.1: the server ends first)."""
    client, conn_id = sockets.open()
    sockets.do(EndSocket(conn_id, close_frame()))
    sockets.bench.until(lambda: client.is_closed)
    assert frames_of(client.received) == [Frame(CLOSE, b"\x03\xe8")]
    assert type(sockets.bench.driver.sockets.records[conn_id]) is ClosingConn


def test_client_that_leaves(sockets: SocketBench) -> None:
    client, origin, conn_id = sockets.proxied()
    client.close()
    sockets.bench.until(lambda: sockets.events)
    assert sockets.events == [ClientGone(conn_id)]
    sockets.bench.until(lambda: origin.is_closed)
    assert not origin.received


def test_origin_that_leaves(sockets: SocketBench) -> None:
    client, origin, conn_id = sockets.proxied()
    origin.transport.close()
    sockets.bench.until(lambda: sockets.events)
    assert sockets.events == [OriginSocketGone(conn_id, "it closed the connection")]
    sockets.do(Cut(conn_id))
    sockets.bench.until(lambda: client.is_closed)
    assert sockets.events[1:] == [ClientGone(conn_id)]


def test_origin_that_is_not_needed_any_more(sockets: SocketBench) -> None:
    client, origin, conn_id = sockets.proxied()
    sockets.do(CloseOrigin(conn_id, Frame(CLOSE, b"\x03\xe8")))
    sockets.bench.until(lambda: origin.received)
    assert frames_of(origin.received, is_client=False) == [Frame(CLOSE, b"\x03\xe8")]
    origin.send(encode_frame(CLOSE, b"\x03\xe8"))
    origin.transport.close()
    sockets.bench.until(lambda: not sockets.bench.driver.web_sockets.origins)
    assert sockets.events == [] and sockets.is_socket(conn_id)
    client.send(masked(TEXT, b"still here"))
    sockets.bench.until(lambda: sockets.frames() == [Frame(TEXT, b"still here")])


def test_paused_client_is_not_read(sockets: SocketBench) -> None:
    client, conn_id = sockets.open()
    sockets.do(PauseClient(conn_id, True))
    client.send(masked(TEXT, b"later"))
    for _ in range(5):
        sockets.bench.turn()
    assert sockets.events == []
    sockets.do(PauseClient(conn_id, False))
    sockets.bench.until(lambda: sockets.frames() == [Frame(TEXT, b"later")])


def test_frames_right_behind_the_handshake(sockets: SocketBench) -> None:
    """They may come with the request, before anybody knows whether it will be a WebSocket."""
    _, conn_id = sockets.open(behind=masked(TEXT, b"eager") + masked(TEXT, b"half")[:5])
    sockets.bench.until(lambda: sockets.events)
    assert sockets.events == [FramesCame(conn_id, [Frame(TEXT, b"eager")])]


def test_frame_that_came_during_the_handshake(sockets: SocketBench) -> None:
    """No edge tells of it a second time."""
    bench = sockets.bench
    sockets.core.script[RequestArrived] = lambda event: []
    client = bench.client(HANDSHAKE)
    bench.until(lambda: sockets.core.events)
    client.send(masked(TEXT, b"impatient"))
    for _ in range(3):
        bench.turn()
    sockets.do(OpenSocket(sockets.core.events[0].conn_id, SWITCHED, has_origin=False))
    bench.until(lambda: sockets.frames() == [Frame(TEXT, b"impatient")])


@pytest.mark.parametrize("size", [10, 300_000])
def test_more_than_one_read_that_came_during_the_handshake(sockets: SocketBench, size: int) -> None:
    """Some of it was read with the request's head. No edge tells of the rest."""
    bench = sockets.bench
    sockets.core.script[RequestArrived] = lambda event: []
    client = bench.client(HANDSHAKE + masked(TEXT, b"eager") + masked(BINARY, b"x" * size))
    bench.until(lambda: sockets.core.events)
    client.send(masked(TEXT, b"impatient"))
    for _ in range(3):
        bench.turn()
    sockets.do(OpenSocket(sockets.core.events[0].conn_id, SWITCHED, has_origin=False))
    bench.until(lambda: sockets.frames()[-1:] == [Frame(TEXT, b"impatient")])
    assert sum(len(frame.payload) for frame in sockets.frames()) == size + len(b"eagerimpatient")


def test_half_closed_client_gets_the_answer_to_its_close(sockets: SocketBench) -> None:
    """It has said all it wants to say, and listens on (RFC 6455 section 7.1.5)."""
    client, conn_id = sockets.open()
    client.send(masked(TEXT, b"bye") + masked(CLOSE, b"\x03\xe8"))
    client.sock.shutdown(socket.SHUT_WR)
    sockets.bench.until(lambda: sockets.events)
    for _ in range(5):
        sockets.bench.turn()
    assert sockets.events == [FramesCame(conn_id, [Frame(TEXT, b"bye"), Frame(CLOSE, b"\x03\xe8")])]
    sockets.do(EndSocket(conn_id, close_frame()))
    sockets.bench.until(lambda: client.is_closed)
    assert frames_of(client.received) == [Frame(CLOSE, b"\x03\xe8")]


def test_client_that_is_reset_after_its_close(sockets: SocketBench) -> None:
    """Nobody listens there any more."""
    client, conn_id = sockets.open()
    client.send(masked(CLOSE))
    sockets.bench.until(lambda: sockets.events)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    sockets.bench.until(lambda: sockets.events[1:] == [ClientGone(conn_id)])


@pytest.mark.parametrize("is_paused", [False, True])
def test_last_words_come_before_the_end(sockets: SocketBench, is_paused: bool) -> None:
    """Also if they waited."""
    client, conn_id = sockets.open()
    sockets.do(PauseClient(conn_id, is_paused))
    client.send(masked(TEXT, b"last words") * 3)
    client.close()
    if is_paused:
        for _ in range(5):
            sockets.bench.turn()
        assert sockets.events == []
        sockets.do(PauseClient(conn_id, False))
    sockets.bench.until(lambda: sockets.events[-1:] == [ClientGone(conn_id)])
    assert sockets.frames() == [Frame(TEXT, b"last words")] * 3


def test_paused_client_that_breaks_is_gone(sockets: SocketBench) -> None:
    client, conn_id = sockets.open()
    sockets.do(PauseClient(conn_id, True))
    client.send(masked(TEXT, b"never read"))
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    sockets.bench.until(lambda: sockets.events == [ClientGone(conn_id)])


def test_nothing_is_read_behind_a_breach(sockets: SocketBench) -> None:
    """The engine hears of it once, and ends the client."""
    client, conn_id = sockets.open()
    client.send(masked(TEXT, b"good") + encode_frame(TEXT, b"not masked") + masked(TEXT, b"good"))
    sockets.bench.until(lambda: sockets.events)
    client.send(masked(TEXT, b"good") * 10)
    for _ in range(5):
        sockets.bench.turn()
    (event,) = sockets.events
    assert event.frames == [Frame(TEXT, b"good")] and event.error.code == 1002
    assert sockets.bench.driver.row[Field.CLIENT_ERRORS] == 1
    sockets.do(EndSocket(conn_id, close_frame(1002)))
    sockets.bench.until(lambda: client.is_closed)
    assert frames_of(client.received) == [Frame(CLOSE, b"\x03\xea")]


def test_slow_client_stops_its_origin(sockets: SocketBench) -> None:
    """What waits for it is bounded, and nothing of it is lost."""
    bench = sockets.bench
    client, origin, conn_id = sockets.proxied(receive_bytes=4096)
    sockets.core.script[OriginFramesCame] = lambda event: [
        Write(conn_id, encode_frame(frame.opcode, frame.payload)) for frame in event.frames
    ]
    client.is_reading = False
    messages = [b"%d " % number + b"x" * 30_000 for number in range(300)]
    origin.send(b"".join(encode_frame(BINARY, message) for message in messages))
    bench.until(lambda: bench.driver.sockets.backlogs)
    most_bytes = 0
    for _ in range(200):
        bench.turn()
        most_bytes = max(most_bytes, bench.driver.sockets.backlogs[conn_id].bytes_count)
    assert BACKLOG_PAUSE_BYTES < most_bytes < 2 * BACKLOG_PAUSE_BYTES + 30_000
    client.is_reading = True
    bench.until(lambda: len(client.received) >= 300 * 30_000 and client.received.endswith(messages[-1]))
    assert [frame.payload for frame in frames_of(client.received)] == messages


def test_slow_origin_stops_its_client(sockets: SocketBench) -> None:
    """What it has not read waits with the client, not here."""
    bench = sockets.bench
    client, origin, conn_id = sockets.proxied()
    sockets.core.script[FramesCame] = lambda event: [ToOrigin(event.conn_id, event.frames)]
    origin.transport.pause_reading()
    stream = b"".join(masked(BINARY, b"%d " % number + b"y" * 30_000) for number in range(1000))
    sent_bytes = 0
    for _ in range(300):
        with contextlib.suppress(BlockingIOError):
            sent_bytes += client.sock.send(stream[sent_bytes : sent_bytes + 100_000])
        bench.turn()
    assert sent_bytes < len(stream) - 1_000_000, "the kernel's buffers on the way are full"
    ws_client = bench.driver.web_sockets._clients[conn_id]
    assert ws_client.input is None or len(ws_client.input._data) <= 65_536
    origin.transport.resume_reading()
    while sent_bytes < len(stream):
        with contextlib.suppress(BlockingIOError):
            sent_bytes += client.sock.send(stream[sent_bytes : sent_bytes + 100_000])
        bench.turn()
    bench.until(lambda: len(origin.received) >= len(stream))
    numbers = [int(frame.payload.split(b" ")[0]) for frame in frames_of(origin.received, is_client=False)]
    assert numbers == list(range(1000))


@pytest.mark.parametrize("is_closed", [False, True])
def test_client_that_waited_for_its_origin_is_read_again(sockets: SocketBench, is_closed: bool) -> None:
    """When that has room, and when it is not its origin any more: no edge will tell of what came before."""
    bench = sockets.bench
    client, origin, conn_id = sockets.proxied()
    (ws_origin,) = bench.driver.web_sockets.origins
    assert isinstance(ws_origin, WsOrigin)
    ws_origin.pause_writing()
    client.send(masked(TEXT, b"still here"))
    for _ in range(5):
        bench.turn()
    assert sockets.frames() == []
    if is_closed:
        sockets.do(CloseOrigin(conn_id, Frame(CLOSE, b"")))
    else:
        ws_origin.resume_writing()
    bench.until(lambda: sockets.frames() == [Frame(TEXT, b"still here")])
    assert (conn_id in bench.driver.web_sockets._clients) is not is_closed
    assert not origin.is_closed


@pytest.mark.parametrize("clients_count", [1, 3])
def test_flood_of_pings_leaves_others_their_turn(sockets: SocketBench, clients_count: int) -> None:
    """A turn of the loop takes so many frames, of however many clients."""
    bench = sockets.bench
    flooders = [sockets.open()[0] for _ in range(clients_count)]
    for flooder in flooders:
        flooder.send(masked(PING) * 20_000)
    counts = [0]

    def on_loop_turned() -> None:
        counts.append(len(sockets.frames()))
        sockets.core.events.clear()
        if sum(counts) < 20_000 * clients_count:
            bench.loop.call_soon(on_loop_turned)

    on_loop_turned()
    bench.until(lambda: sum(counts) == 20_000 * clients_count)
    # The clients' sockets and those whose turn it is have their share each.
    assert max(counts) <= 2 * (TURN_MAX_COUNT + SLICE_BYTES // 6 + 1)


def test_flood_of_compressed_messages_leaves_others_their_turn(sockets: SocketBench) -> None:
    """A read of 64 KB can become 64 MB, and a second of work: a turn of the loop has one such message or two."""
    bench = sockets.bench
    size, sent_count = 1_000_000, 60
    bomb = encode_masked_frame(BINARY, deflate(b"\0" * size), True, b"key.", is_compressed=True)
    for _ in range(3):
        sockets.open(is_deflating=True)[0].send(bomb * sent_count)
    counts: list[int] = []

    def on_loop_turned() -> None:
        counts.append(len(sockets.frames()))
        sockets.core.events.clear()
        if sum(counts) < 3 * sent_count:
            bench.loop.call_soon(on_loop_turned)

    on_loop_turned()
    bench.until(lambda: sum(counts) == 3 * sent_count)
    assert max(counts[1:]) <= 4  # while they were opened, several turns went by


def test_what_comes_while_a_client_waits_for_its_turn_is_read(sockets: SocketBench) -> None:
    """The kernel tells of it once, in the midst of what is left of an earlier read."""
    bench = sockets.bench
    client, conn_id = sockets.open()
    client.send(masked(PING) * 10 * TURN_MAX_COUNT)
    clients = bench.driver.web_sockets._clients
    while not (conn_id in clients and clients[conn_id].is_turn_due):
        bench.driver.sockets.on_ready()
    client.send(masked(TEXT, b"one more"))
    for _ in range(10):
        bench.driver.sockets.on_ready()
    bench.until(lambda: sockets.frames()[-1] == Frame(TEXT, b"one more"))
    assert len(sockets.frames()) == 10 * TURN_MAX_COUNT + 1


def test_reader_that_has_caught_up(sockets: SocketBench) -> None:
    bench = sockets.bench
    client, conn_id = sockets.open(receive_bytes=4096)
    sockets.do(AwaitReader(conn_id))
    assert sockets.events == [ReaderCaughtUp(conn_id)], "it has nothing to read"
    client.is_reading = False
    sockets.do(Write(conn_id, encode_frame(BINARY, b"z" * 1_000_000)), AwaitReader(conn_id))
    for _ in range(5):
        bench.turn()
    assert len(sockets.events) == 1
    client.is_reading = True
    bench.until(lambda: sockets.events[1:] == [ReaderCaughtUp(conn_id)])


def test_client_for_whom_too_much_waits_is_dropped(sockets: SocketBench) -> None:
    """Nothing may be left out of what its origin says, so it cannot stay."""
    client, conn_id = sockets.open(receive_bytes=4096)
    client.is_reading = False
    message = encode_frame(BINARY, b"z" * 1_000_000)
    sockets.do(*[Write(conn_id, message)] * 20)
    assert sockets.events == [ClientGone(conn_id)]


def test_effects_for_a_client_that_is_gone_do_nothing(sockets: SocketBench) -> None:
    """What was decided when it was there may be carried out when it is not."""
    client, conn_id = sockets.open()
    sockets.do(Cut(conn_id))
    frame = Frame(CLOSE, b"")
    sockets.do(
        *(Write(conn_id, b"x"), ToOrigin(conn_id, [frame]), EndSocket(conn_id, b"x"), CloseOrigin(conn_id, frame)),
        *(PauseClient(conn_id, True), AwaitReader(conn_id), Cut(conn_id)),
    )
    assert sockets.events == [ClientGone(conn_id)]
    sockets.bench.until(lambda: client.is_closed)


def test_whoever_is_in_the_middle_of_a_frame_for_longest_goes_first(
    sockets: SocketBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames that never become whole must not fill the memory."""
    monkeypatch.setattr(ws_clients, "KEPT_MAX_BYTES", 100_000)
    bench = sockets.bench
    frame = masked(BINARY, b"w" * 60_000)
    stalling, stalling_id = sockets.open()
    stalling.send(frame[:50_000])
    bench.until(lambda: bench.driver.web_sockets._kept_bytes)
    honest, honest_id = sockets.open()
    for _ in range(3):
        honest.send(frame[:50_000])
        bench.until(lambda: len(bench.driver.web_sockets._kept) == 2)
        honest.send(frame[50_000:])
        bench.until(lambda: len(bench.driver.web_sockets._kept) == 1)
    later, _ = sockets.open()
    later.send(frame[:50_000])
    bench.until(lambda: len(bench.driver.web_sockets._kept) == 2)
    honest.send(frame[:50_000])
    bench.until(lambda: stalling.is_closed)
    honest.send(frame[50_000:])
    bench.until(lambda: len(sockets.frames()) == 4)
    assert not honest.is_closed and not later.is_closed
    assert [event.conn_id for event in sockets.events if type(event) is ClientGone] == [stalling_id]
    assert {event.conn_id for event in sockets.events if type(event) is FramesCame} == {honest_id}


def test_whose_origin_takes_nothing_for_longest_goes_first(
    sockets: SocketBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand bytes that inflate to a million wait for each of thousands of clients."""
    bench = sockets.bench
    monkeypatch.setattr(ws_clients, "UNTAKEN_MAX_BYTES", 1000)
    sides = [sockets.proxied() for _ in range(3)]
    by_client = {origin.conn_id: origin for origin in bench.driver.web_sockets.origins if isinstance(origin, WsOrigin)}
    brisk, slow, slower = [by_client[conn_id] for _, _, conn_id in sides]
    for origin in (brisk, slow, slower):
        bench.driver.web_sockets.on_origin_full(origin, 500)
        if origin is brisk:
            brisk.resume_writing()
    bench.turn()
    assert sockets.events == []
    bench.driver.web_sockets.on_origin_full(brisk, 500)
    bench.until(lambda: sides[1][0].is_closed and sides[1][1].is_closed)
    assert sockets.events == [ClientGone(sides[1][2])]
    sides[2][0].close()
    bench.until(lambda: list(bench.driver.web_sockets._untaken) == [brisk])
    assert bench.driver.web_sockets._untaken_bytes == 500


def test_origin_without_a_descriptor_left_for_it(sockets: SocketBench) -> None:
    """A proxied client takes two: the first that finds none is told so before it is a WebSocket."""
    bench = sockets.bench
    sockets.proxied()
    bench.driver.web_sockets.fds_max = 3
    target = Target(host="127.0.0.1", port=bench.origin_port)
    sockets.core.script[RequestArrived] = lambda event: [
        AskOrigin(event.conn_id, target, "", HANDSHAKE, False, NONE, is_websocket=True)
    ]
    sockets.core.expect(OriginFailed)
    client = bench.client(HANDSHAKE)
    bench.until(lambda: isinstance(sockets.core.events[-1], OriginFailed))
    failed = sockets.core.events[-1]
    assert failed.failure is OriginFailure.CONNECT and "file descriptor" in failed.detail
    client.close()
    bench.until(lambda: bench.driver.sockets.count == 1)


def test_bug_of_ours_ends_one_client(sockets: SocketBench, caplog: pytest.LogCaptureFixture) -> None:
    """In its turn of the loop, as in an event."""

    def fail(event: FramesCame) -> list[Effect]:
        raise ZeroDivisionError

    bench = sockets.bench
    client, conn_id = sockets.open()
    other, _ = sockets.open()
    sockets.core.script[FramesCame] = fail
    client.send(masked(PING))
    bench.until(lambda: client.is_closed)
    assert sockets.events[1:] == [ClientGone(conn_id)] and "FramesCame" in caplog.text
    sockets.core.events.clear()
    sockets.core.expect(FramesCame)
    other.send(masked(PING, b"?"))
    bench.until(lambda: sockets.frames() == [Frame(PING, b"?")])
    bench.row[Field.INTERNAL_ERRORS] = 0


def test_what_comes_while_nobody_wants_it_is_read_in_the_end(sockets: SocketBench) -> None:
    """Its edge comes once, when there is still something to decode of what was read before."""
    client, conn_id = sockets.open()
    sockets.core.script[FramesCame] = lambda event: [PauseClient(conn_id, True)]
    client.send(masked(BINARY, b"x" * 3000) * 2)
    sockets.bench.until(lambda: sockets.frames())
    client.send(masked(TEXT, b"last"))
    sockets.bench.until(lambda: sockets.bench.driver.web_sockets._clients[conn_id].has_more)
    assert len(sockets.frames()) == 1
    sockets.core.script[FramesCame] = lambda event: []
    sockets.do(PauseClient(conn_id, False))
    sockets.bench.until(lambda: sockets.frames()[-1] == Frame(TEXT, b"last"))
