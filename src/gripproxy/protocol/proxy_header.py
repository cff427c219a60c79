"""The PROXY protocol: what a load balancer says of its client before the client's own first byte.

Source: "The PROXY protocol, versions 1 & 2" (HAProxy), sections 2.1 and 2.2.
"""

import ipaddress
import re
import struct
from dataclasses import dataclass

from gripproxy.errors import ClientError

HEADER_MAX_BYTES = 4096  # of version 2: 36 bytes of addresses, and what is said of a client's certificate
LINE_MAX_BYTES = 107  # of version 1, line break included

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_HEAD = struct.Struct("!12sBBH")  # signature, version and command, family and transport, length of the rest
_LOCAL, _PROXY = 0x20, 0x21  # version 2; LOCAL: the balancer itself, as for health checks
_FAMILIES = {0x11: (4, 12), 0x21: (16, 36)}  # TCP over IPv4 and IPv6: bytes of an address, and of all there is
_UNIX, _UNIX_BYTES = 0x31, 216
_TLV = struct.Struct("!BH")
_TLV_SSL, _CLIENT_SSL = 0x20, 0x01
_ADDRESS = rb"([0-9a-fA-F.:]+)"  # no zone of an IPv6 address, in which anything could stand
_LINE = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\r\n]*)?|TCP([46]) " + _ADDRESS + rb" " + _ADDRESS + rb" ([0-9]{1,5}) ([0-9]{1,5}))\r\n"
)
_PORT_MAX = 65_535


@dataclass(slots=True)
class ProxyHeader:
    """What a header says. `client_ip`: None where it names nobody, and the connection's own peer counts.

    `is_https`: the client was served by TLS. `length_bytes`: where the client's own bytes begin.
    """

    length_bytes: int
    client_ip: str | None = None
    is_https: bool = False


def decode_proxy_header(data: bytes) -> ProxyHeader | None:
    """Read the header that a connection begins with, of version 1 or 2; None if more of it must come.

    Raises:
        ClientError: what has come cannot become a header, or is longer than HEADER_MAX_BYTES.
    """
    if data[: len(_SIGNATURE)] == _SIGNATURE[: len(data)]:
        return _decode_binary(data) if len(data) >= _HEAD.size else None
    if data[:6] == b"PROXY "[: len(data)]:
        return _decode_line(data)
    raise ClientError(f"no PROXY protocol header but {data[:24]!r}")


def _decode_line(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\n") + 1
    if not end and len(data) < LINE_MAX_BYTES:
        return None
    match = _LINE.fullmatch(data[:end])
    if match is None or end > LINE_MAX_BYTES:
        raise ClientError(f"bad PROXY protocol line: {data[: end or LINE_MAX_BYTES]!r}")
    version, source, destination, *ports = match.groups()
    if version is None:
        return ProxyHeader(end)
    try:
        addresses = [ipaddress.ip_address(text.decode("ascii")) for text in (source, destination)]
    except ValueError:
        raise ClientError(f"bad address in PROXY protocol line: {data[:end]!r}") from None
    if any(address.version != int(version) for address in addresses) or max(map(int, ports)) > _PORT_MAX:
        raise ClientError(f"bad PROXY protocol line: {data[:end]!r}")
    return ProxyHeader(end, str(addresses[0]))


def _decode_binary(data: bytes) -> ProxyHeader | None:
    _, command, family, rest_bytes = _HEAD.unpack_from(data)
    end = _HEAD.size + rest_bytes
    if command not in (_LOCAL, _PROXY):
        raise ClientError(f"unknown version or command of the PROXY protocol: 0x{command:02x}")
    if end > HEADER_MAX_BYTES:
        raise ClientError(f"PROXY protocol header of {end} bytes; at most {HEADER_MAX_BYTES} are taken")
    if len(data) < end:
        return None
    if command == _LOCAL:
        return ProxyHeader(end)
    if family in _FAMILIES:
        address_bytes, addresses_bytes = _FAMILIES[family]
    elif family == _UNIX:
        address_bytes, addresses_bytes = 0, _UNIX_BYTES
    else:
        return ProxyHeader(end)
    if rest_bytes < addresses_bytes:
        raise ClientError(f"PROXY protocol header of {rest_bytes} bytes is too short for its addresses")
    address = data[_HEAD.size : _HEAD.size + address_bytes]
    is_https = _is_tls(data[_HEAD.size + addresses_bytes : end])
    return ProxyHeader(end, str(ipaddress.ip_address(address)) if address else None, is_https)


def _is_tls(fields: bytes) -> bool:
    """Say whether the fields behind the addresses tell of a client served by TLS.

    Raises:
        ClientError: a field is longer than what is left.
    """
    place, is_tls = 0, False
    while place < len(fields):
        if place + _TLV.size > len(fields):
            raise ClientError("PROXY protocol header ends within a field")
        kind, size = _TLV.unpack_from(fields, place)
        value = fields[place + _TLV.size : place + _TLV.size + size]
        if len(value) < size:
            raise ClientError(f"field 0x{kind:02x} of the PROXY protocol header is longer than the header")
        is_tls |= kind == _TLV_SSL and bool(value) and bool(value[0] & _CLIENT_SSL)
        place += _TLV.size + size
    return is_tls
