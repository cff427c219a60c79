"""One connection to an origin: sends a request, parses the response, and can be used again."""

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

import httptools

from gripproxy.engine.events import OriginFailure
from gripproxy.engine.timer_wheel import Slot
from gripproxy.errors import OriginError
from gripproxy.protocol.http1 import (
    RESPONSE_HEAD_MAX_BYTES,
    UNTIL_CLOSE,
    BodyFraming,
    Headers,
    ResponseHead,
    check_response,
)
from gripproxy_worker.outbox import Outbox
from gripproxy_worker.ws_origin import DEFLATING_ORIGINS, ORIGINS, OriginSocket, SocketOwner, WsOrigin

HEADERS_MAX_COUNT = 1000  # of a response: each costs a call, and 50,000 fit into a head, which took 40 ms

OriginKey = tuple[str | int | None, ...]  # what makes connections equal: see `origin_key`


class Origin(Protocol):
    """What an asker has of an origin: an `OriginConn`, or what plays its part where no HTTP is spoken."""

    has_answered: bool
    is_paused: bool
    failure: OriginFailure

    @property
    def is_reused(self) -> bool: ...
    @property
    def is_writable(self) -> bool: ...
    @property
    def is_untaken(self) -> bool: ...
    def ask(self, asker: "Asker", payload: bytes, is_head: bool, is_websocket: bool = False) -> None: ...
    def open_socket(self, owner: SocketOwner, conn_id: int, is_deflating: bool) -> OriginSocket: ...
    def send(self, payload: bytes) -> None: ...
    def abandon(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Asker(Protocol):
    """Who waits for the response: a client connection, or a link."""

    def on_origin_head(self, head: ResponseHead) -> None: ...
    def on_origin_body(self, part: bytes) -> None: ...
    def on_origin_end(self) -> None: ...
    def on_origin_failed(self, origin: Origin, detail: str) -> None: ...
    def on_origin_writable(self) -> None: ...
    def on_origin_read(self) -> None: ...


class Keeper(Protocol):
    """Who takes the connection back: the pool."""

    @property
    def outbox(self) -> "Outbox[OriginConn]": ...
    @property
    def clock(self) -> Callable[[], float]: ...
    def on_origin_free(self, origin: "OriginConn", is_reusable: bool) -> None: ...
    def on_origin_switched(self, origin: "OriginConn") -> None: ...
    def on_deadline(self, origin: "OriginConn", now: float) -> None: ...


class OriginConn(asyncio.Protocol):
    """A connection that asks one request at a time.

    `has_answered` says that at least one byte came for the present request: asking again elsewhere is no longer
    harmless. `is_reused` says that it served a request before.
    """

    __slots__ = (
        "_barren_bytes_count",
        "_framing",
        "_headers",
        "_headers_count",
        "_is_ended",
        "_is_head",
        "_is_interim",
        "_is_kept_alive",
        "_is_reset",
        "_is_websocket",
        "_keeper",
        "_parser",
        "_reason",
        "_switched_head",
        "_switched_input",
        "active_at",
        "asker",
        "failure",
        "has_answered",
        "is_paused",
        "is_reused",
        "is_writable",
        "key",
        "slot",
        "transport",
    )

    def __init__(self, key: OriginKey, keeper: Keeper) -> None:
        self.key = key
        self.asker: Asker | None = None
        self.transport: asyncio.Transport | None = None
        self.is_reused = False
        self.is_writable = True
        self.has_answered = False
        self.failure = OriginFailure.BROKEN  # how it fails, if it does
        self.is_paused = False
        self.active_at = 0.0  # monotonic seconds since which nothing came or went; of a head the first byte counts
        self.slot: Slot | None = None
        self._keeper = keeper
        self._parser: httptools.HttpResponseParser | None = None
        self._is_head = False
        self._is_reset = False  # it ended so before a byte of the response had come
        self._switched_input: bytes | None = None  # what came behind a 101, once that is here

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's do not derive from it

    def ask(self, asker: Asker, payload: bytes, is_head: bool, is_websocket: bool = False) -> None:
        """Send the head, and what there is of the body; the rest follows through `send`.

        With `is_websocket` the answer may be 101, after which the connection waits for `open_socket`, or `abandon`.
        """
        self.asker = asker
        self.has_answered = False
        if self._parser is None or self._is_head:  # after a HEAD it still waits for the body
            self._parser = httptools.HttpResponseParser(self)
        self._is_head = is_head
        self._is_websocket = is_websocket
        self._switched_head: ResponseHead | None = None
        self._is_interim = False
        self._is_ended = False
        self._is_kept_alive = False
        self._framing: BodyFraming | None = None
        self._barren_bytes_count = 0
        self._headers: Headers = []
        self._headers_count = 0  # with those of interim responses, and trailers
        self._reason = b""
        self.active_at = self._keeper.clock()
        self._keeper.outbox.put(self, payload)

    def send(self, payload: bytes) -> None:
        """Send more of the body, or as much as there is room for: see `is_writable`."""
        self.active_at = self._keeper.clock()
        self.write(self._keeper.outbox.take(self) + payload)

    def write(self, payload: bytes) -> None:
        """Hand bytes to the transport; nothing if the connection was closed in the meantime."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(payload)

    def open_socket(self, owner: SocketOwner, conn_id: int, is_deflating: bool) -> OriginSocket:
        """Let the connection that has switched protocols be the origin of a WebSocket client."""
        assert self.transport is not None
        early_input, self._switched_input = self._switched_input or b"", None
        transport, self.transport = self.transport, None
        self.asker = self._parser = None
        self._keeper.on_origin_switched(self)
        kind = DEFLATING_ORIGINS if is_deflating else ORIGINS
        return WsOrigin(owner, conn_id, transport, kind, early_input)

    def abandon(self) -> None:
        """Close without telling the asker: the rest of the response is not wanted."""
        self.asker = None
        if self.transport is not None:
            self.transport.abort()

    def pause_reading(self) -> None:
        self.is_paused = True
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        self.is_paused = False
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        self.is_writable = False

    def resume_writing(self) -> None:
        self.is_writable = True
        if self.asker is not None:
            self.asker.on_origin_writable()

    def data_received(self, data: bytes) -> None:
        asker, parser = self.asker, self._parser
        if asker is None or parser is None:
            self.abandon()  # nobody asked for it
            return
        if self._switched_input is not None:
            self._switched_input += data
            return
        keeper = self._keeper
        if self in keeper.outbox:  # the request is not on its way yet: this is no answer to it
            self._break_off("it sent something before it was asked")
            return
        if not self.has_answered:
            self.has_answered = True
            self.active_at = keeper.clock()
        self._barren_bytes_count += len(data)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as switched:
            self._switch(asker, data[switched.args[0] :])
            return
        except httptools.HttpParserCallbackError as error:
            self.fail(str(error.__context__ or error))
        except httptools.HttpParserError as error:
            if self._is_ended:
                self._is_kept_alive = False  # bytes after the end of the response
            else:
                self.fail(f"it sent garbage: {error}")
        if self._barren_bytes_count > RESPONSE_HEAD_MAX_BYTES:
            part = "head" if self._framing is None else "chunk overhead"
            self.fail(f"its response {part} exceeds {RESPONSE_HEAD_MAX_BYTES} bytes")
        if self._framing is not None:
            self.active_at = keeper.clock()
        if self.asker is not None:
            asker.on_origin_read()
        if self._is_ended and self.transport is not None:
            is_reusable = self._is_kept_alive and self._framing is not UNTIL_CLOSE
            # What it has not read of the request would be taken for the next one's, if it ever reads on.
            is_reusable = is_reusable and not self.transport.get_write_buffer_size()
            # Only the last bytes tell that nothing follows the head of an answer to HEAD.
            keeper.on_origin_free(self, is_reusable and (not self._is_head or data.endswith(b"\r\n\r\n")))

    def _switch(self, asker: Asker, behind: bytes) -> None:
        """Bytes that follow are none of HTTP."""
        if self._switched_head is None:
            self.fail("it switched protocols although nobody asked it to")
        else:
            self._switched_input = behind
            asker.on_origin_head(self._switched_head)

    def on_message_begin(self) -> None:
        if self._is_ended:
            self._is_kept_alive = False  # a response that nobody asked for

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers_count += 1
        if self._headers_count > HEADERS_MAX_COUNT:
            raise OriginError(f"its response has more than {HEADERS_MAX_COUNT} headers")
        if self._framing is None:  # a trailer is not a header, least of all one of GRIP (RFC 9110 section 6.5.1)
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        assert parser is not None
        status = parser.get_status_code()
        self._is_interim = 100 <= status < 200
        if self._is_interim:
            self.active_at = self._keeper.clock()
            if status == 101 and self._is_websocket:
                self._switched_head = check_response(status, self._reason, self._headers, is_head=False)
        if self._is_interim or self.asker is None:
            return
        if status < 100 or b"\x00" in self._reason:
            raise OriginError(f"its status line is not one: {status} {self._reason[:100]!r}")
        head = check_response(status, self._reason, self._headers, self._is_head)
        self._framing = head.framing
        self._is_kept_alive = parser.should_keep_alive()  # after the end llhttp has forgotten the framing
        self.asker.on_origin_head(head)
        if self._is_head:
            self._end()

    def on_body(self, part: bytes) -> None:
        if self._is_interim:
            raise OriginError("its interim response has a body")
        self._barren_bytes_count = 0
        if self._is_head:
            self._is_kept_alive = False  # it does not know that HEAD has no body
        elif self.asker is not None:
            self.asker.on_origin_body(part)

    def on_message_complete(self) -> None:
        if self._is_interim:
            self._headers = []
            self._reason = b""
            self._is_interim = False
            return
        self._end()

    def _end(self) -> None:
        """Let the asker go: it may ask elsewhere at once, and what still comes here is not for it."""
        self._is_ended = True
        asker, self.asker = self.asker, None
        if asker is not None:
            asker.on_origin_end()

    def fail(self, detail: str) -> None:
        """End the present request: the origin did not keep to HTTP, or to time."""
        self.is_reused = False  # it was alive, so asking again would bring the same
        self._break_off(detail)

    @property
    def is_untaken(self) -> bool:
        """Whether the origin has ended the connection without having read the whole request.

        A kernel that closes a connection with unread input, or one that nobody has accepted, resets it.
        """
        return not self.is_writable or self._is_reset

    @property
    def is_in_head(self) -> bool:
        """Whether the response has begun, and its head is not whole yet."""
        return self.has_answered and self._framing is None

    def _break_off(self, detail: str) -> None:
        asker, self.asker = self.asker, None
        self.abandon()
        if asker is not None:
            asker.on_origin_failed(self, detail)

    def on_deadline(self, now: float) -> None:
        self._keeper.on_deadline(self, now)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._is_reset = isinstance(exc, ConnectionError) and not self.has_answered
        asker = self.asker
        if asker is not None:
            if self._framing is UNTIL_CLOSE and exc is None:
                self._end()
            else:
                self.asker = None
                when = "before" if self._framing is None else "in the middle of"
                asker.on_origin_failed(self, f"it closed the connection {when} its response")
        self._keeper.on_origin_free(self, is_reusable=False)
        self._parser = None  # it knows us: a cycle that nobody would collect
