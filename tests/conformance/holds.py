"""Scenarios of held requests: streams and long-polls, from the first byte to the last."""

from collections.abc import Sequence

from tests.conformance.errors import sized
from tests.conformance.scenario import (
    Difference,
    End,
    Leave,
    Publish,
    Receive,
    Scenario,
    Send,
    Step,
    Subscribed,
    get,
    item,
    post,
)
from tests.integration.origin import CLOSE, answer

HELLO = answer("200 OK", "Content-Type: text/plain", body=b"hello\n")
TEXT = "Content-Type: text/plain"


def stream(channel: str, *headers: str, body: bytes = b"[open]\n", status: str = "200 OK") -> bytes:
    """Spell the answer that opens a stream on a channel."""
    return answer(status, TEXT, "Grip-Hold: stream", f"Grip-Channel: {channel}", *headers, body=body)


def poll(channel: str, *headers: str, body: bytes = b"nothing\n") -> bytes:
    """Spell the answer that starts a long-poll on a channel."""
    return answer("200 OK", TEXT, "Grip-Hold: response", f"Grip-Channel: {channel}", *headers, body=body)


def held(channel: str, target: str = "/hold", host: str = "plain.test", version: str = "1.1") -> Sequence[Step]:
    """Ask, and go on when the channel is subscribed to."""
    return [Send(get(target, host=host, version=version)), Subscribed(channel)]


def close(channel: str) -> Publish:
    """Publish the end of a channel's streams."""
    return Publish([item(channel, action="close")])


