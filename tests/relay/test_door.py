"""Who may come in, as ZeroMQ asks it."""

import zmq
import zmq.utils.z85

from gripproxy.bus.watched_socket import AnySocket
from gripproxy.relay.door import Door
from tests.bus.bench import BusBench

KNOWN, _ = zmq.curve_keypair()
STRANGE, _ = zmq.curve_keypair()


class Asker:
    """Asks as ZeroMQ does."""

    def __init__(self, bench: BusBench, *keys: bytes) -> None:
        self._bench = bench
        self.refused: list[str] = []
        self.door = Door(bench.loop, bench.zmq_context, frozenset(keys), self.refused.append)
        bench.opened.callback(self.door.close)
        self.socket: AnySocket = bench.socket(zmq.REQ)
        self.socket.connect("inproc://zeromq.zap.01")

    def send(self, mechanism: bytes, *credentials: bytes) -> None:
        self.socket.send_multipart([b"1.0", b"7", b"gripproxy-relay", b"10.0.0.9", b"", mechanism, *credentials])

    def answer(self) -> list[bytes]:
        self._bench.run_until(lambda: bool(self.socket.poll(0)))
        frames: list[bytes] = self.socket.recv_multipart()
        return frames


def test_everybody_may_if_there_is_no_list(bench: BusBench) -> None:
    asker = Asker(bench)
    asker.send(b"NULL")
    assert asker.answer() == [b"1.0", b"7", b"200", b"OK", b"", b""]


def test_keys_of_the_list_only(bench: BusBench) -> None:
    """Others are refused, and named."""
    asker = Asker(bench, KNOWN)
    asker.send(b"CURVE", zmq.utils.z85.decode(KNOWN))
    assert asker.answer()[2] == b"200"
    asker.send(b"CURVE", zmq.utils.z85.decode(STRANGE))
    assert asker.answer()[2] == b"400"
    asker.send(b"NULL")
    assert asker.answer()[2] == b"400"
    assert asker.refused == ["10.0.0.9", "10.0.0.9"]


def test_shut_door_answers_nobody(bench: BusBench) -> None:
    """Who comes waits, and the loop does not spin for him."""
    asker = Asker(bench)
    asker.send(b"NULL")
    asker.answer()
    asker.door.shut()
    asker.send(b"NULL")
    turns: list[int] = []

    def turn() -> bool:
        turns.append(0)
        return len(turns) > 50

    bench.run_until(turn)
    assert not asker.socket.poll(0)
