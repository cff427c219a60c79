"""Which connections can leave, and what becomes of them if they are not taken."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gripproxy.bus.worker_notice import ChannelsChanged
from gripproxy.scoreboard import Field
from gripproxy_worker import departures as module
from gripproxy_worker.client_sockets import HELD
from gripproxy_worker.departures import LEAVING, Departures
from gripproxy_worker.handover_link import close_all
from tests.worker.handover_bench import HandoverBench, open_bench
from tests.worker.held_clients import LONG_POLL, SOCKET, STREAM, TEST_ANSWER, response_item, stream_item
from tests.worker.socket_bench import masked

IDLE = b"GET / HTTP/1.1\r\n\r\n"


@pytest.fixture
def bench(short_path: Path) -> Iterator[HandoverBench]:
    yield from open_bench(short_path)


def departures_of(bench: HandoverBench) -> Departures:
    return Departures(bench.old.driver, bench.loop.call_later)


def only_fd(bench: HandoverBench) -> int:
    (fd,) = [fd for fd, record in enumerate(bench.old.driver.sockets.records) if record is not None]
    return fd


def test_busy_connections_stay(bench: HandoverBench) -> None:
    """Who is in the middle of a request, or of a frame, can leave when that is over."""
    departures = departures_of(bench)
    client = bench.client(IDLE[:10])
    bench.until(lambda: bench.old.driver.sockets.count == 1)
    fd = only_fd(bench)
    bench.until(lambda: not departures.can_move(fd))
    client.send(IDLE[10:])
    bench.until(lambda: client.received.endswith(TEST_ANSWER))
    assert departures.can_move(fd)
    client.close()
    bench.until(lambda: bench.old.driver.sockets.count == 0)
    client = bench.held(SOCKET)[0]
    fd = only_fd(bench)
    frame = masked(1, b"x" * 100)
    client.send(frame[:50])
    bench.until(lambda: not departures.can_move(fd))
    client.send(frame[50:])
    bench.until(lambda: departures.can_move(fd))
    bench.old.driver.sockets.room_waits[fd] = lambda fd: None  # somebody waits for it to read
    assert not departures.can_move(fd)
    del bench.old.driver.sockets.room_waits[fd]


def test_busy_connections_wait_for_their_rest_while_there_is_time(bench: HandoverBench) -> None:
    """A worker that ends keeps them for the other one, and gives that up towards its end."""
    departures = departures_of(bench)
    client = bench.client(IDLE[:10])
    bench.until(lambda: bench.old.driver.sockets.count == 1)
    fds = [only_fd(bench)]
    bench.until(lambda: not departures.can_move(fds[0]))
    socket = bench.held(SOCKET)[0]
    socket.send(masked(1, b"x" * 100)[:50])
    records = bench.old.driver.sockets.records
    fds += [fd for fd, record in enumerate(records) if record is not None and fd not in fds]
    bench.until(lambda: not departures.can_move(fds[1]))
    assert [departures.can_stay(fd) for fd in fds] == [True, True]
    bench.old.driver.sockets.is_late = True
    assert [departures.can_stay(fd) for fd in fds] == [False, False]
    client.send(IDLE[10:])
    bench.until(lambda: client.received.endswith(TEST_ANSWER))
    assert departures.can_stay(fds[0])


def test_looking_goes_on_where_it_was(bench: HandoverBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few at a time, and a round is over only when all were looked at and none was put off."""
    bench.held(STREAM, 5)
    departures = departures_of(bench)
    all_fds = [fd for fd, record in enumerate(bench.old.driver.sockets.records) if record is HELD]
    assert departures.find(2) == all_fds[:2] and not departures.is_round
    departures.look_again(all_fds[:2])
    assert departures.find(3) == all_fds[:3] and not departures.is_round
    assert departures.find(9) == all_fds[3:] and departures.is_round
    departures.look_again(all_fds[3:])
    assert not departures.is_round
    assert departures.find(9) == all_fds[3:] and departures.is_round
    monkeypatch.setattr(module, "LOOK_MAX_COUNT", all_fds[0])
    assert departures.find(9) == [] and not departures.is_round


