"""How the holding clients spread over addresses."""

import ipaddress

from benchmarks.hold_client import CONNECTIONS_PER_ADDRESS_COUNT, source_address


def test_an_address_is_used_as_often_as_it_has_ports() -> None:
    """Past the port range, connect fails with EADDRNOTAVAIL."""
    assert source_address(0) == source_address(CONNECTIONS_PER_ADDRESS_COUNT - 1) == "127.1.0.1"
    assert source_address(CONNECTIONS_PER_ADDRESS_COUNT) == "127.1.0.2"


def test_addresses_stay_distinct_and_valid_for_many_millions() -> None:
    """The same clients hold a million and more in one run."""
    found = [source_address(number * CONNECTIONS_PER_ADDRESS_COUNT) for number in range(130_000)]
    assert len(set(found)) == len(found)
    assert all(ipaddress.ip_address(address).is_loopback for address in found[::997])
