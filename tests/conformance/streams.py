"""Scenarios of streams, from the first byte to the last."""

from tests.conformance.holds import HELLO, TEXT, close, held, stream
from tests.conformance.scenario import (
    Difference,
    End,
    HalfClose,
    Leave,
    Publish,
    Receive,
    Scenario,
    Send,
    Subscribed,
    get,
    item,
    post,
)
from tests.integration.origin import CLOSE, answer

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
        name="stream-half-closed",
        why="a client that ends its side of a held connection has left",
        origin={"/hold": stream("s12i")},
        steps=[*held("s12i"), Receive(b"[open]\n"), HalfClose(), End()],
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
