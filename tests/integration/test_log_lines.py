"""What a server's log says of requests, holds and items, and what becomes of it when nobody takes its lines."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.conftest import StartServer
from tests.integration.deadline import wait_until
from tests.integration.origin import CLOSE, WAIT, ScriptedOrigin, answer
from tests.integration.ports import can_connect
from tests.integration.process import Process
from tests.integration.raw_client import RawClient, fetch
from tests.integration.server import Server, ServerPlan, source_env

STREAM = answer("200 OK", "Grip-Hold: stream", "Grip-Channel: room", body=b"[open]\n")
POLL = answer("200 OK", "Grip-Hold: response", "Grip-Channel: room", "Grip-Channel: two", body=b"none\n")

EVENTS = "Content-Type: application/websocket-events"
ACCEPTED = b'OPEN\r\nTEXT 27\r\nc:{"type":"subscribe","channel":"room"}\r\n'
UPGRADE = (
    *("Upgrade: websocket", "Connection: Upgrade"),
    *("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
)

# Pushpin's lines, and those of gripproxy less what is its own: ` id=...` and all behind it, ` source=...`.
EVENT = re.compile(r"\[INFO\] \S+ \S+ \[[a-z0-9 ]+\] ((?:[A-Z]+ (?:http|ws)|subscribe |publish ).*)")
OWN_ENDING = re.compile(r"( id=[0-9a-f]+(?:-[0-9a-f]+)+( time=[0-9]+\.[0-9]{4})?| source=\w+( item-id=\S+)?)$")


@pytest.fixture
def origin() -> Iterator[ScriptedOrigin]:
    scripted = ScriptedOrigin()
    scripted.play(
        {
            "/": answer(body=b"hello\n"),
            "/stream": STREAM,
            "/poll": POLL,
            "/slow": (WAIT, CLOSE),
            "/away": (CLOSE,),
            "/link": answer("200 OK", "Grip-Link: </next>; rel=next", body=b"one\n"),
            "/next": answer("200 OK", "Grip-Hold: stream", "Grip-Channel: links", body=b"more\n"),
            "/ws": answer("200 OK", EVENTS, "Sec-WebSocket-Extensions: grip", body=ACCEPTED),
            "/lost": answer("200 OK", "Grip-Link: </gone>; rel=next", body=b"one\n"),
        }
    )
    scripted.start()
    yield scripted
    scripted.stop()


def plan(origin: ScriptedOrigin, **runner: str) -> ServerPlan:
    return ServerPlan(
        routes=[f"*,id=r1 127.0.0.1:{origin.port}"],
        sections={
            "runner": {"log_events": "request,hold,publish", **runner},
            "proxy": {"log_from": "true", "log_user_agent": "true"},
        },
    )


def events(server: Server) -> list[str]:
    """Give the lines about events, as the reference has them."""
    found = EVENT.findall(server.output())
    return [OWN_ENDING.sub("", line) for line in found if "invalid/" not in line]


def wait_for_event(server: Server, line: str) -> None:
    """Wait until the log has this line."""
    wait_until(lambda: line in events(server), f"{line!r} is logged; there are:\n" + "\n".join(events(server)))


def test_events_are_worded_as_the_reference_words_them(start_server: StartServer, origin: ScriptedOrigin) -> None:
    """Programs that read Pushpin's log find in ours what they look for."""
    server = start_server(plan(origin))
    base, target = "http://localhost", f"127.0.0.1:{origin.port}"
    fetch(server.http_port, "/?page=2", "User-Agent: An Agent (1)", "Referer: http://c/d")
    wait_for_event(
        server, f"GET {base}/?page=2 -> {target} from=127.0.0.1 ref=http://c/d route=r1 code=200 6 ua=An Agent (1)"
    )
    with RawClient(server.http_port) as stream, RawClient(server.http_port) as poll:
        stream.get("/stream", "Grip-Last: room; last-id=5", "Grip-Last: b; last-id=7")
        stream.receive_until(b"[open]\n")
        wait_for_event(server, f"GET {base}/stream -> {target} from=127.0.0.1 route=r1 accept #room=5 #b=7")
        wait_for_event(server, f"subscribe {base}/stream channel=room")
        poll.get("/poll")
        wait_for_event(server, f"GET {base}/poll -> {target} from=127.0.0.1 route=r1 accept")
        wait_for_event(server, f"subscribe {base}/poll channel=room")
        wait_for_event(server, f"subscribe {base}/poll channel=two")
        server.publish(
            {"channel": "room", "id": "k", "formats": {"http-stream": {"content": "x"}, "http-response": {"body": "y"}}}
        )
        wait_for_event(server, "publish channel=room receivers=2")
    with RawClient(server.http_port) as linked, RawClient(server.http_port) as lost:
        linked.get("/link")
        wait_for_event(server, f"GET {base}/next route=r1 code=200 5")
        wait_for_event(server, f"subscribe {base}/link channel=links")
        lost.get("/lost")
        wait_for_event(server, f"GET {base}/gone route=r1 error")
    fetch(server.http_port, "/away")
    wait_for_event(server, f"GET {base}/away -> {target} from=127.0.0.1 route=r1 code=502 32")
    fetch(server.http_port, "/none")
    wait_for_event(server, f"GET {base}/none -> {target} from=127.0.0.1 route=r1 code=404 14")
    with RawClient(server.http_port) as client:
        client.get("/slow")
        wait_until(lambda: any(request.target == "/slow" for request in origin.requests), "the origin is asked")
    wait_for_event(server, f"GET {base}/slow -> {target} from=127.0.0.1 route=r1 error")
    server.publish_stream("nobody", "x")
    wait_for_event(server, "publish channel=nobody receivers=0")


