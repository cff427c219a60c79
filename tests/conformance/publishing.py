"""Scenarios of publishing: formats, encodings, and what the control port answers."""

import json

from tests.conformance.errors import sized
from tests.conformance.holds import HELLO, held, poll, stream
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


def refused(name: str, why: str, *values: object, difference: Difference | None = None) -> Scenario:
    """Make the scenario of items that the control port refuses."""
    return Scenario(name=f"publish-refused-{name}", why=why, steps=[control(items(*values))], difference=difference)


STREAM_X = {"content": "x"}


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
            Control(b"POST /publish/ HTTP/1.1\r\nContent-Length: 1000001\r\n\r\n"),
            Control(b"POST /publish/ HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}}"),
            Control(b"POST /publish/ HTTP/1.1\r\nX-A: " + b"a" * 10_000),
        ],
    ),
    Scenario(
        name="control-bad-bodies",
        why="bodies that are no list of items",
        steps=[
            control(body) for body in (b"", b"{", b"null", b"[]", b"{}", b'{"items":{}}', b'{"items":["x"]}', b"\xff")
        ],
    ),
    refused("no-channel", "whom is it for", {"http-stream": STREAM_X}),
    refused("channel-type", "a channel that is no text", {"channel": 5, "http-stream": STREAM_X}),
    refused("no-formats", "nothing to send", {"channel": "c"}),
    refused("empty-formats", "nothing to send", {"channel": "c", "formats": {}}),
    refused("formats-type", "formats that are no object", {"channel": "c", "formats": []}),
    refused("no-content", "neither content nor content-bin", {"channel": "c", "http-stream": {}}),
    refused("no-body", "neither body nor body-bin", {"channel": "c", "http-response": {"code": 200}}),
    refused("content-type", "content that is no text", {"channel": "c", "http-stream": {"content": 1}}),
    refused("code-range", "a code beyond 999", {"channel": "c", "http-response": {"code": 1000, "body": ""}}),
    refused("code-type", "a code that is a list", {"channel": "c", "http-response": {"code": [], "body": ""}}),
    refused(
        "headers-pair",
        "a header of three parts",
        {"channel": "c", "http-response": {"headers": [["a", "b", "c"]], "body": ""}},
    ),
    refused(
        "headers-type", "headers that are text", {"channel": "c", "http-response": {"headers": "a: b", "body": ""}}
    ),
    refused("id-type", "an id that is a number", {"channel": "c", "id": 1, "http-stream": STREAM_X}),
    refused("meta-type", "meta that is no object", {"channel": "c", "meta": [], "http-stream": STREAM_X}),
    refused("action-type", "an action that is a number", {"channel": "c", "http-stream": {"action": 1}}),
    refused(
        "action-unknown",
        "an action nobody has heard of",
        {"channel": "c", "http-stream": {"action": "explode"}},
        difference=Difference(
            id="refusal-names-unknown-action",
            reference=sized("Invalid format: "),
            ours=sized("Invalid format: 'http-stream' contains 'action' with unknown value: 'explode'"),
        ),
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
            ours=sized("Invalid format: no formats specified in item 2 of 2"),
        ),
    ),
]
