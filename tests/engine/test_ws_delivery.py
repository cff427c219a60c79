"""Published items on their way to WebSocket clients."""

import zlib
from collections.abc import Iterable

import pytest

from gripproxy.engine.books import CROWDED, DELIVERED, FILTERED, GONE, OVER_RATE, UNFIT
from gripproxy.engine.effects import AskLink, Deliver, DropLink, Effect, Log
from gripproxy.engine.events import LinkAnswered, LinkDone, LinkFailed, OriginFailure
from gripproxy.engine.holds import QUEUE_MAX_COUNT
from gripproxy.engine.http_delivery import STREAMS_MAX_COUNT
from gripproxy.engine.rate_budget import Alone, RateBudget
from gripproxy.engine.ws_session import WsSession
from gripproxy.protocol.http1 import Headers
from gripproxy.protocol.publish_format import Action, HttpStreamFormat, WsMessageFormat, WsMessageType
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.protocol.receipt import Receipt
from gripproxy.protocol.telemetry import Traffic
from gripproxy.protocol.websocket_close import encode_close
from gripproxy.protocol.websocket_frame import BINARY, CLOSE, PING, PONG, TEXT, encode_frame
from tests.engine.conversation import response
from tests.engine.socket_table import SocketTable, delivered

HI = WsMessageFormat(content=b"hi")
HI_FRAME = encode_frame(TEXT, b"hi")


def subscribed(conn_ids: Iterable[int] = (4,), **how: object) -> SocketTable:
    """Let clients come that have the channel ``news``."""
    table = SocketTable()
    for conn_id in conn_ids:
        table.subscribe(table.connect(conn_id, **how))  # type: ignore[arg-type]  # of connect
    return table


def with_filters(*filters: str, is_debug: bool = False, **meta: str) -> SocketTable:
    """Let one client come that has filters."""
    table = SocketTable()
    session = table.connect(4, is_debug=is_debug)
    for name, value in meta.items():
        table.say(session, type="set-meta", name=name, value=value)
    table.subscribe(session, "news", *filters)
    return table


def ends(table: SocketTable) -> dict[int, int]:
    """Give how receptions ended, those that the sockets have to end excepted."""
    _, _, counts = table.holds.accounts.books.take()
    return {end: count for end, count in enumerate(counts) if count}


@pytest.mark.parametrize(
    ("kind", "opcode"),
    [
        (WsMessageType.TEXT, TEXT),
        (WsMessageType.BINARY, BINARY),
        (WsMessageType.PING, PING),
        (WsMessageType.PONG, PONG),
    ],
)
@pytest.mark.parametrize("content", [b"", b"hi", b"x" * 125])
def test_message_of_each_type_is_one_frame(kind: WsMessageType, opcode: int, content: bytes) -> None:
    """The same bytes for all, and they are the channel's own clients: nobody is copied."""
    table = subscribed((4, 5, 6))
    (effect,) = table.publish(WsMessageFormat(type=kind, content=content))
    assert isinstance(effect, Deliver) and effect.payload == encode_frame(opcode, content)
    channel = table.holds.subscriptions.channels["news"]
    assert channel.sockets is not None and effect.conn_ids == channel.sockets.keys() == {4, 5, 6}


@pytest.mark.parametrize("size", [126, 65_535, 65_536])
def test_large_message_is_one_frame_too(size: int) -> None:
    """Only control frames have a limit."""
    table = subscribed()
    content = b"x" * size
    for kind, opcode in ((WsMessageType.TEXT, TEXT), (WsMessageType.BINARY, BINARY)):
        effects = table.publish(WsMessageFormat(type=kind, content=content))
        assert delivered(effects) == [(encode_frame(opcode, content), [4])]


