"""Frames are read strictly by RFC 6455, whole or in parts, and refused as early as their bytes allow."""

from random import Random

import pytest

from gripproxy.protocol.permessage_deflate import deflate
from gripproxy.protocol.websocket_close import encode_close
from gripproxy.protocol.websocket_frame import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    encode_frame,
    encode_masked_frame,
)
from gripproxy.protocol.websocket_reader import WHOLE_MAX_BYTES, FrameReader, read_whole
from tests.protocol.websocket_streams import (
    INFLATED_MAX_BYTES,
    KEY,
    Terms,
    chopped,
    every_byte,
    raw_frame,
    read_every_way,
    read_parts,
)

FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10
DEFLATING = Terms(is_deflating=True)
FROM_ORIGIN = Terms(is_client=False)
EURO = "\u20ac".encode()


def client_frame(opcode: int, payload: bytes = b"", is_final: bool = True, is_compressed: bool = False) -> bytes:
    """A frame as a client sends it."""
    return encode_masked_frame(opcode, payload, is_final, KEY, is_compressed)


HELLO = client_frame(TEXT, b"Hello")

GOOD: dict[str, tuple[bytes, list[tuple[int, bytes]]]] = {
    "nothing": (b"", []),
    "text": (bytes.fromhex("818537fa213d7f9f4d5158"), [(TEXT, b"Hello")]),
    "pong": (bytes.fromhex("8a8537fa213d7f9f4d5158"), [(PONG, b"Hello")]),
    "empty text": (client_frame(TEXT), [(TEXT, b"")]),
    "empty binary": (client_frame(BINARY), [(BINARY, b"")]),
    "empty ping": (client_frame(PING), [(PING, b"")]),
    "longest ping": (client_frame(PING, b"\xff" * 125), [(PING, b"\xff" * 125)]),
    "binary that is no UTF-8": (client_frame(BINARY, b"\xff\xfe"), [(BINARY, b"\xff\xfe")]),
    "text that is not ASCII": (client_frame(TEXT, EURO), [(TEXT, EURO)]),
    "many": (HELLO * 3 + client_frame(PING) + HELLO, [(TEXT, b"Hello")] * 3 + [(PING, b""), (TEXT, b"Hello")]),
    "fragments": (client_frame(TEXT, b"Hel", False) + client_frame(CONTINUATION, b"lo"), [(TEXT, b"Hello")]),
    "fragments, then a message": (
        client_frame(BINARY, b"a", False) + client_frame(CONTINUATION, b"b", False) + client_frame(0, b"c") + HELLO,
        [(BINARY, b"abc"), (TEXT, b"Hello")],
    ),
    "empty fragments": (
        client_frame(TEXT, b"", False) + client_frame(CONTINUATION, b"", False) + client_frame(CONTINUATION),
        [(TEXT, b"")],
    ),
    "control frames in between": (
        client_frame(TEXT, b"Hel", False) + client_frame(PING, b"1") + client_frame(PONG) + client_frame(0, b"lo"),
        [(PING, b"1"), (PONG, b""), (TEXT, b"Hello")],
    ),
    "a character in three fragments": (
        client_frame(TEXT, EURO[:1], False) + client_frame(0, EURO[1:2], False) + client_frame(0, EURO[2:]),
        [(TEXT, EURO)],
    ),
    "close": (client_frame(CLOSE), [(CLOSE, b"")]),
    "close with code and reason": (
        client_frame(CLOSE, encode_close(4000, EURO)),
        [(CLOSE, encode_close(4000, EURO))],
    ),
    "close within a message": (client_frame(TEXT, b"a", False) + client_frame(CLOSE), [(CLOSE, b"")]),
    "frames behind a close": (client_frame(CLOSE) + HELLO + b"\xff\xff", [(CLOSE, b"")]),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_the_rfc_allows_is_read(name: str) -> None:
    """Wherever it is cut."""
    wire, messages = GOOD[name]
    assert read_every_way(wire).outcome == (messages, None)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 65_535, 65_536, 65_537, 200_000])