def test_websockets_are_worded_as_the_reference_words_them(start_server: StartServer, origin: ScriptedOrigin) -> None:
    """By their scheme, with the status of their answer, and a mark where the origin is asked over HTTP."""
    target = f"127.0.0.1:{origin.port}"
    wanted = plan(origin)
    wanted.routes = [f"*,id=r1 {target},over_http", f"*,path_beg=/none {target}"]
    server = start_server(wanted)
    with RawClient(server.http_port) as client:
        client.get("/ws?a=b", *UPGRADE)
        client.receive_until(b"\r\n\r\n")
        wait_for_event(server, f"GET ws://localhost/ws?a=b -> {target}[http] from=127.0.0.1 route=r1 code=101 0")
        wait_for_event(server, "subscribe ws://localhost/ws?a=b channel=room")
    fetch(server.http_port, "/none", *UPGRADE)
    wait_for_event(server, f"GET ws://localhost/none -> {target} from=127.0.0.1 code=404 14")


def json_events(text: str) -> list[dict[str, object]]:
    """Give the objects of a log about events; every line of it must be one."""
    return [line for line in map(orjson.loads, text.splitlines()) if line["event"] != "log"]


@pytest.mark.gripproxy_only
def test_one_id_goes_through_all_lines_about_a_request(short_path: Path, origin: ScriptedOrigin) -> None:
    """In JSON, where a program looks for it; and a token in the URL is in none of them."""
    server = Server(plan(origin, log_format="json"), short_path)
    process = server.launch()
    try:
        process.wait_for_output('"text":"ready"}', 20.0)
        assert_one_id(server)
    finally:
        server.stop()