def test_what_is_not_taken_goes_on_as_before(bench: HandoverBench) -> None:
    """Deadlines, unread payloads and what happened meanwhile are as if nobody had been asked."""
    stream, poll = bench.held(STREAM)[0], bench.held(LONG_POLL)[0]
    slow = bench.client(STREAM, receive_bytes=4096)
    bench.until(lambda: bench.old.held_count == 3)
    slow.is_reading = False
    for number in range(40):
        bench.publish(stream_item(b"%02d" % number * 30_000))
    bench.until(lambda: bench.old.core.accounts.books.receptions == 80)
    idle = bench.client(IDLE)
    bench.until(lambda: idle.received.endswith(TEST_ANSWER))
    departures, sockets = departures_of(bench), bench.old.driver.sockets
    items_count, total_bytes = sockets.backlogs.items_count, sockets.backlogs.total_bytes
    records = list(sockets.records)
    batch = departures.pack(departures.find(9))
    assert len(batch.departures) == 4 and len(batch.fds) == 4
    assert sockets.backlogs.items_count == 0
    assert sockets.records.count(LEAVING) == 4
    idle.received.clear()
    idle.send(IDLE)  # which nobody reads now
    for _ in range(10):
        bench.turn()
    departures.keep(batch)
    assert sockets.records == records
    assert (sockets.backlogs.items_count, sockets.backlogs.total_bytes) == (items_count, total_bytes)
    bench.until(lambda: idle.received.endswith(TEST_ANSWER))
    slow.is_reading = True
    bench.publish(stream_item(b"end"))
    bench.publish(response_item(b"answer"))
    bench.until(lambda: slow.received.endswith(b"end\r\n") and stream.received.endswith(b"end\r\n"))
    bench.until(lambda: poll.received.endswith(b"answer"))
    assert bench.old.row[Field.HANDED_OVER] == 0
    for client in bench.clients:
        client.close()
    bench.until(lambda: sockets.count == 0)
    assert not [record for slot in bench.old.driver.wheel._slots.values() for record in slot]


def test_hub_hears_of_the_old_workers_channels_until_it_knows_the_new_ones(
    bench: HandoverBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publisher that sends only what is subscribed must not stop in between."""
    bench.held(STREAM, 2)
    bench.until(lambda: "a" in bench.hub.subscribed)
    changes: list[ChannelsChanged] = []
    delays: list[tuple[float, object]] = []
    departures = Departures(bench.old.driver, lambda delay, call, names: delays.append((delay, names)))
    for _ in range(2):
        batch = departures.pack(departures.find(1))
        close_all([])
        departures.let_go(batch)
    assert bench.old.driver.sockets.count == 0
    assert delays == [(module.CLOSE_DELAY_S, {"a"})]
    for _ in range(10):
        bench.turn()
    assert "a" in bench.hub.subscribed and not changes
    again = bench.held(STREAM)[0]
    departures._close_channels({"a"})
    for _ in range(10):
        bench.turn()
    assert "a" in bench.hub.subscribed  # as somebody listens again
    again.close()
    bench.until(lambda: "a" not in bench.hub.subscribed)


def test_batch_takes_no_more_than_so_much_unread(bench: HandoverBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_MAX_BYTES", 1)
    slow = [bench.client(STREAM, receive_bytes=4096) for _ in range(3)]
    bench.until(lambda: bench.old.held_count == 3)
    for client in slow:
        client.is_reading = False
    for number in range(40):
        bench.publish(stream_item(b"%02d" % number * 30_000))
    bench.until(lambda: bench.old.core.accounts.books.receptions == 120)
    departures = departures_of(bench)
    batch = departures.pack(departures.find(9))
    assert len(batch.departures) == 1
    assert len(batch.payloads) == len(set(batch.payload_numbers.values())) > 5
    departures.keep(batch)


def test_connection_on_its_way_is_nobodys() -> None:
    """Nothing that happens to it is this worker's business."""
    LEAVING.on_readable()
    LEAVING.on_drained()
    LEAVING.on_gone()
