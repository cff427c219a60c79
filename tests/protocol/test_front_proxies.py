"""Whose word about a client counts."""

import pytest

from gripproxy.protocol.front_proxies import ADDRESSES_MAX_COUNT, FrontProxies

NETWORKS = ("10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32")


@pytest.mark.parametrize(
    ("client_ip", "is_proxy"),
    [
        ("10.255.0.1", True),
        ("::ffff:10.0.0.1", True),
        ("192.0.2.1", True),
        ("192.0.2.2", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("fe80::1%eth0", False),
        ("", False),
    ],
)
def test_proxies_are_known_by_their_network(client_ip: str, is_proxy: bool) -> None:
    """An IPv4 client of an IPv6 listener is the same client."""
    proxies = FrontProxies(NETWORKS)
    assert [proxies.has(client_ip), proxies.has(client_ip)] == [is_proxy, is_proxy]


def test_whoever_comes_over_a_unix_socket() -> None:
    """The file's mode says who that is."""
    proxies = FrontProxies(("unix:",))
    assert proxies.has("")
    assert not proxies.has("127.0.0.1")


def test_memory_of_addresses_is_bounded() -> None:
    """Clients come from everywhere, and those beyond are told from proxies all the same."""
    proxies = FrontProxies(NETWORKS)
    for number in range(ADDRESSES_MAX_COUNT + 10):
        assert proxies.has(f"10.0.{number // 256}.{number % 256}")
    assert len(proxies._known) == ADDRESSES_MAX_COUNT
