"""Effects carried out over real sockets: holding, delivering, finishing, and what a hold leaves behind."""

from typing import Any

import pytest

from gripproxy.engine.effects import (
    CloseChannel,
    Cut,
    Deliver,
    Finish,
    ForgetId,
    OpenChannel,
    Respond,
    Unpark,
    WakePacing,
    WakeUpdates,
)
from gripproxy.engine.events import (
    ChannelsStale,
    ClientGone,
    PacingDue,
    RelayDone,
    UpdatesDue,
)
from gripproxy.protocol.publish_format import Action
from gripproxy.scoreboard import Field
from gripproxy_worker.client_conn import BUS_WAIT_MAX_S, STEPS_MAX_COUNT
from gripproxy_worker.client_sockets import HELD
from tests.worker.bench import WorkerBench
from tests.worker.conftest import MakeBench
from tests.worker.held_clients import LONG_POLL, STREAM, TEST_ANSWER, held, held_at, only_fd, response_item, stream_item
from tests.worker.scripted_core import carry_out, script

POLL_INSTRUCT = (
    b"HTTP/1.1 200 OK\r\nGrip-Hold: response\r\nGrip-Channel: a\r\nContent-Length: 2\r\n\r\n[]"  # held_clients' channel
)


@pytest.fixture
def bench(make_bench: MakeBench) -> WorkerBench:
    return make_bench("* test", subscription_linger=0)


def test_long_poll_is_answered_and_the_connection_goes_on(bench: WorkerBench) -> None:
    client = held(bench, LONG_POLL)
    assert [record for record in bench.driver.sockets.records if record is not None] == [HELD]
    bench.publish(response_item(b"news"))
    bench.until(lambda: client.received.endswith(b"\r\n\r\nnews"))
    bench.exchange(client, b"GET / HTTP/1.1\r\n\r\n", TEST_ANSWER)


def test_stream_gets_every_item_in_order(bench: WorkerBench) -> None:
    clients = [held(bench, STREAM) for _ in range(3)]
    for number in range(100):
        bench.publish(stream_item(b"<%d>" % number))
    for client in clients:
        bench.until(lambda client=client: client.received.endswith(b"<99>\r\n"))  # type: ignore[misc]
        positions = [client.received.index(b"<%d>" % number) for number in range(100)]
        assert positions == sorted(positions)
    assert bench.row[Field.DELIVERIES] == 300


@pytest.mark.parametrize("action", [Action.SEND, Action.CLOSE])
def test_item_does_not_overtake_the_beginning_of_its_stream(bench: WorkerBench, action: Action) -> None:
    """Both may come in one turn of the loop, at whose end the beginning would be written."""
    client = bench.client(STREAM)
    while not bench.core.holds.streams_count:
        bench.driver.sockets.on_ready()
    assert bench.driver.outbox
    bench.publish(stream_item(b"news", action))
    end = b"4\r\nnews\r\n" if action is Action.SEND else b"0\r\n\r\n"
    bench.until(lambda: client.received.endswith(b"[stream opened]\n\r\n" + end))


def test_beginning_of_a_stream_is_not_the_next_clients(bench: WorkerBench) -> None:
    """The client left before the end of the turn, and another one got its descriptor."""
    first = bench.client(STREAM)
    while not bench.core.holds.streams_count:
        bench.driver.sockets.on_ready()
    first.close()
    while bench.driver.sockets.count:
        bench.driver.sockets.on_ready()
    second = bench.client()
    bench.exchange(second, b"GET / HTTP/1.1\r\n\r\n", TEST_ANSWER)
    assert second.received.count(b"HTTP/1.1 ") == 1


def test_closed_stream_is_finished_properly(bench: WorkerBench) -> None:
    client = held(bench, STREAM)
    bench.publish(stream_item(b"", Action.CLOSE))
    bench.until(lambda: client.received.endswith(b"0\r\n\r\n"))
    bench.exchange(client, b"GET / HTTP/1.1\r\n\r\n", TEST_ANSWER)


