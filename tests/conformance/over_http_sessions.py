"""Scenarios of WebSockets over HTTP: how a session is opened, and what requests and answers carry."""

from tests.conformance.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, closing, frame
from tests.conformance.scenario import Difference, End, Receive, Release, Scenario, Send, Taken, Told
from tests.conformance.sockets import (
    EVENTS,
    GRIP,
    WOH_HOST,
    answered,
    control,
    hang_up,
    opened,
    say,
    session,
    upgrade,
)
from tests.integration.origin import CLOSE as END_CONNECTION
from tests.integration.origin import WAIT, Answer, answer

LAST = (TEXT, b"m:last")


def opening(
    name: str,
    why: str,
    *headers: str,
    host: str = WOH_HOST,
    before: str = "",
    query: str = "",
    difference: Difference | None = None,
) -> Scenario:
    """Make the scenario of a client's handshake that is accepted: what the origin is asked."""
    path = f"/open-{name}"
    return Scenario(
        name=f"session-open-{name}",
        why=why,
        config="sockets",
        origin={path: opened(LAST)},
        steps=[Send(upgrade(before + path + query, *headers, host=host)), Receive(b"\r\n\r\n")],
        difference=difference,
    )


def rejected(
    name: str,
    why: str,
    answers: Answer,
    marker: bytes = b"\r\n\r\n",
    host: str = WOH_HOST,
    difference: Difference | None = None,
) -> Scenario:
    """Make the scenario of a handshake that an origin over HTTP does not accept."""
    return Scenario(
        name=f"session-rejected-{name}",
        why=why,
        config="sockets",
        origin={"/x": answers},
        steps=[Send(upgrade("/x", host=host)), Receive(marker), End()],
        difference=difference,
    )


def empty_message(reference: str, ours: str) -> Difference:
    """Say how a client's message of nothing shows in a request."""
    return Difference(id="empty-message-has-a-length", reference=reference, ours=ours)


def typed(type_line: str, body: bytes = b"OPEN\r\n", status: str = "200 OK") -> bytes:
    return answer(status, type_line, body=body)


