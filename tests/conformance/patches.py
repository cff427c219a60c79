"""Scenarios of published patches, and of actions that long-polls and streams know (`body-patch`, `hint`)."""

from tests.conformance.holds import FOUND, poll, stream
from tests.conformance.scenario import Answered, Asked, Publish, Receive, Scenario, Send, Settle, get, item

BASE = b'{"a":[1,2],"b":"t\xc3\xa9","c/d":{"~":0}}'


def patched(name: str, why: str, *operations: object, base: bytes = BASE, marker: bytes) -> Scenario:
    """Make the scenario of a long-poll that is answered with its own body, patched."""
    return Scenario(
        name=f"patch-{name}",
        why=why,
        config="ordered",
        warm=[f"w-{name}"],
        origin={"/hold": poll(f"w-{name}", "X-A: 1", body=base)},
        steps=[
            Send(get("/hold")),
            Answered(),
            Settle(),
            Publish([item(f"w-{name}", "http-response", code=203, body_patch=list(operations))]),
            Receive(marker),
        ],
    )


def failed(name: str, why: str, *operations: object, base: bytes = BASE) -> Scenario:
    """Make the scenario of a patch that cannot be carried out."""
    return patched(name, why, *operations, base=base, marker=b"origin.\n")


def op(name: str, path: str, **keys: object) -> dict[str, object]:
    """Spell an operation; `from_` stands for the key that is a word of Python."""
    return {"op": name, "path": path} | {key.rstrip("_"): value for key, value in keys.items()}


SCENARIOS = [
    patched(
        "operations",
        "operations in their order; an index that is there is replaced",
        op("replace", "/b", value="new"),
        op("add", "/a/-", value=3),
        op("add", "/a/0", value=9),
        op("remove", "/a/1"),
        marker=b"}",
    ),
    patched(
        "moves",
        "values move and are copied; names are escaped",
        op("move", "/z", from_="/c~1d/~0"),
        op("copy", "/y", from_="/a"),
        op("test", "/b", value="t\xe9"),
        marker=b"}",
    ),
    patched("root", "the whole may be replaced", op("replace", "/", value={"x": 1}), marker=b"}"),
    patched("line-end", "the body's line end stays", op("remove", "/a"), base=b'{"b":1,"a":2}\r\n', marker=b"}\r\n"),
    patched("nothing", "a patch of no operations orders the names", base=b'{ "b":1, "a":2 }\n', marker=b"}\n"),
    failed("no-json", "a body that is no JSON", op("remove", "/a"), base=b"text\n"),
    failed("missing", "a value that is not there", op("remove", "/nope")),
    failed("test-fails", "a test that does not hold", op("test", "/b", value="x")),
    failed("empty-path", "a path of nothing", op("add", "", value=1)),
    failed("index-beyond", "an index beyond the end", op("add", "/a/2", value=1)),
    failed("into-itself", "a value into itself", op("move", "/a/0", from_="/a")),
    Scenario(
        name="hint-without-link",
        why="a hint to a stream without a link does nothing",
        origin={"/hold": stream("hl1")},
        steps=[
            Send(get("/hold")),
            Receive(b"[open]\n"),
            Publish([item("hl1", action="hint"), item("hl1", content="one\n")]),
            Receive(b"one\n"),
        ],
    ),
    Scenario(
        name="hint-of-two-polls",
        why="every long-poll of the channel is asked for again",
        config="ordered",
        warm=["hl2"],
        is_origin_order_free=True,
        origin={"/hold": poll("hl2"), "/hold#2": FOUND, "/other": poll("hl2"), "/other#2": FOUND},
        steps=[
            Send(get("/hold")),
            Send(get("/other"), client="b"),
            Answered(2),
            Settle(),
            Publish([item("hl2", "http-response", action="hint")]),
            Asked("/other", 2),
            Receive(b"found\n"),
            Receive(b"found\n", client="b"),
        ],
    ),
]
