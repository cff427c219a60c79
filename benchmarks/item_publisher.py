"""Ways to hand items to a server; every item carries the text of `item_mark`, with the time given for it."""

import json
import socket
from typing import Protocol

import zmq

from benchmarks.errors import BenchmarkError
from benchmarks.item_mark import item_template, sse_template

SEND_LIMIT_MS = 20_000
PIPELINE_COUNT = 16  # HTTP publishes under way at once on a connection


class ItemPublisher(Protocol):
    """Publishes the benchmark's item to a channel given by its number."""

    def publish(self, channel: int, at_ns: int = 0) -> None:
        """Hand over one item for channel c{channel}; blocks while the server takes no more.

        `at_ns` is when it should have been sent, for clients that record latencies (`time.monotonic_ns`).
        """

    def close(self) -> None:
        """Wait until the server has taken everything, and disconnect."""


class ZmqPublisher:
    """A ZeroMQ PUSH socket with JSON items, as most of Pushpin's client libraries send them.

    `close` drops what could not be sent within `linger_ms`.
    """

    def __init__(
        self, spec: str, channel_count: int, size_bytes: int, linger_ms: int = 0, is_websocket: bool = False
    ) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUSH)
        self._socket.setsockopt(zmq.SNDTIMEO, SEND_LIMIT_MS)
        self._socket.setsockopt(zmq.LINGER, linger_ms)
        self._socket.connect(spec)
        formats = item_formats(sse_template(size_bytes), item_template(size_bytes), is_websocket)
        self._frames = [
            b"J" + json.dumps({"channel": f"c{index}", "formats": formats}).encode() for index in range(channel_count)
        ]

    def publish(self, channel: int, at_ns: int = 0) -> None:
        """See ItemPublisher."""
        self.send(self._frames[channel] % at_ns)

    def send(self, frame: bytes) -> None:
        """Hand over one frame.

        Raises:
            BenchmarkError: the server takes none.
        """
        try:
            self._socket.send(frame)
        except zmq.Again as error:
            raise BenchmarkError(f"the server took no item for {SEND_LIMIT_MS} ms") from error

    def close(self) -> None:
        """See ItemPublisher."""
        self._socket.close()
        self._context.term()


def item_formats(event: str, text: str, is_websocket: bool) -> dict[str, dict[str, str]]:
    """Give the one format of an item: an SSE event, or the bare text for WebSockets."""
    return {"ws-message": {"content": text}} if is_websocket else {"http-stream": {"content": event}}


class HttpPipePublisher:
    """POSTs on one kept-alive connection, up to PIPELINE_COUNT of them unanswered."""

    def __init__(self, port: int, path: str, channel_count: int, size_bytes: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=SEND_LIMIT_MS / 1000)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._requests = [
            (
                f"POST {path.format(f'c{index}')} HTTP/1.1\r\nHost: bench\r\nContent-Type: text/plain\r\n"
                f"Content-Length: {size_bytes}\r\n\r\n{item_template(size_bytes)}"
            ).encode()
            for index in range(channel_count)
        ]
        self._unanswered = 0

    def publish(self, channel: int, at_ns: int = 0) -> None:
        """See ItemPublisher."""
        try:
            self._socket.sendall(self._requests[channel] % at_ns)
        except OSError as error:
            raise BenchmarkError(f"the server took no item: {error}") from error
        self._unanswered += 1
        while self._unanswered >= PIPELINE_COUNT:
            self._read_answers()

    def close(self) -> None:
        """See ItemPublisher."""
        while self._unanswered > 0:
            self._read_answers()
        self._socket.close()

    def _read_answers(self) -> None:
        # An answer is far smaller than a segment and nginx writes each at once, so a status line is never cut.
        try:
            data = self._socket.recv(65536)
        except OSError as error:
            raise BenchmarkError(f"a publish was not answered: {error}") from error
        answered = data.count(b"HTTP/1.1 20")
        if not data or data.count(b"HTTP/1.1 ") != answered:
            raise BenchmarkError(f"a publish was answered with {data[:80]!r}")
        self._unanswered -= answered


class LinePublisher:
    """Sends channel numbers as lines over TCP, to the bare write loop, whose items have no time."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=SEND_LIMIT_MS / 1000)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def publish(self, channel: int, at_ns: int = 0) -> None:
        """See ItemPublisher."""
        self._socket.sendall(b"%d\n" % channel)

    def close(self) -> None:
        """See ItemPublisher."""
        self._socket.close()
