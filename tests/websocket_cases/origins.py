"""Origins that echo, and origins that leave their clients to the proxy: by WebSocket, and by HTTP."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast
from urllib.parse import parse_qs, urlsplit

from websockets.sync.server import ServerConnection, serve

from tests.integration.sites.grip_extension import GripFactory

DETACH = '{"type": "detach"}'
EVENTS_TYPE = "application/websocket-events"
EVENT = re.compile(rb"([A-Z]+)(?: ([0-9a-f]+))?\r\n")


class Detached:
    """Clients, by the `id` of their URL's query, whose origin was told that it is done with them."""

    def __init__(self) -> None:
        self.ids: set[str] = set()

    def add(self, target: str) -> None:
        """Note who asked for `target`."""
        self.ids.update(parse_qs(urlsplit(target).query).get("id", []))


def echo_plain(connection: ServerConnection) -> None:
    """Send back what comes."""
    for message in connection:
        connection.send(message)


def echo_fragments(connection: ServerConnection) -> None:
    """Send back what comes, with GRIP's prefix and in fragments."""
    for message in connection:
        third = len(message) // 3
        if isinstance(message, str):
            connection.send(["m:" + message[:third], message[third : 2 * third], "", message[2 * third :]])
        else:
            connection.send([b"m:" + message[:third], message[third : 2 * third], message[2 * third :]])


@contextmanager
def socket_origin(is_grip: bool, detached: Detached) -> Iterator[int]:
    """Serve WebSockets, with compression if they are GRIP; gives the port. A path that ends in `/detached` detaches."""

    def handle(connection: ServerConnection) -> None:
        assert connection.request is not None
        target = connection.request.path
        if urlsplit(target).path.endswith("/detached"):
            connection.send("c:" + DETACH)
            for message in connection:
                raise AssertionError(f"a detached client's message: {message!r}")
            detached.add(target)
        else:
            (echo_fragments if is_grip else echo_plain)(connection)

    server = serve(
        handle,
        "127.0.0.1",
        0,
        extensions=[GripFactory()] if is_grip else None,
        compression="deflate" if is_grip else None,
        ping_interval=None,
        max_size=None,
    )
    with server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.socket.getsockname()[1]
        server.shutdown()


def decode_events(body: bytes) -> list[tuple[str, bytes | None]]:
    """Split a request's body into events."""
    events, begin = [], 0
    while begin < len(body):
        line = EVENT.match(body, begin)
        assert line is not None, body[begin:]
        begin, content = line.end(), None
        if line[2] is not None:
            end = begin + int(line[2], 16)
            content, begin = body[begin:end], end + 2
        events.append((line[1].decode(), content))
    return events


def encode_event(kind: str, content: bytes | None) -> bytes:
    """Write an event."""
    return f"{kind}\r\n".encode() if content is None else b"%b %x\r\n%b\r\n" % (kind.encode(), len(content), content)


class EventsHandler(BaseHTTPRequestHandler):
    """Answers requests of events."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        events = decode_events(self.rfile.read(int(self.headers["Content-Length"])))
        is_detaching = urlsplit(self.path).path.endswith("/detached")
        if is_detaching and ("CLOSE", None) in events:
            cast(EventsServer, self.server).detached.add(self.path)
        body = b"".join(self._answer(kind, content, is_detaching) for kind, content in events)
        self.send_response(200)
        self.send_header("Content-Type", EVENTS_TYPE)
        if ("OPEN", None) in events:
            self.send_header("Sec-WebSocket-Extensions", "grip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self, kind: str, content: bytes | None, is_detaching: bool) -> bytes:
        if kind in ("TEXT", "BINARY"):
            return encode_event(kind, b"m:" + (content or b""))
        if kind == "PING":
            return encode_event("PONG", content)
        if kind == "OPEN" and is_detaching:
            return encode_event("OPEN", None) + encode_event("TEXT", f"c:{DETACH}".encode())
        return encode_event(kind, content) if kind in ("OPEN", "CLOSE") else b""

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


class EventsServer(ThreadingHTTPServer):
    """Its handlers know who is detached."""

    daemon_threads = True

    def __init__(self, detached: Detached) -> None:
        super().__init__(("127.0.0.1", 0), EventsHandler)
        self.detached = detached


@contextmanager
def over_http_origin(detached: Detached) -> Iterator[int]:
    """Serve WebSockets over HTTP; gives the port. A path that ends in `/detached` detaches."""
    with EventsServer(detached) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