def test_message_is_compressed_once_for_those_who_agreed() -> None:
    """However many there are; the others get it as it is."""
    table = subscribed((4, 5))
    for conn_id in (7, 8):
        table.subscribe(table.connect(conn_id, is_deflating=True))
    plain, deflated = table.publish(WsMessageFormat(content=b"a" * 50))
    assert isinstance(plain, Deliver) and isinstance(deflated, Deliver)
    assert (plain.payload, set(plain.conn_ids)) == (encode_frame(TEXT, b"a" * 50), {4, 5})
    assert set(deflated.conn_ids) == {7, 8}
    assert deflated.payload[:1] == b"\xc1" and len(deflated.payload) < 20
    inflated = zlib.decompressobj(-15).decompress(deflated.payload[2:] + b"\0\0\xff\xff")
    assert inflated == b"a" * 50
    pings = table.publish(WsMessageFormat(type=WsMessageType.PING, content=b"p"))
    assert [payload for payload, _ in delivered(pings)] == [encode_frame(PING, b"p")] * 2


def test_each_format_reaches_its_own_kind() -> None:
    """One item may have all three."""
    table = subscribed()
    assert table.holds.publish(PublishItem("news", http_stream=HttpStreamFormat(content=b"x")), 0.0) == []
    item = PublishItem("news", http_stream=HttpStreamFormat(content=b"x"), ws_message=HI)
    assert delivered(table.holds.publish(item, 0.0)) == [(HI_FRAME, [4])]


def test_nothing_comes_between_the_pieces_of_an_origins_message() -> None:
    """The client misses the item, and the books say so: it would break the message that is on its way."""
    table = subscribed((4, 5, 6))
    table.mid_message = {5, 99}
    assert table.publish(HI) == [Deliver(HI_FRAME, [4, 6])]
    assert ends(table) == {CROWDED: 1}
    table.mid_message = {4, 5, 6}
    assert table.publish(HI) == []
    assert ends(table) == {CROWDED: 3}


@pytest.mark.parametrize(
    ("published", "code", "reason"),
    [
        (WsMessageFormat(Action.CLOSE), 1000, b""),
        (WsMessageFormat(Action.CLOSE, code=4001), 4001, b""),
        (WsMessageFormat(Action.CLOSE, code=4001, reason=b"go"), 4001, b"go"),
        (WsMessageFormat(Action.CLOSE, reason=b"go"), 1000, b""),
        (WsMessageFormat(Action.CLOSE, code=0), 0, b""),
    ],
)
def test_close_is_one_frame_for_all(published: WsMessageFormat, code: int, reason: bytes) -> None:
    """A reason needs a code, as in the reference. Both legs are closed, and nothing is published any more."""
    table = subscribed((4, 5))
    effects = table.publish(published)
    assert delivered(effects) == [(encode_frame(CLOSE, encode_close(code, reason)), [4, 5])]
    assert sorted(table.asked) == [("close", conn_id, code, reason, True) for conn_id in (4, 5)]
    assert table.publish(HI) == []
    assert not table.holds.subscriptions.channels


def test_close_may_come_between_pieces() -> None:
    """Control frames may (RFC 6455 section 5.4), and the message will not be wanted any more."""
    table = subscribed()
    table.mid_message = {4}
    assert len(delivered(table.publish(WsMessageFormat(Action.CLOSE)))) == 1


def test_refresh_asks_and_hint_does_nothing() -> None:
    table = subscribed((4, 5))
    assert table.publish(WsMessageFormat(Action.REFRESH)) == []
    assert sorted(table.asked) == [("refresh", 4), ("refresh", 5)]
    assert ends(table) == {DELIVERED: 2}
    table.asked.clear()
    assert table.publish(WsMessageFormat(Action.HINT)) == []
    assert table.asked == []
    assert ends(table) == {FILTERED: 2}


def test_refresh_of_a_channel_is_for_all_its_clients() -> None:
    """An operator's command is no item: no filter keeps it back, and no book has it."""
    table = with_filters("http-check", "var-subst")
    table.subscribe(table.connect(5))
    table.subscribe(table.connect(6, is_deflating=True))
    assert table.delivery.refresh("news", 0.0) == []
    assert sorted(table.asked) == [("refresh", 4), ("refresh", 5), ("refresh", 6)]
    assert ends(table) == {}
    assert table.delivery.refresh("other", 0.0) == []


