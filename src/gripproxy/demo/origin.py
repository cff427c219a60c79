"""The demo's origin: a real web server that answers with GRIP instructions, and publishes what the page sends it.

It runs as a process of its own, ``python -m gripproxy.demo.origin``, as any web application would. It prints the
port it listens on as its first line, and ends when its standard input does: it never outlives the demo.
"""

import argparse
import html
import json
import re
import signal
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from urllib.parse import parse_qs, urlsplit

import setproctitle

from gripproxy.demo import chat
from gripproxy.demo.chat import chat_events
from gripproxy.errors import OriginError
from gripproxy.protocol.websocket_events import MEDIA_TYPE

POLL_TIMEOUT_S = 25
KEEP_ALIVE_S = 20
BODY_MAX_BYTES = 10_000
PUBLISH_TIMEOUT_S = 5.0

# A channel name goes into a Grip-Channel header, where a comma starts the next channel and a semicolon a parameter.
CHANNEL_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,64}")

Headers = tuple[tuple[str, str], ...]
Publish = Callable[[dict[str, object]], None]

PLAIN_TEXT = ("Content-Type", "text/plain; charset=utf-8")
EVENTS_TYPE = MEDIA_TYPE.decode()
METHODS = {"/": "GET", "/stream": "GET", "/poll": "GET", "/publish": "POST", "/chat": "POST"}


@dataclass(slots=True)
class Request:
    """What an answer may depend on. `target` is path and query as sent, `page_origin` the header Origin."""

    method: str
    target: str
    content_type: str = ""
    body: bytes = b""
    host: str = ""
    page_origin: str = ""


@dataclass(slots=True)
class Answer:
    """A whole answer; the server adds Content-Length."""

    status: int
    headers: Headers
    body: bytes


def plain_answer(status: int, text: str) -> Answer:
    return Answer(status, (PLAIN_TEXT,), f"{text}\n".encode())


def stream_answer(channel: str) -> Answer:
    """Instruct the proxy to hold the client as a stream, open with one event, and keep it alive with comments."""
    headers = (
        ("Content-Type", "text/event-stream"),
        ("Cache-Control", "no-cache"),
        ("Grip-Hold", "stream"),
        ("Grip-Channel", channel),
        ("Grip-Keep-Alive", f":\\n\\n; format=cstring; timeout={KEEP_ALIVE_S}"),
    )
    return Answer(200, headers, b"event: message\ndata: stream open\n\n")


def poll_answer(channel: str) -> Answer:
    """Instruct the proxy to hold the client as a long-poll; the body is what it gets when nothing is published."""
    headers = (
        PLAIN_TEXT,
        ("Cache-Control", "no-store"),
        ("Grip-Hold", "response"),
        ("Grip-Channel", channel),
        ("Grip-Timeout", str(POLL_TIMEOUT_S)),
    )
    return Answer(200, headers, f"nothing was published within {POLL_TIMEOUT_S} seconds\n".encode())


def publish_item(channel: str, text: str) -> dict[str, object]:
    """Make one item with a format for each kind of hold: an event, a whole response, a message of a WebSocket."""
    event = "".join(f"data: {line}\n" for line in text.splitlines() or [""]) + "\n"
    formats = {
        "http-stream": {"content": event},
        "http-response": {"body": f"{text}\n"},
        "ws-message": {"content": text},
    }
    return {"channel": channel, "formats": formats}


def publish_answer(request: Request, publish: Publish) -> Answer:
    """Publish the text of a JSON body ``{"channel": C, "text": T}``."""
    # A form on a foreign page cannot send this content type without asking first, so it cannot publish here.
    if request.content_type.partition(";")[0].strip().lower() != "application/json":
        return plain_answer(415, "Content-Type must be application/json")
    try:
        fields = json.loads(request.body)
        channel, text = fields["channel"], fields["text"]
    except (ValueError, KeyError, TypeError):
        return plain_answer(400, 'body must be a JSON object with "channel" and "text"')
    if not isinstance(channel, str) or not CHANNEL_NAME.fullmatch(channel):
        return plain_answer(400, f"not a channel name: {channel!r}")
    if not isinstance(text, str):
        return plain_answer(400, f"text is not a string: {text!r}")
    try:
        publish(publish_item(channel, text))
    except OSError as error:
        return plain_answer(502, f"gripproxy did not take the item: {error}")
    return plain_answer(200, "published")


