"""Scenarios of WebSocket handshakes: what the origin is asked, what the client is answered, and who is refused."""

from tests.conformance.features import FEATURES
from tests.conformance.frames import BINARY, CLIENT_KEY, PING, TEXT
from tests.conformance.scenario import Difference, Differences, End, Receive, Scenario, Send, Subscribed, get
from tests.conformance.sockets import accept, hang_up, published, say, socket, upgrade
from tests.integration.origin import CLOSE, Answer, answer

STRANGER = Difference(id="no-word-of-strangers", reference="\nConnection-Id: mine\nMeta-User: me\n", ours="\n")
INVALID = (
    'Request contained an Upgrade header with value "websocket" but the request was not a valid WebSocket request.\n'
)
INVALID_HEAD = "Content-Type: text/plain\r\nConnection: close\r\nContent-Length: 110\r\n\r\n"
REFUSED = Difference(
    id="bad-request-answered", reference="<ended>", ours=f"HTTP/1.1 400 Bad Request\r\n{INVALID_HEAD}{INVALID}<ended>"
)
OFFERED = "Sec-WebSocket-Extensions: grip\n"
UPGRADE = "Upgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: <random key>\n"
ECHOED_PING = Difference(id="builtin-answers-pings", reference="<ping>", ours="<pong>")
BUFFER_BYTES = 8192  # client_buffer_size
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


def turned_down(name: str, why: str, answers: Answer, difference: Differences = None) -> Scenario:
    """Make the scenario of a handshake that the origin does not accept."""
    return Scenario(
        name=f"rejected-{name}",
        why=why,
        config="sockets",
        origin={"/x": answers},
        steps=[Send(upgrade("/x")), Receive(b"\r\n\r\n"), End()],
        difference=difference,
    )


def relayed(name: str, why: str, status: str, *headers: str, body: bytes = b"") -> Scenario:
    """Make the scenario of an answer of the origin that is no acceptance, and reaches the client."""
    head = "".join(f"{header}\r\n" for header in headers)
    differences = [
        Difference(
            id="rejection-is-relayed-whole",
            reference=f"HTTP/1.1 {status[:3]} \r\nContent-Length",
            ours=f"HTTP/1.1 {status}\r\n{head}Content-Length",
        )
    ]
    if len(body) > BUFFER_BYTES:
        end = f"Content-Length: {len(body)}\r\n\r\n"
        differences.append(
            Difference(id=differences[0].id, reference=f"{end}<ended>", ours=f"{end}{body.decode()}<ended>")
        )
    return turned_down(name, why, answer(status, *headers, body=body), differences)


