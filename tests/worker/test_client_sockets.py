"""Client sockets as bare descriptors: edges are not lost, backlogs keep their order, the broken are told later."""

import socket
from collections.abc import Iterator

import pytest

from gripproxy.scoreboard import Field, Scoreboard
from gripproxy_worker import backlog as backlog_module
from gripproxy_worker.backlog import BACKLOG_MAX_BYTES, BACKLOG_MAX_COUNT
from gripproxy_worker.client_sockets import HELD, READ_MAX_BYTES, ClientSockets
from gripproxy_worker.proxied_clients import encode_record


class Seen:
    """A record that writes down what happens to it."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def on_readable(self) -> None:
        self.events.append("readable")

    def on_drained(self) -> None:
        self.events.append("drained")

    def on_gone(self) -> None:
        self.events.append("gone")


class Pair:
    """One client in a table of its own."""

    def __init__(self) -> None:
        self.row = Scoreboard(1).row(1)
        self.soon: list[object] = []
        self.held_gone: list[int] = []
        self.sockets = ClientSockets(self.row, self.held_gone.append, self.soon.append)
        self.client, served = socket.socketpair()
        self.client.setblocking(False)
        served.setblocking(False)
        self.fd = served.detach()
        self.record = Seen()
        self.sockets.add(self.fd, self.record)

    def fill(self) -> bytes:
        """Write until the kernel takes no more; give what was written."""
        written = b""
        while self.fd not in self.sockets.backlogs:
            self.sockets.write(self.fd, b"x" * 100_000)
            written += b"x" * 100_000
        return written

    def receive_all(self) -> bytes:
        received = b""
        while True:
            try:
                received += self.client.recv(1_000_000)
            except BlockingIOError:
                if not self.sockets.backlogs:
                    return received
            self.sockets.on_ready()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    if made.sockets.records[made.fd] is not None:
        made.sockets.close(made.fd)
    made.client.close()


def test_record_hears_of_input_once_per_edge(pair: Pair) -> None:
    """Edge-triggered: what is not read then is not told again, so the record must remember."""
    pair.client.send(b"a")
    pair.sockets.on_ready()
    pair.sockets.on_ready()
    assert pair.record.events == ["readable"]
    pair.client.send(b"b")
    pair.sockets.on_ready()
    assert pair.record.events == ["readable", "readable"]
    assert pair.sockets.read(pair.fd) == b"ab"
    assert pair.sockets.read(pair.fd) is None


def test_input_that_was_there_before_is_told(pair: Pair) -> None:
    """A client's request may arrive before its connection is accepted."""
    client, served = socket.socketpair()
    client.send(b"early")
    served.setblocking(False)
    record = Seen()
    fd = served.detach()
    pair.sockets.add(fd, record)
    pair.sockets.on_ready()
    assert record.events == ["readable"]
    pair.sockets.close(fd)
    client.close()


def test_read_takes_a_bounded_part(pair: Pair) -> None:
    pair.client.setblocking(True)
    pair.client.send(b"a" * (READ_MAX_BYTES + 1))
    assert [len(pair.sockets.read(pair.fd) or b"") for _ in range(2)] == [READ_MAX_BYTES, 1]
    pair.client.close()
    assert pair.sockets.read(pair.fd) == b""


def test_half_closed_client_is_gone(pair: Pair) -> None:
    """Even with input unread: as in Pushpin, its session ends."""
    pair.client.send(b"a")
    pair.client.shutdown(socket.SHUT_WR)
    pair.sockets.on_ready()
    assert pair.record.events == ["gone"]


def test_slow_client_gets_everything_in_order(pair: Pair) -> None:
    written = pair.fill()
    for number in range(50):
        pair.sockets.write(pair.fd, b"<%d>" % number)
    expected = written + b"".join(b"<%d>" % number for number in range(50))
    assert pair.receive_all() == expected
    assert pair.record.events[-1] == "drained"
    assert pair.record.events.count("drained") == 1


def test_held_client_that_reads_too_slowly_loses_whole_payloads(pair: Pair) -> None:
    """A part of a payload would break the chunk framing for good."""
    pair.sockets.records[pair.fd] = HELD
    written = pair.fill()
    before = len(pair.sockets.backlogs[pair.fd].queue)
    for number in range(BACKLOG_MAX_COUNT + 5):
        pair.sockets.deliver(b"<%d>" % number, [pair.fd])
    kept = BACKLOG_MAX_COUNT - before
    assert pair.row[Field.DROPPED_SLOW] == 5 + before
    assert (pair.row[Field.DELIVERIES], pair.sockets.backlogs.items_count) == (0, kept)
    assert pair.sockets.backlogs.full == {pair.fd}
    assert pair.receive_all() == written + b"".join(b"<%d>" % number for number in range(kept))
    assert (pair.sockets.backlogs.items_count, pair.sockets.backlogs.take_counts()) == (0, (kept, 0))
    pair.sockets.deliver(b"<again>", [pair.fd])
    assert pair.receive_all() == b"<again>", "it has room again"
    assert pair.row[Field.DELIVERIES] == 1


