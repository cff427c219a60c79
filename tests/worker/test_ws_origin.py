"""A WebSocket origin of one client, over a transport that only writes down."""

import socket
from typing import Any

import pytest

from gripproxy.engine.timer_wheel import TimerWheel
from gripproxy.errors import WebSocketError
from gripproxy.protocol.permessage_deflate import Inflater, deflate
from gripproxy.protocol.websocket_close import NORMAL, encode_close
from gripproxy.protocol.websocket_frame import BINARY, CLOSE, CONTINUATION, PING, TEXT, Frame, encode_frame
from gripproxy.protocol.websocket_reader import FrameReader
from gripproxy_worker.outbox import Outbox
from gripproxy_worker.ws_input import ORIGIN_SLICE_BYTES, WsKind
from gripproxy_worker.ws_origin import (
    CLOSING_MAX_S,
    DEFLATING_ORIGINS,
    ORIGINS,
    STEPS_MAX_FRAMES,
    OriginSocket,
    WsOrigin,
)
from tests.worker.origin_bench import WrittenTransport
from tests.worker.socket_bench import frames_of

CLOSING = Frame(CLOSE, b"\x03\xe8bye")


class Transport(WrittenTransport):
    """Also what only a WebSocket's does."""

    def __init__(self, sock: socket.socket | None = None) -> None:
        super().__init__()
        self.sock = sock
        self.is_closed = False

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.sock if name == "socket" else default

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed or self.is_aborted


class Owner:
    """Who hears of it."""

    def __init__(self, kind: WsKind = ORIGINS, early_input: bytes = b"") -> None:
        self.now = 100.0
        self.clock = lambda: self.now
        self.wheel = TimerWheel(self.now)
        self.turns: list[Any] = []
        self.call_soon = self.turns.append
        self.origin_outbox: Outbox[WsOrigin] = Outbox(WsOrigin.write, lambda flush: None)
        self.frames: list[Frame] = []
        self.errors: list[WebSocketError] = []
        self.writables_count = 0
        self.untaken_bytes = 0
        self.details: list[str] = []
        self.opened: list[OriginSocket] = []
        self.on_frames: Any = None
        self.transport = Transport()
        self.origin = WsOrigin(self, 7, self.transport, kind, early_input)

    def on_origin_opened(self, origin: OriginSocket) -> None:
        self.opened.append(origin)

    def on_origin_frames(self, conn_id: int, frames: list[Frame], error: WebSocketError | None) -> None:
        assert conn_id == 7
        self.frames += frames
        self.errors += [error] if error else []
        if self.on_frames is not None:
            self.on_frames()

    def on_origin_full(self, origin: WsOrigin, size_bytes: int) -> None:
        self.untaken_bytes = size_bytes

    def on_origin_drained(self, origin: WsOrigin) -> None:
        self.untaken_bytes = 0

    def on_origin_writable(self, conn_id: int) -> None:
        self.writables_count += 1

    def on_origin_gone(self, conn_id: int, detail: str) -> None:
        self.details.append(detail)

    def on_origin_closed(self, origin: OriginSocket) -> None:
        self.opened.remove(origin)

    def written(self) -> list[Frame]:
        self.origin_outbox.flush()
        return frames_of(self.transport.written, is_client=False)

    def turn(self) -> None:
        turns, self.turns[:] = self.turns[:], []
        for turn in turns:
            turn()


def test_frames_are_masked_each_with_a_key_of_its_own() -> None:
    """Nobody may foresee what is on the wire (RFC 6455 section 10.3)."""
    owner = Owner()
    owner.origin.send([Frame(TEXT, b"same"), Frame(TEXT, b"same"), Frame(BINARY, b"", is_final=False)])
    assert owner.written() == [Frame(TEXT, b"same"), Frame(TEXT, b"same"), Frame(BINARY, b"", is_final=False)]
    assert owner.transport.written[2:10] != owner.transport.written[12:20]


