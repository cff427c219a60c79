"""Scenarios of streams that track ids and ask their link for what they miss."""

from tests.conformance.holds import LINK, TEXT, items, numbered, stream
from tests.conformance.scenario import (
    Asked,
    Pause,
    Publish,
    Receive,
    Release,
    Scenario,
    Send,
    Step,
    get,
    item,
)
from tests.integration.origin import WAIT, answer


def tracked(
    name: str, why: str, channel: str, *steps: Step, next_answer: bytes, prev_id: str = "10", config: str = "plain"
) -> Scenario:
    """Make the scenario of a stream that tracks ids and follows a link when one is missing.

    Args:
        next_answer: what the origin answers to the link.
        config: "short" where an item waits for another that does not come.
    """
    return Scenario(
        name=f"tracked-{name}",
        why=why,
        config=config,
        warm=[channel],
        origin={"/hold": stream(f"{channel}; prev-id={prev_id}", LINK), "/next": next_answer},
        steps=[Send(get("/hold")), Receive(b"[open]\n"), *steps, Asked("/next")],
    )


SCENARIOS = [
    tracked(
        "in-order",
        "an item that follows is sent, and the next one follows it; the link waits",
        "v1",
        items(numbered("v1", 11, 10)),
        Receive(b"(11)\n"),
        items(numbered("v1", 12, 11), numbered("v1", 14, 13)),
        next_answer=stream("v1; prev-id=14", body=b"found\n"),
        config="short",
    ),
    tracked(
        "gap",
        "an item that does not follow is not sent: the link is asked with the last id",
        "v2",
        items(numbered("v2", 12, 11)),
        Receive(b"found\n"),
        items(numbered("v2", 13, 12)),
        Receive(b"(13)\n"),
        next_answer=stream("v2; prev-id=12", LINK, body=b"found\n"),
    ),
    tracked(
        "item-without-ids",
        "an item without ids follows nothing",
        "v3",
        items(item("v3", content="no id\n")),
        Receive(b"found\n"),
        next_answer=stream("v3; prev-id=12", LINK, body=b"found\n"),
    ),
    tracked(
        "item-without-id",
        "an item without id that follows ends the tracking",
        "v4",
        items({"channel": "v4", "prev-id": "10", "formats": {"http-stream": {"content": "no id\n"}}}),
        Receive(b"no id\n"),
        items(numbered("v4", 20, 19)),
        Receive(b"(20)\n"),
        Publish([item("v4", action="hint")]),
        Receive(b"found\n"),
        next_answer=answer("200 OK", TEXT, body=b"found\n"),
    ),
    tracked(
        "empty-prev-id",
        "an empty id is followed by what says so",
        "v5",
        items(numbered("v5", 1, "")),
        Receive(b"(1)\n"),
        items(numbered("v5", 3, 2)),
        Receive(b"found\n"),
        next_answer=answer("200 OK", TEXT, body=b"found\n"),
        prev_id="",
        config="short",
    ),
    Scenario(
        name="tracked-conflict-at-the-first-hold",
        why="a stream that begins behind the channel's last id asks its link",
        warm=["v6"],
        origin={
            "/hold": stream("v6; prev-id=10", LINK),
            "/next": stream("v6; prev-id=11", LINK, body=b"found\n"),
        },
        steps=[
            items(numbered("v6", 11, 10)),
            Send(get("/hold")),
            Receive(b"found\n"),
            items(numbered("v6", 12, 11)),
            Receive(b"(12)\n"),
        ],
    ),
    Scenario(
        name="tracked-items-during-the-link",
        why="items that come while the link is asked wait, and those that do not follow its answer are dropped",
        warm=["v7"],
        origin={
            "/hold": stream("v7; prev-id=10", LINK),
            "/next": [WAIT, stream("v7; prev-id=13", LINK, body=b"found\n")],
        },
        steps=[
            Send(get("/hold")),
            Receive(b"[open]\n"),
            items(numbered("v7", 12, 11)),
            Asked("/next"),
            items(numbered("v7", 13, 12), numbered("v7", 14, 13), numbered("v7", 15, 14)),
            Pause(0.3),
            Release(),
            Receive(b"(15)\n"),
        ],
    ),
    Scenario(
        name="tracked-with-route-prefix",
        why="the origin names channels without the prefix, the link's request too",
        warm=["p-v8"],
        origin={"/hold": stream("v8; prev-id=10", LINK), "/next": stream("v8; prev-id=12", LINK, body=b"found\n")},
        steps=[
            Send(get("/hold", host="prefix.test")),
            Receive(b"[open]\n"),
            items(numbered("p-v8", 12, 11)),
            Receive(b"found\n"),
            items(numbered("p-v8", 13, 12)),
            Receive(b"(13)\n"),
        ],
    ),
    Scenario(
        name="tracked-two-channels",
        why="the link is told the last id of each channel",
        warm=["v9", "v9b"],
        origin={
            "/hold": stream("v9; prev-id=1, v9b; prev-id=2, v9c", LINK),
            "/next": stream("v9; prev-id=2, v9b; prev-id=4", LINK, body=b"found\n"),
        },
        steps=[
            Send(get("/hold")),
            Receive(b"[open]\n"),
            items(numbered("v9", 2, 1)),
            Receive(b"(2)\n"),
            items(numbered("v9b", 4, 3)),
            Receive(b"found\n"),
        ],
    ),
]
