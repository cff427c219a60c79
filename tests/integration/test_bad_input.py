"""Bad input from every side, each with the answer it gets and with everything else going on as before."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from tests.integration.deadline import wait_until
from tests.integration.origin import CLOSE, RESET, WAIT, ScriptedOrigin, answer
from tests.integration.raw_client import RawClient, fetch
from tests.integration.server import GRIPPROXY, Server, ServerPlan, post, program_argv, source_env

STREAM = answer("200 OK", "Content-Type: text/plain", "Grip-Hold: stream", "Grip-Channel: news", body=b"[open]\n")
PROXY_ERROR = (
    b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 32\r\n\r\n"
    b"Error while proxying to origin.\n"
)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ORIGIN_TIMEOUT_S = 1


@pytest.fixture
def origin() -> Iterator[ScriptedOrigin]:
    """An origin with every fault, one per path."""
    origin = ScriptedOrigin()
    origin.play(
        {
            "/hello": answer(body=b"hello\n"),
            "/stream": STREAM,
            "/hangs": [WAIT],
            "/closes": [CLOSE],
            "/resets": [RESET],
            "/garbage": [b"\x16\x03\x01 no http at all\r\n\r\n", CLOSE],
            "/bad-length": [b"HTTP/1.1 200 OK\r\nContent-Length: few\r\n\r\n", CLOSE],
            "/bad-chunk": [CHUNKED + b"5\r\nfirst\r\n", WAIT, b"zz\r\n", CLOSE],
            "/cut-sized": [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfirst", WAIT, CLOSE],
            "/cut-chunked": [CHUNKED + b"5\r\nfirst\r\n", WAIT, CLOSE],
            "/unknown-hold": answer("200 OK", "Grip-Hold: forever", "Grip-Channel: x"),
            "/nameless": answer(
                "200 OK", "Content-Type: text/plain", "Grip-Hold: stream", "Grip-Channel: ", body=b"[open]\n"
            ),
            "/nameless-json": answer(
                "200 OK", "Content-Type: application/grip-instruct", body=b'{"hold":{"channels":[{}],"mode":"stream"}}'
            ),
            "/split": answer("200 OK", "Content-Type: application/grip-instruct", body=SPLITTING_INSTRUCT),
        }
    )
    origin.start()
    yield origin
    origin.release()
    origin.stop()


SPLITTING_INSTRUCT = json.dumps({"response": {"headers": {"X-A": "1\r\nSet-Cookie: stolen=1"}, "body": "x"}}).encode()


@pytest.fixture
def server(start_server: Callable[[ServerPlan], Server], origin: ScriptedOrigin) -> Server:
    """A server with a quick patience for origins, and a host for debug and for an origin that refuses."""
    routes = [f"* 127.0.0.1:{origin.port}", f"debug.test,debug 127.0.0.1:{origin.port}", "refused.test 127.0.0.1:1"]
    sections = {"proxy": {"origin_timeout": ORIGIN_TIMEOUT_S}}
    return start_server(ServerPlan(routes=routes, sections=sections))


@pytest.mark.parametrize("path", ["/closes", "/resets", "/garbage"])
def test_origin_without_an_answer(server: Server, path: str) -> None:
    """The client gets a whole and plain error."""
    assert fetch(server.http_port, path) == PROXY_ERROR


def test_origin_that_refuses(server: Server) -> None:
    """The same answer, whatever the reason."""
    assert fetch(server.http_port, "/hello", host="refused.test") == PROXY_ERROR


@pytest.mark.gripproxy_only
@pytest.mark.parametrize("path", ["/hangs", "/bad-length"])
def test_origin_that_hangs_or_lies_about_the_length(server: Server, path: str) -> None:
    """`origin_timeout` ends the wait; a length that is no number is no answer."""
    assert fetch(server.http_port, path) == PROXY_ERROR


@pytest.mark.gripproxy_only
@pytest.mark.parametrize("path", ["/cut-sized", "/cut-chunked", "/bad-chunk"])
def test_origin_that_breaks_off(server: Server, origin: ScriptedOrigin, path: str) -> None:
    """What has come is passed on, and then the connection ends without the end of the body."""
    with RawClient(server.http_port) as client:
        client.get(path)
        client.receive_until(b"first")
        origin.release()
        received = client.receive_all()
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert not received.endswith(b"0\r\n\r\n")


@pytest.mark.gripproxy_only
def test_origin_that_falls_silent_in_mid_body(server: Server) -> None:
    """`origin_timeout` counts from the last byte, too."""
    with RawClient(server.http_port) as client:
        client.get("/cut-sized")
        client.receive_until(b"first")
        assert client.receive_all().endswith(b"first")


def test_hold_of_unknown_kind(server: Server) -> None:
    """Debug says what is wrong; without it the client learns nothing of the origin's inside."""
    assert fetch(server.http_port, "/unknown-hold") == PROXY_ERROR
    shown = fetch(server.http_port, "/unknown-hold", host="debug.test")
    assert b"\r\n\r\nFailed to parse accept instructions: Grip-Hold must be set to either" in shown


