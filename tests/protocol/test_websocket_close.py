"""Close frames: which codes and reasons may be sent, and how both are written."""

from collections.abc import Callable

import pytest

from gripproxy.errors import WebSocketError
from gripproxy.protocol.websocket_close import check_close, check_reason, decode_close, encode_close

GOOD_CODES = [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999]
BAD_CODES = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535]


@pytest.mark.parametrize("code", GOOD_CODES)
def test_code_that_may_be_sent_is_taken(code: int) -> None:
    """Those of the registry and those for applications, with and without a reason."""
    for reason in (b"", "r\u00e9ason".encode(), b"x" * 123):
        payload = encode_close(code, reason)
        check_close(payload)
        assert decode_close(payload) == (code, reason)


@pytest.mark.parametrize("code", BAD_CODES)
def test_code_that_must_not_be_sent_is_refused(code: int) -> None:
    """RFC 6455 section 7.4."""
    with pytest.raises(WebSocketError, match=str(code)) as caught:
        check_close(encode_close(code, b"why"))
    assert caught.value.code == 1002


def test_half_a_code_is_refused_from_clients_and_none_from_origins() -> None:
    """The reference takes it for none."""
    with pytest.raises(WebSocketError, match="one byte") as caught:
        check_close(b"\x03")
    assert caught.value.code == 1002
    check_reason(b"\x03")
    assert decode_close(b"\x03") == (None, b"")


@pytest.mark.parametrize("check", [check_close, check_reason])
@pytest.mark.parametrize("reason", [b"\xff", b"ok \xe2\x82", b"\xed\xa0\x80"])
def test_reason_must_be_utf_8(check: Callable[[bytes], None], reason: bytes) -> None:
    """Of everybody."""
    with pytest.raises(WebSocketError) as caught:
        check(b"\x03\xe8" + reason)
    assert caught.value.code == 1007


def test_no_payload_is_no_code() -> None:
    """And no code is no payload, whatever the reason."""
    check_close(b"")
    check_reason(b"")
    assert decode_close(b"") == (None, b"")
    assert encode_close(None, b"unsaid") == b""


def test_code_0_is_none_when_read_and_itself_when_written() -> None:
    """A publisher's 0 goes out as it is; an origin's is no code."""
    assert encode_close(0) == b"\0\0"
    assert decode_close(b"\0\0") == (None, b"")


def test_origins_may_use_any_code() -> None:
    """What they mean by it is between them and their clients."""
    check_reason(encode_close(1005, b"x"))
    assert decode_close(encode_close(1005, b"x")) == (1005, b"x")


def test_reason_that_is_no_text_becomes_one() -> None:
    """As in Pushpin: events of origins and items by ZeroMQ may have any bytes, and clients end at such a frame."""
    assert encode_close(1000, b"a\xffb") == b"\x03\xe8a\xef\xbf\xbdb"
    full = encode_close(1000, b"\xff" * 123)
    assert full == b"\x03\xe8" + "\ufffd".encode() * 41


def test_long_reason_is_cut_between_characters() -> None:
    """A control frame has room for 125 bytes."""
    assert encode_close(1000, b"x" * 124) == b"\x03\xe8" + b"x" * 123
    euros = "\u20ac" * 42  # 126 bytes
    assert encode_close(1000, b"x" + euros.encode()) == b"\x03\xe8x" + euros[:40].encode()
