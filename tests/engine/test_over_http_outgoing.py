"""What waits for an origin over HTTP: what is offered, and what is left when it was taken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.engine.over_http_outgoing import CONTENT_MAX_BYTES, EVENT_BYTES, OutgoingEvents
from gripproxy.errors import OriginError
from gripproxy.protocol.websocket_events import decode_events
from gripproxy.protocol.websocket_frame import BINARY, CONTINUATION, PING, TEXT, Frame


def waiting(*frames: Frame) -> OutgoingEvents:
    outgoing = OutgoingEvents()
    for frame in frames:
        outgoing.push(frame)
    return outgoing


def offered(outgoing: OutgoingEvents, is_single: bool = False) -> bytes:
    outgoing.offer(is_single)
    return outgoing.encode_offered()


def test_all_that_waits_is_offered_at_once() -> None:
    outgoing = waiting(Frame(TEXT, b"a"), Frame(PING, b""), Frame(BINARY, b""))
    assert offered(outgoing) == b"TEXT 1\r\na\r\nPING\r\nBINARY 0\r\n\r\n"
    assert not outgoing.is_fresh
    outgoing.take(None)
    assert outgoing.is_empty


def test_what_comes_later_is_not_in_a_repetition() -> None:
    outgoing = waiting(Frame(TEXT, b"a"))
    outgoing.offer(is_single=False)
    outgoing.push(Frame(TEXT, b"b"))
    assert outgoing.is_fresh
    assert outgoing.encode_offered() == b"TEXT 1\r\na\r\n"
    outgoing.take(1)
    assert offered(outgoing) == b"TEXT 1\r\nb\r\n"


def test_messages_in_pieces_wait_until_they_are_whole() -> None:
    """A ping may come between."""
    outgoing = waiting(Frame(TEXT, b"ab", False), Frame(PING, b"p"), Frame(CONTINUATION, b"", False))
    assert offered(outgoing) == b"PING 1\r\np\r\n"
    outgoing.take(None)
    assert not outgoing.is_fresh
    assert not outgoing.is_empty
    outgoing.push(Frame(CONTINUATION, b"cd"))
    assert offered(outgoing) == b"TEXT 4\r\nabcd\r\n"


def test_thousands_of_pieces_are_one_message() -> None:
    outgoing = waiting(Frame(BINARY, b"", False), *[Frame(CONTINUATION, b"%d" % (n % 10), False) for n in range(5000)])
    outgoing.push(Frame(CONTINUATION, b"!"))
    assert offered(outgoing) == b"BINARY 1389\r\n" + b"0123456789" * 500 + b"!\r\n"


def test_a_close_is_the_last_and_drops_what_is_not_whole() -> None:
    outgoing = waiting(Frame(TEXT, b"a"), Frame(TEXT, b"never whole", False))
    outgoing.close(b"\x03\xe8bye")
    assert outgoing.has_close
    assert offered(outgoing) == b"TEXT 1\r\na\r\nCLOSE 5\r\n\x03\xe8bye\r\n"
    outgoing.take(None)
    assert not outgoing.has_close
    assert outgoing.is_empty


def test_one_request_has_room_for_so_much() -> None:
    half = CONTENT_MAX_BYTES // 2
    outgoing = waiting(Frame(TEXT, b"a" * half), Frame(TEXT, b"b" * half), Frame(TEXT, b"c"))
    assert len(offered(outgoing)) == CONTENT_MAX_BYTES + 2 * len(b"TEXT 186a0\r\n\r\n")
    outgoing.take(None)
    assert outgoing.is_fresh
    assert offered(outgoing) == b"TEXT 1\r\nc\r\n"


def test_one_event_at_a_time_where_the_origin_wants_that() -> None:
    outgoing = waiting(Frame(TEXT, b"a"), Frame(TEXT, b""))
    outgoing.close(b"")
    bodies = []
    while outgoing.is_fresh:
        bodies.append(offered(outgoing, is_single=True))
        outgoing.take(None)
    assert bodies == [b"TEXT 1\r\na\r\n", b"TEXT 0\r\n\r\n", b"CLOSE\r\n"]


def test_a_client_is_stopped_before_it_fills_us() -> None:
    """Also by empty messages, which are not free."""
    outgoing = waiting(Frame(TEXT, b"x" * (CONTENT_MAX_BYTES - EVENT_BYTES - 1)))
    assert not outgoing.is_full
    outgoing.push(Frame(TEXT, b""))
    assert outgoing.is_full
    outgoing.offer(is_single=False)
    assert outgoing.is_full  # until it is taken
    outgoing.take(None)
    assert not outgoing.is_full
    flood = waiting(*[Frame(PING, b"")] * (CONTENT_MAX_BYTES // EVENT_BYTES))
    assert flood.is_full


def test_a_message_that_is_too_large_ever_to_be_whole_is_noticed() -> None:
    outgoing = waiting(Frame(TEXT, b"a"), Frame(TEXT, b"x" * CONTENT_MAX_BYTES, False))
    assert outgoing.is_full
    assert not outgoing.is_stuck  # the first is still on its way
    outgoing.offer(is_single=False)
    outgoing.take(None)
    assert outgoing.is_stuck


def test_what_an_origin_did_not_accept_is_offered_again() -> None:
    """With what came meanwhile; and it is told how much it has seen before."""
    outgoing = waiting(Frame(TEXT, b"abc"), Frame(BINARY, b"defg"))
    outgoing.offer(is_single=False)
    outgoing.take(5)
    assert not outgoing.is_fresh
    assert outgoing.replayed_bytes == 2
    outgoing.push(Frame(TEXT, b"h"))
    assert offered(outgoing) == b"BINARY 2\r\nfg\r\nTEXT 1\r\nh\r\n"
    outgoing.take(3)
    assert outgoing.is_empty
    assert outgoing.replayed_bytes == 0


def test_a_message_may_be_accepted_byte_by_byte() -> None:
    outgoing = waiting(Frame(TEXT, b"abcd"))
    for left in (b"abcd", b"bcd", b"cd", b"d"):
        assert offered(outgoing) == b"TEXT %d\r\n%s\r\n" % (len(left), left)
        outgoing.take(1)
    assert outgoing.is_empty


def test_nothing_accepted_is_everything_again() -> None:
    outgoing = waiting(Frame(TEXT, b""), Frame(TEXT, b"ab"))
    outgoing.offer(is_single=False)
    outgoing.take(0)
    assert outgoing.replayed_bytes == 2
    assert not outgoing.is_fresh
    assert offered(outgoing) == b"TEXT 0\r\n\r\nTEXT 2\r\nab\r\n"


def test_what_had_no_room_follows_at_once() -> None:
    large = Frame(TEXT, b"x" * CONTENT_MAX_BYTES)
    outgoing = waiting(large, Frame(TEXT, b"yyy"))
    outgoing.offer(is_single=False)
    outgoing.take(1)
    assert outgoing.is_fresh
    outgoing.offer(is_single=False)
    with pytest.raises(OriginError, match="accepted nothing"):
        outgoing.take(0)


def test_more_than_was_offered_cannot_be_accepted() -> None:
    outgoing = waiting(Frame(TEXT, b"ab"))
    outgoing.offer(is_single=False)
    with pytest.raises(OriginError, match="accepted 3 bytes of 2"):
        outgoing.take(3)


def test_a_close_waits_for_what_is_before_it() -> None:
    outgoing = waiting(Frame(TEXT, b"abc"))
    outgoing.close(b"\x03\xe8")
    outgoing.offer(is_single=False)
    outgoing.take(2)
    assert outgoing.is_fresh
    assert outgoing.replayed_bytes == 1
    assert offered(outgoing) == b"TEXT 1\r\nc\r\nCLOSE 2\r\n\x03\xe8\r\n"
    outgoing.take(3)
    assert outgoing.is_empty


@pytest.mark.parametrize("accepted_bytes", [3, 4])
def test_a_close_is_not_accepted_by_half(accepted_bytes: int) -> None:
    outgoing = waiting(Frame(TEXT, b"abc"))
    outgoing.close(b"\x03\xe8")
    outgoing.offer(is_single=False)
    with pytest.raises(OriginError, match="not the close"):
        outgoing.take(accepted_bytes)


def test_a_close_without_content_goes_with_what_is_before_it() -> None:
    outgoing = waiting(Frame(TEXT, b"abc"))
    outgoing.close(b"")
    outgoing.offer(is_single=False)
    outgoing.take(0)
    assert outgoing.has_close
    assert not outgoing.is_fresh  # an origin that takes nothing is not asked in a circle
    outgoing.offer(is_single=False)
    outgoing.take(3)
    assert not outgoing.has_close


def test_only_the_last_request_survives_its_client() -> None:
    outgoing = waiting(Frame(TEXT, b"a"), Frame(BINARY, b"half", False))
    outgoing.offer(is_single=False)
    outgoing.push(Frame(TEXT, b"b"))
    outgoing.forget()
    assert outgoing.encode_offered() == b"TEXT 1\r\na\r\n"
    outgoing.take(None)
    assert outgoing.is_empty
    assert not outgoing.is_full


@given(
    st.lists(st.binary(max_size=5), max_size=8),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 3), st.none() | st.floats(0, 1)), max_size=20),
)
def test_nothing_is_lost_or_sent_twice(
    contents: list[bytes], is_single: bool, steps: list[tuple[int, float | None]]
) -> None:
    """Whatever an origin accepts of each request, in the end it has had every byte once, in order."""
    outgoing = OutgoingEvents()
    pending = list(contents)
    had = b""
    for pushed_count, share in [*steps, (len(contents), None), *[(0, None)] * len(contents)]:
        for content in pending[:pushed_count]:
            outgoing.push(Frame(TEXT, content))
        del pending[:pushed_count]
        seen = b"".join([event.content for event in decode_events(offered(outgoing, is_single))])
        accepted_bytes = None if share is None else max(min(1, len(seen)), int(share * len(seen)))
        outgoing.take(accepted_bytes)
        had += seen[:accepted_bytes]
        assert outgoing.replayed_bytes == (0 if accepted_bytes is None else len(seen) - accepted_bytes)
    assert had == b"".join(contents)
    assert outgoing.is_empty
    assert not outgoing.is_full
