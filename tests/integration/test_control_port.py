"""A control port with a key, and publishers that people have already: none of them is changed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from urllib.parse import quote

import jwt
import pytest
import zmq
from gripcontrol import GripPubControl, HttpStreamFormat
from gripcontrol.gripcontrol import parse_grip_uri
from pubcontrol import Item, PubControl

from gripproxy.protocol.tnetstring import encode
from tests.installed import require
from tests.integration.deadline import wait_until
from tests.integration.ports import free_ports
from tests.integration.process_view import children, title
from tests.integration.raw_client import RawClient, fetch
from tests.integration.server import Server, ServerPlan, source_env
from tests.integration.sites.running import EXPRESS_FOLDER, install_express

pytestmark = pytest.mark.gripproxy_only
KEY = "change-me+change/me" * 4  # "+" and "/": characters of base64, which GRIP URLs take as they are
SERVER_PUBLIC, SERVER_SECRET = zmq.curve_keypair()
CLIENT_PUBLIC, CLIENT_SECRET = zmq.curve_keypair()
ITEM = '{"items":[{"channel":"test","formats":{"http-stream":{"content":"one\\n"}}}]}'


class Keyed:
    """A server that asks for the key, with a stream on the channel `test`."""

    def __init__(self, server: Server, metrics_port: int, stream: RawClient) -> None:
        self.server = server
        self.metrics_port = metrics_port
        self.stream = stream
        self.address = f"127.0.0.1:{server.control_port}"

    def expect(self, text: str) -> None:
        self.stream.receive_until(text.encode())

    def counter(self, name: str) -> int:
        page = fetch(self.metrics_port).decode()
        return sum(int(line.split()[-1]) for line in page.splitlines() if line.startswith(name))


@pytest.fixture
def keyed(start_server: Callable[[ServerPlan], Server]) -> Iterator[Keyed]:
    """Tokens must be from the issuer `site`; ZeroMQ is for one client."""
    (metrics_port,) = free_ports(1)
    handler = {
        "push_in_http_key": f'"{KEY}"',
        "push_in_http_iss": "site",
        "zmq_curve_secret_key": json.dumps(SERVER_SECRET.decode()),
        "zmq_curve_client_keys": json.dumps(CLIENT_PUBLIC.decode()),
        "prometheus_port": f"127.0.0.1:{metrics_port}",
    }
    server = start_server(ServerPlan(routes=["* test"], sections={"handler": handler}))
    with RawClient(server.http_port) as stream:
        stream.get("/stream?hold=stream&channel=test", version="1.0")
        stream.receive_until(b"[stream opened]\n")
        yield Keyed(server, metrics_port, stream)


def run(*argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, env={**os.environ, **source_env(), **env})


def test_grip_urls_of_the_python_packages(keyed: Keyed) -> None:
    """With an iss they sign tokens with the key, without one they send it."""
    for query, text in ((f"iss=site&key={KEY}", "signed\n"), (f"key={KEY}", "sent\n")):
        publisher = GripPubControl(parse_grip_uri(f"http://{keyed.address}/?{query}"))
        publisher.publish_http_stream("test", text)
        keyed.expect(text)


def test_python_packages_without_the_right_key(keyed: Keyed) -> None:
    """Wrong key, wrong issuer, no key: the package raises what the server says, and nothing is published."""
    for config, reason in (
        ({"iss": "site", "key": "x" * 64}, "neither the key nor a JWT that is signed with it"),
        ({"iss": "other", "key": KEY}, "not from the issuer of push_in_http_iss"),
        ({"key": "x" * 64}, "neither the key nor a JWT that is signed with it"),
        ({}, "there is no Authorization header"),
    ):
        publisher = PubControl({"uri": f"http://{keyed.address}", **config})
        with pytest.raises(ValueError, match=reason):
            publisher.publish("test", Item(HttpStreamFormat("no\n")), blocking=True)
    assert keyed.counter('gripproxy_unauthorized_total{process="hub"}') == 4
    run("curl", "-sS", "-H", f"Authorization: Bearer {KEY}", "-d", ITEM, f"http://{keyed.address}/publish/")
    assert b"no\n" not in keyed.stream.receive_until(b"one\n")
    assert KEY not in keyed.server.output()


def test_npm_package(keyed: Keyed) -> None:
    """@fanoutio/grip signs each request anew, by the claims that its GRIP URL has."""
    require("node", "npm")
    install_express()
    script = str(EXPRESS_FOLDER / "publish.mjs")
    key = quote(KEY, safe="")
    for query in (f"iss=site&key={key}", f"key={key}"):
        assert run("node", script, f"http://{keyed.address}/?{query}", "test").stdout == "published\n"
    keyed.expect("one\n")
    refused = run("node", script, f"http://{keyed.address}/?iss=site&key={'x' * 64}", "test").stdout
    assert "401 Unauthorized: the bearer token is neither the key nor a JWT that is signed with it." in refused


def test_token_that_has_expired(keyed: Keyed) -> None:
    """A publisher whose clock is wrong learns it from the answer."""
    for lifetime_s, answer in ((60, "Published\n"), (-1, "Unauthorized: the token has expired. ")):
        token = jwt.encode({"iss": "site", "exp": int(time.time()) + lifetime_s}, KEY, "HS256")
        done = run(
            "curl", "-sS", "-H", f"Authorization: Bearer {token}", "-d", ITEM, f"http://{keyed.address}/publish/"
        )
        assert done.stdout.startswith(answer)


def test_curl_and_the_publish_tool(keyed: Keyed) -> None:
    """By hand and in scripts: as a password, in a GRIP URL, as an option."""
    require("curl")
    done = run("curl", "-sS", "-u", f"me:{KEY}", "-d", ITEM, f"http://{keyed.address}/publish/")
    assert done.stdout == "Published\n"
    keyed.expect("one\n")
    tool = [sys.executable, "-m", "gripproxy.cli", "publish"]
    url = f"http://{keyed.address}"
    for number, (arguments, env) in enumerate(
        (
            (["--spec", f"{url}/?iss=site&key={KEY}"], {}),
            (["--spec", f"{url}/?key={KEY}"], {}),
            ([], {"GRIP_URL": f"{url}/?iss=site&key={KEY}"}),
            (["--spec", url, "-B", KEY], {}),
            (["--spec", url, "-u", f"me:{KEY}"], {}),
        )
    ):
        done = run(*tool, "test", f"tool {number}", *arguments, **env)
        assert (done.returncode, done.stdout, done.stderr) == (0, "Published\n", "")
        keyed.expect(f"tool {number}\n")
    refused = run(*tool, "test", "no", "--spec", url)
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: Unauthorized: there is no Authorization header. Send the key ")


def test_page_of_another_origin_cannot_publish(keyed: Keyed) -> None:
    """What a browser sends for a form on any page, to a port of its user's machine."""
    curl = ["curl", "-sS", "-u", f"me:{KEY}", "-d", ITEM, f"http://{keyed.address}/publish/"]
    assert run(*curl, "-H", "Origin: http://evil.example").stdout.startswith("Forbidden: a page of another origin ")
    assert run(*curl, "-H", "Sec-Fetch-Site: cross-site").stdout.startswith("Forbidden: a page of another site ")
    assert run(*curl, "-H", f"Origin: http://{keyed.address}").stdout == "Published\n"


