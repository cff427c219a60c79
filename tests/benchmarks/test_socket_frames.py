"""The benchmarks' own frames, against a library's."""

import pytest
from websockets.frames import Frame, Opcode

from benchmarks.socket_frames import (
    ACCEPTED,
    TEXT,
    decode_from_client,
    encode_from_client,
    encode_from_server,
    handshake_answer,
    handshake_request,
)

SIZES = (0, 1, 3, 4, 5, 64, 125, 126, 1000, 65_535)


def parse(data: bytes, is_masked: bool) -> Frame:
    """Parse one frame as the library does."""
    rest = memoryview(data)

    def read_exact(count: int):  # type: ignore[no-untyped-def]  # the library's generators
        nonlocal rest
        taken, rest = bytes(rest[:count]), rest[count:]
        yield from ()
        return taken

    try:
        next(Frame.parse(read_exact, mask=is_masked))
    except StopIteration as stop:
        frame: Frame = stop.value
    assert not rest
    return frame


@pytest.mark.parametrize("size", SIZES)
def test_frames_are_what_a_library_reads(size: int) -> None:
    """A load of broken frames would measure refusals."""
    payload = b"abcdefg" * (size // 7) + b"z" * (size % 7)
    assert parse(encode_from_server(TEXT, payload), is_masked=False) == Frame(Opcode.TEXT, payload)
    sent = encode_from_client(TEXT, payload)
    assert parse(sent, is_masked=True) == Frame(Opcode.TEXT, payload)
    assert decode_from_client(sent) == ([(TEXT, payload)], len(sent))


def test_what_is_not_whole_is_left() -> None:
    """The rest comes with the next read."""
    sent = encode_from_client(TEXT, b"one") + encode_from_client(TEXT, b"two" * 100)
    first_bytes = len(encode_from_client(TEXT, b"one"))
    for cut in range(first_bytes, len(sent)):
        assert decode_from_client(sent[:cut]) == ([(TEXT, b"one")], first_bytes)
    assert decode_from_client(b"") == ([], 0)


def test_a_handshake_is_answered_with_its_key() -> None:
    """The example of RFC 6455 section 1.3."""
    request = handshake_request("/x", int.from_bytes(b"the sample nonce", "big"))
    assert b"\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" in request
    answer = handshake_answer(request, b"grip")
    assert answer.startswith(ACCEPTED)
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Extensions: grip\r\n\r\n" in answer
