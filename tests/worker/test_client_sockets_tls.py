"""TLS clients in the table of sockets: what is encrypted is written in order, what is early is kept, ends are heard."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from gripproxy.scoreboard import Field
from gripproxy_worker.backlog import BACKLOG_MAX_COUNT
from gripproxy_worker.client_sockets import EARLY_MAX_BYTES, HELD, TLS_READ_MAX_BYTES
from tests.worker.test_client_sockets import Pair, Seen
from tests.worker.tls_peer import TlsPeer, server_context


class TlsPair(Pair):
    """A client by TLS, its handshake done, in a table of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.peer = TlsPeer()
        streams = self.sockets.tls
        streams.begin(self.fd, server_context())
        data = self.peer.hello()
        while streams.shake_hands(self.fd, data) is None:
            self.peer.take(streams.take_output())
            data = self.peer.outgoing()
        self.peer.take(streams.take_output())

    def send(self, content: bytes) -> None:
        self.send_raw(self.peer.encrypt(content))

    def send_raw(self, data: bytes) -> None:
        self.client.setblocking(True)
        self.client.sendall(data)
        self.client.setblocking(False)

    def pump(self) -> None:
        """Let the client read what is there."""
        with contextlib.suppress(BlockingIOError):
            while data := self.client.recv(1_000_000):
                self.peer.take(data)
            return

    def receive_everything(self) -> bytes:
        """Give what the client gets until nothing waits for it any more."""
        while self.sockets.backlogs:
            self.pump()
            self.sockets.on_ready()
        self.pump()
        return bytes(self.peer.received)


@pytest.fixture
def pair() -> Iterator[TlsPair]:
    made = TlsPair()
    yield made
    if made.sockets.records[made.fd] is not None:
        made.sockets.close(made.fd)
    made.client.close()
    assert made.sockets.tls == {} and made.sockets._early == {}


def test_content_is_read_and_written(pair: TlsPair) -> None:
    pair.send(b"question")
    assert pair.sockets.read(pair.fd) == b"question" and not pair.sockets.has_more
    assert pair.sockets.read(pair.fd) is None
    pair.sockets.write(pair.fd, b"answer")
    assert pair.receive_everything() == b"answer"


def test_reader_is_told_of_more_than_one_read_takes(pair: TlsPair) -> None:
    """Edge-triggered: nobody will tell again, although each read gives less than the kernel had."""
    content = b"x" * (3 * TLS_READ_MAX_BYTES)
    pair.send(content)
    received = pair.sockets.read(pair.fd) or b""
    while pair.sockets.has_more:
        received += pair.sockets.read(pair.fd) or b""
    assert received == content


def test_part_of_a_record_is_no_end(pair: TlsPair) -> None:
    record = pair.peer.encrypt(b"content")
    pair.send_raw(record[:10])
    assert pair.sockets.read(pair.fd) is None
    pair.send_raw(record[10:])
    assert pair.sockets.read(pair.fd) == b"content"


def test_content_before_the_end_comes_first(pair: TlsPair) -> None:
    """Both came with one edge."""
    pair.send_raw(pair.peer.encrypt(b"last") + pair.peer.end())
    assert pair.sockets.read(pair.fd) == b"last" and pair.sockets.has_more
    assert pair.sockets.read(pair.fd) == b""


def test_slow_client_gets_everything_in_order(pair: TlsPair) -> None:
    """Records are numbered: one that is missing, doubled or out of place breaks the connection."""
    written = pair.fill()
    for number in range(50):
        pair.sockets.write(pair.fd, b"<%d>" % number)
    assert pair.receive_everything() == written + b"".join(b"<%d>" % number for number in range(50))
    assert pair.record.events[-1] == "drained"


def test_slow_held_client_loses_whole_payloads_and_no_records(pair: TlsPair) -> None:
    """What has no room must not be encrypted."""
    pair.sockets.records[pair.fd] = HELD
    written = pair.fill()
    before = len(pair.sockets.backlogs[pair.fd].queue)
    for number in range(BACKLOG_MAX_COUNT + 5):
        pair.sockets.deliver(b"<%d>" % number, [pair.fd])
    kept = BACKLOG_MAX_COUNT - before
    assert (pair.sockets.backlogs.items_count, pair.row[Field.DROPPED_SLOW]) == (kept, 5 + before)
    assert pair.receive_everything() == written + b"".join(b"<%d>" % number for number in range(kept))
    pair.sockets.deliver(b"<again>", [pair.fd])
    assert pair.receive_everything().endswith(b"<again>")


