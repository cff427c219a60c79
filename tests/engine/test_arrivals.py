"""A connection that comes from another worker: held as it was there, and as cheaply as if it had begun here."""

import gc
import sys
import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest

from gripproxy.engine.arrivals import Installer
from gripproxy.engine.departures import Packer
from gripproxy.engine.effects import AskLink, AskOrigin, Deliver, Effect, Finish, OpenChannel, WakeUpdates
from gripproxy.engine.handover import install_lingering, pack_lingering, socket_terms
from gripproxy.engine.holds import ResponseHold, StreamHold, TrackedStream
from gripproxy.engine.observer import Identity, Nobody
from gripproxy.engine.ws_session import WsSession
from gripproxy.errors import InternalError
from gripproxy.protocol.handed_batch import HandedKind, decode_batch, encode_batch
from gripproxy.protocol.http1 import Headers
from gripproxy.protocol.route import Route
from gripproxy.protocol.websocket_frame import TEXT, Frame
from gripproxy.settings import Settings
from tests.engine.conversation import (
    LINK,
    LONG_POLL,
    STREAM,
    Conversation,
    content,
    numbered,
    poll,
    request,
    socket_request,
    stream,
)
from tests.engine.events_conversation import opened

KEPT: Headers = [*STREAM, (b"Grip-Keep-Alive", b"ping; timeout=20")]
MEASURED_COUNT = 2_000


def move(
    old: Conversation, new: Conversation, conn_ids: Sequence[int], installer: Installer | None = None
) -> list[Effect]:
    """Let connections go from one worker to another, where their numbers are larger by 100; give its effects."""
    packer = Packer(old.core, old.now)
    packed = [(conn_id, packer.pack(conn_id)) for conn_id in conn_ids]
    assert all(record is not None for _, record in packed)
    tables, records = decode_batch(encode_batch((packer.tables(), packed)))
    installer = installer or Installer(new.core)
    installer.begin(tables, new.now)
    effects: list[Effect] = []
    for conn_id, record in records:
        effects += installer.install(record, conn_id + 100, new.now)
        packer.release(conn_id)
    return effects


def holds(talk: Conversation) -> list[Any]:
    return [hold for hold in talk.core.holds.holds if hold is not None]


def test_stream_is_held_on() -> None:
    """It gets what comes, and its keep-alives in their time."""
    old, new = Conversation(), Conversation()
    old.gets_held(4, KEPT)
    old.now = new.now = old.now + 15
    assert move(old, new, [4]) == [OpenChannel("news")]
    assert new.passes(3.0) == []
    assert [effect.conn_ids for effect in new.passes(3.0) if isinstance(effect, Deliver)] == [[104]]
    (delivered,) = new.publish(content(b"hi"))
    assert isinstance(delivered, Deliver) and list(delivered.conn_ids) == [104]
    assert new.core.holds.streams_count == 1


def test_what_equal_holds_share_they_share_again() -> None:
    """With those that have begun here, too: shape, channels, and their tuple."""
    old, new = Conversation(), Conversation()
    for conn_id in (4, 5):
        old.gets_held(conn_id, KEPT)
    new.gets_held(6, KEPT)
    move(old, new, [4, 5])
    native, first, second = holds(new)
    assert type(first) is type(native) is StreamHold
    assert first.shape is second.shape is native.shape
    assert first.channels is second.channels is native.channels


def test_channel_that_lost_its_last_subscriber_in_the_middle_of_a_batch_is_opened_again() -> None:
    """The hub was told that nobody listens here any more."""
    old, new = Conversation(), Conversation()
    for conn_id in (4, 5):
        old.gets_held(conn_id, STREAM)
    packer = Packer(old.core, old.now)
    records = [packer.pack(4), packer.pack(5)]
    installer = Installer(new.core)
    installer.begin(packer.tables(), new.now)
    assert installer.install(records[0] or (), 104, new.now) == [OpenChannel("news")]
    assert installer.install(records[1] or (), 105, new.now) == []
    new.leaves(104)
    new.leaves(105)
    assert installer.install(records[1] or (), 105, new.now) == [OpenChannel("news")]
    assert len(new.publish(content(b"hi"))) == 1


def test_holds_that_can_ask_again_say_so_of_their_channels() -> None:
    """The hub asks them to when a channel is new to it."""
    old, new = Conversation(), Conversation()
    old.gets_held(4, STREAM)
    old.gets_held(5, [*stream(b"sports"), LINK])
    old.gets_held(6, LONG_POLL)
    assert move(old, new, [4, 5, 6]) == [OpenChannel("news"), OpenChannel("sports", True), OpenChannel("news", True)]


def test_stalled_stream_asks_again_here() -> None:
    """Nothing else is sent to it until it has."""
    old, new = Conversation(), Conversation()
    old.gets_held(4, [*stream(b"news; prev-id=1"), LINK])
    old.publish(numbered(3))
    assert [type(effect) for effect in move(old, new, [4])] == [OpenChannel, WakeUpdates]
    assert new.publish(numbered(4)) == []
    (asked,) = [effect for effect in new.updates() if isinstance(effect, AskLink)]
    assert b"Grip-Last: news; last-id=1" in asked.head
    effects = new.links_to(asked.link_id, [*stream(b"news; prev-id=3"), LINK])
    assert [effect.payload for effect in effects if isinstance(effect, Deliver)] == [b"1\r\n4\r\n"]


