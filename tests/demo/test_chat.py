"""The chat's answers to the events of a WebSocket."""

import pytest

from gripproxy.demo.chat import chat_events
from gripproxy.errors import OriginError


def answer(body: bytes, said: list[str] | None = None) -> bytes:
    return chat_events("room", body, (said if said is not None else []).append)


def test_opening_joins_the_channel() -> None:
    """OPEN must come first; then an instruction to the proxy, then a message to the client."""
    assert answer(b"OPEN\r\n") == (
        b'OPEN\r\nTEXT 2a\r\nc:{"type": "subscribe", "channel": "room"}\r\nTEXT d\r\nm:socket open\r\n'
    )


def test_messages_are_said_in_order() -> None:
    """Messages that came while a request was under way come together."""
    said: list[str] = []
    assert answer("TEXT 3\r\none\r\nTEXT 0\r\n\r\nTEXT 5\r\nzwö2\r\n".encode(), said) == b""
    assert said == ["one", "", "zwö2"]


def test_ping_and_close_are_answered_in_kind() -> None:
    """A close is answered with its own code and reason, and nothing but the events that call for it is answered."""
    assert answer(b"PING 2\r\nhi\r\nPONG\r\nBINARY 1\r\n\x00\r\n") == b"PONG 2\r\nhi\r\n"
    assert answer(b"CLOSE 5\r\n\x03\xe8bye\r\n") == b"CLOSE 5\r\n\x03\xe8bye\r\n"
    assert answer(b"CLOSE\r\n") == b"CLOSE\r\n"
    assert answer(b"DISCONNECT\r\n") == b""


def test_client_is_told_that_nobody_was() -> None:
    """A message that cannot be published does not end the WebSocket, and is not lost in silence."""

    def refuse(text: str) -> None:
        raise OSError(f"no room for {text}")

    assert chat_events("room", b"TEXT 2\r\nhi\r\n", refuse) == b"TEXT 21\r\nm:nobody was told: no room for hi\r\n"


def test_broken_events_are_refused() -> None:
    """Whoever posts something else than events gets told."""
    with pytest.raises(OriginError):
        answer(b"TEXT zz\r\n")
