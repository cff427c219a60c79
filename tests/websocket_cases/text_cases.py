"""Texts: UTF-8 across frames, and what is none (RFC 6455 sections 5.6 and 8.1)."""

from gripproxy.protocol.websocket_frame import BINARY, TEXT
from tests.protocol.websocket_streams import raw_frame
from tests.websocket_cases.case import FIN, Case, breach, more, text

WORDS = "\u03ba\u1f79\u03c3\u03bc\u03b5 \U0001f600".encode()

# The bounds of what UTF-8 can say: the first and last character of each length, and those around the surrogates.
CHARACTERS = "\0\x7f\x80\u07ff\u0800\ud7ff\ue000\ufffd\ufffe\uffff\U00010000\U0001fffe\U0010ffff"

INVALID = {
    "a continuation byte": b"\x80",
    "two continuation bytes": b"\x80\xbf",
    "all continuation bytes": bytes(range(0x80, 0xC0)),
    "FE": b"\xfe",
    "FF": b"\xff",
    "C0": b"\xc0\xaf",
    "C1": b"\xc1\xbf",
    "F5": b"\xf5\x80\x80\x80",
    "F8": b"\xf8\x88\x80\x80\x80",
    "FC": b"\xfc\x84\x80\x80\x80\x80",
    "overlong /, three bytes": b"\xe0\x80\xaf",
    "overlong /, four bytes": b"\xf0\x80\x80\xaf",
    "overlong U+07FF": b"\xe0\x9f\xbf",
    "overlong U+FFFF": b"\xf0\x8f\xbf\xbf",
    "U+D800": b"\xed\xa0\x80",
    "U+DFFF": b"\xed\xbf\xbf",
    "a pair of surrogates": b"\xed\xa0\x80\xed\xb0\x80",
    "U+110000": b"\xf4\x90\x80\x80",
    "a lead byte without its continuation": b"\xc3\x28",
    "two lead bytes": b"\xe2\xe2\x82\xac",
}


def good_cases() -> list[Case]:
    """Texts wherever they are cut."""
    halves = b"".join(text(WORDS[:cut], False) + more(WORDS[cut:]) for cut in range(len(WORDS) + 1))
    thirds = text(WORDS[:1], False) + more(WORDS[1:2], False) + more(WORDS[2:])
    single = text(WORDS[:1], False) + b"".join(more(WORDS[at : at + 1], False) for at in range(1, len(WORDS)))
    each = "".join(CHARACTERS).encode()
    cases = [
        Case(name="text cut in two everywhere", parts=(halves,), messages=((TEXT, WORDS),) * (len(WORDS) + 1)),
        Case(name="text cut in a character", parts=(thirds,), messages=((TEXT, WORDS),)),
        Case(name="text in fragments of a byte", parts=(single + more(b""),), messages=((TEXT, WORDS),)),
        Case(name="characters at the bounds", parts=(text(each),), messages=((TEXT, each),)),
        Case(
            name="each character at the bounds",
            parts=(b"".join(text(character.encode()) for character in CHARACTERS),),
            messages=tuple((TEXT, character.encode()) for character in CHARACTERS),
        ),
        Case(name="binary that is no UTF-8", parts=(raw_frame(FIN | BINARY, b"\xff"),), messages=((BINARY, b"\xff"),)),
    ]
    return [*cases, cases[1].in_bytes()]


def bad_cases() -> list[Case]:
    """What is no UTF-8: by itself, behind text, at every place, in every fragment, and unfinished."""
    cases = [breach(f"text with {name}", text(invalid), 1007) for name, invalid in INVALID.items()]
    cases += [
        breach(f"text with {name} in a fragment", more(b"ok" + invalid, False), 1007, before=text(WORDS, False))
        for name, invalid in INVALID.items()
    ]
    for place in range(len(WORDS)):
        wrong = WORDS[:place] + b"\xff" + WORDS[place + 1 :]
        cases.append(breach(f"text that is wrong at byte {place}", text(wrong), 1007))
        beginning, rest = text(wrong[:place], False), more(wrong[place:])
        cases.append(breach(f"text that is wrong in a fragment behind byte {place}", rest, 1007, before=beginning))
    for count in (1, 2, 3):
        part = "\U0001f600".encode()[:count]
        cases.append(breach(f"text that ends after {count} bytes of 4", text(b"a" + part), 1007))
        cases.append(breach(f"fragments that end after {count} bytes of 4", more(b""), 1007, before=text(part, False)))
    # Nothing needs to be whole to be refused.
    cases.append(breach("wrong text in a frame that does not end", text(b"\xff" + bytes(99))[:10], 1007))
    cases.append(breach("wrong text in a large frame", text(b"\xed\xa0\x80" + bytes(100_000))[:20], 1007))
    return [*cases, cases[14].in_bytes()]


CASES = [*good_cases(), *bad_cases()]
