"""What all requests over ZeroMQ count; the sessions' own tests show how they use it."""

import pytest

from gripproxy.protocol.zhttp import CREDITS_BYTES, DATA, ERROR, ResponsePacket
from gripproxy.protocol.zhttp_socket import SocketSession
from gripproxy.protocol.zhttp_stream import BROKEN, EXCESS_MAX_BYTES, UNREACHED, failed_by


def test_numbers_and_credits() -> None:
    """Credits count in every packet; an error needs no number, and takes one all the same."""
    stream = SocketSession(b"a", b"p", 0.0)
    assert stream._note(ResponsePacket([], DATA, b"wk", credits=3, is_multi=True), 0, 5.0) is None
    assert stream._note(ResponsePacket([], ERROR, credits=4), None, 6.0) is None
    assert (stream.address, stream.is_multi, stream.active_at, stream._credits) == (b"wk", True, 6.0, 7)
    assert stream._note(ResponsePacket([], DATA, b"other"), 2, 7.0) is None
    assert stream.address == b"wk"
    assert stream._note(ResponsePacket([]), 2, 8.0) == "its packet has number 2 instead of 3"


def test_bytes_beyond_the_credits_are_counted() -> None:
    """Some are borne: the reference bears all."""
    stream = SocketSession(b"a", b"p", 0.0)
    assert stream._count(CREDITS_BYTES) is None and stream.excess_bytes == 0
    assert stream._count(EXCESS_MAX_BYTES) is None and stream.excess_bytes == EXCESS_MAX_BYTES
    assert stream._count(1) == f"it sent {EXCESS_MAX_BYTES + 1} bytes more than it had credits for"


@pytest.mark.parametrize(("condition", "failure"), [(b"tls-error", UNREACHED), (b"\xff" * 200, BROKEN)])
def test_conditions(condition: bytes, failure: int) -> None:
    """The text is for the log: an origin's bytes are shown, but not at any length."""
    came = failed_by(ResponsePacket([], ERROR, condition=condition))
    assert came.failure == failure and len(came.detail) < 450