def test_every_size_is_read(size: int) -> None:
    """Those around the bounds of the three ways to write a length."""
    payload = (bytes(range(1, 128)) * (size // 127 + 1))[:size]
    for wire, terms in ((client_frame(TEXT, payload), Terms()), (encode_frame(TEXT, payload), FROM_ORIGIN)):
        assert read_every_way(wire + wire, terms).outcome == ([(TEXT, payload)] * 2, None)


BAD: dict[str, tuple[bytes, int]] = {
    "unmasked": (raw_frame(FIN | TEXT, b"a", is_masked=False), 1002),
    "unmasked and empty": (raw_frame(FIN | TEXT, is_masked=False), 1002),
    "unmasked ping": (raw_frame(FIN | PING, is_masked=False), 1002),
    "unmasked close": (raw_frame(FIN | CLOSE, is_masked=False), 1002),
    "RSV1 without compression": (raw_frame(FIN | RSV1 | TEXT, b"a"), 1002),
    "RSV2": (raw_frame(FIN | RSV2 | TEXT, b"a"), 1002),
    "RSV3": (raw_frame(FIN | RSV3 | BINARY, b"a"), 1002),
    "RSV1 on a ping": (raw_frame(FIN | RSV1 | PING), 1002),
    "RSV3 on a close": (raw_frame(FIN | RSV3 | CLOSE), 1002),
    **{f"opcode {opcode}": (raw_frame(FIN | opcode), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "opcode 11 with a payload": (raw_frame(FIN | 11, b"a"), 1002),
    "long ping": (raw_frame(FIN | PING, bytes(126)), 1002),
    "long close": (raw_frame(FIN | CLOSE, encode_close(1000) + bytes(124)), 1002),
    "fragmented ping": (raw_frame(PING, b"a"), 1002),
    "fragmented pong": (raw_frame(PONG), 1002),
    "fragmented close": (raw_frame(CLOSE), 1002),
    "continuation of nothing": (raw_frame(FIN | CONTINUATION, b"a"), 1002),
    "continuation of nothing, to go on": (raw_frame(CONTINUATION, b"a"), 1002),
    "text within text": (raw_frame(TEXT, b"a") + raw_frame(FIN | TEXT, b"b"), 1002),
    "binary within text": (raw_frame(TEXT, b"a") + raw_frame(BINARY, b"b"), 1002),
    "125 bytes in two bytes of length": (raw_frame(FIN | BINARY, bytes(125), size=b"\x7e\x00\x7d"), 1002),
    "no bytes in two bytes of length": (raw_frame(FIN | BINARY, size=b"\x7e\x00\x00"), 1002),
    "126 bytes in eight bytes of length": (raw_frame(FIN | BINARY, bytes(126), size=b"\x7f" + b"\0" * 7 + b"~"), 1002),
    "65,535 bytes in eight bytes of length": (raw_frame(FIN | TEXT, size=b"\x7f" + b"\0" * 6 + b"\xff\xff"), 1002),
    "length with its high bit": (raw_frame(FIN | BINARY, size=b"\x7f\x80" + b"\0" * 7), 1002),
    "text that is no UTF-8": (client_frame(TEXT, b"\xff"), 1007),
    "text with a surrogate": (client_frame(TEXT, b"\xed\xa0\x80"), 1007),
    "text beyond Unicode": (client_frame(TEXT, b"\xf4\x90\x80\x80"), 1007),
    "text that ends within a character": (client_frame(TEXT, EURO[:2]), 1007),
    "fragments that end within a character": (client_frame(TEXT, EURO[:1], False) + client_frame(0, EURO[1:2]), 1007),
    "end without the rest of a character": (client_frame(TEXT, EURO[:2], False) + client_frame(0), 1007),
    "fragment that is no UTF-8": (client_frame(TEXT, EURO, False) + client_frame(0, b"\x80", False), 1007),
    "close with one byte": (client_frame(CLOSE, b"\x03"), 1002),
    "close with code 0": (client_frame(CLOSE, b"\0\0"), 1002),
    "close with code 999": (client_frame(CLOSE, encode_close(999)), 1002),
    "close with code 1005": (client_frame(CLOSE, encode_close(1005)), 1002),
    "close with a reason that is no UTF-8": (client_frame(CLOSE, b"\x03\xe8\xff"), 1007),
}


@pytest.mark.parametrize("name", BAD)
def test_what_the_rfc_forbids_is_refused(name: str) -> None:
    """With what came before still read, and nothing behind it."""
    wire, code = BAD[name]
    assert read_every_way(HELLO + client_frame(PING) + wire + HELLO).outcome == ([(TEXT, b"Hello"), (PING, b"")], code)


@pytest.mark.parametrize(
    ("beginning", "code"),
    [
        ("a1", 1002),  # RSV2
        ("c1", 1002),  # RSV1 without compression
        ("83", 1002),  # opcode
        ("09", 1002),  # fragmented ping
        ("80", 1002),  # continuation of nothing
        ("8105", 1002),  # unmasked
        ("89fe", 1002),  # ping with more than 125 bytes
        ("82fe007d", 1002),  # length that would fit one byte
        ("82ff000000000000ffff", 1002),  # length that would fit two
        ("82ff8000000000000000", 1002),
    ],
)
def test_breach_is_told_by_its_first_bytes(beginning: str, code: int) -> None:
    """There is no need to wait for the rest, which may never come."""
    wire = bytes.fromhex(beginning)
    reading = read_every_way(wire)
    assert reading.outcome == ([], code)
    assert read_parts([wire[:-1]]).outcome == ([], None)


def test_text_is_checked_before_its_frame_is_whole() -> None:
    """As far as it came."""
    wire = client_frame(TEXT, b"a" * 100 + b"\xed\xa0" + b"b" * 100)
    assert read_parts([wire[: -(100 + 1)]]).error_code is None
    assert read_parts([wire[:-100]]).error_code == 1007
    assert read_parts(every_byte(wire[:-100])).error_code == 1007


def test_continuation_must_not_follow_the_end() -> None:
    """Of the message that it would continue."""
    wire = client_frame(TEXT, b"a", False) + client_frame(CONTINUATION, b"b") + client_frame(CONTINUATION, b"c")
    assert read_every_way(wire).outcome == ([(TEXT, b"ab")], 1002)


def test_error_says_what_is_wrong() -> None:
    """The log and the close frame's reader have it from there."""
    reader = FrameReader(is_client=True)
    assert reader.feed(raw_frame(FIN | 5)) == []
    assert str(reader.error) == "Unknown opcode: 5"


def test_nothing_is_read_after_a_breach() -> None:
    """What follows may look like frames, and are none."""
    reader = FrameReader(is_client=True)
    assert reader.feed(raw_frame(FIN | 5)) == []
    error = reader.error
    assert reader.feed(HELLO) == [] and reader.feed(client_frame(CLOSE)) == []
    assert reader.error is error is not None and not reader.is_idle


def test_nothing_is_read_after_a_close() -> None:
    """Nor is anything behind it a breach."""
    reader = FrameReader(is_client=True)
    assert reader.feed(client_frame(CLOSE)) == [Frame(CLOSE, b"")]
    assert reader.feed(HELLO) == [] and reader.feed(b"\xff\xff\xff") == []
    assert reader.error is None and not reader.is_idle


# Origins


@pytest.mark.parametrize(
    "wire",
    [
        encode_frame(TEXT, b"\xff"),
        encode_frame(TEXT, EURO[:1], False) + encode_frame(CONTINUATION, b"\xff"),
        encode_frame(CLOSE, b"\x03"),
        encode_frame(CLOSE, b"\0\0"),
        encode_frame(CLOSE, encode_close(1005)),
        encode_frame(CLOSE, encode_close(60_000)),
    ],
)
def test_text_and_codes_of_origins_are_not_checked(wire: bytes) -> None:
    """They are relayed as they come."""
    assert read_every_way(wire, FROM_ORIGIN).error_code is None


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (HELLO, 1002),
        (client_frame(PING), 1002),
        (encode_frame(3, b""), 1002),
        (encode_frame(TEXT, b"", is_compressed=True), 1002),
        (encode_frame(PING, b"", is_final=False), 1002),
        (encode_frame(CONTINUATION, b"a"), 1002),
        (encode_frame(CLOSE, b"\x03\xe8\xff"), 1007),
    ],
)
def test_frames_of_origins_must_be_frames(wire: bytes, code: int) -> None:
    """And unmasked."""
    before = encode_frame(TEXT, b"\xff")
    assert read_every_way(before + wire, FROM_ORIGIN).outcome == ([(TEXT, b"\xff")], code)


# Limits


def test_size_over_the_limit_is_refused_before_its_bytes_come() -> None:
    """Nothing is kept for a message that is not taken."""
    terms = Terms(message_max_bytes=1000)
    assert read_every_way(client_frame(TEXT, b"x" * 1000), terms).outcome == ([(TEXT, b"x" * 1000)], None)
    too_long = client_frame(TEXT, b"x" * 1001)
    assert read_every_way(too_long, terms).outcome == read_every_way(too_long[:8], terms).outcome == ([], 1009)
    huge = raw_frame(FIN | BINARY, size=b"\x7f" + (2**63 - 1).to_bytes(8, "big"))
    assert read_every_way(huge, terms).outcome == ([], 1009)
    assert read_every_way(huge).outcome == ([], None)


def test_fragments_count_together() -> None:
    """And each message anew; control frames do not."""
    terms = Terms(message_max_bytes=10)
    message = client_frame(TEXT, b"x" * 6, False) + client_frame(PING, b"y" * 100) + client_frame(0, b"x" * 4)
    messages = [(PING, b"y" * 100), (TEXT, b"x" * 10)]
    assert read_every_way(message * 2, terms).outcome == (messages * 2, None)
    too_much = client_frame(BINARY, b"x" * 6, False) + client_frame(CONTINUATION, b"x" * 5)[:6]
    assert read_every_way(message + too_much, terms).outcome == (messages, 1009)


def test_large_frames_come_in_pieces() -> None:
    """Only what is small is kept until it is whole: a declared length costs nothing."""
    small = client_frame(BINARY, b"s" * WHOLE_MAX_BYTES)
    reader = FrameReader(is_client=True)
    assert reader.feed(small[:-1]) == [] and reader.feed(small[-1:]) == [Frame(BINARY, b"s" * WHOLE_MAX_BYTES)]
    large = client_frame(BINARY, b"l" * (WHOLE_MAX_BYTES + 1))
    assert reader.feed(large[:14]) == []
    assert reader.feed(large[14:15]) == [Frame(BINARY, b"l", is_final=False)]
    assert reader.feed(large[15:17]) == [Frame(CONTINUATION, b"ll", is_final=False)]
    assert reader.feed(b"") == []
    assert reader.feed(large[17:-1]) == [Frame(CONTINUATION, b"l" * (WHOLE_MAX_BYTES - 3), is_final=False)]
    assert reader.feed(large[-1:]) == [Frame(CONTINUATION, b"l")]
    assert reader.is_idle


def test_reader_tells_what_it_keeps_and_what_is_missing() -> None:
    """Of a small frame all that came, of a large one nothing; between frames there is neither."""
    reader = FrameReader(is_client=True)
    begun, ping = client_frame(TEXT, b"a", False), client_frame(PING, b"p" * 50)
    message, large = client_frame(CONTINUATION, b"m" * 1000), client_frame(BINARY, b"l" * (WHOLE_MAX_BYTES + 1))
    told = []
    for part in (begun, ping[:3], ping[3:16], ping[16:], message[:7], message[7:108], message[108:], large[:15]):
        reader.feed(part)
        told.append((reader.kept_bytes, reader.missing_bytes))
    assert told == [(0, 0), (3, 0), (10, 40), (0, 0), (7, 0), (100, 900), (0, 0), (0, WHOLE_MAX_BYTES)]
    reader.feed(large[15:] + client_frame(TEXT, b"x" * 50)[:20])
    assert reader.kept_bytes == 14
    reader.feed(b"\0" * 36 + raw_frame(FIN | 3))
    assert (reader.kept_bytes, reader.error is None) == (0, False)


def test_pieces_of_a_fragment_do_not_end_the_message() -> None:
    """Only its last frame does."""
    large = client_frame(TEXT, b"l" * (WHOLE_MAX_BYTES + 1), is_final=False)
    frames = FrameReader(is_client=True).feed(large + client_frame(CONTINUATION))
    assert frames == [Frame(TEXT, b"l" * (WHOLE_MAX_BYTES + 1), False), Frame(CONTINUATION, b"", True)]


def test_text_in_pieces_is_checked_across_them() -> None:
    """A character may be cut between pieces."""
    text = b"a" + EURO * 30_000
    wire = client_frame(TEXT, text)
    assert read_parts([wire[:50_000], wire[50_000:50_001], wire[50_001:]]).outcome == ([(TEXT, text)], None)
    bad = client_frame(TEXT, text[:-1] + b"a")
    reading = read_parts([bad[:-1], bad[-1:]])
    assert reading.outcome == ([], 1007) and reading.begun == (TEXT, text[:-1])


# Compression


def fragments(payload: bytes, sizes: list[int]) -> bytes:
    """A compressed text message in frames of these sizes, and one of the rest."""
    wire, begin, opcode = b"", 0, int(TEXT)
    for size in sizes:
        wire += client_frame(opcode, payload[begin : begin + size], False, is_compressed=opcode == TEXT)
        begin, opcode = begin + size, CONTINUATION
    return wire + client_frame(opcode, payload[begin:], True, is_compressed=opcode == TEXT)


@pytest.mark.parametrize("sizes", [[], [0], [1], [3, 4], [0, 0, 5, 0], [100_000]])
def test_compressed_messages_are_read(sizes: list[int]) -> None:
    """In one frame or more; only the first says that they are."""
    text = "\u20ac and so on ".encode() * 100
    wire = fragments(deflate(text), sizes)
    plain = client_frame(TEXT, b"plain") + client_frame(BINARY, b"\xff")
    expected = [(TEXT, text), (TEXT, b"plain"), (BINARY, b"\xff"), (TEXT, text)]
    assert read_every_way(wire + plain + wire, DEFLATING).outcome == (expected, None)


def test_examples_of_rfc_7692() -> None:
    """Section 7.2.3: a block, fragments, no compression in a block, a final block, two blocks, an empty message."""
    for payload in ("f248cdc9c90700", "000500faff48656c6c6f00", "f348cdc9c9070000", "f24805000000ffffcac9c90700"):
        wire = raw_frame(FIN | RSV1 | TEXT, bytes.fromhex(payload))
        assert read_every_way(wire, DEFLATING).outcome == ([(TEXT, b"Hello")], None)
    wire = raw_frame(RSV1 | TEXT, bytes.fromhex("f248cd")) + raw_frame(FIN, bytes.fromhex("c9c90700"))
    assert read_every_way(wire, DEFLATING).outcome == ([(TEXT, b"Hello")], None)
    assert read_every_way(raw_frame(FIN | RSV1 | TEXT, b"\0"), DEFLATING).outcome == ([(TEXT, b"")], None)


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (raw_frame(FIN | RSV1 | PING), 1002),
        (raw_frame(FIN | RSV1 | CLOSE), 1002),
        (raw_frame(FIN | RSV1), 1002),
        (raw_frame(RSV1 | TEXT, b"\xf2") + raw_frame(FIN | RSV1, b"\x48"), 1002),
        (raw_frame(FIN | RSV1 | RSV2 | TEXT), 1002),
        (raw_frame(FIN | RSV1 | TEXT, b"\xff\xff\xff"), 1007),
        (raw_frame(FIN | RSV1 | TEXT, deflate(b"\xff")), 1007),
        (fragments(deflate(EURO[:2]), [1]), 1007),
        (raw_frame(FIN | RSV1 | TEXT, deflate(bytes(INFLATED_MAX_BYTES + 1))), 1009),
        (fragments(deflate(bytes(INFLATED_MAX_BYTES + 1)), [100, 200]), 1009),
    ],
)
def test_bad_compression_is_refused(wire: bytes, code: int) -> None:
    """Reserved bits where there is nothing to compress, garbage, text that is none, and bombs."""
    before = client_frame(TEXT, deflate(b"good"), is_compressed=True)
    assert read_every_way(before + wire + before, DEFLATING).outcome == ([(TEXT, b"good")], code)


