"""Listeners as the configuration writes them: every form, every option, and what is said to the others."""

import os

import pytest

from gripproxy.listen_address import (
    check_socket_path,
    convert_listener,
    convert_local,
    convert_port,
    is_loopback_host,
)
from gripproxy.settings import ListenAddress, LocalAddress


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("8000", ListenAddress(port=8000)),
        ("127.0.0.1:80", ListenAddress(host="127.0.0.1", port=80)),
        ("[::]:80", ListenAddress(host="::", port=80)),
    ],
)
def test_listener_forms(text: str, address: ListenAddress) -> None:
    """The same for the file and --port."""
    assert convert_port(text) == address


@pytest.mark.parametrize("text", ["x", "0", "65536", ":80", "h:80", "::1:80", "[127.0.0.1]:80", "127.0.0.1:", "-1"])
def test_bad_listener_is_refused(text: str) -> None:
    """The text begins as the reference's does."""
    with pytest.raises(ValueError) as error:
        convert_port(text)
    assert str(error.value).startswith(f"invalid http port: {text} (")


def test_socket_path_longer_than_the_kernel_takes_is_refused() -> None:
    """bind would say "File name too long" and not which."""
    check_socket_path("/" * 107)
    with pytest.raises(
        ValueError, match="108 bytes, and a unix socket's path has at most 107: choose a shorter rundir"
    ):
        check_socket_path("/" * 108)
    with pytest.raises(ValueError, match="names no socket file"):
        check_socket_path("")


def test_listener_may_have_a_limit_of_its_own() -> None:
    """A port for the load balancer's checks should not be filled by clients."""
    assert convert_listener("[::1]:80?maxconn=10", "http") == ListenAddress(host="::1", port=80, maxconn=10)
    assert convert_listener("80", "http").maxconn is None


def test_listener_may_be_for_load_balancers() -> None:
    """Only what is said can be meant: a typo must not let anybody name his address."""
    assert convert_listener("80?proxy_protocol=true&maxconn=3", "http").proxy_protocol
    assert not convert_listener("80?proxy_protocol=false", "http").proxy_protocol
    assert not convert_listener("80", "http").proxy_protocol
    assert convert_local("/run/x?proxy_protocol=true").proxy_protocol
    with pytest.raises(ValueError, match="proxy_protocol must be true or false, not 'v2'"):
        convert_listener("80?proxy_protocol=v2", "http")


@pytest.mark.parametrize("options", ["maxconn=0", "maxconn=x", "maxconn=", "mode=600", "", "maxconn=1&", "maxconn"])
def test_bad_option_of_a_port_is_refused(options: str) -> None:
    """One that is misspelt would be a limit that is not there."""
    with pytest.raises(ValueError, match="maxconn"):
        convert_listener(f"80?{options}", "http")


def test_unix_socket_has_mode_owner_and_limit() -> None:
    """As in Pushpin 1.37, by name or by number."""
    address = convert_local("/run/x?mode=0660&user=root&group=7&maxconn=5")
    assert address == LocalAddress(path="/run/x", mode=0o660, user_id=0, group_id=7, maxconn=5)
    assert convert_local("x") == LocalAddress(path=os.path.abspath("x"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("/x?mode=999", "mode must be an octal file mode"),
        ("/x?mode=7777", "from 0 to 777"),
        ("/x?user=no-such-user", "this system knows no user 'no-such-user'"),
        ("/x?group=no-such-group", "this system knows no group 'no-such-group'"),
        ("/x?owner=root", "expected mode=VALUE or user=VALUE or group=VALUE or maxconn=VALUE"),
        ("?mode=600", "names no socket file"),
    ],
)
def test_bad_unix_socket_is_refused(text: str, reason: str) -> None:
    """A socket that the web server in front cannot open shows up as an outage only."""
    with pytest.raises(ValueError, match=reason):
        convert_local(text)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("[::1]", True), ("localhost", True)]
    + [("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("example.org", False), ("*", False), ("eth0", False)],
)
def test_loopback_addresses(host: str, expected: bool) -> None:
    """All that others may reach wants a key."""
    assert is_loopback_host(host) is expected
