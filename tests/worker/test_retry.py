"""A held request that is asked again: its connection is busy as if it had just come."""

from typing import Any

import pytest

from gripproxy.engine.effects import AskOrigin, Collect, OpenChannel, Park, Relay, Respond, Unpark
from gripproxy.engine.events import OriginAnswered, OriginBodyCollected, OriginFailed, RelayDone
from gripproxy.protocol.http1 import CHUNKED, NONE, SIZED, BodyFraming, RequestHead
from gripproxy.protocol.publish_format import Action, HttpResponseFormat, HttpStreamFormat
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.protocol.route_target import Target
from gripproxy_worker.client_sockets import HELD
from tests.worker.bench import WorkerBench
from tests.worker.conftest import MakeBench
from tests.worker.held_clients import LONG_POLL, TEST_ANSWER, held, only_fd, stream_item
from tests.worker.scripted_core import carry_out, script

POST_HEAD = RequestHead(b"POST", b"/", is_http11=True, headers=[], is_keep_alive=True)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def bench(make_bench: MakeBench) -> WorkerBench:
    return make_bench("* test", subscription_linger=0)


def unpark(bench: WorkerBench, fd: int, body: bytes, *effects: Any) -> None:
    """Let the engine ask again for a held client."""
    bench.core.holds.release(fd, bench.loop.time())
    carry_out(bench, Unpark(fd, POST_HEAD, body), *effects)


def asked_again(bench: WorkerBench, fd: int, head: bytes = b"again\r\n\r\n", framing: BodyFraming = NONE) -> AskOrigin:
    target = Target(host="127.0.0.1", port=bench.origin_port)
    return AskOrigin(fd, target, "", head, is_head=False, framing=framing)


@pytest.mark.parametrize(
    ("framing", "body", "sent"),
    [(NONE, b"", b""), (SIZED, b"news", b"news"), (CHUNKED, b"news", b"4\r\nnews\r\n0\r\n\r\n")],
)
def test_held_request_is_asked_again_with_its_body(
    bench: WorkerBench, framing: BodyFraming, body: bytes, sent: bytes
) -> None:
    """As the first time: also when its body came in chunks and is all here now."""
    client = held(bench, LONG_POLL)
    core = script(bench)
    core.script[OriginAnswered] = lambda event: [Collect(event.conn_id, 100)]
    core.script[OriginBodyCollected] = lambda event: [Respond(event.conn_id, event.body + event.request_body, True)]
    fd = only_fd(bench)
    unpark(bench, fd, body, asked_again(bench, fd, framing=framing))
    bench.origin(ends=b"again\r\n\r\n" + sent).send(OK)
    bench.until(lambda: client.received.endswith(b"ok" + body))
    assert core.events[0].is_request_done
    bench.exchange(client, b"GET / HTTP/1.1\r\n\r\n", TEST_ANSWER)


def test_request_that_is_asked_again_can_be_relayed_and_held_again(bench: WorkerBench) -> None:
    client = held(bench, LONG_POLL)
    core = script(bench)
    core.script[OriginAnswered] = lambda event: [Relay(event.conn_id, b"head:", SIZED, False, is_opening=True)]
    core.script[RelayDone] = lambda event: [Park(event.conn_id, b".")]
    fd = only_fd(bench)
    unpark(bench, fd, b"", asked_again(bench, fd))
    bench.origin().send(OK)
    bench.until(lambda: client.received == b"head:ok.")
    assert bench.driver.sockets.records[fd] is HELD


def test_what_came_while_a_request_was_held_is_served_after_the_answer_to_it(bench: WorkerBench) -> None:
    """Part of it was read before the hold, part of it is still in the kernel, which will not tell a second time."""
    client = held(bench, LONG_POLL + b"GET /early HT")
    client.send(b"TP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n")
    bench.turn()
    unpark(bench, only_fd(bench), b"", Respond(only_fd(bench), b"answer:", True))
    bench.until(lambda: client.received.endswith(TEST_ANSWER))
    assert client.received.startswith(b"answer:HTTP/1.1 404 ")
    assert client.received.count(b"HTTP/1.1 ") == 2


def test_next_request_waits_until_the_effects_of_an_event_are_done(bench: WorkerBench) -> None:
    """It may change the channels that the effects behind its predecessor's answer speak of."""
    client = held(bench, LONG_POLL + LONG_POLL)
    unpark(bench, only_fd(bench), b"", Respond(only_fd(bench), b"answer", True), OpenChannel("a"))
    assert bench.core.holds.responses_count == 0
    bench.until(lambda: bench.core.holds.responses_count == 1)
    assert client.received == b"answer"


