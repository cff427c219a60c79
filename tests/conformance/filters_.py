"""Scenarios of filters: who gets an item, and what of it."""

from collections.abc import Mapping, Sequence

from tests.conformance.holds import HELLO, LINK, TEXT, items, numbered, poll, stream
from tests.conformance.refusals import INSTRUCT_TYPE
from tests.conformance.scenario import (
    Answered,
    Difference,
    Publish,
    Receive,
    Scenario,
    Send,
    Settle,
    Step,
    get,
    item,
)
from tests.integration.origin import answer

ALICE = 'Grip-Set-Meta: user="alice"'


def meant(channel: str, content: str, meta: Mapping[str, str] | None = None, **keys: object) -> dict[str, object]:
    """Spell an item with meta."""
    return item(channel, content=content, **keys) | ({"meta": dict(meta)} if meta is not None else {})


def streamed(
    name: str,
    why: str,
    channel: str,
    *steps: Step,
    headers: Sequence[str] = (),
    host: str = "plain.test",
    body: bytes = b"[open]\n",
    difference: Difference | None = None,
    is_framing_free: bool = False,
    is_origin_compared: bool = True,
) -> Scenario:
    """Make the scenario of a stream with filters.

    Args:
        channel: with its parameters, as in Grip-Channel.
    """
    return Scenario(
        name=f"filter-{name}",
        why=why,
        warm=[part.partition(";")[0] for part in channel.split(", ")],
        origin={"/hold": stream(channel, *headers, body=body), "/hello": HELLO},
        steps=[Send(get("/hold", host=host)), *steps],
        difference=difference,
        is_framing_free=is_framing_free,
        is_origin_compared=is_origin_compared,
    )


def delivered(
    name: str, why: str, channel: str, *published: dict[str, object], headers: Sequence[str] = (), **more: object
) -> Scenario:
    """Make the scenario of items of which some arrive; the last one says that all have been looked at."""
    end = channel.partition(";")[0].partition(",")[0]
    steps = [Receive(b"[open]\n"), Publish(published), Publish([item(end, content="!end\n")]), Receive(b"end\n")]
    return streamed(name, why, channel, *steps, headers=headers, **more)  # type: ignore[arg-type]  # fields of Scenario


def polled(
    name: str,
    why: str,
    channel: str,
    *steps: Step,
    host: str = "plain.test",
    headers: Sequence[str] = (),
    difference: Difference | None = None,
) -> Scenario:
    """Make the scenario of a long-poll with filters."""
    return Scenario(
        name=f"filter-poll-{name}",
        why=why,
        config="ordered",
        warm=[channel.partition(";")[0]],
        origin={"/hold": poll(channel, *headers), "/hello": HELLO},
        steps=[Send(get("/hold", host=host)), Answered(), Settle(), *steps],
        difference=difference,
    )


def response(channel: str, body: str, meta: Mapping[str, str] | None = None, **keys: object) -> dict[str, object]:
    """Spell a long-poll's item with meta."""
    return item(channel, "http-response", body=body, **keys) | ({"meta": dict(meta)} if meta is not None else {})


