"""What is read again at SIGHUP, routes also when their file changes: new requests follow it, held clients stay."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.integration.deadline import wait_until
from tests.integration.origin import ScriptedOrigin, answer
from tests.integration.raw_client import RawClient, fetch
from tests.integration.server import SOURCE_ROOT, Server, ServerPlan, source_env

POLL = answer("200 OK", "Grip-Hold: response", "Grip-Channel: polls", body=b"nothing\n")
STREAM = answer("200 OK", "Content-Type: text/plain", "Grip-Hold: stream", "Grip-Channel: news", body=b"[open]\n")
RELOADS_COUNT = 100
STREAMS_COUNT = 50
CONNECTIONS_PER_S = 2000
FETCHES_COUNT = 20  # every worker is asked, as the kernel shares the connections out


@pytest.fixture
def origins() -> Iterator[tuple[ScriptedOrigin, ScriptedOrigin]]:
    """Two origins that say who they are."""
    first, second = ScriptedOrigin(), ScriptedOrigin()
    for origin, name in ((first, b"first"), (second, b"second")):
        origin.play({"/": answer(body=name), "/stream": STREAM, "/poll": POLL})
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


def is_served_by(server: Server, name: bytes) -> bool:
    """Tell whether every worker asks this origin."""
    return all_answers(server) == {name}


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
        wait_until(lambda: is_served_by(server, b"second"), "every worker follows the new routes")
        server.publish_stream("news", "after\n")
        stream.receive_until(b"after\n")


def test_bad_line_in_new_routes_is_skipped_and_named(
    start_server: Callable[[ServerPlan], Server], origins: tuple[ScriptedOrigin, ScriptedOrigin]
) -> None:
    """A typo in one line does not take the others down."""
    server = start_server(ServerPlan(routes=[f"* 127.0.0.1:{origins[0].port}"]))
    server.write_routes(["broken.test no-port", f"* 127.0.0.1:{origins[1].port}"])
    reload(server)
    wait_until(lambda: is_served_by(server, b"second"), "every worker follows the new routes")
    wait_until(lambda: f"{server.routes_path}:1: target bad format" in server.output(), "the log names the line")
    wait_until(lambda: "routes loaded with 1 entries in" in server.output(), "the log counts the routes")
    assert server.output().count(f"{server.routes_path}:1: target bad format") == 1  # of two workers


def replace(server: Server, lines: list[str], data: bytes | None = None) -> None:
    """Replace the routes file as editors and tools for configuration do."""
    path = server.routes_path.with_suffix(".new")
    path.write_bytes("".join(f"{line}\n" for line in lines).encode() if data is None else data)
    os.replace(path, server.routes_path)


@pytest.mark.parametrize("is_replaced", [False, True])
def test_changed_file_is_followed_and_held_clients_stay(
    start_server: Callable[[ServerPlan], Server],
    origins: tuple[ScriptedOrigin, ScriptedOrigin],
    is_replaced: bool,
) -> None:
    """Nobody needs to send a signal, whether the file is written in place or another one takes its name."""
    first, second = origins
    server = start_server(ServerPlan(routes=[f"* 127.0.0.1:{first.port}"]))
    with RawClient(server.http_port) as stream, RawClient(server.http_port) as poll:
        stream.get("/stream")
        stream.receive_until(b"[open]\n")
        poll.get("/poll")
        wait_until(lambda: len(first.requests) >= 2, "the long-poll is held")
        for origin, name in ((second, b"second"), (first, b"first")):
            write = partial(replace, server) if is_replaced else server.write_routes
            write([f"* 127.0.0.1:{origin.port}"])
            wait_until(partial(is_served_by, server, name), "every worker follows the new routes")
        assert "routes file changed, reloading" in server.output()
        server.publish_stream("news", "after\n")
        stream.receive_until(b"after\n")
        server.publish({"channel": "polls", "http-response": {"body": "polled"}})
        poll.receive_until(b"polled")


@pytest.mark.gripproxy_only
def test_unreadable_file_keeps_the_old_routes_until_it_is_mended(
    start_server: Callable[[ServerPlan], Server], origins: tuple[ScriptedOrigin, ScriptedOrigin]
) -> None:
    """A bad new file is said once, and costs nothing, not even when a worker dies; the next change is seen again."""
    first, second = origins
    server = start_server(ServerPlan(routes=[f"* 127.0.0.1:{first.port}"]))
    replace(server, [], b"* 127.0.0.1:1 # \xff\n")
    refusal = (
        f"routes not reloaded, the old ones stay: unable to open routes file: {server.routes_path} (it is not UTF-8)"
    )
    wait_until(lambda: refusal in server.output(), "the log says why")
    assert all_answers(server) == {b"first"}
    lost = server.child_pids("gripproxy: worker")
    for pid in lost:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: server.output().count("is ready again") == len(lost), "new workers have taken their place")
    assert all_answers(server) == {b"first"}
    replace(server, [f"* 127.0.0.1:{second.port}"])
    wait_until(lambda: is_served_by(server, b"second"), "every worker follows the new routes")
    assert server.output().count(refusal) == 1


def test_missing_routes_file_keeps_the_old_routes(
    start_server: Callable[[ServerPlan], Server], origins: tuple[ScriptedOrigin, ScriptedOrigin]
) -> None:
    """A file that cannot be read at the moment of the signal changes nothing."""
    server = start_server(ServerPlan(routes=[f"* 127.0.0.1:{origins[0].port}"]))
    server.routes_path.unlink()
    reload(server)
    wait_until(lambda: "unable to open routes file" in server.output(), "the log says it")
    assert all_answers(server) == {b"first"}


def configure(server: Server, section: str, **keys: str | int) -> None:
    """Write the configuration file with other values."""
    sections = {name: dict(each) for name, each in server.plan.sections.items()}
    sections.setdefault(section, {}).update(keys)
    server.plan = dataclasses.replace(server.plan, sections=sections)
    new_path = server.config_path.with_suffix(".new")
    new_path.write_text(server.config_text())
    new_path.replace(server.config_path)  # the one before may still be being read


def is_said(server: Server, text: str) -> bool:
    return text in server.output()


@pytest.mark.gripproxy_only
def test_hundred_reloads_cost_no_client_anything(start_server: Callable[[ServerPlan], Server]) -> None:
    """2,000 new connections come in a second: none is refused, none reset, and held streams get every item."""
    server = start_server(ServerPlan(routes=["* test"], sections={"runner": {"log_events": ""}}))
    storm = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.connection_storm", str(server.http_port), str(CONNECTIONS_PER_S)]
        + ["test handler!\n"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=SOURCE_ROOT,
        env={**os.environ, **source_env()},
    )
    streams = [RawClient(server.http_port) for _ in range(STREAMS_COUNT)]
    try:
        for stream in streams:
            stream.get("/stream", version="1.0")
            stream.receive_until(b"[stream opened]\n")
        for number in range(RELOADS_COUNT):
            if number % 10 == 9:
                configure(server, "runner", keepalive_timeout=f"soon{number}")
                sign = f"keepalive_timeout=soon{number}: must be a number"
            else:
                configure(server, "runner", keepalive_timeout=1000 + number)
                replace(server, ["* test", f"n{number}.test test"])
                sign = f" -> {1000 + number})"
            reload(server)
            wait_until(partial(is_said, server, sign), "it was reloaded, or refused")
            server.publish_stream("test", f"{number}\n")
        everything = b"[stream opened]\n" + b"".join(b"%d\n" % number for number in range(RELOADS_COUNT))
        for stream in streams:
            stream.receive_until(b"\n%d\n" % (RELOADS_COUNT - 1))
            assert stream.received.partition(b"\r\n\r\n")[2] == everything
        output, _ = storm.communicate(timeout=60)
        told = json.loads(output)
        print(f"{told['rate']:.0f} connections a second")
        assert told["outcomes"].keys() == {"answered"}, told
        assert "internal error" not in server.output()
    finally:
        storm.kill()
        storm.wait()
        for stream in streams:
            stream.close()
