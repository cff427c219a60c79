"""A client that sends exactly the bytes of a case, and reads what comes as strictly as `websockets` does."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from gripproxy.protocol.websocket_frame import CLOSE, PONG, TEXT
from tests.integration.raw_client import RawClient
from tests.websocket_cases.case import text

TIMEOUT_S = 30.0
HELLO = b"hello"
HANDSHAKE = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
NO_CONTEXT = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"


@dataclass(slots=True)
class Received:
    """What the server has sent. `close` is the payload of its close frame."""

    messages: list[tuple[int, bytes]] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
    close: bytes | None = None


class Talk:
    """A WebSocket connection to any server.

    `agreed` is what it answered to offers of extensions, `first_byte` the first one behind its head.
    """

    def __init__(self, port: int, target: str, host: str, *offers: str) -> None:
        self.received = Received()
        self._begun: tuple[int, bytes] | None = None
        self._client = RawClient(port)
        offer_lines = [f"Sec-WebSocket-Extensions: {offer}" for offer in offers]
        self._client.get(target, *HANDSHAKE, KEY, *offer_lines, host=host)
        head, _, rest = self._client.receive_until(b"\r\n\r\n", TIMEOUT_S).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ") and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head, head
        lines = [line.partition(b": ") for line in head.split(b"\r\n")]
        self.agreed = [value.decode() for name, _, value in lines if name == b"Sec-WebSocket-Extensions"]
        self.first_byte: int | None = None
        self._protocol = ClientProtocol(parse_uri("ws://h/"), state=OPEN, max_size=None)
        self._protocol.extensions = [PerMessageDeflate(True, True, 15, 15)] if self.agreed else []
        self._client.received = b""
        self._take(rest)

    def send(self, *parts: bytes) -> None:
        """Write each part by itself, and read meanwhile: no server takes all without being read."""
        for part in parts:
            self._client.send(part)
            while self._client.poll(0.0):
                self._take_received()

    def wait(self, is_there: Callable[[Received], bool], what: str) -> None:
        """Wait for something; the end of the connection is enough.

        Raises:
            AssertionError: neither came.
        """
        deadline = time.monotonic() + TIMEOUT_S
        while not is_there(self.received) and not self._client.is_ended:
            assert time.monotonic() < deadline, f"{what} did not come: {self.received}"
            self._client.poll(deadline - time.monotonic())
            self._take_received()

    def greet(self) -> None:
        """Send a message and get it back."""
        self.send(text(HELLO))
        self.wait(lambda received: bool(received.messages), "the echo of the first message")
        assert self.received.messages == [(TEXT, HELLO)]
        self.received.messages.clear()

    def wait_for_end(self) -> None:
        """Wait until the server has ended the connection, which it does behind its close frame."""
        self.wait(lambda received: False, "the end of the connection")

    def close(self) -> None:
        """Leave."""
        self._client.close()

    def _take_received(self) -> None:
        data, self._client.received = self._client.received, b""
        self._take(data)

    def _take(self, data: bytes) -> None:
        if data:
            self.first_byte = data[0] if self.first_byte is None else self.first_byte
            assert self.received.close is None, f"something behind the close frame: {data!r}"
            self._protocol.receive_data(data)
        assert self._protocol.parser_exc is None, self._protocol.parser_exc
        for frame in self._protocol.events_received():
            opcode, payload = int(frame.opcode), bytes(frame.data)
            if opcode == CLOSE:
                self.received.close = payload
            elif opcode == PONG:
                self.received.pongs.append(payload)
            else:
                opcode, begun = self._begun or (opcode, b"")
                self._begun = (opcode, begun + payload)
                if frame.fin:
                    self.received.messages.append(self._begun)
                    self._begun = None