def test_channel_without_name(server: Server) -> None:
    """An empty header names no channel: the stream is held and nothing reaches it. In JSON the name is required."""
    with RawClient(server.http_port) as client:
        client.get("/nameless", version="1.0")
        client.receive_until(b"[open]\n")
        server.publish_stream("", "no\n")
        assert client.receive_for(0.3).endswith(b"[open]\n")
    shown = fetch(server.http_port, "/nameless-json", host="debug.test")
    assert b"\r\n\r\nFailed to parse accept instructions: channel does not contain 'name'" in shown


@pytest.mark.gripproxy_only
def test_instruct_that_would_split_the_answer(server: Server) -> None:
    """A line break in a header value of an instruct reaches no client."""
    assert fetch(server.http_port, "/split") == PROXY_ERROR


REFUSED_ITEMS = [
    (b"not json", b"Body is not valid JSON.\n"),
    (
        b'{"items":[{"http-stream":{"content":"x"}}]}',
        b"Invalid format: publish item object does not contain 'channel'\n",
    ),
    (b'{"items":[{"channel":"news"}]}', b"Invalid format: no formats specified\n"),
    (
        b'{"items":[{"channel":"news","http-stream":{}}]}',
        b"Invalid format: 'http-stream' does not contain 'content' or 'content-bin'\n",
    ),
    (
        b'{"items":[{"channel":"news","http-stream":{"content":5}}]}',
        b"Invalid format: 'http-stream' contains 'content' with wrong type\n",
    ),
    (b'{"items":[' + b" " * 1_000_000 + b"]}", b"Request body too large.\n"),
]


@pytest.mark.parametrize(
    ("body", "reason"), REFUSED_ITEMS, ids=[reason.decode().strip() for _, reason in REFUSED_ITEMS]
)
def test_refused_publish_request(server: Server, body: bytes, reason: bytes) -> None:
    """The publisher is told what is wrong, and the next request works."""
    try:
        status, answer = post(server.control_port, body)
        is_too_large = b"too large" in reason and server.plan.kind is GRIPPROXY
        assert status == (413 if is_too_large else 400)
        assert answer.partition(b" (value")[0].removesuffix(b"\n") + b"\n" == reason
    except (BrokenPipeError, ConnectionResetError):
        assert len(body) > 1_000_000, "only a body too large is not read to its end"
    server.publish_stream("news", "x")


def test_item_with_both_contents_takes_the_binary_one(server: Server) -> None:
    """The reference's rule, which publishers may count on."""
    with RawClient(server.http_port) as client:
        client.get("/stream", version="1.0")
        client.receive_until(b"[open]\n")
        server.publish({"channel": "news", "http-stream": {"content": "text\n", "content-bin": "YmluYXJ5Cg=="}})
        assert client.receive_until(b"binary\n").endswith(b"[open]\nbinary\n")


UNREADABLE_FRAMES = [
    b"",
    b"J",
    b"J{",
    b"J[1]",
    b"J" + b"[" * 100_000,
    b"hello",
    b"T99:x,",
    b"5:hello",
    b"T" + b"999999999999999999999:x,",
    b"99999999999999999999999999",
    b"-1:,",
    b'J{"http-stream":{"content":"x"}}',
    b'J{"channel":"news","http-stream":{"content":"a","action":"explode"}}',
    b'J{"channel":"news","http-response":{"body":"a","headers":[["X","1\\r\\nY: 2"]]}}',
    b"\xff" * 1000,
]


@pytest.mark.gripproxy_only
def test_unreadable_zeromq_items_are_logged_and_skipped(
    server: Server, context: "zmq.Context[zmq.Socket[bytes]]"
) -> None:
    """Nothing that a publisher sends stops the items that follow."""
    push = context.socket(zmq.PUSH)
    push.setsockopt(zmq.LINGER, 0)  # a failed test must not wait for its queue
    push.connect(f"tcp://127.0.0.1:{server.push_port}")
    with RawClient(server.http_port) as client:
        client.get("/stream", version="1.0")
        client.receive_until(b"[open]\n")
        for frame in UNREADABLE_FRAMES:
            push.send(frame)
        push.send_multipart([b"news", b'J{"http-stream":{"content":"two frames\\n"}}'])
        push.send(b'J{"channel":"news","http-stream":{"content":"after\\n"}}')
        assert client.receive_until(b"after\n").endswith(b"[open]\nafter\n")
    wait_until(lambda: "received message with invalid format" in server.output(), "the log says that one was skipped")


