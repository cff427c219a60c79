"""Lets a test of the engine read like a conversation: short words for requests, answers and items."""

from base64 import b64encode
from collections.abc import Collection, Iterable

from gripproxy.engine.client_request import ClientRequest
from gripproxy.engine.core import Core
from gripproxy.engine.effects import Continue, Effect, WakePacing
from gripproxy.engine.events import (
    ChannelsStale,
    ClientGone,
    ClockTicked,
    Continued,
    FramesCame,
    ItemPublished,
    LinkAnswered,
    LinkBodyCame,
    LinkDone,
    LinkFailed,
    OriginAnswered,
    OriginBodyCollected,
    OriginFailed,
    OriginFailure,
    OriginFramesCame,
    OriginSocketGone,
    PacingDue,
    RequestArrived,
    UpdatesDue,
)
from gripproxy.engine.hold_table import HoldTable
from gripproxy.engine.holds import ResponseHold
from gripproxy.errors import WebSocketError
from gripproxy.protocol.http1 import BodyFraming, Headers, RequestHead, ResponseHead, check_response
from gripproxy.protocol.instruct import ChannelInstruct, HoldMode, Instruct, KeepAlive
from gripproxy.protocol.last_ids import LastIds
from gripproxy.protocol.origin_request import OriginRequests
from gripproxy.protocol.publish_format import Action, HttpResponseFormat, HttpStreamFormat
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.protocol.routes import parse_routes
from gripproxy.protocol.websocket_frame import Frame
from gripproxy.protocol.websocket_handshake import accept_of
from gripproxy.settings import Settings

STREAM: Headers = [(b"Content-Type", b"text/plain"), (b"Grip-Hold", b"stream"), (b"Grip-Channel", b"news")]
LINK = (b"Grip-Link", b"</next?a=1>; rel=next; timeout=30")
LONG_POLL: Headers = [(b"Content-Type", b"text/plain"), (b"Grip-Hold", b"response"), (b"Grip-Channel", b"news")]


def request(
    target: bytes = b"/",
    method: bytes = b"GET",
    is_http11: bool = True,
    is_keep_alive: bool = True,
    framing: BodyFraming = BodyFraming.NONE,
    content_length: int = 0,
    upgrade: bytes | None = None,
    headers: Headers | None = None,
) -> RequestHead:
    """Make a checked request head for the host d.test."""
    return RequestHead(
        method,
        target,
        is_http11,
        headers or [],
        b"d.test",
        framing,
        content_length,
        is_keep_alive,
        upgrade=upgrade,
    )


def client(head: RequestHead | None = None, route: str = "* origin:80", is_debug: bool = False) -> ClientRequest:
    """Make a client's request, its route found."""
    (found,) = parse_routes(route, "routes")[0].routes
    return ClientRequest(head or request(), "10.0.0.9", False, found, is_debug, target=found.targets[0])


def long_poll(conn_id: int, given: Instruct, head: RequestHead | None = None, is_debug: bool = False) -> ResponseHold:
    """Make a hold of an instruct."""
    asked = client(head, is_debug=is_debug)
    return ResponseHold(conn_id, (), asked, given.status, given.reason, given.headers, given.body)


