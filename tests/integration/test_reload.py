"""SIGHUP reads the routes again: new requests follow them, held streams stay."""

import signal
from collections.abc import Callable, Iterator

import pytest

from tests.integration.deadline import wait_until
from tests.integration.origin import ScriptedOrigin, answer
from tests.integration.raw_client import RawClient, fetch
from tests.integration.server import Server, ServerPlan

STREAM = answer("200 OK", "Content-Type: text/plain", "Grip-Hold: stream", "Grip-Channel: news", body=b"[open]\n")
FETCHES_COUNT = 20  # every worker is asked, as the kernel shares the connections out


@pytest.fixture
def origins() -> Iterator[tuple[ScriptedOrigin, ScriptedOrigin]]:
    """Two origins that say who they are."""
    first, second = ScriptedOrigin(), ScriptedOrigin()
    for origin, name in ((first, b"first"), (second, b"second")):
        origin.play({"/": answer(body=name), "/stream": STREAM})
        origin.start()
    yield first, second
    first.stop()
    second.stop()


def reload(server: Server) -> None:
    """Tell the server."""
    assert server.process is not None
    server.process.signal(signal.SIGHUP)


def all_answers(server: Server) -> set[bytes]:
    """Ask often enough to hear every worker, and give the bodies."""
    return {fetch(server.http_port).partition(b"\r\n\r\n")[2] for _ in range(FETCHES_COUNT)}


def test_new_routes_are_followed_and_streams_stay(
    start_server: Callable[[ServerPlan], Server], origins: tuple[ScriptedOrigin, ScriptedOrigin]
) -> None:
    """Every worker takes the new table, and a stream that began under the old one still gets items."""
    first, second = origins
    server = start_server(ServerPlan(routes=[f"* 127.0.0.1:{first.port}"]))
    with RawClient(server.http_port) as stream:
        stream.get("/stream")
        stream.receive_until(b"[open]\n")
        assert all_answers(server) == {b"first"}
        server.write_routes([f"* 127.0.0.1:{second.port}"])
        reload(server)
        wait_until(lambda: all_answers(server) == {b"second"}, "every worker follows the new routes")
        server.publish_stream("news", "after\n")
        stream.receive_until(b"after\n")


def test_bad_line_in_new_routes_is_skipped_and_named(
    start_server: Callable[[ServerPlan], Server], origins: tuple[ScriptedOrigin, ScriptedOrigin]
) -> None:
    """A typo in one line does not take the others down."""
    server = start_server(ServerPlan(routes=[f"* 127.0.0.1:{origins[0].port}"]))
    server.write_routes(["broken.test no-port", f"* 127.0.0.1:{origins[1].port}"])
    reload(server)
    wait_until(lambda: all_answers(server) == {b"second"}, "every worker follows the new routes")
    wait_until(lambda: f"{server.routes_path}:1: target bad format" in server.output(), "the log names the line")


def test_missing_routes_file_keeps_the_old_routes(
    start_server: Callable[[ServerPlan], Server], origins: tuple[ScriptedOrigin, ScriptedOrigin]
) -> None:
    """A file that cannot be read at the moment of the signal changes nothing."""
    server = start_server(ServerPlan(routes=[f"* 127.0.0.1:{origins[0].port}"]))
    server.routes_path.unlink()
    reload(server)
    wait_until(lambda: "unable to open routes file" in server.output(), "the log says it")
    assert all_answers(server) == {b"first"}
