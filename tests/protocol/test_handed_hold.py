"""Records of holds that can ask again, as another version may write them."""

from gripproxy.protocol.handed_batch import decode_batch, encode_batch, read_record
from gripproxy.protocol.handed_hold import HandedResponse, HandedTracked


def test_records_are_read_as_they_were_written() -> None:
    """Also what is a mapping or a pair in them."""
    tracked = HandedTracked(2, 0, (), 0, 0, (), (), group=(1.0, 2.0), sent={"news": 3.0}, doubted={"news": "4"})
    assert read_record(HandedTracked, decode_batch(encode_batch(tracked))) == tracked
    response = HandedResponse(3, 0, (), 0, (), 5.0, 200, b"OK", ((b"A", b"b"),), b"body", is_waiting=True)
    assert read_record(HandedResponse, decode_batch(encode_batch(response))) == response


def test_only_what_a_hold_cannot_be_without_has_to_be_there() -> None:
    """A stream without links, filters and ids is one, too."""
    assert read_record(HandedTracked, (2, 0, (), 0, 0, (), ())).link is None
    assert not read_record(HandedResponse, (3, 0, (), 0, (), 5.0, 200, b"OK", (), b"")).is_waiting