def test_backlog_of_a_held_client_is_bounded_in_bytes(pair: Pair) -> None:
    pair.fill()
    for _ in range(10):
        pair.sockets.deliver(b"y" * 1_000_000, [pair.fd])
    assert pair.sockets.backlogs[pair.fd].bytes_count <= BACKLOG_MAX_BYTES


def test_backlog_counts_its_bytes_through_partial_writes(pair: Pair) -> None:
    pair.fill()
    backlog = pair.sockets.backlogs[pair.fd]
    for _ in range(3):
        pair.client.recv(50_000)
        pair.sockets.on_ready()
        waiting_bytes = sum(len(waiting.payload) for waiting in backlog.queue)
        assert backlog.bytes_count == waiting_bytes - backlog.written_bytes


def test_payload_counts_once_for_all_who_wait_for_it(pair: Pair) -> None:
    """Ten thousand slow clients of one channel hold its items once in memory."""
    other_client, served = socket.socketpair()
    served.setblocking(False)
    other_fd = served.detach()
    pair.sockets.add(other_fd, Seen())
    for fd in (pair.fd, other_fd):
        while fd not in pair.sockets.backlogs:
            pair.sockets.write(fd, b"x" * 100_000)
    before = pair.sockets.backlogs.total_bytes
    pair.sockets.deliver(b"y" * 1000, [pair.fd, other_fd])
    assert pair.sockets.backlogs.total_bytes == before + 1000
    pair.sockets.close(other_fd)
    assert pair.sockets.backlogs.total_bytes == sum(
        len(waiting.payload) for waiting in pair.sockets.backlogs[pair.fd].queue
    )
    other_client.close()
    pair.receive_all()
    assert pair.sockets.backlogs.total_bytes == 0


