"""Who is connected, by ZeroMQ's events."""

import os
import socket

import zmq

from gripproxy.relay.peers import Peers


def test_who_comes_and_leaves() -> None:
    """By name; a connection of which nothing is known is none."""
    peers = Peers()
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        accepted, _ = listener.accept()
        with accepted:
            name = f"127.0.0.1:{client.getsockname()[1]}"
            assert peers.take(zmq.EVENT_ACCEPTED, accepted.fileno()) == name
            assert len(peers) == 1
            assert peers.take(zmq.EVENT_DISCONNECTED, accepted.fileno()) == name
            assert peers.take(zmq.EVENT_DISCONNECTED, accepted.fileno()) is None
    assert len(peers) == 0


def test_connection_that_is_gone_already() -> None:
    """The event comes later than the connection's end."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    os.close(write_end)
    peers = Peers()
    assert peers.take(zmq.EVENT_ACCEPTED, write_end) == "that has left again"
    assert peers.slow() == []
    peers.end_sending()


def test_slow_ones_are_named() -> None:
    """Those for whom the kernel still has something."""
    peers = Peers()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peers.take(zmq.EVENT_CONNECTED, ours.fileno()) == "of this machine"
        assert peers.slow() == []
        ours.send(b"x")
        assert peers.slow() == ["of this machine"]


def test_end_is_shown_and_the_rest_is_read() -> None:
    """The other side sees the end; what it has sent, and sends, still comes."""
    peers = Peers()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peers.take(zmq.EVENT_ACCEPTED, ours.fileno())
        theirs.send(b"under way")
        peers.end_sending()
        assert theirs.recv(100) == b""
        assert ours.recv(100) == b"under way"
        assert peers.leaving == {ours.fileno()}
        peers.take(zmq.EVENT_DISCONNECTED, ours.fileno())
        assert not peers.leaving
