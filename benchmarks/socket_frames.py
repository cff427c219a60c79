"""As much of RFC 6455 as loads and their origin need: handshakes, and frames that are whole and shorter than 64 KB.

Not gripproxy's own codec, which is measured.
"""

import base64
import hashlib
import re

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
ACCEPTED = b"HTTP/1.1 101 "
_FINAL = 0x80
_MASKED = 0x80
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
_CLIENT_MASK = bytes.fromhex("37fa213d")  # any but zeros, which a server might not have to take off
_KEY_LINE = re.compile(rb"(?i)\r\nsec-websocket-key: *([^\r]*)")


def handshake_request(path: str, number: int = 0) -> bytes:
    """Give a client's handshake, with what a browser says in it; the key is made of the client's number."""
    key = base64.b64encode(number.to_bytes(16, "big")).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n"
        f"User-Agent: {_USER_AGENT}\r\nUpgrade: websocket\r\nOrigin: https://bench.example\r\n"
        "Sec-WebSocket-Version: 13\r\n"
        f"Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\nSec-WebSocket-Key: {key}\r\n"
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
    ).encode()


def handshake_answer(request: bytes, extensions: bytes) -> bytes:
    """Give the 101 to a handshake."""
    found = _KEY_LINE.search(request)
    key = found[1] if found else b""
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\nSec-WebSocket-Extensions: %b\r\n\r\n" % (accept, extensions)
    )


def encode_from_server(opcode: int, payload: bytes) -> bytes:
    """Write a whole message, unmasked."""
    if len(payload) < 126:
        return b"%c%c%b" % (_FINAL | opcode, len(payload), payload)
    return b"%c\x7e%b%b" % (_FINAL | opcode, len(payload).to_bytes(2, "big"), payload)


def encode_from_client(opcode: int, payload: bytes) -> bytes:
    """Write a whole message, masked; always with the same key."""
    masked = _unmasked(payload, _CLIENT_MASK)
    if len(payload) < 126:
        return b"%c%c%b%b" % (_FINAL | opcode, _MASKED | len(payload), _CLIENT_MASK, masked)
    return b"%c\xfe%b%b%b" % (_FINAL | opcode, len(payload).to_bytes(2, "big"), _CLIENT_MASK, masked)


def decode_from_client(data: bytes) -> tuple[list[tuple[int, bytes]], int]:
    """Give opcode and payload of each whole frame, and how many bytes these are."""
    frames: list[tuple[int, bytes]] = []
    at = 0
    while len(data) >= at + 6:
        size, begin = data[at + 1] & 0x7F, at + 2
        if size == 126:
            size, begin = int.from_bytes(data[begin : begin + 2], "big"), begin + 2
        end = begin + 4 + size
        if len(data) < end:
            break
        frames.append((data[at] & 0x0F, _unmasked(data[begin + 4 : end], data[begin : begin + 4])))
        at = end
    return frames, at


def _unmasked(payload: bytes, key: bytes) -> bytes:
    size = len(payload)
    mask = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")
