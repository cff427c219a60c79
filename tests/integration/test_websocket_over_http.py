"""WebSockets over HTTP with real processes: an origin that is restarted, clients that are lost, and much data."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gripproxy.protocol.websocket_events import WsEvent
from tests.conftest import new_server
from tests.integration.deadline import wait_until
from tests.integration.ports import free_ports
from tests.integration.restartable_origin import Events, RestartableOrigin, echo
from tests.integration.server import Server, ServerPlan
from tests.integration.websocket_client import ask, ending, messages_until, next_message, open_websocket

CLIENTS_COUNT = 40
MESSAGES_COUNT = 100  # each brings half a megabyte
LARGE = 60_000
WAIT_S = 60.0


def answer(path: str, event: WsEvent) -> Events:
    """Echo; and on /flood send much for every message."""
    answered = echo(path, event)
    if path == "/flood" and event.kind == b"TEXT":
        answered += [(b"BINARY", b"x" * LARGE)] * 8
    return answered


@pytest.fixture(scope="module")
def origin() -> Iterator[RestartableOrigin]:
    server = RestartableOrigin(answer)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def proxy(origin: RestartableOrigin) -> Iterator[Server]:
    directory = Path(tempfile.mkdtemp(prefix="gp-h-", dir="/tmp"))  # short: paths of unix sockets are
    (away,) = free_ports(1)
    plan = ServerPlan(
        routes=[
            f"two.test 127.0.0.1:{away},over_http 127.0.0.1:{origin.port},over_http",
            f"one.test 127.0.0.1:{origin.port},over_http,one_event",
            f"* 127.0.0.1:{origin.port},over_http",
        ]
    )
    server = new_server(plan, directory / "s")
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def connection_of(origin: RestartableOrigin, message: bytes) -> str:
    """Give the id of the connection that sent a message."""

    def find() -> str | None:
        with origin.lock:
            found = [key for key, events in origin.seen.items() if WsEvent(b"TEXT", message) in events]
        return found[0] if found else None

    return wait_until(find, f"the origin gets {message!r}", WAIT_S)


def test_messages_are_answered_in_order(proxy: Server) -> None:
    with open_websocket(proxy.http_port, "/") as client:
        for number in range(500):
            client.send(f"{number}")
        assert messages_until(client, "499") == [f"{number}" for number in range(500)]
        client.close(4000, "done")
        assert ending(client) == (4000, "done")


def test_an_origin_is_restarted_under_its_clients(proxy: Server, origin: RestartableOrigin) -> None:
    """None of them is lost, nor any message: those sent while it was away wait for it."""
    with ExitStack() as stack:
        clients = [stack.enter_context(open_websocket(proxy.http_port, "/")) for _ in range(CLIENTS_COUNT)]
        for number, client in enumerate(clients):
            assert ask(client, f"before {number}") == f"before {number}"
        origin.stop()
        for number, client in enumerate(clients[: CLIENTS_COUNT // 2]):
            client.send(f"away {number}")
            client.send(f"still away {number}")
        origin.start()
        for number, client in enumerate(clients):
            client.send(f"after {number}")
        for number, client in enumerate(clients):
            missing = [f"away {number}", f"still away {number}"] if number < CLIENTS_COUNT // 2 else []
            assert messages_until(client, f"after {number}") == [*missing, f"after {number}"]


def test_the_next_target_is_asked(proxy: Server) -> None:
    with open_websocket(proxy.http_port, "/", "two.test") as client:
        assert ask(client, "hello") == "hello"


def test_an_origin_hears_of_a_lost_client(proxy: Server, origin: RestartableOrigin) -> None:
    with open_websocket(proxy.http_port, "/") as client:
        assert ask(client, "lost soon") == "lost soon"
        connection = connection_of(origin, b"lost soon")
        client.socket.close()
        wait_until(lambda: origin.kinds(connection)[-1] == b"DISCONNECT", "a DISCONNECT", WAIT_S)
        assert origin.kinds(connection) == [b"OPEN", b"TEXT", b"DISCONNECT"]


def test_large_messages_pass_and_larger_ones_are_refused(proxy: Server, origin: RestartableOrigin) -> None:
    """What could never be one request is refused when it is declared."""
    with open_websocket(proxy.http_port, "/") as client:
        large = "x" * 200_000
        assert ask(client, large) == large
        client.send(b"y" * 200_001)
        assert ending(client)[0] == 1009


def test_a_client_that_does_not_read_stops_its_origin(proxy: Server, origin: RestartableOrigin) -> None:
    """Its messages wait, so do the answers; other clients notice nothing, and it misses nothing when it reads."""
    with (
        open_websocket(proxy.http_port, "/flood", "one.test") as client,
        open_websocket(proxy.http_port, "/") as other,
    ):
        for number in range(MESSAGES_COUNT):  # the library reads sixteen frames ahead, and then no more
            client.send(f"flood {number}")
        connection = connection_of(origin, b"flood 0")
        taken_count, quiet_count = 0, 0
        while quiet_count < 300:
            assert ask(other, "unhindered") == "unhindered"
            now_count = len(origin.kinds(connection))
            quiet_count = quiet_count + 1 if now_count == taken_count else 0
            taken_count = now_count
        assert taken_count < MESSAGES_COUNT
        for number in range(MESSAGES_COUNT):
            assert next_message(client) == f"flood {number}"
            for _ in range(8):
                assert next_message(client) == b"x" * LARGE