def test_ping_that_is_no_control_frame_is_sent_to_nobody() -> None:
    """Clients would drop the connection for it."""
    table = subscribed((4, 5))
    assert table.publish(WsMessageFormat(type=WsMessageType.PING, content=b"x" * 126)) == []
    assert ends(table) == {UNFIT: 2}
    table = with_filters("var-subst", long="x" * 126, short="x" * 125)
    assert table.publish(WsMessageFormat(type=WsMessageType.PING, content=b"%(long)s")) == []
    assert ends(table) == {UNFIT: 1}
    effects = table.publish(WsMessageFormat(type=WsMessageType.PING, content=b"%(short)s"))
    assert delivered(effects) == [(encode_frame(PING, b"x" * 125), [4])]
    effects = table.publish(WsMessageFormat(content=b"%(long)s"))
    assert delivered(effects) == [(encode_frame(TEXT, b"x" * 126), [4])]


# Filters.


@pytest.mark.parametrize(
    ("filters", "sub_meta", "item_meta", "is_sent"),
    [
        (["skip-self"], {"user": "ann"}, {"sender": "ann"}, False),
        (["skip-self"], {"user": "ann"}, {"sender": "bob"}, True),
        (["skip-self"], {}, {"sender": "ann"}, True),
        (["skip-users"], {"user": "ann"}, {"skip_users": "bob, ann"}, False),
        (["require-sub"], {}, {"require_sub": "news"}, True),
        (["require-sub"], {}, {"require_sub": "p-news"}, False),
        (["require-sub"], {}, {"require_sub": "own"}, True),
        (["require-sub"], {}, {"require_sub": "more"}, False),
        (["no-such-filter"], {}, {}, True),
    ],
)
@pytest.mark.parametrize("published", [HI, WsMessageFormat(Action.CLOSE), WsMessageFormat(Action.REFRESH)])
def test_filters_decide_on_every_action(
    filters: list[str], sub_meta: dict[str, str], item_meta: dict[str, str], is_sent: bool, published: WsMessageFormat
) -> None:
    """``require-sub`` compares with the origin's names for channels: without the route's prefix."""
    table = SocketTable()
    session = table.connect(4, "*,prefix=p- origin:80,sub=own")
    for name, value in sub_meta.items():
        table.say(session, type="set-meta", name=name, value=value)
    table.subscribe(session, "news", *filters)
    effects = table.publish(published, channel="p-news", **item_meta)
    assert bool(effects or table.asked) is is_sent
    if not is_sent:
        assert ends(table) == {FILTERED: 1}


def test_clients_that_get_the_same_share_an_effect() -> None:
    """Filters make few different messages for many clients."""
    table = SocketTable()
    for conn_id, name in ((4, "ann"), (5, "bob"), (6, "ann"), (7, "ann")):
        session = table.connect(conn_id, is_deflating=conn_id == 7)
        table.say(session, type="set-meta", name="who", value=name)
        table.subscribe(session, "news", "var-subst")
    effects = table.publish(WsMessageFormat(content=b"for %(who)s"))
    assert delivered(effects)[:2] == [(encode_frame(TEXT, b"for ann"), [4, 6]), (encode_frame(TEXT, b"for bob"), [5])]
    assert [effect.conn_ids for effect in effects[2:] if isinstance(effect, Deliver)] == [[7]]


def test_filters_are_a_channels_own() -> None:
    table = with_filters("skip-self", user="ann")
    session = table.holds.holds[4]
    table.subscribe(session, "other")  # type: ignore[arg-type]  # no other hold is there
    assert table.publish(HI, sender="ann") == []
    assert delivered(table.publish(HI, channel="other", sender="ann")) == [(HI_FRAME, [4])]


