"""Scenarios of publishing: formats, encodings, and what the control port answers."""

import json

from tests.conformance.holds import HELLO, held, poll, stream
from tests.conformance.refusals import sized
from tests.conformance.scenario import Control, Difference, Publish, Push, Receive, Scenario, item


def control(body: bytes | str, *headers: str, path: str = "/publish/", method: str = "POST") -> Control:
    """Spell a request to the control port."""
    data = body if isinstance(body, bytes) else body.encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers, f"Content-Length: {len(data)}", "", ""]
    return Control("\r\n".join(lines).encode() + data)


def items(*values: object) -> str:
    """Spell a publish request's body."""
    return json.dumps({"items": values})


def published(
    name: str,
    why: str,
    channel: str,
    *steps: object,
    kind: str = "poll",
    marker: bytes,
    difference: Difference | None = None,
) -> Scenario:
    """Make the scenario of a hold that gets what is published."""
    answer = poll(channel, "X-Extra: yes") if kind == "poll" else stream(channel)
    return Scenario(
        name=name,
        why=why,
        origin={"/hold": answer},
        is_repeat_free=True,
        steps=[*held(channel), *steps, Receive(marker)],  # type: ignore[list-item]
        difference=difference,
    )


def misread(name: str, why: str, head: bytes, reference: str) -> Scenario:
    """Make the scenario of a request's head that the reference makes something of, and nobody should."""
    status, _, word = reference.partition(": ")
    ours = answer_spelled("400 Bad Request", "Bad Content-Length." if name == "two-lengths" else PARSE_FAILED)
    return Scenario(
        name=f"control-head-{name}",
        why=why,
        steps=[Control(head)],
        difference=Difference(id="control-head-is-http", reference=answer_spelled(status, word), ours=ours),
    )


def answer_spelled(status: str, word: str) -> str:
    """Spell an answer of the control port."""
    return f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nConnection: close\r\n{sized(word)}"


PARSE_FAILED = "Failed to parse request header."
POSTED = b"POST /publish/ HTTP/1.1\r\nContent-Length: 12\r\n"
STREAM_X = {"content": "x"}
EMPTY = b'{"items":[]}'


def tnet(value: object) -> bytes:
    """Spell a value in tnetstrings: bytes, text, whole numbers, lists and maps."""
    if isinstance(value, bytes):
        return b"%d:%s," % (len(value), value)
    if isinstance(value, str):
        return tnet(value.encode())
    if isinstance(value, int):
        return b"%d:%d#" % (len(str(value)), value)
    if isinstance(value, list):
        inner = b"".join(map(tnet, value))
        return b"%d:%s]" % (len(inner), inner)
    assert isinstance(value, dict)
    inner = b"".join(tnet(key) + tnet(entry) for key, entry in value.items())
    return b"%d:%s}" % (len(inner), inner)


