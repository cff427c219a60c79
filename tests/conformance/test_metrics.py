"""The metrics pages of pushpin and of gripproxy: the same five numbers, which say the same of the same events."""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conformance.pairs import running_origin
from tests.conftest import new_server
from tests.integration.deadline import POLL_S, wait_until
from tests.integration.origin import answer
from tests.integration.ports import free_ports
from tests.integration.raw_client import RawClient
from tests.integration.server import GRIPPROXY, PUSHPIN, Server, ServerKind, ServerPlan

STREAM = answer("200 OK", "Content-Type: text/plain", "Grip-Hold: stream", "Grip-Channel: news", body=b"[open]\n")
POLL = answer("200 OK", "Content-Type: text/plain", "Grip-Hold: response", "Grip-Channel: news", body=b"nothing\n")
PLAIN = answer("200 OK", "Content-Type: text/plain", body=b"plain\n")
NUMBERS_COUNT = 5
REPORT_S = 1
STILL_S = 2.5 * REPORT_S


class Metered:
    """A server whose page is looked at."""

    def __init__(self, server: Server, port: int) -> None:
        self.server = server
        self.port = port

    def page(self, request: bytes = b"GET /metrics HTTP/1.1\r\nHost: m\r\n\r\n") -> tuple[bytes, str]:
        """Give the head of the answer, its lines sorted, and Pushpin's part of the body."""
        with RawClient(self.port) as client:
            client.send(request)
            head, _, body = client.receive_all().partition(b"\r\n\r\n")
        head = re.sub(rb"Content-Length: \d+", b"Content-Length: N", head)
        lines = body.decode().splitlines(keepends=True)[: 3 * NUMBERS_COUNT]
        return b"\n".join(sorted(head.split(b"\r\n"))), "".join(lines)

    def numbers(self) -> dict[str, int]:
        """Give each metric's value."""
        lines = [line for line in self.page()[1].splitlines() if not line.startswith("#")]
        return {name: int(value) for name, _, value in (line.partition(" ") for line in lines)}

    def settled(self) -> dict[str, int]:
        """Give the numbers when they stand still: pushpin counts the probes of its start a little later."""
        found, since = self.numbers(), time.monotonic()
        while time.monotonic() < since + STILL_S:
            if (now := self.numbers()) != found:
                found, since = now, time.monotonic()
            time.sleep(POLL_S)
        return found

    def stream(self, opened: ExitStack) -> RawClient:
        client = opened.enter_context(RawClient(self.server.http_port))
        client.get("/stream")
        client.receive_until(b"[open]\n")
        return client


@pytest.fixture(params=[PUSHPIN, GRIPPROXY], ids=lambda kind: kind.program)
def metered(request: pytest.FixtureRequest, short_path: Path) -> Iterator[Metered]:
    """Each of the two, with an origin that holds on `news`."""
    with running_origin() as origin:
        origin.play({"/stream": STREAM, "/poll": POLL, "/plain": PLAIN})
        kind: ServerKind = request.param
        (port,) = free_ports(1)
        keys = {
            "prometheus_port": f"127.0.0.1:{port}",
            "prometheus_prefix": "px_",
            "stats_report_interval": REPORT_S,
        }
        plan = ServerPlan(kind=kind, routes=[f"* 127.0.0.1:{origin.port}"], sections={"handler": keys})
        server = new_server(plan, short_path / "server")
        try:
            server.start()
            yield Metered(server, port)
        finally:
            server.stop()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /metrics HTTP/1.1\r\nHost: m\r\n\r\n",
        b"GET /?a=b HTTP/1.1\r\nHost: m\r\n\r\n",
        b"POST /anything HTTP/1.1\r\nHost: m\r\nContent-Length: 2\r\n\r\nhi",
        b"DELETE / HTTP/1.1\r\nHost: m\r\nConnection: keep-alive\r\n\r\n",
    ],
    ids=["get", "query", "post", "delete"],
)
def test_every_request_gets_the_page(metered: Metered, request_bytes: bytes) -> None:
    """Whatever path a configuration of Prometheus asks for. Text, order and head are Pushpin's."""
    head, text = metered.page(request_bytes)
    assert head == b"\n".join(
        sorted((b"HTTP/1.1 200 OK", b"Content-Type: text/plain", b"Connection: close", b"Content-Length: N"))
    )
    assert re.sub(r"(?m) \d+$", " 0", text) == (
        "# HELP px_request_received Number of requests received\n"
        "# TYPE px_request_received counter\n"
        "px_request_received 0\n"
        "# HELP px_connection_connected Number of concurrent connections\n"
        "# TYPE px_connection_connected gauge\n"
        "px_connection_connected 0\n"
        "# HELP px_connection_minute Number of minutes clients have been connected\n"
        "# TYPE px_connection_minute counter\n"
        "px_connection_minute 0\n"
        "# HELP px_message_received Number of messages received by the publish API\n"
        "# TYPE px_message_received counter\n"
        "px_message_received 0\n"
        "# HELP px_message_sent Number of messages sent to clients\n"
        "# TYPE px_message_sent counter\n"
        "px_message_sent 0\n"
    )


def test_the_same_events_count_the_same(metered: Metered) -> None:
    """Streams, a long-poll, a plain request; an item for both, a repeated one, one for nobody, and the end of all."""

    def connected() -> int:
        return metered.numbers()["px_connection_connected"]

    with ExitStack() as opened:
        first = metered.stream(opened)
        metered.server.publish_stream("news", "<begin>")
        first.receive_until(b"<begin>")
        before = metered.settled()
        others = [metered.stream(opened) for _ in range(2)]
        poll = opened.enter_context(RawClient(metered.server.http_port))
        poll.get("/poll")
        most = before["px_connection_connected"] + 3
        wait_until(lambda: connected() == most, "three more are connected")
        with RawClient(metered.server.http_port) as client:
            client.get("/plain", "Connection: close")
            assert client.receive_all().endswith(b"plain\n")
        item = {"channel": "news", "id": "1", "http-stream": {"content": "<1>"}, "http-response": {"body": "<1>"}}
        metered.server.publish(item, item, {"channel": "nobody", "http-stream": {"content": "x"}})
        for client in (first, *others, poll):
            client.receive_until(b"<1>")
        expected = {
            "px_request_received": before["px_request_received"] + 4,
            "px_connection_minute": before["px_connection_minute"] + 4,
            "px_message_received": before["px_message_received"] + 2,
            "px_message_sent": before["px_message_sent"] + 4,
        }
        wait_until(lambda: expected.items() <= metered.numbers().items(), f"{expected} are counted")
    wait_until(lambda: connected() == most - 4, "all have left", 30 * REPORT_S)
    assert expected.items() <= metered.numbers().items()
