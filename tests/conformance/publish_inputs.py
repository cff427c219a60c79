"""Scenarios of the publish inputs over ZeroMQ: typing, encodings, topics."""

from tests.conformance.holds import held, stream
from tests.conformance.publishing import published, tnet
from tests.conformance.scenario import Difference, Publish, Push, Receive, Scenario, Tell, item

NULL = b"0:~"


def mapped(**entries: bytes) -> bytes:
    """Spell a tnetstring map of values that are spelled already; keys with a dash are written with an underscore."""
    inner = b"".join(tnet(name.replace("_", "-")) + value for name, value in entries.items())
    return b"%d:%s}" % (len(inner), inner)


def code(number: int, value: object) -> Scenario:
    """Make the scenario of a status that is given in an odd way."""
    channel = f"code-{number}"
    return published(
        f"publish-code-{number}",
        f"a code of {value!r}",
        channel,
        Publish([item(channel, "http-response", code=value, body="x\n")]),
        marker=b"x\n",
    )


def typed_code(number: int, value: bytes) -> Scenario:
    """Make the scenario of a status in tnetstring's other types."""
    channel = f"typed-{number}"
    form = mapped(code=value, body=tnet("x\n"))
    return published(
        f"push-code-{number}",
        f"a code of {value!r}",
        channel,
        Push(mapped(channel=tnet(channel), http_response=form)),
        marker=b"x\n",
    )


def pushed(number: int, name: str, why: str, *items_: bytes) -> Scenario:
    """Make the scenario of a stream that gets what is pushed, in which PLACE stands for its channel."""
    channel = PLACE.replace("@@", f"{number:02}")
    steps = [Push(each.replace(PLACE.encode(), channel.encode())) for each in [*items_, LAST]]
    return published(f"push-{name}", why, channel, *steps, kind="stream", marker=b"last\n")


def told(name: str, why: str, *frames: list[bytes], marker: bytes, difference: Difference | None = None) -> Scenario:
    """Make the scenario of a stream and a publisher's socket; @ at a topic's beginning stands for the channel."""
    channel = f"told-{name}"
    steps = [Tell([channel.encode() + topic[1:] if topic[:1] == b"@" else topic, *rest]) for topic, *rest in frames]
    return Scenario(
        name=f"sub-{name}",
        why=why,
        origin={"/hold": stream(channel)},
        is_repeat_free=True,
        steps=[*held(channel), *steps, Receive(marker)],
        difference=difference,
    )


PLACE = "pushed-@@"  # as long as what comes in its place
CHANNEL = tnet(PLACE)
LAST = b'J{"channel":"pushed-@@","http-stream":{"content":"last\\n"}}'
LAST_TOLD = [b"@", b'J{"http-stream":{"content":"last\\n"}}']

