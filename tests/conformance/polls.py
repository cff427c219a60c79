"""Scenarios of long-polls, from the request to the published answer or the timeout."""

from tests.conformance.holds import HELLO, held, poll
from tests.conformance.scenario import (
    End,
    Publish,
    Receive,
    Scenario,
    Send,
    Subscribed,
    get,
    item,
)
from tests.integration.origin import answer

SCENARIOS = [
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
]
