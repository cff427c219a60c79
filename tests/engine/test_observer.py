"""Requests and holds as an observer sees them, from the first byte to the end."""

from collections.abc import Sequence

from gripproxy.engine.client_request import ClientRequest
from gripproxy.engine.effects import AskLink, Log
from gripproxy.engine.events import OriginFailure
from gripproxy.engine.observer import Answer, Identity
from gripproxy.engine.subscriptions import Channel
from gripproxy.engine.traffic import RouteTraffic
from gripproxy.engine.ws_session import WsSession
from gripproxy.protocol.link_url import LinkUrl
from gripproxy.protocol.publish_format import Action
from gripproxy.protocol.telemetry import Outcome, Traffic
from gripproxy.protocol.websocket_frame import TEXT, Frame
from tests.engine.conversation import LINK, STREAM, Conversation, answer, content, request


class Notes:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.seen: list[tuple[object, ...]] = []

    def on_request(self, conn_id: int, request: ClientRequest) -> None:
        self.seen.append(("request", conn_id, request.head.target))

    def on_answer(self, conn_id: int, request: ClientRequest, outcome: Outcome, answer: Answer) -> None:
        self.seen.append(("answer", conn_id, outcome, answer.status, answer.body_bytes, answer.is_retry))

    def on_hold(
        self, conn_id: int, request: ClientRequest, mode: str, channels: Sequence[Channel], is_retry: bool
    ) -> None:
        self.seen.append(("hold", conn_id, mode, [channel.name for channel in channels], is_retry))

    def on_link(self, conn_id: int, request: ClientRequest, url: LinkUrl, outcome: Outcome, answer: Answer) -> None:
        self.seen.append(("link", conn_id, str(url), outcome, answer.status, answer.body_bytes))

    def on_socket(self, session: WsSession) -> None:
        self.seen.append(("socket", session.conn_id))

    def on_subscribe(self, session: WsSession, channel: Channel) -> None:
        self.seen.append(("subscribe", session.conn_id, channel.name))

    def connection_id(self, conn_id: int) -> bytes:
        return b"%d" % conn_id

    def on_end(self, conn_id: int, traffic: RouteTraffic) -> None:
        self.seen.append(("end", conn_id, traffic.route))

    def identity(self, conn_id: int) -> Identity:
        return conn_id, "name"

    def on_handed_over(self, conn_id: int) -> None:
        self.seen.append(("handed over", conn_id))

    def on_taken_over(self, conn_id: int, identity: Identity) -> None:
        self.seen.append(("taken over", conn_id, identity))


def observed() -> tuple[Conversation, Notes]:
    talk, notes = Conversation(), Notes()
    talk.core.accounts.observer = notes
    return talk, notes


def connections(talk: Conversation) -> int:
    return sum(traffic.values[Traffic.CONNECTIONS] for traffic in talk.core.accounts.traffic.routes.values())


def test_stream_is_one_connection_from_request_to_leaving() -> None:
    """It is announced when it is held, and over when its client is gone."""
    talk, notes = observed()
    talk.gets_held(4, STREAM, b"hi\n")
    assert connections(talk) == 1
    talk.publish(content(b"x"))
    talk.leaves(4)
    assert notes.seen == [
        ("request", 4, b"/"),
        ("hold", 4, "stream", ["news"], False),
        ("answer", 4, Outcome.HELD, 200, 3, False),
        ("end", 4, ""),
    ]
    assert connections(talk) == 0


def test_long_poll_that_is_asked_again_stays_one_connection() -> None:
    """Its second answer is a retry's."""
    talk, notes = observed()
    poll = [(b"Grip-Hold", b"response"), (b"Grip-Channel", b"news")]
    talk.gets_held(4, poll)
    talk.publish(answer(b"", action=Action.HINT))
    talk.origin_answers(4, poll)
    talk.origin_sent(4, b"")
    assert connections(talk) == 1
    talk.publish(answer(b"news"))
    kinds = [(note[0], note[-1]) for note in notes.seen]
    held = [("hold", False), ("answer", False)]
    assert kinds == [("request", b"/"), *held, ("hold", True), ("answer", True), ("end", "")]
    assert talk.core.accounts.traffic.of("").values[Traffic.ACTIVITY] == 2
    assert talk.core.accounts.traffic.of("").values[Traffic.REQUESTS] == 1


def hinted(talk: Conversation, channel: str = "news") -> int:
    """Let the held stream ask for its next part; give the link's id."""
    asked = [*talk.publish(content(b"", channel, Action.HINT)), *talk.updates()]
    (link_id,) = [effect.link_id for effect in asked if isinstance(effect, AskLink)]
    return link_id


def test_next_part_is_told_as_one_of_the_streams_that_get_it() -> None:
    """Once it is whole, or failed; and a hold only if the channels are others."""
    talk, notes = observed()
    talk.gets_held(4, [*STREAM, LINK], b"hi\n")
    notes.seen.clear()
    talk.links_to(hinted(talk), [*STREAM, LINK], b"12345")
    assert [(each[0], *each[3:]) for each in notes.seen] == [("link", Outcome.ANSWERED, 200, 5)]
    talk.links_to(hinted(talk), [(b"Grip-Hold", b"stream"), (b"Grip-Channel", b"others"), LINK])
    assert notes.seen[-1] == ("hold", 4, "stream", ["others"], True)
    notes.seen.clear()
    effects = talk.link_answers(hinted(talk, "others"), [(b"Grip-Hold", b"nonsense")])
    assert [(each[0], *each[3:]) for each in notes.seen[:1]] == [("link", Outcome.ANSWERED, 200, 0)]
    assert [effect.about for effect in effects if isinstance(effect, Log)] == [4]


def test_request_that_fails_is_told_and_over() -> None:
    """Whether the origin is at fault, the route, or the client that left."""
    talk, notes = observed()
    talk.asks(4)
    talk.origin_fails(4, OriginFailure.BROKEN)
    talk.asks(5)
    talk.leaves(5)
    assert [note[:4] for note in notes.seen] == [
        ("request", 4, b"/"),
        ("answer", 4, Outcome.ANSWERED, 502),
        ("end", 4, ""),
        ("request", 5, b"/"),
        ("answer", 5, Outcome.FAILED, 0),
        ("end", 5, ""),
    ]
    assert connections(talk) == 0


def test_websocket_is_one_connection_from_request_to_leaving() -> None:
    """Its request is answered when it is accepted; channels come and go later."""
    talk, notes = observed()
    talk.opens_socket(4)
    assert connections(talk) == 1
    talk.origin_speaks(4, Frame(TEXT, b'c:{"type":"subscribe","channel":"news"}'))
    talk.origin_speaks(4, Frame(TEXT, b'c:{"type":"subscribe","channel":"news"}'))
    talk.leaves(4)
    assert notes.seen == [
        ("request", 4, b"/"),
        ("socket", 4),
        ("answer", 4, Outcome.HELD, 101, 0, False),
        ("subscribe", 4, "news"),
        ("end", 4, ""),
    ]
    assert connections(talk) == 0


def test_refused_request_is_a_request() -> None:
    """The log says why nobody got it."""
    talk, notes = observed()
    talk.asks(4, request(upgrade=b"websocket"))
    assert [note[:4] for note in notes.seen][1] == ("answer", 4, Outcome.ANSWERED, 400)
    assert notes.seen[-1] == ("end", 4, "")
    assert connections(talk) == 0
