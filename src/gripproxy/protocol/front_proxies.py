"""Which clients are proxies of our own, that stand in front and tell the truth about theirs (`set_real_ip_from`)."""

import ipaddress
from collections.abc import Sequence

UNIX_CLIENTS = "unix:"  # whoever comes over a unix socket; as nginx writes it
ADDRESSES_MAX_COUNT = 4096  # of which we remember what they are


class FrontProxies:
    """Tells proxies in front from other clients.

    Args:
        networks: addresses and networks in CIDR form, or ``unix:``.
    """

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ipaddress.ip_network(text) for text in networks if text != UNIX_CLIENTS]
        self._known: dict[str, bool] = {"": UNIX_CLIENTS in networks}

    def has(self, client_ip: str) -> bool:
        """Whether the client at this address is one; it is empty for a client on a unix socket."""
        is_proxy = self._known.get(client_ip)
        if is_proxy is None:
            address = ipaddress.ip_address(client_ip)
            address = getattr(address, "ipv4_mapped", None) or address
            is_proxy = any(address in network for network in self._networks)
            if len(self._known) < ADDRESSES_MAX_COUNT:
                self._known[client_ip] = is_proxy
        return is_proxy
