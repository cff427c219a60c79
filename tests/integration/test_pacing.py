"""`message_rate` and `message_hwm`: what comes, in which order, and what does not; with pushpin the same."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

import pytest
import zmq

from tests.integration.deadline import wait_until
from tests.integration.origin import ScriptedOrigin, answer
from tests.integration.raw_client import RawClient
from tests.integration.server import Server, ServerPlan, post
from tests.integration.subscription_watch import SubscriptionWatch

StartServer = Callable[[ServerPlan], Server]
OPENED = b"[stream opened]"
DROPPING = "exceeded publish hwm ({}), dropping message"
WINDOW_S = 0.025


def paced(rate: int, hwm: int = -1, workers: int = 2, routes: Sequence[str] = ("* test",)) -> ServerPlan:
    keys = {"message_rate": rate, "message_hwm": hwm}
    return ServerPlan(routes=routes, workers=workers, sections={"handler": keys})


def stream_item(text: str, channel: str = "news") -> dict[str, object]:
    return {"channel": channel, "http-stream": {"content": f"({text})"}}


@contextmanager
def streams(
    server: Server, count: int = 1, target: str = "/stream?channel=news", host: str = "localhost"
) -> Iterator[list[RawClient]]:
    """Hold streams that are subscribed."""
    with ExitStack() as stack:
        clients = [stack.enter_context(RawClient(server.http_port)) for _ in range(count)]
        for client in clients:
            client.get(target, host=host)
        for client in clients:
            client.receive_until(OPENED)
        yield clients


def texts(client: RawClient) -> list[str]:
    """Give what a client got, chunk framing and all else left out."""
    return [part.partition(b")")[0].decode() for part in client.received.split(b"(")[1:]]


def test_all_get_everything_in_order(start_server: StartServer) -> None:
    server = start_server(paced(100))
    with streams(server, 3) as clients:
        begin = time.monotonic()
        for number in range(10):
            server.publish(*(stream_item(f"{number}.{part}") for part in range(3)))
        expected = [f"{number}.{part}" for number in range(10) for part in range(3)]
        for client in clients:
            client.receive_until(b"(9.2)")
            assert texts(client) == expected
        windows_count = 90 / 3
        assert time.monotonic() - begin >= (windows_count - 3) * WINDOW_S, "faster than allowed"


def test_rate_is_all_workers_together(start_server: StartServer) -> None:
    server = start_server(paced(200, workers=3))
    with streams(server, 20) as clients:
        begin = time.monotonic()
        server.publish(*(stream_item(f"{number}") for number in range(10)))
        for client in clients:
            client.receive_until(b"(9)")
            assert texts(client) == [f"{number}" for number in range(10)]
        windows_count = 200 / 5
        assert time.monotonic() - begin >= (windows_count - 3) * WINDOW_S, "faster than allowed"


def test_client_misses_what_is_over_the_mark(start_server: StartServer) -> None:
    server = start_server(paced(50, 5))
    with streams(server) as (client,):
        server.publish(*(stream_item(f"{number}") for number in range(20)))
        client.receive_until(b"(4)")
        server.publish(stream_item("end"))
        client.receive_until(b"(end)")
        assert texts(client) == ["0", "1", "2", "3", "4", "end"]
    wait_until(lambda: DROPPING.format(5) in server.output(), "the drop is logged")


def test_others_get_what_is_over_the_mark_for_some(start_server: StartServer) -> None:
    """Each pair of an item and a client counts."""
    server = start_server(paced(50, 12, workers=1))
    with streams(server, 20) as clients:
        server.publish(stream_item("first"))

        def reached() -> int:
            for client in clients:
                client.poll(0.0)
            return sum(texts(client) == ["first"] for client in clients)

        wait_until(lambda: reached() >= 12, "twelve clients got it")
        server.publish(stream_item("end", "other"))
        assert reached() == 12


@pytest.fixture
def origin() -> Iterator[ScriptedOrigin]:
    """An origin whose answers are held."""
    origin = ScriptedOrigin()
    held = ("Content-Type: text/plain", "Grip-Hold: stream")
    origin.play(
        {
            f"/{channel}": answer("200 OK", *held, f"Grip-Channel: {channel}", body=OPENED)
            for channel in ("news", "calm")
        }
    )
    origin.start()
    yield origin
    origin.stop()


@pytest.mark.gripproxy_only
def test_route_with_an_id_does_not_wait_for_another(start_server: StartServer, origin: ScriptedOrigin) -> None:
    """In Pushpin 1.36 they all wait in one queue."""
    routes = [f"{name}.test,id={name} 127.0.0.1:{origin.port}" for name in ("one", "two")]
    server = start_server(paced(2, 30, routes=routes))
    with (
        streams(server, target="/news", host="one.test") as (one,),
        streams(server, target="/calm", host="two.test") as (two,),
    ):
        server.publish(*(stream_item(f"{number}") for number in range(40)))
        server.publish(stream_item("now", "calm"))
        two.receive_until(b"(now)")
        one.poll(0.0)
        assert len(texts(one)) < 30
    wait_until(lambda: "exceeded publish hwm (30) for route one, dropping message" in server.output(), "the log")


def test_long_polls_wait_for_their_turn(start_server: StartServer) -> None:
    server = start_server(paced(10))
    with ExitStack() as stack:
        context = stack.enter_context(zmq.Context())
        watch = stack.enter_context(closing(SubscriptionWatch(context, server.sub_port)))
        clients = [stack.enter_context(RawClient(server.http_port)) for _ in range(6)]
        for number, client in enumerate(clients):
            client.get(f"/response?channel=poll-{number}")
        watch.wait_for_count(6)
        begin = time.monotonic()
        server.publish(*({"channel": f"poll-{number}", "http-response": {"body": "(yes)"}} for number in range(6)))
        for client in clients:
            client.receive_until(b"(yes)")
        assert time.monotonic() - begin >= 4 * 0.1, "faster than allowed"


@pytest.mark.gripproxy_only
def test_publisher_is_told_how_many_miss_an_item(start_server: StartServer) -> None:
    """The answer comes when nobody waits for the item any more."""
    server = start_server(paced(50, 12, workers=1))
    with streams(server, 20):
        body = json.dumps({"items": [stream_item("x")]}).encode()
        status, reply = post(server.control_port, body, "/publish?wait=delivered")
    (told,) = json.loads(reply)["items"]
    assert status == 200
    assert (told["receivers"], told["delivered"], told["dropped"]) == (20, 12, 8)