def test_long_poll_asks_again_with_its_whole_request() -> None:
    """Its head, its body and the address of its client came with it."""
    old, new = Conversation(), Conversation()
    head = request(b"/path?a=b", b"POST", headers=[(b"X-Own", b"value")])
    old.asks(4, head)
    old.origin_answers(4, [*LONG_POLL, (b"Grip-Timeout", b"20")])
    old.origin_sent(4, b"nothing", b"asked for")
    move(old, new, [4])
    (hold,) = holds(new)
    assert isinstance(hold, ResponseHold) and hold.request.head == head
    assert (hold.request.body, hold.request.client_ip, hold.body) == (b"asked for", "10.0.0.9", b"nothing")
    new.is_told_to_update(["news"])
    (asked,) = [effect for effect in new.updates() if isinstance(effect, AskOrigin)]
    assert asked.conn_id == 104 and asked.head.startswith(b"POST /path?a=b HTTP/1.1\r\n") and b"X-Own" in asked.head


def test_long_poll_times_out_when_it_would_have() -> None:
    """Moves do not add to its time."""
    old, new = Conversation(), Conversation()
    old.gets_held(4, [*LONG_POLL, (b"Grip-Timeout", b"20")], b"nothing")
    old.now = new.now = old.now + 12
    move(old, new, [4])
    assert new.passes(7.5) == []
    (finish, *_) = new.passes(1.0)
    assert isinstance(finish, Finish) and finish.payload.endswith(b"nothing")


def test_script_gets_its_script() -> None:
    """What a JSON-P request means comes with it."""
    route = "*,aco origin:80"
    old, new = Conversation(route), Conversation(route)
    old.gets_held(4, LONG_POLL, head=request(b"/?callback=f&_method=GET"))
    move(old, new, [4])
    (finish, *_) = new.publish(numbered(1))
    assert isinstance(finish, Finish) and b"f(" in finish.payload


def test_streams_with_one_link_ask_together() -> None:
    """They join a group that is here already, whose deadline counts."""
    old, new = Conversation(), Conversation()
    old.gets_held(4, [*STREAM, LINK])
    old.now = new.now = old.now + 20
    new.gets_held(5, [*STREAM, LINK])
    move(old, new, [4])
    first, second = holds(new)
    assert isinstance(first, TrackedStream) and first.group is not None and first.group is second.group
    assert new.passes(11.0) == []
    assert WakeUpdates in [type(effect) for effect in new.passes(20.0)]


def test_route_that_is_here_too_is_the_one_that_is_here() -> None:
    """Holds that ask for the same share their requests, and a route may be new only by the file that it stands in."""
    line = "*,id=one,prefix=p- origin:80 other:81"
    old, new = Conversation(line), Conversation(f"d.other test\n{line}")
    old.gets_held(4, poll(b"news"))
    move(old, new, [4])
    (hold,) = holds(new)
    assert hold.request.route is new.core.routes.routes[1]
    assert hold.request.target is hold.request.route.targets[0]
    assert hold.traffic is new.core.accounts.traffic.routes["one"]


def test_route_that_is_not_here_is_made_once() -> None:
    """Its holds keep it, as they would after a reload of the routes."""
    old, new = Conversation("*,id=one origin:80"), Conversation()
    for conn_id in (4, 5):
        old.gets_held(conn_id, LONG_POLL)
    settled: list[Route] = []

    def settle(route: Route) -> Route:
        settled.append(route)
        return route

    installer = Installer(new.core, settle)
    move(old, new, [4], installer)
    move(old, new, [5], installer)
    first, second = holds(new)
    assert first.request.route is second.request.route
    assert (first.request.route.id, [route.id for route in settled]) == ("one", ["one"])


def test_route_that_makes_no_sense_is_our_bug() -> None:
    """Only that connection is lost."""
    old, new = Conversation(), Conversation()
    old.gets_held(4, LONG_POLL)
    packer = Packer(old.core, old.now)
    record = packer.pack(4) or ()
    installer = Installer(new.core)
    installer.begin(packer.tables()._replace(routes=["# nothing"]), new.now)
    with pytest.raises(InternalError, match="# nothing"):
        installer.install(record, 104, new.now)
    assert not new.core.holds.is_held(104) and not new.core.holds.subscriptions.channels


def test_session_goes_on_with_its_origin_over_http() -> None:
    """It has the name that its origin knows."""
    old, new = opened((b"Keep-Alive-Interval", b"20")), Conversation("* origin:80,over_http")
    old.now = new.now = old.now + 12
    (first,) = [effect for effect in opened().client_sends(4, Frame(TEXT, b"hi")) if isinstance(effect, AskLink)]
    move(old, new, [4])
    (polled,) = [effect for effect in new.passes(8.5) if isinstance(effect, AskLink)]
    name = b"Connection-Id: "
    assert polled.head.partition(name)[2][:36] == first.head.partition(name)[2][:36]
    new.link_answers(polled.link_id, [(b"Content-Type", b"application/websocket-events")])
    new.link_ends(polled.link_id)
    (said,) = [effect for effect in new.client_sends(104, Frame(TEXT, b"hi")) if isinstance(effect, AskLink)]
    assert said.head.endswith(b"TEXT 2\r\nhi\r\n")


