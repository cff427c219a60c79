"""Publishers that people have already: Debian's pushpin-publish, the PyPI packages, curl. None of them is changed."""

import json
import subprocess
from collections.abc import Callable, Iterator

import pytest
import zmq
from gripcontrol import GripPubControl, HttpResponseFormat, HttpStreamFormat
from pubcontrol import Item, PubControl

from tests.installed import require
from tests.integration.deadline import wait_until
from tests.integration.origin import ScriptedOrigin, answer
from tests.integration.raw_client import RawClient
from tests.integration.server import Server, ServerPlan
from tests.integration.sites.running import EXPRESS_FOLDER, install_express
from tests.integration.subscription_watch import SubscriptionWatch

STREAM = answer("200 OK", "Content-Type: text/plain", "Grip-Hold: stream", "Grip-Channel: news", body=b"[open]\n")
POLL = answer("200 OK", "Content-Type: text/plain", "Grip-Hold: response", "Grip-Channel: news", body=b"nothing\n")
DOCUMENT = answer(
    "200 OK",
    "Content-Type: application/json",
    "Grip-Hold: response",
    "Grip-Channel: news",
    body=b'{"a": "old", "b": 1}\n',
)


@pytest.fixture
def origin() -> Iterator[ScriptedOrigin]:
    """An origin whose paths hold on the channel `news`."""
    origin = ScriptedOrigin()
    origin.play({"/stream": STREAM, "/poll": POLL, "/document": DOCUMENT})
    origin.start()
    yield origin
    origin.stop()


@pytest.fixture
def server(start_server: Callable[[ServerPlan], Server], origin: ScriptedOrigin) -> Server:
    """A server in front of the origin."""
    return start_server(ServerPlan(routes=[f"* 127.0.0.1:{origin.port}"]))


@pytest.fixture
def stream(server: Server) -> Iterator[RawClient]:
    """A client whose stream is open."""
    with RawClient(server.http_port) as client:
        client.get("/stream", version="1.0")
        client.receive_until(b"[open]\n")
        yield client


