"""The first thing a user does: a PHP site behind the proxy, one curl that stays open, one publish that reaches it."""

import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.deadline import wait_until
from tests.integration.php_site import PhpSite
from tests.integration.process import Process
from tests.integration.server import GRIPPROXY, Server, ServerPlan, program_argv, source_env
from tests.integration.websocket_client import next_message, open_websocket

OPENING = "event: message\ndata: stream open\n\n"
HELLO = "event: message\ndata: hello world\n\n"


@pytest.fixture
def server(start_server: Callable[[ServerPlan], Server], php_site: PhpSite) -> Server:
    """The walkthrough's configuration: eight ports, small buffers, a million connections, every host to the site."""
    plan = ServerPlan(
        routes=[f"* localhost:{php_site.port}"],
        http_port_count=8,
        sections={"runner": {"client_buffer_size": 4096, "client_maxconn": 1001000}},
    )
    return start_server(plan)


def curl(port: int, target: str, output_path: Path) -> Process:
    """Start curl unbuffered, as a user has it on a terminal."""
    return Process(f"curl {target}", ["curl", "-sSN", f"http://127.0.0.1:{port}{target}"], output_path)


def publish_argv(server: Server) -> list[str]:
    """Give the publish command: gripproxy's own, or the reference's when that is under test."""
    if server.plan.kind is GRIPPROXY:
        return [*program_argv("gripproxy-publish", "gripproxy.publish_command"), "--spec", server.control_uri]
    return ["pushpin-publish", "--spec", server.control_uri]


def test_published_event_reaches_the_curl_that_hangs(server: Server, tmp_path: Path) -> None:
    """Curl prints the site's own event, stays, and prints the published one byte for byte."""
    stream = curl(server.http_ports[0], "/stream.php?topic=test", tmp_path / "stream")
    try:
        wait_until(lambda: stream.output() == OPENING, "curl prints the first event")
        published = subprocess.run(
            [*publish_argv(server), "--no-eol", "test", HELLO],
            env=source_env(),
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert (published.returncode, published.stdout, published.stderr) == (0, "Published\n", "")
        wait_until(lambda: stream.output() == OPENING + HELLO, "curl prints the published event")
        assert stream.is_running()
    finally:
        stream.stop()


def test_every_port_holds_a_stream_of_the_channel(server: Server, tmp_path: Path) -> None:
    """All eight ports lead to the same channels."""
    streams = [curl(port, "/stream.php?topic=test", tmp_path / str(port)) for port in server.http_ports]
    try:
        for stream in streams:
            wait_until(lambda stream=stream: stream.output() == OPENING, "curl prints the first event")
        server.publish_stream("test", HELLO)
        for stream in streams:
            wait_until(lambda stream=stream: stream.output() == OPENING + HELLO, "curl prints the published event")
    finally:
        for stream in streams:
            stream.stop()


def test_other_topics_do_not_get_the_event(server: Server, tmp_path: Path) -> None:
    """Neither a channel whose name begins alike nor one that the name begins with."""
    others = [curl(server.http_port, f"/stream.php?topic={topic}", tmp_path / topic) for topic in ("test2", "tes")]
    own = curl(server.http_port, "/stream.php?topic=test", tmp_path / "test")
    try:
        for stream in [*others, own]:
            wait_until(lambda stream=stream: stream.output() == OPENING, "curl prints the first event")
        server.publish_stream("test", HELLO)
        wait_until(lambda: own.output() == OPENING + HELLO, "curl prints the published event")
        assert [stream.output() for stream in others] == [OPENING, OPENING]
    finally:
        for stream in [*others, own]:
            stream.stop()


@pytest.mark.parametrize(
    ("target", "answer"),
    [("/", "hello from php\n"), ("/stream.php", "missing parameter: topic\n")],
    ids=["plain", "no-topic"],
)
def test_plain_page_is_answered_at_once(server: Server, target: str, answer: str) -> None:
    """What the site does not hold is an ordinary page, and curl ends with it."""
    page = subprocess.run(
        ["curl", "-sS", f"http://127.0.0.1:{server.http_port}{target}"],
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    assert page.stdout == answer


def test_php_serves_websockets(start_server: Callable[[ServerPlan], Server], php_site: PhpSite) -> None:
    """A script that answers a request and ends serves a WebSocket, and whoever publishes reaches it."""
    server = start_server(ServerPlan(routes=[f"* localhost:{php_site.port},over_http"]))
    with open_websocket(server.http_port, "/echo.php?topic=test") as client:
        for message in ("hello", "", "grüße", b"\x00\r\n\xff"):
            client.send(message)
        assert [next_message(client) for _ in range(4)] == ["hello", "", "grüße", b"\x00\r\n\xff"]

        def is_reached() -> bool:
            server.publish({"channel": "test", "formats": {"ws-message": {"content": "published"}}})
            with suppress(TimeoutError):
                return client.recv(timeout=0.5) == "published"
            return False

        wait_until(is_reached, "the client has what was published")
        client.close(4000, "enough")
        assert (client.close_code, client.close_reason) == (4000, "enough")
