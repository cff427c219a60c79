"""The publish inputs as they are configured: connecting, several specs, offsets, order; commands."""

import json
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zmq

from tests.conftest import new_server
from tests.installed import require
from tests.integration.command import ZmqContext, command
from tests.integration.deadline import wait_until
from tests.integration.ports import can_connect, free_ports
from tests.integration.raw_client import RawClient
from tests.integration.server import GRIPPROXY, Server, ServerKind, ServerPlan, post
from tests.integration.subscription_watch import SubscriptionWatch

PUBLISHERS_COUNT = 4  # two over ZeroMQ, one over HTTP, one over the command socket
ITEMS_COUNT = 300  # of each


@pytest.fixture
def unstarted(short_path: Path, server_kind: ServerKind) -> Iterator[Server]:
    """A server whose ports are known before it starts."""
    server = new_server(ServerPlan(kind=server_kind, routes=["* test"]), short_path / "s")
    yield server
    server.stop()


@pytest.fixture
def server(unstarted: Server) -> Server:
    unstarted.start()
    return unstarted


def opened(server: Server, channel: str) -> RawClient:
    """Open a stream whose body is what is published."""
    client = RawClient(server.http_port)
    client.get(f"/stream?channel={channel}", version="1.0")
    client.receive_until(b"[stream opened]\n")
    return client


def publisher(context: ZmqContext, port: int) -> "zmq.Socket[bytes]":
    """Bind a publisher's socket, to which the server is to connect."""
    xpub = context.socket(zmq.XPUB)
    xpub.bind(f"tcp://127.0.0.1:{port}")
    return xpub


def wait_for_news(xpub: "zmq.Socket[bytes]") -> None:
    """Wait until the server has subscribed to the channel; the reference's start leaves others."""
    wait_until(lambda: xpub.poll(0) and xpub.recv() == b"\x01news", "a subscription to 'news'")


