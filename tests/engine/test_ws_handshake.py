"""From a WebSocket request to the 101, or to another answer."""

import pytest

from gripproxy.engine.effects import LOG_INFO, AskOrigin, Cut, Effect, Log, OpenSocket, Relay, Respond
from gripproxy.engine.events import OriginAnswered, OriginFailure, RelayDone
from gripproxy.protocol.http1 import SIZED, UNTIL_CLOSE, check_response
from gripproxy.settings import Settings
from tests.engine.conversation import Conversation, accepting, request, socket_request

AT_FAULT = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 34\r\n\r\nError while proxying to origin.\n"


def only(effects: list[Effect]) -> Effect:
    (effect,) = [effect for effect in effects if not isinstance(effect, Log)]
    return effect


def answered(effects: list[Effect]) -> bytes:
    effect = only(effects)
    assert isinstance(effect, Respond)
    assert not effect.is_persistent
    return effect.payload


def test_origin_is_offered_grip_and_not_what_the_client_wanted() -> None:
    """Each leg has its own key and extensions."""
    talk = Conversation("* origin:80")
    offer = (b"Sec-WebSocket-Extensions", b"permessage-deflate")
    ask = only(talk.asks(4, socket_request(b"/chat?a=1", (b"Sec-WebSocket-Protocol", b"x, y"), offer)))
    assert isinstance(ask, AskOrigin)
    assert ask.is_websocket
    lines = ask.head.split(b"\r\n")
    assert lines[0] == b"GET /chat?a=1 HTTP/1.1"
    assert b"Sec-WebSocket-Protocol: x, y" in lines
    assert [line for line in lines if line.startswith(b"Sec-WebSocket-Extensions")] == [
        b"Sec-WebSocket-Extensions: grip"
    ]
    assert b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==" not in lines


def test_client_is_answered_when_the_origin_has_accepted() -> None:
    """With its headers, but for those of the other leg."""
    talk = Conversation()
    opened = talk.opens_socket(4, more=[(b"Sec-WebSocket-Protocol", b"y"), (b"X-A", b"1")])[0]
    assert isinstance(opened, OpenSocket)
    assert opened.has_origin
    assert opened.payload == (
        b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Protocol: y\r\nX-A: 1\r\n"
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )
    assert talk.core.exchanges == {}


def test_compression_is_agreed_on_each_leg_by_itself() -> None:
    """And only where the settings allow it."""
    offer = (b"Sec-WebSocket-Extensions", b"permessage-deflate; client_max_window_bits")
    talk = Conversation(settings=Settings(allow_compression=True))
    ask = only(talk.asks(4, socket_request(b"/", offer)))
    assert isinstance(ask, AskOrigin)
    assert ask.head.count(b"Sec-WebSocket-Extensions: ") == 2
    opened = talk.core.handle(OriginAnswered(4, accepting(b"grip")), talk.now)[0]
    assert isinstance(opened, OpenSocket)
    assert opened.is_deflating
    assert not opened.is_origin_deflating
    assert b"Sec-WebSocket-Extensions: permessage-deflate" in opened.payload


