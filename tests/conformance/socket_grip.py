"""Scenarios of GRIP on a WebSocket origin's connection: the extension, the prefix of messages, what is dropped."""

from tests.conformance.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, closing, frame
from tests.conformance.scenario import (
    Difference,
    End,
    OriginLeave,
    OriginSend,
    Receive,
    Scenario,
    Send,
    Subscribed,
)
from tests.conformance.sockets import (
    GRIP,
    accept,
    at_origin,
    both,
    control,
    hang_up,
    opened,
    origin_says,
    published,
    say,
    socket,
    subscribe,
    upgrade,
)
from tests.conformance.trust import token
from tests.integration.origin import Answer

LAST = (TEXT, b"m:last")


def trusted(name: str, why: str, answers: Answer, host: str, target: str, *headers: str) -> Scenario:
    """Make the scenario of a proxy in front that does GRIP itself: here nothing is a control message."""
    return Scenario(
        name=f"socket-trusted-{name}",
        why=why,
        config="trusting",
        origin={target: answers},
        steps=[Send(upgrade(target, token(), *headers, host=host)), Receive(b"last>")],
        difference=Difference(
            id="grip-is-passed-on",
            reference="xOo=\r\n\r\n",
            ours='xOo=\r\nSec-WebSocket-Extensions: grip; message-prefix="m:"\r\n\r\n',
        ),
    )


def extension(name: str, why: str, *values: str, marker: bytes = b"last>") -> Scenario:
    """Make the scenario of an origin's word about GRIP; what comes of its messages tells how it was read."""
    return socket(
        f"extension-{name}",
        why,
        Receive(marker),
        headers=[f"Sec-WebSocket-Extensions: {value}" for value in values],
        first=[
            (TEXT, b"bare"),
            (TEXT, b"x;y:quoted"),
            (TEXT, b"zbare"),
            (TEXT, b"c:control"),
            (TEXT, b"m:last"),
            (TEXT, b"x;y:last"),
            (TEXT, b"zlast"),
        ],
    )


SCENARIOS = [
    trusted(
        "origin",
        "all of an origin's messages are for the proxy in front",
        accept(GRIP, frames=frame(*subscribe("trusted")) + frame(*LAST)),
        "plain.test",
        "/trusted",
        GRIP,
    ),
    trusted(
        "over-http",
        "so they are of an origin over HTTP",
        opened(subscribe("trusted"), LAST),
        "overhttp.test",
        "/trusted-over-http",
        GRIP,
        "Connection-Id: theirs",
        "Meta-User: me",
    ),
    extension("plain", "messages have the prefix m:", "grip"),
    extension("quoted", "another prefix, in quotes", 'foo, grip; message-prefix="x;y:"'),
    extension("bare", "another prefix, bare", "grip;message-prefix=z"),
    extension("empty", "an empty prefix lets all pass", 'grip; message-prefix=""'),
    extension("no-value", "a prefix without a value", "grip; message-prefix"),
    extension("other-parameter", "a parameter that nobody knows", "grip; other=z"),
    extension("second-header", "in a second header line", "foo; a=b", "grip; message-prefix=z"),
    extension("twice", "said twice, the first counts", "grip; message-prefix=z", "grip"),
    extension("capitals", "GRIP is another extension", "GRIP"),
    extension("open-quote", "what cannot be read is none", 'grip; message-prefix="z'),
    extension("other", "another extension", "gripper"),
    *both(
        "prefixes",
        "what passes and what does not",
        Receive(b"last>"),
        first=[
            (TEXT, b"m:text"),
            (BINARY, b"m:\x00\xff"),
            (TEXT, b"m:"),
            (BINARY, b"m:"),
            (TEXT, b"dropped"),
            (TEXT, b""),
            (BINARY, b"c:dropped"),
            (TEXT, b"c:dropped"),
            (TEXT, b"c:"),
            (TEXT, b"C:dropped"),
            (TEXT, b"M:dropped"),
            (PING, b"ping"),
            (PONG, b"pong"),
            (PING, b""),
            (TEXT, b"m:m:kept"),
            (TEXT, b"m:c:kept"),
            LAST,
        ],
        difference=Difference(
            id="ping-keeps-its-payload", reference="<ping>\n<pong>\n", ours="<ping ping>\n<pong pong>\n"
        ),
    ),
    socket(
        "prefix-of-fragments",
        "the prefix is a message's, not a frame's",
        OriginSend(frame(TEXT, b"m:one ", is_final=False) + frame(CONTINUATION, b"m:two")),
        Receive(b"<text one m:two>"),
        OriginSend(frame(TEXT, b"m:", is_final=False) + frame(CONTINUATION, b"three")),
        Receive(b"<text three>"),
    ),
    socket(
        "dropped-fragments",
        "a message without the prefix is dropped to its end",
        OriginSend(frame(TEXT, b"dropped ", is_final=False) + frame(CONTINUATION, b"too") + frame(*LAST)),
        Receive(b"<text last>"),
        difference=Difference(id="dropped-to-its-end", reference="<text too>\n", ours=""),
    ),
    socket(
        "control-in-fragments",
        "a control message of more frames than one is thrown away",
        OriginSend(
            frame(TEXT, subscribe("fragmented")[1][:10], is_final=False)
            + frame(CONTINUATION, subscribe("fragmented")[1][10:])
            + frame(*subscribe("whole"))
            + frame(*LAST)
        ),
        Receive(b"<text last>"),
        Subscribed("whole"),
        published("fragmented", content="none"),
        published("whole", content="whole"),
        Receive(b"whole"),
    ),
    socket(
        "client-says-control",
        "a client's messages mean nothing to the proxy",
        say(*subscribe("stolen")),
        say(TEXT, b"m:x"),
        at_origin(b"<text m:x>"),
        published("stolen", content="stolen"),
        origin_says(LAST),
        Receive(b"<text last>"),
    ),
    socket(
        "raw-control",
        "without the extension it is a message as any other",
        Receive(b"subscribe"),
        published("raw", content="raw"),
        headers=(),
        first=[subscribe("raw")],
    ),
    socket(
        "unused-on-the-route",
        "a route without GRIP relays it",
        Receive(b"subscribe"),
        host="nogrip.ws.test",
        first=[subscribe("raw2")],
    ),
    socket(
        "implied",
        "the target's own channel, also without the extension",
        Subscribed("implied"),
        published("implied", content="implied"),
        Receive(b"implied"),
        origin_says(control("unsubscribe", channel="implied"), (TEXT, b"said")),
        Receive(b"said"),
        published("implied", content="still"),
        Receive(b"still"),
        headers=(),
        host="implied.ws.test",
    ),
    socket(
        "implied-with-grip",
        "a target's own channel cannot be unsubscribed",
        Subscribed("implied"),
        origin_says(control("unsubscribe", channel="implied"), (TEXT, b"m:said")),
        Receive(b"said"),
        published("implied", content="still"),
        Receive(b"still"),
        host="implied.ws.test",
    ),
    socket(
        "close",
        "a close passes",
        origin_says((TEXT, b"m:x"), (CLOSE, closing(1000, b"c:bye"))),
        Receive(b"<close"),
        hang_up(1000, b"m:"),
        at_origin(b"<close"),
        OriginLeave(),
        End(),
        difference=Difference(
            id="last-word-before-the-close",
            reference="\r\n\r\n<close 1000 c:bye>",
            ours="\r\n\r\n<text x>\n<close 1000 c:bye>",
        ),
    ),
]