def test_all_backlogs_together_are_bounded(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients of as many channels share nothing."""
    monkeypatch.setattr(backlog_module, "TOTAL_MAX_BYTES", 1_000_000)
    written = pair.fill()
    for _ in range(10):
        pair.sockets.deliver(b"y" * 200_000, [pair.fd])
    assert pair.sockets.backlogs.total_bytes <= 1_000_000
    assert pair.row[Field.DROPPED_SLOW] >= 6
    rest = pair.receive_all().removeprefix(written)
    assert set(rest) <= {ord("y")}
    assert len(rest) == pair.sockets.backlogs.take_counts()[0] * 200_000


def test_keep_alive_skips_who_still_has_to_read(pair: Pair) -> None:
    pair.fill()
    before = len(pair.sockets.backlogs[pair.fd].queue)
    pair.sockets.keep_alive(b"ka", [pair.fd])
    assert len(pair.sockets.backlogs[pair.fd].queue) == before
    assert (pair.row[Field.KEEP_ALIVES], pair.row[Field.DELIVERIES]) == (0, 0)


def test_keep_alive_is_counted_by_itself(pair: Pair) -> None:
    pair.sockets.keep_alive(b"ka", [pair.fd])
    assert pair.client.recv(10) == b"ka"
    assert (pair.row[Field.KEEP_ALIVES], pair.row[Field.DELIVERIES]) == (1, 0)


def test_broken_socket_is_told_after_the_caller_is_done(pair: Pair) -> None:
    """A record that vanished in the middle of a batch of effects would surprise whoever carries them out."""
    pair.client.close()
    pair.sockets.write(pair.fd, b"a")
    pair.sockets.write(pair.fd, b"b")
    assert pair.record.events == [] and len(pair.soon) == 1
    pair.soon[0]()  # type: ignore[operator]
    assert pair.record.events == ["gone"]


def test_large_payload_is_not_begun_when_there_is_no_room_for_its_rest(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each client of a channel of its own would keep megabytes that no bound is applied to."""
    monkeypatch.setattr(backlog_module, "TOTAL_MAX_BYTES", 1_000_000)
    pair.sockets.deliver(b"y" * 1_000_001, [pair.fd])
    assert (pair.row[Field.DELIVERIES], pair.row[Field.DROPPED_SLOW]) == (0, 1)
    pair.sockets.deliver(b"small", [pair.fd])
    assert pair.receive_all() == b"small"


def test_broken_socket_is_no_delivery(pair: Pair) -> None:
    pair.client.close()
    pair.sockets.deliver(b"a", [pair.fd])
    pair.sockets.deliver(b"a", [pair.fd])
    assert (pair.row[Field.DELIVERIES], pair.row[Field.DROPPED_SLOW]) == (0, 0)


def test_slow_client_is_counted_when_it_becomes_slow(pair: Pair) -> None:
    """Not again for each payload that waits, or finds no room."""
    pair.fill()
    pair.receive_all()
    while pair.fd not in pair.sockets.backlogs:
        pair.sockets.deliver(b"x" * 100_000, [pair.fd])
    for _ in range(BACKLOG_MAX_COUNT + 5):
        pair.sockets.deliver(b"x", [pair.fd])
    assert pair.row[Field.SLOW_CLIENTS] == 1


def test_broken_held_socket_is_told_to_the_engine(pair: Pair) -> None:
    pair.sockets.records[pair.fd] = HELD
    pair.client.close()
    pair.sockets.deliver(b"a", [pair.fd])
    pair.soon[0]()  # type: ignore[operator]
    assert pair.held_gone == [pair.fd]


def test_descriptor_used_again_is_not_swept_for_its_former_owner(pair: Pair) -> None:
    """The kernel gives the lowest free number: the next client gets the one that just broke."""
    pair.client.close()
    pair.sockets.write(pair.fd, b"a")
    pair.sockets.close(pair.fd)
    pair.client, served = socket.socketpair()
    served.setblocking(False)
    fd = served.detach()
    assert fd == pair.fd or fd < pair.fd
    record = Seen()
    pair.sockets.add(fd, record)
    pair.soon[0]()  # type: ignore[operator]
    assert record.events == []
    if fd != pair.fd:
        pair.sockets.close(fd)


def test_record_closed_by_another_in_one_batch_is_left_alone(pair: Pair) -> None:
    """Both are ready at once; the first one's event closes the second."""

    class Closer(Seen):
        def on_readable(self) -> None:
            for fd in fds:
                if pair.sockets.records[fd] is not None and pair.sockets.records[fd] is not self:
                    pair.sockets.close(fd)

    pairs = [socket.socketpair() for _ in range(2)]
    fds = []
    for client, served in pairs:
        served.setblocking(False)
        fds.append(served.detach())
        pair.sockets.add(fds[-1], Closer())
        client.send(b"a")
    pair.sockets.on_ready()
    left = [fd for fd in fds if pair.sockets.records[fd] is not None]
    assert len(left) == 1
    pair.sockets.close(left[0])
    for client, _ in pairs:
        client.close()
    assert pair.sockets.count == 1


def test_bug_at_one_socket_does_not_cost_the_others_their_edge(pair: Pair) -> None:
    """The kernel reports an edge once: the rest of the batch would wait forever."""

    class Faulty(Seen):
        def on_readable(self) -> None:
            raise AssertionError("a bug")

    clients = []
    records: list[Seen] = [Faulty(), Seen(), Faulty(), Seen()]
    fds = []
    for record in records:
        client, served = socket.socketpair()
        served.setblocking(False)
        fds.append(served.detach())
        pair.sockets.add(fds[-1], record)
        client.send(b"a")
        clients.append(client)
    pair.sockets.on_ready()
    assert records[1].events == records[3].events == ["readable"]
    assert pair.row[Field.INTERNAL_ERRORS] == 2
    pair.sockets._sweep()
    assert records[0].events == records[2].events == ["gone"], "left as it is, it would wait for an edge that was eaten"
    assert records[1].events == records[3].events == ["readable"]
    for fd, client in zip(fds, clients, strict=True):
        pair.sockets.close(fd)
        client.close()


def test_address_of_a_client_is_read_off_its_descriptor(pair: Pair) -> None:
    """A held client's is not stored: it is rarely asked for. On a unix socket there is none."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
        served, _ = listener.accept()
        with served:
            assert pair.sockets.client_ip(served.fileno()) == "127.0.0.1"
            assert served.fileno() >= 0, "only looked at, not taken over"
    assert pair.sockets.client_ip(pair.fd) == ""


def test_load_balancer_knows_better_who_the_client_is(pair: Pair) -> None:
    pair.sockets.proxied.put(pair.fd, encode_record("192.0.2.7", True))
    assert pair.sockets.client_ip(pair.fd) == "192.0.2.7"
    assert pair.sockets.is_https(pair.fd)
    pair.sockets.close(pair.fd)
    assert pair.sockets.proxied.get(pair.fd) is None