SCENARIOS = [
    Scenario(
        name="stream",
        why="the initial response goes out at once, items follow, close ends the body and keeps the connection",
        origin={"/hold": stream("s1"), "/hello": HELLO},
        steps=[
            *held("s1"),
            Receive(b"[open]\n"),
            Publish([item("s1", content="one\n")]),
            Publish([item("s1", content="two\n"), item("s1", content="three\n")]),
            Receive(b"three\n"),
            close("s1"),
            Receive(b"<last chunk>"),
            Send(get("/hello")),
            Receive(b"hello\n"),
        ],
    ),
    Scenario(
        name="stream-http-1.0",
        why="an old client gets the bytes bare and the end of the connection",
        origin={"/hold": stream("s2")},
        steps=[
            *held("s2", version="1.0"),
            Receive(b"[open]\n"),
            Publish([item("s2", content="one\n")]),
            Receive(b"one\n"),
            close("s2"),
            End(),
        ],
    ),
    Scenario(
        name="stream-with-empty-body",
        why="the head goes out though there is no body yet",
        origin={"/hold": stream("s3", body=b"")},
        steps=[*held("s3"), Receive(b"\r\n\r\n"), Publish([item("s3", content="one\n")]), Receive(b"one\n")],
    ),
    Scenario(
        name="stream-connection-close",
        why="a client that asked for the end gets it when the stream is closed",
        origin={"/hold": stream("s4")},
        steps=[Send(get("/hold", "Connection: close")), Subscribed("s4"), Receive(b"[open]\n"), close("s4"), End()],
    ),
    Scenario(
        name="stream-of-several-channels",
        why="in one header line and in two; each item once, also for a channel named twice",
        origin={"/hold": stream("s5a, s5b", "Grip-Channel: s5c", "Grip-Channel: s5a")},
        steps=[
            *held("s5c"),
            Receive(b"[open]\n"),
            Publish([item(name, content=f"{name}\n") for name in ("s5a", "s5b", "s5c", "s5d", "s5")]),
            Publish([item("s5a", content="last\n")]),
            Receive(b"last\n"),
        ],
    ),
    Scenario(
        name="stream-status",
        why="Grip-Status is the client's status",
        origin={"/hold": stream("s6", "Grip-Status: 202 Take Your Time")},
        steps=[*held("s6"), Receive(b"[open]\n")],
    ),
    Scenario(
        name="stream-exposed-headers",
        why="only the headers named go out",
        origin={"/hold": stream("s7", "Grip-Expose-Headers: X-A, x-b", "X-A: 1", "X-B: 2", "X-C: 3")},
        steps=[*held("s7"), Receive(b"[open]\n")],
    ),
    Scenario(
        name="stream-keep-alive-cstring",
        why="the keep-alive bytes come, unescaped",
        origin={"/hold": stream("s8", r"Grip-Keep-Alive: :\x21\\\n\n; format=cstring; timeout=1")},
        steps=[*held("s8"), Receive(b":!\\\n\n", timeout_s=3.0), close("s8"), Receive(b"<last chunk>")],
    ),
    Scenario(
        name="stream-keep-alive-base64",
        why="the keep-alive bytes come, decoded",
        origin={"/hold": stream("s9", "Grip-Keep-Alive: AAEC/w==; format=base64; timeout=1")},
        steps=[*held("s9"), Receive(b"\x00\x01\x02\xff", timeout_s=3.0), close("s9"), Receive(b"<last chunk>")],
    ),
    Scenario(
        name="stream-keep-alive-raw",
        why="the keep-alive bytes come as they are",
        origin={"/hold": stream("s10", r"Grip-Keep-Alive: ping\n ; timeout=1")},
        steps=[*held("s10"), Receive(rb"ping\n", timeout_s=3.0), close("s10"), Receive(b"<last chunk>")],
    ),
    Scenario(
        name="stream-without-channel",
        why="a hold without channels is held all the same",
        origin={
            "/hold": answer("200 OK", TEXT, "Grip-Hold: stream", "Grip-Keep-Alive: k; timeout=1", body=b"[open]\n")
        },
        steps=[Send(get("/hold")), Receive(b"[open]\nk", timeout_s=3.0), Leave()],
    ),
    Scenario(
        name="stream-large-body",
        why="an initial body larger than the client's buffer goes out whole",
        origin={"/hold": stream("s12", body=b"z" * 60_000)},
        steps=[*held("s12"), Receive(b"z", count=60_000), Publish([item("s12", content="!one\n")]), Receive(b"!one\n")],
    ),
    Scenario(
        name="stream-with-more-than-an-instruct-may-have",
        why="a stream's initial body has no limit: it goes to the client as it comes, and then the stream is held",
        origin={"/hold": stream("s20", body=b"z" * 300_000)},
        steps=[
            *held("s20"),
            Receive(b"z", count=300_000),
            Publish([item("s20", content="!one\n")]),
            Receive(b"!one\n"),
        ],
    ),
    Scenario(
        name="stream-body-over-the-instruct-limit",
        why="a stream may begin with more than an instruct may hold",
        origin={"/hold": stream("s12b", body=b"z" * 250_000)},
        steps=[
            *held("s12b"),
            Receive(b"z", count=250_000),
            Publish([item("s12b", content="!one\n")]),
            Receive(b"!one\n"),
        ],
    ),
    Scenario(
        name="stream-for-two",
        why="an item goes to everybody on the channel, and the end of one is not the end of the other",
        origin={"/hold": stream("s12c"), "/hello": HELLO},
        steps=[
            *held("s12c"),
            Receive(b"[open]\n"),
            Send(get("/hold", version="1.0"), client="b"),
            Receive(b"[open]\n", client="b"),
            Publish([item("s12c", content="one\n")]),
            Receive(b"one\n"),
            Receive(b"one\n", client="b"),
            Leave(client="b"),
            Publish([item("s12c", content="two\n")]),
            Receive(b"two\n"),
        ],
    ),
    Scenario(
        name="stream-http-1.0-keep-alive",
        why="a stream to an old client that asks for keep-alive",
        origin={"/hold": stream("s12d")},
        steps=[
            Send(get("/hold", "Connection: keep-alive", version="1.0")),
            Receive(b"[open]\n"),
            Publish([item("s12d", content="one\n")]),
            Receive(b"one\n"),
            close("s12d"),
        ],
        difference=Difference(
            id="body-without-end-closes",
            reference="Connection: keep-alive\r\n\r\n[open]\none\n<open>",
            ours="\r\n[open]\none\n<ended>",
        ),
    ),
    Scenario(
        name="stream-chunked-by-the-origin",
        why="the framing between origin and proxy is no matter to the client",
        origin={
            "/hold": b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nGrip-Hold: stream\r\nGrip-Channel: s12e\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n7\r\n[open]\n\r\n0\r\n\r\n"
        },
        steps=[*held("s12e"), Receive(b"[open]\n"), Publish([item("s12e", content="one\n")]), Receive(b"one\n")],
    ),
    Scenario(
        name="stream-until-eof-by-the-origin",
        why="an origin that marks the end of its body by the end of its connection",
        origin={
            "/hold": [
                b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nGrip-Hold: stream\r\nGrip-Channel: s12f\r\n\r\n",
                b"[open]\n",
                CLOSE,
            ]
        },
        steps=[*held("s12f"), Receive(b"[open]\n"), Publish([item("s12f", content="one\n")]), Receive(b"one\n")],
    ),
    Scenario(
        name="stream-empty-item",
        why="an item of no bytes must not look like the end of the body",
        origin={"/hold": stream("s12g")},
        steps=[
            *held("s12g"),
            Receive(b"[open]\n"),
            Publish([item("s12g", content=""), item("s12g", content="one\n")]),
            Receive(b"one\n"),
        ],
    ),
    Scenario(
        name="stream-item-larger-than-the-buffer",
        why="an item of any size arrives whole",
        origin={"/hold": stream("s12h")},
        steps=[
            *held("s12h"),
            Receive(b"[open]\n"),
            Publish([item("s12h", content="y" * 300_000 + "!\n")]),
            Receive(b"y!\n"),
        ],
    ),
    Scenario(
        name="stream-of-a-post",
        why="any method can be held",
        origin={"/hold": stream("s13")},
        steps=[Send(post("/hold", b"body")), Subscribed("s13"), Receive(b"[open]\n")],
    ),
    Scenario(
        name="stream-with-route-prefix",
        why="the channel held is that of the instruct behind the route's prefix",
        origin={"/hold": stream("s14")},
        steps=[
            *held("p-s14", host="prefix.test"),
            Receive(b"[open]\n"),
            Publish([item("s14", content="no\n"), item("p-s14", content="yes\n")]),
            Receive(b"yes\n"),
        ],
    ),
    Scenario(
        name="stream-with-implied-channel",
        why="a target's sub= is held without being asked for",
        origin={"/hold": stream("s15")},
        steps=[
            *held("implied", host="implied.test"),
            Receive(b"[open]\n"),
            Publish([item("implied", content="yes\n")]),
            Receive(b"yes\n"),
        ],
    ),
    Scenario(
        name="stream-by-json",
        why="the same hold asked for in a body",
        origin={
            "/hold": answer(
                "200 OK",
                "Content-Type: application/grip-instruct",
                "X-Dropped: 1",
                body=b'{"hold":{"mode":"stream","channels":[{"name":"s16"}],"keep-alive":{"content":"k","timeout":60}},'
                b'"response":{"code":202,"headers":[["Content-Type","text/plain"],["X-A","1"]],"body":"[open]\\n"}}',
            )
        },
        steps=[*held("s16"), Receive(b"[open]\n"), Publish([item("s16", content="one\n")]), Receive(b"one\n")],
    ),
    Scenario(
        name="request-behind-a-stream",
        why="a request sent while the stream is open is answered after its end",
        origin={"/hold": stream("s17"), "/hello": HELLO},
        steps=[*held("s17"), Receive(b"[open]\n"), Send(get("/hello")), close("s17"), Receive(b"hello\n")],
    ),
    Scenario(
        name="channel-without-hold",
        why="an instruct without a hold is answered at once and subscribes to nothing",
        origin={"/hold": answer("200 OK", TEXT, "Grip-Channel: none", "Grip-Status: 201", body=b"plain\n")},
        steps=[Send(get("/hold")), Receive(b"plain\n")],
    ),
    Scenario(
        name="poll",
        why="the published response is merged with the held one; the connection stays usable",
        origin={"/hold": poll("r1", "X-Extra: yes"), "/hello": HELLO},
        is_repeat_free=True,
        steps=[
            *held("r1"),
            Publish(
                [item("r1", "http-response", code=202, headers=[["X-P", "1"], ["x-extra", "new"]], body="published\n")],
            ),
            Receive(b"published\n"),
            Send(get("/hello")),
            Receive(b"hello\n"),
        ],
    ),
    Scenario(
        name="poll-by-json",
        why="the same hold asked for in a body",
        origin={
            "/hold": answer(
                "200 OK",
                "Content-Type: application/grip-instruct",
                body=b'{"hold":{"mode":"response","channels":[{"name":"r1b"}],"timeout":"60"},'
                b'"response":{"headers":{"X-A":"1"},"body-bin":"AAE="}}',
            )
        },
        is_repeat_free=True,
        steps=[*held("r1b"), Publish([item("r1b", "http-response", body="published\n")]), Receive(b"published\n")],
    ),
    Scenario(
        name="poll-answered-without-a-body",
        why="a published 204 has no body and no length",
        origin={"/hold": poll("r1c"), "/hello": HELLO},
        is_repeat_free=True,
        steps=[
            *held("r1c"),
            Publish([item("r1c", "http-response", code=204, body="dropped\n")]),
            Receive(b"\r\n\r\n"),
            Send(get("/hello")),
            Receive(b"hello\n"),
        ],
    ),
    Scenario(
        name="poll-answered-with-a-large-body",
        why="a published answer of any size arrives whole",
        origin={"/hold": poll("r1d")},
        is_repeat_free=True,
        is_framing_free=True,
        steps=[
            *held("r1d"),
            Publish([item("r1d", "http-response", body="y" * 300_000 + "!\n")]),
            Receive(b"y!\n"),
        ],
    ),
    Scenario(
        name="poll-again-on-one-connection",
        why="the next long-poll of a connection is held like the first",
        origin={"/hold": poll("r1e"), "/hold2": poll("r1f")},
        is_repeat_free=True,
        steps=[
            *held("r1e"),
            Publish([item("r1e", "http-response", body="first\n")]),
            Receive(b"first\n"),
            *held("r1f", "/hold2"),
            Publish([item("r1f", "http-response", body="second\n")]),
            Receive(b"second\n"),
        ],
    ),
    Scenario(
        name="poll-for-two",
        why="one item answers everybody who waits",
        origin={"/hold": poll("r1g"), "/hold2": poll("r1g, r1h")},
        is_repeat_free=True,
        steps=[
            *held("r1g"),
            Send(get("/hold2", "Connection: close"), client="b"),
            Subscribed("r1h"),
            Publish([item("r1g", "http-response", body="published\n")]),
            Receive(b"published\n"),
            End(client="b"),
        ],
    ),
    Scenario(
        name="poll-http-1.0",
        why="an old client's connection ends with the answer",
        origin={"/hold": poll("r2")},
        is_repeat_free=True,
        steps=[*held("r2", version="1.0"), Publish([item("r2", "http-response", body="published\n")]), End()],
    ),
    Scenario(
        name="poll-times-out",
        why="the instruct's own response comes when the time is over; less than 5 s counts as 5",
        origin={"/hold": poll("r3", "Grip-Timeout: 1", "X-A: 1")},
        is_repeat_free=True,
        steps=[*held("r3"), Receive(b"nothing\n", timeout_s=9.0)],
    ),
    Scenario(
        name="poll-times-out-with-status",
        why="the response at the timeout has the status the instruct gave",
        origin={"/hold": poll("r4", "Grip-Timeout: 5", "Grip-Status: 304", body=b"")},
        is_repeat_free=True,
        steps=[*held("r4"), Receive(b"\r\n\r\n", timeout_s=9.0)],
    ),
    Scenario(
        name="poll-of-several-channels",
        why="the first item on any of the channels is the answer, the second is nobody's",
        origin={"/hold": poll("r5a, r5b")},
        is_repeat_free=True,
        steps=[
            *held("r5b"),
            Publish([item("r5b", "http-response", body="first\n"), item("r5a", "http-response", body="second\n")]),
            Receive(b"first\n"),
        ],
    ),
    Scenario(
        name="pipelining-behind-a-poll",
        why="the next request waits for the held one's answer",
        origin={"/hold": poll("r6"), "/hello": HELLO},
        is_repeat_free=True,
        steps=[
            Send(get("/hold") + get("/hello")),
            Subscribed("r6"),
            Publish([item("r6", "http-response", body="published\n")]),
            Receive(b"hello\n"),
        ],
    ),
    Scenario(
        name="close-does-not-end-a-poll",
        why="close is for streams; an http-stream item is not for long-polls either",
        origin={"/hold": poll("r7")},
        is_repeat_free=True,
        steps=[
            *held("r7"),
            Publish(
                [
                    item("r7", action="close"),
                    item("r7", "http-response", action="close"),
                    item("r7", content="stream\n"),
                ]
            ),
            Publish([item("r7", "http-response", body="published\n")]),
            Receive(b"published\n"),
        ],
    ),
    Scenario(
        name="stream-with-filter",
        why="a filter decides who gets what, so a version without filters must not hold",
        origin={"/hold": stream("f1; filter=skip-self")},
        steps=[Send(get("/hold", host="debug.test")), Receive(b"\r\n\r\n")],
        difference=Difference(
            id="filters-are-refused",
            reference="HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: Transfer-Encoding\r\n"
            "Transfer-Encoding: chunked\r\n\r\n[open]\n",
            ours="HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\n"
            + sized(
                "Failed to parse accept instructions: filter is not supported by this version (value: 'skip-self')"
            ),
        ),
    ),
    Scenario(
        name="builtin-test-target",
        why="the target for first steps: plain answer, stream, and what it has not",
        steps=[
            Send(get("/", host="builtin.test")),
            Receive(b"handler!\n"),
            Send(get("/nothing", host="builtin.test")),
            Receive(b"no such test resource\n"),
            Send(get("/stream?channel=t1&channel=t2", host="builtin.test")),
            Subscribed("t2"),
            Receive(b"[stream opened]\n"),
            Publish([item("t2", content="one\n")]),
            Receive(b"one\n"),
        ],
    ),
]
