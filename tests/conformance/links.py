"""Scenarios of next links: when a stream asks them, what it asks, and what becomes of the answer."""

from collections.abc import Mapping

from tests.conformance.features import FEATURES
from tests.conformance.holds import HELLO, LINK, TEXT, held, items, numbered, poll, stream
from tests.conformance.publishing import control
from tests.conformance.scenario import (
    Asked,
    Difference,
    End,
    Pause,
    Publish,
    Receive,
    Release,
    Scenario,
    Send,
    Step,
    Subscribed,
    Unsubscribed,
    get,
    item,
    post,
)
from tests.integration.origin import CLOSE, WAIT, Answer, answer

LAST = answer("200 OK", TEXT, "X-A: 1", body=b"last\n")
AT_ONCE = "Grip-Link: </next>; rel=next; timeout=0"
NEXT_REQUEST = (
    "GET /next?a=1 HTTP/1.1\nHost: plain.test\nGrip-Last: k14; last-id=1\n"
    f"Grip-Sig: <token of pushpin>\nGrip-Feature: {FEATURES}\n\n"
)
NO_HOLD = "Grip-Hold must be set to either 'response' or 'stream'"
LARGE = b"x" * 120_000  # more than an instruct may have


def chained(name: str, why: str, origin: Mapping[str, Answer], *steps: Step, **more: object) -> Scenario:
    """Make the scenario of an answer that holds nothing and links on: the client gets one body of many parts."""
    host = more.pop("host", "plain.test")
    assert isinstance(host, str)
    return Scenario(
        name=f"chain-{name}",
        why=why,
        origin=origin,
        steps=[Send(get("/x", host=host)), *(steps or [Receive(b"last\n")])],
        **more,  # type: ignore[arg-type]  # fields of Scenario
    )


def first(*headers: str, body: bytes = b"first\n") -> bytes:
    """Spell the answer that begins a chain."""
    return answer("200 OK", TEXT, *headers, body=body)


def linked(name: str, why: str, channel: str, *steps: Step, next_answer: Answer, again: Answer = LAST) -> Scenario:
    """Make the scenario of a stream with a link, which a hint makes it ask.

    Args:
        next_answer: what the origin answers to the link.
        again: what it answers the second time.
    """
    return Scenario(
        name=f"link-{name}",
        why=why,
        warm=[channel],
        origin={"/hold": stream(channel, LINK), "/next": next_answer, "/next#2": again},
        steps=[
            Send(get("/hold?a=1", "Cookie: a=b", host="debug.test")),
            Receive(b"[open]\n"),
            Publish([item(channel, action="hint")]),
            *steps,
        ],
    )


def shared(name: str, why: str, channel: str, first_link: str, second_link: str, **more: object) -> Scenario:
    """Make the scenario of two streams that ask their links at the same time."""
    return Scenario(
        name=f"link-{name}",
        why=why,
        config="ordered",
        warm=[channel],
        origin={
            "/hold": stream(f"{channel}; prev-id=1", f"Grip-Link: <{first_link}>; rel=next"),
            "/hold2": stream(f"{channel}; prev-id=1", f"Grip-Link: <{second_link}>; rel=next"),
            "/next": [WAIT, answer("200 OK", TEXT, body=b"found\n")],
        },
        steps=[
            Send(get("/hold")),
            Receive(b"[open]\n"),
            Send(get("/hold2"), client="b"),
            Receive(b"[open]\n", client="b"),
            items(numbered(channel, 3, 2)),
            Asked(first_link),
            Pause(0.3),
            Release(),
            Receive(b"found\n"),
            Receive(b"found\n", client="b"),
        ],
        is_origin_order_free=True,
        **more,  # type: ignore[arg-type]  # fields of Scenario
    )


