"""WebSocket clients and their origins at a worker's bench, with the test in place of the engine."""

import os
from typing import Any

from gripproxy.engine.effects import AskOrigin, Effect, OpenSocket
from gripproxy.engine.events import (
    ClientGone,
    FramesCame,
    OriginAnswered,
    OriginFramesCame,
    OriginSocketGone,
    ReaderCaughtUp,
    RequestArrived,
)
from gripproxy.protocol.http1 import NONE
from gripproxy.protocol.route_target import Target
from gripproxy.protocol.websocket_frame import CLOSE, Frame, encode_frame, encode_masked_frame
from gripproxy.protocol.websocket_handshake import encode_accept
from gripproxy.protocol.websocket_reader import FrameReader
from gripproxy_worker.ws_input import WsKind
from tests.worker.bench import Client, OriginSide, WorkerBench
from tests.worker.scripted_core import ScriptedCore, carry_out, script

HANDSHAKE = b"GET /chat HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
CLIENT_EVENTS = (FramesCame, ReaderCaughtUp, ClientGone, OriginFramesCame, OriginSocketGone)


def real_handshake(path: str) -> bytes:
    """Give a handshake that the engine takes."""
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    return HANDSHAKE.replace(b"/chat", path.encode())[:-2] + b"Sec-WebSocket-Version: 13\r\n" + key + b"\r\n"


def real_accept(origin: OriginSide) -> bytes:
    """Give an origin's answer to the handshake that it got, and forget that."""
    head, _, rest = bytes(origin.received).partition(b"\r\n\r\n")
    origin.received[:] = rest
    return encode_accept(b"Switching Protocols", [], head.partition(b"Sec-WebSocket-Key: ")[2].split(b"\r\n")[0], None)


def masked(opcode: int, payload: bytes = b"", is_final: bool = True) -> bytes:
    """Encode a client's frame."""
    return encode_masked_frame(opcode, payload, is_final, os.urandom(4))


class SocketBench:
    """A bench whose engine is the test: `opened` clients, what became of them in `events`."""

    def __init__(self, bench: WorkerBench) -> None:
        self.bench = bench
        self.core: ScriptedCore = script(bench)
        self.core.expect(*CLIENT_EVENTS)
        self.options: dict[str, Any] = {}

    @property
    def events(self) -> list[Any]:
        return [event for event in self.core.events if isinstance(event, CLIENT_EVENTS)]

    def do(self, *effects: Effect) -> None:
        carry_out(self.bench, *effects)

    def open(self, behind: bytes = b"", receive_bytes: int | None = None, **options: Any) -> tuple[Client, int]:
        """Let a client's handshake succeed that has no origin of its own; give it and its id."""
        found: list[int] = []

        def answer(event: RequestArrived) -> list[Effect]:
            found.append(event.conn_id)
            return [OpenSocket(event.conn_id, SWITCHED, has_origin=False, **options)]

        self.core.script[RequestArrived] = answer
        client = self.bench.client(HANDSHAKE + behind, receive_bytes)
        self.bench.until(lambda: client.received.startswith(SWITCHED))
        del client.received[: len(SWITCHED)]
        return client, found[0]

    def proxied(
        self, behind: bytes = b"", receive_bytes: int | None = None, **options: Any
    ) -> tuple[Client, OriginSide, int]:
        """Let a client's handshake succeed with a WebSocket origin, which sends `behind` right after its 101."""
        target = Target(host="127.0.0.1", port=self.bench.origin_port)
        found: list[int] = []

        def ask(event: RequestArrived) -> list[Effect]:
            found.append(event.conn_id)
            return [AskOrigin(event.conn_id, target, "", HANDSHAKE, False, NONE, is_websocket=True)]

        self.core.script[RequestArrived] = ask
        self.core.script[OriginAnswered] = lambda event: [
            OpenSocket(event.conn_id, SWITCHED, has_origin=True, **options)
        ]
        count = len(self.bench.origins)
        client = self.bench.client(HANDSHAKE, receive_bytes)
        origin = self.bench.origin(count)
        origin.received.clear()
        origin.send(SWITCHED + behind)
        self.bench.until(lambda: client.received.startswith(SWITCHED))
        del client.received[: len(SWITCHED)]
        return client, origin, found[0]

    def is_socket(self, conn_id: int) -> bool:
        """Say whether the worker has it as a WebSocket client."""
        return type(self.bench.driver.sockets.records[conn_id]) is WsKind

    def frames(self, event_type: type = FramesCame) -> list[Frame]:
        """Give all frames that came so far."""
        return [frame for event in self.events if type(event) is event_type for frame in event.frames]


def frames_of(received: bytes, is_client: bool = True) -> list[Frame]:
    """Decode what a client, or with `is_client` off an origin, received."""
    reader = FrameReader(not is_client)
    frames = reader.feed(bytes(received))
    assert reader.error is None, reader.error
    return frames


def close_frame(code: int = 1000) -> bytes:
    """Encode a close to a client."""
    return encode_frame(CLOSE, code.to_bytes(2, "big"))
