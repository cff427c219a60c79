"""Scenarios of the command socket: every method, what is refused, and what is not even answered."""

from tests.conformance.holds import held, stream
from tests.conformance.publish_inputs import NULL, mapped
from tests.conformance.publishing import tnet
from tests.conformance.scenario import Command, Difference, Receive, Scenario

TRUE = b"4:true!"


def ask(method: str, *, id_: str | None = "r1", args: bytes | None = None) -> Command:
    """Spell a request."""
    fields = {"method": tnet(method)}
    if id_ is not None:
        fields["id"] = tnet(id_)
    if args is not None:
        fields["args"] = args
    return Command([b"", mapped(**fields)])


def listed(*values: bytes) -> bytes:
    """Spell a list of values that are spelled already."""
    inner = b"".join(values)
    return b"%d:%s]" % (len(inner), inner)


def unanswered(*frames: bytes) -> Command:
    return Command(frames, is_answered=False)


def commands(name: str, why: str, *steps: Command, difference: Difference | None = None) -> Scenario:
    return Scenario(name=f"command-{name}", why=why, steps=steps, difference=difference)


RECOVER = mapped(method=tnet("recover"))
GOOD = mapped(channel=tnet("c"), http_stream=mapped(content=tnet("x")))
WRONG = mapped(channel=tnet("c"), http_stream=mapped(content=b"1:5#"))
WRONG_WORDS = "Invalid format: 'http-stream' contains 'content' with wrong type"

SCENARIOS = [
    commands(
        "uris",
        "where to publish; with an id and without",
        ask("get-zmq-uris"),
        ask("get-zmq-uris", id_=None),
        ask("get-zmq-uris", id_="", args=mapped(a=TRUE)),
    ),
    commands("recover", "the reply comes at once", ask("recover"), ask("recover", args=mapped())),
    commands("not-found", "methods that are none", *(ask(name) for name in ("report", "ping", "", "Recover"))),
    commands(
        "publish",
        "what is no list of items",
        ask("publish"),
        ask("publish", args=mapped()),
        *(ask("publish", args=mapped(items=value)) for value in (NULL, b"1:5#", mapped(), tnet("x"))),
        *(ask("publish", args=mapped(items=listed(*values))) for values in ((), (GOOD,), (GOOD, GOOD))),
        ask("publish", args=mapped(items=listed(mapped(channel=tnet("c"))))),
    ),
    commands(
        "publish-with-a-bad-item",
        "none of them is published",
        ask("publish", args=mapped(items=listed(GOOD, WRONG))),
        difference=Difference(
            id="refusal-names-item", reference=f'"{WRONG_WORDS}"', ours=f'"{WRONG_WORDS} (items[1], value: 5)"'
        ),
    ),
    Scenario(
        name="command-publish-reaches-a-stream",
        why="items over the command socket are items",
        origin={"/hold": stream("commanded")},
        is_repeat_free=True,
        steps=[
            *held("commanded"),
            ask(
                "publish",
                args=mapped(
                    items=listed(
                        *(
                            mapped(channel=tnet("commanded"), http_stream=mapped(content=content))
                            for content in (b"2:\x00\xff,", tnet("last\n"))
                        )
                    )
                ),
            ),
            Receive(b"last\n"),
        ],
    ),
    commands(
        "refresh",
        "by connection, which wins, or by channel",
        ask("refresh"),
        *(
            ask("refresh", args=args)
            for args in (
                mapped(cid=tnet("nobody")),
                mapped(cid=tnet("")),
                mapped(cid=b"1:5#"),
                mapped(cid=NULL, channel=tnet("c")),
                mapped(cid=tnet("nobody"), channel=tnet("c")),
                mapped(cid=tnet("nobody"), channel=b"1:5#"),
                mapped(channel=tnet("c")),
                mapped(channel=tnet("")),
                mapped(channel=b"1:5#"),
                mapped(channel=NULL),
            )
        ),
    ),
    commands(
        "conncheck",
        "ids that are none, and what is no list of ids",
        ask("conncheck"),
        ask("conncheck", args=mapped()),
        *(
            ask("conncheck", args=mapped(ids=value))
            for value in (
                listed(),
                listed(tnet("nobody"), tnet(""), tnet("nobody"), tnet("0-0-0")),
                listed(tnet("nobody"), b"1:5#"),
                listed(NULL),
                tnet("nobody"),
                NULL,
            )
        ),
    ),
    commands(
        "without-a-reply",
        "what is no request is not answered at all; the next one is",
        unanswered(RECOVER),
        unanswered(b"", b""),
        unanswered(b"", b"garbage"),
        unanswered(b"", b"T" + RECOVER),
        unanswered(b"", b'J{"method":"recover"}'),
        unanswered(b"", RECOVER, RECOVER),
        unanswered(b"", listed()),
        unanswered(b"", mapped()),
        unanswered(b"", mapped(method=b"1:5#")),
        unanswered(b"", mapped(method=NULL)),
        unanswered(b"", mapped(method=tnet("recover"), id=b"1:5#")),
        unanswered(b"", mapped(method=tnet("recover"), id=NULL)),
        unanswered(b"", mapped(method=tnet("recover"), args=listed())),
        unanswered(b"", mapped(method=tnet("recover"), args=NULL)),
    ),
    commands(
        "envelopes",
        "the envelope comes back; empty frames around the request count for nothing, nor do bytes behind it",
        Command([b"", RECOVER + b"behind"]),
        Command([b"", RECOVER, b""]),
        Command([b"", b"", RECOVER]),
        Command([b"a", b"b", b"", RECOVER]),
    ),
]
