"""The table of channels."""

import sys

from hypothesis import given
from hypothesis import strategies as st

from gripproxy.engine.subscriptions import Channel, Subscriptions

NAMES = st.lists(st.sampled_from(["", "a", "b", "c"]), max_size=5)


def test_channel_is_made_once() -> None:
    """Two holds of one channel share its entry, or an item would reach only one of them."""
    table = Subscriptions()
    first = table.channels_of(["news"])
    assert table.channels_of(["news"]) is first, "a million holds of one channel share one tuple"
    assert table.channels == {"news": first[0]}


def test_name_given_twice_counts_once() -> None:
    """A connection that is subscribed twice to one channel gets an item once."""
    channels = Subscriptions().channels_of(["a", "b", "a"])
    assert [channel.name for channel in channels] == ["a", "b"]
    assert [channel.name for channel in Subscriptions().channels_of(["a", "a"])] == ["a"]


def test_transports_are_kept_apart() -> None:
    """Chunked streams, raw streams and long-polls get different bytes for one item."""
    channel = Channel("news")
    channel.add_stream(1, is_chunked=True)
    channel.add_stream(2, is_chunked=False)
    channel.add_response(3)
    assert (channel.chunked, channel.raw, channel.responses) == ({1: None}, {2: None}, {3: None})


def test_empty_set_is_not_kept() -> None:
    """An empty set costs 216 bytes, and most channels have one kind of subscriber."""
    channel = Channel("news")
    for conn_id in (1, 2):
        channel.add_stream(conn_id, is_chunked=True)
        channel.add_stream(conn_id, is_chunked=False)
        channel.add_response(conn_id)
    for conn_id in (1, 2):
        channel.remove_stream(conn_id, is_chunked=True)
        channel.remove_stream(conn_id, is_chunked=False)
        channel.remove_response(conn_id)
    assert (channel.chunked, channel.raw, channel.responses) == (None, None, None)
    assert channel.is_empty


def test_removing_a_stranger_does_no_harm() -> None:
    """A client may leave before it was subscribed."""
    channel = Channel("news")
    channel.remove_response(7)
    channel.add_response(1)
    channel.remove_response(7)
    assert channel.responses == {1: None}


def test_only_an_empty_channel_is_dropped() -> None:
    """The others still have subscribers."""
    table = Subscriptions()
    (channel,) = table.channels_of(["news"])
    channel.add_response(1)
    assert not table.drop_if_empty(channel)
    channel.remove_response(1)
    assert table.drop_if_empty(channel)
    assert table.channels == {}
    assert channel.alone == (), "no cycle is left for the garbage collector"


def test_old_entry_does_not_drop_its_successor() -> None:
    """Who still has the dropped entry must not take the new one's subscribers away."""
    table = Subscriptions()
    (old,) = table.channels_of(["news"])
    table.drop_if_empty(old)
    (new,) = table.channels_of(["news"])
    assert not table.drop_if_empty(old)
    assert table.channels == {"news": new}


@given(st.lists(st.tuples(st.integers(0, 4), NAMES, st.sampled_from(["chunked", "raw", "responses"]))))
def test_table_is_what_the_subscribers_say(steps: list[tuple[int, list[str], str]]) -> None:
    """Each step subscribes a connection anew or, if it is there, lets it go; the end leaves nothing."""
    table = Subscriptions()
    held: dict[int, tuple[tuple[Channel, ...], str]] = {}

    def let_go(conn_id: int) -> None:
        channels, kind = held.pop(conn_id)
        for channel in channels:
            if kind == "responses":
                channel.remove_response(conn_id)
            else:
                channel.remove_stream(conn_id, kind == "chunked")
            table.drop_if_empty(channel)

    for conn_id, names, kind in steps:
        if conn_id in held:
            let_go(conn_id)
        elif names:
            held[conn_id] = channels, kind = table.channels_of(names), kind
            for channel in channels:
                if kind == "responses":
                    channel.add_response(conn_id)
                else:
                    channel.add_stream(conn_id, kind == "chunked")
        wanted: dict[str, dict[str, set[int]]] = {}
        for subscriber, (channels, its_kind) in held.items():
            for channel in channels:
                wanted.setdefault(channel.name, {}).setdefault(its_kind, set()).add(subscriber)
        sets = {
            name: {word: set(found) for word in ("chunked", "raw", "responses") if (found := getattr(channel, word))}
            for name, channel in table.channels.items()
        }
        assert sets == wanted
    for conn_id in list(held):
        let_go(conn_id)
    assert table.channels == {}


def test_channel_that_most_left_is_small_again() -> None:
    """Walking the table of a set costs by what it once held."""
    channel = Subscriptions().channels_of(["a"])[0]
    for conn_id in range(10_000):
        channel.add_stream(conn_id, True)
        channel.add_response(conn_id)
    for conn_id in range(9_900):
        channel.remove_stream(conn_id, True)
        channel.remove_response(conn_id)
    assert channel.chunked == channel.responses == dict.fromkeys(range(9_900, 10_000))
    for conn_ids in (channel.chunked, channel.responses):
        assert sys.getsizeof(conn_ids) < 50_000
