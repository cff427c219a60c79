"""Clients that a load balancer has told us of by the PROXY protocol: their own addresses, and whether they use TLS."""

import ipaddress

RECORD_BYTES = 17  # an IPv6 address, or an IPv4 one mapped to it, and flags
_NOBODY = bytes(RECORD_BYTES)
_IS_KNOWN, _IS_HTTPS, _HAS_ADDRESS = 1, 2, 4
_MAPPED = bytes(10) + b"\xff\xff"  # RFC 4291 section 2.5.5.2


def encode_record(client_ip: str | None, is_https: bool) -> bytes:
    """Give what is kept of a client: 17 bytes, as there may be a million. Without an address its peer's counts."""
    flags = _IS_KNOWN | _IS_HTTPS * is_https
    if client_ip is None:
        return bytes(16) + bytes((flags,))
    packed = ipaddress.ip_address(client_ip).packed
    return (packed if len(packed) == 16 else _MAPPED + packed) + bytes((flags | _HAS_ADDRESS,))


class ProxiedClients:
    """Their records, by file descriptor. Costs nothing while there are none, else 17 bytes for each descriptor."""

    def __init__(self) -> None:
        self._records = bytearray()

    def get(self, fd: int) -> bytes | None:
        """Give a client's record; None if no balancer told of it."""
        record = bytes(self._records[fd * RECORD_BYTES : (fd + 1) * RECORD_BYTES])
        return record if record and record != _NOBODY else None

    def put(self, fd: int, record: bytes) -> None:
        """Remember a client by its record."""
        missing_bytes = (fd + 1) * RECORD_BYTES - len(self._records)
        if missing_bytes > 0:
            self._records += bytes(missing_bytes)
        self._records[fd * RECORD_BYTES : (fd + 1) * RECORD_BYTES] = record

    def forget(self, fd: int) -> None:
        """Let go of a client that is gone, if it is known."""
        if len(self._records) > fd * RECORD_BYTES:
            self._records[fd * RECORD_BYTES : (fd + 1) * RECORD_BYTES] = _NOBODY

    def client_ip(self, fd: int) -> str | None:
        """Give the address that the balancer named; None if it named none."""
        record = self.get(fd)
        if record is None or not record[-1] & _HAS_ADDRESS:
            return None
        address = ipaddress.IPv6Address(record[:16])
        return str(address.ipv4_mapped or address)

    def is_https(self, fd: int) -> bool:
        """Say whether the balancer has served the client by TLS."""
        record = self.get(fd)
        return record is not None and bool(record[-1] & _IS_HTTPS)
