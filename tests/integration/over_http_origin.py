"""An HTTP origin of WebSockets that accepts every client and subscribes it, and keeps what it was told."""

from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

EVENTS_TYPE = "application/websocket-events"


@dataclass(slots=True)
class EventsAsked:
    """A request: the connection's id, and its events as they came."""

    connection_id: str
    body: bytes


def text_event(content: bytes) -> bytes:
    return b"TEXT %x\r\n%s\r\n" % (len(content), content)


class EventsOrigin:
    """Clients get the channel ``news``, and with the next answer what `say` was told."""

    def __init__(self) -> None:
        self.asked: list[EventsAsked] = []
        self.news = b""
        origin = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                events = origin.answer(EventsAsked(self.headers["Connection-Id"], body))
                self.send_response(200)
                self.send_header("Content-Type", EVENTS_TYPE)
                self.send_header("Sec-WebSocket-Extensions", "grip")
                self.send_header("Content-Length", str(len(events)))
                self.end_headers()
                self.wfile.write(events)

            def log_message(self, format: str, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def say(self, text: bytes) -> None:
        """Send this to whoever asks next."""
        self.news = text_event(b"m:" + text)

    def answer(self, asked: EventsAsked) -> bytes:
        self.asked.append(asked)
        if asked.body.startswith(b"OPEN\r\n"):
            return b"OPEN\r\n" + text_event(b'c:{"type":"subscribe","channel":"news"}') + text_event(b"m:welcome")
        if b"CLOSE" in asked.body or b"DISCONNECT" in asked.body:
            return b"CLOSE\r\n"
        news, self.news = self.news, b""
        return news
