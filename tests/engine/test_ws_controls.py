"""What origins of WebSockets say to the proxy: channels, filters, meta; the rest is done by others."""

import pytest

from gripproxy.engine.effects import LOG_DEBUG, LOG_INFO, CloseChannel, Deliver, Log, OpenChannel
from gripproxy.engine.ws_controls import META_MAX_COUNT, META_MAX_SIZE
from gripproxy.engine.ws_session import CLIENT_CLOSING
from gripproxy.protocol.publish_format import WsMessageFormat
from gripproxy.protocol.websocket_frame import TEXT, encode_frame
from gripproxy.settings import Settings
from tests.engine.socket_table import SocketTable, delivered

HI = WsMessageFormat(content=b"hi")
HI_FRAME = encode_frame(TEXT, b"hi")


def test_subscribing_opens_a_channel_and_unsubscribing_closes_it() -> None:
    """Publishers with subscriptions are told of the first and the last, as of those of HTTP clients."""
    table = SocketTable()
    first, second = table.connect(4), table.connect(5)
    assert table.subscribe(first) == [OpenChannel("news")]
    assert table.subscribe(second) == []
    assert delivered(table.publish(HI)) == [(HI_FRAME, [4, 5])]
    assert table.say(first, type="unsubscribe", channel="news") == []
    assert delivered(table.publish(HI)) == [(HI_FRAME, [5])]
    assert table.say(second, type="unsubscribe", channel="news") == [CloseChannel("news")]
    assert table.publish(HI) == []
    assert first.channels == ()


def test_unsubscribing_what_was_not_subscribed_does_no_harm() -> None:
    table = SocketTable()
    session = table.connect(4)
    table.subscribe(session)
    table.subscribe(table.connect(5), "other")
    assert table.say(session, type="unsubscribe", channel="other") == []
    assert table.say(session, type="unsubscribe", channel="nothing") == []
    assert [channel.name for channel in session.channels] == ["news"]


def test_routes_prefix_stands_before_names() -> None:
    table = SocketTable()
    session = table.connect(4, "*,prefix=p- origin:80")
    table.subscribe(session)
    assert delivered(table.publish(HI, channel="p-news")) == [(HI_FRAME, [4])]
    assert table.say(session, type="unsubscribe", channel="news") == [CloseChannel("p-news")]


def test_targets_own_channels_are_there_from_the_beginning_and_stay() -> None:
    """They have no prefix, and the origin cannot take them away."""
    table = SocketTable()
    session, effects = table.accept(4, "*,prefix=p- origin:80,sub=p-own,sub=b")
    assert effects == [OpenChannel("b"), OpenChannel("p-own")]
    assert table.say(session, type="unsubscribe", channel="own") == []
    assert delivered(table.publish(HI, channel="p-own")) == [(HI_FRAME, [4])]
    assert delivered(table.publish(HI, channel="b")) == [(HI_FRAME, [4])]


def test_item_comes_once_however_often_it_was_subscribed() -> None:
    table = SocketTable()
    session = table.connect(4)
    table.subscribe(session)
    assert table.subscribe(session) == []
    assert delivered(table.publish(HI)) == [(HI_FRAME, [4])]
    assert session.channels[0].counts == (0, 0, 1)
    assert table.say(session, type="unsubscribe", channel="news") == [CloseChannel("news")]


def test_too_many_channels_are_refused_even_as_a_repeat() -> None:
    """The origin is not told; the operator may see it."""
    table = SocketTable(Settings(connection_subscription_max=2))
    session = table.connect(4)
    table.subscribe(session, "a")
    table.subscribe(session, "b")
    (log,) = table.subscribe(session, "c", "skip-self")
    assert isinstance(log, Log) and log.level == LOG_INFO
    assert log.text.endswith("too many subscriptions, ignoring channel 'c'")
    assert table.subscribe(session, "a", "skip-self") == []  # said once a second: an origin may try it all the time
    assert [channel.name for channel in session.channels] == ["a", "b"]
    assert session.extra is None
    table.say(session, type="unsubscribe", channel="a")
    assert table.subscribe(session, "c") == [OpenChannel("c")]