@pytest.mark.parametrize(
    ("path", "route", "terms"),
    [
        (b"/", "* origin:80", (False, 100, True)),
        (b"/ws", "* test", (False, 100, False)),
    ],
)
def test_worker_learns_what_it_has_to_know_of_a_session(path: bytes, route: str, terms: tuple[bool, int, bool]) -> None:
    """Whether its messages are compressed, how large they may be, and whether an origin's connection comes with it."""
    given = Settings(client_max_message_size=100)
    old, new = Conversation(route), Conversation(route, given)
    if "test" in route:
        old.asks(4, socket_request(path))
    else:
        old.opens_socket(4)
    move(old, new, [4])
    found = socket_terms(new.core, 104)
    assert found is not None
    assert (found.is_deflating, found.message_max_bytes, found.has_origin) == terms
    assert socket_terms(new.core, 4) is None
    assert isinstance(holds(new)[0], WsSession)


def test_session_without_its_origin_has_none_to_bring() -> None:
    """It lives on by what is published."""
    old, new = Conversation(), Conversation()
    old.opens_socket(4)
    old.origin_speaks(4, Frame(TEXT, b'c:{"type": "detach"}'))
    move(old, new, [4])
    terms = socket_terms(new.core, 104)
    assert terms is not None and not terms.has_origin


class Notes(Nobody):
    """Writes down what it is told of moves."""

    def __init__(self) -> None:
        self.seen: list[tuple[object, ...]] = []

    def identity(self, conn_id: int) -> Identity:
        return (f"name {conn_id}",)

    def on_end(self, conn_id: int, traffic: object) -> None:
        self.seen.append(("end", conn_id))

    def on_handed_over(self, conn_id: int) -> None:
        self.seen.append(("handed over", conn_id))

    def on_taken_over(self, conn_id: int, identity: Identity) -> None:
        self.seen.append(("taken over", conn_id, *identity))


def test_observers_hear_of_a_move_and_of_no_end() -> None:
    """A connection is the same to whoever watches."""
    old, new = Conversation(), Conversation()
    old.core.accounts.observer, new.core.accounts.observer = before, after = Notes(), Notes()
    old.gets_held(4, STREAM)
    move(old, new, [4])
    assert (before.seen, after.seen) == ([("handed over", 4)], [("taken over", 104, "name 4")])


def test_record_of_another_version_is_read() -> None:
    """More at its end is left out, and what is missing there is as if it had not been said."""
    old, new = Conversation(), Conversation()
    old.gets_held(4, KEPT)
    packer = Packer(old.core, old.now)
    record = packer.pack(4) or ()
    installer = Installer(new.core)
    installer.begin((*packer.tables(), ["more"]), new.now)
    installer.install((*record, "more"), 104, new.now)
    installer.install(record[:5], 105, new.now)
    first, second = holds(new)
    assert first.slot is not None and second.slot is None


def test_idle_connection_is_nothing_to_the_engine() -> None:
    """Its worker alone has it."""
    new = Conversation()
    assert Installer(new.core).install((int(HandedKind.IDLE),), 104, new.now) == []


def test_channel_that_waits_for_its_long_poll_waits_here() -> None:
    """The client that is about to come back comes to this worker now."""
    given = Settings(subscription_linger=60)
    old, new = Conversation(settings=given), Conversation(settings=given)
    old.gets_held(4, LONG_POLL)
    old.publish(numbered(1))
    old.now = new.now = old.now + 20
    packed = decode_batch(encode_batch(pack_lingering(old.core, old.now)))
    assert install_lingering(new.core, packed, new.now) == [OpenChannel("news")]
    assert install_lingering(new.core, packed, new.now) == []
    assert new.passes(39.5) == []
    assert len(new.passes(1.0)) == 1


def bytes_per_hold(make: Any) -> float:
    """Measure what one of many holds costs."""
    gc.collect()
    tracemalloc.start()
    kept = make()
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept
    return size / MEASURED_COUNT


def test_moved_stream_costs_what_another_one_costs() -> None:
    """There are a million of them."""

    def begin() -> Conversation:
        talk = Conversation()
        for conn_id in range(4, 4 + MEASURED_COUNT):
            talk.gets_held(conn_id, KEPT)
        return talk

    native = bytes_per_hold(begin)
    old = begin()

    def come() -> Conversation:
        new = Conversation()
        for first in range(4, 4 + MEASURED_COUNT, 200):
            move(old, new, range(first, first + 200))
        return new

    assert bytes_per_hold(come) <= native + 8
    assert sys.getsizeof(old.core.holds.holds[4]) == sys.getsizeof(None)
