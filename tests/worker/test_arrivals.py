"""Connections that came from another worker: they go on as if nothing had happened, whatever they are."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gripproxy.protocol.websocket_frame import PING, PONG, TEXT, encode_frame
from gripproxy.scoreboard import Field
from gripproxy_worker.arrivals import ArrivingBatch, ArrivingOrigin
from tests.worker.bench import Client, OriginSide
from tests.worker.handover_bench import HandoverBench, open_bench
from tests.worker.held_clients import LONG_POLL, SOCKET, STREAM, TEST_ANSWER, stream_item
from tests.worker.socket_bench import frames_of, masked, real_accept, real_handshake

IDLE = b"GET / HTTP/1.1\r\n\r\n"


@pytest.fixture
def bench(short_path: Path) -> Iterator[HandoverBench]:
    yield from open_bench(short_path)


@pytest.fixture
def proxied(short_path: Path) -> Iterator[HandoverBench]:
    """A bench with a WebSocket origin."""
    yield from open_bench(short_path, routes="* {origin}")


def joined(bench: HandoverBench) -> tuple[Client, OriginSide]:
    """Join a client and its WebSocket origin at the old worker."""
    client = bench.client(real_handshake("/chat"))
    bench.until(lambda: bench.origins and bench.origins[-1].received.endswith(b"\r\n\r\n"))
    origin = bench.origins[-1]
    origin.send(real_accept(origin))
    bench.until(lambda: bench.old.held_count == 1)
    bench.until(lambda: client.received.endswith(b"\r\n\r\n"))
    client.received.clear()
    return client, origin


def moved(bench: HandoverBench, count: int = 1) -> "asyncio.Task[None]":
    """Move all clients."""
    task = bench.move()
    bench.until(lambda: bench.new.driver.sockets.count == count and not bench.old.driver.sockets.count)
    return task


def stop(bench: HandoverBench, task: "asyncio.Task[None]") -> None:
    task.cancel()
    bench.until(task.done)


def test_websocket_moves_with_the_connection_to_its_origin(proxied: HandoverBench) -> None:
    """Neither of the two notices, and the end of one is still the other's."""
    client, origin = joined(proxied)
    name = proxied.old.telemetry.id_of(proxied.old.driver.web_sockets.origins.copy().pop().conn_id)  # type: ignore[attr-defined]
    task = moved(proxied)
    proxied.until(lambda: not proxied.old.driver.web_sockets.origins)
    assert proxied.old.driver.web_sockets.origin_fds_count == 0
    assert proxied.new.driver.web_sockets.origin_fds_count == 1
    assert proxied.new.telemetry.socket_of(name) is not None
    client.send(masked(TEXT, b"to the origin"))
    proxied.until(lambda: frames_of(origin.received, is_client=False))
    assert frames_of(origin.received, is_client=False)[0].payload == b"to the origin"
    origin.send(encode_frame(TEXT, b"to the client"))
    proxied.until(lambda: frames_of(client.received))
    assert frames_of(client.received)[0].payload == b"to the client"
    client.close()
    proxied.until(lambda: origin.is_closed)
    proxied.until(lambda: not proxied.new.driver.web_sockets.origins)
    stop(proxied, task)


def test_what_is_sent_on_the_way_is_not_lost(proxied: HandoverBench) -> None:
    """Both ends talk while the connection goes from one process to the other."""
    client, origin = joined(proxied)
    task = proxied.move()
    sent = 0
    while not (proxied.new.held_count and not proxied.old.held_count):
        client.send(masked(TEXT, b"%d" % sent))
        origin.send(encode_frame(TEXT, b"%d" % sent))
        sent += 1
        for _ in range(3):  # else it is never at rest
            proxied.turn()
    expected = [b"%d" % number for number in range(sent)]
    proxied.until(lambda: len(frames_of(origin.received, is_client=False)) >= sent)
    proxied.until(lambda: len(frames_of(client.received)) >= sent)
    assert [frame.payload for frame in frames_of(origin.received, is_client=False)] == expected
    assert [frame.payload for frame in frames_of(client.received)] == expected
    stop(proxied, task)