@pytest.mark.parametrize(("is_debug", "reason"), [(True, b"too many filters for channel 'news'"), (False, b"")])
def test_too_many_filters_close_the_connection(is_debug: bool, reason: bytes) -> None:
    """Nothing less would be noticed; on a debug route it says why."""
    table = SocketTable()
    session = table.connect(4, is_debug=is_debug)
    table.subscribe(session, "news", *["skip-self"] * 5)
    assert table.asked == []
    table.subscribe(session, "news", *["skip-self"] * 6)
    assert table.asked == [("close", 4, 1011, reason, False)]


def test_filters_are_replaced_by_the_next_subscription() -> None:
    """One without any takes them away."""
    table = SocketTable()
    session = table.connect(4)
    table.say(session, type="set-meta", name="user", value="ann")
    table.subscribe(session, "news", "skip-self")
    assert table.publish(HI, sender="ann") == []
    table.subscribe(session)
    assert delivered(table.publish(HI, sender="ann")) == [(HI_FRAME, [4])]
    table.subscribe(session, "news", "skip-self")
    assert table.publish(HI, sender="ann") == []
    table.say(session, type="unsubscribe", channel="news")
    table.subscribe(session)
    assert delivered(table.publish(HI, sender="ann")) == [(HI_FRAME, [4])]


def test_clients_with_filters_have_the_name_of_their_channel_once() -> None:
    """Each control message brings a string of its own."""
    table = SocketTable()
    for conn_id in (4, 5):
        session = table.connect(conn_id)
        table.subscribe(session, "".join(["ne", "ws"]), "skip-self")
        assert session.extra is not None
        (name,) = session.extra.filters
        assert name is session.channels[0].name


def test_meta_counts_from_the_next_item_on_and_can_be_taken_away() -> None:
    table = SocketTable()
    session = table.connect(4)
    table.subscribe(session, "news", "skip-self")
    assert table.publish(HI, sender="ann") == [Deliver(HI_FRAME, [4])]
    table.say(session, type="set-meta", name="user", value="ann")
    assert table.publish(HI, sender="ann") == []
    table.say(session, type="set-meta", name="user")
    table.say(session, type="set-meta", name="never-set")
    assert table.publish(HI, sender="ann") == [Deliver(HI_FRAME, [4])]


@pytest.mark.parametrize("size", [10, 5000])
def test_meta_has_bounds(size: int) -> None:
    """An origin that sets a new name with each message must not fill the memory; what is there can be changed."""
    table = SocketTable()
    session = table.connect(4)
    for index in range(200):
        table.say(session, type="set-meta", name=str(index), value="x" * size)
    meta = session.rare().meta
    assert len(meta) == min(META_MAX_COUNT, META_MAX_SIZE // (size + 2))
    table.say(session, type="set-meta", name="0", value="y")
    assert meta["0"] == "y"
    table.say(session, type="set-meta", name="0")
    assert table.say(session, type="set-meta", name="more", value="z") == [] and meta["more"] == "z"


def test_detach_is_the_owners() -> None:
    table = SocketTable()
    session = table.connect(4)
    table.subscribe(session)
    assert table.say(session, type="detach") == []
    assert table.asked == [("detach", 4)]
    assert delivered(table.publish(HI)) == [(HI_FRAME, [4])]


def test_client_that_is_being_closed_gets_nothing_set_up() -> None:
    """Its origin may go on for a while; nothing of that would ever be cleared away."""
    table = SocketTable()
    session = table.connect(4)
    session.state = CLIENT_CLOSING
    assert table.subscribe(session) == []
    table.say(session, type="keep-alive", content="beat", timeout=1)
    table.say(session, type="send-delayed", content="later", timeout=1)
    table.say(session, type="set-meta", name="user", value="ann")
    assert (session.channels, session.slot, session.extra) == ((), None, None)
    assert not table.holds.subscriptions.channels
    table.say(session, type="detach")
    assert table.asked == [("detach", 4)]


def test_session_has_no_effect() -> None:
    table = SocketTable()
    assert table.say(table.connect(4), type="session", id="s") == []


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b'{"type":"publish"}', b'{"type":"subscribe","channel":""}', b"\xff"]
)
def test_nonsense_is_ignored_but_for_the_log(text: bytes) -> None:
    """The connection lives on."""
    table = SocketTable()
    session = table.connect(4)
    (log,) = table.controls.handle(session, text, 0.0)
    assert isinstance(log, Log) and log.level == LOG_DEBUG and log.about == 4
    assert log.text.startswith("http://d.test/: grip control ")
    assert log.text.endswith(", ignoring")
    assert table.asked == []
