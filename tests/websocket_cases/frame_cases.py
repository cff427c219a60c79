"""Frames: lengths, fragments, control frames in between, opcodes and reserved bits (RFC 6455 section 5)."""

from gripproxy.protocol.websocket_frame import BINARY, CLOSE, PING, PONG, TEXT
from tests.protocol.websocket_streams import chopped, raw_frame
from tests.websocket_cases.case import FIN, RSV1, RSV2, RSV3, Case, breach, closing, more, text

SIZES = [0, 1, 124, 125, 126, 127, 128, 65_535, 65_536, 65_537, 200_000]
SOCKET_SIZES = [200_001, 1_000_000]
MANY_COUNT = 500


def message_cases() -> list[Case]:
    """Messages of one frame."""
    cases = []
    for size in SIZES + SOCKET_SIZES:
        payload = (b"0123456789abcdef\xc3\xa9" * (size // 18 + 1))[:size]
        payload = payload[:-1] + b"." if payload.endswith(b"\xc3") else payload
        for opcode, kind in ((TEXT, "text"), (BINARY, "binary")):
            wire = raw_frame(FIN | opcode, payload)
            case = Case(
                name=f"{kind} of {size} bytes",
                parts=(wire,),
                messages=((opcode, payload),),
                socket_only=size in SOCKET_SIZES,
            )
            cases.append(case)
            if size <= 128:
                cases.append(case.in_bytes())
            elif size <= 65_537:
                chunks = tuple(chopped(wire, 997))
                cases.append(Case(name=f"{kind} of {size} bytes in chunks", parts=chunks, messages=case.messages))
    cases.append(Case(name="binary of all bytes", parts=(ALL_BYTES,), messages=((BINARY, bytes(range(256))),)))
    many = tuple((TEXT, b"message %d" % index) for index in range(MANY_COUNT))
    cases.append(Case(name="many", parts=(b"".join(text(payload) for _, payload in many),), messages=many))
    mixed = tuple((BINARY if index % 3 else TEXT, b"%d" % index * (index % 50)) for index in range(MANY_COUNT))
    wire = b"".join(raw_frame(FIN | opcode, payload) for opcode, payload in mixed)
    cases.append(Case(name="many of both kinds in chunks", parts=tuple(chopped(wire, 1009)), messages=mixed))
    return cases


ALL_BYTES = raw_frame(FIN | BINARY, bytes(range(256)))


def fragment_cases() -> list[Case]:
    """Messages of several frames."""
    cases = []
    for sizes in ([1, 1], [0, 0, 0], [5, 0, 5], [0, 10], [10, 0], [125, 126, 127], [1] * 40, [40_000] * 4):
        payloads = [bytes([97 + index % 26]) * size for index, size in enumerate(sizes)]
        for opcode, kind in ((TEXT, "text"), (BINARY, "binary")):
            wire = raw_frame(opcode, payloads[0]) + b"".join(more(payload, False) for payload in payloads[1:-1])
            wire += more(payloads[-1])
            name = f"{kind} in fragments of {', '.join(map(str, sizes[:4]))}{', ...' if len(sizes) > 4 else ''}"
            case = Case(name=name, parts=(wire,), messages=((opcode, b"".join(payloads)),))
            cases += [case, case.in_bytes()] if len(wire) < 300 else [case]
    two = text(b"a", False) + more(b"b") + raw_frame(BINARY, b"c") + more(b"d") + text(b"e")
    messages = ((TEXT, b"ab"), (BINARY, b"cd"), (TEXT, b"e"))
    cases.append(Case(name="fragmented messages one after the other", parts=(two,), messages=messages))
    return cases


def control_cases() -> list[Case]:
    """Control frames, by themselves and between fragments."""
    ping, pong = raw_frame(FIN | PING, b"ping"), raw_frame(FIN | PONG, b"unasked")
    cases = [
        Case(name=f"ping of {size} bytes", parts=(raw_frame(FIN | PING, b"\xff" * size),), pongs=(b"\xff" * size,))
        for size in (0, 1, 124, 125)
    ]
    cases.append(cases[-1].in_bytes())
    ten = tuple(b"ping %d" % index for index in range(10))
    wire = b"".join(raw_frame(FIN | PING, payload) for payload in ten)
    cases.append(Case(name="ten pings", parts=(wire,), pongs=ten))
    cases.append(Case(name="pong that nobody asked for", parts=(pong + text(b"a"),), messages=((TEXT, b"a"),)))
    split = text(b"frag", False) + ping + more(b"men", False) + pong + ping + more(b"ted")
    case = Case(name="control frames between", parts=(split,), messages=((TEXT, b"fragmented"),), pongs=(b"ping",) * 2)
    cases += [case, case.in_bytes()]
    # The `websockets` library as an origin takes that for a breach.
    split_end = (text(b"frag", False) + raw_frame(FIN | CLOSE, closing(1001)),)
    cases.append(Case(name="close between fragments", ending=split_end, code=1001, reason=b"", over_http_only=True))
    return cases


def breach_cases() -> list[Case]:
    """What no server may take."""
    huge = b"\x7f" + (2**63).to_bytes(8, "big")
    cases = [
        *(breach(f"opcode {code}", raw_frame(FIN | code)) for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
        *(breach(f"opcode {code} with a payload", raw_frame(FIN | code, b"abc")) for code in (3, 11)),
        breach("opcode 3 as a fragment", raw_frame(3, b"abc")),
        breach("RSV2", raw_frame(FIN | RSV2 | TEXT, b"abc")),
        breach("RSV3", raw_frame(FIN | RSV3 | BINARY, b"abc")),
        breach("all reserved bits", raw_frame(FIN | RSV1 | RSV2 | RSV3 | TEXT, b"abc")),
        breach("RSV1 that was not agreed", raw_frame(FIN | RSV1 | TEXT, b"abc")),
        breach("RSV1 on a ping", raw_frame(FIN | RSV1 | PING)),
        breach("RSV2 on a close", raw_frame(FIN | RSV2 | CLOSE)),
        breach("RSV3 on a continuation", raw_frame(FIN | RSV3, b"b"), before=text(b"a", False)),
        breach("unmasked text", raw_frame(FIN | TEXT, b"abc", is_masked=False)),
        breach("unmasked empty text", raw_frame(FIN | TEXT, is_masked=False)),
        breach("unmasked ping", raw_frame(FIN | PING, is_masked=False)),
        breach("unmasked close", raw_frame(FIN | CLOSE, closing(1000), is_masked=False)),
        breach("unmasked continuation", raw_frame(FIN, b"b", is_masked=False), before=text(b"a", False)),
        breach("ping of 126 bytes", raw_frame(FIN | PING, bytes(126))),
        breach("pong of 65,536 bytes", raw_frame(FIN | PONG, bytes(65_536))),
        breach("close of 126 bytes", raw_frame(FIN | CLOSE, closing(1000, b"x" * 124))),
        breach("fragmented ping", raw_frame(PING, b"p") + more(b"q")),
        breach("fragmented close", raw_frame(CLOSE, closing(1000))),
        breach("continuation of nothing", more(b"abc")),
        breach("unfinished continuation of nothing", more(b"abc", False)),
        breach("text behind a continuation", text(b"c"), before=text(b"a", False) + more(b"b", False)),
        breach("text within text", text(b"b"), before=text(b"a", False)),
        breach("binary within text", raw_frame(BINARY, b"b"), before=text(b"a", False)),
        breach("text within binary", text(b"b", False), before=raw_frame(BINARY, b"a")),
        breach("length 125 in two bytes", raw_frame(FIN | BINARY, bytes(125), size=b"\x7e\x00\x7d")),
        breach("length 0 in eight bytes", raw_frame(FIN | TEXT, size=b"\x7f" + bytes(8))),
        breach("length 65,535 in eight bytes", raw_frame(FIN | TEXT, size=b"\x7f" + bytes(6) + b"\xff\xff")),
        breach("length with its high bit", raw_frame(FIN | BINARY, size=huge)),
        breach("HTTP", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ]
    cases += [case.in_bytes() for case in cases[:1] + cases[12:16]]
    return cases + [limit_case("200,001 bytes declared", raw_frame(FIN | BINARY, size=b"\x7f" + SIZE_OVER))]


SIZE_OVER = (200_001).to_bytes(8, "big")


def limit_case(name: str, wire: bytes) -> Case:
    """What is too large for a request."""
    return Case(name=name, ending=(wire,), code=1009, reason=None, is_breach=True, over_http_only=True)


def limit_cases() -> list[Case]:
    """What is refused before it comes."""
    sizes = {"16 MB": 16_000_000, "2^62 bytes": 2**62}
    heads = {name: raw_frame(FIN | BINARY, size=b"\x7f" + size.to_bytes(8, "big")) for name, size in sizes.items()}
    fragments = text(b"x" * 150_000, False) + more(b"x" * 50_001)[:8]
    return [
        *(limit_case(f"{name} declared", head) for name, head in heads.items()),
        limit_case("fragments that are too large together", fragments),
    ]


CASES = [*message_cases(), *fragment_cases(), *control_cases(), *breach_cases(), *limit_cases()]