SCENARIOS = [
    shaken("plain", "what the origin is asked", upgrade("/x?a=b&c", "Origin: http://page.test", "Cookie: a=b")),
    shaken(
        "extensions",
        "the client's extensions stay on its leg",
        upgrade("/x", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, foo"),
    ),
    shaken(
        "forwarded",
        "what a stranger says about itself",
        upgrade("/x", "X-Forwarded-For: 1.2.3.4", "Connection-Id: mine", "Meta-User: me"),
        difference=(
            STRANGER,
            Difference(id=STRANGER.id, reference="\nX-Forwarded-For: 1.2.3.4\n", ours="\n"),
        ),
    ),
    Scenario(
        name="handshake-forwarded-proto",
        why="behind a TLS proxy in front it is wss",
        config="trusting",
        origin={"/x": accept()},
        steps=[Send(upgrade("/x", "X-Forwarded-Proto: https", host="tls.test")), Receive(b"\r\n\r\n")],
    ),
    shaken("without-grip", "a route may go without", upgrade("/x", host="nogrip.ws.test")),
    shaken(
        "rewritten",
        "the route's rewriting",
        upgrade("/v1/x", host="rewrite.ws.test"),
        difference=(
            Difference(id="host-comes-first", reference=f"{OFFERED}Host: inner.test\n", ours=OFFERED),
            Difference(
                id="host-comes-first", reference="GET /x HTTP/1.1\n", ours="GET /x HTTP/1.1\nHost: inner.test\n"
            ),
        ),
    ),
    shaken("failover", "the next target is tried", upgrade("/x", host="failover.ws.test")),
    shaken(
        "lower-case",
        "Upgrade in capitals",
        get("/x", "Upgrade: WebSocket", *OWN, host="plain.ws.test"),
        difference=tuple(
            Difference(id="upgrade-in-any-letter-case", reference=reference, ours=ours)
            for reference, ours in (
                ("Upgrade: websocket\r\n", "Upgrade: websocket\r\nConnection: Upgrade\r\n"),
                (f"Upgrade: WebSocket\nSec-WebSocket-Key: {CLIENT_KEY}\nSec-WebSocket-Version: 13\n", ""),
                (f"{FEATURES}\n", f"{FEATURES}\n{OFFERED}{UPGRADE}"),
            )
        ),
    ),
    shaken(
        "no-connection", "Connection is not asked for", get("/x", "Upgrade: websocket", *OWN[1:], host="plain.ws.test")
    ),
    shaken(
        "connection-list",
        "Connection with more in it",
        get("/x", "Upgrade: websocket", "Connection: keep-alive, Upgrade", *OWN[1:], host="plain.ws.test"),
    ),
    shaken(
        "any-key",
        "a key of any kind",
        get("/x", "Upgrade: websocket", OWN[0], "Sec-WebSocket-Key: x", OWN[2], host="plain.ws.test"),
    ),
    shaken(
        "no-key",
        "a key must be there",
        get("/x", "Upgrade: websocket", OWN[0], OWN[2], host="plain.ws.test"),
        end=True,
        difference=REFUSED,
    ),
    shaken(
        "no-version",
        "a version must be there",
        get("/x", "Upgrade: websocket", *OWN[:2], host="plain.ws.test"),
        end=True,
        difference=REFUSED,
    ),
    shaken(
        "version-8",
        "of versions there is one",
        get("/x", "Upgrade: websocket", *OWN[:2], "Sec-WebSocket-Version: 8", host="plain.ws.test"),
        end=True,
        difference=REFUSED,
    ),
    shaken(
        "post",
        "only GET opens",
        get("/x", "Upgrade: websocket", *OWN, host="plain.ws.test", method="POST"),
        end=True,
        difference=REFUSED,
    ),
    shaken(
        "http-1.0",
        "HTTP/1.0 has no upgrade",
        get("/x", "Upgrade: websocket", *OWN, host="plain.ws.test", version="1.0"),
        difference=(
            Difference(
                id="websockets-need-http-1-1",
                reference="HTTP/1.0 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n<open>",
                ours="HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\n"
                f"Content-Length: 110\r\n\r\n{INVALID}<ended>",
            ),
            Difference(
                id="websockets-need-http-1-1",
                reference="\n--- origin\nGET /x HTTP/1.1\nHost: plain.ws.test\nGrip-Sig: <token of pushpin>\n"
                f"Grip-Feature: {FEATURES}\n{OFFERED}{UPGRADE}\n<open>",
                ours="",
            ),
        ),
    ),
    shaken("body", "a body has no place", upgrade("/x", "Content-Length: 4") + b"body", end=True, difference=REFUSED),
    shaken(
        "chunked",
        "nor have chunks",
        upgrade("/x", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        end=True,
        difference=REFUSED,
    ),
    shaken(
        "no-route",
        "a host that no route has",
        upgrade("/x", host="nobody.test"),
        end=True,
        difference=Difference(
            id="no-route-without-its-host",
            reference="Content-Length: 31\r\n\r\nNo route for host: nobody.test\n",
            ours="Content-Length: 16\r\n\r\nRoute not found\n",
        ),
    ),
    shaken("refused", "nobody listens", upgrade("/x", host="refused.ws.test"), end=True),
    shaken("refused-debug", "nobody listens, with debug", upgrade("/x", host="refused-debug.ws.test"), end=True),
    shaken("refused-over-http", "nobody listens", upgrade("/x", host="refused.woh.test"), end=True),
    shaken("zhttpreq", "a target that cannot", upgrade("/x", host="zhttpreq.test"), end=True),
    shaken("zhttpreq-debug", "a target that cannot, with debug", upgrade("/x", host="zhttpreq-debug.test"), end=True),
    *(
        Scenario(
            name=f"socket-builtin-{name}",
            why="the test target",
            config="sockets",
            steps=[Send(upgrade(target, host="builtin.test")), *steps],
            difference=ECHOED_PING if name == "echo" else None,
        )
        for name, target, steps in (
            (
                "echo",
                "/ws",
                (
                    Receive(b"\r\n\r\n"),
                    say(TEXT, b"text"),
                    say(BINARY, b"m:\xff"),
                    say(PING, b""),
                    say(TEXT),
                    Receive(b"<text>"),
                ),
            ),
            (
                "channels",
                "/ws?channel=builtin-a&channel=builtin-b",
                (
                    Subscribed("builtin-b"),
                    Subscribed("builtin-a"),
                    published("builtin-a", content="one"),
                    Receive(b"one"),
                ),
            ),
            (
                "default-channel",
                "/ws",
                (Receive(b"\r\n\r\n"), Subscribed("test"), published("test", content="one"), Receive(b"one")),
            ),
            ("close", "/ws", (Receive(b"\r\n\r\n"), hang_up(1001, b"bye"), Receive(b"<close"), End())),
            ("elsewhere", "/elsewhere", (Receive(b"\r\n\r\n"), End())),
        )
    ),
    relayed("plain", "the origin's own answer", "403 Forbidden", "Content-Type: text/plain", "X-A: 1", body=b"no\n"),
    relayed("reason", "with a reason of its own", "418 Short And Stout", "X-A: 1", body=b"no\n"),
    relayed("empty", "without a body", "401 Unauthorized", "WWW-Authenticate: Basic"),
    relayed("ok", "a page is no WebSocket", "200 OK", "Content-Type: text/html", body=b"page\n"),
    relayed("redirect", "elsewhere", "302 Found", "Location: /y"),
    relayed("large", "a body over the client's buffer", "403 Forbidden", body=b"n" * (BUFFER_BYTES + 1)),
    relayed("fitting", "a body as large as the client's buffer", "403 Forbidden", body=b"n" * BUFFER_BYTES),
    turned_down("died", "the origin ends without a word", [CLOSE]),
    turned_down("cut", "the origin ends in its head", [b"HTTP/1.1 101 Swi", CLOSE]),
    turned_down(
        "wrong-accept",
        "another key's answer",
        [b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n", CLOSE],
        Difference(
            id="wrong-accept-is-an-error",
            reference="HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            ours="HTTP/1.1 502 Bad Gateway\r\nContent-Length: 32\r\n\r\nError while proxying to origin.\n",
        ),
    ),
    socket(
        "subprotocol",
        "passed on both ways",
        headers=["Sec-WebSocket-Protocol: b"],
        asks=["Sec-WebSocket-Protocol: a, b"],
    ),
    socket(
        "answer-headers",
        "the origin's headers reach the client",
        headers=[
            "X-A: 1",
            "Set-Cookie: a=b",
            "Set-Cookie: c=d",
            "Sec-WebSocket-Extensions: grip",
            "Server: s",
            "Date: now",
        ],
    ),
    socket(
        "frames-behind",
        "what comes with the 101 is not lost",
        Receive(b"<text two>"),
        first=[(TEXT, b"m:one"), (TEXT, b"m:two")],
    ),
]
