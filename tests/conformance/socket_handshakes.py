"""Scenarios of WebSocket handshakes: what the origin is asked, what the client is answered, and who is refused."""

from tests.conformance.frames import BINARY, CLIENT_KEY, PING, TEXT
from tests.conformance.scenario import End, Receive, Scenario, Send, Subscribed, get
from tests.conformance.sockets import accept, hang_up, published, say, socket, upgrade
from tests.integration.origin import CLOSE, Answer, answer

OWN = ("Connection: Upgrade", f"Sec-WebSocket-Key: {CLIENT_KEY}", "Sec-WebSocket-Version: 13")


def shaken(name: str, why: str, request: bytes, *, end: bool = False, host: str = "", **more: object) -> Scenario:
    """Make the scenario of one handshake to a WebSocket origin that would accept it."""
    return Scenario(
        name=f"handshake-{name}",
        why=why,
        config="sockets",
        origin={"/x": accept(), "/v1/x": accept()},
        steps=[Send(request), End() if end else Receive(b"\r\n\r\n")],
        **more,  # type: ignore[arg-type]  # fields of Scenario
    )


def turned_down(name: str, why: str, answers: Answer, marker: bytes = b"\r\n\r\n", host: str = "plain.ws.test") -> Scenario:
    """Make the scenario of a handshake that the origin does not accept."""
    return Scenario(
        name=f"rejected-{name}",
        why=why,
        config="sockets",
        origin={"/x": answers},
        steps=[Send(upgrade("/x", host=host)), Receive(marker)],
    )


SCENARIOS = [
    shaken("plain", "what the origin is asked", upgrade("/x?a=b&c", "Origin: http://page.test", "Cookie: a=b")),
    shaken(
        "extensions",
        "the client's extensions stay on its leg",
        upgrade("/x", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, foo"),
    ),
    shaken(
        "forwarded", "what a stranger says about itself", upgrade("/x", "X-Forwarded-For: 1.2.3.4", "Connection-Id: mine", "Meta-User: me")
    ),
    shaken("without-grip", "a route may go without", upgrade("/x", host="nogrip.ws.test")),
    shaken("rewritten", "the route's rewriting", upgrade("/v1/x", host="rewrite.ws.test")),
    shaken("failover", "the next target is tried", upgrade("/x", host="failover.ws.test")),
    shaken("lower-case", "Upgrade in capitals", get("/x", "Upgrade: WebSocket", *OWN, host="plain.ws.test")),
    shaken("no-connection", "Connection is not asked for", get("/x", "Upgrade: websocket", *OWN[1:], host="plain.ws.test")),
    shaken("connection-list", "Connection with more in it", get("/x", "Upgrade: websocket", "Connection: keep-alive, Upgrade", *OWN[1:], host="plain.ws.test")),
    shaken("empty-body", "a length of nothing is no body", upgrade("/x", "Content-Length: 0")),
    shaken("any-key", "a key of any kind", get("/x", "Upgrade: websocket", OWN[0], "Sec-WebSocket-Key: x", OWN[2], host="plain.ws.test")),
    shaken("no-key", "a key must be there", get("/x", "Upgrade: websocket", OWN[0], OWN[2], host="plain.ws.test"), end=True),
    shaken("no-version", "a version must be there", get("/x", "Upgrade: websocket", *OWN[:2], host="plain.ws.test"), end=True),
    shaken("version-8", "of versions there is one", get("/x", "Upgrade: websocket", *OWN[:2], "Sec-WebSocket-Version: 8", host="plain.ws.test"), end=True),
    shaken("post", "only GET opens", get("/x", "Upgrade: websocket", *OWN, host="plain.ws.test", method="POST"), end=True),
    shaken("http-1.0", "HTTP/1.0 has no upgrade", get("/x", "Upgrade: websocket", *OWN, host="plain.ws.test", version="1.0"), end=True),
    shaken("body", "a body has no place", upgrade("/x", "Content-Length: 4") + b"body", end=True),
    shaken("chunked", "nor have chunks", upgrade("/x", "Transfer-Encoding: chunked") + b"0\r\n\r\n", end=True),
    shaken("no-route", "a host that no route has", upgrade("/x", host="nobody.test"), end=True),
    shaken("refused", "nobody listens", upgrade("/x", host="refused.ws.test"), end=True),
    shaken("refused-debug", "nobody listens, with debug", upgrade("/x", host="refused-debug.ws.test"), end=True),
    shaken("refused-over-http", "nobody listens", upgrade("/x", host="refused.woh.test"), end=True),
    shaken("zhttpreq", "a target that cannot", upgrade("/x", host="zhttpreq.test"), end=True),
    shaken("zhttpreq-debug", "a target that cannot, with debug", upgrade("/x", host="zhttpreq-debug.test"), end=True),
    *(
        Scenario(name=f"socket-builtin-{name}", why="the test target", config="sockets", steps=[Send(upgrade(target, host="builtin.test")), *steps])
        for name, target, steps in (
            ("echo", "/ws", (Receive(b"\r\n\r\n"), say(TEXT, b"text"), say(BINARY, b"m:\xff"), say(PING, b""), say(TEXT), Receive(b"<text>"))),
            ("channels", "/ws?channel=builtin-a&channel=builtin-b", (Subscribed("builtin-b"), Subscribed("builtin-a"), published("builtin-a", content="one"), Receive(b"one"))),
            ("default-channel", "/ws", (Receive(b"\r\n\r\n"), Subscribed("test"), published("test", content="one"), Receive(b"one"))),
            ("close", "/ws", (Receive(b"\r\n\r\n"), hang_up(1001, b"bye"), Receive(b"<close"), End())),
            ("elsewhere", "/elsewhere", (Receive(b"\r\n\r\n"), End())),
        )
    ),
    turned_down("plain", "the origin's own answer", answer("403 Forbidden", "Content-Type: text/plain", "X-A: 1", body=b"no\n")),
    turned_down("reason", "with a reason of its own", answer("418 Short And Stout", "X-A: 1", body=b"no\n")),
    turned_down("empty", "without a body", answer("401 Unauthorized", "WWW-Authenticate: Basic")),
    turned_down("ok", "a page is no WebSocket", answer("200 OK", "Content-Type: text/html", body=b"page\n")),
    turned_down("redirect", "elsewhere", answer("302 Found", "Location: /y")),
    turned_down("large", "a body over the client's buffer", answer("403 Forbidden", body=b"n" * 8193)),
    turned_down("fitting", "a body as large as the client's buffer", answer("403 Forbidden", body=b"n" * 8192)),
    turned_down("died", "the origin ends without a word", [CLOSE], marker=b"origin."),
    turned_down("cut", "the origin ends in its head", [b"HTTP/1.1 101 Swi", CLOSE], marker=b"origin."),
    turned_down(
        "wrong-accept",
        "another key's answer",
        [b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n", CLOSE],
        marker=b"origin.",
    ),
    socket("subprotocol", "passed on both ways", headers=["Sec-WebSocket-Protocol: b"], asks=["Sec-WebSocket-Protocol: a, b"]),
    socket(
        "answer-headers",
        "the origin's headers reach the client",
        headers=["X-A: 1", "Set-Cookie: a=b", "Set-Cookie: c=d", "Sec-WebSocket-Extensions: grip", "Server: s", "Date: now"],
    ),
    socket("frames-behind", "what comes with the 101 is not lost", Receive(b"<text two>"), first=[(TEXT, b"m:one"), (TEXT, b"m:two")]),
]
