"""Compression without context takeover (RFC 7692 sections 5, 6 and 7.2)."""

import zlib

from gripproxy.protocol.websocket_frame import BINARY, CLOSE, PING, TEXT
from tests.protocol.websocket_streams import chopped, raw_frame
from tests.websocket_cases.case import FIN, RSV1, RSV2, Case, breach, closing, more, text

TAIL = b"\x00\x00\xff\xff"
WORDS = "\u03ba\u1f79\u03c3\u03bc\u03b5 \U0001f600".encode()


def deflated(payload: bytes, level: int = 6, window_bits: int = 15) -> bytes:
    """Compress a message as section 7.2.1 has it."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, -window_bits)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)


def finished(payload: bytes) -> bytes:
    """Compress a message into one final block, and a byte for the end (section 7.2.3.4)."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    return compressor.compress(payload) + compressor.flush(zlib.Z_FINISH) + b"\0"


def message(name: str, opcode: int, payload: bytes, compressed: bytes, sizes: tuple[int, ...] = ()) -> Case:
    """A compressed message in frames of these sizes, and one of the rest."""
    cuts = [sum(sizes[:index]) for index in range(len(sizes) + 1)]
    frames = [compressed[begin:end] for begin, end in zip(cuts, [*cuts[1:], len(compressed)], strict=True)]
    wire = b""
    for index, part in enumerate(frames):
        first = (opcode | RSV1 if index == 0 else 0) | (FIN if index == len(frames) - 1 else 0)
        wire += raw_frame(first, part)
    return Case(name=f"deflated {name}", parts=(wire,), messages=((opcode, payload),), is_deflating=True)


def good_cases() -> list[Case]:
    """Every way to compress."""
    long = WORDS * 5000
    cases = [
        *(message(f"text of {size} bytes", TEXT, b"x" * size, deflated(b"x" * size)) for size in (1, 125, 126, 65_536)),
        message("empty text", TEXT, b"", b"\0"),
        message("empty text in a fixed block", TEXT, b"", b"\x02\0"),
        message("binary of all bytes", BINARY, bytes(range(256)), deflated(bytes(range(256)))),
        *(message(f"text at level {level}", TEXT, long, deflated(long, level)) for level in (0, 1, 9)),
        *(message(f"text in a window of {bits} bits", TEXT, long, deflated(long, 6, bits)) for bits in (9, 12)),
        message("text in a final block", TEXT, WORDS, finished(WORDS)),
        message("text in two blocks", TEXT, b"Hello", bytes.fromhex("f248050000" + "00ffffcac9c90700")),
        message("text without compression", TEXT, b"Hello", bytes.fromhex("000500faff48656c6c6f00")),
        message("text of 200,000 bytes", TEXT, b"y" * 200_000, deflated(b"y" * 200_000)),
        *(
            message(f"text in fragments of {sizes} bytes", TEXT, WORDS * 9, deflated(WORDS * 9), sizes)
            for sizes in ((1,), (0, 5), (2, 2, 2, 2), (30,), (0, 0, 0))
        ),
    ]
    cases += [cases[1].in_bytes(), message("text cut within its characters", TEXT, WORDS, deflated(WORDS, 0), (7, 1))]
    whole = raw_frame(FIN | RSV1 | TEXT, deflated(WORDS))
    ping = raw_frame(FIN | PING, b"plain")
    cut = deflated(WORDS * 9)
    split = raw_frame(RSV1 | BINARY, cut[:4]) + ping + more(cut[4:8], False) + ping + more(cut[8:])
    hello = ((TEXT, b"plain"), (TEXT, WORDS), (TEXT, WORDS), (TEXT, b"plain"))
    cases += [
        Case(
            name="deflated texts between others",
            parts=(text(b"plain") + whole * 2 + text(b"pl", False) + more(b"ain"),),
            messages=hello,
            is_deflating=True,
        ),
        Case(
            name="control frames between deflated fragments",
            parts=(split,),
            messages=((BINARY, WORDS * 9),),
            pongs=(b"plain",) * 2,
            is_deflating=True,
        ),
        Case(name="many deflated texts", parts=(whole * 300,), messages=((TEXT, WORDS),) * 300, is_deflating=True),
        Case(
            name="many deflated texts in chunks",
            parts=tuple(chopped(whole * 300, 101)),
            messages=((TEXT, WORDS),) * 300,
            is_deflating=True,
        ),
    ]
    return cases


def bad_cases() -> list[Case]:
    """Reserved bits where nothing is compressed, and what does not inflate to a message."""
    begun = raw_frame(RSV1 | TEXT, deflated(WORDS)[:4])
    bomb = deflated(bytes(50_000_000), 9)
    return [
        breach("RSV1 on a ping, with compression", raw_frame(FIN | RSV1 | PING), is_deflating=True),
        breach("RSV1 on a close, with compression", raw_frame(FIN | RSV1 | CLOSE, closing(1000)), is_deflating=True),
        breach("RSV1 on a continuation", raw_frame(FIN | RSV1, deflated(WORDS)[4:]), is_deflating=True, before=begun),
        breach("RSV1 and RSV2", raw_frame(FIN | RSV1 | RSV2 | TEXT, deflated(b"a")), is_deflating=True),
        breach("what is not deflated", raw_frame(FIN | RSV1 | TEXT, b"\xff" * 20), 1007, is_deflating=True),
        breach("what is not deflated, in fragments", more(b"\xff" * 20), 1007, is_deflating=True, before=begun),
        breach("deflated text that is no UTF-8", raw_frame(FIN | RSV1 | TEXT, deflated(b"\xff")), 1007, True),
        breach("deflated text that is cut", raw_frame(FIN | RSV1 | TEXT, deflated(WORDS[:-1], 0)), 1007, True),
        breach("deflated bomb", raw_frame(FIN | RSV1 | BINARY, bomb), 1009, True),
        breach("deflated bomb in a fragment", raw_frame(RSV1 | BINARY, bomb), 1009, True),
    ]


CASES = [*good_cases(), *bad_cases()]