@pytest.mark.parametrize(
    "head",
    [
        request(upgrade=b"websocket"),
        request(upgrade=b"WebSocket", method=b"POST", headers=socket_request().headers),
        request(upgrade=b"websocket", framing=SIZED, content_length=1, headers=socket_request().headers),
    ],
)
def test_what_is_no_handshake_is_refused(head: object) -> None:
    """What follows it could be anything: the connection ends."""
    payload = answered(Conversation().asks(4, head))  # type: ignore[arg-type]  # the parameters are request heads
    assert payload.startswith(b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n")
    assert b"was not a valid WebSocket request.\n" in payload


def test_without_a_route() -> None:
    """The reference's words."""
    talk = Conversation("other.test origin:80")
    assert answered(talk.asks(4, socket_request())).endswith(b"\r\n\r\nRoute not found\n")


def test_other_answers_go_on_as_they_are() -> None:
    """The client sees what the origin thinks of it; then the connection ends."""
    talk = Conversation()
    talk.asks(4, socket_request())
    headers = [(b"Content-Type", b"text/x"), (b"Upgrade", b"websocket"), (b"Content-Length", b"2")]
    relay = only(talk.core.handle(OriginAnswered(4, check_response(403, b"No Way", headers, False)), talk.now))
    head = b"HTTP/1.1 403 No Way\r\nContent-Type: text/x\r\nContent-Length: 2\r\n\r\n"
    assert relay == Relay(4, head, SIZED, is_persistent=False)
    talk.core.handle(RelayDone(4, 2), talk.now)
    assert talk.core.exchanges == {}


@pytest.mark.parametrize(("status", "count"), [(200, 1), (204, 1), (302, 0), (403, 0), (500, 0)])
def test_a_page_for_a_websocket_is_in_the_log(status: int, count: int) -> None:
    """It is no refusal: most likely the origin speaks HTTP only, and browsers do not show the answer."""
    talk = Conversation("* origin:80")
    talk.asks(4, socket_request())
    effects = talk.core.handle(OriginAnswered(4, check_response(status, b"", [], False)), talk.now)
    text = f"origin origin:80: it answered a WebSocket with status {status}: is it one for HTTP, and over_http missing?"
    assert [effect for effect in effects if isinstance(effect, Log)] == [Log(LOG_INFO, text, about=4)] * count


def test_answer_that_breaks_off() -> None:
    """An honest end would look like a whole answer."""
    talk = Conversation()
    talk.asks(4, socket_request())
    effect = only(talk.core.handle(OriginAnswered(4, check_response(403, b"No", [], False)), talk.now))
    assert isinstance(effect, Relay)
    assert effect.framing is not UNTIL_CLOSE
    assert only(talk.origin_fails(4)) == Cut(4)


def test_next_target_if_the_first_is_not_there() -> None:
    """And the end of them."""
    talk = Conversation("* one:80 two:80")
    first = only(talk.asks(4, socket_request()))
    second = only(talk.origin_fails(4, OriginFailure.CONNECT))
    assert isinstance(first, AskOrigin)
    assert isinstance(second, AskOrigin)
    assert (first.target.host, second.target.host) == ("one", "two")
    assert answered(talk.origin_fails(4, OriginFailure.CONNECT)) == AT_FAULT.replace(b"34", b"32")


def test_debug_routes_say_what_was_tried() -> None:
    """In the reference's words."""
    talk = Conversation("*,debug one:80 two:80")
    talk.asks(4, socket_request())
    talk.origin_fails(4, OriginFailure.CONNECT)
    payload = answered(talk.origin_fails(4, OriginFailure.CONNECT))
    assert payload.endswith(b"\r\n\r\nUnable to connect to any targets. Tried: one:80, two:80\n")


def test_origin_that_accepts_something_else() -> None:
    """Its 101 is no answer to our key."""
    talk = Conversation()
    talk.asks(4, socket_request())
    head = accepting()
    head.headers = [header for header in head.headers if header[0] != b"Sec-WebSocket-Accept"]
    assert answered(talk.core.handle(OriginAnswered(4, head), talk.now)).startswith(b"HTTP/1.1 502 ")


def test_zhttpreq_cannot_do_it() -> None:
    """It has one answer for each request."""
    talk = Conversation("*,debug zhttpreq/tcp://127.0.0.1:10000")
    assert answered(talk.asks(4, socket_request())).endswith(b"WebSockets cannot be used with zhttpreq target\n")


def test_test_target_knows_one_path() -> None:
    """Whoever mistypes it is told."""
    payload = answered(Conversation("* test").asks(4, socket_request(b"/wss")))
    assert payload.startswith(b"HTTP/1.1 404 Not Found")
    assert payload.endswith(b"no such test resource\n")


def test_route_without_grip_offers_none() -> None:
    """And takes none: control messages are data."""
    talk = Conversation("*,no_grip origin:80")
    ask = only(talk.asks(4, socket_request()))
    assert isinstance(ask, AskOrigin)
    assert b"grip" not in ask.head.lower()
    talk.core.handle(OriginAnswered(4, accepting(b"grip")), talk.now)
    session = talk.core.sockets.session(4)
    assert session is not None
    assert session.shape.message_prefix is None