def test_filtered_client_in_the_middle_of_a_message_misses_the_item_too() -> None:
    table = with_filters("skip-self")
    table.mid_message = {4}
    assert table.publish(HI) == []
    assert ends(table) == {CROWDED: 1}


@pytest.mark.parametrize("is_debug", [False, True])
def test_error_of_a_filter_skips_the_item_and_debug_says_why(is_debug: bool) -> None:
    table = with_filters("var-subst", is_debug=is_debug)
    effects = table.publish(WsMessageFormat(content=b"100%"))
    text = "filter error: Expected directive after '%' at position 3"
    assert isinstance(effects[0], Log)
    assert effects[0].text == f"item on channel 'news' for http://d.test/ was not sent: {text}"
    assert ends(table) == {UNFIT: 1}
    assert table.asked == ([("close", 4, 1011, text.encode(), False)] if is_debug else [])
    assert not is_debug or table.publish(HI) == []


def test_errors_are_logged_once_in_a_second() -> None:
    """Ten thousand clients have the same filters."""
    table = with_filters("var-subst")
    counts = []
    for now in (10.0, 10.9, 11.0, 11.5, 12.5):
        effects = table.publish(WsMessageFormat(content=b"100%"), now=now)
        counts.append(sum(isinstance(effect, Log) for effect in effects))
    assert counts == [1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("filters", "assumed", "is_sent"),
    [
        ([], None, True),
        ([], (), True),
        ([], ("var-subst",), False),
        (["var-subst"], ("var-subst",), True),
        (["var-subst"], (), False),
        (["skip-self"], (), True),
        (["skip-self", "var-subst"], ("var-subst",), True),
        (["var-subst", "build-id"], ("build-id", "var-subst"), False),
    ],
)
@pytest.mark.parametrize("is_debug", [False, True])
def test_item_for_other_filters_is_skipped(
    filters: list[str], assumed: tuple[str, ...] | None, is_sent: bool, is_debug: bool
) -> None:
    """It was written for them. On a debug route the client is closed and told."""
    table = with_filters(*filters, is_debug=is_debug)
    effects = table.publish(WsMessageFormat(content=b"hi", content_filters=assumed))
    if is_sent:
        assert delivered(effects) == [(HI_FRAME, [4])]
        return
    assert delivered(effects) == []
    assert ends(table) == {UNFIT: 1}
    actual = ",".join(name for name in filters if name != "skip-self")
    text = f"content filter mismatch: subscription={actual} message={','.join(assumed or ())}"
    assert table.asked == ([("close", 4, 1011, text.encode(), False)] if is_debug else [])


# Filters that ask a server.

CHECK = {"url": "/check", "user": "ann"}
DROP: Headers = [(b"Action", b"drop")]


def asked(effects: list[Effect]) -> AskLink:
    (ask,) = effects
    assert isinstance(ask, AskLink)
    return ask


def answered(table: SocketTable, ask: AskLink, headers: Headers | None = None, now: float = 0.0) -> list[Effect]:
    table.links.handle(LinkAnswered(ask.link_id, response(200, headers)), now)
    return table.links.handle(LinkDone(ask.link_id), now)


def test_server_is_asked_and_later_items_wait() -> None:
    """Their order is kept, also that of channels without filters."""
    table = with_filters("http-check", **CHECK)
    session = table.holds.holds[4]
    table.subscribe(session, "plain")  # type: ignore[arg-type]  # no other hold is there
    ask = asked(table.publish(HI, sender="bob"))
    assert ask.head.startswith(b"POST /check HTTP/1.1\r\nHost: d.test\r\n")
    assert b'\r\nSub-Meta: {"url":"/check","user":"ann"}\r\nPub-Meta: {"sender":"bob"}\r\n' in ask.head
    assert table.publish(WsMessageFormat(content=b"later"), channel="plain") == []
    assert table.holds.accounts.books.pending == 2
    effects = answered(table, ask)
    assert delivered(effects) == [(HI_FRAME, [4]), (encode_frame(TEXT, b"later"), [4])]
    assert table.holds.accounts.books.pending == 0