def test_next_long_poll_waits_until_the_answer_is_read(bench: WorkerBench) -> None:
    """A client that sends hundreds in one go and reads nothing would have an answer for each of them wait here."""
    client = bench.client(receive_bytes=4096)
    client.is_reading = False
    client.send(LONG_POLL * 10)
    bench.until(lambda: bench.core.holds.responses_count == 1)
    body = b"x" * 200_000
    for _ in range(10):
        bench.publish(response_item(body))
        for _ in range(5):
            bench.turn()
    (backlog,) = bench.driver.sockets.backlogs.values()
    assert backlog.bytes_count < 2 * len(body)
    assert bench.core.holds.responses_count == 0
    client.is_reading = True
    bench.until(lambda: bench.core.holds.responses_count == 1)
    assert client.received.count(b"HTTP/1.1 200") == 1


def test_requests_behind_a_hold_are_served_after_it(bench: WorkerBench) -> None:
    """They came in the same read, or while it was held; either way after the answer and in order."""
    client = held(bench, LONG_POLL + b"GET / HTTP/1.1\r\n\r\n")
    client.send(b"GET /late HTTP/1.1\r\n\r\n")
    bench.turn()
    bench.publish(response_item(b"news"))
    bench.driver.sockets.on_ready()
    bench.until(lambda: client.received.endswith(b"no such test resource\n"))
    assert client.received.index(b"news") < client.received.index(TEST_ANSWER)
    assert client.received.count(b"HTTP/1.1 ") == 3


def test_early_input_survives_input_that_comes_first(bench: WorkerBench) -> None:
    """The client's socket may be reported before the woken connection has its turn."""
    client = held(bench, LONG_POLL + b"GET /early HT")
    bench.publish(response_item(b"news"))
    client.send(b"TP/1.1\r\n\r\n")
    bench.driver.sockets.on_ready()
    bench.until(lambda: client.received.endswith(b"no such test resource\n"))


def test_early_input_is_not_the_next_clients(bench: WorkerBench) -> None:
    """The next client gets the same descriptor."""
    first = held(bench, LONG_POLL + b"GET /early HT")
    first.close()
    bench.until(lambda: bench.driver.sockets.count == 0)
    second = held(bench, LONG_POLL)
    bench.publish(response_item(b"news"))
    bench.until(lambda: second.received.endswith(b"news"))
    bench.exchange(second, b"GET / HTTP/1.1\r\n\r\n", TEST_ANSWER)


