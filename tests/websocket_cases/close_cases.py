"""Closing: codes, reasons and what comes behind (RFC 6455 sections 5.5.1 and 7)."""

from gripproxy.protocol.websocket_frame import CLOSE, PING, TEXT
from tests.protocol.websocket_streams import raw_frame
from tests.websocket_cases.case import FIN, Case, breach, closing, text

GOOD_CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
BAD_CODES = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535]
REASONS = {"a short": b"x", "the longest": b"x" * 123, "a Greek": "\u03c4\u03ad\u03bb\u03bf\u03c2".encode()}


def close(payload: bytes = b"") -> bytes:
    """Write a close frame."""
    return raw_frame(FIN | CLOSE, payload)


def good_cases() -> list[Case]:
    """What a server answers with the same."""
    cases = [
        Case(name=f"close with {code}", ending=(close(closing(code)),), code=code, reason=b"") for code in GOOD_CODES
    ]
    cases += [
        Case(name=f"close with {name} reason", ending=(close(closing(1000, reason)),), reason=reason)
        for name, reason in REASONS.items()
    ]
    cases.append(Case(name="close without code", ending=(close(),), code=1000, reason=b""))
    cases += [cases[-1].in_bytes(), cases[-2].in_bytes()]
    behind = {
        "text": text(b"late"),
        "ping": raw_frame(FIN | PING, b"late"),
        "another close": close(closing(4000)),
        "garbage": b"\xff" * 50,
        "10,000 texts": text(b"late") * 10_000,
    }
    cases += [
        Case(name=f"{name} behind a close", ending=(close(closing(3000, b"end")) + wire,), code=3000, reason=b"end")
        for name, wire in behind.items()
    ]
    hello = (text(b"last words"),)
    cases.append(Case(name="close behind a message", parts=hello, messages=((TEXT, b"last words"),)))
    return cases


def bad_cases() -> list[Case]:
    """What no client may close with."""
    cases = [breach(f"close with {code}", close(closing(code))) for code in BAD_CODES]
    cases += [breach(f"close with {code} and a reason", close(closing(code, b"why"))) for code in (1005, 2999)]
    cases += [
        breach("close with one byte", close(b"\x03")),
        breach("close with a reason that is no UTF-8", close(closing(1000, b"\xce\xba\xff")), 1007),
        breach("close with a reason that ends within a character", close(closing(1000, b"\xce")), 1007),
        breach("close with a surrogate", close(closing(1000, b"\xed\xa0\x80")), 1007),
    ]
    return cases


CASES = [*good_cases(), *bad_cases()]
