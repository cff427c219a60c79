"""All connections to an origin that hangs are taken: nobody waits for it for ever, and nobody else for them."""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from tests.integration.origin import WAIT, ScriptedOrigin, answer
from tests.integration.raw_client import RawClient, fetch
from tests.integration.server import Server, ServerPlan, post

CONNECTIONS_MAX_COUNT = 4  # of which the hung origin gets three
STREAM = answer("200 OK", "Grip-Hold: stream", "Grip-Channel: news", body=b"open\n")

pytestmark = pytest.mark.gripproxy_only


@pytest.fixture
def hung_origin() -> Iterator[ScriptedOrigin]:
    origin = ScriptedOrigin()
    origin.play({"/": [WAIT, answer(body=b"at last\n")]})
    origin.start()
    yield origin
    origin.release()
    origin.stop()


@pytest.fixture
def origin() -> Iterator[ScriptedOrigin]:
    origin = ScriptedOrigin()
    origin.play({"/": answer(body=b"hello\n"), "/stream": STREAM})
    origin.start()
    yield origin
    origin.stop()


@pytest.fixture
def server(start_server: Callable[[ServerPlan], Server], hung_origin: ScriptedOrigin, origin: ScriptedOrigin) -> Server:
    limits = {"max_open_requests": CONNECTIONS_MAX_COUNT, "origin_queue_timeout": 1}
    routes = [
        f"hung.test 127.0.0.1:{hung_origin.port}",
        f"next.test 127.0.0.1:{hung_origin.port} 127.0.0.1:{origin.port}",
        f"* 127.0.0.1:{origin.port}",
    ]
    return start_server(ServerPlan(routes=routes, workers=1, sections={"proxy": limits}))


def test_hung_origin_costs_its_own_clients_a_502_and_the_others_nothing(
    server: Server, hung_origin: ScriptedOrigin
) -> None:
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(RawClient(server.http_port))
        stream.get("/stream")
        stream.receive_until(b"open\n")
        clients = [stack.enter_context(RawClient(server.http_port)) for _ in range(20)]
        for client in clients:
            client.get("/", host="hung.test")
        assert fetch(server.http_port).endswith(b"hello\n")
        for client in clients[3:]:
            client.receive_until(b"Error while proxying to origin.\n")
        assert fetch(server.http_port, host="next.test").endswith(b"hello\n")
        assert (
            post(server.control_port, b'{"items":[{"channel":"news","http-stream":{"content":"news\\n"}}]}')[0] == 200
        )
        stream.receive_until(b"news\n")
        hung_origin.release()
        for client in clients[:3]:
            client.receive_until(b"at last\n")
        assert fetch(server.http_port, host="hung.test").endswith(b"at last\n")


def test_connections_of_a_hung_origin_that_dies_are_free_at_once(server: Server, hung_origin: ScriptedOrigin) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawClient(server.http_port)) for _ in range(3)]
        for client in clients:
            client.get("/", host="hung.test")
        hung_origin.release()
        hung_origin.drop_connections()
        assert fetch(server.http_port, host="hung.test").endswith(b"at last\n")