def test_client_that_leaves_while_its_request_is_asked_again_is_forgotten(bench: WorkerBench) -> None:
    client = held(bench, LONG_POLL)
    fd = only_fd(bench)
    unpark(bench, fd, b"", asked_again(bench, fd))
    origin = bench.origin()
    client.close()
    bench.until(lambda: origin.is_closed and bench.driver.sockets.count == 0)


def test_request_that_is_asked_again_and_finds_no_origin(bench: WorkerBench) -> None:
    held(bench, LONG_POLL)
    core = script(bench)
    core.expect(OriginFailed)
    fd = only_fd(bench)
    ask = asked_again(bench, fd)
    ask.target = Target(host="127.0.0.1", port=1)
    unpark(bench, fd, b"", ask)
    bench.until(lambda: core.events)
    assert core.events[0].conn_id == fd


HINT = PublishItem(
    channel="a", http_response=HttpResponseFormat(Action.HINT), http_stream=HttpStreamFormat(Action.HINT)
)


def instruct(mode: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"Grip-Hold: " + mode, b"Grip-Channel: a", *headers, b"Content-Length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def test_hint_asks_again_for_a_long_poll_and_its_body(make_bench: MakeBench) -> None:
    """Through the whole worker: held, asked again, held, asked again, answered; then the connection goes on."""
    bench = make_bench(update_on_first_subscription=False)
    client = bench.client(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n")
    bench.origin(ends=b"0\r\n\r\n")
    first = bytes(bench.origins[0].received)
    for _ in range(2):
        bench.origins[0].received.clear()
        bench.origins[0].send(instruct(b"response", b""))
        bench.until(lambda: bench.core.holds.responses_count == 1)
        bench.publish(HINT)
        again = bytes(bench.origin(ends=b"body" if b"Content-Length" in first else b"body\r\n0\r\n\r\n").received)
        assert again.startswith(b"POST / HTTP/1.1\r\nHost: h\r\n")
    bench.origins[0].received.clear()
    bench.origins[0].send(OK)
    bench.until(lambda: client.received.endswith(b"ok"))
    bench.answer = OK
    bench.exchange(client, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"ok")


def test_hint_brings_a_streams_next_part(make_bench: MakeBench) -> None:
    bench = make_bench(update_on_first_subscription=False)
    client = bench.client(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    link = b"Grip-Link: </next>; rel=next"
    bench.origin().send(instruct(b"stream", b"one", link))
    bench.until(lambda: bench.core.holds.streams_count == 1)
    for part in (b"two", b"three"):
        bench.origins[0].received.clear()
        bench.publish(HINT)
        assert bench.origin().received.startswith(b"GET /next HTTP/1.1\r\nHost: h\r\n")
        bench.origins[0].send(instruct(b"stream", part, link))
        bench.until(lambda part=part: client.received.endswith(b"%x\r\n%s\r\n" % (len(part), part)))  # type: ignore[misc]
        bench.until(lambda: not bench.driver.links)
    bench.publish(stream_item(b"", Action.CLOSE))
    bench.until(lambda: client.received.endswith(b"\r\n0\r\n\r\n"))


def test_request_is_whole_before_it_is_held(make_bench: MakeBench) -> None:
    """Its origin answers before it has read all; when it is asked again, it gets all."""
    bench = make_bench(update_on_first_subscription=False)
    head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n"
    client = bench.client(head + bytes(15_000))
    bench.origin(ends=bytes(15_000)).send(instruct(b"response", b"timed out"))
    bench.until(lambda: bench.origins[0].is_closed)
    assert bench.core.holds.responses_count == 0
    client.send(bytes(5_000))
    bench.until(lambda: bench.core.holds.responses_count == 1)
    bench.publish(HINT)
    again = bench.origin(1, ends=bytes(20_000))
    again.send(OK)
    bench.until(lambda: client.received.endswith(b"ok"))


@pytest.mark.parametrize("rest", [bytes(100_000), None])
def test_request_that_does_not_become_whole_is_not_held(make_bench: MakeBench, rest: bytes | None) -> None:
    """It gets too large to be kept, or its client leaves."""
    bench = make_bench()
    client = bench.client(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n" + bytes(15_000))
    bench.origin(ends=bytes(15_000)).send(instruct(b"response", b"timed out"))
    bench.until(lambda: bench.origins[0].is_closed)
    if rest is None:
        client.close()
        bench.until(lambda: bench.driver.sockets.count == 0 and not bench.core.exchanges)
    else:
        client.send(rest)
        bench.until(lambda: b"Request too large to accept GRIP instruct." in client.received)
    assert not bench.core.holds.responses_count