def chat_answer(request: Request, channel: str, publish: Publish) -> Answer:
    """Answer the events of a WebSocket; what its client says is published."""
    if request.content_type != EVENTS_TYPE:
        return plain_answer(415, "this is for WebSockets, whose events the proxy sends")
    # Browsers let any page open WebSockets to anywhere: which pages may is for the origin to say.
    if request.page_origin and urlsplit(request.page_origin).netloc != request.host:
        return plain_answer(403, f"not for pages of {request.page_origin}")
    try:
        events = chat_events(channel, request.body, lambda text: publish(publish_item(channel, text)))
    except OriginError as error:
        return plain_answer(400, str(error))
    return Answer(200, (("Content-Type", EVENTS_TYPE), ("Sec-WebSocket-Extensions", "grip")), events)


def channel_answer(request: Request, path: str, query: str, publish: Publish) -> Answer:
    """Answer `/stream`, `/poll` and `/chat`, which need to be told a channel."""
    values = parse_qs(query).get("channel", [])
    if not values:
        return plain_answer(400, "missing parameter: channel")
    channel = values[0]
    if not CHANNEL_NAME.fullmatch(channel):
        return plain_answer(400, f"not a channel name: {channel!r}")
    if path == "/chat":
        return chat_answer(request, channel, publish)
    return stream_answer(channel) if path == "/stream" else poll_answer(channel)


def answer(request: Request, page: bytes, publish: Publish) -> Answer:
    """Answer one request. `publish` hands an item to the proxy and raises OSError when it does not take it."""
    parts = urlsplit(request.target)
    if parts.path not in METHODS:
        return plain_answer(404, f"no such page: {parts.path}")
    allowed = METHODS[parts.path]
    if request.method != allowed:
        return Answer(405, (PLAIN_TEXT, ("Allow", allowed)), f"{parts.path} takes {allowed} only\n".encode())
    if parts.path == "/publish":
        return publish_answer(request, publish)
    if parts.path == "/":
        return Answer(200, (("Content-Type", "text/html; charset=utf-8"), ("Cache-Control", "no-cache")), page)
    return channel_answer(request, parts.path, parts.query, publish)


def publish_over_http(control_url: str, item: dict[str, object]) -> None:
    """POST one item to the proxy's control port, as any web application would.

    Raises:
        OSError: the port is not there, or refused the item; says why.
    """
    body = json.dumps({"items": [item]}).encode()
    request = urllib.request.Request(f"{control_url}/publish/", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=PUBLISH_TIMEOUT_S) as response:
            response.read()
    except urllib.error.HTTPError as error:
        raise OSError(f"{error.code} {error.read().decode(errors='replace').strip()}") from error


def load_page(publish_command: str) -> bytes:
    """Read the page and write the command line that publishes into it."""
    page = resources.files("gripproxy.demo").joinpath("page.html").read_text(encoding="utf-8")
    return page.replace("{{publish_command}}", html.escape(publish_command)).encode()


class OriginHandler(BaseHTTPRequestHandler):
    """The shell around `answer`: reads a request off the socket, writes the answer to it."""

    protocol_version = "HTTP/1.1"
    server_version = "gripproxy-demo"
    disable_nagle_algorithm = True

    def __init__(self, *args: object, page: bytes, publish: Publish) -> None:
        self._page = page
        self._publish = publish
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self._reply(answer(Request(self.command, self.path), self._page, self._publish))

    def do_POST(self) -> None:
        length_text = self.headers.get("Content-Length", "")
        content_type = self.headers.get("Content-Type", "")
        max_bytes = chat.BODY_MAX_BYTES if content_type == EVENTS_TYPE else BODY_MAX_BYTES
        if not length_text.isdecimal() or int(length_text) > max_bytes:
            self.close_connection = True
            self._reply(plain_answer(413, f"a body needs a Content-Length of at most {max_bytes}"))
            return
        request = Request(
            self.command,
            self.path,
            content_type,
            self.rfile.read(int(length_text)),
            self.headers.get("Host", ""),
            self.headers.get("Origin", ""),
        )
        self._reply(answer(request, self._page, self._publish))

    def _reply(self, reply: Answer) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent: the terminal is for the lines to paste."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m gripproxy.demo.origin", description="The demo's origin.")
    parser.add_argument("--control-url", default="http://127.0.0.1:5561", help="where to publish (%(default)s)")
    parser.add_argument("--publish-command", default="gripproxy-publish", help="command line that the page shows")
    options = parser.parse_args(argv)
    setproctitle.setproctitle("gripproxy: demo origin")
    # Control-C reaches the whole foreground group; this process waits for the demo to close its standard input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    handler = partial(
        OriginHandler,
        page=load_page(options.publish_command),
        publish=partial(publish_over_http, options.control_url),
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_address[1], flush=True)
        sys.stdin.buffer.read()
        server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