def test_connection_closed_by_another_ones_deadline_has_none_any_more(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both were due in the same tick: its descriptor may be another client's by its next deadline."""
    bench = make_bench()
    bench.client(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
    bench.until(lambda: bench.driver.counts.requests_count)
    conn = next(record for record in bench.driver.sockets.records if record is not None)

    class Closer:
        slot = None
        fd = 0

        def on_deadline(self, now: float) -> None:
            conn.on_gone()

    driver, closer = bench.driver, Closer()
    for record in (closer, conn):
        driver.wheel.schedule(record, 0.0)
    driver.sockets.records[closer.fd] = closer  # type: ignore[call-overload]
    monkeypatch.setattr(driver, "clock", lambda: bench.loop.time() + 1)
    driver._do_due()
    driver.sockets.records[closer.fd] = None
    assert driver.sockets.count == 0
    assert conn.slot is None  # type: ignore[attr-defined]


def test_held_client_that_leaves_is_forgotten(bench: WorkerBench) -> None:
    client = held(bench, STREAM)
    client.close()
    bench.until(lambda: bench.driver.sockets.count == 0)
    assert bench.core.holds.streams_count == 0
    assert "a" not in bench.core.holds.subscriptions.channels


def test_hold_that_ends_with_its_connection_is_closed_after_the_answer(bench: WorkerBench) -> None:
    client = held(bench, b"GET /response?channel=a HTTP/1.1\r\nConnection: close\r\n\r\n")
    client.send(b"unread")
    bench.publish(response_item(b"news" * 10))
    bench.until(lambda: client.is_closed)
    assert client.received.endswith(b"news" * 10)


def test_slow_held_client_gets_its_answer_before_it_is_closed(bench: WorkerBench) -> None:
    client = bench.client(receive_bytes=4096)
    client.is_reading = False
    client.send(b"GET /stream?channel=a HTTP/1.0\r\n\r\n")
    bench.until(lambda: bench.core.holds.streams_count == 1)
    content = bytes(range(256)) * 200
    bench.publish(stream_item(content))
    bench.publish(stream_item(b"", Action.CLOSE))
    client.is_reading = True
    bench.until(lambda: client.is_closed)
    assert client.received.endswith(b"\r\n\r\n[stream opened]\n" + content)


def test_bug_in_the_engine_ends_one_connection_only(make_bench: MakeBench) -> None:
    """The worker goes on, and the bug is counted and logged."""
    bench = make_bench()
    client, other = bench.client(b"GET / HTTP/1.1\r\n\r\n"), bench.client(b"GET / HTTP/1.1\r\n\r\n")
    bench.origin(1)
    conn = next(record for record in bench.driver.sockets.records if record is not None)
    bench.driver.dispatch(conn, RelayDone(conn.fd))  # type: ignore[arg-type, attr-defined]
    bench.until(lambda: client.is_closed or other.is_closed)
    assert bench.row[Field.INTERNAL_ERRORS] == 1
    bench.row[Field.INTERNAL_ERRORS] = 0
    assert client.is_closed is not other.is_closed


def test_client_that_sends_without_end_does_not_hold_up_the_others(make_bench: MakeBench) -> None:
    """What needs no origin is answered at once, so one pipelining client kept all others of its worker waiting."""
    bench = make_bench("* test")
    flooding, other = bench.client(), bench.client()
    flooding.send(b"GET / HTTP/1.1\r\n\r\n" * 2000)
    other.send(b"GET / HTTP/1.1\r\n\r\n")
    bench.until(lambda: other.received)
    assert bench.driver.counts.requests_count <= 10 * STEPS_MAX_COUNT
    bench.until(lambda: flooding.received.count(b"HTTP/1.1 200 OK") == 2000)


def test_answer_that_comes_while_the_worker_stops_goes_nowhere(make_bench: MakeBench) -> None:
    """It was written to the client's fd after that was closed: to nothing, or to whatever had the number by then."""
    bench = make_bench()
    bench.client(b"GET / HTTP/1.1\r\n\r\n")
    origin = bench.origin()
    bench.driver.close()
    origin.send(b"HTTP/1.1 200 OK\r\nGrip-Hold: stream\r\nGrip-Channel: a\r\nContent-Length: 0\r\n\r\n")
    bench.until(lambda: origin.is_closed)
    assert bench.core.holds.streams_count == 0
    bench.core.exchanges.clear()


def test_tick_counts_what_is_there(bench: WorkerBench) -> None:
    held(bench, STREAM)
    held(bench, LONG_POLL)
    bench.driver.tick()
    row = bench.row
    assert (row[Field.CONNECTIONS], row[Field.HELD_STREAMS], row[Field.HELD_RESPONSES]) == (2, 1, 1)
    assert (row[Field.REQUESTS], row[Field.CHANNELS], row[Field.ACCEPTED]) == (2, 1, 2)
    bench.driver.tick()
    assert row[Field.REQUESTS] == 2
    assert row[Field.HEARTBEAT_MS] > 0


def test_request_is_one_origin_error_if_no_target_answered(make_bench: MakeBench) -> None:
    """Targets are tried in turn: one that is down is worth a log line, but the request may be answered well."""
    bench = make_bench("up.test {dead} {origin}\n* {dead} {dead}")
    bench.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    bench.exchange(bench.client(), b"GET / HTTP/1.1\r\nHost: up.test\r\n\r\n", b"ok")
    assert bench.row[Field.ORIGIN_ERRORS] == 0
    bench.exchange(bench.client(), b"GET / HTTP/1.1\r\nHost: down.test\r\n\r\n", b"Error while proxying to origin.\n")
    assert bench.row[Field.ORIGIN_ERRORS] == 1


def test_bug_at_one_deadline_does_not_cost_the_others_theirs(bench: WorkerBench) -> None:
    """A tick takes all that is due out of the wheel: what it forgets then stays open for ever."""

    class Faulty:
        slot = None

        def on_deadline(self, now: float) -> None:
            raise AssertionError("a bug")

    for _ in range(3):
        bench.driver.wheel.schedule(Faulty(), 0.0)
    bench.driver.clock = lambda: bench.loop.time() + 1.0
    bench.driver.tick()
    assert bench.row[Field.INTERNAL_ERRORS] == 3
    bench.row[Field.INTERNAL_ERRORS] = 0
    assert bench.row[Field.HEARTBEAT_MS] > 0


def test_bug_in_one_connections_effect_ends_no_other_connection(bench: WorkerBench) -> None:
    """An item's effects are those of thousands of clients: what is behind the faulty one still counts."""
    clients, (first, second, third) = zip(*[held_at(bench, LONG_POLL) for _ in range(3)], strict=True)
    for fd in (first, second, third):
        bench.core.holds.release(fd, bench.loop.time())
    core = script(bench)
    core.expect(ClientGone)
    faulty = Unpark(second, None, b"")  # type: ignore[arg-type]
    del faulty.head
    finish = Finish(b"one", [first], is_persistent=True)
    carry_out(bench, finish, faulty, Respond(second, b"never", True), Deliver(b"three", [third]))
    bench.until(lambda: clients[1].is_closed and clients[0].received == b"one" and clients[2].received == b"three")
    assert core.events == [ClientGone(second)]
    assert bench.row[Field.INTERNAL_ERRORS] == 1
    bench.row[Field.INTERNAL_ERRORS] = 0
    bench.driver.core = bench.core


def test_bug_at_the_end_of_one_hold_leaves_the_others_theirs(
    bench: WorkerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine has forgotten them all: who is left out would be held by nobody for ever."""
    clients, fds = zip(*[held_at(bench, LONG_POLL) for _ in range(3)], strict=True)
    write = bench.driver.sockets.write

    def faulty_write(fd: int, payload: bytes, is_item: bool = False) -> None:
        if fd == fds[1]:
            raise AssertionError("a bug")
        write(fd, payload, is_item=is_item)

    monkeypatch.setattr(bench.driver.sockets, "write", faulty_write)
    bench.publish(response_item(b"news"))
    bench.until(lambda: clients[0].received and clients[2].received and clients[1].is_closed)
    assert bench.row[Field.INTERNAL_ERRORS] == 1
    bench.row[Field.INTERNAL_ERRORS] = 0


def test_events_that_effects_bring_come_after_the_last_of_them(bench: WorkerBench) -> None:
    """The engine said how things are now; what it is told in between would make the rest untrue."""
    _, first = held_at(bench, STREAM)
    client, second = held_at(bench, STREAM)
    core, seen = script(bench), []
    core.script[ClientGone] = lambda event: (
        seen.append(len(bench.driver.sockets.backlogs)) or bench.core.handle(event, 0)
    )
    carry_out(bench, Cut(first), Deliver(b"x" * 30_000_000, [second]))
    assert seen == [1] and bench.core.holds.streams_count == 1
    client.close()


def test_cut_ends_a_hold_too(bench: WorkerBench) -> None:
    client = held(bench, STREAM)
    carry_out(bench, Cut(only_fd(bench)))
    bench.until(lambda: client.is_closed)
    assert bench.core.holds.streams_count == 0


def test_updates_come_after_the_time_that_was_asked_for(bench: WorkerBench) -> None:
    core = script(bench)
    core.expect(UpdatesDue)
    begun = bench.loop.time()
    carry_out(bench, WakeUpdates(0.05))
    bench.until(lambda: core.events)
    assert round(bench.loop.time() - begun, 3) >= 0.05


def test_engine_is_woken_for_the_next_batch(bench: WorkerBench) -> None:
    """Even if it waited long: then more items may be taken again, where too many waited before."""

    class Feed:
        is_paused = True

        def resume(self) -> None:
            self.is_paused = False

    core = script(bench)
    core.expect(PacingDue)
    feed = Feed()
    bench.driver.feed = feed  # type: ignore[assignment]
    begun = bench.loop.time()
    carry_out(bench, WakePacing(0.05))
    bench.until(lambda: core.events)
    assert round(bench.loop.time() - begun, 3) >= 0.05
    assert not feed.is_paused


class LateFeed:
    """A bus on which `handled_count` items have come."""

    def __init__(self, bench: WorkerBench, sent_count: int) -> None:
        self.handled_count = 0
        self.looks_count = 0
        bench.driver.sent_count = lambda: sent_count
        bench.driver.feed = self  # type: ignore[assignment]

    def has_handled(self, sent_count: int) -> bool:
        self.looks_count += 1
        return self.handled_count >= sent_count

    def subscribe(self, channel: str, is_update_wanted: bool) -> None: ...

    def unsubscribe(self, channel: str) -> None: ...


def test_hold_waits_for_items_from_before_its_request(make_bench: MakeBench) -> None:
    """The client may have had them from a worker whose bus was quicker."""
    bench = make_bench(subscription_linger=0)
    bench.answer = POLL_INSTRUCT
    feed = LateFeed(bench, sent_count=7)
    client = bench.client(LONG_POLL)
    bench.until(lambda: feed.looks_count >= 2)
    bench.publish(response_item(b"old"))
    assert HELD not in bench.driver.sockets.records
    feed.handled_count = 7
    bench.until(lambda: HELD in bench.driver.sockets.records)
    bench.publish(response_item(b"new"))
    bench.until(lambda: client.received.endswith(b"\r\n\r\nnew"))
    bench.driver.feed = None


def test_hold_does_not_wait_for_ever_for_the_bus(make_bench: MakeBench) -> None:
    """Items that a killed hub has sent never come."""
    bench = make_bench(subscription_linger=0)
    bench.answer = POLL_INSTRUCT
    LateFeed(bench, sent_count=7)
    begun = bench.loop.time()
    bench.client(LONG_POLL)
    bench.until(lambda: HELD in bench.driver.sockets.records)
    assert bench.loop.time() - begun >= BUS_WAIT_MAX_S
    bench.driver.feed = None


def test_client_that_leaves_while_its_hold_waits_is_forgotten(make_bench: MakeBench) -> None:
    bench = make_bench(subscription_linger=0)
    bench.answer = POLL_INSTRUCT
    feed = LateFeed(bench, sent_count=7)
    client = bench.client(LONG_POLL)
    bench.until(lambda: feed.looks_count)
    client.close()
    bench.until(lambda: bench.driver.sockets.count == 0)
    looks_count, until = feed.looks_count, bench.loop.time() + 2 * BUS_WAIT_MAX_S
    bench.until(lambda: bench.loop.time() > until)
    assert feed.looks_count == looks_count
    bench.driver.feed = None


def test_stale_channels_are_told(bench: WorkerBench) -> None:
    core = script(bench)
    core.expect(ChannelsStale)
    bench.driver.on_stale(["a"])
    bench.driver.on_stale(None)
    assert core.events == [ChannelsStale(["a"]), ChannelsStale(None)]


def test_channels_and_doubtful_ids_are_told_to_the_hub(bench: WorkerBench) -> None:
    class Feed:
        calls: list[tuple[Any, ...]] = []

        def subscribe(self, *arguments: Any) -> None:
            self.calls.append(("subscribe", *arguments))

        def unsubscribe(self, *arguments: Any) -> None:
            self.calls.append(("unsubscribe", *arguments))

        def forget_id(self, *arguments: Any) -> None:
            self.calls.append(("forget_id", *arguments))

    feed = Feed()
    bench.driver.feed = feed  # type: ignore[assignment]
    carry_out(bench, OpenChannel("a", is_update_wanted=True), OpenChannel("b"), ForgetId("a", "7"), CloseChannel("a"))
    bench.driver.feed = None
    assert feed.calls == [
        ("subscribe", "a", True),
        ("subscribe", "b", False),
        ("forget_id", "a", "7"),
        ("unsubscribe", "a"),
    ]
