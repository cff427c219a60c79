"""Requests of the engine's own: what it hears of them, and how they wait for slow readers."""

import select
import socket
from collections.abc import Callable
from typing import Any

import pytest

from gripproxy.engine.effects import AskLink, DropLink, Effect, Forward
from gripproxy.engine.events import ClientGone, LinkAnswered, LinkBodyCame, LinkDone, LinkFailed, OriginFailure
from gripproxy.protocol.route_target import Target
from gripproxy.scoreboard import Field, Histogram, read_histogram
from gripproxy_worker.backlog import BACKLOG_MAX_BYTES
from gripproxy_worker.client_conn import BACKLOG_PAUSE_BYTES
from gripproxy_worker.link_conn import SHARED_WAIT_S
from tests.worker.bench import Client, WorkerBench
from tests.worker.conftest import MakeBench
from tests.worker.scripted_core import ScriptedCore, carry_out, script

GET = b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /gone HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def bench(make_bench: MakeBench) -> WorkerBench:
    return make_bench("* test")


@pytest.fixture
def core(bench: WorkerBench) -> ScriptedCore:
    """An engine that does nothing about what it hears of links."""
    core = script(bench)
    core.expect(LinkAnswered, LinkBodyCame, LinkDone, LinkFailed)
    return core


def ask(
    bench: WorkerBench,
    link_id: int = 1,
    head: bytes = GET,
    target: Target | None = None,
    is_repeatable: bool = False,
) -> None:
    target = target or Target(host="127.0.0.1", port=bench.origin_port)
    carry_out(bench, AskLink(link_id, target, "", head, is_repeatable=is_repeatable))


def kinds(core: ScriptedCore) -> list[type]:
    return [type(event) for event in core.events]


def streams(bench: WorkerBench, count: int, receive_bytes: int | None = None) -> list[Client]:
    """Hold clients, which read nothing of what follows."""
    clients = [bench.client(receive_bytes=receive_bytes) for _ in range(count)]
    for client in clients:
        client.send(b"GET /stream?channel=a HTTP/1.1\r\n\r\n")
    bench.until(lambda: all(client.received.endswith(b"opened]\n\r\n") for client in clients))
    for client in clients:
        client.is_reading = False
        client.received.clear()
    return clients


def fds_of(bench: WorkerBench) -> list[int]:
    return [fd for fd, record in enumerate(bench.driver.sockets.records) if record is not None]


def forwarding(bench: WorkerBench, core: ScriptedCore) -> Callable[[LinkBodyCame], list[Effect]]:
    """Let the engine pass on what links bring to every stream."""

    def forward(event: LinkBodyCame) -> list[Effect]:
        fds = fds_of(bench)
        return [Forward(event.link_id, event.part, fds, len(fds))]

    core.script[LinkBodyCame] = forward
    return core.script[LinkBodyCame]


def test_answer_is_told_in_order(bench: WorkerBench, core: ScriptedCore) -> None:
    ask(bench, 7)
    bench.origin(ends=GET).send(OK)
    bench.until(lambda: LinkDone in kinds(core))
    answered, came, done = core.events
    assert (answered.link_id, answered.head.status) == (7, 200)
    assert (came, done) == (LinkBodyCame(7, b"ok"), LinkDone(7))
    assert sum(read_histogram(bench.row, Histogram.ORIGIN)[0]) == 1
    assert len(bench.driver.links) == 0


def test_interim_answers_are_not_told(bench: WorkerBench, core: ScriptedCore) -> None:
    ask(bench)
    bench.origin(ends=GET).send(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + OK)
    bench.until(lambda: LinkDone in kinds(core))
    assert [event.head.status for event in core.events if type(event) is LinkAnswered] == [200]


