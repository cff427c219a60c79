"""What was read of a WebSocket peer, decoded a slice at a time."""

import random

import pytest

from gripproxy.protocol.permessage_deflate import (
    INFLATED_MAX_BYTES,
    ORIGIN_INFLATED_MAX_BYTES,
    STREAM_BYTES,
    deflate,
)
from gripproxy.protocol.websocket_frame import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    Frame,
    encode_frame,
    encode_masked_frame,
)
from gripproxy.protocol.websocket_reader import WHOLE_MAX_BYTES
from gripproxy_worker.ws_input import SLICE_BYTES, WsInput, WsKind, frame_size
from tests.worker.socket_bench import masked

CLIENTS = WsKind(is_client=True, is_deflating=False)
ORIGINS = WsKind(is_client=False, is_deflating=False)


def all_frames(source: WsInput, kind: WsKind) -> list[Frame]:
    """Decode all that waits."""
    frames: list[Frame] = []
    while source.is_waiting:
        came, error = source.step(kind)
        assert error is None, error
        frames += came
    return frames


def test_flood_of_small_frames_takes_many_steps() -> None:
    """Each step is to be short, whatever a peer sends: here what is no head would be that of a large frame."""
    source = WsInput()
    source.put(encode_masked_frame(PING, b"", True, b"\xff\xff\xff\xff") * 10_000)
    counts = []
    while source.is_waiting:
        frames, error = source.step(CLIENTS)
        assert error is None
        counts.append(len(frames))
    assert sum(counts) == 10_000
    assert max(counts) <= SLICE_BYTES // 6 + 1
    assert source.is_idle


@pytest.mark.parametrize("size", [SLICE_BYTES + 1, 20_000, 60_000])
def test_large_frame_is_decoded_at_once(size: int) -> None:
    """Slices of it would be put together again."""
    source = WsInput()
    source.put(encode_frame(BINARY, b"x" * size) + encode_frame(PING, b""))
    assert source.step(ORIGINS)[0][0] == Frame(BINARY, b"x" * size)
    all_frames(source, ORIGINS)
    assert source.is_idle


def test_rest_of_a_frame_under_way_is_decoded_at_once() -> None:
    """Its bytes can be no flood."""
    size = 10 * WHOLE_MAX_BYTES
    frame = encode_frame(BINARY, b"y" * size)
    source = WsInput()
    frames = []
    for begin in range(0, len(frame), WHOLE_MAX_BYTES):
        source.put(frame[begin : begin + WHOLE_MAX_BYTES])
        frames += all_frames(source, ORIGINS)
    assert b"".join(frame.payload for frame in frames) == b"y" * size
    assert len(frames) <= 12
    assert source.is_idle


def test_any_cut_gives_the_same_messages() -> None:
    """Slices, reads and frames all begin and end anywhere."""
    chance = random.Random(7)
    for _ in range(50):
        sent = [(chance.choice((TEXT, BINARY, PING)), chance.randrange(126)) for _ in range(200)]
        sent += [(BINARY, chance.randrange(30_000)) for _ in range(5)]
        chance.shuffle(sent)
        stream = b"".join(masked(opcode, b"z" * size) for opcode, size in sent)
        source = WsInput()
        frames = []
        while stream:
            size = chance.choice((1, 5, 100, 5000, 70_000))
            source.put(stream[:size])
            stream = stream[size:]
            frames += source.step(CLIENTS)[0]
        frames += all_frames(source, CLIENTS)
        assert [(frame.opcode, len(frame.payload)) for frame in frames] == sent
        assert source.is_idle


def test_nothing_behind_a_close_is_decoded() -> None:
    source = WsInput()
    source.put(masked(TEXT, b"last") + masked(CLOSE) + masked(TEXT, b"too late"))
    assert source.step(CLIENTS) == ([Frame(TEXT, b"last"), Frame(CLOSE, b"")], None)
    source.put(masked(TEXT, b"even later"))
    assert source.is_closed and not source.is_waiting and not source.is_idle


