"""Scenarios of items for WebSockets."""

from tests.conformance.frames import CLOSE, CONTINUATION, TEXT, closing, frame
from tests.conformance.scenario import (
    Difference,
    End,
    OriginLeave,
    OriginSend,
    Publish,
    Receive,
    Scenario,
    Send,
    Subscribed,
    item,
)
from tests.conformance.socket_frames import MADE_1000
from tests.conformance.sockets import (
    accept,
    at_origin,
    control,
    hang_up,
    origin_says,
    published,
    say,
    socket,
    subscribe,
    upgrade,
)

LAST = "last"


def delivered(
    name: str,
    why: str,
    *formats: dict[str, object],
    filters: tuple[str, ...] = (),
    difference: Difference | None = None,
    **keys: object,
) -> Scenario:
    """Make the scenario of items on a channel, one by one, and a last one."""
    channel = f"item-{name}"
    first = [subscribe(channel, filters=list(filters)), control("set-meta", name="user", value="me")]
    items = [{"channel": channel, "formats": {"ws-message": each}, **keys} for each in formats]
    return socket(
        channel,
        why,
        Subscribed(channel),
        *(Publish([each]) for each in items),
        published(channel, content=LAST),
        Receive(b"<text last>"),
        first=first,
        difference=difference,
    )


def shut(name: str, why: str, **keys: object) -> list[Scenario]:
    """Make the scenarios of a published close; the client and the origin answer it."""
    channel = f"shut-{name}"
    return [
        socket(
            channel,
            why,
            Subscribed(channel),
            published(channel, action="close", **keys),
            Receive(b"<close"),
            at_origin(b"<close"),
            hang_up(1000, b"client"),
            origin_says((CLOSE, closing(1000, b"origin"))),
            OriginLeave(),
            End(),
            first=[subscribe(channel)],
            difference=MADE_1000,
        )
    ]


SCENARIOS = [
    delivered(
        "types",
        "text, binary, ping and pong",
        {"content": "text"},
        {"content": ""},
        {"content-bin": "AP8="},
        {"content-bin": ""},
        {"type": "text", "content-bin": "YWJj"},
        {"type": "binary", "content": "abc"},
        {"type": "ping", "content": "pi"},
        {"type": "pong", "content": "po"},
        {"type": "ping", "content": ""},
        {"content": "both", "content-bin": "YWJj"},
        {"content": "\u00e9\u20ac"},
    ),
    delivered("hint", "a hint is nothing to a WebSocket", {"action": "hint"}),
    delivered(
        "bare-ping",
        "a ping without a content",
        {"type": "ping"},
        {"type": "pong"},
        difference=Difference(id="bare-ping-is-sent", reference="<text last>", ours="<ping>\n<pong>\n<text last>"),
    ),
    socket(
        "item-large",
        "a large item",
        Subscribed("item-large"),
        published("item-large", content="x" * 100_000),
        Receive(b"<text 100000 bytes"),
        first=[subscribe("item-large")],
    ),
    delivered("skip-self", "not to the sender", {"content": "own"}, filters=("skip-self",), meta={"sender": "me"}),
    delivered("skip-users", "not to some", {"content": "own"}, filters=("skip-users",), meta={"skip_users": "you,me"}),
    delivered(
        "content-filters",
        "an item's own filters must be the subscriber's",
        {"content": "none", "content-filters": ["skip-self"]},
        {"content": "any", "content-filters": []},
    ),
    delivered("var-subst", "text is put in", {"content": "user is %(user)s, 100%%"}, filters=("var-subst",)),
    Scenario(
        name="socket-item-forms",
        why="short and long forms, and forms that are for others",
        config="sockets",
        origin={"/forms": accept("Sec-WebSocket-Extensions: grip", frames=frame(*subscribe("forms")))},
        steps=[
            Send(upgrade("/forms")),
            Subscribed("forms"),
            Publish([{"channel": "forms", "ws-message": {"content": "short"}}]),
            Publish([{"channel": "forms", "http-stream": {"content": "stream"}, "http-response": {"body": "poll"}}]),
            Publish([{"channel": "forms", "id": "1", "formats": {"ws-message": {"content": "one"}}}]),
            Publish([{"channel": "forms", "id": "1", "formats": {"ws-message": {"content": "twice"}}}]),
            Publish([{"channel": "forms", "id": "3", "prev-id": "2", "formats": {"ws-message": {"content": "three"}}}]),
            Publish([{"channel": "forms", "id": "2", "prev-id": "1", "formats": {"ws-message": {"content": "two"}}}]),
            Receive(b"<text three>"),
        ],
    ),
    *shut("code", "code and reason", code=4001, reason="enough"),
    *shut("plain", "no code is 1000"),
    *shut("reason", "a reason alone is none", reason="lost"),
    *shut("no-reason", "a code alone", code=1001),
    *shut("zero", "code 0", code=0),
    *shut("any-code", "any code", code=99),
    socket(
        "shut-behind",
        "what was published before goes first, and nothing behind",
        Subscribed("shut-behind"),
        Publish(
            [
                item("shut-behind", "ws-message", content="before"),
                item("shut-behind", "ws-message", action="close", code=4001),
                item("shut-behind", "ws-message", content="behind"),
            ]
        ),
        Receive(b"<close"),
        say(TEXT, b"late"),
        hang_up(4001),
        at_origin(b"<close"),
        origin_says((TEXT, b"m:late"), (CLOSE, closing(4001))),
        OriginLeave(),
        End(),
        first=[subscribe("shut-behind")],
        difference=MADE_1000,
    ),
    Scenario(
        name="socket-item-in-message",
        why="nothing comes between the frames of a message; another client tells when items were dropped for that",
        config="sockets",
        origin={
            "/between-a": accept(
                "Sec-WebSocket-Extensions: grip",
                frames=frame(*subscribe("in-message")) + frame(TEXT, b"m:one ", is_final=False),
            ),
            "/between-b": accept(
                "Sec-WebSocket-Extensions: grip", frames=frame(*subscribe("in-message")) + frame(TEXT, b"m:go")
            ),
        },
        is_origin_order_free=True,
        steps=[
            Send(upgrade("/between-b"), client="b"),
            Receive(b"go", client="b"),
            Send(upgrade("/between-a")),
            Receive(b"<text one ...>"),
            published("in-message", content="dropped"),
            published("in-message", type="ping", content="also dropped"),
            Receive(b"also dropped", client="b"),
            OriginSend(frame(CONTINUATION, b"two")),
            Receive(b"<text one two>"),
            published("in-message", content=LAST),
            Receive(b"last"),
            Receive(b"last", client="b"),
        ],
    ),
    Scenario(
        name="socket-item-for-two",
        why="each client gets it, and a stream on the same channel its own form",
        config="sockets",
        origin={
            path: accept("Sec-WebSocket-Extensions: grip", frames=frame(*subscribe("two")) + frame(TEXT, b"m:go"))
            for path in ("/two-a", "/two-b")
        },
        is_origin_order_free=True,
        steps=[
            Send(upgrade("/two-a")),
            Send(upgrade("/two-b"), client="b"),
            Receive(b"go"),
            Receive(b"go", client="b"),
            Subscribed("two"),
            published("two", content="for both"),
            Receive(b"for both"),
            Receive(b"for both", client="b"),
        ],
    ),
]
