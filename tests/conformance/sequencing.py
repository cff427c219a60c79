"""Scenarios of the order of items on a channel: ids, previous ids, duplicates."""

from tests.conformance.holds import held, items, numbered, stream
from tests.conformance.scenario import (
    Leave,
    Pause,
    Receive,
    Scenario,
    Send,
    Step,
    Subscribed,
    Unsubscribed,
    get,
    item,
)


def ordered(name: str, why: str, channel: str, *steps: Step, config: str = "plain") -> Scenario:
    """Make the scenario of a stream on a channel with steps after its begin; it asks for no order itself."""
    return Scenario(
        name=f"order-{name}",
        why=why,
        config=config,
        warm=[channel],
        origin={"/hold": stream(channel)},
        steps=[Send(get("/hold")), Receive(b"[open]\n"), *steps],
    )


PARKED = [numbered("o6", number, number - 1) for number in range(2, 103)]


SCENARIOS = [
    ordered(
        "held-back",
        "an item waits for the one before it",
        "o1",
        items(numbered("o1", 7), numbered("o1", 8, 7), numbered("o1", 10, 9), numbered("o1", 9, 8)),
        Receive(b"(10)\n"),
    ),
    ordered(
        "released-late",
        "an item whose predecessor does not come goes out after message_wait",
        "o2",
        items(numbered("o2", 7), numbered("o2", 12, 11)),
        Pause(0.1),
        items(numbered("o2", 13, 12)),
        Receive(b"(13)\n"),
        config="short",
    ),
    ordered(
        "no-seq",
        "an item may be left out of the order, and changes nothing in it",
        "o3",
        items(numbered("o3", 7), numbered("o3", 20, 19, **{"no-seq": True}), numbered("o3", 8, 7)),
        Receive(b"(8)\n"),
    ),
    ordered(
        "item-without-id",
        "an item without id forgets what was last",
        "o4",
        items(numbered("o4", 7), item("o4", content="no id\n"), numbered("o4", 20, 19)),
        Receive(b"(20)\n"),
    ),
    ordered(
        "without-prev-id",
        "an item that follows none goes out at once",
        "o5",
        items(numbered("o5", 7), numbered("o5", 20), numbered("o5", 21, 20)),
        Receive(b"(21)\n"),
    ),
    ordered(
        "hundred-wait",
        "a hundred items may wait on a channel, one more is dropped",
        "o6",
        items(numbered("o6", 0), *PARKED, numbered("o6", 1, 0), numbered("o6", "end", 101)),
        Receive(b"(end)\n"),
    ),
    ordered(
        "same-prev-id",
        "of two items that follow the same one, the first waits and the second is dropped",
        "o7",
        items(
            numbered("o7", 1),
            numbered("o7", "a", 2),
            numbered("o7", "b", 2),
            numbered("o7", 2, 1),
            numbered("o7", "c", "a"),
        ),
        Receive(b"(c)\n"),
    ),
    ordered(
        "duplicate-while-waiting",
        "a waiting item's id counts as seen",
        "o8",
        items(numbered("o8", 1), numbered("o8", 3, 2), numbered("o8", 3, 1), numbered("o8", 2, 1)),
        Receive(b"(3)\n"),
    ),
    ordered(
        "duplicate-no-seq",
        "an id counts as seen whatever else the item says",
        "o9",
        items(numbered("o9", 1), numbered("o9", 1, **{"no-seq": True}), numbered("o9", 2, 1)),
        Receive(b"(2)\n"),
    ),
    ordered(
        "empty-id",
        "an empty id is an id",
        "o10",
        items(numbered("o10", ""), numbered("o10", ""), numbered("o10", 1, "")),
        Receive(b"(1)\n"),
    ),
    ordered(
        "id-again",
        "after id_cache_ttl an id may come again",
        "o11",
        items(numbered("o11", 1)),
        Receive(b"(1)\n"),
        Pause(1.2),
        items(numbered("o11", 1)),
        Receive(b"(1)\n", 2),
        config="short",
    ),
    Scenario(
        name="order-forgotten-with-the-last-client",
        why="a channel that nobody holds has no last id and no waiting items",
        origin={"/hold": stream("o12")},
        steps=[
            *held("o12"),
            Receive(b"[open]\n"),
            items(numbered("o12", 7), numbered("o12", 20, 19)),
            Receive(b"(7)\n"),
            Leave(),
            Unsubscribed("o12"),
            Send(get("/hold"), client="b"),
            Subscribed("o12"),
            Receive(b"[open]\n", client="b"),
            items(numbered("o12", 30, 29), numbered("o12", 19, 18), numbered("o12", 31, 30)),
            Receive(b"(31)\n", client="b"),
        ],
    ),
    Scenario(
        name="order-id-seen-without-clients",
        why="an id published to nobody is seen all the same",
        origin={"/hold": stream("o13"), "/other": stream("o13b")},
        steps=[
            Send(get("/other"), client="b"),
            Subscribed("o13b"),
            Receive(b"[open]\n", client="b"),
            items(numbered("o13", 1), numbered("o13b", 1)),
            Receive(b"(1)\n", client="b"),
            *held("o13"),
            Receive(b"[open]\n"),
            items(numbered("o13", 1), numbered("o13", 2, 0)),
            Receive(b"(2)\n"),
        ],
    ),
]
