"""An origin that does exactly what it is told: per path the bytes it answers, and what it does to the connection."""

import base64
import contextlib
import hashlib
import re
import socket
import struct
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# What an answer can hold besides bytes. They are words in the list of its parts.
CLOSE = "close"  # end the connection with a FIN
RESET = "reset"  # end it with a RST
WAIT = "wait"  # go on when the test says `release()`
SKIP_BODY = "skip-body"  # as the first part: answer without reading the request's body
READ_BODY = "read-body"  # after SKIP_BODY: read it now
LISTEN = "listen"  # as the last part: take what comes, to the connection's end, as the rest of the request's body
ACCEPT = b"{accept}"  # in an answer's bytes: the answer to the request's Sec-WebSocket-Key
ACCEPT_SALT = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3

Part = bytes | str
Answer = bytes | Sequence[Part]

NO_ANSWER: Sequence[Part] = (b"HTTP/1.1 404 Not Found\r\nContent-Length: 14\r\n\r\nno such path\r\n",)
RELEASE_TIMEOUT_S = 30.0


@dataclass(slots=True)
class OriginRequest:
    """A request as it came: header names and values untouched, the body taken out of its framing."""

    method: str
    target: str
    version: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    is_whole: bool = False  # all of the body has come
    connection: socket.socket | None = None  # once the origin listens on it
    is_ended: bool = False  # the proxy has ended that connection

    def header(self, name: str) -> str | None:
        """Give the first value of a header, in any letter case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def accept(self) -> bytes:
        """Give the value of Sec-WebSocket-Accept that answers this request."""
        key = self.header("Sec-WebSocket-Key") or ""
        return base64.b64encode(hashlib.sha1((key + ACCEPT_SALT).encode("latin-1")).digest())


class ConnectionEnd(Exception):
    """The proxy has ended its connection to the origin."""


@dataclass(slots=True)
class _Reader:
    """Reads requests from one connection of the proxy."""

    socket: socket.socket
    pending: bytes = b""

    def until(self, marker: bytes) -> bytes:
        while marker not in self.pending:
            self._more()
        found, _, self.pending = self.pending.partition(marker)
        return found

    def exactly(self, count: int) -> bytes:
        parts, missing = [self.pending], count - len(self.pending)
        while missing > 0:
            self.pending = b""
            self._more()
            parts.append(self.pending)
            missing -= len(self.pending)
        whole = b"".join(parts)
        self.pending = whole[count:]
        return whole[:count]

    def listen(self, request: OriginRequest) -> None:
        """Add to the request's body what comes, until the connection ends."""
        request.body, self.pending = self.pending, b""
        request.connection = self.socket
        try:
            while True:
                self._more()
                request.body, self.pending = request.body + self.pending, b""
        except ConnectionEnd:
            request.is_ended = True
            raise

    def _more(self) -> None:
        try:
            data = self.socket.recv(65536)
        except OSError as error:
            raise ConnectionEnd from error
        if not data:
            raise ConnectionEnd
        self.pending += data

    def head(self) -> OriginRequest:
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        method, target, version = lines[0].split(" ", 2)
        pairs = (line.partition(":") for line in lines[1:])
        return OriginRequest(method, target, version, [(name, value.strip()) for name, _, value in pairs])

    def body(self, request: OriginRequest) -> bytes:
        if (request.header("Transfer-Encoding") or "").lower() == "chunked":
            return self._chunks()
        return self.exactly(int(request.header("Content-Length") or 0))

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.until(b"\r\n").split(b";")[0], 16):
            body += self.exactly(size)
            self.exactly(2)
        while self.until(b"\r\n"):
            pass
        return body


@dataclass(slots=True)
class ScriptedOrigin:
    """Answers by path (the query does not count); ``PATH#2`` is the answer to the second request for PATH."""

    script: dict[str, Answer] = field(default_factory=dict)
    requests: list[OriginRequest] = field(default_factory=list)
    answered_count: int = 0  # answers sent to their end, of those recorded
    connection_count: int = 0  # connections taken since the start
    open_sockets: set[socket.socket] = field(default_factory=set)
    _listener: socket.socket | None = None
    _released: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _counts: dict[str, int] = field(default_factory=dict)

    def start(self) -> None:
        """Listen on a free port of loopback."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening and end every connection."""
        assert self._listener is not None
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_connections()

    @property
    def port(self) -> int:
        assert self._listener is not None
        port: int = self._listener.getsockname()[1]
        return port

    def play(self, script: Mapping[str, Answer]) -> None:
        """Take a new script and forget what has been asked."""
        with self._lock:
            self.script = dict(script)
            self.requests.clear()
            self.answered_count = 0
            self._counts.clear()
            self._released.clear()

    def release(self) -> None:
        """Let answers go on that stand at WAIT."""
        self._released.set()

    def drop_connections(self) -> None:
        """End every open connection, as an origin that restarts does."""
        with self._lock:
            for connection in self.open_sockets:
                with contextlib.suppress(OSError):  # the proxy may have ended it already
                    connection.close() if connection.fileno() < 0 else connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self.open_sockets.add(connection)
                self.connection_count += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = _Reader(connection)
        try:
            while self._answer_one(connection, reader):
                pass
        except (ConnectionEnd, OSError):
            pass
        finally:
            with self._lock:
                self.open_sockets.discard(connection)
            connection.close()

    def _answer_one(self, connection: socket.socket, reader: _Reader) -> bool:
        request = reader.head()
        parts = list(self._parts(request))
        with self._lock:
            self.requests.append(request)
        if parts[:1] == [SKIP_BODY]:
            parts.pop(0)
        else:
            request.body = reader.body(request)
            request.is_whole = True
        for part in parts:
            if part == READ_BODY:
                request.body = reader.body(request)
                request.is_whole = True
            elif part == LISTEN:
                reader.listen(request)
            elif not self._do(connection, part.replace(ACCEPT, request.accept()) if isinstance(part, bytes) else part):
                return False
        with self._lock:
            self.answered_count += 1
        return True

    def _parts(self, request: OriginRequest) -> Sequence[Part]:
        path = re.split(r"[?#]", request.target)[0]
        with self._lock:
            self._counts[path] = count = self._counts.get(path, 0) + 1
            answer = self.script.get(f"{path}#{count}", self.script.get(path, NO_ANSWER))
        return [answer] if isinstance(answer, bytes) else answer

    def _do(self, connection: socket.socket, part: Part) -> bool:
        """Carry out one part of an answer; False ends the connection."""
        if isinstance(part, bytes):
            connection.sendall(part)
        elif part == WAIT:
            self._released.wait(RELEASE_TIMEOUT_S)
        elif part == RESET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        else:
            return False
        return True


def answer(status: str = "200 OK", *headers: str, body: bytes = b"", version: str = "1.1") -> bytes:
    """Spell an answer with its Content-Length."""
    lines = [f"HTTP/{version} {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body