def pushpin_publish(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Debian's publishing tool."""
    require("pushpin-publish")
    return subprocess.run(["pushpin-publish", *arguments], capture_output=True, text=True, timeout=20)


def test_pushpin_publish_over_http(server: Server, stream: RawClient) -> None:
    """The tool's default way, with the newline it adds and without."""
    spec = ["--spec", server.control_uri]
    assert pushpin_publish(*spec, "news", "one").stdout == "Published\n"
    assert pushpin_publish(*spec, "--no-eol", "--id", "2", "--prev-id", "1", "news", "two").stdout == "Published\n"
    stream.receive_until(b"[open]\none\ntwo")


def test_pushpin_publish_over_zeromq(server: Server, stream: RawClient) -> None:
    """The same tool through the PUSH socket."""
    done = pushpin_publish("--spec", f"tcp://127.0.0.1:{server.push_port}", "news", "one")
    assert (done.returncode, done.stdout) == (0, "Published\n")
    stream.receive_until(b"[open]\none\n")


def test_pushpin_publish_answers_a_poll(server: Server, context: "zmq.Context[zmq.Socket[bytes]]") -> None:
    """Code and headers of the tool arrive with a long-poll's answer."""
    watch = SubscriptionWatch(context, server.sub_port)
    with RawClient(server.http_port) as client:
        client.get("/poll", "Connection: close")
        watch.wait_for("news")
        pushpin_publish("news", "done", "--spec", server.control_uri, "--code", "202", "-H", "X-A: 1")
        head, _, body = client.receive_all().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 202 Accepted\r\n")
    assert b"\r\nX-A: 1\r\n" in head
    assert body == b"done\n"
    watch.close()


def test_pushpin_publish_closes_a_stream(server: Server, stream: RawClient) -> None:
    """`--close` ends the stream, and the HTTP/1.0 connection with it."""
    pushpin_publish("--spec", server.control_uri, "--close", "news")
    assert stream.receive_all().endswith(b"[open]\n")


def test_pushpin_publish_shows_the_refusal(server: Server) -> None:
    """What the control port says about a bad item is what the tool prints."""
    done = pushpin_publish("--spec", f"{server.control_uri}/nowhere", "news", "one")
    assert done.returncode == 1
    assert "Not Found" in done.stderr


def test_pushpin_publish_patches_a_poll(server: Server, context: "zmq.Context[zmq.Socket[bytes]]") -> None:
    """`--patch` changes the answer that the origin gave; it is no text, so no newline is added."""
    watch = SubscriptionWatch(context, server.sub_port)
    with RawClient(server.http_port) as client:
        client.get("/document", "Connection: close")
        watch.wait_for("news")
        patch = '[{"op": "replace", "path": "/a", "value": "new"}]'
        pushpin_publish("--spec", server.control_uri, "--patch", "news", patch)
        received = client.receive_all()
    assert json.loads(received.partition(b"\r\n\r\n")[2]) == {"a": "new", "b": 1}
    watch.close()


def test_pushpin_publish_hints_a_poll(
    server: Server, origin: ScriptedOrigin, context: "zmq.Context[zmq.Socket[bytes]]"
) -> None:
    """`--hint` has the origin asked again, and a poll whose origin then knows more is answered by it."""
    watch = SubscriptionWatch(context, server.sub_port)
    with RawClient(server.http_port) as client:
        client.get("/poll", "Connection: close")
        watch.wait_for("news")
        origin.play({"/poll": answer(body=b"there is something\n")})
        pushpin_publish("--spec", server.control_uri, "--hint", "news")
        assert client.receive_all().endswith(b"\r\n\r\nthere is something\n")
    watch.close()


def test_gripcontrol_over_http(server: Server, stream: RawClient) -> None:
    """The package's own helpers, text and bytes, with ids that order them."""
    publisher = GripPubControl({"control_uri": server.control_uri})
    publisher.publish_http_stream("news", "one\n", id="1", prev_id=None)
    publisher.publish_http_stream("news", HttpStreamFormat(b"\xff\x00\n"), id="2", prev_id="1")
    publisher.publish_http_stream("news", HttpStreamFormat(close=True), id="3", prev_id="2")
    assert stream.receive_all().endswith(b"[open]\none\n\xff\x00\n")


def test_gripcontrol_answers_a_poll(server: Server, context: "zmq.Context[zmq.Socket[bytes]]") -> None:
    """An http-response of the package, with signed publishing switched on as hosted services need it."""
    watch = SubscriptionWatch(context, server.sub_port)
    with RawClient(server.http_port) as client:
        client.get("/poll", "Connection: close")
        watch.wait_for("news")
        publisher = GripPubControl({"control_uri": server.control_uri, "control_iss": "realm", "key": b"k" * 32})
        publisher.publish_http_response("news", HttpResponseFormat(code=404, headers={"X-A": "1"}, body="gone\n"))
        received = client.receive_all()
    assert received.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert received.endswith(b"\r\n\r\ngone\n")
    watch.close()


def test_gripcontrol_in_the_background(server: Server, stream: RawClient) -> None:
    """Without `blocking` the package gathers items and calls back for each: the order stays, and so does a refusal."""
    publisher = GripPubControl({"control_uri": server.control_uri})
    results: list[tuple[bool, str | None]] = []
    for number in range(50):
        publisher.publish_http_stream("news", f"{number}\n", callback=lambda *result: results.append(result))
    publisher.finish()
    stream.receive_until(b"".join(b"%d\n" % number for number in range(50)))
    assert [ok for ok, _ in results] == [True] * 50
    refused = GripPubControl({"control_uri": f"{server.control_uri}/nowhere"})
    refused.publish_http_stream("news", "never\n", callback=lambda *result: results.append(result))
    refused.finish()
    assert len(results) == 51
    assert results[-1][0] is False
    assert "Not Found" in str(results[-1][1])


def test_gripcontrol_finds_the_zeromq_inputs(
    server: Server, stream: RawClient, context: "zmq.Context[zmq.Socket[bytes]]"
) -> None:
    """`control_zmq_uri` names the command socket alone; it says where the others are."""
    config = {"control_zmq_uri": f"tcp://127.0.0.1:{server.command_port}"}
    publisher = GripPubControl(config, zmq_context=context)
    publisher.publish_http_stream("news", "found\n", blocking=True)
    stream.receive_until(b"[open]\nfound\n")
    publisher.close()


def test_publisher_with_two_ways_to_one_server(
    server: Server, stream: RawClient, context: "zmq.Context[zmq.Socket[bytes]]"
) -> None:
    """Who publishes by HTTP and by ZeroMQ, to be sure, is heard once: ids tell what has come already."""
    ways = [{"uri": server.control_uri}, {"zmq_push_uri": f"tcp://127.0.0.1:{server.push_port}"}]
    publisher = PubControl(ways, zmq_context=context)
    for number in range(20):
        publisher.publish("news", Item(HttpStreamFormat(f"<{number}>\n"), id=str(number)), blocking=True)
    publisher.publish("news", Item(HttpStreamFormat(close=True), id="end"), blocking=True)
    texts = stream.receive_all().split(b"[open]\n")[1].split()
    assert sorted(texts) == sorted(b"<%d>" % number for number in range(20))
    publisher.close()


def test_pubcontrol_over_zeromq_push(
    server: Server, stream: RawClient, context: "zmq.Context[zmq.Socket[bytes]]"
) -> None:
    """`zmq_push_uri`: one frame per item, in order."""
    publisher = PubControl({"zmq_push_uri": f"tcp://127.0.0.1:{server.push_port}"}, zmq_context=context)
    for number in range(100):
        publisher.publish("news", Item(HttpStreamFormat(f"{number}\n"), id=str(number)), blocking=True)
    stream.receive_until(b"".join(b"%d\n" % number for number in range(100)))
    publisher.close()


def test_pubcontrol_over_zeromq_pub(server: Server, context: "zmq.Context[zmq.Socket[bytes]]") -> None:
    """`zmq_pub_uri`: the package learns who is subscribed, sends only then, and learns of the end."""
    notices: list[tuple[str, str]] = []
    publisher = PubControl(sub_callback=lambda kind, channel: notices.append((kind, channel)), zmq_context=context)
    publisher.apply_config({"zmq_pub_uri": f"tcp://127.0.0.1:{server.sub_port}", "require_subscribers": True})
    with RawClient(server.http_port) as client:
        client.get("/stream", version="1.0")
        client.receive_until(b"[open]\n")
        wait_until(lambda: ("sub", "news") in notices, f"the package hears of the subscription; it heard {notices}")
        publisher.publish("news", Item(HttpStreamFormat("one\n")), blocking=True)
        client.receive_until(b"[open]\none\n")
    wait_until(lambda: ("unsub", "news") in notices, f"the package hears of the end; it heard {notices}")
    publisher.close()


def test_plain_pub_socket(server: Server, stream: RawClient, context: "zmq.Context[zmq.Socket[bytes]]") -> None:
    """Two frames from any PUB socket; a channel that only begins alike is nobody's."""
    watch = SubscriptionWatch(context, server.sub_port)
    watch.wait_for("news")
    for channel, text in [(b"news2", "no"), (b"new", "no"), (b"news", "yes")]:
        watch.socket.send_multipart([channel, b"J" + json.dumps({"http-stream": {"content": f"{text}\n"}}).encode()])
    assert stream.receive_until(b"yes\n").endswith(b"[open]\nyes\n")
    watch.close()


def test_curl(server: Server, stream: RawClient) -> None:
    """The line of the documentation."""
    body = '{"items":[{"channel":"news","formats":{"http-stream":{"content":"one\\n"}}}]}'
    done = subprocess.run(
        ["curl", "-sS", "-d", body, f"{server.control_uri}/publish/"], capture_output=True, text=True, timeout=20
    )
    assert done.stdout == "Published\n"
    stream.receive_until(b"[open]\none\n")


def run_npm_publisher(uri: str) -> str:
    """Publish with the npm package and give what it prints."""
    require("node", "npm")
    install_express()
    argv = ["node", str(EXPRESS_FOLDER / "publish.mjs"), uri, "news"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout


def test_npm_package(server: Server, stream: RawClient) -> None:
    """@fanoutio/grip: text, bytes, an item with ids and the end, with the key that a hosted service would want."""
    printed = run_npm_publisher(f"{server.control_uri}?iss=realm&key=changeme-and-make-it-thirty-two-bytes-long")
    assert printed == "published\n"
    assert stream.receive_all().endswith(b"[open]\none\n\xff\x00\nzwei \xc3\xbc\n")


def test_npm_package_shows_a_refusal(server: Server) -> None:
    """What the control port answers comes out as the package's own error."""
    assert run_npm_publisher(f"{server.control_uri}/nowhere") == "PublishException: 404 Not Found\n\n"