SCENARIOS = [
    *(
        code(number, value)
        for number, value in enumerate(
            ["", "abc", " 207 ", "+207", "207.5", "2e2", "0x10", "0207", 206.5, 206.4, True, False, "2_0", "\t207\n"]
        )
    ),
    *(
        typed_code(number, value)
        for number, value in enumerate([b"3:207,", b"5:207.5^", b"4:true!", b"1:\xff,", b"3:abc,"])
    ),
    published(
        "publish-base64-oddities",
        "what is no base64 is skipped, and half a byte at the end",
        "base64",
        Publish(
            [
                item("base64", content_bin=text)
                for text in (
                    "W2Fd",
                    "aGVsbG8",
                    "aGVs bG8=",
                    "a",
                    "aG",
                    "aGV",
                    "aGVsb",
                    "!!!",
                    "====",
                    "aG=VsbG8",
                    "aGVs\nbG8=\n",
                    "-_-_",
                    "aGVsbG8=aGVs",
                    "\u00e9",
                    "",
                )
            ]
        ),
        Publish([item("base64", content="last\n")]),
        kind="stream",
        marker=b"last\n",
    ),
    published(
        "publish-empty-base64-before-a-body",
        "body-bin comes first, also when nothing is in it",
        "empty-bin",
        Publish([item("empty-bin", "http-response", body_bin="!!!", body="not this")]),
        marker=b"\r\n\r\n",
    ),
    published(
        "publish-headers-as-object",
        "in the order of their names",
        "headers-object",
        Publish([item("headers-object", "http-response", headers={"x-b": "1", "X-a": "2", "X-B": "3"}, body="x\n")]),
        marker=b"x\n",
    ),
    published(
        "publish-headers-as-pairs",
        "in their own order, with repetitions",
        "headers-pairs",
        Publish(
            [
                item(
                    "headers-pairs",
                    "http-response",
                    reason="",
                    headers=[["X-B", "1"], ["X-A", "2"], ["X-B", "3"], ["X-Empty", ""]],
                    body="x\n",
                )
            ]
        ),
        marker=b"x\n",
    ),
    pushed(
        1,
        "nulls-that-count-as-missing",
        "a publisher that spells out what it does not give",
        mapped(
            channel=CHANNEL,
            id=NULL,
            prev_id=NULL,
            formats=NULL,
            meta=NULL,
            http_response=NULL,
            ws_message=NULL,
            http_stream=mapped(action=NULL, content_bin=NULL, content=tnet("nulls\n")),
        ),
    ),
    pushed(
        2,
        "nulls-that-do-not",
        "each of these is skipped",
        *(
            mapped(**{"channel": CHANNEL, "http_stream": mapped(content=tnet("no\n")), **more})
            for more in (
                {"channel": NULL},
                {"size": NULL},
                {"no_seq": NULL},
                {"meta": mapped(k=NULL)},
                {"http_stream": mapped(content=NULL)},
                {"http_stream": mapped(content=tnet("no\n"), content_filters=NULL)},
                {"http_stream": NULL},
                {"formats": mapped(http_stream=NULL)},
                {"http_response": mapped(body=tnet(""), headers=NULL)},
                {"http_response": mapped(body=NULL)},
                {"ws_message": mapped(content=NULL)},
                {"ws_message": mapped(content_bin=NULL)},
            )
        ),
    ),
    pushed(
        3,
        "binary-keys-of-json",
        "tnetstring has bytes: http-stream's content-bin is not looked at",
        mapped(channel=CHANNEL, http_stream=mapped(content_bin=tnet("bm8="))),
        mapped(channel=CHANNEL, http_stream=mapped(content_bin=b"1:5#", content=tnet("yes\n"))),
    ),
    pushed(
        4,
        "types",
        "wrong types are skipped",
        *(
            mapped(**{"channel": CHANNEL, "http_stream": mapped(content=tnet("no\n")), **more})
            for more in (
                {"id": b"1:5#"},
                {"meta": b"0:]"},
                {"no_seq": b"4:true,"},
                {"http_stream": mapped(content=b"1:5#")},
                {"http_stream": b"0:]"},
                {"formats": b"0:}"},
            )
        ),
        b"T" + mapped(channel=CHANNEL, size=tnet("7"), no_seq=b"4:true!", http_stream=mapped(content=tnet("yes\n"))),
    ),
    pushed(
        5,
        "bytes-behind",
        "what follows the first value is not looked at, but JSON has no behind",
        mapped(channel=CHANNEL, http_stream=mapped(content=tnet("yes\n"))) + b"behind",
        b'J{"channel":"pushed-@@","http-stream":{"content":"no\\n"}} behind',
        b"5:bytes,",
        NULL,
    ),
    published(
        "push-two-frames",
        "an item is one frame",
        "two-frames",
        Push(b'J{"channel":"two-frames","http-stream":{"content":"no\\n"}}', [b""]),
        Push(b"two-frames", [b'J{"http-stream":{"content":"no\\n"}}']),
        Push(b'J{"channel":"two-frames","http-stream":{"content":"last\\n"}}'),
        kind="stream",
        marker=b"last\n",
    ),
    told(
        "topic-is-the-channel",
        "a channel in the item is not even looked at",
        [b"@", b'J{"channel":5,"http-stream":{"content":"number\\n"}}'],
        [b"@", mapped(channel=tnet("another"), http_stream=mapped(content=tnet("another\n")))],
        [b"@", b"T" + mapped(http_stream=mapped(content=b"2:\x00\n,"))],
        LAST_TOLD,
        marker=b"last\n",
    ),
    told(
        "topic-with-the-channel-as-its-beginning",
        "ZeroMQ subscribes to what begins so; it is another channel",
        [b"@2", b'J{"http-stream":{"content":"no\\n"}}'],
        LAST_TOLD,
        marker=b"last\n",
    ),
    told(
        "topic-with-nul",
        "a topic that is longer by a NUL is another channel too",
        [b"@\x00", b'J{"http-stream":{"content":"no\\n"}}'],
        LAST_TOLD,
        marker=b"last\n",
        difference=Difference(id="names-may-hold-nul", reference="[open]\nno\nlast\n", ours="[open]\nlast\n"),
    ),
    told(
        "parts",
        "an item is a topic and one frame",
        [b"@"],
        [b"@", b'J{"http-stream":{"content":"no\\n"}}', b""],
        [b'@J{"http-stream":{"content":"no\\n"}}'],
        [b"@", b""],
        [b"@", b"J"],
        [b"@", b"J[]"],
        LAST_TOLD,
        marker=b"last\n",
    ),
    told(
        "order",
        "as they were sent",
        *([b"@", b'J{"http-stream":{"content":"%d\\n"}}' % number] for number in range(50)),
        LAST_TOLD,
        marker=b"last\n",
    ),
]
