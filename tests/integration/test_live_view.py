"""`gripproxy top` and `gripproxy tail` beside a running proxy: what clients and publishers do is what they show."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartServer
from tests.integration.deadline import wait_until
from tests.integration.process import Process
from tests.integration.raw_client import RawClient, fetch
from tests.integration.server import Server, ServerPlan, program_argv, source_env

RUN_MAX_S = 30.0
KEY = "a key that only those have who may read the configuration"

pytestmark = pytest.mark.gripproxy_only


def gripproxy(*arguments: str) -> list[str]:
    return [*program_argv("gripproxy", "gripproxy.cli"), *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **source_env()}
    return subprocess.run(gripproxy(*arguments), capture_output=True, text=True, timeout=RUN_MAX_S, env=env)


def top_document(server: Server, *arguments: str) -> dict[str, Any]:
    shown = run("top", "--config", str(server.config_path), "--once", "--json", *arguments)
    assert shown.returncode == 0, shown.stderr
    document: dict[str, Any] = json.loads(shown.stdout)
    return document


Tail = Callable[..., Process]


@pytest.fixture
def tail(short_path: Path) -> Iterator[Tail]:
    """Give a function that starts a tail; all of them end with the test."""
    started: list[Process] = []

    def start(server: Server, *arguments: str) -> Process:
        argv = gripproxy("tail", "--config", str(server.config_path), *arguments)
        started.append(Process("tail", argv, short_path / f"tail{len(started)}.output", source_env()))
        return started[-1]

    yield start
    for process in started:
        process.stop()


def wait_for_line(tail: Process, pattern: str, cause: Callable[[], object] = lambda: None) -> str:
    """Wait until a line matches, doing `cause` again and again: nobody sees when a tail begins to listen."""

    def look() -> str | None:
        assert tail.is_running(), tail.output()
        cause()
        return next((line for line in tail.output().splitlines() if re.search(pattern, line)), None)

    return wait_until(look, f"the tail prints {pattern}; it printed:\n{tail.output()}", RUN_MAX_S)


def test_top_shows_what_clients_and_publishers_do(start_server: StartServer) -> None:
    """Holds, requests by status, items by input, and deliveries; in all, and of the processes that did it."""
    server = start_server(ServerPlan(routes=["*,id=shop test"]))
    clients = [RawClient(server.http_port) for _ in range(6)]
    try:
        for client in clients:
            client.get("/stream?channel=news")
            client.receive_until(b"[stream opened]")
        fetch(server.http_port, "/")
        server.publish_stream("news", "hello\n")
        for client in clients:
            client.receive_until(b"hello")

        def look() -> dict[str, Any] | None:
            document = top_document(server)
            return document if document["total"]["counts"]["deliveries"] == len(clients) else None

        document = wait_until(look, "all deliveries are counted", RUN_MAX_S)
        total = document["total"]
        assert total["now"]["held_streams"] == sum(w["now"]["held_streams"] for w in document["workers"]) == 6
        assert total["counts"]["requests"] == 7
        assert document["hub"]["counts"]["items_http"] == 1
        wait_until(
            lambda: [(r["route"], r["connections"]) for r in top_document(server)["routes"]] == [("shop", 6)],
            "the route has its connections",
            RUN_MAX_S,
        )
        frame = run("top", "--config", str(server.config_path)).stdout
        assert "   6 streams   " in frame
    finally:
        for client in clients:
            client.close()


def test_busiest_channel_is_the_one_that_most_deliveries_come_of(start_server: StartServer) -> None:
    """Not the one with the most items, if nobody listens to it."""
    server = start_server(ServerPlan(routes=["* test"]))
    with RawClient(server.http_port) as client:
        client.get("/stream?channel=heard")
        client.receive_until(b"[stream opened]")

        def look() -> list[dict[str, Any]] | None:
            server.publish(*({"channel": "unheard", "http-stream": {"content": "x"}} for _ in range(20)))
            server.publish_stream("heard", "x\n")
            channels: list[dict[str, Any]] = top_document(server)["channels"]
            return channels if len(channels) == 2 and channels[0]["listeners"] == 1 else None

        heard, unheard = wait_until(look, "both channels are among the busiest", RUN_MAX_S)
    assert (heard["channel"], unheard["channel"], unheard["listeners"]) == ("heard", "unheard", 0)
    assert heard["deliveries_per_s"] == heard["items_per_s"] < unheard["items_per_s"]


def test_tail_tells_a_request_and_its_hold_by_the_same_id(start_server: StartServer, tail: Tail) -> None:
    """And what is published then, with the number of those who get it."""
    server = start_server(ServerPlan(routes=["* test"]))
    lines = tail(server)
    wait_for_line(lines, r"GET http://localhost/ ", lambda: fetch(server.http_port, "/"))
    with RawClient(server.http_port) as client:
        client.get("/stream?channel=news&key=geheim")
        client.receive_until(b"[stream opened]")
        hold = wait_for_line(lines, r"subscribe .* channel=news")
        (request_id,) = re.findall(r" id=(\S+)", hold)
        request = wait_for_line(lines, rf"GET .* accept.* id={re.escape(request_id)} ")
        assert "geheim" not in hold + request
        wait_for_line(lines, "publish channel=warm ", lambda: server.publish_stream("warm", "x"))
        server.publish_stream("news", "x\n")
        assert " receivers=1 source=http" in wait_for_line(lines, "publish channel=news ")


def test_tail_of_a_channel_tells_of_no_other(start_server: StartServer, tail: Tail) -> None:
    """As JSON, for scripts."""
    server = start_server(ServerPlan(routes=["* test"]))
    lines = tail(server, "--channel", "room-*", "--json")
    wait_for_line(lines, '"channel":"room-1"', lambda: server.publish_stream("room-1", "x"))
    server.publish_stream("other", "x")
    fetch(server.http_port, "/")
    server.publish_stream("room-2", "x")
    wait_for_line(lines, '"channel":"room-2"')
    events = [json.loads(line) for line in lines.output().splitlines()]
    assert {event["event"] for event in events} == {"publish"}
    assert {event["channel"] for event in events} == {"room-1", "room-2"}


def test_tail_goes_on_after_the_hub_was_restarted(start_server: StartServer, tail: Tail) -> None:
    """Just when somebody wants to see what happens."""
    server = start_server(ServerPlan(routes=["* test"]))
    lines = tail(server, "--kind", "request")
    wait_for_line(lines, "GET http://localhost/before ", lambda: fetch(server.http_port, "/before"))
    (hub,) = server.child_pids("gripproxy: hub")
    os.kill(hub, signal.SIGKILL)
    wait_for_line(lines, "GET http://localhost/after ", lambda: fetch(server.http_port, "/after"))
    assert "trying again" in lines.output()


def test_port_with_a_key_is_open_to_who_has_the_configuration(start_server: StartServer) -> None:
    """And to nobody who knows only where it is."""
    server = start_server(ServerPlan(routes=["* test"], sections={"handler": {"push_in_http_key": KEY}}))
    assert top_document(server)["hub"]["state"] == "ready"
    for command in (["top", "--once"], ["tail", "--count", "1"]):
        refused = run(*command, "--url", server.control_uri)
        assert refused.returncode == 1
        assert "asks for its key: give it with --bearer KEY" in refused.stderr
    given = run("top", "--once", "--url", server.control_uri, "--bearer", KEY)
    assert given.returncode == 0, given.stderr