BAD_REQUESTS = [
    (b"nonsense\r\n\r\n", b"400"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 9000 + b"\r\n\r\n", b"431"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", b"400"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", b"400"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", b"400"),
    (b"POST /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
    (b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", b"505"),
]


@pytest.mark.gripproxy_only
@pytest.mark.parametrize(("data", "status"), BAD_REQUESTS, ids=[repr(data[:30]) for data, _ in BAD_REQUESTS])
def test_bad_request(server: Server, data: bytes, status: bytes) -> None:
    """The client is told, the connection ends, and no second request can hide behind the first."""
    with RawClient(server.http_port) as client:
        client.send(data + b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        received = client.receive_all()
    assert received.partition(b"\r\n")[0].split()[1:2] == [status]
    assert received.count(b"Content-Length: ") == 1
    assert fetch(server.http_port, "/hello").endswith(b"hello\n")


def test_routes_that_do_not_parse_are_named_and_skipped(
    start_server: Callable[[ServerPlan], Server], origin: ScriptedOrigin
) -> None:
    """The lines that can be read work; each of the others is named with its file, number and fault."""
    faults = {
        "a.test": "must specify condition and at least one target",
        "b.test 127.0.0.1": "target bad format",
        "c.test 127.0.0.1:70000": "target invalid port",
        "d.test,proto=smtp 127.0.0.1:1": "proto must be set to 'http' or 'ws'",
        "e.test,ssl=maybe 127.0.0.1:1": "ssl must be set to 'yes' or 'no'",
        "f.test,path_beg= 127.0.0.1:1": "path_beg cannot be empty",
    }
    server = start_server(ServerPlan(routes=[*faults, f"* 127.0.0.1:{origin.port}"]))
    for number, fault in enumerate(faults.values(), 1):
        expected = f"{server.routes_path}:{number}: {fault}"
        wait_until(lambda expected=expected: expected in server.output(), f"the log holds {expected!r}")
    assert fetch(server.http_port, "/hello").endswith(b"hello\n")


def run_to_its_end(short_path: Path, section: str, key: str, value: str) -> tuple[int, str, Server]:
    """Start gripproxy with one value replaced and give exit status and output."""
    directory = short_path / "bad"
    directory.mkdir()
    server = Server(ServerPlan(kind=GRIPPROXY, routes=["* test"], sections={section: {key: value}}), directory)
    process = server.launch()
    try:
        return process.wait(20.0), process.output(), server
    finally:
        process.stop()


@pytest.mark.gripproxy_only
@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("runner", "http_port", "70000"),
        ("runner", "client_buffer_size", "many"),
        ("runner", "client_maxconn", "-1"),
        ("runner", "workers", "5000"),
        ("handler", "push_in_http_port", "99999"),
        ("handler", "push_in_spec", "udp://127.0.0.1:5560"),
        ("proxy", "origin_timeout", "soon"),
    ],
)
def test_bad_config_value_refuses_to_start(short_path: Path, section: str, key: str, value: str) -> None:
    """File, line, key and value are named, and nothing is left running."""
    status, output, server = run_to_its_end(short_path, section, key, value)
    line = 1 + next(
        number for number, text in enumerate(server.config_text().splitlines()) if text.startswith(f"{key}=")
    )
    assert status == 1
    assert f"{server.config_path}:{line}: {key}={value}" in output


@pytest.mark.gripproxy_only
def test_port_in_use_refuses_to_start(server: Server, short_path: Path) -> None:
    """A child that cannot start ends everything with its reason; there is no storm of restarts."""
    status, output, _ = run_to_its_end(short_path, "handler", "push_in_http_port", str(server.control_port))
    assert status == 1
    assert str(server.control_port) in output
    assert "in use" in output


@pytest.mark.gripproxy_only
def test_check_command_tells_without_starting(short_path: Path) -> None:
    """A script learns from the exit status what a start would say."""
    path = short_path / "check"
    path.mkdir()
    server = Server(ServerPlan(kind=GRIPPROXY, routes=["a.test nowhere", "* test"]), path)
    server.write_routes(server.plan.routes)
    server.config_path.write_text(server.config_text())
    argv = [*program_argv("gripproxy", "gripproxy.cli"), "check", "--config", str(server.config_path)]
    checked = subprocess.run(argv, env=source_env(), capture_output=True, text=True, timeout=20)
    assert checked.returncode == 1
    assert f"{server.routes_path}:1: target bad format" in checked.stderr
