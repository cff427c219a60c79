"""What a load balancer told of its clients is kept in few bytes, and forgotten with them."""

import sys

import pytest

from gripproxy_worker.proxied_clients import RECORD_BYTES, ProxiedClients, encode_record


@pytest.mark.parametrize("client_ip", ["192.0.2.7", "2001:db8::7", "::", "0.0.0.0"])
@pytest.mark.parametrize("is_https", [False, True])
def test_record_says_what_was_put_in(client_ip: str, is_https: bool) -> None:
    clients = ProxiedClients()
    clients.put(5, encode_record(client_ip, is_https))
    assert clients.client_ip(5) == client_ip
    assert clients.is_https(5) == is_https
    assert clients.get(5) == encode_record(client_ip, is_https)


def test_client_without_an_address_may_use_tls() -> None:
    """As one that reached the balancer over a unix socket."""
    clients = ProxiedClients()
    clients.put(0, encode_record(None, True))
    assert clients.client_ip(0) is None
    assert clients.is_https(0)
    assert clients.get(0) is not None


def test_others_are_not_known() -> None:
    clients = ProxiedClients()
    assert clients.get(3) is None
    clients.put(5, encode_record("192.0.2.7", True))
    for fd in (4, 6, 1000):
        assert clients.get(fd) is None
        assert clients.client_ip(fd) is None
        assert not clients.is_https(fd)


def test_next_client_with_the_number_is_another() -> None:
    clients = ProxiedClients()
    clients.forget(7)
    clients.put(5, encode_record("192.0.2.7", True))
    clients.forget(5)
    assert clients.get(5) is None
    assert not clients.is_https(5)


def test_many_clients_cost_little() -> None:
    clients = ProxiedClients()
    for fd in range(1000):
        clients.put(fd, encode_record(f"192.0.2.{fd % 256}", False))
    assert sys.getsizeof(clients._records) < 1000 * RECORD_BYTES * 1.2 + 100
