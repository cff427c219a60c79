"""Which addresses a request may lead to whose target not we have chosen: none of our own network."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last four bytes are an IPv4 address


def is_public(text: str) -> bool:
    """Say whether this numeric address belongs to the internet at large.

    Loopback, private, link-local, shared (RFC 6598), multicast and reserved addresses do not, nor do IPv6 addresses
    that only wrap one of these. Source: Pushpin's outbound policy, which knows 127.*, 10.* and 192.168.*.
    """
    address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        inner = _inner(address)
        if inner is not None:
            address = inner
        elif address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _inner(address: IPv6Address) -> IPv4Address | None:
    """Give the IPv4 address that an IPv6 one leads to."""
    if address in _NAT64 or int(address) >> 32 == 0 and int(address) > 1:  # the latter: IPv4-compatible
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo is not None else None)
