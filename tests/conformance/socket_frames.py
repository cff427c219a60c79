"""Scenarios of frames between a client and a WebSocket origin: what is relayed, what breaks the rules, who closes."""

from tests.conformance.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, closing, frame
from tests.conformance.scenario import (
    Difference,
    Differences,
    End,
    HalfClose,
    Leave,
    OriginEnd,
    OriginLeave,
    OriginSend,
    Pause,
    Receive,
    Scenario,
    Send,
    Step,
    Taken,
)
from tests.conformance.sockets import at_origin, hang_up, origin_says, say, socket

MADE_1000 = Difference(id="close-without-code-is-1000", reference="<close>", ours="<close 1000 >")
NO_CODE = Difference(id="code-0-is-no-code", reference="<close 0 >", ours="<close 1000 >")
BETWEEN = Difference(
    id="control-frame-within-a-message", reference="<text one ...>\n", ours="<ping p>\n<text one two>\n"
)
TOLD_ORIGIN = Difference(
    id="origin-frames-are-checked", reference="<random key>\n\n<ended>", ours="<random key>\n\n<close 1002 >\n<ended>"
)
RAW = ("X-Raw: 1",)  # headers of an origin that answers without the extension


def raw(name: str, why: str, *steps: Step, difference: Differences = None, **more: object) -> Scenario:
    """Make the scenario of an origin that does not do GRIP: everything is relayed as it is."""
    return socket(name, why, *steps, headers=RAW, difference=difference, **more)  # type: ignore[arg-type]  # of Scenario


def says_why(close: str) -> Difference:
    """Spell that the client hears why it is cut off."""
    return Difference(id="close-says-why", reference="\r\n\r\n<ended>", ours=f"\r\n\r\n<close {close}>\n<ended>")


def broken(name: str, why: str, data: bytes, close: str) -> Scenario:
    """Make the scenario of a client that breaks the rules, after a message that does not."""
    steps = (say(TEXT, b"before"), at_origin(b"before"), Send(data), End(), OriginEnd())
    return raw(f"broken-{name}", why, *steps, difference=says_why(close))


def odd(name: str, why: str, data: bytes, close: str) -> Scenario:
    """Make the scenario of a client that breaks a rule which the reference does not mind; the origin closes then.

    What the origin gets before is left out: the reference may have lost it on the way.
    """
    steps = (Send(data), Taken(), OriginSend(frame(CLOSE, closing(4001))), OriginLeave(), Receive(b"<close"), Leave())
    difference = Difference(id="frames-are-checked", reference="<close 4001 >", ours=f"<close {close}>")
    return raw(name, why, *steps, is_origin_compared=False, difference=difference)


def closed_by_client(
    name: str, why: str, payload: bytes, answer: bytes, difference: Difference | None = None
) -> Scenario:
    """Make the scenario of a client that closes and of what the origin answers."""
    return raw(
        f"close-{name}",
        why,
        say(CLOSE, payload),
        at_origin(b"<close"),
        origin_says((CLOSE, answer)),
        Receive(b"<close"),
        OriginLeave(),
        End(),
        difference=difference,
    )


def closed_by_origin(
    name: str, why: str, payload: bytes, answer: bytes, difference: Difference | None = None
) -> Scenario:
    """Make the scenario of an origin that closes and of what the client answers."""
    return raw(
        f"origin-close-{name}",
        why,
        origin_says((CLOSE, payload)),
        Receive(b"<close"),
        say(CLOSE, answer),
        at_origin(b"<close"),
        OriginLeave(),
        End(),
        difference=difference,
    )


def masked(opcode: int, payload: bytes = b"", **bits: int) -> bytes:
    return frame(opcode, payload, is_masked=True, **bits)  # type: ignore[arg-type]  # of frame


