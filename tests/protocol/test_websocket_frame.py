"""Frames are written as RFC 6455 section 5 shows them."""

import pytest

from gripproxy.protocol.websocket_frame import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    Opcode,
    encode_frame,
    encode_masked_frame,
    mask,
)

KEY = bytes.fromhex("37fa213d")  # of the examples in section 5.7


@pytest.mark.parametrize(
    ("frame", "wire"),
    [
        (encode_frame(TEXT, b"Hello"), "810548656c6c6f"),
        (encode_frame(TEXT, b"Hel", is_final=False), "010348656c"),
        (encode_frame(CONTINUATION, b"lo"), "80026c6f"),
        (encode_frame(PING, b"Hello"), "890548656c6c6f"),
        (encode_masked_frame(TEXT, b"Hello", True, KEY), "818537fa213d7f9f4d5158"),
        (encode_masked_frame(PONG, b"Hello", True, KEY), "8a8537fa213d7f9f4d5158"),
        (encode_masked_frame(TEXT, b"", False, KEY), "018037fa213d"),
        # RFC 7692 section 7.2.3.1
        (encode_frame(TEXT, bytes.fromhex("f248cdc9c90700"), is_compressed=True), "c107f248cdc9c90700"),
        (encode_frame(TEXT, bytes.fromhex("f248cd"), False, is_compressed=True), "4103f248cd"),
        (encode_masked_frame(TEXT, b"", True, KEY, is_compressed=True), "c18037fa213d"),
    ],
)
def test_examples_of_the_rfcs(frame: bytes, wire: str) -> None:
    """Byte for byte."""
    assert frame.hex() == wire


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, "8200"),
        (125, "827d"),
        (126, "827e007e"),
        (256, "827e0100"),
        (65_535, "827effff"),
        (65_536, "827f0000000000010000"),
    ],
)
def test_lengths_take_the_fewest_bytes(size: int, head: str) -> None:
    """A receiver may refuse anything else."""
    payload = bytes(size)
    assert encode_frame(BINARY, payload) == bytes.fromhex(head) + payload
    masked_head = bytearray.fromhex(head)
    masked_head[1] |= 0x80
    assert encode_masked_frame(BINARY, payload, True, KEY) == bytes(masked_head) + KEY + mask(payload, KEY)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 499, 500, 501, 502, 503, 4096])
@pytest.mark.parametrize("key", [KEY, b"\0\0\0\0", b"\xff\0\x80\x01"])
def test_mask_goes_over_the_payload_byte_by_byte(size: int, key: bytes) -> None:
    """Both ways of computing it do what section 5.3 says."""
    payload = bytes(index * 7 & 0xFF for index in range(size))
    masked = mask(payload, key)
    assert masked == bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))
    assert mask(masked, key) == payload


def test_frames_compare_by_what_they_are() -> None:
    """Opcodes are numbers: what was read compares with what was meant."""
    assert Frame(1, b"a") == Frame(TEXT, b"a", is_final=True) != Frame(TEXT, b"a", is_final=False)
    assert list(Opcode) == [0, 1, 2, 8, 9, 10]
