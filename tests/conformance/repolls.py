"""Scenarios of long-polls that the origin is asked for again."""

from collections.abc import Sequence

from tests.conformance.holds import FOUND, HELLO, LINK, held, items, numbered, poll, stream
from tests.conformance.publishing import control
from tests.conformance.scenario import (
    Answered,
    Asked,
    Pause,
    Receive,
    Scenario,
    Send,
    Settle,
    Step,
    Subscribed,
    Unsubscribed,
    get,
    item,
    post,
)
from tests.integration.origin import CLOSE, answer


def repolled(name: str, why: str, channel: str, *steps: Step, first: bytes, second: bytes = FOUND) -> Scenario:
    """Make the scenario of a long-poll that the origin is asked for again."""
    return Scenario(
        name=f"repoll-{name}",
        why=why,
        config="ordered",
        warm=[channel],
        origin={"/hold": first, "/hold#2": second, "/hello": HELLO},
        steps=[Send(get("/hold", "X-A: 1", "Grip-X: 1")), Answered(), Settle(), *steps],
    )


HINT = {"formats": {"http-response": {"action": "hint"}}}


def answered(marker: bytes) -> Sequence[Step]:
    """Receive the end of a long-poll and use the connection again."""
    return [Receive(marker), Send(get("/hello")), Receive(b"hello\n")]