def test_large_compressed_frames_come_in_pieces() -> None:
    """As much of them as can be told already."""
    content = Random(1).randbytes(200_000)
    wire = client_frame(BINARY, deflate(content), is_compressed=True)
    assert len(wire) > WHOLE_MAX_BYTES
    # Single bytes inflate to nothing, now and then.
    reading = read_parts([*every_byte(wire[:1000]), *chopped(wire[1000:], 10_000)], DEFLATING)
    assert reading.outcome == ([(BINARY, content)], None)
    assert len(reading.frames) > 1
    assert all(frame.payload or frame.is_final for frame in reading.frames)
    assert read_every_way(wire, DEFLATING).outcome == ([(BINARY, content)], None)


# Idle connections


@pytest.mark.parametrize(
    ("wire", "is_idle"),
    [
        (b"", True),
        (HELLO, True),
        (client_frame(TEXT, b"a", False) + client_frame(CONTINUATION), True),
        (HELLO[:1], False),
        (HELLO[:7], False),
        (HELLO[:-1], False),
        (client_frame(TEXT, b"a", False), False),
        (client_frame(TEXT, b"", False) + client_frame(PING), False),
        (client_frame(CLOSE), False),
        (b"\xff", False),
    ],
)
def test_reader_is_idle_between_messages(wire: bytes, is_idle: bool) -> None:
    """Only then it may be let go."""
    assert read_every_way(wire).is_idle is is_idle