def test_meta_is_that_of_the_moment_when_the_item_came() -> None:
    """Also for filters behind the one that asks."""
    table = with_filters("http-check", "var-subst", **CHECK)
    ask = asked(table.publish(WsMessageFormat(content=b"%(user)s")))
    session = table.holds.holds[4]
    assert isinstance(session, WsSession)
    table.say(session, type="set-meta", name="user", value="eve")
    assert delivered(answered(table, ask)) == [(encode_frame(TEXT, b"ann"), [4])]


def test_server_says_no() -> None:
    table = with_filters("http-check", **CHECK)
    assert answered(table, asked(table.publish(HI)), DROP) == []
    assert ends(table) == {FILTERED: 1}


def test_server_that_cannot_be_asked_is_an_error() -> None:
    table = with_filters("http-check", is_debug=True, **CHECK)
    ask = asked(table.publish(HI))
    effects = table.links.handle(LinkFailed(ask.link_id, OriginFailure.BROKEN, "it broke"), 0.0)
    assert isinstance(effects[0], Log)
    text = b"filter error: network request failed: disconnected"
    assert table.asked == [("close", 4, 1011, text, False)]
    assert ends(table) == {UNFIT: 1}


def test_client_that_leaves_meanwhile_takes_its_items_along() -> None:
    table = with_filters("http-check", **CHECK)
    ask = asked(table.publish(HI))
    table.publish(HI)
    assert DropLink(ask.link_id) in table.holds.release(4, 1.0)
    assert ends(table) == {GONE: 2}
    assert table.holds.accounts.books.pending == 0


def test_close_ends_what_waits_behind_it() -> None:
    table = with_filters("http-check", **CHECK)
    ask = asked(table.publish(WsMessageFormat(Action.CLOSE)))
    table.publish(HI)
    effects = answered(table, ask)
    assert [payload for payload, _ in delivered(effects)] == [encode_frame(CLOSE, encode_close(1000))]
    assert ends(table) == {GONE: 1}
    assert table.holds.accounts.books.pending == 0


def test_only_so_many_wait_for_a_server() -> None:
    table = with_filters("http-check", **CHECK)
    table.publish(HI)
    for _ in range(QUEUE_MAX_COUNT + 1):
        assert table.publish(HI) == []
    assert ends(table) == {CROWDED: 1}


# Very many clients, and books.


def test_many_clients_are_served_in_turns() -> None:
    """A broadcast is no long turn of the loop, and who leaves meanwhile is left out."""
    table = subscribed(range(1500))
    assert table.publish(HI) == []
    ((_, served),) = delivered(table.holds.resume(0.0))
    assert len(served) == STREAMS_MAX_COUNT
    gone = next(conn_id for conn_id in range(1500) if conn_id not in served)
    table.holds.release(gone, 0.0)
    while table.holds.is_unfinished:
        for _, conn_ids in delivered(table.holds.resume(0.0)):
            served += conn_ids
    assert sorted(served) == [conn_id for conn_id in range(1500) if conn_id != gone]


def test_close_of_many_is_done_in_turns_too() -> None:
    table = subscribed(range(450))
    assert table.publish(WsMessageFormat(Action.CLOSE)) == []
    turns = 0
    while table.holds.is_unfinished and turns < 10:
        table.holds.resume(0.0)
        turns += 1
    assert turns == 3
    assert len(table.asked) == 450


def test_later_items_do_not_overtake() -> None:
    """Whoever gets something new gets at once what he is still due."""
    table = subscribed(range(1500))
    late = table.connect(2000)
    table.subscribe(late, "more")
    table.subscribe(late)
    table.publish(HI)
    effects = table.publish(WsMessageFormat(content=b"second"), channel="more")
    assert delivered(effects) == [(HI_FRAME, [2000]), (encode_frame(TEXT, b"second"), [2000])]