def test_item_goes_to_plain_and_tls_clients_alike(pair: TlsPair) -> None:
    """One channel, two ports."""
    plain, served = socket.socketpair()
    served.setblocking(False)
    plain_fd = served.detach()
    pair.sockets.add(plain_fd, Seen())
    pair.sockets.deliver(b"item", {plain_fd: None, pair.fd: None})
    assert plain.recv(100) == b"item" and pair.receive_everything() == b"item"
    assert pair.row[Field.DELIVERIES] == 2
    pair.sockets.close(plain_fd)
    plain.close()


def test_keep_alive_reaches_tls_clients(pair: TlsPair) -> None:
    pair.sockets.keep_alive(b"\n", [pair.fd])
    assert pair.receive_everything() == b"\n"
    assert pair.row[Field.KEEP_ALIVES] == 1


def test_client_slow_for_the_first_time_is_counted(pair: TlsPair) -> None:
    while pair.fd not in pair.sockets.backlogs:
        pair.sockets.deliver(b"x" * 10_000, [pair.fd])
    pair.sockets.deliver(b"x", [pair.fd])
    assert pair.row[Field.SLOW_CLIENTS] == 1


def test_held_client_that_ends_only_tls_is_gone(pair: TlsPair) -> None:
    """A balancer may say so long before it closes the connection, and nobody reads it any more."""
    pair.sockets.records[pair.fd] = HELD
    pair.send_raw(pair.peer.end())
    pair.sockets.on_ready()
    assert pair.held_gone == [pair.fd]


def test_early_content_of_a_held_client_waits_for_its_reader(pair: TlsPair) -> None:
    """It had to be decrypted to see whether it is the client's end."""
    pair.sockets.records[pair.fd] = HELD
    pair.send(b"next ")
    pair.sockets.on_ready()
    pair.send(b"request")
    pair.sockets.on_ready()
    assert pair.held_gone == []
    assert pair.sockets.read(pair.fd) == b"next request" and pair.sockets.has_more
    assert pair.sockets.read(pair.fd) is None


def test_early_content_of_a_held_client_is_bounded(pair: TlsPair) -> None:
    """The rest stays in the kernel, and is not forgotten."""
    pair.sockets.records[pair.fd] = HELD
    for _ in range(10):
        pair.send(b"x" * 10_000)
        pair.sockets.on_ready()
    assert len(pair.sockets._early[pair.fd]) < EARLY_MAX_BYTES + TLS_READ_MAX_BYTES
    received = pair.sockets.read(pair.fd) or b""
    while pair.sockets.has_more:
        received += pair.sockets.read(pair.fd) or b""
    assert received == b"x" * 100_000


def test_held_client_that_breaks_the_protocol_is_gone(pair: TlsPair) -> None:
    pair.sockets.records[pair.fd] = HELD
    pair.send_raw(b"\x17\x03\x03\x00\x20" + b"x" * 32)
    pair.sockets.on_ready()
    assert pair.held_gone == [pair.fd]


def test_records_without_content_do_not_occupy_the_loop(pair: TlsPair) -> None:
    """A client can send requests for new keys as fast as the kernel takes them."""
    empty = pair.peer.encrypt(b"x")
    assert pair.sockets.tls.decrypt(pair.fd, empty) == b"x"
    pair.sockets.tls.decrypt = lambda fd, data: b""  # type: ignore[method-assign]
    pair.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_000_000)
    with contextlib.suppress(BlockingIOError):
        pair.client.setblocking(False)
        for _ in range(20):
            pair.client.send(b"x" * TLS_READ_MAX_BYTES)
    assert pair.sockets.read(pair.fd) == b""


def test_broken_client_is_told_after_the_caller_is_done(pair: TlsPair) -> None:
    """Also when it is OpenSSL that cannot write."""
    pair.sockets.say_end(pair.fd)
    pair.sockets.write(pair.fd, b"after the end")
    pair.sockets.deliver(b"after the end", [pair.fd])
    assert pair.row[Field.DELIVERIES] == 0
    assert pair.record.events == [] and len(pair.soon) == 1
    pair.soon[0]()  # type: ignore[operator]
    assert pair.record.events == ["gone"]


def test_end_is_not_put_between_what_waits(pair: TlsPair) -> None:
    """It would be written past the backlog."""
    written = pair.fill()
    pair.sockets.say_end(pair.fd)
    assert pair.receive_everything() == written and not pair.peer.has_heard_end
    pair.sockets.say_end(pair.fd)
    pair.pump()
    assert pair.peer.has_heard_end
