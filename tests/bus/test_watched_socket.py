"""ZeroMQ sockets in the loop: no frame is left lying, whatever happens between two edges."""

from pathlib import Path

import pytest
import zmq

from gripproxy.bus.watched_socket import WatchedSocket, bind, connect
from gripproxy.errors import ConfigError
from tests.bus.bench import BusBench


def read_all(bench: BusBench, batch_size: int, fails_at: int = -1) -> tuple["zmq.Socket[bytes]", list[bytes]]:
    """Watch one end of a pair in batches of `batch_size`; give the other end and the list of what was read."""
    ours, theirs = bench.socket(zmq.PAIR), bench.socket(zmq.PAIR)
    ours.bind("inproc://pair")
    theirs.connect("inproc://pair")
    received: list[bytes] = []

    def read_batch() -> bool:
        try:
            for _ in range(batch_size):
                received.append(ours.recv(zmq.NOBLOCK))
                if len(received) == fails_at:
                    raise RuntimeError("one bad frame")
        except zmq.Again:
            return False
        return True

    watched = WatchedSocket(bench.loop, ours, read_batch)
    bench.opened.callback(watched.close)
    return theirs, received


def test_everything_is_read_in_bounded_batches(bench: BusBench) -> None:
    """There is one edge for many frames; between batches the loop turns."""
    theirs, received = read_all(bench, batch_size=3)
    for number in range(100):
        theirs.send(b"%d" % number)
    bench.run_until(lambda: len(received) == 100)
    theirs.send(b"later")
    bench.run_until(lambda: received[-1] == b"later")


def test_failure_does_not_leave_the_rest_lying(bench: BusBench) -> None:
    """No second edge comes for frames that are there already."""
    bench.loop.set_exception_handler(lambda loop, context: None)
    theirs, received = read_all(bench, batch_size=10, fails_at=2)
    for _ in range(7):
        theirs.send(b"x")
    bench.run_until(lambda: len(received) == 7)


def test_look_finds_what_came_with_a_swallowed_edge(bench: BusBench) -> None:
    """Whoever asks the socket takes the edge; and where nothing came, no turn of the loop is arranged."""
    ours, theirs = bench.socket(zmq.PAIR), bench.socket(zmq.PAIR)
    ours.bind("inproc://pair")
    theirs.connect("inproc://pair")
    looks: list[bool] = []

    def read_batch() -> bool:
        looks.append(bool(ours.poll(0)))
        return False

    watched = WatchedSocket(bench.loop, ours, read_batch)
    bench.opened.callback(watched.close)
    bench.turn()
    del looks[:]
    watched.look()
    bench.turn()
    assert looks == []
    theirs.send(b"x")
    while not ours.getsockopt(zmq.EVENTS) & zmq.POLLIN:
        pass
    bench.turn()
    assert looks == []
    watched.look()
    bench.turn()
    assert looks == [True]


def test_bind_error_names_setting_spec_and_reason(bench: BusBench) -> None:
    """The one line that the supervisor prints has to be enough to mend it."""
    path = Path(bench.directory, "missing", "socket")
    with pytest.raises(ConfigError, match=f"push_in_spec ipc://{path}: no such file or directory"):
        bind(bench.socket(zmq.PULL), "push_in_spec", f"ipc://{path}")
    with pytest.raises(ConfigError, match="push_in_sub_specs foo: invalid argument"):
        connect(bench.socket(zmq.SUB), "push_in_sub_specs", "foo")


def test_mode_of_an_ipc_socket_is_set(bench: BusBench) -> None:
    """`ipc_file_mode` lets publishers of another user connect."""
    path = Path(bench.directory, "socket")
    bind(bench.socket(zmq.PULL), "push_in_spec", f"ipc://{path}", file_mode=0o666)
    assert path.stat().st_mode & 0o777 == 0o666
