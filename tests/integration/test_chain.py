"""A GRIP proxy in front of another: the first one holds, the second one lets instructions through."""

import base64
import hmac
import json
from collections.abc import Callable, Iterator

import jwt
import pytest

from gripproxy.protocol.websocket_frame import TEXT, encode_frame
from tests.integration.origin import ACCEPT, LISTEN, ScriptedOrigin, answer
from tests.integration.raw_client import RawClient
from tests.integration.server import Server, ServerPlan

STREAM = answer("200 OK", "Content-Type: text/plain", "Grip-Hold: stream", "Grip-Channel: news", body=b"[open]\n")
SOCKET = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
    b"Sec-WebSocket-Extensions: grip; message-prefix=to:\r\n\r\n%s%s"
    % (
        ACCEPT,
        encode_frame(TEXT, b'c:{"type":"subscribe","channel":"news"}'),
        encode_frame(TEXT, b"to:welcome"),
    )
)
SECRET = "between-the-two-proxies-and-nobody-else"
FAR_AWAY = 4_000_000_000


def make_token(secret: str, exp: int) -> str:
    """Sign, also with the empty secret, which the library for it refuses."""
    parts = [json.dumps(part).encode() for part in ({"typ": "JWT", "alg": "HS256"}, {"exp": exp})]
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = hmac.digest(secret.encode(), text, "sha256")
    return (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


@pytest.fixture
def origin() -> Iterator[ScriptedOrigin]:
    """Answers everything with a stream."""
    origin = ScriptedOrigin()
    origin.play({"/stream": STREAM})
    origin.start()
    yield origin
    origin.stop()


def test_first_proxy_holds_and_the_second_passes_instructions_on(
    start_server: Callable[[ServerPlan], Server], origin: ScriptedOrigin
) -> None:
    """The origin sees the first one's signature; items go to the first one, which has the client."""
    inner = start_server(
        ServerPlan(routes=[f"* 127.0.0.1:{origin.port}"], sections={"proxy": {"upstream_key": SECRET}}, workers=1)
    )
    outer = start_server(
        ServerPlan(routes=[f"* 127.0.0.1:{inner.http_port}"], sections={"proxy": {"sig_key": SECRET}}, workers=1)
    )
    with RawClient(outer.http_port) as client:
        client.get("/stream", "Grip-Sig: forged", "Connection-Id: forged")
        client.receive_until(b"[open]\n")
        outer.publish_stream("news", "after\n")
        client.receive_until(b"after\n")
        assert b"Grip-" not in client.received
    (request,) = origin.requests
    claims = jwt.decode(request.header("Grip-Sig") or "", SECRET, algorithms=["HS256"])
    assert claims["iss"] == "pushpin"
    assert request.header("Connection-Id") is None


def test_first_proxy_does_grip_on_a_websocket(
    start_server: Callable[[ServerPlan], Server], origin: ScriptedOrigin
) -> None:
    """The second one hands on that the origin agreed to it, and its control messages."""
    origin.play({"/socket": [SOCKET, LISTEN]})
    inner = start_server(
        ServerPlan(routes=[f"* 127.0.0.1:{origin.port}"], sections={"proxy": {"upstream_key": SECRET}}, workers=1)
    )
    outer = start_server(
        ServerPlan(routes=[f"* 127.0.0.1:{inner.http_port}"], sections={"proxy": {"sig_key": SECRET}}, workers=1)
    )
    with RawClient(outer.http_port) as client:
        client.get("/socket", "Upgrade: websocket", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13")
        client.receive_until(b"\r\n\r\n" + encode_frame(TEXT, b"welcome"))
        outer.publish({"channel": "news", "ws-message": {"content": "after"}})
        client.receive_until(encode_frame(TEXT, b"welcome") + encode_frame(TEXT, b"after"))
        assert b"grip" not in client.received


@pytest.mark.parametrize(
    ("key", "upstream_key", "exp", "is_trusted"),
    [
        (SECRET, SECRET, FAR_AWAY, True),
        (SECRET, SECRET, 1, False),
        ("another-secret-of-somebody-else", SECRET, FAR_AWAY, False),
        ("", "", FAR_AWAY, False),
    ],
)
def test_only_a_valid_signature_gets_instructions(
    start_server: Callable[[ServerPlan], Server],
    origin: ScriptedOrigin,
    key: str,
    upstream_key: str,
    exp: int,
    is_trusted: bool,
) -> None:
    """To all others it is a stream like any; an empty upstream_key, as shipped, trusts nobody."""
    plan = ServerPlan(
        routes=[f"* 127.0.0.1:{origin.port}"], sections={"proxy": {"upstream_key": upstream_key}}, workers=1
    )
    server = start_server(plan)
    token = make_token(key, exp)
    with RawClient(server.http_port) as client:
        client.get("/stream", f"Grip-Sig: {token}")
        client.receive_until(b"[open]\n")
        assert (b"Grip-Hold: stream" in client.received) is is_trusted