def test_limited_rate_gives_each_client_its_turn() -> None:
    """And a keep-alive is put off by what was sent, not by what waits."""
    table = subscribed((4, 5))
    for conn_id in (4, 5):
        session = table.holds.holds[conn_id]
        assert isinstance(session, WsSession)
        table.say(session, type="keep-alive", content="beat", timeout=10)
    table.holds.pace(RateBudget(1, Alone()), 100)
    assert table.publish(HI, now=9.0) == []
    ((_, [served]),) = delivered(table.holds.resume(9.0))
    (waiting,) = {4, 5} - {served}
    assert delivered(table.holds.tick(10.5)) == [(encode_frame(TEXT, b"beat"), [waiting])]
    table.holds.fan_outs.wake()
    assert delivered(table.holds.resume(11.0)) == [(HI_FRAME, [waiting])]
    assert delivered(table.holds.tick(19.5)) == [(encode_frame(TEXT, b"beat"), [served])]
    assert delivered(table.holds.tick(21.5)) == [(encode_frame(TEXT, b"beat"), [waiting])]


def test_too_much_waiting_is_missed_and_counted() -> None:
    """By the blocks of each, if they are counted: of three clients one has room with 25 bytes."""
    table = subscribed((4, 5, 6))
    table.holds.receptions.block_bytes = 10
    table.holds.pace(RateBudget(1, Alone()), 5)
    table.publish(WsMessageFormat(content=b"x" * 25))
    assert table.holds.accounts.books.receptions == 2
    assert ends(table) == {OVER_RATE: 2}


@pytest.mark.parametrize(
    "published",
    [
        WsMessageFormat(Action.CLOSE),
        WsMessageFormat(Action.REFRESH),
        WsMessageFormat(Action.HINT),
        WsMessageFormat(content_filters=("var-subst",)),
        WsMessageFormat(type=WsMessageType.PING, content=b"x" * 126),
    ],
)
@pytest.mark.parametrize("filters", [(), ("skip-self",)])
def test_every_receiver_has_its_end(published: WsMessageFormat, filters: tuple[str, ...]) -> None:
    """A publisher who waits for the item's fate is not left waiting."""
    table = with_filters(*filters)
    item = PublishItem("news", ws_message=published, receipt=Receipt(1))
    assert item.receipt is not None
    for effect in table.holds.publish(item, 0.0):
        if isinstance(effect, Deliver):
            item.receipt.delivered += len(effect.conn_ids)  # as the worker's sockets do
    assert item.receipt.messages == 1
    assert item.receipt.delivered + item.receipt.filtered + item.receipt.dropped == 1
    assert item.receipt.is_done


def test_receivers_are_in_the_receipt_and_in_the_routes_traffic() -> None:
    table = subscribed((4, 5))
    table.subscribe(table.connect(6), "news", "skip-self")
    item = PublishItem("news", ws_message=HI, receipt=Receipt(1))
    table.holds.publish(item, 0.0)
    assert item.receipt is not None
    assert (item.receipt.messages, item.receipt.streams, item.receipt.responses) == (3, 0, 0)
    wanted, receptions, _ = table.holds.accounts.books.take()
    assert (wanted, receptions) == (1, 3)
    traffic = [hold.traffic.values[Traffic.SENT] for hold in table.holds.holds if hold is not None]
    assert sum(traffic) == 3


def test_blocks_are_counted_for_each_receiver() -> None:
    table = subscribed((4, 5))
    table.holds.receptions.block_bytes = 10
    table.publish(WsMessageFormat(content=b"x" * 25))
    blocks = [hold.traffic.values[Traffic.BLOCKS_SENT] for hold in table.holds.holds if hold is not None]
    assert sum(blocks) == 6


def test_item_without_receivers_is_not_wanted() -> None:
    table = subscribed()
    table.publish(HI, channel="other")
    assert table.holds.accounts.books.take()[:2] == (0, 0)