def test_whole_messages_are_deflated_and_pieces_are_not() -> None:
    owner = Owner(DEFLATING_ORIGINS)
    owner.origin.send([Frame(TEXT, b"a" * 100)])
    owner.origin_outbox.flush()
    assert owner.transport.written[0] == 0xC1
    assert len(owner.transport.written) < 30
    reader = DEFLATING_ORIGINS.new_reader()
    assert type(reader) is FrameReader
    owner.transport.written = b""
    owner.origin.send([Frame(TEXT, b"a", is_final=False), Frame(PING, b"b"), Frame(CONTINUATION, b"c")])
    assert owner.written() == [Frame(TEXT, b"a", is_final=False), Frame(PING, b"b"), Frame(CONTINUATION, b"c")]
    owner.origin.data_received(encode_frame(TEXT, deflate(b"down"), is_compressed=True))
    assert owner.frames == [Frame(TEXT, b"down")]
    assert Inflater(1).feed(deflate(b"x"), is_end=True) == b"x"


def test_what_came_with_the_101_comes_first() -> None:
    owner = Owner(early_input=encode_frame(TEXT, b"first"))
    assert not owner.frames and not owner.transport.is_fed
    owner.origin.data_received(encode_frame(TEXT, b"second"))
    owner.turn()
    assert owner.frames == [Frame(TEXT, b"first"), Frame(TEXT, b"second")]
    assert owner.transport.is_fed


def test_flood_takes_turns() -> None:
    """Frames of 2 bytes: a read of a quarter of a megabyte holds 131,072 of them."""
    owner = Owner()
    owner.origin.data_received(encode_frame(PING, b"") * 131_072)
    assert len(owner.frames) <= STEPS_MAX_FRAMES + ORIGIN_SLICE_BYTES // 2
    assert not owner.transport.is_fed
    turns_count = 0
    while owner.turns:
        owner.turn()
        turns_count += 1
    assert len(owner.frames) == 131_072 and turns_count > 2
    assert owner.transport.is_fed


def test_flood_of_compressed_messages_takes_turns() -> None:
    """A read of 64 KB can become 64 MB."""
    owner = Owner(DEFLATING_ORIGINS)
    message = encode_frame(BINARY, deflate(b"\0" * 1_000_000), is_compressed=True)
    owner.origin.data_received(message * 20)
    counts = [len(owner.frames)]
    while owner.turns:
        owner.turn()
        counts.append(len(owner.frames))
    assert counts[-1] == 20 and counts[0] <= 2
    assert owner.transport.is_fed


def test_slow_client_stops_it_between_two_slices() -> None:
    """What was read already waits; the rest stays with the kernel."""
    owner = Owner()
    owner.on_frames = owner.origin.pause_reading
    owner.origin.data_received(encode_frame(BINARY, b"x" * 4000) * 10)
    assert len(owner.frames) == 1 and not owner.transport.is_fed and not owner.turns
    owner.origin.data_received(encode_frame(BINARY, b"y"))
    assert len(owner.frames) == 1
    owner.on_frames = None
    owner.origin.resume_reading()
    while owner.turns:
        owner.turn()
    assert [frame.payload[:1] for frame in owner.frames] == [b"x"] * 10 + [b"y"]
    assert owner.transport.is_fed


def test_room_is_told_on() -> None:
    owner = Owner()
    owner.transport.unsent_bytes = 70_000
    owner.origin.pause_writing()
    assert not owner.origin.is_writable and owner.untaken_bytes == 70_000
    owner.origin.resume_writing()
    assert owner.origin.is_writable and owner.writables_count == 1 and owner.untaken_bytes == 0


def test_end_is_told_after_what_came_before_it() -> None:
    owner = Owner()
    owner.origin.pause_reading()
    owner.origin.data_received(encode_frame(TEXT, b"last"))
    owner.origin.connection_lost(None)
    assert owner.frames == [Frame(TEXT, b"last")]
    assert owner.details == ["it closed the connection"] and not owner.opened
    owner.origin.send([Frame(TEXT, b"too late")])
    assert owner.written() == []


