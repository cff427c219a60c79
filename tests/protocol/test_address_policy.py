"""Which addresses are the internet's at large."""

import pytest

from gripproxy.protocol.address_policy import is_public


@pytest.mark.parametrize(
    "text", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]
)
def test_public(text: str) -> None:
    assert is_public(text)


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254"),
        *("0.0.0.0", "100.100.100.200", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00::1", "fec0::1", "ff02::1", "2001:db8::1"),
    ],
)
def test_of_our_own_network(text: str) -> None:
    assert not is_public(text)


@pytest.mark.parametrize(
    "text",
    [
        *("::ffff:127.0.0.1", "::ffff:a00:1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::a00:1"),
        *("2002:7f00:1::1", "2001:0:4136:e378:8000:63bf:80ff:fffe"),
    ],
)
def test_ipv6_address_is_judged_by_what_it_wraps(text: str) -> None:
    """A name may resolve to any of these, and the kernel or a gateway unwraps it."""
    assert not is_public(text)