def test_zeromq_with_curve(keyed: Keyed, context: "zmq.Context[zmq.Socket[bytes]]") -> None:
    """Only the listed client gets in, on PUSH, PUB and the command socket; of plain ones the log tells."""
    server = keyed.server

    def connect(kind: int, port: int, is_keyed: bool = True) -> "zmq.Socket[bytes]":
        client = context.socket(kind)
        client.setsockopt(zmq.RCVTIMEO, 20_000)
        client.setsockopt(zmq.LINGER, 0)
        if is_keyed:
            client.curve_publickey, client.curve_secretkey = CLIENT_PUBLIC, CLIENT_SECRET
            client.curve_serverkey = SERVER_PUBLIC
        client.connect(f"tcp://127.0.0.1:{port}")
        return client

    plain = connect(zmq.PUSH, server.push_port, is_keyed=False)
    plain.send(b'J{"channel":"test","http-stream":{"content":"unwanted"}}')
    wait_until(lambda: "push_in_spec: a client did not get in" in server.output(), "the plain client is turned away")
    push = connect(zmq.PUSH, server.push_port)
    push.send(b'J{"channel":"test","http-stream":{"content":"push\\n"}}')
    keyed.expect("push\n")
    pub = connect(zmq.XPUB, server.sub_port)
    assert pub.recv() == b"\x01test"
    pub.send_multipart([b"test", b'J{"http-stream":{"content":"pub\\n"}}'])
    assert b"unwanted" not in keyed.stream.receive_until(b"pub\n")
    command = connect(zmq.REQ, server.command_port)
    command.send(encode({"method": "recover"}))
    assert b"7:success,4:true!" in command.recv()
    for client in (plain, push, pub, command):
        client.close()


def test_publish_tool_with_curve(keyed: Keyed) -> None:
    """With the keys it gets in, and without the right ones it says what may be wrong."""
    tool = [sys.executable, "-m", "gripproxy.cli", "publish", "--spec", f"tcp://127.0.0.1:{keyed.server.push_port}"]
    server = f"--curve-server-key={SERVER_PUBLIC.decode()}"
    done = run(*tool, server, f"--curve-key={CLIENT_SECRET.decode()}", "test", "by curve")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Published\n", "")
    keyed.expect("by curve\n")
    refused = run(*tool, server, "--timeout", "1", "test", "no")
    assert refused.stderr.endswith("within 1 s; is it the server's key, and does the server know ours?\n")
    unreadable = run(*tool, "--curve-server-key=x", "test", "no")
    assert unreadable.stderr == "Error: --curve-server-key: no public key in Z85, which has 40 characters\n"


def test_health_is_told_to_everybody(keyed: Keyed) -> None:
    """On both ports and without the key; a worker that hangs makes the host unready until it goes on."""

    def answers(path: str) -> list[bytes]:
        return [fetch(port, path) for port in (keyed.server.control_port, keyed.metrics_port)]

    for answer in answers("/healthz") + answers("/readyz"):
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    process = keyed.server.process
    assert process is not None
    worker_pid = next(pid for pid in children(process.pid) if "worker 1" in title(pid))
    os.kill(worker_pid, signal.SIGSTOP)
    wait_until(lambda: all(answer.startswith(b"HTTP/1.1 503 ") for answer in answers("/readyz")), "it is unready", 18.0)
    reasons = [json.loads(answer.partition(b"\r\n\r\n")[2]) for answer in answers("/readyz")]
    assert {reason["process"] for reason in reasons} == {"worker-1"}
    assert all(reason["reason"].startswith("hangs: its last sign of life is ") for reason in reasons)
    os.kill(worker_pid, signal.SIGCONT)
    wait_until(lambda: all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers("/readyz")), "it is ready again")
