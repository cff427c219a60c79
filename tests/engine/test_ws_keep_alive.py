"""What WebSocket clients are sent at a time: keep-alives and delayed messages."""

import gc
import weakref

import pytest

from gripproxy.engine.effects import Deliver, Write
from gripproxy.engine.ws_session import DETACHED, Incoming
from gripproxy.protocol.publish_format import WsMessageFormat, WsMessageType
from gripproxy.protocol.telemetry import Traffic
from gripproxy.protocol.websocket_frame import BINARY, PING, TEXT, encode_frame
from tests.engine.socket_table import SocketTable, delivered

BEAT = encode_frame(TEXT, b"beat")
LATER = encode_frame(TEXT, b"later")


def test_keep_alive_comes_after_its_time_and_again() -> None:
    """Also without any traffic of the client's: it is for what lies between."""
    table = SocketTable()
    session = table.connect(4)
    assert table.say(session, type="keep-alive", content="beat", timeout=10) == []
    assert table.holds.tick(9.9) == []
    assert table.holds.tick(10.5) == [Deliver(BEAT, [4], is_keep_alive=True)]
    assert table.holds.tick(20.0) == []
    assert delivered(table.holds.tick(21.0)) == [(BEAT, [4])]
    assert session.traffic.values[Traffic.ACTIVITY] == 2


@pytest.mark.parametrize(("jitter", "due_at"), [(0.0, 55.25), (0.999, 54.251)])
def test_keep_alives_are_spread_by_up_to_a_second(jitter: float, due_at: float) -> None:
    """A million clients that came together are not sent to at once. 55 s is what counts where nothing is said."""
    table = SocketTable(jitter=jitter)
    session = table.connect(4)
    table.say(session, type="keep-alive", content="beat")
    assert table.holds.tick(due_at - 0.5) == []
    assert delivered(table.holds.tick(due_at)) == [(BEAT, [4])]


def test_frame_to_the_client_puts_it_off() -> None:
    """It is for quiet connections."""
    table = SocketTable()
    session = table.connect(4)
    table.say(session, type="keep-alive", content="beat", timeout=10)
    table.timers.on_written(session, 6.0)
    assert table.holds.tick(15.9) == []
    assert delivered(table.holds.tick(16.5)) == [(BEAT, [4])]


def test_frames_to_the_client_are_activity_once_in_a_minute() -> None:
    """Statistics tell it of a connection that goes on."""
    table = SocketTable()
    session = table.connect(4)
    for now in (0.0, 30.0, 61.0, 62.0):
        table.holds.accounts.traffic.tick(now)
        table.timers.on_written(session, now)
    assert session.traffic.values[Traffic.ACTIVITY] == 1


def test_published_message_puts_it_off_for_all_of_the_channel() -> None:
    """Nobody goes through ten thousand clients to say so: who is due looks at his channels."""
    table = SocketTable()
    session = table.connect(4)
    table.subscribe(session)
    table.say(session, type="keep-alive", content="beat", timeout=10)
    table.publish(WsMessageFormat(content=b"x"), now=7.0)
    assert table.holds.tick(10.5) == []
    assert table.holds.tick(16.5) == []
    assert delivered(table.holds.tick(17.5)) == [(BEAT, [4])]


def test_message_that_a_filter_keeps_back_puts_nothing_off() -> None:
    """This client did not get it."""
    table = SocketTable()
    session = table.connect(4)
    table.subscribe(session, "news", "skip-self")
    table.say(session, type="set-meta", name="user", value="ann")
    table.say(session, type="keep-alive", content="beat", timeout=10)
    table.publish(WsMessageFormat(content=b"x"), now=7.0, sender="ann")
    assert delivered(table.holds.tick(10.5)) == [(BEAT, [4])]
    table.publish(WsMessageFormat(content=b"x"), now=18.0, sender="bob")
    assert table.holds.tick(21.0) == []
    assert delivered(table.holds.tick(28.5)) == [(BEAT, [4])]


