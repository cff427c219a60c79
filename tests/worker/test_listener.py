"""Listening sockets: shared by our workers and with nobody else, and with the options that clients' sockets inherit."""

import os
import socket
import stat
from pathlib import Path

import pytest

from gripproxy.errors import ConfigError
from gripproxy.settings import ListenAddress, LocalAddress
from gripproxy_worker.listener import UNSENT_MAX_BYTES, bind, check_free, open_local

LOCAL = ListenAddress(host="127.0.0.1", port=0)


def test_address_in_use_is_a_configuration_error() -> None:
    """The supervisor shows it and stops; SO_REUSEPORT shares with our own workers only."""
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConfigError, match=r"http_port: cannot listen on 127\.0\.0\.1:\d+: Address already in use"),
    ):
        bind(ListenAddress(host="127.0.0.1", port=taken.getsockname()[1]))


def test_port_of_another_gripproxy_is_not_free() -> None:
    """Its workers would share the port with ours: each instance would get half of the clients."""
    with bind(LOCAL) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use"):
            check_free(ListenAddress(host="127.0.0.1", port=port))
    check_free(ListenAddress(host="127.0.0.1", port=port))


def test_workers_share_a_port() -> None:
    with bind(LOCAL) as first, bind(ListenAddress(host="127.0.0.1", port=first.getsockname()[1])) as second:
        assert first.getsockname() == second.getsockname()


def test_accepted_sockets_send_at_once_and_notice_dead_clients() -> None:
    """The options are set on the listener once; the kernel hands them on."""
    with bind(LOCAL) as listener, socket.create_connection(listener.getsockname()):
        listener.setblocking(True)
        served, _ = listener.accept()
        assert served.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert served.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        served.close()


def test_kernel_queues_little_for_a_client_that_does_not_read() -> None:
    """Ten thousand of them, behind a TLS server on the same host, would fill gigabytes."""
    with bind(LOCAL) as listener, socket.create_connection(listener.getsockname()) as client:
        listener.setblocking(True)
        served, _ = listener.accept()
        served.setblocking(False)
        written_bytes = 0
        try:
            while written_bytes < 10 * UNSENT_MAX_BYTES:
                written_bytes += served.send(b"x" * 1024)
        except BlockingIOError:
            pass
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) < 10 * UNSENT_MAX_BYTES
        assert written_bytes < 4 * UNSENT_MAX_BYTES
        served.close()


def test_ipv6_port_is_not_shared_with_ipv4() -> None:
    """Both may be listed; one that took the other's clients would make the second fail."""
    with bind(ListenAddress(host="::1", port=0)) as listener:
        assert listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        with socket.create_connection(listener.getsockname()[:2]) as client:
            assert client.family == socket.AF_INET6


def test_unix_socket_has_its_mode_and_owner(short_path: Path) -> None:
    """The web server in front runs as another user."""
    path = short_path / "server"
    with open_local(LocalAddress(path=str(path), mode=0o640, user_id=os.getuid(), group_id=os.getgid())):
        status = path.stat()
        assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o640, os.getuid(), os.getgid())


def test_unix_socket_of_an_earlier_run_is_replaced(short_path: Path) -> None:
    """A killed process cannot remove its own."""
    address = LocalAddress(path=str(short_path / "server"))
    open_local(address).close()
    with open_local(address), socket.socket(socket.AF_UNIX) as client:
        client.connect(address.path)


def test_unix_socket_of_a_server_that_runs_is_left_alone(short_path: Path) -> None:
    """Its clients would get nobody, and it would not know."""
    address = LocalAddress(path=str(short_path / "server"))
    with open_local(address), pytest.raises(ConfigError, match="another server does"):
        open_local(address)


def test_file_that_is_no_socket_is_left_alone(short_path: Path) -> None:
    """A wrong path in the configuration should not cost anybody a file."""
    path = short_path / "data"
    path.write_text("precious")
    with pytest.raises(ConfigError, match="there is a file that is no socket"):
        open_local(LocalAddress(path=str(path)))
    assert path.read_text() == "precious"


def test_unix_socket_that_cannot_be_made_is_a_configuration_error(short_path: Path) -> None:
    with pytest.raises(ConfigError, match="local_ports: cannot listen on .*: No such file or directory"):
        open_local(LocalAddress(path=str(short_path / "none" / "server")))
