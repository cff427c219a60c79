"""WebSocket clients between their two legs: who gets what, and how it ends."""

import pytest

from gripproxy.engine.effects import CloseOrigin, Cut, Effect, EndSocket, Log, OpenSocket, ToOrigin, Write
from gripproxy.engine.web_sockets import CLOSING_MAX_S
from gripproxy.errors import WebSocketError
from gripproxy.protocol.websocket_close import encode_close
from gripproxy.protocol.websocket_frame import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    encode_frame,
)
from tests.engine.conversation import Conversation, socket_request

DETACH = Frame(TEXT, b'c:{"type":"detach"}')


def written(effects: list[Effect]) -> bytes:
    """Give what clients are sent."""
    return b"".join([effect.payload for effect in effects if isinstance(effect, Write)])


def open_talk(extensions: bytes = b"grip") -> Conversation:
    talk = Conversation()
    talk.opens_socket(4, extensions)
    return talk


def is_over(talk: Conversation) -> bool:
    holds = talk.core.holds
    return not any(holds.holds) and not talk.core.exchanges and not talk.core.sockets.mid_message


def test_frames_of_the_client_go_to_its_origin_as_they_are() -> None:
    """Pings too: the origin answers them. And what begins with c: is not GRIP's here."""
    talk = open_talk()
    frames = [Frame(TEXT, b"c:x"), Frame(BINARY, b"", False), Frame(PING, b"p"), Frame(CONTINUATION, b"y")]
    assert talk.client_sends(4, *frames) == [ToOrigin(4, frames)]


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (Frame(TEXT, b"m:hello"), encode_frame(TEXT, b"hello")),
        (Frame(BINARY, b"m:\x00"), encode_frame(BINARY, b"\x00")),
        (Frame(TEXT, b"m:"), encode_frame(TEXT, b"")),
        (Frame(TEXT, b"hello"), b""),
        (Frame(TEXT, b""), b""),
        (Frame(BINARY, b"c:{}"), b""),
        (Frame(PING, b"hi"), encode_frame(PING, b"hi")),
        (Frame(PONG, b""), encode_frame(PONG, b"")),
    ],
)
def test_messages_of_a_grip_origin_need_the_prefix(frame: Frame, expected: bytes) -> None:
    """What has none is for nobody."""
    assert written(open_talk().origin_speaks(4, frame)) == expected


def test_prefix_is_on_the_beginning_of_a_message_only() -> None:
    """And pieces of a message that is not for the client do not leak, as they do in Pushpin."""
    talk = open_talk()
    relayed = talk.origin_speaks(4, Frame(TEXT, b"m:a", False), Frame(PING, b""), Frame(CONTINUATION, b"m:b"))
    assert written(relayed) == encode_frame(TEXT, b"a", False) + encode_frame(PING, b"") + encode_frame(0, b"m:b")
    assert not written(talk.origin_speaks(4, Frame(TEXT, b"x", False), Frame(CONTINUATION, b"m:y")))
    assert not written(talk.origin_speaks(4, Frame(TEXT, b'c:{"type":', False), Frame(CONTINUATION, b'"detach"}')))
    assert written(talk.origin_speaks(4, Frame(TEXT, b"m:z"))) == encode_frame(TEXT, b"z")


def test_another_prefix_and_none() -> None:
    """An empty one lets all pass but control messages."""
    talk = open_talk(b'foo, grip; message-prefix="x;y:"')
    assert written(talk.origin_speaks(4, Frame(TEXT, b"x;y:1"), Frame(TEXT, b"m:2"))) == encode_frame(TEXT, b"1")
    talk = open_talk(b'grip; message-prefix=""')
    assert written(talk.origin_speaks(4, Frame(TEXT, b"m:2"), DETACH)) == encode_frame(TEXT, b"m:2")


def test_origin_without_grip_is_relayed_raw() -> None:
    """Its c: messages are its own business."""
    talk = open_talk(b"foo")
    assert written(talk.origin_speaks(4, Frame(TEXT, b"c:1"), Frame(TEXT, b"2"))) == (
        encode_frame(TEXT, b"c:1") + encode_frame(TEXT, b"2")
    )


def test_client_closes() -> None:
    """Its code goes to the origin, whose answer it gets."""
    talk = open_talk()
    close = Frame(CLOSE, encode_close(3001, b"bye"))
    assert talk.client_sends(4, Frame(TEXT, b"last"), close) == [
        ToOrigin(4, [Frame(TEXT, b"last")]),
        ToOrigin(4, [close]),
    ]
    assert written(talk.origin_speaks(4, Frame(TEXT, b"m:more"))) == encode_frame(TEXT, b"more")
    answer = encode_close(3002, b"ok")
    assert talk.origin_speaks(4, Frame(CLOSE, answer)) == [EndSocket(4, encode_frame(CLOSE, answer))]
    assert is_over(talk)


def test_close_without_a_code_becomes_1000() -> None:
    """A code of 0, which some libraries write, is none either. What an origin is sent is for its connection to say."""
    talk = open_talk()
    assert talk.client_sends(4, Frame(CLOSE, b"")) == [ToOrigin(4, [Frame(CLOSE, b"")])]
    talk = open_talk()
    assert written(talk.origin_speaks(4, Frame(CLOSE, b"\0\0"))) == encode_frame(CLOSE, encode_close(1000))