def test_item_for_streams_puts_nothing_off() -> None:
    """One channel has streams and WebSockets, and each its own quiet."""
    table = SocketTable()
    session = table.connect(4)
    table.subscribe(session)
    table.say(session, type="keep-alive", content="beat", timeout=10)
    table.holds.publish_content("news", b"x", 9.0)
    assert delivered(table.holds.tick(10.5)) == [(BEAT, [4])]


def test_interval_comes_whatever_was_sent() -> None:
    table = SocketTable()
    session = table.connect(4)
    table.subscribe(session)
    table.say(session, type="keep-alive", content="beat", timeout=10, mode="interval")
    table.timers.on_written(session, 9.0)
    table.publish(WsMessageFormat(content=b"x"), now=9.0)
    assert delivered(table.holds.tick(10.5)) == [(BEAT, [4])]


def test_keep_alive_is_replaced_and_switched_off() -> None:
    """The new one's time begins when it is set."""
    table = SocketTable()
    session = table.connect(4)
    table.say(session, type="keep-alive", content="beat", timeout=10)
    table.say(session, 8.0, type="keep-alive", content_bin="AAE=", message_type="binary", timeout=5)
    assert table.holds.tick(12.9) == []
    assert delivered(table.holds.tick(13.5)) == [(encode_frame(BINARY, b"\0\1"), [4])]
    table.say(session, 14.0, type="keep-alive")
    assert (session.slot, session.keep_alive) == (None, None)
    assert table.holds.tick(100.0) == []


def test_keep_alive_goes_on_without_an_origin() -> None:
    table = SocketTable()
    session = table.connect(4)
    table.say(session, type="keep-alive", content="", message_type="ping", timeout=10)
    table.say(session, type="detach")
    assert session.state is DETACHED
    assert delivered(table.holds.tick(10.5)) == [(encode_frame(PING, b""), [4])]


def test_keep_alive_waits_for_no_message_of_the_origin() -> None:
    """In the middle of one it is left out, and the next comes in its time."""
    table = SocketTable()
    session = table.connect(4)
    table.say(session, type="keep-alive", content="beat", timeout=10)
    session.incoming = Incoming.RELAYED
    assert table.holds.tick(10.5) == []
    session.incoming = Incoming.NONE
    assert delivered(table.holds.tick(21.0)) == [(BEAT, [4])]
    assert session.traffic.values[Traffic.ACTIVITY] == 1


def test_equal_keep_alives_are_shared_and_go_away() -> None:
    """A million clients have a few; nothing stays when the last of them has left."""
    table = SocketTable()
    sessions = [table.connect(conn_id) for conn_id in (4, 5, 6)]
    for session in sessions:
        table.say(session, type="keep-alive", content="beat", timeout=10)
    first = sessions[0].keep_alive
    assert first is not None and all(session.keep_alive is first for session in sessions)
    table.say(sessions[2], type="keep-alive", content="beat", timeout=11)
    assert sessions[2].keep_alive is not first
    gone = weakref.ref(first)
    for conn_id in (4, 5, 6):
        table.holds.release(conn_id, 1.0)
    del first, session, sessions
    gc.collect()
    assert gone() is None


def test_equal_keep_alives_of_a_tick_are_one_effect() -> None:
    """They are written together, as those of streams are."""
    table = SocketTable()
    for conn_id in (4, 5, 6):
        content = "other" if conn_id == 5 else "beat"
        table.say(table.connect(conn_id), type="keep-alive", content=content, timeout=10)
    effects = table.holds.tick(10.5)
    assert delivered(effects) == [(BEAT, [4, 6]), (encode_frame(TEXT, b"other"), [5])]
    assert all(isinstance(effect, Deliver) and effect.is_keep_alive for effect in effects)


def test_compressed_keep_alive_is_one() -> None:
    table = SocketTable()
    session = table.connect(4, is_deflating=True)
    table.say(session, type="keep-alive", content="beat", timeout=10)
    ((payload, _),) = delivered(table.holds.tick(10.5))
    assert payload[0] == 0xC1


