"""Records of WebSocket clients, as another version may write them."""

from gripproxy.protocol.handed_batch import decode_batch, encode_batch, read_record
from gripproxy.protocol.handed_socket import HandedDelayed, HandedOrigin, HandedSocket, HandedSocketShape


def test_record_is_read_as_it_was_written() -> None:
    """With all that is in it."""
    origin = HandedOrigin(b"/path\0id", 20, ((b"A", b"b"),), 3, 12.5)
    delayed = HandedDelayed(1, b"later", 4.0)
    record = HandedSocket(
        *(4, 0, (), 0, 0, True, 7, origin, b"/path", 0, 1.5, {"news": ("skip-self",)}, {"user": "a"}, delayed)
    )
    read = read_record(HandedSocket, decode_batch(encode_batch(record)))
    assert read == record
    assert read_record(HandedOrigin, read.origin) == origin
    assert read_record(HandedDelayed, read.delayed) == delayed


def test_only_what_a_session_cannot_be_without_has_to_be_there() -> None:
    """Most have neither filters nor meta, and wait for nothing."""
    plain = read_record(HandedSocket, (4, 0, (), 0, 0))
    assert (plain.origin, plain.keep_alive, plain.filters, plain.delayed, plain.is_detached) == (None,) * 4 + (False,)
    assert read_record(HandedSocketShape, (0, 0, "", (False, "d.test", "/"))).message_prefix is None
    assert read_record(HandedOrigin, (b"values",)).interval_s == 0