SCENARIOS = [
    raw(
        "messages",
        "types and payloads both ways",
        say(TEXT, b"text"),
        say(BINARY, b"\x00\xff"),
        say(TEXT),
        say(BINARY),
        at_origin(b"<binary>"),
        origin_says((TEXT, b"text"), (BINARY, b"\x00\xff"), (TEXT, b""), (BINARY, b"")),
        Receive(b"<binary>"),
    ),
    raw(
        "fragments",
        "a message in frames stays one message",
        Send(
            masked(TEXT, b"one ", is_final=False)
            + masked(CONTINUATION, b"", is_final=False)
            + masked(CONTINUATION, b"two")
        ),
        at_origin(b"<text one two>"),
        OriginSend(frame(BINARY, b"three ", is_final=False) + frame(CONTINUATION, b"four")),
        Receive(b"<binary three four>"),
    ),
    raw(
        "large",
        "a large message goes through",
        say(TEXT, b"t" * 100_000),
        at_origin(b"<text 100000 bytes"),
        origin_says((BINARY, b"b" * 100_000)),
        Receive(b"<binary 100000 bytes"),
    ),
    *(
        raw(
            f"length-{size}",
            "how a length is written",
            say(TEXT, b"t" * size),
            at_origin(b">"),
            origin_says((TEXT, b"t" * size)),
            Receive(b">"),
        )
        for size in (125, 126, 65_535, 65_536)
    ),
    raw(
        "pings",
        "pings go to the other side, which answers",
        say(PING, b"from client"),
        at_origin(b"<ping"),
        origin_says((PONG, b"from client")),
        Receive(b"<pong"),
        origin_says((PING, b"from origin")),
        Receive(b"<ping"),
        say(PONG, b"from origin"),
        at_origin(b"<pong"),
        difference=(
            Difference(
                id="ping-keeps-its-payload",
                reference="<pong>\n<ping>\n",
                ours="<pong from client>\n<ping from origin>\n",
            ),
            Difference(
                id="ping-keeps-its-payload",
                reference="<ping>\n<pong>\n",
                ours="<ping from client>\n<pong from origin>\n",
            ),
        ),
    ),
    raw(
        "empty-pings",
        "pings of nothing",
        say(PING),
        at_origin(b"<ping"),
        origin_says((PONG, b""), (PING, b"")),
        Receive(b"<ping"),
        say(PONG),
        at_origin(b"<pong"),
    ),
    raw(
        "ping-in-message",
        "a control frame in the middle of a message",
        Send(masked(TEXT, b"one ", is_final=False)),
        at_origin(b"<text one ...>"),
        Send(masked(PING, b"p") + masked(CONTINUATION, b"two")),
        HalfClose(),
        OriginEnd(),
        End(),
        difference=BETWEEN,
    ),
    raw(
        "origin-ping-in-message",
        "a control frame in the middle of an origin's message",
        OriginSend(frame(TEXT, b"one ", is_final=False)),
        Receive(b"<text one ...>"),
        OriginSend(frame(PING, b"p") + frame(CONTINUATION, b"two")),
        OriginLeave(),
        End(),
        difference=BETWEEN,
    ),
    odd("not-utf-8", "a text that is none", frame(TEXT, b"\xff\xfe", is_masked=True), "1007 Text is not UTF-8"),
    raw("origin-not-utf-8", "an origin's text that is none", origin_says((TEXT, b"\xff\xfe")), Receive(b"\xff\xfe")),
    odd("unmasked", "a client's frame without a mask", frame(TEXT, b"bare"), "1002 Frame of a client is not masked"),
    odd("rsv2", "reserved bits that mean nothing", masked(TEXT, b"x", bits=2), "1002 Reserved bit is set"),
    raw(
        "origin-masked",
        "an origin's frame with a mask",
        OriginSend(masked(TEXT, b"m")),
        Pause(0.5),  # the reference may drop what came just before the end
        OriginLeave(),
        End(),
        difference=(Difference(id="origin-frames-are-checked", reference="<text m>\n", ours=""), TOLD_ORIGIN),
    ),
    broken("rsv1", "compressed, and that was not agreed", masked(TEXT, b"x", bits=4), "1002 Reserved bit is set"),
    broken("opcode-3", "a type that does not exist", masked(3, b"x"), "1002 Unknown opcode: 3"),
    broken("opcode-11", "a control frame's type that does not exist", masked(11, b"x"), "1002 Unknown opcode: 11"),
    broken(
        "long-ping", "a control frame has 125 bytes at most", masked(PING, b"p" * 126), "1002 Control frame is too long"
    ),
    broken(
        "cut-ping",
        "a control frame is one frame",
        masked(PING, b"p", is_final=False),
        "1002 Control frame is fragmented",
    ),
    broken("continuation", "a continuation of nothing", masked(CONTINUATION, b"x"), "1002 Continuation of no message"),
    raw(
        "broken-message-in-message",
        "a message within another",
        Send(masked(TEXT, b"x", is_final=False)),
        at_origin(b"<text x...>"),
        Send(masked(TEXT, b"y")),
        End(),
        OriginEnd(),
        difference=says_why("1002 Message begins within another one"),
    ),
    broken(
        "reason-not-utf-8",
        "a reason that is no text",
        masked(CLOSE, closing(1000, b"\xff")),
        "1007 Close reason is not UTF-8",
    ),
    raw(
        "origin-broken",
        "an origin that breaks the rules",
        OriginSend(frame(3, b"x")),
        OriginLeave(),
        End(),
        difference=TOLD_ORIGIN,
    ),
    closed_by_client("plain", "code and reason go round", closing(1000, b"bye"), closing(1001, b"too")),
    closed_by_client("application", "codes of an application", closing(4321, b"own"), closing(4999)),
    closed_by_client("without-code", "no code is 1000 on the other side", closing(), closing(), difference=MADE_1000),
    odd("close-one-byte", "half a code", masked(CLOSE, b"\x03"), "1002 Close frame with one byte"),
    odd(
        "close-bad-code",
        "a code that nobody may send",
        masked(CLOSE, closing(1005)),
        "1002 Close code is not one to send: 1005",
    ),
    closed_by_origin("plain", "code and reason go round", closing(1000, b"bye"), closing(1001, b"too")),
    closed_by_origin("application", "codes of an application", closing(4321, b"own"), closing(4999)),
    closed_by_origin("without-code", "no code is 1000 on the other side", closing(), closing(), difference=MADE_1000),
    closed_by_origin("zero", "code 0", closing(0), closing(1000), difference=NO_CODE),
    raw(
        "close-behind-messages",
        "what was said before goes first",
        Send(masked(TEXT, b"one") + masked(BINARY, b"two") + masked(CLOSE, closing(1000, b"three"))),
        at_origin(b"<close"),
        origin_says((TEXT, b"four"), (CLOSE, closing(1000, b"five"))),
        Receive(b"<close"),
        OriginLeave(),
        End(),
        difference=Difference(
            id="last-word-before-the-close", reference="<close 1000 five>", ours="<text four>\n<close 1000 five>"
        ),
    ),
    raw(
        "behind-close",
        "what comes behind a close",
        Send(masked(CLOSE, closing(1000)) + masked(TEXT, b"late")),
        at_origin(b"<close"),
    ),
    raw("client-leaves", "a client that goes without a word", say(TEXT, b"x"), at_origin(b"x"), Leave(), OriginEnd()),
    raw(
        "client-half-closes",
        "a client that says that it goes",
        say(TEXT, b"x"),
        at_origin(b"x"),
        HalfClose(),
        OriginEnd(),
        End(),
    ),
    raw(
        "origin-leaves",
        "an origin that goes without a word",
        origin_says((TEXT, b"x")),
        Receive(b"<text x>"),
        OriginLeave(),
        End(),
    ),
    raw(
        "origin-leaves-in-message",
        "in the middle of a message",
        OriginSend(frame(TEXT, b"x", is_final=False)),
        Receive(b"<text x"),
        OriginLeave(),
        End(),
    ),
    raw(
        "both-close",
        "who closes at once with the other",
        hang_up(1000, b"a"),
        origin_says((CLOSE, closing(1001, b"b"))),
        Receive(b"<close"),
        at_origin(b"<close"),
        OriginLeave(),
        End(),
    ),
]