def test_websocket_of_the_test_handler_moves(bench: HandoverBench) -> None:
    client = bench.held(SOCKET)[0]
    bench.until(lambda: client.received.endswith(b"\r\n\r\n"))
    client.received.clear()
    task = moved(bench)
    client.send(masked(PING, b"still there?"))
    bench.until(lambda: frames_of(client.received))
    frame = frames_of(client.received)[0]
    assert (frame.opcode, frame.payload) == (PONG, b"still there?")
    client.close()
    bench.until(lambda: bench.new.held_count == 0)
    stop(bench, task)


def test_early_input_is_answered_after_the_hold(bench: HandoverBench) -> None:
    """It was read with the request, so it is not in the socket any more."""
    client = bench.held(LONG_POLL + IDLE)[0]
    late = bench.held(LONG_POLL)[0]
    late.send(IDLE)
    task = moved(bench, 2)
    for each in (client, late):
        each.received.clear()
    bench.publish(stream_item(b"for nobody here"))
    for hold in [hold for hold in bench.new.core.holds.holds if hold is not None]:
        bench.new.core.holds.wheel.schedule(hold, 0.0)
    bench.new.driver.tick()
    bench.until(lambda: all(each.received.endswith(TEST_ANSWER) for each in (client, late)))
    stop(bench, task)


def test_place_at_the_listener_goes_along(bench: HandoverBench) -> None:
    """Each of the two counts its own clients."""
    client = bench.held(STREAM)[0]
    limits = bench.shared.counts
    assert (limits.row(0)[0], limits.row(1)[0]) == (1, 0)
    task = moved(bench)
    assert (limits.row(0)[0], limits.row(1)[0]) == (0, 1)
    client.close()
    bench.until(lambda: limits.total(0) == 0)
    stop(bench, task)


def test_address_that_a_balancer_told_goes_along(bench: HandoverBench) -> None:
    bench.held(STREAM)
    (fd,) = [fd for fd, record in enumerate(bench.old.driver.sockets.records) if record is not None]
    bench.old.driver.sockets.proxied.put(fd, bytes(15) + b"\x01\x07")
    task = moved(bench)
    (new_fd,) = [fd for fd, record in enumerate(bench.new.driver.sockets.records) if record is not None]
    assert bench.new.driver.sockets.client_ip(new_fd) == "::1"
    assert bench.old.driver.sockets.proxied.get(fd) is None
    stop(bench, task)


def test_connection_that_cannot_be_taken_costs_only_itself(
    bench: HandoverBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a bug of ours. The others are held, and it is closed: the old worker has let go of it."""
    clients = bench.held(STREAM, 3)
    predecessor = bench.predecessor()
    assert predecessor.arrivals is not None
    install, calls = predecessor.arrivals._installer.install, list[int]()

    def fail_once(record: object, conn_id: int, now: float) -> object:
        calls.append(conn_id)
        if len(calls) == 2:
            raise ValueError("a bug")
        return install(record, conn_id, now)  # type: ignore[arg-type]  # what it was given

    monkeypatch.setattr(predecessor.arrivals._installer, "install", fail_once)
    task = bench.loop.create_task(predecessor.take_connections())
    bench.until(lambda: bench.new.held_count == 2 and sum(client.is_closed for client in clients) == 1)
    assert bench.new.driver.sockets.count == 2
    assert bench.new.row[Field.INTERNAL_ERRORS] == 1
    bench.new.row[Field.INTERNAL_ERRORS] = 0
    stop(bench, task)


def test_descriptors_are_those_of_clients_and_then_of_origins() -> None:
    """Their records say which have one, and may have more fields than this version knows."""
    plain, origin = (None, b"", None, None, None, None, None), (None, b"", None, None, None, None, False, "later")
    batch = ArrivingBatch.decode((), (), (plain, origin, origin), (10, 11, 12, 21, 22))
    assert [(arrival.fd, arrival.origin_fd) for arrival in batch.arrivals] == [(10, None), (11, 21), (12, 22)]


def test_origin_may_talk_and_leave_before_its_client_is_here() -> None:
    origin = ArrivingOrigin()
    assert origin.itself() is origin
    origin.data_received(b"a")
    origin.data_received(b"b")
    origin.connection_lost(None)
    assert (origin.early_input, origin.is_lost) == (b"ab", True)
