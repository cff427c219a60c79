"""Fuzz targets for WebSockets: what their clients and origins send."""

from gripproxy.errors import OriginError
from gripproxy.protocol.permessage_deflate import agree
from gripproxy.protocol.websocket_close import decode_close, encode_close
from gripproxy.protocol.websocket_events import decode_events, encode_events, frame_of
from gripproxy.protocol.websocket_frame import CLOSE, TEXT, encode_frame, encode_masked_frame
from gripproxy.protocol.websocket_handshake import message_prefix_of
from tests.protocol.websocket_streams import KEY, Reading, Terms, read_lazily, read_parts

CLIENT, DEFLATING, LIMITED = 0x80, 0x40, 0x20  # bits of the first byte
LIMIT_BYTES = 300


def websocket_frames(data: bytes) -> None:
    """Frames come out the same wherever the network cuts their bytes, and can be sent on as they came.

    The first byte says whose stream it is and where it is cut; a second cut is in the middle.
    """
    bits, wire = (data[0], data[1:]) if data else (0, b"")
    terms = Terms(bool(bits & CLIENT), bool(bits & DEFLATING), LIMIT_BYTES if bits & LIMITED else 0)
    first, second = sorted((bits & 0x1F, len(wire) // 2))
    parts = [wire[:first], wire[first:second], wire[second:]]
    whole = read_parts([wire], terms)
    for other in (read_parts(parts, terms), read_lazily(parts, terms), read_lazily([wire], terms)):
        assert other.outcome == whole.outcome, (other, whole)
        assert other.is_idle is whole.is_idle
    check_frames(whole, terms)


def check_frames(reading: Reading, terms: Terms) -> None:
    """They are frames."""
    if terms.is_client:
        for opcode, payload in reading.messages:
            if opcode == TEXT:
                payload.decode()
            elif opcode == CLOSE:
                code, reason = decode_close(payload)
                assert encode_close(code, reason) == payload
    to_client = b"".join(encode_frame(frame.opcode, frame.payload, frame.is_final) for frame in reading.frames)
    to_origin = [encode_masked_frame(frame.opcode, frame.payload, frame.is_final, KEY) for frame in reading.frames]
    assert read_parts([to_client], Terms(is_client=False)).outcome == (reading.messages, None)
    if terms.is_client:
        assert read_parts(to_origin).outcome == (reading.messages, None)


def websocket_extensions(data: bytes) -> None:
    """The values of Sec-WebSocket-Extensions, a line each: anything may stand there."""
    lines = data.replace(b"\r", b"").replace(b"\0", b"").split(b"\n")
    answer = agree(lines)
    assert answer is None or (answer.startswith(b"permessage-deflate") and b"\n" not in answer)
    prefix = message_prefix_of([(b"Sec-WebSocket-Extensions", line) for line in lines])
    assert prefix is None or isinstance(prefix, bytes)


def websocket_events(data: bytes) -> None:
    """An origin's events can be written again, and say the same; the last one may have been cut off."""
    try:
        events = decode_events(data)
    except OriginError:
        return
    frames = [frame for frame in map(frame_of, events) if frame is not None]
    again = decode_events(encode_events(frames))
    assert [frame_of(event) for event in again] == frames
