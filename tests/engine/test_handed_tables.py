"""What connections share on their way from worker to worker."""

import pytest

from gripproxy.engine.departures import Packer
from gripproxy.engine.effects import OpenChannel
from gripproxy.engine.handed_tables import OldRoutes, TablesReader, TablesWriter, target_number
from gripproxy.engine.hold_table import HoldTable
from gripproxy.protocol.control_message import SetKeepAlive
from gripproxy.protocol.handed_batch import HandedChannel, decode_batch, encode_batch
from gripproxy.protocol.route_target import Target
from gripproxy.protocol.websocket_frame import TEXT
from tests.engine.conversation import STREAM, Conversation, client


def reader_of(new: Conversation, tables: object) -> TablesReader:
    routes = OldRoutes(new.core, lambda route: route)
    return TablesReader(new.core, routes, decode_batch(encode_batch(tables)), new.now)


def open_channels(holds: HoldTable, *names: str) -> tuple[object, ...]:
    channels, _ = holds.open_channels(list(names))
    return channels


def test_each_shared_thing_is_written_once() -> None:
    """A batch is mostly of clients that are alike."""
    old = Conversation("*,id=one origin:80")
    for conn_id in (4, 5):
        old.gets_held(conn_id, STREAM)
    old.opens_socket(6)
    packer = Packer(old.core, old.now)
    records = [packer.pack(conn_id) for conn_id in (4, 5, 6)]
    tables = packer.tables()
    assert all(records)
    assert (len(tables.shapes), len(tables.channels), len(tables.socket_shapes)) == (1, 1, 1)
    assert (tables.routes, tables.channel_sets) == (["*,id=one origin:80"], [[0], []])


def test_channel_says_how_long_ago_it_was_sent_to() -> None:
    """Keep-alives go by that, also where the channel is known already."""
    old, new = Conversation(), Conversation()
    writer = TablesWriter(old.now)
    channels, _ = old.core.holds.open_channels(["news", "never"])
    channels[0].sent_at, channels[0].framed_at = old.now - 3.0, old.now - 5.0
    assert writer.channels(channels) == writer.channels(channels) == 0
    assert writer.tables().channels == [HandedChannel("news", 3.0, 5.0), HandedChannel("never")]
    (known,), _ = new.core.holds.open_channels(["news"])
    known.sent_at = new.now - 1.0
    found, _ = reader_of(new, writer.tables()).channels(0)
    assert [(each.sent_at, each.framed_at) for each in found] == [(new.now - 1.0, new.now - 5.0), (0.0, 0.0)]


def test_set_of_channels_is_opened_once_while_it_is_alive() -> None:
    """Whoever comes first of a batch opens it for all, and so does whoever comes after the last has left."""
    old, new = Conversation(), Conversation()
    writer = TablesWriter(old.now)
    writer.channels(old.core.holds.open_channels(["a", "b"])[0])
    reader = reader_of(new, writer.tables())
    channels, effects = reader.channels(0)
    assert effects == [OpenChannel("a"), OpenChannel("b")]
    for channel in channels:
        channel.add_stream(4, is_chunked=True)
    assert reader.channels(0) == (channels, [])
    assert reader.channels(0, is_update_wanted=True) == (channels, [OpenChannel("a", True), OpenChannel("b", True)])
    channels[1].remove_stream(4, is_chunked=True)
    assert new.core.holds.subscriptions.drop_if_empty(channels[1])
    again, effects = reader.channels(0)
    assert effects == [OpenChannel("b")] and again[0] is channels[0] and again[1] is not channels[1]


def test_keep_alives_of_sockets_are_shared() -> None:
    """By those who had them there, and with those who have them here."""
    old, new = Conversation(), Conversation()
    keep_alive = old.core.sockets.timers.shared(b"\x81\x02hi", 20, False)
    writer = TablesWriter(old.now)
    assert writer.keep_alive(keep_alive) == writer.keep_alive(keep_alive) == 0
    new.opens_socket(4)
    session = new.core.sockets.session(4)
    assert session is not None
    new.core.sockets.timers.set_keep_alive(session, SetKeepAlive(b"hi", TEXT, 20), new.now)
    assert reader_of(new, writer.tables()).keep_alive(0) is session.keep_alive


def test_shapes_of_sockets_are_shared() -> None:
    """With those that are here."""
    old, new = Conversation(), Conversation()
    for talk in (old, new):
        talk.opens_socket(4)
    packer = Packer(old.core, old.now)
    assert packer.pack(4)
    session = new.core.sockets.session(4)
    assert session is not None
    reader = reader_of(new, packer.tables())
    assert reader.socket_shape(0) is reader.socket_shape(0) is session.shape


def test_routes_are_looked_up_in_the_newest_table() -> None:
    """They may be read again while connections come."""
    new = Conversation("one o:1")
    routes = OldRoutes(new.core, lambda route: route)
    line = "two o:2"
    old = routes.find(line)
    assert routes.find(line) is old
    newer = Conversation(line).core.routes
    new.core.replace_routes(newer)
    assert routes.find(line) is newer.routes[0]


@pytest.mark.parametrize("number", [0, 1])
def test_target_is_known_by_its_place(number: int) -> None:
    """Equal ones are told apart."""
    route = client(route="* o:1 o:1").route
    assert target_number(route, route.targets[number]) == number
    assert target_number(route, Target(host="o", port=1)) is target_number(route, None) is None
