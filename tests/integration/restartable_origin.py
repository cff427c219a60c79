"""An origin for WebSockets over HTTP in this process: it echoes, notes what it got, and can be stopped and started."""

import socket
import threading
from collections import defaultdict
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from gripproxy.protocol.websocket_events import MEDIA_TYPE, WsEvent, decode_events
from tests.integration.ports import free_ports

Events = list[tuple[bytes, bytes]]  # kind and content


def write_events(events: Events) -> bytes:
    """Write events as origins do: all with a length."""
    return b"".join([b"%s %x\r\n%s\r\n" % (kind, len(content), content) for kind, content in events])


def echo(path: str, event: WsEvent) -> Events:
    """Answer as an echo does."""
    if event.kind == b"OPEN":
        return [(b"OPEN", b"")]
    return [(event.kind, event.content)] if event.kind in (b"TEXT", b"BINARY", b"CLOSE") else []


class RestartableOrigin:
    """The origin. `answer` gives the events for one event of a request to a path. With `is_grip` it agrees to GRIP.

    `seen` are the events by connection id, in order.
    """

    def __init__(self, answer: Callable[[str, WsEvent], Events] = echo, is_grip: bool = False) -> None:
        self.answer = answer
        self.is_grip = is_grip
        self.seen: dict[str, list[WsEvent]] = defaultdict(list)
        (self.port,) = free_ports(1)  # out of the range from which it could be taken while the origin is stopped
        self.lock = threading.Lock()
        self.connections: set[socket.socket] = set()
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Listen, always on the same port."""
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                with owner.lock:
                    owner.connections.add(self.request)
                super().setup()

            def finish(self) -> None:
                super().finish()
                with owner.lock:
                    owner.connections.discard(self.request)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = owner.handle(self.path, self.headers["Connection-Id"], body)
                self.send_response(200)
                self.send_header("Content-Type", MEDIA_TYPE.decode())
                if owner.is_grip:
                    self.send_header("Sec-WebSocket-Extensions", "grip")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 1024

        self._server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        """Stop listening and end every connection. Requests that are being answered break off."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        server.server_close()
        with self.lock:
            for connection in self.connections:
                connection.shutdown(socket.SHUT_RDWR)

    def handle(self, path: str, connection_id: str, body: bytes) -> bytes:
        """Note a request's events and give those of its answer."""
        events = decode_events(body)
        with self.lock:
            self.seen[connection_id] += events
        return write_events([answer for event in events for answer in self.answer(path, event)])

    def kinds(self, connection_id: str) -> list[bytes]:
        """Give the types of the events of a connection."""
        with self.lock:
            return [event.kind for event in self.seen[connection_id]]
