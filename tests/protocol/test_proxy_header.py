"""The PROXY protocol byte by byte, as its specification has it (sections 2.1 and 2.2)."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import ClientError
from gripproxy.protocol.proxy_header import HEADER_MAX_BYTES, ProxyHeader, decode_proxy_header

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
REQUEST = b"GET / HTTP/1.1\r\n\r\n"


def binary(family: int, rest: bytes, command: int = 0x21) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(rest)) + rest


def tcp4(fields: bytes = b"") -> bytes:
    return binary(0x11, socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.1") + b"\x12\x34\x00\x50" + fields)


def tcp6(fields: bytes = b"") -> bytes:
    source, destination = (socket.inet_pton(socket.AF_INET6, text) for text in ("2001:db8::7", "2001:db8::1"))
    return binary(0x21, source + destination + b"\x12\x34\x00\x50" + fields)


def field(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


TLS = field(0x20, b"\x01" + b"\0\0\0\0" + field(0x21, b"TLSv1.3"))
GOOD = [
    (b"PROXY TCP4 192.0.2.7 192.0.2.1 4660 80\r\n", "192.0.2.7", False),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 4660 80\r\n", "2001:db8::7", False),
    (b"PROXY UNKNOWN\r\n", None, False),
    (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None, False),
    (tcp4(), "192.0.2.7", False),
    (tcp6(), "2001:db8::7", False),
    (tcp4(field(0x02, b"a.test") + TLS), "192.0.2.7", True),
    (tcp6(TLS + field(0x05, b"id")), "2001:db8::7", True),
    (tcp4(field(0x20, b"\x00" + b"\0\0\0\1")), "192.0.2.7", False),
    (tcp4(field(0x20, b"")), "192.0.2.7", False),
    (binary(0x31, bytes(216)), None, False),
    (binary(0x31, bytes(216) + TLS), None, True),
    (binary(0x00, b""), None, False),
    (binary(0x00, b"whatever"), None, False),
    (binary(0x12, bytes(12)), None, False),
    (binary(0x00, b"", command=0x20), None, False),
    (binary(0x11, bytes(12), command=0x20), None, False),
]


@pytest.mark.parametrize(("header", "client_ip", "is_https"), GOOD)
def test_header_is_read(header: bytes, client_ip: str | None, is_https: bool) -> None:
    assert decode_proxy_header(header + REQUEST) == ProxyHeader(len(header), client_ip, is_https)


@pytest.mark.parametrize(("header", "client_ip", "is_https"), GOOD)
def test_header_may_come_in_pieces(header: bytes, client_ip: str | None, is_https: bool) -> None:
    """Every beginning of one is waited on."""
    for length in range(len(header)):
        assert decode_proxy_header(header[:length]) is None, header[:length]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (REQUEST, "no PROXY protocol header but b'GET / HTTP/1.1"),
        (b"P0", "no PROXY protocol header"),
        (b"proxy TCP4 ", "no PROXY protocol header"),
        (b"\r\n\r\n\x01", "no PROXY protocol header"),
        (b"\x16\x03\x01", "no PROXY protocol header"),
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 4660\r\n", "bad PROXY protocol line"),
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 4660 65536\r\n", "bad PROXY protocol line"),
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 4660 80\n", "bad PROXY protocol line"),
        (b"PROXY TCP4 192.0.2.7  192.0.2.1 4660 80\r\n", "bad PROXY protocol line"),
        (b"PROXY TCP6 192.0.2.7 192.0.2.1 4660 80\r\n", "bad PROXY protocol line"),
        (b"PROXY TCP6 fe80::1%,192.0.2.9 2001:db8::1 4660 80\r\n", "bad PROXY protocol line"),
        (b"PROXY TCP4 192.0.2.700 192.0.2.1 4660 80\r\n", "bad address in PROXY protocol line"),
        (b"PROXY TCP4 \xff \xff 4660 80\r\n", "bad PROXY protocol line"),
        (b"PROXY UDP4 192.0.2.7 192.0.2.1 4660 80\r\n", "bad PROXY protocol line"),
        (b"PROXY " + b"x" * 200, "bad PROXY protocol line"),
        (b"PROXY UNKNOWN " + b"x" * 200 + b"\r\n", "bad PROXY protocol line"),
        (binary(0x11, bytes(12), command=0x31), "unknown version or command of the PROXY protocol: 0x31"),
        (binary(0x11, bytes(12), command=0x22), "unknown version or command of the PROXY protocol: 0x22"),
        (binary(0x11, bytes(11)), "too short for its addresses"),
        (binary(0x21, bytes(35)), "too short for its addresses"),
        (binary(0x31, bytes(215)), "too short for its addresses"),
        (tcp4(b"\x02\x00"), "ends within a field"),
        (tcp4(b"\x02\x00\x05abc"), "field 0x02 of the PROXY protocol header is longer"),
        (SIGNATURE + b"\x21\x11\xff\xff", f"of 65551 bytes; at most {HEADER_MAX_BYTES}"),
    ],
)
def test_what_is_no_header_is_refused(data: bytes, text: str) -> None:
    with pytest.raises(ClientError, match=text):
        decode_proxy_header(data)


BEGINNINGS = [b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11\x00"]


@given(st.binary(max_size=300), st.sampled_from(BEGINNINGS))
def test_nothing_else_happens(data: bytes, beginning: bytes) -> None:
    """Whatever comes is a header, the beginning of one, or refused."""
    try:
        header = decode_proxy_header(beginning + data)
    except ClientError:
        return
    assert header is None or 0 < header.length_bytes <= len(beginning + data)