SCENARIOS = [
    published(
        "publish-code-and-reason",
        "code and reason of one's own",
        "q1",
        Publish([item("q1", "http-response", code=499, reason="Because", body="x\n")]),
        marker=b"x\n",
    ),
    published(
        "publish-code-without-reason",
        "the standard phrase, or the words for a code that has none",
        "q2",
        Publish([item("q2", "http-response", code="299", headers={"X-B": "2", "X-A": "1"}, body="x\n")]),
        marker=b"x\n",
    ),
    published(
        "publish-body-bin",
        "bytes that are no text",
        "q3",
        Publish([item("q3", "http-response", body_bin="AAEC/w==", body="not this")]),
        marker=b"\x00\x01\x02\xff",
    ),
    published(
        "publish-empty-body",
        "an answer of no bytes",
        "q4",
        Publish([item("q4", "http-response", code=404, body="")]),
        marker=b"\r\n\r\n",
    ),
    published(
        "publish-grip-headers",
        "Grip-* headers of an item are for the proxy",
        "q4b",
        Publish(
            [
                item(
                    "q4b",
                    "http-response",
                    headers=[["Grip-Foo", "1"], ["Content-Length", "99"], ["X-A", "1"]],
                    body="x\n",
                )
            ]
        ),
        marker=b"x\n",
    ),
    published(
        "publish-stream-content-bin",
        "bytes that are no text, and base64 with blanks and without padding",
        "q5",
        Publish([item("q5", content_bin="AAEC/w"), item("q5", content_bin="aGVs bG8K")]),
        kind="stream",
        marker=b"\x00\x01\x02\xffhello\n",
    ),
    published(
        "publish-all-formats",
        "each hold takes the format that is meant for it; formats at the top level of the item",
        "q6",
        Publish(
            [
                {
                    "channel": "q6",
                    "http-response": {"body": "response"},
                    "http-stream": {"content": "stream\n"},
                    "ws-message": {"content": "ws"},
                }
            ]
        ),
        kind="stream",
        marker=b"stream\n",
    ),
    published(
        "push-json",
        "ZeroMQ with the letter J",
        "q7",
        Push(b"J" + json.dumps({"channel": "q7", "formats": {"http-stream": {"content": "json\n"}}}).encode()),
        kind="stream",
        marker=b"json\n",
    ),
    published(
        "push-tnetstring",
        "ZeroMQ with the letter T and without, raw bytes in content",
        "q8",
        Push(b"T" + tnet({"channel": "q8", "formats": {"http-stream": {"content": b"\x00\xff"}}})),
        Push(tnet({"http-stream": {"content": "bare\n"}, "channel": "q8"})),
        kind="stream",
        marker=b"\x00\xffbare\n",
    ),
    published(
        "push-tnetstring-response",
        "numbers and lists of the other encoding",
        "q9",
        Push(
            tnet(
                {"channel": "q9", "formats": {"http-response": {"code": 202, "headers": [["X-A", "1"]], "body": "t\n"}}}
            )
        ),
        marker=b"t\n",
    ),
    published(
        "push-garbage-between-items",
        "what cannot be read is skipped, what follows is not",
        "q10",
        *(Push(frame) for frame in (b"J{", b"J[]", b"", b"hello", b'J{"http-stream":{"content":"x"}}', b"J{}")),
        Push(b'J{"channel":"q10","http-stream":{"content":"after\\n"}}'),
        kind="stream",
        marker=b"after\n",
    ),
    published(
        "publish-same-id-twice",
        "an id seen on the channel within the last minute is not sent again",
        "q11",
        Publish(
            [
                {**item("q11", content=f"{text}\n"), "id": name}
                for name, text in [("1", "one"), ("1", "again"), ("2", "two")]
            ]
        ),
        kind="stream",
        marker=b"two\n",
    ),
    published(
        "publish-items-out-of-order",
        "an item waits for the one it follows",
        "q12",
        Publish(
            [
                {**item("q12", content=f"{name}\n"), "id": name, **({"prev-id": before} if before else {})}
                for name, before in [("1", ""), ("3", "2"), ("2", "1")]
            ]
        ),
        Receive(b"3\n"),
        Publish([{**item("q12", content="last\n"), "prev-id": "3"}]),
        kind="stream",
        marker=b"last\n",
    ),
    Scenario(
        name="control-answers",
        why="the answers of the control port, byte for byte",
        steps=[
            control(items()),
            control(items({"channel": "nobody", "http-stream": STREAM_X}), "Accept: application/json"),
            control(items(), path="/publish"),
            control("", path="/", method="GET"),
            control("", path="/nowhere", method="GET"),
            control("", path="/publish/", method="GET"),
            control(items(), path="/publish/?x=1"),
            control(items(), "Accept: text/html"),
            Control(b"POST /publish/ HTTP/1.0\r\nContent-Length: 12\r\n\r\n" + b'{"items":[]}'),
        ],
    ),
    Scenario(
        name="control-bad-requests",
        why="requests that the control port cannot read",
        steps=[
            Control(b"POST\r\n\r\n"),
            Control(b"POST /publish/ HTTP/1.1\r\n\r\n"),
            Control(b"POST /publish/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            Control(b"POST /publish/ HTTP/1.1\r\nContent-Length: many\r\n\r\n"),
            Control(b"POST /publish/ HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}}"),
            Control(b"POST /publish/ HTTP/1.1\r\nX-A: " + b"a" * 10_000),
            Control((b"POST /publish/ HTTP/1.1\r\nX-A: " + b"a" * 10_000)[:10_000]),
            Control(b"GET / HTTP/1.1\r\nX-A: " + b"a" * 9_974 + b"\r\n\r\n"),
            Control(b"GET / HTTP/1.1\r\nX-A: " + b"a" * 9_975 + b"\r\n\r\n"),
        ],
    ),
    Scenario(
        name="control-odd-requests",
        why="requests that look wrong and are read",
        steps=[
            Control(b"POST /publish/ HTTP/1.1\nContent-Length: 12\n\n" + EMPTY),
            Control(b"POST /publish/ HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 12\r\n\r\n" + EMPTY),
            Control(b"POST /publish/ HTTP/1.1\r\nExpect: something\r\nContent-Length: 12\r\n\r\n" + EMPTY),
            Control(b"POST /publish/ HTTP/1.1\r\ncontent-length:12\r\n\r\n" + EMPTY),
            Control(b"POST /publish/ HTTP/1.1\r\nContent-Length:   12  \r\n\r\n" + EMPTY),
            Control(b"POST /publish/ HTTP/1.1\r\nContent-Length: 012\r\n\r\n" + EMPTY),
            Control(b"POST /publish/ HTTP/1.1\r\nContent-Length: +12\r\n\r\n" + EMPTY),
            Control(b"POST /publish/ HTTP/1.2\r\nContent-Length: 12\r\n\r\n" + EMPTY),
            Control(b"POST /publish/ nonsense\r\nContent-Length: 12\r\n\r\n" + EMPTY),
            Control(b"post /publish/ HTTP/1.1\r\nContent-Length: 12\r\n\r\n" + EMPTY),
            Control(b"GET / HTTP/1.1\r\n\r\n"),
            Control(b"GET / HTTP/1.0\r\n\r\n"),
            Control(b"GET / HTTP/1.1\r\n\r\nGET /nowhere HTTP/1.1\r\n\r\n"),
            Control(b"DELETE /publish HTTP/1.1\r\n\r\n"),
            Control(b"OPTIONS * HTTP/1.1\r\n\r\n"),
            Control(b"POST /recover HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
            Control(b"POST /recover HTTP/1.1\r\nAccept: application/json\r\nContent-Length: 2\r\n\r\nxx"),
            Control(b"POST /publish/ HTTP/1.1\r\nContent-Type: image/png\r\nContent-Length: 12\r\n\r\n" + EMPTY),
            Control(b"POST http://localhost/publish/ HTTP/1.1\r\nContent-Length: 12\r\n\r\n" + EMPTY),
        ],
    ),
    Scenario(
        name="control-more-bad-requests",
        why="what is refused before anything is looked up",
        steps=[
            Control(b"POST /publish/\r\n\r\n"),
            Control(b"\r\n\r\n"),
            Control(b"POST /publish/ HTTP/1.1\r\nContent-Length: 1x\r\n\r\n"),
            Control(b"POST /publish/ HTTP/1.1\r\nContent-Length:\r\n\r\n"),
            Control(b"POST /publish/ HTTP/1.1\r\nContent-Length: -1\r\n\r\n{}"),
            Control(b"POST /publish/ HTTP/1.1\r\nContent-Length: 1.0\r\n\r\n{"),
            Control(b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Control(b"PUT / HTTP/1.1\r\n\r\n"),
            Control(b"PATCH /nowhere HTTP/1.1\r\n\r\n"),
            Control(b"GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
        ],
    ),
    *(
        misread(f"line-{name}", why, POSTED + line + b"\r\n\r\n" + EMPTY, "200 OK: Published")
        for name, why, line in (
            ("without-colon", "a line that is no header", b"Content-Type"),
            ("without-name", "a header without a name", b": x"),
            ("with-blank-in-name", "a name that could be read as another one", b"Content-Type : x"),
            ("folded", "a line that could belong to the one above", b" x: y"),
        )
    ),
    misread(
        "blank-behind-length",
        "a name with a blank behind it is no name",
        b"POST / HTTP/1.1\r\nContent-Length : 0\r\n\r\n",
        "411 Length Required: Request requires Content-Length.",
    ),
    misread(
        "two-lengths",
        "where the body ends is unclear",
        POSTED + b"Content-Length: 2\r\n\r\n" + EMPTY,
        "200 OK: Published",
    ),
    misread("no-version", "a request line has three words", b"GET / \r\n\r\n", "200 OK: Pushpin API"),
    misread("no-target", "a request line has three words", b"GET  HTTP/1.1\r\n\r\n", "404 Not Found: Not Found"),
    Scenario(
        name="control-continue-http-1.0",
        why="an old client takes 100 Continue for the answer",
        steps=[Control(b"POST /publish/ HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 12\r\n\r\n" + EMPTY)],
        difference=Difference(
            id="continue-is-of-http-1-1", reference="HTTP/1.0 100 Continue\r\n\r\nHTTP/1.0 200", ours="HTTP/1.0 200"
        ),
    ),
    Scenario(
        name="control-continue-with-blank-behind",
        why="blanks around a value are none of it, and the client would wait",
        steps=[Control(b"POST /publish/ HTTP/1.1\r\nExpect: 100-continue \r\nContent-Length: 12\r\n\r\n" + EMPTY)],
        difference=Difference(
            id="continue-is-of-http-1-1", reference="HTTP/1.1 200", ours="HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200"
        ),
    ),
    Scenario(
        name="control-head",
        why="the head of the answer to a GET",
        steps=[Control(b"HEAD / HTTP/1.1\r\n\r\n")],
        difference=Difference(
            id="no-body-for-head",
            reference="Content-Length: 12\r\n\r\nPushpin API\n",
            ours="Content-Length: 12\r\n\r\n",
        ),
    ),
    Scenario(
        name="control-body-too-large",
        why="the answer comes before the body",
        steps=[Control(b"POST /publish/ HTTP/1.1\r\nContent-Length: 1000001\r\n\r\n")],
        difference=Difference(
            id="large-body-is-413", reference="HTTP/1.1 400 Bad Request", ours="HTTP/1.1 413 Content Too Large"
        ),
    ),
    Scenario(
        name="control-accept",
        why="q-values do not count, and the last entry that is known wins",
        steps=[
            control(items(), f"Accept: {accept}")
            for accept in (
                "application/json, */*",
                "*/*, application/json",
                "text/html, application/json;q=0",
                "application/*",
                "application/json; charset=utf-8",
                "text/*",
                "*",
                "",
            )
        ],
    ),
    Scenario(
        name="control-accept-in-capitals",
        why="media types are the same in any letter case",
        steps=[control(items(), "Accept: TEXT/PLAIN")],
        difference=Difference(
            id="accept-in-any-letter-case",
            reference="HTTP/1.1 406 Not Acceptable\r\nContent-Type: text/plain\r\nConnection: close\r\n"
            + sized("Not Acceptable. Supported formats are text/plain and application/json."),
            ours="HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n" + sized("Published"),
        ),
    ),
    Scenario(
        name="control-paths-and-methods",
        why="one slash at the end is none, and every method but POST is refused with the one that is allowed",
        steps=[
            control("", path=path, method=method)
            for path in ("/", "/publish//", "//publish", "/PUBLISH", "/recover", "/recover/", "/publish")
            for method in ("GET", "PUT", "OPTIONS", "DELETE")
        ],
    ),
    Scenario(
        name="control-without-cors",
        why="no page of another origin is answered as one that may read it",
        steps=[control("", "Access-Control-Request-Method: POST", path="/publish/", method="OPTIONS")],
    ),
    Scenario(
        name="control-bad-bodies",
        why="bodies that are no list of items",
        steps=[control(body) for body in (b"", b"{", b"null", b"[]", b"{}", b'{"items":{}}', b"\xff")],
    ),
    Scenario(
        name="publish-one-bad-item",
        why="nothing of a request with a bad item is published",
        origin={"/hold": stream("q13"), "/hello": HELLO},
        steps=[
            *held("q13"),
            control(items(item("q13", content="no\n"), {"channel": "q13"})),
            Publish([item("q13", content="yes\n")]),
            Receive(b"yes\n"),
        ],
        difference=Difference(
            id="refusal-names-item",
            reference=sized("Invalid format: no formats specified"),
            ours=sized("Invalid format: no formats specified (items[1])"),
        ),
    ),
]