def connection_to(port: int) -> str:
    """Give the kernel's words about a connection to a port of this machine."""
    argv = ["ss", "-Htno", "state", "established", f"dport = :{port}"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_server_connects_to_every_publisher(unstarted: Server, context: ZmqContext) -> None:
    """Each is told what is subscribed to, and is looked after by TCP keep-alives; items of all arrive."""
    require("ss")
    server = unstarted
    ports = [server.sub_port, *free_ports(1)]
    specs = ",".join(f"tcp://127.0.0.1:{port}" for port in ports)
    server.plan.sections = {"handler": {"push_in_sub_specs": specs, "push_in_sub_connect": "true"}}
    xpubs = [publisher(context, port) for port in ports]
    server.start()
    with opened(server, "news") as client:
        for number, xpub in enumerate(xpubs):
            wait_for_news(xpub)
            xpub.send_multipart([b"news", b'J{"http-stream":{"content":"from %d\\n"}}' % number])
            client.receive_until(b"from %d\n" % number)
    for port in ports if server.plan.kind is GRIPPROXY else ():  # no timer of the reference's is seen
        wait_until(lambda port=port: "timer:(keepalive," in connection_to(port), f"a keep-alive timer to {port}")  # type: ignore[misc]
    assert b"publish-sub" not in command(server, context, "get-zmq-uris")[b"value"]  # type: ignore[operator]


def test_only_the_first_spec_is_bound(unstarted: Server, context: ZmqContext) -> None:
    """The others are for connecting to; the addresses that clients are told say so too."""
    server = unstarted
    [other] = free_ports(1)
    specs = [f"tcp://127.0.0.1:{port}" for port in (server.sub_port, other)]
    server.plan.sections = {"handler": {"push_in_sub_specs": ",".join(specs)}}
    server.start()
    assert not can_connect(other)
    uris = command(server, context, "get-zmq-uris")[b"value"]
    assert isinstance(uris, dict)
    assert uris[b"publish-sub"] == specs[0].encode()


def test_old_key_for_one_spec_comes_after_the_others(unstarted: Server, context: ZmqContext) -> None:
    """Configurations of many years ago still count."""
    server = unstarted
    [other] = free_ports(1)
    server.plan.sections = {
        "handler": {
            "push_in_sub_specs": f"tcp://127.0.0.1:{server.sub_port}",
            "push_in_sub_spec": f"tcp://127.0.0.1:{other}",
            "push_in_sub_connect": "true",
        }
    }
    xpubs = [publisher(context, port) for port in (server.sub_port, other)]
    server.start()
    with opened(server, "news") as client:
        for xpub in xpubs:
            wait_for_news(xpub)
        xpubs[1].send_multipart([b"news", b'J{"http-stream":{"content":"old\\n"}}'])
        client.receive_until(b"old\n")


def test_offset_counts_for_every_input(unstarted: Server, context: ZmqContext) -> None:
    """Several instances share one configuration."""
    server, offset = unstarted, 100
    server.plan.sections = {
        "global": {"port_offset": offset},
        "handler": {
            "push_in_spec": f"tcp://127.0.0.1:{server.push_port - offset}",
            "push_in_sub_specs": f"tcp://127.0.0.1:{server.sub_port - offset}",
            "push_in_http_port": server.control_port - offset,
            "command_spec": f"tcp://127.0.0.1:{server.command_port - offset}",
        },
    }
    server.start()
    with opened(server, "news") as client:
        server.publish_stream("news", "http\n")
        push = context.socket(zmq.PUSH)
        push.connect(f"tcp://127.0.0.1:{server.push_port}")
        push.send(b'J{"channel":"news","http-stream":{"content":"push\\n"}}')
        client.receive_until(b"push\n")
        assert b"http\npush\n" in client.received
    uris = command(server, context, "get-zmq-uris")[b"value"]
    assert uris == {
        b"command": b"tcp://127.0.0.1:%d" % server.command_port,
        b"publish-pull": b"tcp://127.0.0.1:%d" % server.push_port,
        b"publish-sub": b"tcp://127.0.0.1:%d" % server.sub_port,
    }


def test_each_publishers_order_is_kept_for_each_client(server: Server, context: ZmqContext) -> None:
    """Whatever the others do meanwhile, on the same channel and by other inputs."""
    watch = SubscriptionWatch(context, server.sub_port)
    clients = [opened(server, "news") for _ in range(4)]
    lines_before = clients[0].received.count(b"\n")  # of head and opening, the same for all
    watch.wait_for("news")

    def items(name: str) -> Iterator[dict[str, object]]:
        for number in range(ITEMS_COUNT):
            yield {"channel": "news", "http-stream": {"content": f"{name}{number:04}\n"}}

    def push() -> None:
        socket = context.socket(zmq.PUSH)
        socket.connect(f"tcp://127.0.0.1:{server.push_port}")
        for item in items("p"):
            socket.send(b"J" + json.dumps(item).encode())

    def publish() -> None:
        for item in items("s"):
            watch.socket.send_multipart([b"news", b"J" + json.dumps(item).encode()])

    def request() -> None:
        entries = list(items("h"))
        for start in range(0, ITEMS_COUNT, 3):
            server.publish(*entries[start : start + 3])

    def ask() -> None:
        for item in items("c"):
            command(server, context, "publish", items=[item])

    with ThreadPoolExecutor(PUBLISHERS_COUNT) as threads:
        for future in [threads.submit(work) for work in (push, publish, request, ask)]:
            future.result(60)
    for client in clients:
        client.receive_until(b"\n", 30.0, lines_before + PUBLISHERS_COUNT * ITEMS_COUNT)
        lines = client.received.partition(b"[stream opened]\n")[2].decode().split()
        for name in "pshc":
            own = [line for line in lines if line.startswith(name)]
            assert own == [f"{name}{number:04}" for number in range(ITEMS_COUNT)]
        client.close()


def live_id(server: Server, channel: str) -> str:
    """Give the id of the connection that holds a channel, from the log."""

    def look() -> re.Match[str] | None:
        return re.search(rf"channel={channel} .*\bid=([0-9a-f-]+)", server.output())

    found = wait_until(look, f"a log line about a hold on {channel}")
    return found[1]


@pytest.mark.gripproxy_only  # the reference logs no ids
def test_conncheck_knows_connections_while_they_live(server: Server, context: ZmqContext) -> None:
    """Of all workers, over ZeroMQ and HTTP, until they end."""
    clients = {f"news-{number}": opened(server, f"news-{number}") for number in range(6)}
    ids = [live_id(server, channel) for channel in clients]
    assert len(set(ids)) == len(ids)
    asked = [*ids, "0-0-0", "nobody", ids[0]]

    def over_zeromq() -> list[str]:
        value = command(server, context, "conncheck", ids=asked)[b"value"]
        assert isinstance(value, list)
        return sorted(conn_id.decode() for conn_id in value)

    def over_http() -> list[str]:
        status, body = post(server.control_port, json.dumps({"ids": asked}).encode(), "/conncheck/")
        assert status == 200
        reply = json.loads(body)
        assert reply["success"]
        return sorted(reply["value"])

    assert over_zeromq() == over_http() == sorted(ids)
    clients.pop("news-0").close()
    wait_until(lambda: over_zeromq() == sorted(ids[1:]), "the connection that ended is none")
    assert over_http() == sorted(ids[1:])
    for client in clients.values():
        client.close()


@pytest.mark.gripproxy_only
def test_commands_over_http(server: Server) -> None:
    """As over ZeroMQ, in JSON."""
    assert server.plan.kind is GRIPPROXY
    with RawClient(server.control_port) as client:
        client.get("/get-zmq-uris")
        assert b'"publish-pull":"tcp://127.0.0.1:%d"' % server.push_port in client.receive_all()
    assert post(server.control_port, b'{"channel":"c"}', "/refresh") == (200, b'{"success":true,"value":null}\n')
    assert post(server.control_port, b'{"cid":"0-1-2"}', "/refresh") == (
        404,
        b'{"success":false,"condition":"item-not-found"}\n',
    )