SCENARIOS = [
    delivered(
        "skip-self",
        "a sender does not hear himself",
        "f1; filter=skip-self",
        meant("f1", "own\n", {"sender": "alice"}),
        meant("f1", "bob's\n", {"sender": "bob"}),
        meant("f1", "Alice's\n", {"sender": "Alice"}),
        meant("f1", "nobody's\n", {"sender": ""}),
        meant("f1", "plain\n"),
        headers=[ALICE],
    ),
    delivered(
        "skip-self-without-user",
        "who has no name hears everybody",
        "f2; filter=skip-self",
        meant("f2", "bob's\n", {"sender": "bob"}),
        meant("f2", "nobody's\n", {"sender": ""}),
    ),
    delivered(
        "skip-users",
        "a list of those that must not hear",
        "f3; filter=skip-users",
        meant("f3", "no\n", {"skip_users": "bob, alice ,carl"}),
        meant("f3", "for alice\n", {"skip_users": "bob,,"}),
        meant("f3", "also\n", {"skip_users": "alicex,x alice"}),
        meant("f3", "plain\n"),
        headers=[ALICE],
    ),
    delivered(
        "require-sub",
        "only who holds another channel too",
        "f4; filter=require-sub, f4b",
        meant("f4", "for f4b\n", {"require_sub": "f4b"}),
        meant("f4", "no\n", {"require_sub": "f4c"}),
        meant("f4", "for f4\n", {"require_sub": "f4"}),
        meant("f4", "for all\n", {"require_sub": ""}),
    ),
    delivered(
        "of-one-channel",
        "a filter counts for its own channel",
        "f5; filter=skip-self, f5b",
        meant("f5", "no\n", {"sender": "alice"}),
        meant("f5b", "yes\n", {"sender": "alice"}),
        headers=[ALICE],
    ),
    delivered(
        "several",
        "the first that drops ends it",
        "f6; filter=skip-users; filter=skip-self",
        meant("f6", "no\n", {"sender": "alice"}),
        meant("f6", "nor\n", {"skip_users": "alice"}),
        meant("f6", "yes\n", {"sender": "bob", "skip_users": "bob"}),
        headers=[ALICE],
    ),
    delivered(
        "of-close",
        "a close is for whom it is meant",
        "f7; filter=skip-self",
        item("f7", action="close") | {"meta": {"sender": "alice"}},
        headers=[ALICE],
    ),
    delivered(
        "meta-quoted",
        "quotes in values, several headers, the last of a name",
        "f8; filter=var-subst",
        meant("f8", "%(a)s|%(b)s|%(c)s|%%\n"),
        headers=['Grip-Set-Meta: a="x \\"y\\", z", b=1; d=2, c=0', "Grip-Set-Meta: b=3, c=4"],
    ),
    streamed(
        "build-id",
        "the id of the item itself, and of the other channels as they stand",
        "f9; prev-id=p5; filter=build-id, f9b; prev-id=q1",
        Receive(b"[open]\n"),
        Publish([item("f9", content="id=%I h=%(a\\)b)I p=%%\n") | {"id": "p6", "prev-id": "p5"}]),
        Receive(b"p=%\n"),
        headers=['Grip-Set-Meta: id_format="X%(f9)s-%(f9b)s%%"', LINK],
    ),
    streamed(
        "build-id-hex",
        "ids for those who take only letters and digits",
        "f10; prev-id=p5; filter=build-id",
        Receive(b"[open]\n"),
        Publish([item("f10", content="id=%I %(ab)I\n") | {"id": "p/6", "prev-id": "p5"}]),
        Receive(b"\n", 2),
        headers=['Grip-Set-Meta: id_format="%(f10)s", id_encoding=hex', LINK],
    ),
    streamed(
        "build-id-without-channels",
        "a format that names no channel",
        "f11; filter=build-id",
        Receive(b"[open]\n"),
        Publish([item("f11", content="id=%I\n")]),
        Receive(b"id=x\n"),
        headers=["Grip-Set-Meta: id_format=x"],
    ),
    streamed(
        "build-id-with-route-prefix",
        "a format names channels without the prefix",
        "f12; prev-id=p5; filter=build-id",
        Receive(b"[open]\n"),
        Publish([item("p-f12", content="id=%I\n") | {"id": "p6", "prev-id": "p5"}]),
        Receive(b"id=p6\n"),
        headers=['Grip-Set-Meta: id_format="%(f12)s"', LINK],
        host="prefix.test",
    ),
    streamed(
        "build-id-of-the-first-body",
        "what opens a stream is filtered too",
        "f13; filter=build-id",
        Receive(b"\n"),
        headers=["Grip-Set-Meta: id_format=x"],
        body=b"100%% %(ab)I!\n",
    ),
    Scenario(
        name="filter-build-id-without-hold",
        why="an answer that holds nothing is filtered by its channels too",
        origin={
            "/x": answer(
                "200 OK",
                TEXT,
                "Grip-Channel: f15; filter=build-id",
                "Grip-Set-Meta: id_format=x",
                body=b"100%% %(ab)I\n",
            )
        },
        steps=[Send(get("/x")), Receive(b"ab\n")],
        is_framing_free=True,
    ),
    Scenario(
        name="filter-build-id-of-a-link",
        why="a link's body is filtered by its own instruct",
        warm=["f17"],
        origin={
            "/hold": stream("f17; filter=build-id", LINK, "Grip-Set-Meta: id_format=x"),
            "/next": stream("f17; filter=build-id", "Grip-Set-Meta: id_format=x", body=b"100%% %(ab)I!\n"),
        },
        is_origin_compared=False,
        steps=[Send(get("/hold")), Receive(b"[open]\n"), Publish([item("f17", action="hint")]), Receive(b"!\n")],
    ),
    delivered(
        "var-subst",
        "values of the hold in the content of an item",
        "f18; filter=var-subst",
        meant("f18", "a %(v)s b %% %(user)s\n"),
        headers=["Grip-Set-Meta: v=VAL", ALICE],
    ),
    streamed(
        "var-subst-not-of-the-first-body",
        "what opens a stream is no item",
        "f19; filter=var-subst",
        Receive(b"\n"),
        body=b"100% %(v)s\n",
    ),
    delivered(
        "content-filters-match",
        "an item that says what it was made for",
        "f30; filter=skip-self; filter=var-subst",
        meant("f30", "%(v)s\n", content_filters=["var-subst"]),
        headers=["Grip-Set-Meta: v=yes"],
    ),
    delivered(
        "content-filters-none",
        "an item that was made for no filter",
        "f31; filter=skip-self",
        meant("f31", "100%\n", content_filters=[]),
        headers=["Grip-Set-Meta: v=yes"],
    ),
    delivered(
        "content-filters-order",
        "two filters in the order that was meant",
        "f32; filter=var-subst; filter=build-id",
        meant("f32", "%(v)s\n", content_filters=["var-subst", "build-id"]),
        headers=["Grip-Set-Meta: v=yes, id_format=x"],
    ),
    polled(
        "skip-self",
        "a poll waits on if an item is not for it",
        "g1; filter=skip-self",
        Publish([response("g1", "own\n", {"sender": "alice"})]),
        Publish([response("g1", "bob's\n", {"sender": "bob"})]),
        Receive(b"bob's\n"),
        headers=[ALICE],
    ),
    polled(
        "var-subst",
        "values in the answer to a poll",
        "g2; filter=var-subst",
        Publish([response("g2", "%(user)s\n")]),
        Receive(b"alice\n"),
        headers=[ALICE],
    ),
    polled(
        "build-id",
        "ids in the answer to a poll",
        "g3; prev-id=p5; filter=build-id",
        Publish([response("g3", "id=%I\n") | {"id": "p6", "prev-id": "p5"}]),
        Receive(b"id=p6\n"),
        headers=['Grip-Set-Meta: id_format="%(g3)s"'],
    ),
    polled(
        "hint",
        "a hint is for whom it is meant",
        "g4; filter=skip-self",
        Publish([item("g4", "http-response", action="hint") | {"meta": {"sender": "alice"}}]),
        Publish([response("g4", "yes\n")]),
        Receive(b"yes\n"),
        headers=[ALICE],
    ),
    Scenario(
        name="filter-by-json",
        why="filters and meta in the body of an instruct",
        origin={
            "/hold": answer(
                "200 OK",
                INSTRUCT_TYPE,
                body=(
                    b'{"hold":{"mode":"stream","channels":[{"name":"f40","filters":["skip-self","var-subst"]}],'
                    b'"meta":{"user":"alice"}},"response":{"body":"[open]\\n"}}'
                ),
            )
        },
        steps=[
            Send(get("/hold")),
            Receive(b"[open]\n"),
            Publish([meant("f40", "no\n", {"sender": "alice"}), meant("f40", "%(user)s\n", {"sender": "bob"})]),
            Receive(b"alice\n"),
        ],
    ),
    Scenario(
        name="filter-dropped-item-moves-the-id",
        why="an item that a filter drops still counts as the one before the next",
        warm=["f41"],
        origin={"/hold": stream("f41; prev-id=10; filter=skip-self", LINK, ALICE)},
        steps=[
            Send(get("/hold")),
            Receive(b"[open]\n"),
            items(numbered("f41", 11, 10, meta={"sender": "alice"}), numbered("f41", 12, 11)),
            Receive(b"(12)\n"),
        ],
    ),
]
