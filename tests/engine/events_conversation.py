"""Lets a test speak with WebSocket clients and their origins over HTTP: bodies of events instead of links."""

from collections.abc import Iterable

from gripproxy.engine.effects import AskLink, Cut, Effect, EndSocket
from gripproxy.engine.events import LinkFailed, OriginFailure, ReaderCaughtUp
from gripproxy.engine.ws_session import WsSession
from gripproxy.protocol.http1 import Headers
from gripproxy.protocol.websocket_events import MEDIA_TYPE
from gripproxy.protocol.websocket_frame import CLOSE, TEXT, Frame
from gripproxy.settings import Settings
from tests.engine.conversation import Conversation, socket_request

EVENTS: Headers = [(b"Content-Type", MEDIA_TYPE)]
GRIP = (b"Sec-WebSocket-Extensions", b"grip")
INTERVAL = (b"Keep-Alive-Interval", b"30")


def asks(effects: Iterable[Effect]) -> list[AskLink]:
    """Give the requests among some effects."""
    return [effect for effect in effects if isinstance(effect, AskLink)]


def body_of(ask: AskLink) -> bytes:
    return ask.head.partition(b"\r\n\r\n")[2]


def lines_of(ask: AskLink) -> list[bytes]:
    """Give the request line and headers."""
    return ask.head.partition(b"\r\n\r\n")[0].split(b"\r\n")


def text(message: bytes) -> Frame:
    return Frame(TEXT, message)


def close(code: int = 1000, reason: bytes = b"") -> Frame:
    return Frame(CLOSE, code.to_bytes(2, "big") + reason)


def names(effects: list[Effect]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


class EventsConversation(Conversation):
    """A core with a route to an origin over HTTP. `asked` is the last request to it."""

    def __init__(self, route: str = "* origin:80,over_http", settings: Settings | None = None) -> None:
        super().__init__(route, settings)
        self.asked: AskLink | None = None

    @property
    def body(self) -> bytes:
        """The events of the last request."""
        assert self.asked is not None
        return body_of(self.asked)

    @property
    def is_quiet(self) -> bool:
        """Whether no request is in flight."""
        return self.core.sessions.requests.count == 0

    def session(self, conn_id: int = 4) -> WsSession | None:
        return self.core.sockets.session(conn_id)

    def note(self, effects: list[Effect]) -> list[Effect]:
        """Remember the request among some effects, of which there is at most one, and give the others."""
        made = asks(effects)
        assert len(made) <= 1, made
        if made:
            assert self.core.sessions.requests.count == 1, "two requests at once"
            self.asked = made[0]
        return [effect for effect in effects if effect not in made]

    def begins(self, conn_id: int = 4, *more: tuple[bytes, bytes]) -> list[Effect]:
        """Let a client ask for a WebSocket."""
        return self.note(self.asks(conn_id, socket_request(b"/", *more)))

    def answers(self, body: bytes = b"", *headers: tuple[bytes, bytes], status: int = 200) -> list[Effect]:
        """Answer the last request, with events unless `headers` say another type."""
        assert self.asked is not None
        link_id = self.asked.link_id
        has_type = any(name == b"Content-Type" for name, _ in headers)
        effects = self.link_answers(link_id, [*([] if has_type else EVENTS), *headers], status)
        if body and not effects:
            effects += self.link_sends(link_id, body)
        if not effects:
            effects += self.link_ends(link_id)
        return self.note(effects)

    def fails(self, failure: OriginFailure = OriginFailure.CONNECT, is_sent: bool = True) -> list[Effect]:
        """Let the last request get no answer."""
        assert self.asked is not None
        return self.note(self.core.handle(LinkFailed(self.asked.link_id, failure, "it broke", is_sent), self.now))

    def opens(self, *headers: tuple[bytes, bytes], conn_id: int = 4) -> list[Effect]:
        """Go all the way from a WebSocket request to the 101, without GRIP unless `headers` say so."""
        self.begins(conn_id)
        return self.answers(b"OPEN\r\n", *headers)

    def reads(self, conn_id: int = 4) -> list[Effect]:
        """Let a client read what it was sent."""
        return self.note(self.core.handle(ReaderCaughtUp(conn_id), self.now))

    def waits(self, seconds: float) -> list[Effect]:
        """Let time pass, and whatever comes due."""
        return self.note(self.passes(seconds))


def opened(*headers: tuple[bytes, bytes], route: str = "* origin:80,over_http") -> EventsConversation:
    """Begin with a client whose origin has accepted it."""
    talk = EventsConversation(route)
    talk.opens(*headers)
    assert talk.is_quiet
    return talk


def says(talk: EventsConversation, *frames: Frame) -> list[Effect]:
    return talk.note(talk.client_sends(4, *frames))


def is_dropped(effects: list[Effect]) -> bool:
    """Whether a client's connection was cut without a close frame."""
    return Cut(4) in effects and not any(isinstance(effect, EndSocket) for effect in effects)