SCENARIOS = [
    opening("plain", "what the origin is asked", "Origin: http://page.test", "Cookie: a=b", query="?a=b&c"),
    opening(
        "headers",
        "what is the client's and what is not",
        "Accept: x/y",
        "Connection-Id: mine",
        "Meta-User: me",
        "Sec-WebSocket-Extensions: permessage-deflate",
        "Sec-WebSocket-Protocol: a, b",
        "User-Agent: agent",
        "X-A: 1",
        "X-Forwarded-For: 1.2.3.4",
        "Accept-Encoding: x",
        difference=Difference(id="no-word-of-strangers", reference="\nX-Forwarded-For: 1.2.3.4\n", ours="\n"),
    ),
    opening("without-grip", "a route may go without", host="nogrip.woh.test"),
    opening("rewritten", "the route's rewriting", host="rewrite.woh.test", before="/v1"),
    opening("failover", "the next target is tried", host="failover.woh.test"),
    rejected(
        "status", "a status of its own", answer("403 Forbidden", "Content-Type: text/plain", "X-A: 1", body=b"no\n")
    ),
    rejected("empty", "without a body", answer("401 Unauthorized", "WWW-Authenticate: Basic")),
    rejected("page", "another type", answer("200 OK", "Content-Type: text/plain", body=b"page\n")),
    rejected("type-parameter", "a parameter of the type", typed(f"{EVENTS}; charset=utf-8")),
    rejected("created", "another status", typed(EVENTS, status="201 Created")),
    rejected("not-open", "the first event is another", answered((TEXT, b"x")), marker=b"origin."),
    rejected("nothing", "no event", answered(), marker=b"origin."),
    rejected("garbage", "no events", typed(EVENTS, b"OPEN"), marker=b"origin."),
    rejected("bad-length", "a length that is none", typed(EVENTS, b"OPEN\r\nTEXT x\r\nx\r\n"), marker=b"origin."),
    rejected(
        "not-open-debug",
        "the first event is another",
        answered((TEXT, b"x")),
        marker=b"\r\n\r\n",
        host="debug.woh.test",
    ),
    Scenario(
        name="session-open-forwarded-proto",
        why="behind a TLS proxy in front it is wss, though the origin is asked by http",
        config="trusting",
        origin={"/open-forwarded-proto#1": opened(), "/open-forwarded-proto#2": answered(LAST)},
        steps=[
            Send(upgrade("/open-forwarded-proto", "X-Forwarded-Proto: https", host="overhttp.test")),
            Receive(b"\r\n\r\n"),
            say(TEXT, b"x"),
            Receive(b"<text last>"),
        ],
        difference=[
            Difference(
                id="forwarded-once",
                reference=f"X-Forwarded-For: 127.0.0.1{', 127.0.0.1' * count}\n",
                ours="X-Forwarded-For: 127.0.0.1\n",
            )
            for count in (1, 2)
        ],
    ),
    rejected("nothing-debug", "no event", answered(), marker=b"\r\n\r\n", host="debug.woh.test"),
    rejected("garbage-debug", "no events", typed(EVENTS, b"OPEN"), marker=b"\r\n\r\n", host="debug.woh.test"),
    rejected("died", "the origin ends without a word", [END_CONNECTION], marker=b"origin."),
    rejected("died-debug", "the origin ends without a word", [END_CONNECTION], host="debug.woh.test"),
    rejected(
        "large",
        "a large body",
        answer("403 Forbidden", body=b"n" * 20_000),
        difference=Difference(
            id="rejection-is-relayed-whole",
            reference="Content-Length: 20000\r\n\r\n<ended>",
            ours="Content-Length: 20000\r\n\r\n" + "n" * 20_000 + "<ended>",
        ),
    ),
    rejected("close", "closed at once", typed(EVENTS, b"CLOSE\r\n"), marker=b"origin."),
    rejected("disconnect", "lost at once", typed(EVENTS, b"DISCONNECT\r\n"), marker=b"origin."),
    session(
        "accepted-headers",
        "what of the answer's headers reaches the client",
        first=opened(
            headers=[
                "X-A: 1",
                "Set-Cookie: a=b",
                "Set-Cookie: c=d",
                "Sec-WebSocket-Protocol: b",
                "Sec-WebSocket-Extensions: foo",
                "Keep-Alive-Interval: 50",
                "Set-Meta-User: me",
                "Server: s",
                "Cache-Control: no-cache",
            ]
        ),
    ),
    session(
        "accepted-messages",
        "what comes with the acceptance",
        Receive(b"<close"),
        hang_up(4001),
        End(),
        Told("/accepted-messages", 2),
        first=opened(
            (TEXT, b"one"),
            (BINARY, b"\x00\xff"),
            (TEXT, b""),
            (PING, b"pi"),
            (PONG, b""),
            (CLOSE, closing(4001, b"bye")),
            (TEXT, b"behind"),
            headers=(),
        ),
    ),
    session(
        "encodings",
        "how events may be written",
        Receive(b"<text last>"),
        first=typed(
            EVENTS,
            b"OPEN\r\nTEXT 3\r\none\r\nTEXT 0003\r\ntwo\r\nTEXT 0x5\r\nthree\r\nTEXT 0A\r\n0123456789\r\nBINARY\r\n"
            b"PING 0\r\n\r\nnonsense\r\ntext 3\r\nlow\r\n"
            b"TEXT 3\r\nany??TEXT 4\r\nlast\r\n",
        ),
    ),
    session(
        "open-with-content",
        "an OPEN that has a content",
        Receive(b"<text last>"),
        first=typed(EVENTS, b"OPEN 2\r\nxx\r\nTEXT 4\r\nlast\r\n"),
    ),
    session(
        "cut-content",
        "a content that is cut is taken as it is",
        Receive(b"<text last"),
        first=typed(EVENTS, b"OPEN\r\nTEXT 64\r\nlast"),
    ),
    session(
        "no-line-end",
        "the last line end may be missing",
        Receive(b"<text last>"),
        first=typed(EVENTS, b"OPEN\r\nTEXT 4\r\nlast"),
    ),
    session(
        "one-by-one",
        "each message, and what it is answered",
        say(TEXT, b"text"),
        Receive(b"<text first>"),
        say(BINARY, b"\x00\xff"),
        Receive(b"<binary second>"),
        say(TEXT),
        Receive(b"<text third>"),
        say(PING, b"pi"),
        Receive(b"<pong pi>"),
        say(PING),
        Receive(b"<pong>"),
        say(PONG, b"po"),
        Receive(b"<ping>"),
        then=[
            answered((TEXT, b"m:first")),
            answered((BINARY, b"m:second")),
            answered((TEXT, b"m:third"), (TEXT, b"dropped")),
            answered((PONG, b"pi")),
            answered((PONG, b"")),
            answered((PING, b"")),
        ],
        difference=empty_message("Content-Length: 6\n\nTEXT\r\n", "Content-Length: 10\n\nTEXT 0\r\n\r\n"),
    ),
    session(
        "gathered",
        "what comes while a request is on its way goes together",
        say(TEXT, b"first"),
        Told("/gathered", 2),
        Send(
            b"".join(
                frame(opcode, payload, is_masked=True)
                for opcode, payload in ((TEXT, b"a"), (BINARY, b"b"), (PING, b"c"), (PONG, b""), (TEXT, b""))
            )
        ),
        Send(frame(TEXT, b"one ", is_masked=True, is_final=False) + frame(CONTINUATION, b"two", is_masked=True)),
        Taken(),
        Release(),
        Receive(b"<text two>"),
        then=[[WAIT, answered((TEXT, b"m:one"))], answered((TEXT, b"m:two"))],
        difference=[
            empty_message("Content-Length: 64\n", "Content-Length: 68\n"),
            empty_message("PONG\r\nTEXT\r\n", "PONG\r\nTEXT 0\r\n\r\n"),
        ],
    ),
    session(
        "one-event",
        "one event at a time",
        say(TEXT, b"first"),
        Told("/one-event", 2),
        say(TEXT, b"second"),
        say(PING, b"third"),
        hang_up(1000, b"fourth"),
        Taken(),
        Release(),
        Receive(b"<close"),
        End(),
        then=[
            [WAIT, answered()],
            answered((TEXT, b"m:2")),
            answered((TEXT, b"m:3")),
            answered((CLOSE, closing(1000, b"fourth"))),
        ],
        host="one.woh.test",
    ),
    session(
        "large-messages",
        "large both ways",
        say(BINARY, b"b" * 100_000),
        Receive(b"<text 10000 bytes"),
        then=[answered((TEXT, b"m:" + b"t" * 10_000))],
    ),
    session(
        "meta",
        "what the origin stores, it is told again",
        say(TEXT, b"1"),
        Receive(b"<text 2>"),
        say(TEXT, b"2"),
        Receive(b"<text 3>"),
        say(TEXT, b"3"),
        Receive(b"<text 4>"),
        first=opened(headers=[GRIP, "Set-Meta-User: me", "set-meta-other: x", "Set-Meta-Empty: ", "Set-Meta-Gone: y"]),
        then=[
            answered((TEXT, b"m:2"), headers=["Set-Meta-USER: you", "Set-Meta-Gone: "]),
            answered((TEXT, b"m:3"), headers=["Set-Meta-New: a b; c"]),
            answered((TEXT, b"m:4")),
        ],
        difference=[
            Difference(
                id="length-before-meta",
                reference=f"{meta}Content-Length: 11\n",
                ours=f"Content-Length: 11\n{meta}",
            )
            for meta in (
                "Meta-User: me\nMeta-other: x\nMeta-Gone: y\n",
                "Meta-other: x\nMeta-USER: you\n",
                "Meta-other: x\nMeta-USER: you\nMeta-New: a b; c\n",
            )
        ],
    ),
    session(
        "not-grip",
        "without the extension all passes",
        Receive(b"<text last>"),
        first=opened((TEXT, b"m:one"), control("subscribe", channel="x"), (TEXT, b"last"), headers=()),
    ),
    session(
        "other-prefix",
        "another prefix",
        Receive(b"<text last>"),
        first=opened(
            (TEXT, b"m:one"), (TEXT, b"z-last"), headers=["Sec-WebSocket-Extensions: grip; message-prefix=z-"]
        ),
    ),
    session(
        "extension-later",
        "only the first answer says it",
        say(TEXT, b"x"),
        Receive(b"m:one"),
        first=opened(headers=()),
        then=[answered((TEXT, b"m:one"), headers=[GRIP])],
    ),
    session(
        "without-grip-route",
        "a route may go without",
        Receive(b"m:one"),
        first=opened((TEXT, b"m:one")),
        host="nogrip.woh.test",
    ),
]
