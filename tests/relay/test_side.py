"""One side: its addresses, its keys, who is connected to it."""

import pytest
import zmq

from gripproxy.errors import ConfigError
from gripproxy.relay.plan import SidePlan
from gripproxy.relay.side import RelaySide
from tests.bus.bench import BusBench

PUBLIC, SECRET = zmq.curve_keypair()
HOST_PUBLIC, HOST_SECRET = zmq.curve_keypair()


def opened(bench: BusBench, plan: SidePlan, secret_key: bytes | None = None) -> RelaySide:
    side = RelaySide(bench.loop, plan, zmq.SocketType.XPUB, secret_key)
    bench.opened.callback(side.close)
    bench.opened.callback(side.zmq_socket.close, 0)
    bench.opened.callback(side.stop_watching)
    side.open()
    return side


def test_peers_are_counted(bench: BusBench, caplog: pytest.LogCaptureFixture) -> None:
    """And their coming and leaving is logged."""
    caplog.set_level("INFO")
    spec = f"ipc://{bench.directory}/out"
    side = opened(bench, SidePlan(name="out", noun="host", binds=(spec,)))
    changes: list[int] = []
    side.on_change = lambda: changes.append(len(side.peers))
    host = bench.socket(zmq.SUB)
    host.connect(spec)
    bench.run_until(lambda: len(side.peers) == 1)
    host.close(0)
    bench.run_until(lambda: not len(side.peers))
    assert changes == [1, 0]
    assert [text for text in caplog.messages if text.startswith("host of")] == [
        "host of this machine connected",
        "host of this machine left",
    ]


def test_bad_address(bench: BusBench) -> None:
    with pytest.raises(ConfigError, match="--in-connect x://y: "):
        opened(bench, SidePlan(name="in", noun="publisher", connects=("x://y",)))


def test_server_and_client_of_curve(bench: BusBench) -> None:
    """A side that connects to a server's key is a client with the relay's own key."""
    spec = f"ipc://{bench.directory}/out"
    clients = frozenset((HOST_PUBLIC,))
    server = opened(bench, SidePlan(name="out", noun="host", binds=(spec,), client_keys=clients), SECRET)
    other = SidePlan(name="in", noun="publisher", connects=(spec,), server_key=PUBLIC)
    client = RelaySide(bench.loop, other, zmq.SocketType.XSUB, HOST_SECRET)
    bench.opened.callback(client.close)
    bench.opened.callback(client.zmq_socket.close, 0)
    bench.opened.callback(client.stop_watching)
    client.open()
    client.zmq_socket.send(b"\x01a")
    bench.run_until(lambda: bool(server.zmq_socket.poll(0)))
    assert server.zmq_socket.recv() == b"\x01a"
    stranger = RelaySide(bench.loop, other, zmq.SocketType.XSUB, None)  # with a key that was just made
    bench.opened.callback(stranger.close)
    bench.opened.callback(stranger.zmq_socket.close, 0)
    bench.opened.callback(stranger.stop_watching)
    stranger.open()
    bench.run_until(lambda: server.unauthorized_count > 0)
