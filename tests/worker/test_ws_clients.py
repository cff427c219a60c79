"""WebSocket clients of a worker: what they send and get, how far they are read, and their ends."""

import pytest

from gripproxy.engine.effects import CloseOrigin, Cut, EndSocket, PauseClient, ToOrigin, Write
from gripproxy.engine.events import ClientGone, FramesCame, OriginFramesCame, OriginSocketGone
from gripproxy.protocol.websocket_frame import BINARY, CLOSE, PING, TEXT, Frame, encode_frame
from gripproxy_worker.idle_conn import ClosingConn
from tests.worker.bench import WorkerBench
from tests.worker.socket_bench import SocketBench, close_frame, frames_of, masked


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