def test_origin_closes() -> None:
    """The client's answer goes to it; what the client sent before that does not."""
    talk = open_talk()
    close = encode_close(4000, b"done")
    assert written(talk.origin_speaks(4, Frame(CLOSE, close))) == encode_frame(CLOSE, close)
    assert talk.client_sends(4, Frame(TEXT, b"late")) == []
    assert talk.client_sends(4, Frame(CLOSE, close)) == [CloseOrigin(4, Frame(CLOSE, close)), EndSocket(4, b"")]
    assert is_over(talk)


@pytest.mark.parametrize("is_origin_first", [True, False])
def test_a_close_that_nobody_answers_ends_after_a_while(is_origin_first: bool) -> None:
    """A vanished peer must not keep the other."""
    talk = open_talk()
    if is_origin_first:
        talk.origin_speaks(4, Frame(CLOSE, b""))
    else:
        talk.client_sends(4, Frame(CLOSE, b""))
    assert talk.passes(CLOSING_MAX_S - 1) == []
    assert talk.passes(1.5) == [EndSocket(4, b"")]
    assert is_over(talk)


def test_client_of_a_lost_origin_is_dropped_without_a_word() -> None:
    """It sees what the origin's own client would see."""
    talk = open_talk()
    log, cut = talk.origin_leaves(4)
    assert isinstance(log, Log)
    assert cut == Cut(4)
    talk.leaves(4)
    assert is_over(talk)


def test_origin_that_leaves_after_its_close_changes_nothing() -> None:
    """The client still has to answer."""
    talk = open_talk()
    talk.origin_speaks(4, Frame(CLOSE, b""))
    assert talk.origin_leaves(4) == []


def test_client_that_breaks_the_protocol_is_told_so() -> None:
    """What came before counts."""
    talk = open_talk()
    frames, end = talk.client_sends(4, Frame(TEXT, b"good"), error=WebSocketError("Not UTF-8", 1007))
    assert frames == ToOrigin(4, [Frame(TEXT, b"good")])
    assert end == EndSocket(4, encode_frame(CLOSE, encode_close(1007, b"Not UTF-8")))
    assert is_over(talk)


def test_origin_that_breaks_the_protocol_is_told_so() -> None:
    """The client is dropped."""
    effects = open_talk().origin_speaks(4, error=WebSocketError("Unknown opcode"))
    assert effects[0] == CloseOrigin(4, Frame(CLOSE, encode_close(1002)))
    assert effects[-1] == Cut(4)


def test_detached_client_lives_without_its_origin() -> None:
    """It is read, and nobody hears; its close is answered."""
    talk = open_talk()
    assert talk.origin_speaks(4, DETACH, Frame(TEXT, b"m:late")) == [CloseOrigin(4, Frame(CLOSE, b""))]
    assert talk.client_sends(4, Frame(TEXT, b"x"), Frame(PING, b"")) == []
    assert talk.client_sends(4, Frame(CLOSE, encode_close(3000))) == [
        EndSocket(4, encode_frame(CLOSE, encode_close(1000)))
    ]
    assert is_over(talk)


def test_detach_while_the_client_closes() -> None:
    """Nobody else will answer it."""
    talk = open_talk()
    talk.client_sends(4, Frame(CLOSE, encode_close(3000)))
    assert talk.origin_speaks(4, DETACH)[-1] == EndSocket(4, encode_frame(CLOSE, encode_close(1000)))


def test_publisher_closes_both_legs() -> None:
    """The client's answer is the end."""
    talk = open_talk()
    session = talk.core.sockets.session(4)
    assert session is not None
    close = encode_close(4001, b"off")
    assert talk.core.sockets.close(session, 4001, b"off", talk.now) == [
        CloseOrigin(4, Frame(CLOSE, b"")),
        Write(4, encode_frame(CLOSE, close)),
    ]
    assert talk.client_sends(4, Frame(TEXT, b"late")) == []
    assert talk.origin_speaks(4, Frame(TEXT, b"m:late")) == []
    assert talk.client_sends(4, Frame(CLOSE, close)) == [EndSocket(4, b"")]
    assert is_over(talk)


def test_client_leaves_in_the_middle_of_a_message() -> None:
    """Its number may be another client's next."""
    talk = open_talk()
    talk.origin_speaks(4, Frame(TEXT, b"m:a", False))
    assert talk.core.sockets.mid_message == {4}
    talk.leaves(4)
    assert is_over(talk)
    assert talk.client_sends(4, Frame(TEXT, b"late")) == []
    assert talk.origin_speaks(4, Frame(CONTINUATION, b"late")) == []
    assert talk.origin_leaves(4) == []


def test_target_test_echoes_and_subscribes() -> None:
    """Enough of an origin to try it without one."""
    talk = Conversation("* test")
    effects = talk.asks(4, socket_request(b"/ws?channel=a&channel=b"))
    assert isinstance(effects[0], OpenSocket)
    assert not effects[0].has_origin
    assert set(talk.core.holds.subscriptions.channels) == {"a", "b"}
    assert written(talk.client_sends(4, Frame(TEXT, b"hi"), Frame(PING, b"p"))) == (
        encode_frame(TEXT, b"hi") + encode_frame(PONG, b"p")
    )
    close = encode_close(3000, b"bye")
    assert talk.client_sends(4, Frame(CLOSE, close))[0] == EndSocket(4, encode_frame(CLOSE, close))
    assert is_over(talk)