def test_delayed_message_comes_once_after_its_time() -> None:
    table = SocketTable()
    session = table.connect(4)
    assert table.say(session, type="send-delayed", content="later", timeout=3) == []
    assert table.holds.tick(2.9) == []
    assert table.holds.tick(3.5) == [Write(4, LATER)]
    assert table.holds.tick(10.0) == []


def test_second_delayed_message_sends_the_first_at_once() -> None:
    """There is room for one."""
    table = SocketTable()
    session = table.connect(4)
    table.say(session, type="send-delayed", content="later", timeout=30)
    assert delivered(table.say(session, 1.0, type="send-delayed", timeout=2)) == [(LATER, [4])]
    assert delivered(table.holds.tick(3.5)) == [(encode_frame(TEXT, b""), [4])]


def test_time_of_a_message_that_was_sent_early_is_not_the_next_ones() -> None:
    table = SocketTable()
    session = table.connect(4)
    table.say(session, type="send-delayed", content="first", timeout=5)
    table.say(session, 1.0, type="send-delayed", content="later", timeout=30)
    assert table.holds.tick(6.0) == []
    assert delivered(table.holds.tick(31.5)) == [(LATER, [4])]


def test_flush_sends_what_waits() -> None:
    table = SocketTable()
    session = table.connect(4)
    assert table.say(session, type="flush-delayed") == []
    table.say(session, type="send-delayed", content="later", timeout=30)
    assert delivered(table.say(session, type="flush-delayed")) == [(LATER, [4])]
    assert table.say(session, type="flush-delayed") == []
    assert table.holds.tick(100.0) == []


def test_delayed_message_waits_for_the_end_of_the_origins() -> None:
    """It is not left out, as published ones are: the origin wants it."""
    table = SocketTable()
    session = table.connect(4)
    table.say(session, type="send-delayed", content="later", timeout=3)
    session.incoming = Incoming.RELAYED
    assert table.holds.tick(3.5) == []
    session.incoming = Incoming.NONE
    assert delivered(table.timers.on_message_end(session, 4.0)) == [(LATER, [4])]
    assert table.timers.on_message_end(session, 4.0) == []


def test_end_of_a_message_does_not_send_early() -> None:
    table = SocketTable()
    session = table.connect(4)
    table.say(session, type="send-delayed", content="later", timeout=3)
    assert table.timers.on_message_end(session, 1.0) == []
    assert delivered(table.holds.tick(3.5)) == [(LATER, [4])]


def test_delayed_message_puts_the_keep_alive_off() -> None:
    table = SocketTable()
    session = table.connect(4)
    table.say(session, type="keep-alive", content="beat", timeout=10)
    table.say(session, type="send-delayed", content="later", timeout=8)
    assert delivered(table.holds.tick(8.5)) == [(LATER, [4])]
    assert table.holds.tick(18.0) == []
    assert delivered(table.holds.tick(19.0)) == [(BEAT, [4])]


def test_client_that_leaves_has_no_deadlines() -> None:
    """Its number is another client's soon."""
    table = SocketTable()
    session = table.connect(4)
    table.say(session, type="keep-alive", content="beat", timeout=1)
    table.say(session, type="send-delayed", content="later", timeout=1)
    table.holds.release(4, 0.5)
    table.connect(4)
    assert table.holds.tick(100.0) == []
    assert not table.holds.wheel._slots


def test_client_that_is_closed_is_sent_nothing_more() -> None:
    """Behind a close frame nothing may come (RFC 6455 section 5.5.1)."""
    table = SocketTable()
    session = table.connect(4)
    table.say(session, type="keep-alive", content="beat", timeout=1)
    table.say(session, type="send-delayed", content="later", timeout=1)
    table.close(session, 1000, b"", 0.5)
    assert table.holds.tick(100.0) == []
    table.say(session, 101.0, type="keep-alive", content="beat", timeout=1)
    assert session.slot is None


def test_control_frames_can_be_published_too() -> None:
    table = SocketTable()
    table.subscribe(table.connect(4))
    effects = table.publish(WsMessageFormat(type=WsMessageType.PING, content=b"p"))
    assert delivered(effects) == [(encode_frame(PING, b"p"), [4])]
