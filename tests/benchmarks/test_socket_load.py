"""The clients that send messages, against the benchmarks' origin itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.servers.socket_origin import SocketOrigin
from benchmarks.socket_load import SocketLoad
from benchmarks.watch import Watch

LIMIT_S = 60.0


@pytest.fixture(name="port")
def fixture_port(tmp_path: Path) -> Iterator[int]:
    """Start an origin."""
    origin = SocketOrigin(tmp_path / "origin", 0)
    try:
        origin.start()
        yield origin.http_port
    finally:
        origin.stop()


def test_what_is_no_echo_ends_the_load(port: int) -> None:
    """This origin answers with prefixes, which a proxy must have taken off."""
    watch = Watch("test", LIMIT_S)
    with SocketLoad(port, "/", 2, burst=1) as load, pytest.raises(BenchmarkError, match=r"no echo but b'\\x81Bm:xx"):
        load.run(0.1, watch)


def test_a_refused_handshake_ends_the_load(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer says why."""
    monkeypatch.setattr("benchmarks.socket_load.handshake_request", lambda path: b"GET / HTTP/1.1\r\n\r\n")
    watch = Watch("test", LIMIT_S)
    with SocketLoad(port, "/", 2, burst=1) as load, pytest.raises(BenchmarkError, match="answered with b'HTTP/1.1 200"):
        load.run(0.1, watch)


@pytest.mark.parametrize("burst", [1, 5])
def test_every_message_that_came_back_is_counted(port: int, burst: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A burst counts when all of it is there, and has one latency."""
    monkeypatch.setattr("benchmarks.socket_load.ECHOED", b"m:" + b"x" * 64)
    with SocketLoad(port, "/", 3, burst) as load:
        for _ in range(2):
            found = load.run(0.05, Watch("test", LIMIT_S))
            assert found.messages == found.latencies.count * burst >= 3 * burst
            assert found.seconds > 0.0
