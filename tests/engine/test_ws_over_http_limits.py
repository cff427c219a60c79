"""How much may wait between a client and its origin over HTTP, either way; and what an origin takes in part."""

import pytest

from gripproxy.engine import ws_over_http
from gripproxy.engine.effects import AwaitReader, Cut, DropLink, EndSocket, PauseClient, Write
from gripproxy.engine.ws_over_http import EVENTS_MAX_COUNT
from gripproxy.protocol.websocket_events import encode_events
from gripproxy.protocol.websocket_frame import CONTINUATION, TEXT, Frame, encode_frame
from tests.engine.events_conversation import (
    GRIP,
    INTERVAL,
    close,
    is_dropped,
    lines_of,
    opened,
    says,
    text,
)

DETACH = encode_events([text(b'c:{"type":"detach"}')])

# How much may wait.


def test_a_client_that_sends_more_than_its_origin_takes_is_not_read() -> None:
    talk = opened()
    assert says(talk, text(b"x" * 150_000)) == []
    assert says(talk, text(b"y" * 60_000)) == [PauseClient(4, True)]
    assert says(talk, text(b"z")) == []
    assert talk.answers() == [PauseClient(4, False)]
    assert talk.body == b"TEXT ea60\r\n" + b"y" * 60_000 + b"\r\nTEXT 1\r\nz\r\n"


def test_a_paused_client_is_read_again_when_its_close_is_wanted() -> None:
    talk = opened()
    says(talk, text(b"x" * 150_000))
    says(talk, text(b"y" * 150_000), text(b"z" * 150_000))
    effects = talk.answers(b"CLOSE\r\n")
    assert effects == [PauseClient(4, False), Write(4, b"\x88\x02\x03\xe8")]


def test_a_paused_client_is_read_again_when_it_is_detached() -> None:
    talk = opened(GRIP)
    says(talk, text(b"x" * 150_000))
    says(talk, text(b"y" * 150_000), text(b"z" * 150_000))
    assert talk.answers(DETACH) == [PauseClient(4, False)]


def test_a_message_that_fills_the_buffer_ends_the_session() -> None:
    talk = opened()
    assert is_dropped(says(talk, Frame(TEXT, b"x" * 200_000, False)))
    talk = opened()
    says(talk, text(b"first"))
    assert says(talk, Frame(TEXT, b"x" * 200_000, False)) == [PauseClient(4, True)]
    assert is_dropped(talk.answers())


def test_a_client_that_does_not_read_is_waited_for() -> None:
    """Its origin is not asked for more meanwhile, by nobody's wish."""
    talk = opened(INTERVAL)
    says(talk, text(b"x"))
    large = b"TEXT 10000\r\n" + b"x" * 65_536 + b"\r\n"
    assert talk.answers(large) == [Write(4, encode_frame(TEXT, b"x" * 65_536))]
    says(talk, text(b"y"))
    assert talk.answers(b"TEXT 1\r\nz\r\n")[1:] == [AwaitReader(4)]
    session = talk.session()
    assert session is not None
    says(talk, text(b"later"))
    talk.core.sockets.refresh(session, talk.now)
    talk.waits(60)
    assert talk.is_quiet
    talk.reads()
    assert talk.body == b"TEXT 5\r\nlater\r\n"
    assert talk.answers(b"TEXT 1\r\nz\r\n") == [Write(4, b"\x81\x01z")]


def many_events(count: int) -> bytes:
    return b"".join([b"TEXT 4\r\n%04d\r\n" % number for number in range(count)])


def test_an_answer_of_many_events_takes_its_time() -> None:
    """All other clients of the worker would have to wait: 1 MB may hold 166,666 events."""
    talk = opened()
    says(talk, text(b"x"))
    effects = talk.answers(many_events(2500))
    assert len(effects) == EVENTS_MAX_COUNT
    says(talk, text(b"later"))
    session = talk.session()
    assert session is not None
    talk.core.sockets.refresh(session, talk.now)
    assert talk.is_quiet
    effects += talk.waits(0.25)
    assert len(effects) == 2 * EVENTS_MAX_COUNT and talk.is_quiet
    effects += talk.waits(0.25)
    assert effects[:2500] == [Write(4, b"\x81\x04%04d" % number) for number in range(2500)]
    assert talk.body == b"TEXT 5\r\nlater\r\n"


def test_an_answer_of_many_events_waits_for_its_reader() -> None:
    talk = opened()
    says(talk, text(b"x"))
    effects = talk.answers(encode_events([text(b"y" * 100)] * 1500))
    assert len(effects) == EVENTS_MAX_COUNT + 1 and effects[-1] == AwaitReader(4)
    assert talk.waits(5) == []
    assert talk.reads() == []
    assert len(talk.waits(0.25)) == 500
    assert talk.is_quiet


def test_the_rest_of_an_answer_is_not_for_who_has_left() -> None:
    talk = opened()
    says(talk, text(b"x"))
    talk.answers(many_events(2500))
    talk.note(talk.leaves(4))
    assert talk.body == b"DISCONNECT\r\n"
    talk.answers()
    assert talk.waits(5) == []
    assert talk.is_quiet


def test_the_rest_of_an_answer_is_not_for_who_is_detached() -> None:
    talk = opened(GRIP)
    says(talk, text(b"x"))
    assert talk.answers(DETACH + many_events(2500)) == []
    talk.answers()
    assert talk.waits(5) == []
    assert talk.is_quiet


