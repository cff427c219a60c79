"""Scenarios of frames between a client and a WebSocket origin: what is relayed, what breaks the rules, who closes."""

from tests.conformance.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, closing, frame
from tests.conformance.scenario import (
    Difference,
    End,
    HalfClose,
    Leave,
    OriginEnd,
    OriginLeave,
    OriginSend,
    Receive,
    Scenario,
    Send,
    Step,
)
from tests.conformance.sockets import at_origin, hang_up, origin_says, say, socket

RAW = ("X-Raw: 1",)  # headers of an origin that answers without the extension


def raw(name: str, why: str, *steps: Step, difference: Difference | None = None) -> Scenario:
    """Make the scenario of an origin that does not do GRIP: everything is relayed as it is."""
    return socket(name, why, *steps, headers=RAW, difference=difference)


def broken(name: str, why: str, data: bytes, difference: Difference | None = None) -> Scenario:
    """Make the scenario of a client that breaks the rules, after a message that does not."""
    return raw(f"broken-{name}", why, say(TEXT, b"before"), at_origin(b"before"), Send(data), End(), OriginEnd(), difference=difference)


def odd(name: str, why: str, data: bytes) -> Scenario:
    """Make the scenario of a client that breaks a rule which the reference does not mind, and leaves then."""
    return raw(name, why, Send(data), HalfClose(), OriginEnd(), End())


def closed_by_client(name: str, why: str, payload: bytes, answer: bytes, marker: bytes = b"<close") -> Scenario:
    """Make the scenario of a client that closes and of what the origin answers."""
    return raw(
        f"close-{name}", why, say(CLOSE, payload), at_origin(marker), origin_says((CLOSE, answer)), Receive(b"<close"), OriginLeave(), End()
    )


def closed_by_origin(name: str, why: str, payload: bytes, answer: bytes) -> Scenario:
    """Make the scenario of an origin that closes and of what the client answers."""
    return raw(
        f"origin-close-{name}", why, origin_says((CLOSE, payload)), Receive(b"<close"), say(CLOSE, answer), at_origin(b"<close"), OriginLeave(), End()
    )


def masked(opcode: int, payload: bytes = b"", **bits: int) -> bytes:
    return frame(opcode, payload, is_masked=True, **bits)  # type: ignore[arg-type]


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
        Send(masked(TEXT, b"one ", is_final=False) + masked(CONTINUATION, b"", is_final=False) + masked(CONTINUATION, b"two")),
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
        raw(f"length-{size}", "how a length is written", say(TEXT, b"t" * size), at_origin(b">"), origin_says((TEXT, b"t" * size)), Receive(b">"))
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
        Send(masked(TEXT, b"one ", is_final=False) + masked(PING, b"p") + masked(CONTINUATION, b"two")),
        HalfClose(),
        OriginEnd(),
        End(),
    ),
    raw(
        "origin-ping-in-message",
        "a control frame in the middle of an origin's message",
        OriginSend(frame(TEXT, b"one ", is_final=False) + frame(PING, b"p") + frame(CONTINUATION, b"two")),
        OriginLeave(),
        End(),
    ),
    odd("not-utf-8", "a text that is none", frame(TEXT, b"\xff\xfe", is_masked=True)),
    raw("origin-not-utf-8", "an origin's text that is none", origin_says((TEXT, b"\xff\xfe")), Receive(b"\xff\xfe")),
    odd("unmasked", "a client's frame without a mask", frame(TEXT, b"bare")),
    odd("rsv2", "reserved bits that mean nothing", masked(TEXT, b"x", bits=2)),
    raw("origin-masked", "an origin's frame with a mask", OriginSend(masked(TEXT, b"m")), OriginLeave(), End()),
    broken("rsv1", "compressed, and that was not agreed", masked(TEXT, b"x", bits=4)),
    broken("opcode-3", "a type that does not exist", masked(3, b"x")),
    broken("opcode-11", "a control frame's type that does not exist", masked(11, b"x")),
    broken("long-ping", "a control frame has 125 bytes at most", masked(PING, b"p" * 126)),
    broken("cut-ping", "a control frame is one frame", masked(PING, b"p", is_final=False)),
    broken("continuation", "a continuation of nothing", masked(CONTINUATION, b"x")),
    broken("message-in-message", "a message within another", masked(TEXT, b"x", is_final=False) + masked(TEXT, b"y")),
    broken("reason-not-utf-8", "a reason that is no text", masked(CLOSE, closing(1000, b"\xff"))),
    raw("origin-broken", "an origin that breaks the rules", OriginSend(frame(3, b"x")), OriginLeave(), End()),
    closed_by_client("plain", "code and reason go round", closing(1000, b"bye"), closing(1001, b"too")),
    closed_by_client("application", "codes of an application", closing(4321, b"own"), closing(4999)),
    closed_by_client("without-code", "no code is 1000 on the other side", closing(), closing()),
    closed_by_client("one-byte", "half a code is none", b"\x03", b"\x03"),
    closed_by_client("bad-code", "a code that nobody may send", closing(1005), closing(999)),
    closed_by_origin("plain", "code and reason go round", closing(1000, b"bye"), closing(1001, b"too")),
    closed_by_origin("application", "codes of an application", closing(4321, b"own"), closing(4999)),
    closed_by_origin("without-code", "no code is 1000 on the other side", closing(), closing()),
    closed_by_origin("zero", "code 0", closing(0), closing(1000)),
    raw(
        "close-behind-messages",
        "what was said before goes first",
        Send(masked(TEXT, b"one") + masked(BINARY, b"two") + masked(CLOSE, closing(1000, b"three"))),
        at_origin(b"<close"),
        origin_says((TEXT, b"four"), (CLOSE, closing(1000, b"five"))),
        Receive(b"<close"),
        OriginLeave(),
        End(),
    ),
    raw("behind-close", "what comes behind a close", Send(masked(CLOSE, closing(1000)) + masked(TEXT, b"late")), at_origin(b"<close")),
    raw("client-leaves", "a client that goes without a word", say(TEXT, b"x"), at_origin(b"x"), Leave(), OriginEnd()),
    raw("client-half-closes", "a client that says that it goes", say(TEXT, b"x"), at_origin(b"x"), HalfClose(), OriginEnd(), End()),
    raw("origin-leaves", "an origin that goes without a word", origin_says((TEXT, b"x")), Receive(b"<text x>"), OriginLeave(), End()),
    raw("origin-leaves-in-message", "in the middle of a message", OriginSend(frame(TEXT, b"x", is_final=False)), Receive(b"<text x"), OriginLeave(), End()),
    raw("both-close", "who closes at once with the other", hang_up(1000, b"a"), origin_says((CLOSE, closing(1001, b"b"))), Receive(b"<close"), at_origin(b"<close"), OriginLeave(), End()),
]