SCENARIOS = [
    repolled(
        "hint",
        "a hint asks again, with the last id, and without the client's Grip-* headers",
        "u1",
        items({"channel": "u1", **HINT}),
        *answered(b"found\n"),
        first=poll("u1; prev-id=5"),
    ),
    repolled(
        "hint-without-id",
        "without an id there is none to tell",
        "u2",
        items({"channel": "u2", **HINT}),
        *answered(b"found\n"),
        first=poll("u2"),
    ),
    repolled(
        "gap",
        "an item that does not follow makes the poll ask again",
        "u3",
        items(numbered("u3", 7, 6)),
        *answered(b"found\n"),
        first=poll("u3; prev-id=5"),
    ),
    repolled(
        "follows",
        "an item that follows is the answer",
        "u4",
        items(numbered("u4", 6, 5)),
        *answered(b"(6)\n"),
        first=poll("u4; prev-id=5"),
    ),
    repolled(
        "item-without-ids",
        "an item without ids follows nothing",
        "u5",
        items(item("u5", "http-response", body="no id\n")),
        *answered(b"found\n"),
        first=poll("u5; prev-id=5"),
    ),
    repolled(
        "held-again",
        "the second answer may hold too",
        "u6",
        items(numbered("u6", 7, 6)),
        Asked("/hold", 2),
        Answered(2),
        Settle(),
        items(numbered("u6", 8, 7)),
        *answered(b"(8)\n"),
        first=poll("u6; prev-id=5"),
        second=poll("u6; prev-id=7"),
    ),
    repolled(
        "becomes-a-stream",
        "the second answer may be a stream",
        "u7",
        items(numbered("u7", 7, 6)),
        Receive(b"[open]\n"),
        items(numbered("u7", 8, 7)),
        Receive(b"(8)\n"),
        first=poll("u7; prev-id=5"),
        second=stream("u7"),
    ),
    repolled(
        "refused",
        "the second answer may be an error",
        "u8",
        items({"channel": "u8", **HINT}),
        Receive(b"origin.\n"),
        first=poll("u8"),
        second=answer("200 OK", "Grip-Hold: x"),
    ),
    Scenario(
        name="repoll-origin-gone",
        why="the origin may be gone by then",
        config="ordered",
        warm=["u9"],
        origin={"/hold": [CLOSE], "/hold#1": poll("u9")},
        is_repeat_free=True,
        steps=[
            Send(get("/hold")),
            Answered(),
            Settle(),
            items({"channel": "u9", **HINT}),
            Receive(b"origin.\n"),
        ],
    ),
    repolled(
        "other-channel",
        "the second answer may hold on another channel",
        "u10",
        items({"channel": "u10", **HINT}),
        Subscribed("u10b"),
        items(numbered("u10", 1), numbered("u10b", 2)),
        *answered(b"(2)\n"),
        first=poll("u10"),
        second=poll("u10b"),
    ),
    repolled(
        "recover",
        "the control port can make every hold ask again",
        "u11",
        control(b"", path="/recover/"),
        *answered(b"found\n"),
        first=poll("u11; prev-id=5"),
    ),
    Scenario(
        name="repoll-conflict",
        why="a poll that comes with an older id than the channel's last is asked for again at once",
        config="ordered",
        warm=["u12"],
        origin={"/hold": poll("u12; prev-id=5"), "/hold#2": FOUND},
        steps=[items(numbered("u12", 6, 5)), Send(get("/hold")), Receive(b"found\n")],
    ),
    Scenario(
        name="repoll-conflict-once",
        why="the second hold is taken, even if the origin says the same",
        config="ordered",
        warm=["u13"],
        origin={"/hold": poll("u13; prev-id=5")},
        steps=[
            items(numbered("u13", 6, 5)),
            Send(get("/hold")),
            Asked("/hold", 2),
            Answered(2),
            Settle(),
            items(numbered("u13", 7, 5)),
            Receive(b"(7)\n"),
        ],
    ),
    Scenario(
        name="repoll-of-a-post",
        why="the origin gets the same request again, with its method, its headers and its body",
        config="ordered",
        warm=["u14"],
        origin={"/hold": poll("u14; prev-id=5"), "/hold#2": FOUND},
        steps=[
            Send(post("/hold?x=1", b"body\n", "Cookie: a=b", "X-B: 1", "X-B: 2")),
            Answered(),
            Settle(),
            items(numbered("u14", 7, 6)),
            Receive(b"found\n"),
        ],
    ),
    Scenario(
        name="repoll-with-route-prefix",
        why="the origin is told its channel without the prefix",
        config="ordered",
        warm=["p-u15"],
        origin={"/hold": poll("u15; prev-id=5"), "/hold#2": FOUND},
        steps=[
            Send(get("/hold", host="prefix.test")),
            Answered(),
            Settle(),
            items(numbered("p-u15", 7, 6)),
            Receive(b"found\n"),
        ],
    ),
    Scenario(
        name="first-poll-is-asked-again",
        why="what was published between the origin's answer and the first hold would be missed otherwise",
        config="ordered",
        origin={"/hold": poll("u16; prev-id=5"), "/hold#2": FOUND},
        steps=[Send(get("/hold")), Subscribed("u16"), Receive(b"found\n")],
    ),
    Scenario(
        name="first-stream-asks-its-link",
        why="the same for a stream",
        config="ordered",
        origin={"/hold": stream("u17", LINK), "/next": FOUND},
        steps=[Send(get("/hold")), Receive(b"[open]\n"), Receive(b"found\n")],
    ),
    Scenario(
        name="second-poll-is-not-asked-again",
        why="a channel lingers after its last poll, so the next one is not the first",
        config="ordered",
        origin={"/hold": poll("u18"), "/hold#2": poll("u18"), "/hold2": poll("u18"), "/hello": HELLO},
        steps=[
            *held("u18"),
            Asked("/hold", 2),
            Answered(2),
            Settle(),
            items(numbered("u18", 1)),
            Receive(b"(1)\n"),
            Send(get("/hold2")),
            Answered(3),
            Settle(),
            Pause(1.5),
            items(numbered("u18", 2, 1)),
            *answered(b"(2)\n"),
        ],
    ),
    Scenario(
        name="linger-ends",
        why="after subscription_linger the channel is left",
        config="short",
        origin={"/hold": poll("u19")},
        is_repeat_free=True,
        steps=[*held("u19"), items(numbered("u19", 1)), Receive(b"(1)\n"), Unsubscribed("u19")],
    ),
    Scenario(
        name="linger-keeps-the-last-id",
        why="an item published between two polls is remembered by its id: the poll that comes late is asked again",
        config="ordered",
        origin={"/hold": poll("u20; prev-id=0"), "/hold2": poll("u20; prev-id=1"), "/hold2#2": FOUND},
        is_repeat_free=True,
        steps=[
            *held("u20"),
            items(numbered("u20", 1, 0)),
            Receive(b"(1)\n"),
            items(numbered("u20", 2, 1)),
            Send(get("/hold2")),
            Receive(b"found\n"),
        ],
    ),
]