def test_nothing_behind_a_breach_is_decoded() -> None:
    source = WsInput()
    source.put(masked(TEXT, b"good") + encode_frame(TEXT, b"not masked") + masked(TEXT, b"good again"))
    frames, error = source.step(CLIENTS)
    assert frames == [Frame(TEXT, b"good")] and error is not None and error.code == 1002
    assert source.is_closed and not source.is_waiting


def test_message_in_fragments_is_remembered_between_them() -> None:
    source = WsInput()
    source.put(masked(TEXT, b"a", is_final=False))
    assert source.step(CLIENTS) == ([Frame(TEXT, b"a", is_final=False)], None)
    assert not source.is_idle and source.kept_bytes == 0
    source.put(masked(CONTINUATION, b"b")[:5])
    assert source.step(CLIENTS) == ([], None)
    assert source.kept_bytes == 5
    source = WsInput()
    source.put(masked(BINARY, b"b" * 1000)[:900])
    source.step(CLIENTS)
    assert source.kept_bytes == 900 - 8


def test_window_of_a_message_that_is_not_whole_counts() -> None:
    """Thousands of clients that never end a message would keep 45 KB each."""
    kind = WsKind(is_client=True, is_deflating=True)
    payload = deflate(b"y" * 50_000)
    source = WsInput()
    source.put(encode_masked_frame(BINARY, payload, False, b"key.", is_compressed=True))
    assert b"".join([frame.payload for frame in all_frames(source, kind)]) == b"y" * 50_000
    assert source.kept_bytes == STREAM_BYTES
    source.put(masked(CONTINUATION, b""))
    all_frames(source, kind)
    assert source.kept_bytes == 0 and source.is_idle


@pytest.mark.parametrize("size", [60_000, 1_000_000])
def test_slice_of_deflated_input_becomes_hardly_more_than_one_message(size: int) -> None:
    """4 KB would become 4 MB, which for many clients fills the memory before any of them is asked to pause."""
    kind = WsKind(is_client=False, is_deflating=True)
    frame = encode_frame(BINARY, deflate(b"\0" * size), is_compressed=True)
    source = WsInput()
    source.put(frame * 60)
    made_bytes = 0
    while source.is_waiting:
        frames, error = source.step(kind)
        assert error is None
        slice_bytes = sum(len(frame.payload) for frame in frames)
        assert slice_bytes <= 1_300_000
        made_bytes += slice_bytes
    assert made_bytes == 60 * size


@pytest.mark.parametrize(("is_client", "max_bytes"), [(True, INFLATED_MAX_BYTES), (False, ORIGIN_INFLATED_MAX_BYTES)])
@pytest.mark.parametrize("is_fragmented", [False, True])
def test_deflated_message_has_a_limit_without_any(is_client: bool, max_bytes: int, is_fragmented: bool) -> None:
    """Also where messages have none, and in fragments: 1,000 bytes become a million."""

    def frame(opcode: int, payload: bytes, is_final: bool, is_compressed: bool) -> bytes:
        if is_client:
            return encode_masked_frame(opcode, payload, is_final, b"key.", is_compressed)
        return encode_frame(opcode, payload, is_final, is_compressed)

    kind = WsKind(is_client, is_deflating=True)
    for size, code in ((max_bytes, None), (max_bytes + 1, 1009)):
        payload = deflate(b"\0" * size)
        cut = 100 if is_fragmented else len(payload)
        source, error = WsInput(), None
        source.put(frame(BINARY, payload[:cut], not is_fragmented, True))
        if is_fragmented:
            source.put(frame(CONTINUATION, payload[cut:], True, False))
        while source.is_waiting:
            error = source.step(kind)[1]
        assert (None if error is None else error.code) == code


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_size_of_a_frame_is_told_by_its_head(size: int) -> None:
    for frame in (masked(BINARY, b"x" * size), encode_frame(BINARY, b"x" * size)):
        assert frame_size(b"before" + frame + b"behind behind", 6) == len(frame)
        assert frame_size(frame[:9], 0) == 0