def test_an_answer_of_many_events_may_end_with_a_close() -> None:
    """Also the client may have closed meanwhile, and gets what was said before."""
    for is_client_first in (False, True):
        talk = opened()
        says(talk, text(b"x"))
        talk.answers(many_events(1500) + b"CLOSE\r\n")
        if is_client_first:
            says(talk, close())
        effects = talk.waits(0.25)
        assert len([effect for effect in effects if isinstance(effect, Write)]) == 501 - is_client_first
        assert isinstance(effects[-1], EndSocket if is_client_first else Write)


def test_a_client_that_never_reads_can_be_lost() -> None:
    talk = opened()
    says(talk, text(b"x"))
    talk.answers(b"TEXT 20000\r\n" + b"x" * 131_072 + b"\r\n")
    says(talk, text(b"never sent"))
    talk.note(talk.leaves(4))
    assert talk.body == b"DISCONNECT\r\n"


def test_reading_is_news_only_to_who_waits_for_it() -> None:
    talk = opened()
    assert talk.reads() == []
    assert talk.is_quiet


def test_who_waits_for_an_origin_for_longest_is_dropped_if_it_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of thousands of clients may have 200 KB for an origin, if that hangs, or if they never end a message."""
    monkeypatch.setattr(ws_over_http, "WAITING_MAX_BYTES", 100_000)
    talk = opened()
    talk.opens(conn_id=5)
    over_http = talk.core.sockets.over_http
    says(talk, Frame(TEXT, b"x" * 60_000, False))
    assert talk.client_sends(5, Frame(TEXT, b"y" * 30_000, False)) == []
    assert is_dropped(talk.client_sends(5, Frame(CONTINUATION, b"y" * 30_000, False)))
    talk.leaves(4)
    assert over_http._waiting_bytes == 60_000
    talk.note(talk.client_sends(5, Frame(CONTINUATION, b"y")))
    assert over_http._waiting_bytes == 60_101
    talk.answers()
    assert talk.is_quiet
    assert over_http._waiting_bytes == 0 and over_http._waiting == {}


def test_who_is_answered_begins_to_wait_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that always has something to say is not the one who waits for longest."""
    monkeypatch.setattr(ws_over_http, "WAITING_MAX_BYTES", 100_000)
    talk = opened()
    talk.opens(conn_id=5)
    says(talk, text(b"busy"))
    assert talk.client_sends(5, Frame(TEXT, b"x" * 60_000, False)) == []
    says(talk, Frame(TEXT, b"y" * 30_000, False))
    talk.answers()
    assert Cut(5) in says(talk, Frame(CONTINUATION, b"y" * 30_000, False))


def test_what_is_in_a_request_waits_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ws_over_http, "WAITING_MAX_BYTES", 100_000)
    talk = opened()
    over_http = talk.core.sockets.over_http
    says(talk, text(b"x" * 60_000))
    asked = talk.asked
    assert asked is not None
    effects = says(talk, text(b"x" * 50_000))
    assert effects[0] == DropLink(asked.link_id) and is_dropped(effects)
    assert talk.is_quiet
    assert over_http._waiting_bytes == 0 and over_http._waiting == {}


def test_what_waits_for_a_repetition_ends_with_its_client(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = opened()
    says(talk, text(b"x" * 60_000))
    talk.fails()
    monkeypatch.setattr(ws_over_http, "WAITING_MAX_BYTES", 60_000)
    assert is_dropped(says(talk, text(b"y")))
    talk.leaves(4)
    assert talk.waits(5) == []
    assert talk.is_quiet


def test_nothing_waits_for_an_origin_that_is_done_with() -> None:
    talk = opened(GRIP)
    over_http = talk.core.sockets.over_http
    says(talk, text(b"x" * 60_000), text(b"y"))
    says(talk, text(b"z" * 60_000))
    talk.note(talk.leaves(4))
    talk.answers(b"", (b"Content-Bytes-Accepted", b"5"))
    assert talk.body == b"DISCONNECT\r\n"
    talk.answers()
    assert talk.is_quiet
    assert over_http._waiting_bytes == 0 and over_http._waiting == {}


# Partial acceptance.


def test_what_was_not_accepted_waits_for_an_occasion() -> None:
    talk = opened(INTERVAL)
    says(talk, text(b"abc"))
    talk.answers(b"", (b"Content-Bytes-Accepted", b"1"))
    assert talk.is_quiet
    says(talk, text(b"d"))
    assert talk.body == b"TEXT 2\r\nbc\r\nTEXT 1\r\nd\r\n"
    assert talk.asked is not None
    assert b"Content-Bytes-Replayed: 2" in lines_of(talk.asked)
    talk.answers(b"", (b"Content-Bytes-Accepted", b"0"))
    talk.waits(31)
    assert talk.body == b"TEXT 2\r\nbc\r\nTEXT 1\r\nd\r\n"
    assert b"Content-Bytes-Replayed: 3" in lines_of(talk.asked)
    talk.answers()
    says(talk, text(b"e"))
    assert b"Replayed" not in talk.asked.head


def test_a_close_that_nothing_of_is_accepted_is_not_sent_in_circles() -> None:
    talk = opened()
    says(talk, text(b"abc"), close())
    assert talk.answers(b"", (b"Content-Bytes-Accepted", b"2")) == []
    assert talk.body == b"TEXT 1\r\nc\r\nCLOSE 2\r\n\x03\xe8\r\n"
    assert is_dropped(talk.answers(b"", (b"Content-Bytes-Accepted", b"0")))