def assert_one_id(server: Server) -> None:
    with RawClient(server.http_port) as stream:
        stream.get(
            "/stream?access_token=s3cr3t", "Authorization: Bearer s3cr3t", "Referer: http://u:s3cr3t@c/?key=s3cr3t"
        )
        stream.receive_until(b"[open]\n")
        wait_until(lambda: len(json_events(server.output())) >= 2, "the hold is logged")
    fetch(server.http_port)
    wait_until(lambda: len(json_events(server.output())) >= 3, "the request is logged")
    lines = json_events(server.output())
    fetch(server.http_port, "/away")
    wait_until(lambda: len(json_events(server.output())) >= 4, "the failed request is logged")
    failed = json_events(server.output())[-1]
    wait_until(lambda: server.output().count(f"{failed['id']}") == 2, "the reason has its id, too")
    assert f'closed the connection before its response id={failed["id"]}"' in server.output()
    hold = next(line for line in lines if line["event"] == "hold")
    held, plain = (line for line in lines if line["event"] == "request")
    assert hold["url"] == held["url"] == "http://localhost/stream?access_token=***"
    assert held["referer"] == "http://***@c/?key=***"
    assert hold["id"] == held["id"] != plain["id"]
    assert (hold["channels"], hold["mode"], held["outcome"]) == (["room"], "stream", "held")
    assert (plain["outcome"], plain["status"], plain["body_bytes"]) == ("answered", 200, 6)
    assert "s3cr3t" not in server.output()


@pytest.mark.gripproxy_only
def test_log_file_is_rotated_under_all_processes(short_path: Path, origin: ScriptedOrigin) -> None:
    """logrotate renames it and sends SIGHUP: from then on nobody writes to the old one."""
    server = new_logging_server(short_path, origin)
    path, old_path = short_path / "log", short_path / "log.1"
    try:
        start_with_log(server, path)
        path.rename(old_path)
        assert server.process is not None
        server.process.signal(signal.SIGHUP)
        wait_until(path.exists, "there is a new file")
        size = old_path.stat().st_size
        for index in range(20):
            fetch(server.http_port, f"/none?{index}")
        server.publish_stream("nobody", "x")
        wait_until(lambda: len(re.findall(r" id=0-.*\n", path.read_text())) > 0, "a worker writes to it")
        wait_until(lambda: path.read_text().count("GET http") == 20, "every request is in it")
    finally:
        status = server.stop()
    assert status == 0
    assert old_path.stat().st_size == size
    assert "[hub] hub stopped\n" in path.read_text()


@pytest.mark.gripproxy_only
def test_full_disk_stops_nothing(short_path: Path, origin: ScriptedOrigin) -> None:
    """Clients are served, also by a process that starts meanwhile."""
    server = new_logging_server(short_path, origin)
    try:
        start_with_log(server, Path("/dev/full"))
        for _ in range(50):
            assert fetch(server.http_port).endswith(b"hello\n")
    finally:
        assert server.stop() == 0


@pytest.mark.gripproxy_only
def test_pipe_that_nobody_reads_stops_nothing(short_path: Path, origin: ScriptedOrigin) -> None:
    """``gripproxy 2>&1 | less``. The pipe is full before the first request, for every process."""
    server = new_logging_server(short_path, origin)
    read_fd, write_fd = os.pipe()
    os.set_blocking(write_fd, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(write_fd, b"x" * 4096)
    os.set_blocking(write_fd, True)
    with subprocess.Popen(
        server.argv(), stdout=write_fd, stderr=write_fd, env={**os.environ, **source_env()}, start_new_session=True
    ) as process:
        os.close(write_fd)
        try:
            wait_until(lambda: can_connect(server.http_port), "clients are let in")
            for _ in range(50):
                assert fetch(server.http_port).endswith(b"hello\n")
            assert process.poll() is None
            process.terminate()
            assert process.wait(20) == 0
        finally:
            process.kill()
            os.close(read_fd)


def new_logging_server(directory: Path, origin: ScriptedOrigin) -> Server:
    """Write the files of a server that is to be started in a way of the test's own."""
    server = Server(plan(origin), directory)
    server.write_routes(server.plan.routes)
    server.config_path.write_text(server.config_text())
    return server


def start_with_log(server: Server, path: Path) -> None:
    """Start it with ``--logfile`` and wait until it serves."""
    server.process = Process(
        "gripproxy", [*server.argv(), "--logfile", str(path)], server.directory / "server.output", source_env()
    )
    ports = (server.http_port, server.control_port)
    wait_until(lambda: all(map(can_connect, ports)), "it serves", 20.0)