def socket_request(target: bytes = b"/", *more: tuple[bytes, bytes]) -> RequestHead:
    """Make the head of a WebSocket client's request, with the key of RFC 6455 section 1.3."""
    headers = [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Version", b"13")]
    key = (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ==")
    return request(target, upgrade=b"websocket", headers=[*headers, key, *more])


def accepting(extensions: bytes = b"grip", more: Headers | None = None) -> ResponseHead:
    """Make a WebSocket origin's answer to the key that a core without randomness makes."""
    headers = [
        (b"Upgrade", b"websocket"),
        (b"Connection", b"Upgrade"),
        (b"Sec-WebSocket-Accept", accept_of(b64encode(bytes(16)))),
        (b"Sec-WebSocket-Extensions", extensions),
    ]
    return check_response(101, b"Switching Protocols", headers + (more or []), is_head=False)


def stream(channel: bytes = b"news", *more: tuple[bytes, bytes]) -> Headers:
    return [(b"Grip-Hold", b"stream"), (b"Grip-Channel", channel), *more]


def poll(channel: bytes = b"news", *more: tuple[bytes, bytes]) -> Headers:
    return [(b"Grip-Hold", b"response"), (b"Grip-Channel", channel), *more]


def numbered(number: int, text: bytes | None = None, prev: int | None = None, channel: str = "news") -> PublishItem:
    """Make an item of a sequence, for streams and long-polls."""
    body = text or b"%d" % number
    prev_id = str(number - 1 if prev is None else prev)
    return PublishItem(channel, str(number), prev_id, HttpResponseFormat(body=body), HttpStreamFormat(content=body))


def chunk(text: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(text), text)


class Bystander:
    """Stands for `Sessions` where no hold is more than its channels."""

    def publish(self, channel: object, item: PublishItem, now: float) -> list[Effect]:
        raise AssertionError("nothing is tracked")

    def ask_again(self, conn_ids: Collection[int], now: float) -> list[Effect]:
        raise AssertionError("no item is a hint")

    def on_due(self, record: object, now: float) -> list[Effect]:
        raise AssertionError("there are no other deadlines")

    def on_release(self, hold: object, now: float) -> list[Effect]:
        return []


def new_hold_table(linger_s: float = 0.0, jitter: float = 0.0, now: float = 0.0) -> HoldTable:
    """Make a table for holds that are nothing but their channels."""
    holds = HoldTable(now, linger_s, lambda: jitter)
    holds.follower = Bystander()
    return holds


def response(status: int = 200, headers: Headers | None = None, is_head: bool = False) -> ResponseHead:
    return check_response(status, b"OK", headers or [], is_head)


def instruct(
    hold: HoldMode = HoldMode.STREAM,
    channels: Collection[str] = ("news",),
    keep_alive: KeepAlive | None = None,
    timeout_s: int = 55,
    headers: Headers | None = None,
    body: bytes = b"",
) -> Instruct:
    named = [ChannelInstruct(name) for name in channels]
    return Instruct(200, b"OK", headers or [], body, hold, named, timeout_s, keep_alive)


def content(text: bytes, channel: str = "news", action: Action = Action.SEND) -> PublishItem:
    """Make an item for streams."""
    return PublishItem(channel, http_stream=HttpStreamFormat(action, text))


def answer(text: bytes, channel: str = "news", action: Action = Action.SEND, code: int = 200) -> PublishItem:
    """Make an item for long-polls."""
    return PublishItem(channel, http_response=HttpResponseFormat(action, code, body=text))


HTTP10 = request(is_http11=False, is_keep_alive=False)


def hold_stream(
    holds: HoldTable,
    conn_id: int,
    names: Iterable[str] = ("news",),
    keep_alive: KeepAlive | None = None,
    now: float = 0.0,
    head: RequestHead | None = None,
) -> list[Effect]:
    given = instruct(keep_alive=keep_alive)
    return holds.hold_stream(conn_id, list(names), given, client(head), b"head", now)


def hold_response(
    holds: HoldTable,
    conn_id: int,
    names: Iterable[str] = ("news",),
    timeout_s: int = 55,
    now: float = 0.0,
    body: bytes = b"",
) -> list[Effect]:
    given = instruct(HoldMode.RESPONSE, timeout_s=timeout_s, headers=[(b"A", b"b")], body=body)
    return holds.hold_response(long_poll(conn_id, given), list(names), timeout_s, now)


class Conversation:
    """A core and its clock. Each method is an event; it gives the effects."""

    def __init__(self, routes: str = "* origin:80", settings: Settings | None = None) -> None:
        settings = settings or Settings(subscription_linger=0)
        self.now = 1000.0
        self.paces_at: float | None = None
        table, warnings = parse_routes(routes, "routes")
        assert not warnings
        self.last_ids = LastIds()
        requests = OriginRequests(settings, {}, lambda: 0.0)
        self.core = Core(settings, table, requests, self.now, lambda: 0.0, self.last_ids)

    def asks(
        self, conn_id: int, head: RequestHead | None = None, is_done: bool = True, is_https: bool = False
    ) -> list[Effect]:
        event = RequestArrived(conn_id, head or request(), "10.0.0.9", is_https, is_done)
        return self.core.handle(event, self.now)

    def origin_answers(
        self, conn_id: int, headers: Headers | None = None, status: int = 200, is_done: bool = True
    ) -> list[Effect]:
        return self.core.handle(OriginAnswered(conn_id, response(status, headers), is_done), self.now)

    def origin_sent(self, conn_id: int, body: bytes | None, request_body: bytes | None = b"") -> list[Effect]:
        return self.core.handle(OriginBodyCollected(conn_id, body, request_body), self.now)

    def origin_fails(
        self, conn_id: int, failure: OriginFailure = OriginFailure.BROKEN, is_done: bool = True
    ) -> list[Effect]:
        return self.core.handle(OriginFailed(conn_id, failure, "it broke", is_done), self.now)

    def gets_held(
        self, conn_id: int, headers: Headers, body: bytes = b"", head: RequestHead | None = None
    ) -> list[Effect]:
        """Go all the way from the request to the hold; give the last step's effects."""
        self.asks(conn_id, head)
        self.origin_answers(conn_id, headers)
        return self.origin_sent(conn_id, body)

    def publish(self, item: PublishItem) -> list[Effect]:
        return self.core.handle(ItemPublished(item), self.now)

    def link_answers(self, link_id: int, headers: Headers, status: int = 200) -> list[Effect]:
        return self.core.handle(LinkAnswered(link_id, response(status, headers)), self.now)

    def link_sends(self, link_id: int, part: bytes) -> list[Effect]:
        return self.core.handle(LinkBodyCame(link_id, part), self.now)

    def link_ends(self, link_id: int) -> list[Effect]:
        return self.core.handle(LinkDone(link_id), self.now)

    def link_fails(self, link_id: int, failure: OriginFailure = OriginFailure.BROKEN) -> list[Effect]:
        return self.core.handle(LinkFailed(link_id, failure, "it broke"), self.now)

    def links_to(self, link_id: int, headers: Headers, body: bytes = b"") -> list[Effect]:
        """Answer a link from its head to its end; give the last step's effects."""
        self.link_answers(link_id, headers)
        if body:
            self.link_sends(link_id, body)
        return self.link_ends(link_id)

    def opens_socket(self, conn_id: int, extensions: bytes = b"grip", more: Headers | None = None) -> list[Effect]:
        """Go all the way from a WebSocket request to the 101 of a WebSocket origin; give the last step's effects."""
        self.asks(conn_id, socket_request())
        return self.core.handle(OriginAnswered(conn_id, accepting(extensions, more)), self.now)

    def client_sends(self, conn_id: int, *frames: Frame, error: WebSocketError | None = None) -> list[Effect]:
        return self.core.handle(FramesCame(conn_id, list(frames), error), self.now)

    def origin_speaks(self, conn_id: int, *frames: Frame, error: WebSocketError | None = None) -> list[Effect]:
        return self.core.handle(OriginFramesCame(conn_id, list(frames), error), self.now)

    def origin_leaves(self, conn_id: int) -> list[Effect]:
        return self.core.handle(OriginSocketGone(conn_id, "it closed the connection"), self.now)

    def is_told_to_update(self, names: list[str] | None) -> list[Effect]:
        return self.core.handle(ChannelsStale(names), self.now)

    def updates(self) -> list[Effect]:
        return self.core.handle(UpdatesDue(), self.now)

    def leaves(self, conn_id: int) -> list[Effect]:
        return self.core.handle(ClientGone(conn_id), self.now)

    def passes(self, seconds: float) -> list[Effect]:
        self.now += seconds
        return self.core.handle(ClockTicked(), self.now)

    def continues(self) -> list[Effect]:
        return self.core.handle(Continued(), self.now)

    def is_paced_on(self) -> list[Effect]:
        return self.core.handle(PacingDue(), self.now)

    def goes_on(self, effects: list[Effect], end_s: float = 0.0) -> list[tuple[float, Effect]]:
        """Let pass what `Continue` and `WakePacing` ask for, up to `end_s` seconds; give the other effects and when."""
        begin, due = self.now, list(effects)
        done: list[tuple[float, Effect]] = []
        while True:
            while due:
                effect = due.pop(0)
                if isinstance(effect, WakePacing):
                    self.paces_at = self.now + effect.delay_s
                elif isinstance(effect, Continue):
                    due += self.continues()
                else:
                    done.append((round(self.now - begin, 3), effect))
            if self.paces_at is None or self.paces_at > begin + end_s:
                break
            self.now, self.paces_at = max(self.now, self.paces_at), None
            due = self.is_paced_on()
        self.now = begin + end_s
        return done
