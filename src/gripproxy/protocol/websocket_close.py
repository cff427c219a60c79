"""The payload of close frames: a code and a reason (RFC 6455 sections 5.5.1 and 7.4)."""

from gripproxy.errors import WebSocketError

NORMAL, GOING_AWAY, INTERNAL_ERROR = 1000, 1001, 1011  # codes of RFC 6455 section 7.4.1
REASON_MAX_BYTES = 123  # with the code it fills a control frame

_KNOWN_CODES = frozenset([*range(1000, 1004), *range(1007, 1015)])  # those of IANA's registry that may be sent
_PRIVATE_CODES = range(3000, 5000)  # of libraries and applications


def decode_close(payload: bytes) -> tuple[int | None, bytes]:
    """Give code and reason. Less than two bytes are no code, as the reference has it; nor is 0 one."""
    if len(payload) < 2:
        return None, b""
    return int.from_bytes(payload[:2], "big") or None, payload[2:]


def encode_close(code: int | None, reason: bytes = b"") -> bytes:
    """Make the payload. Without a code there is no reason either; one that is too long is cut between characters.

    Args:
        code: 0 to 65535; 0 is written as such.
        reason: what is not UTF-8 in it becomes U+FFFD.
    """
    if code is None:
        return b""
    if not reason.isascii():
        reason = reason.decode(errors="replace").encode()
    if len(reason) > REASON_MAX_BYTES:
        reason = reason[:REASON_MAX_BYTES].decode(errors="ignore").encode()
    return code.to_bytes(2, "big") + reason


def check_close(payload: bytes) -> None:
    """Check what a client closes with.

    Raises:
        WebSocketError: half a code, a code that must not be sent, or a reason that is not UTF-8.
    """
    if len(payload) == 1:
        raise WebSocketError("Close frame with one byte")
    if payload:
        code = int.from_bytes(payload[:2], "big")
        if code not in _KNOWN_CODES and code not in _PRIVATE_CODES:
            raise WebSocketError(f"Close code is not one to send: {code}")
    check_reason(payload)


def check_reason(payload: bytes) -> None:
    """Check what anybody closes with, origins too.

    Raises:
        WebSocketError: the reason is not UTF-8.
    """
    try:
        payload[2:].decode()
    except UnicodeDecodeError as error:
        raise WebSocketError("Close reason is not UTF-8", 1007) from error
