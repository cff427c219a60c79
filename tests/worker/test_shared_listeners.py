"""What workers share: counts that all see, unix sockets that outlive a worker, and no port that another has."""

import os
import socket
from pathlib import Path

import pytest

from gripproxy.errors import ConfigError
from gripproxy.settings import ListenAddress, LocalAddress, Settings
from gripproxy_worker.shared_listeners import ListenerCounts, SharedListeners


def test_counts_are_seen_by_every_process() -> None:
    counts = ListenerCounts(workers_count=2, listeners_count=3)
    counts.row(0)[1] = 5
    pid = os.fork()
    if pid == 0:
        counts.row(1)[1] = 7
        os._exit(0)
    os.waitpid(pid, 0)
    assert [counts.total(listener) for listener in range(3)] == [0, 12, 0]


def test_unix_sockets_are_open_before_any_worker_and_removed_after_the_last(short_path: Path) -> None:
    path = str(short_path / "server")
    shared = SharedListeners(Settings(http_port=(), local_ports=(LocalAddress(path=path),)))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    shared.close()
    assert not os.path.exists(path)


def test_nothing_stays_open_when_one_cannot_be(short_path: Path) -> None:
    good, bad = str(short_path / "server"), str(short_path / "none" / "server")
    with pytest.raises(ConfigError, match="none/server"):
        SharedListeners(Settings(http_port=(), local_ports=(LocalAddress(path=good), LocalAddress(path=bad))))
    assert not os.path.exists(good)


@pytest.mark.parametrize("key", ["http_port", "https_ports"])
def test_port_of_another_server_is_named_with_its_key(key: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = ListenAddress(host="127.0.0.1", port=taken.getsockname()[1])
        settings = (
            Settings(http_port=(address,)) if key == "http_port" else Settings(http_port=(), https_ports=(address,))
        )
        with pytest.raises(ConfigError, match=f"{key}: cannot listen on {address}: Address already in use"):
            SharedListeners(settings)


def test_each_tls_port_has_a_context_of_its_own() -> None:
    """Their default certificates differ."""
    settings = Settings(http_port=(), https_ports=tuple(ListenAddress(host="127.0.0.1", port=0) for _ in range(2)))
    first, second = SharedListeners(settings).contexts
    assert first is not second