@pytest.mark.parametrize(
    "wire",
    [
        HELLO[:1],
        HELLO[:5],
        HELLO[:-1],
        client_frame(TEXT, b"x" * 300)[:3],
        client_frame(TEXT, b"x" * 300)[:-1],
        client_frame(BINARY, bytes(WHOLE_MAX_BYTES)),
        client_frame(TEXT, b"a", False),
        client_frame(CLOSE),
        client_frame(TEXT, b"\xff"),
        raw_frame(FIN | PING, bytes(126)),
        raw_frame(FIN | TEXT, b"unmasked", is_masked=False),
        raw_frame(FIN | RSV1 | TEXT, b"a"),
        raw_frame(FIN | TEXT, b"a", size=b"\x7e\x00\x01"),
    ],
)
def test_what_is_not_a_whole_good_message_needs_a_reader(wire: bytes) -> None:
    """Messages before it do not, in the same read."""
    before = HELLO + client_frame(BINARY, b"\xff" * 300) + client_frame(PING) + client_frame(PONG, b"x")
    frames = [Frame(TEXT, b"Hello"), Frame(BINARY, b"\xff" * 300), Frame(PING, b""), Frame(PONG, b"x")]
    assert read_whole(before + wire, is_client=True) == (frames, len(before))
    assert read_whole(wire, is_client=True) == ([], 0)


def test_whole_messages_of_origins_need_no_reader_either() -> None:
    """Nor do compressed ones."""
    wire = encode_frame(TEXT, deflate(b"a" * 1000), is_compressed=True) + encode_frame(TEXT, b"\xff")
    inflater = FROM_ORIGIN.inflater() or DEFLATING.inflater()
    expected = ([Frame(TEXT, b"a" * 1000), Frame(TEXT, b"\xff")], len(wire))
    assert read_whole(wire, is_client=False, inflater=inflater) == expected


def test_shared_inflater_outlives_bad_messages() -> None:
    """It serves all clients of a worker: one's garbage must not become another's message."""
    shared = DEFLATING.inflater()
    good = client_frame(TEXT, deflate(b"good"), is_compressed=True)
    for payload in (b"\xff\xff", deflate(bytes(INFLATED_MAX_BYTES + 1)), deflate(b"\xff"), b"\xf2\x48"):
        read_whole(client_frame(TEXT, payload, is_compressed=True), True, shared)
        assert read_whole(good, True, shared) == ([Frame(TEXT, b"good")], len(good))