def test_chunks_of_one_read_are_one_part(bench: WorkerBench, core: ScriptedCore) -> None:
    """An event and a write for each would let an origin choose what its links cost."""
    ask(bench)
    bench.origin(ends=GET).send(CHUNKED_HEAD + b"1\r\na\r\n" * 1000 + b"0\r\n\r\n")
    bench.until(lambda: LinkDone in kinds(core))
    parts = [event.part for event in core.events if type(event) is LinkBodyCame]
    assert b"".join(parts) == b"a" * 1000 and len(parts) < 5


@pytest.mark.parametrize(
    ("answer", "failure"),
    [(b"", OriginFailure.BROKEN), (CHUNKED_HEAD + b"2\r\nhe", OriginFailure.BROKEN)],
)
def test_link_that_breaks_off_says_so_after_what_it_brought(
    bench: WorkerBench, core: ScriptedCore, answer: bytes, failure: OriginFailure
) -> None:
    ask(bench)
    origin = bench.origin(ends=GET)
    origin.send(answer)
    origin.transport.close()
    bench.until(lambda: LinkFailed in kinds(core))
    assert kinds(core) == ([LinkAnswered, LinkBodyCame, LinkFailed] if answer else [LinkFailed])
    assert core.events[-1].failure is failure and "closed the connection" in core.events[-1].detail
    assert len(bench.origins) == 1 and len(bench.driver.links) == 0


def test_what_came_with_garbage_is_told_before_the_failure(bench: WorkerBench, core: ScriptedCore) -> None:
    ask(bench)
    bench.origin(ends=GET).send(CHUNKED_HEAD + b"2\r\nhe\r\nzz\r\n")
    bench.until(lambda: LinkFailed in kinds(core))
    assert kinds(core) == [LinkAnswered, LinkBodyCame, LinkFailed]


def test_link_to_an_origin_that_is_down(bench: WorkerBench, core: ScriptedCore) -> None:
    ask(bench, target=Target(host="127.0.0.1", port=1))
    bench.until(lambda: core.events)
    assert core.events[0].failure is OriginFailure.CONNECT and "refused" in core.events[0].detail


def use_and_close_kept(bench: WorkerBench, core: ScriptedCore, head: bytes, is_repeatable: bool = False) -> None:
    """Ask on a kept connection that the origin closes as soon as it is asked."""
    ask(bench, 1)
    bench.origin(ends=GET).send(OK)
    bench.until(lambda: LinkDone in kinds(core))
    core.events.clear()
    bench.origins[0].received.clear()
    ask(bench, 2, head, is_repeatable=is_repeatable)
    bench.origin(ends=head).transport.close()


def test_kept_connection_that_was_closed_is_replaced_once(bench: WorkerBench, core: ScriptedCore) -> None:
    use_and_close_kept(bench, core, GET)
    second = bench.origin(1, ends=GET)
    second.transport.close()
    bench.until(lambda: core.events)
    assert kinds(core) == [LinkFailed] and len(bench.origins) == 2


def test_word_of_an_end_is_sent_once(bench: WorkerBench, core: ScriptedCore) -> None:
    """The origin may have done its work before it closed the connection."""
    use_and_close_kept(bench, core, POST)
    bench.until(lambda: core.events)
    assert kinds(core) == [LinkFailed] and len(bench.origins) == 1


def test_events_are_sent_again_where_a_kept_connection_was_closed(bench: WorkerBench, core: ScriptedCore) -> None:
    """Origins close idle connections whenever they like: no session may end for that. But it is done once."""
    use_and_close_kept(bench, core, POST, is_repeatable=True)
    bench.origin(1, ends=POST).transport.close()
    bench.until(lambda: core.events)
    assert kinds(core) == [LinkFailed] and len(bench.origins) == 2


