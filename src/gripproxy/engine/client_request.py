"""A client's request from its arrival to its last answer: its route, and how answers to it are written."""

from dataclasses import dataclass, field

from gripproxy.engine.traffic import RouteTraffic
from gripproxy.errors import OriginError
from gripproxy.protocol.cross_origin import with_cors
from gripproxy.protocol.http1 import (
    CHUNKED,
    UNTIL_CLOSE,
    BodyFraming,
    Headers,
    RequestHead,
    encode_response,
    encode_response_head,
)
from gripproxy.protocol.jsonp import JsonpRequest, encode_jsonp
from gripproxy.protocol.link_url import LinkUrl
from gripproxy.protocol.reason_phrase import reason_phrase
from gripproxy.protocol.route import Route
from gripproxy.protocol.route_target import Target
from gripproxy.protocol.websocket_handshake import message_prefix_of

PLAIN_TEXT: Headers = [(b"Content-Type", b"text/plain")]
ORIGIN_AT_FAULT = "Error while proxying to origin."  # all that is said to clients where debug is off


@dataclass(slots=True, eq=False)
class ClientRequest:
    """One request and its route. A long-poll keeps it, to ask the origin again.

    `head` is as it came, and so is `body`, which is known only from the hold on. `target` is the one that was asked
    last. With `is_websocket` it wants to speak that. With `is_trusted` the client is a GRIP proxy itself: it
    interprets the answer. With `is_cross_origin` pages of other origins may read the answers; with `jsonp` the answer
    is a script, and another request is meant.
    """

    head: RequestHead
    client_ip: str
    is_https: bool
    route: Route
    is_debug: bool
    is_cross_origin: bool = False
    is_trusted: bool = False
    is_websocket: bool = False
    jsonp: JsonpRequest | None = None
    target: Target | None = None
    body: bytes = b""
    traffic: RouteTraffic = field(default_factory=lambda: RouteTraffic(""))

    @property
    def meant(self) -> RequestHead:
        """The request that the origin gets."""
        return self.head if self.jsonp is None else self.jsonp.head

    @property
    def is_uninterpreted(self) -> bool:
        """Whether the origin's answer goes on as it is, whatever it says of GRIP."""
        return self.is_trusted or self.route.no_grip

    @property
    def is_grip_passed_on(self) -> bool:
        """Whether the origin of a WebSocket is offered GRIP for the client, a GRIP proxy that offers it itself."""
        return self.is_trusted and not self.route.no_grip and message_prefix_of(self.head.headers) is not None

    @property
    def url(self) -> LinkUrl:
        """What the origin was asked for: the base of links in its answer."""
        host = self.head.host.decode("latin-1") if self.route.as_host is None else self.route.as_host
        return LinkUrl(self.is_https, host, self.route.rewrite_path(self.meant.target).decode("latin-1"))

    def begin(
        self, status: int, reason: bytes, headers: Headers, framing: BodyFraming, length: int = 0
    ) -> tuple[bytes, bool]:
        """Write the head of a response whose body follows; give the bytes and whether the connection persists."""
        if self.is_cross_origin:
            headers = with_cors(self.head.headers, headers)
        return encode_response_head(self.head, status, reason, headers, framing, length)

    def begin_stream(self, status: int, reason: bytes, headers: Headers) -> tuple[bytes, BodyFraming]:
        """Write the head of a response without a known end; give the bytes and the framing of what follows."""
        framing = CHUNKED if self.head.is_http11 else UNTIL_CLOSE
        return self.begin(status, reason, headers, framing)[0], framing

    def answer(
        self, status: int, reason: bytes, headers: Headers, body: bytes, is_held: bool = False
    ) -> tuple[bytes, bool]:
        """Write a whole response; give the bytes and whether the connection persists. `is_held`: it had to wait."""
        if self.jsonp is not None:
            try:
                headers, body = encode_jsonp(self.jsonp, status, reason, headers, body, is_held)
                status, reason = 200, b"OK"
            except OriginError as error:
                status, reason, headers, body = 500, reason_phrase(500), PLAIN_TEXT, f"{error}\n".encode()
        elif self.is_cross_origin:
            headers = with_cors(self.head.headers, headers)
        return encode_response(self.head, status, reason, headers, body)

    def answer_text(self, status: int, text: str) -> tuple[bytes, bool]:
        """Write one of gripproxy's own plain-text answers; the body ends in one newline."""
        body = text.encode("utf-8", "replace") + b"\n"
        headers = PLAIN_TEXT if self.jsonp is None else [*PLAIN_TEXT, (b"Content-Length", b"%d" % len(body))]
        return self.answer(status, reason_phrase(status), headers, body)

    def answer_error(self, debug_text: str) -> tuple[bytes, bool]:
        """Write the 502 for an origin's fault: what it was, the client hears only on a debug route."""
        return self.answer_text(502, debug_text if self.is_debug else ORIGIN_AT_FAULT)


def stream_error(text: str) -> bytes:
    """Give what is appended to a debug route's stream that ends because of an error, not yet framed."""
    return f"\n\n{text}\n".encode("utf-8", "replace")