def test_breach_is_told_once() -> None:
    owner = Owner()
    owner.origin.data_received(encode_frame(TEXT, b"good") + b"\xff\xff" + encode_frame(TEXT, b"good"))
    owner.origin.data_received(encode_frame(TEXT, b"good"))
    assert owner.frames == [Frame(TEXT, b"good")] and len(owner.errors) == 1


def test_close_without_a_code_is_1000() -> None:
    """As Pushpin has it; the client's as ours, when the origin is not needed any more."""
    owner = Owner()
    owner.origin.close(Frame(CLOSE, b""))
    assert owner.written() == [Frame(CLOSE, encode_close(NORMAL))]


def test_close_frame_is_followed_by_the_origins_end() -> None:
    """Servers end the connection first (RFC 6455 section 7.1.1): then its port is not ours that has to rest."""
    owner = Owner()
    owner.origin.pause_reading()
    owner.origin.send([Frame(TEXT, b"before")])
    owner.origin.close(CLOSING)
    assert owner.written() == [Frame(TEXT, b"before"), CLOSING]
    assert not owner.transport.is_closing() and owner.transport.is_fed, "to see its end"
    owner.origin.data_received(encode_frame(TEXT, b"nobody hears this") + encode_frame(CLOSE, b""))
    owner.origin.resume_writing()
    owner.origin.connection_lost(None)
    assert owner.frames == [] and owner.details == [] and owner.writables_count == 0 and not owner.opened
    assert owner.wheel.due(200.0, 10) == []


def test_nothing_is_sent_behind_a_close_frame() -> None:
    owner = Owner()
    owner.origin.send([CLOSING])
    owner.origin.send([Frame(TEXT, b"too late")])
    owner.origin.close(CLOSING)
    assert owner.written() == [CLOSING]
    assert len(owner.transport.written) == 6 + len(CLOSING.payload)
    assert not owner.transport.is_closing()


def test_origin_that_does_not_end_after_a_close_frame_is_cut() -> None:
    owner = Owner()
    owner.origin.close(CLOSING)
    assert owner.wheel.due(100.0 + CLOSING_MAX_S - 1, 10) == []
    (record,) = owner.wheel.due(100.0 + CLOSING_MAX_S + 1, 10)
    assert record is owner.origin
    owner.origin.on_deadline(111.0)
    assert owner.transport.is_aborted


def test_without_a_close_frame_only_what_waits_is_still_sent() -> None:
    """A client that left may have said something before."""
    owner = Owner()
    owner.origin.send([Frame(TEXT, b"last words")])
    owner.origin.close()
    assert owner.transport.is_closed and not owner.transport.is_aborted
    assert owner.written() == [Frame(TEXT, b"last words")]
    (record,) = owner.wheel.due(100.0 + CLOSING_MAX_S + 1, 10)
    record.on_deadline(111.0)
    assert owner.transport.is_aborted, "it reads nothing"


def test_close_behind_its_end_does_nothing() -> None:
    owner = Owner()
    owner.origin.connection_lost(OSError("reset"))
    assert owner.details == ["it closed the connection: reset"]
    owner.origin.close(CLOSING)
    assert owner.wheel.due(200.0, 10) == [] and owner.written() == []


@pytest.mark.parametrize("is_tcp", [True, False])
def test_kernel_looks_whether_a_silent_origin_is_there(is_tcp: bool) -> None:
    """A host that lost its power says nothing, and a proxy that waits for it says nothing either."""
    sock = socket.socket() if is_tcp else socket.socket(socket.AF_UNIX)
    with sock:
        owner = Owner()
        WsOrigin(owner, 7, Transport(sock), ORIGINS, b"")
        assert bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) is is_tcp
