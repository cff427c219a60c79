"""Messages between workers and the hub about zhttp requests."""

import pytest

from gripproxy.bus.zhttp_wire import DECLARE, OPEN, MessageReader, encode_message
from gripproxy.errors import InternalError


def test_messages_survive_any_cut() -> None:
    """A stream socket knows no messages."""
    stream = encode_message(OPEN, "ipc:///x", True, b"\xff\0", b"T0:}") + encode_message(DECLARE, [("s", False, None)])
    wanted = [[OPEN, "ipc:///x", True, b"\xff\0", b"T0:}"], [DECLARE, [["s", False, None]]]]
    for cut in range(len(stream) + 1):
        reader = MessageReader()
        assert [*reader.feed(stream[:cut]), *reader.feed(stream[cut:])] == wanted


def test_what_is_too_large_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A length that was read wrong must not be waited for."""
    monkeypatch.setattr("gripproxy.bus.zhttp_wire.MESSAGE_MAX_BYTES", 100)
    for damaged in (encode_message(OPEN, b"x" * 200), b"\xc1"):
        with pytest.raises(InternalError):
            list(MessageReader().feed(damaged))