@pytest.mark.parametrize("size", [1000, 20_000_000])
def test_request_that_was_not_all_sent_is_told_apart(bench: WorkerBench, core: ScriptedCore, size: int) -> None:
    """It cannot have been acted on."""
    ask(bench, head=b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
    bench.until(lambda: bench.origins and bench.origins[0].received)
    bench.origins[0].transport.close()
    bench.until(lambda: core.events)
    (failed,) = core.events
    assert (failed.failure, failed.is_sent) == (OriginFailure.BROKEN, size == 1000)


@pytest.mark.parametrize("read_bytes", [0, 10, len(POST)])
def test_request_that_was_not_all_read_is_told_apart(bench: WorkerBench, core: ScriptedCore, read_bytes: int) -> None:
    """So it is when an origin stops with connections that it has not accepted, or not read."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ask(bench, head=POST, target=Target(host="127.0.0.1", port=listener.getsockname()[1]))
        bench.until(lambda: select.select([listener], [], [], 0)[0])
        connection, _ = listener.accept()
    with connection:
        bench.until(lambda: select.select([connection], [], [], 0)[0])
        assert connection.recv(len(POST), socket.MSG_PEEK) == POST
        connection.recv(read_bytes)
    bench.until(lambda: core.events)
    (failed,) = core.events
    assert (failed.failure, failed.is_sent) == (OriginFailure.BROKEN, read_bytes == len(POST))


@pytest.mark.parametrize("turns", range(8))
def test_dropped_link_is_closed_and_silent(bench: WorkerBench, core: ScriptedCore, turns: int) -> None:
    """Before it is connected, before it is answered, and in the middle."""
    bench.answer = CHUNKED_HEAD + b"1\r\na\r\n"
    ask(bench)
    for _ in range(turns):
        bench.turn()
    carry_out(bench, DropLink(1))
    count = len(core.events)
    bench.until(lambda: not bench.driver.pool._tasks)
    bench.until(lambda: all(origin.is_closed for origin in bench.origins))
    assert len(core.events) == count and len(bench.driver.links) == 0
    carry_out(bench, DropLink(1))


@pytest.mark.parametrize("event", [LinkAnswered, LinkBodyCame])
def test_link_can_be_dropped_from_its_own_event(bench: WorkerBench, core: ScriptedCore, event: type) -> None:
    """Nothing follows, although the rest of it came in the same read."""
    core.script[event] = lambda event: [DropLink(event.link_id)]
    ask(bench)
    bench.origin(ends=GET).send(OK)
    bench.until(lambda: bench.origins[0].is_closed or bench.driver.pool._idle)
    assert kinds(core)[-1] is event and len(bench.driver.links) == 0


def test_body_is_forwarded_to_all(bench: WorkerBench, core: ScriptedCore) -> None:
    clients = streams(bench, 3)
    forwarding(bench, core)
    ask(bench)
    bench.origin(ends=GET).send(OK)
    for client in clients:
        client.is_reading = True
    bench.until(lambda: all(client.received == b"ok" for client in clients))


def fill(bench: WorkerBench, core: ScriptedCore, clients: list[Client], size: int = 40_000_000) -> int:
    """Send a body that the last of the clients does not read, until the link waits for it."""
    forwarding(bench, core)
    ask(bench)
    origin = bench.origin(ends=GET)
    origin.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
    bench.until(lambda: bench.driver.sockets.room_waits)
    for client in clients[:-1]:
        client.is_reading = True
    for _ in range(200):
        bench.turn()
    return size


def test_link_waits_for_the_slowest_reader_and_loses_nothing(bench: WorkerBench, core: ScriptedCore) -> None:
    """Nothing of a response can be left out, and what waits must not wait here."""
    clients = streams(bench, 3, receive_bytes=65_536)
    size = fill(bench, core, clients)
    (slow_fd,) = bench.driver.sockets.backlogs
    assert bench.driver.sockets.backlogs[slow_fd].bytes_count < BACKLOG_PAUSE_BYTES + 600_000
    assert len(clients[0].received) < size / 2
    clients[-1].is_reading = True
    bench.until(lambda: all(len(client.received) == size for client in clients))
    assert LinkDone in kinds(core) and bench.driver.sockets.room_waits == {}


def test_what_waits_for_several_readers_is_kept_once(bench: WorkerBench, core: ScriptedCore) -> None:
    """It would count against what all clients of the worker may leave unread."""
    streams(bench, 3, receive_bytes=65_536)
    carry_out(bench, Forward(1, b"x" * 1_000_000, fds_of(bench), 3))
    assert len(bench.driver.sockets.backlogs) == 3
    assert bench.driver.sockets.backlogs.total_bytes == 1_000_000


def test_link_goes_on_when_the_slow_reader_leaves(bench: WorkerBench, core: ScriptedCore) -> None:
    clients = streams(bench, 2, receive_bytes=65_536)
    size = fill(bench, core, clients)
    clients[-1].close()
    bench.until(lambda: bench.driver.sockets.count == 1)
    forwarding(bench, core)
    bench.until(lambda: len(clients[0].received) == size)


def test_end_of_a_link_waits_for_the_slowest_reader_too(bench: WorkerBench, core: ScriptedCore) -> None:
    """The engine asks for the next part at once then: of many small parts, one that does not read would gather all."""
    clients = streams(bench, 2, receive_bytes=4096)
    forwarding(bench, core)
    ask(bench)
    body = b"x" * 90_000  # past the kernel's share and ours, but only with its last part
    bench.origin(ends=GET).send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    clients[0].is_reading = True
    bench.until(lambda: bench.driver.pool._idle)
    for _ in range(50):
        bench.turn()
    assert LinkDone not in kinds(core) and len(clients[0].received) == len(body)
    clients[1].is_reading = True
    bench.until(lambda: LinkDone in kinds(core))


def test_end_of_a_link_comes_after_the_end_of_who_it_waited_for(bench: WorkerBench, core: ScriptedCore) -> None:
    """The engine must not go on with a stream whose descriptor may be another client's by then."""
    (client,) = streams(bench, 1, receive_bytes=4096)
    forwarding(bench, core)
    core.script[ClientGone] = lambda event: bench.core.handle(event, bench.loop.time())
    ask(bench)
    bench.origin(ends=GET).send(b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n" + b"x" * 90_000)
    bench.until(lambda: bench.driver.pool._idle)
    client.close()
    bench.until(lambda: LinkDone in kinds(core))
    assert kinds(core)[-2:] == [ClientGone, LinkDone]


def test_worker_that_stops_drops_its_links(bench: WorkerBench, core: ScriptedCore) -> None:
    fill(bench, core, streams(bench, 1, receive_bytes=65_536))
    events_count = len(core.events)
    bench.driver.close()
    bench.until(lambda: bench.origins[0].is_closed)
    assert LinkDone not in kinds(core)[events_count:] and len(bench.driver.links) == 0


def test_dropped_link_waits_for_nobody(bench: WorkerBench, core: ScriptedCore) -> None:
    fill(bench, core, streams(bench, 1, receive_bytes=65_536))
    carry_out(bench, DropLink(1))
    assert bench.driver.sockets.room_waits == {}
    bench.until(lambda: bench.origins[0].is_closed)


def test_waiting_link_is_not_taken_for_a_silent_origin(bench: WorkerBench, core: ScriptedCore) -> None:
    fill(bench, core, streams(bench, 1, receive_bytes=65_536))
    (origin,) = bench.driver.pool._open
    bench.driver.pool.on_deadline(origin, bench.loop.time() + 10 * bench.settings.origin_timeout)
    assert origin.transport is not None and LinkFailed not in kinds(core)


def pass_time(bench: WorkerBench, seconds: float) -> None:
    """Let every deadline within so many seconds come due."""
    now = bench.loop.time() + seconds
    bench.driver.clock = lambda: now
    for record in bench.driver.wheel.due(now, 1000):
        record.on_deadline(now)


def test_reader_that_reads_nothing_for_long_is_given_up(bench: WorkerBench, core: ScriptedCore) -> None:
    """It would hold the origin's connection for ever."""
    core.script[ClientGone] = lambda event: [DropLink(1)]
    fill(bench, core, streams(bench, 1, receive_bytes=65_536))
    pass_time(bench, bench.settings.send_timeout + 1)
    bench.until(lambda: bench.driver.sockets.count == 0)


def test_slow_reader_does_not_stop_the_others_for_long(bench: WorkerBench, core: ScriptedCore) -> None:
    """They go on without it, and it gets all that follows when it reads."""
    clients = streams(bench, 3, receive_bytes=65_536)
    size = fill(bench, core, clients, BACKLOG_MAX_BYTES)
    assert len(clients[0].received) < size
    pass_time(bench, SHARED_WAIT_S + 1)
    bench.until(lambda: LinkDone in kinds(core))
    bench.until(lambda: all(len(client.received) == size for client in clients[:-1]))
    assert len(clients[-1].received) == 0
    clients[-1].is_reading = True
    bench.until(lambda: len(clients[-1].received) == size)


def test_slow_reader_that_falls_far_behind_the_others_is_cut_off(bench: WorkerBench, core: ScriptedCore) -> None:
    clients = streams(bench, 2, receive_bytes=65_536)
    size = fill(bench, core, clients)
    pass_time(bench, SHARED_WAIT_S + 1)
    bench.until(lambda: len(clients[0].received) == size)
    assert bench.driver.sockets.count == 1


def test_readers_that_are_all_slow_are_waited_for_until_one_has_read(bench: WorkerBench, core: ScriptedCore) -> None:
    clients = streams(bench, 3, receive_bytes=65_536)
    forwarding(bench, core)
    ask(bench)
    origin = bench.origin(ends=GET)
    origin.send(b"HTTP/1.1 200 OK\r\nContent-Length: 40000000\r\n\r\n" + b"x" * 40_000_000)
    bench.until(lambda: len(bench.driver.sockets.room_waits) == 3)
    unread_bytes = bench.driver.sockets.backlogs.total_bytes
    pass_time(bench, SHARED_WAIT_S + 1)
    for _ in range(100):
        bench.turn()
    assert bench.driver.sockets.backlogs.total_bytes == unread_bytes
    clients[1].is_reading = True
    bench.until(lambda: bench.driver.sockets.backlogs.total_bytes > unread_bytes)
    assert bench.driver.sockets.count == 3


def test_reader_that_reads_slowly_is_waited_for(bench: WorkerBench, core: ScriptedCore) -> None:
    clients = streams(bench, 1, receive_bytes=65_536)
    size = fill(bench, core, clients)
    send_timeout = bench.settings.send_timeout
    (backlog,) = bench.driver.sockets.backlogs.values()
    unread_bytes = backlog.bytes_count
    clients[0].is_reading = True
    bench.until(lambda: backlog.bytes_count < unread_bytes)
    clients[0].is_reading = False
    if not bench.driver.sockets.room_waits:
        bench.until(lambda: bench.driver.sockets.room_waits)
    pass_time(bench, send_timeout + 1)
    assert bench.driver.sockets.count == 1
    clients[0].is_reading = True
    bench.until(lambda: len(clients[0].received) == size)


def test_bug_in_what_a_link_brings_ends_the_link(bench: WorkerBench, core: ScriptedCore) -> None:
    """Its streams hear that there is no more, and need not wait for it for ever."""

    def fail(event: Any) -> list[Effect]:
        raise AssertionError("a bug")

    core.script[LinkAnswered] = fail
    ask(bench)
    bench.origin(ends=GET).send(OK)
    bench.until(lambda: bench.origins[0].is_closed or LinkFailed in kinds(core))
    assert kinds(core) == [LinkAnswered, LinkFailed] and len(bench.driver.links) == 0
    assert bench.row[Field.INTERNAL_ERRORS] == 1
    bench.row[Field.INTERNAL_ERRORS] = 0