SCENARIOS = [
    chained(
        "of-three",
        "bodies are joined, whatever statuses and headers the later answers have",
        {
            "/x": first("Grip-Link: </n1>; rel=next", "X-B: 1"),
            "/n1": answer(
                "202 Accepted",
                "Content-Type: a/b",
                "Grip-Link: <n2?y=1#f>; rel=next; timeout=60",
                "Grip-Status: 500",
                body=b"second\n",
            ),
            "/n2": LAST,
            "/hello": HELLO,
        },
        Receive(b"last\n"),
        Send(get("/hello")),
        Receive(b"hello\n"),
    ),
    Scenario(
        name="chain-http-1.0",
        why="an old client gets the bodies until the end of its connection",
        origin={"/x": first("Grip-Link: </n1>; rel=next"), "/n1": LAST},
        steps=[Send(get("/x", version="1.0")), End()],
    ),
    chained(
        "last-link-counts",
        "of two links the last is followed",
        {"/x": first("Grip-Link: </no>; rel=next, </no2>; rel=next", "Grip-Link: </n1>; rel=next"), "/n1": LAST},
    ),
    chained(
        "empty-bodies",
        "bodies of no bytes end nothing",
        {
            "/x": first("Grip-Link: </n1>; rel=next", body=b""),
            "/n1": answer("200 OK", "Grip-Link: </n2>; rel=next"),
            "/n2": LAST,
        },
    ),
    chained(
        "relative-to-the-link",
        "a relative link starts from where it was found",
        {
            "/x": first("Grip-Link: <a/b?x=1>; rel=next"),
            "/a/b": answer("200 OK", "Grip-Link: <c>; rel=next"),
            "/a/c": answer("200 OK", "Grip-Link: <?q=1>; rel=next"),
            "/a/c#2": LAST,
        },
    ),
    chained(
        "absolute",
        "a link with scheme and host of the request stays on its route",
        {"/x": first("Grip-Link: <http://plain.test/n1>; rel=next"), "/n1": LAST},
    ),
    chained(
        "elsewhere",
        "a link to another place is asked there",
        {"/x": first("Grip-Link: <http://{origin}/n1?x=1>; rel=next"), "/n1": LAST},
    ),
    Scenario(
        name="chain-on-a-rewriting-route",
        why="a link is written as the client would write it, and the route's headers are added",
        origin={"/x": first("Grip-Link: </v1/n1>; rel=next"), "/n1": LAST},
        steps=[Send(get("/v1/x", host="rewrite.test")), Receive(b"last\n")],
    ),
    Scenario(
        name="chain-outside-a-rewriting-route",
        why="a link that does not begin like the route goes to the route's target as it is",
        origin={"/x": first("Grip-Link: </other/n1>; rel=next"), "/other/n1": LAST, "/er/n1": LAST},
        steps=[Send(get("/v1/x", host="rewrite.test")), Receive(b"last\n")],
        difference=Difference(id="link-outside-the-route", reference="GET /er/n1 ", ours="GET /other/n1 "),
    ),
    chained(
        "to-a-hold",
        "a chain may end in a stream that holds",
        {"/x": first("Grip-Link: </n1>; rel=next"), "/n1": stream("l1")},
        Subscribed("l1"),
        Receive(b"[open]\n"),
        Publish([item("l1", content="one\n")]),
        Receive(b"one\n"),
    ),
    chained(
        "large",
        "a body beyond an instruct's limit, first and later",
        {
            "/x": first("Grip-Link: </n1>; rel=next", body=LARGE),
            "/n1": answer("200 OK", "Grip-Link: </n2>; rel=next", body=LARGE),
            "/n2": LAST,
        },
    ),
    chained(
        "chunked-and-until-eof",
        "the framing between origin and proxy is no matter",
        {
            "/x": first("Grip-Link: </n1>; rel=next"),
            "/n1": b"HTTP/1.1 200 OK\r\nGrip-Link: </n2>; rel=next\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\nx\n\r\n0\r\n\r\n",
            "/n2": [b"HTTP/1.0 200 OK\r\n\r\nlast\n", CLOSE],
        },
    ),
    chained(
        "to-a-poll",
        "a link cannot start a long-poll",
        {"/x": first("Grip-Link: </n1>; rel=next"), "/n1": poll("l2", body=b"poll\n")},
        Receive(b"non-stream hold.\n"),
        host="debug.test",
        difference=Difference(
            id="link-refused-before-its-body", reference="first\npoll\n\n\nNext", ours="first\n\n\nNext"
        ),
    ),
    chained(
        "refused",
        "an instruct refused in a link ends the body",
        {"/x": first("Grip-Link: </n1>; rel=next"), "/n1": answer("200 OK", "Grip-Hold: x", body=b"no\n")},
        Receive(b"or 'stream'"),
        host="debug.test",
        difference=Difference(
            id="link-refused-before-its-body",
            reference=f"first\nno\n\n\n{NO_HOLD}",
            ours=f"first\n\n\nFailed to parse accept instructions: {NO_HOLD} (value: 'x')",
        ),
    ),
    Scenario(
        name="chain-cut",
        why="a link's body that breaks off cannot be asked for again",
        origin={
            "/x": first("Grip-Link: </n1>; rel=next"),
            "/n1": [b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\npart\n", WAIT, CLOSE],
        },
        steps=[Send(get("/x", "Connection: close", host="debug.test")), Receive(b"part\n"), Release(), End()],
        difference=Difference(
            id="cut-link-is-an-error",
            reference="part\n<last chunk>",
            ours="part\n\n\nFailed to retrieve next link.\n<last chunk>",
        ),
    ),
    chained(
        "cut-quiet",
        "without debug the body just ends",
        {
            "/x": first("Grip-Link: </n1>; rel=next"),
            "/n1": [b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\npart\n", WAIT, CLOSE],
            "/hello": HELLO,
        },
        Receive(b"part\n"),
        Release(),
        Send(get("/hello")),
        Receive(b"hello\n"),
    ),
    chained(
        "retried",
        "a link that fails is asked again, with longer and longer pauses",
        {"/x": first("Grip-Link: </n1>; rel=next"), "/n1": answer("404 Not Found", body=b"no\n"), "/n1#2": LAST},
    ),
    chained(
        "redirect",
        "a redirect is a failure",
        {"/x": first("Grip-Link: </n1>; rel=next"), "/n1": answer("302 Found", "Location: /hello"), "/n1#2": LAST},
    ),
    Scenario(
        name="chain-of-a-post",
        why="a link is asked with GET, without the request's headers and body",
        origin={"/x": first("Grip-Link: </n1>; rel=next"), "/n1": LAST},
        steps=[Send(post("/x", b"body\n", "Cookie: a=b", "Authorization: x")), Receive(b"last\n")],
    ),
    linked(
        "hint",
        "a hint asks the link at once; an answer without hold and link ends the stream",
        "k1",
        Receive(b"last\n"),
        next_answer=LAST,
    ),
    linked(
        "hold-replaced",
        "channels, keep-alive and link are those of the last answer",
        "k2",
        Receive(b"found\n"),
        Subscribed("k2b"),
        Publish([item("k2", content="no\n"), item("k2b", content="yes\n")]),
        Receive(b"yes\n"),
        Publish([item("k2b", action="hint"), item("k2b", content="more\n")]),
        Receive(b"more\n"),
        next_answer=stream("k2b", body=b"found\n"),
    ),
    linked(
        "without-channels",
        "a stream may go on without channels",
        "k3",
        Receive(b"found\n"),
        next_answer=answer("200 OK", "Grip-Hold: stream", body=b"found\n"),
    ),
    linked(
        "prev-id-without-link",
        "an id still wants a link",
        "k4",
        Receive(b"link found\n"),
        next_answer=stream("k4; prev-id=1", body=b"found\n"),
    ),
    linked(
        "items-wait",
        "items that come while a link is asked go out behind its body",
        "k5",
        Asked("/next"),
        Publish([item("k5", content="one\n"), item("k5", content="two\n")]),
        Pause(0.3),
        Release(),
        Receive(b"two\n"),
        next_answer=[WAIT, stream("k5", LINK, body=b"found\n")],
    ),
    linked(
        "hint-behind-items",
        "a hint that comes while a link is asked is carried out in its turn",
        "k6",
        Asked("/next"),
        Publish([item("k6", content="one\n"), item("k6", action="hint")]),
        Pause(0.3),
        Release(),
        Receive(b"last\n"),
        next_answer=[WAIT, stream("k6", LINK, body=b"found\n")],
    ),
    linked(
        "close-during-the-link",
        "a close is carried out behind the link's body",
        "k7",
        Asked("/next"),
        Publish([item("k7", action="close")]),
        Pause(0.3),
        Release(),
        Receive(b"found\n"),
        next_answer=[WAIT, stream("k7", LINK, body=b"found\n")],
    ),
    Scenario(
        name="link-of-the-timer",
        why="a link without items is asked after its timeout; 0 means as often as allowed",
        warm=["k8"],
        origin={"/hold": stream("k8", AT_ONCE), "/next": stream("k8", AT_ONCE, body=b"again\n"), "/next#3": LAST},
        steps=[Send(get("/hold")), Receive(b"last\n")],
    ),
    Scenario(
        name="link-by-recover",
        why="the control port can make every stream ask its link",
        warm=["k9"],
        origin={"/hold": stream("k9", LINK), "/next": LAST},
        steps=[Send(get("/hold")), Receive(b"[open]\n"), control(b"", path="/recover/"), Receive(b"last\n")],
    ),
    Scenario(
        name="link-left-by-its-client",
        why="a channel taken over from a link is left with the client",
        origin={"/hold": stream("k10", LINK), "/next": stream("k10b", LINK, body=b"found\n")},
        is_origin_compared=False,
        steps=[
            *held("k10"),
            Publish([item("k10", action="hint")]),
            Subscribed("k10b"),
            Unsubscribed("k10"),
            Receive(b"found\n"),
        ],
    ),
    Scenario(
        name="link-with-implied-channel",
        why="a target's own channel stays, whatever a link's answer names",
        origin={"/hold": stream("k11", LINK), "/next": stream("k12", LINK, body=b"found\n")},
        is_origin_compared=False,
        steps=[
            *held("k11", host="implied.test"),
            Publish([item("k11", action="hint")]),
            Subscribed("k12"),
            Receive(b"found\n"),
            Publish([item("implied", content="one\n")]),
            Receive(b"one\n"),
        ],
    ),
    shared("shared", "equal links asked at the same time are asked once", "k13", "/next?a=1", "/next?a=1"),
    shared(
        "shared-by-url",
        "a link with another query is another link",
        "k14",
        "/next?a=1",
        "/next?a=2",
        difference=Difference(
            id="links-shared-by-whole-url",
            reference=NEXT_REQUEST,
            ours=NEXT_REQUEST + "\n--- origin\n" + NEXT_REQUEST.replace("a=1", "a=2"),
        ),
    ),
]
