"""Scenarios of items that are refused over HTTP: every text, the order of the checks, and what gripproxy adds."""

from tests.conformance.publishing import control, items
from tests.conformance.refusals import sized
from tests.conformance.scenario import Difference, Scenario

X = {"content": "x"}
TOO_LARGE = 2**32 + 200  # the reference counts it as 200
PUBLISHED = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n" + sized("Published")
BAD_REQUEST = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"


def response(**keys: object) -> dict[str, object]:
    """Spell an item for long-polls; keys with a dash are written with an underscore."""
    return {"channel": "c", "http-response": {name.replace("_", "-"): value for name, value in keys.items()}}


def stream(**keys: object) -> dict[str, object]:
    """Spell an item for streams."""
    return {"channel": "c", "http-stream": {name.replace("_", "-"): value for name, value in keys.items()}}


def message(**keys: object) -> dict[str, object]:
    """Spell an item for WebSockets."""
    return {"channel": "c", "ws-message": {name.replace("_", "-"): value for name, value in keys.items()}}


def keyed(**keys: object) -> dict[str, object]:
    """Spell a good item with more keys."""
    return {"channel": "c", "http-stream": X, **{name.replace("_", "-"): value for name, value in keys.items()}}


# A name, the item, the reference's words, and the value that gripproxy shows.
ITEM = "publish item object"
REFUSALS: list[tuple[str, object, str, str | None]] = [
    ("not-an-object", 5, f"{ITEM} is not an object", "5"),
    ("null-item", None, f"{ITEM} is not an object", "null"),
    ("no-channel", {"http-stream": X}, f"{ITEM} does not contain 'channel'", None),
    ("channel-type", keyed(channel=5), f"{ITEM} contains 'channel' with wrong type", "5"),
    ("channel-null", keyed(channel=None), f"{ITEM} contains 'channel' with wrong type", "null"),
    ("id-type", keyed(id=1), f"{ITEM} contains 'id' with wrong type", "1"),
    ("id-null", keyed(id=None), f"{ITEM} contains 'id' with wrong type", "null"),
    ("prev-id-type", keyed(prev_id=True), f"{ITEM} contains 'prev-id' with wrong type", "true"),
    ("formats-type", keyed(formats=[]), f"{ITEM} contains 'formats' with wrong type", "a list"),
    ("formats-null", keyed(formats=None), f"{ITEM} contains 'formats' with wrong type", "null"),
    ("no-formats", {"channel": "c"}, "no formats specified", None),
    ("empty-formats", keyed(formats={}), "no formats specified", None),
    ("meta-type", keyed(meta=[]), f"{ITEM} contains 'meta' with wrong type", "a list"),
    ("meta-value-type", keyed(meta={"k": 1.5}), "'meta' contains 'k' with wrong type", "1.5"),
    ("size-type", keyed(size=[]), f"{ITEM} contains 'size' with wrong type", "a list"),
    ("size-negative", keyed(size=-1), f"{ITEM} contains 'size' with invalid value", "-1"),
    ("size-negative-half", keyed(size=-0.6), f"{ITEM} contains 'size' with invalid value", "-0.6"),
    ("size-too-large", keyed(size=2**31), f"{ITEM} contains 'size' with invalid value", "2147483648"),
    ("no-seq-number", keyed(no_seq=1), f"{ITEM} contains 'no-seq' with wrong type", "1"),
    ("no-seq-text", keyed(no_seq="true"), f"{ITEM} contains 'no-seq' with wrong type", "a string"),
    ("stream-type", {"channel": "c", "http-stream": "x"}, "'http-stream' is not an object", "a string"),
    ("response-null", {"channel": "c", "http-response": None}, "'http-response' is not an object", "null"),
    ("message-type", {"channel": "c", "formats": {"ws-message": []}}, "'ws-message' is not an object", "a list"),
    ("action-type", stream(action=1), "'http-stream' contains 'action' with wrong type", "1"),
    ("action-null", response(action=None, body=""), "'http-response' contains 'action' with wrong type", "null"),
    ("code-type", response(code=[], body=""), "'http-response' contains 'code' with wrong type", "a list"),
    ("code-null", response(code=None, body=""), "'http-response' contains 'code' with wrong type", "null"),
    ("code-range", response(code=1000, body=""), "'http-response' contains 'code' with invalid value", "1000"),
    ("code-range-text", response(code="-1", body=""), "'http-response' contains 'code' with invalid value", "'-1'"),
    ("code-rounded-up", response(code=999.5, body=""), "'http-response' contains 'code' with invalid value", "999.5"),
    ("reason-type", response(reason=1, body=""), "'http-response' contains 'reason' with wrong type", "1"),
    ("headers-type", response(headers="a: b"), "'http-response' contains 'headers' with wrong type", "a string"),
    ("headers-element", response(headers=[1]), "headers contains element with wrong type", "1"),
    ("headers-pair", response(headers=[["a"]]), "headers contains list with wrong number of elements", "a list of 1"),
    ("headers-name", response(headers=[[1, "a"]]), "header contains name element with wrong type", "1"),
    ("headers-value", response(headers=[["a", None]]), "header contains value element with wrong type", "null"),
    ("headers-object", response(headers={"a": []}), "headers contains 'a' with wrong type", "a list"),
    (
        "response-filters",
        response(content_filters="a"),
        "'http-response' contains 'content-filters' with wrong type",
        "a string",
    ),
    ("response-filter", response(content_filters=["a", 1]), "content-filters contains element with wrong type", "1"),
    ("body-bin-type", response(body_bin=1, body=""), "'http-response' contains 'body-bin' with wrong type", "1"),
    ("body-type", response(body=["secret"]), "'http-response' contains 'body' with wrong type", "a list"),
    ("body-patch-type", response(body_patch={}), "'http-response' contains 'body-patch' with wrong type", "an object"),
    ("no-body", response(code=200), "'http-response' does not contain 'body', 'body-bin', or 'body-patch'", None),
    (
        "stream-filters",
        stream(content_filters={}),
        "'http-stream' contains 'content-filters' with wrong type",
        "an object",
    ),
    ("content-bin-type", stream(content_bin=None), "'http-stream' contains 'content-bin' with wrong type", "null"),
    ("content-type", stream(content=1), "'http-stream' contains 'content' with wrong type", "1"),
    ("no-content", stream(), "'http-stream' does not contain 'content' or 'content-bin'", None),
    ("message-type-type", message(type=1, content=""), "'ws-message' contains 'type' with wrong type", "1"),
    ("message-type-word", message(type="Text"), "'ws-message' contains 'type' with unknown value", "'Text'"),
    ("message-bin-type", message(content_bin=1), "'ws-message' contains 'content-bin' with wrong type", "1"),
    ("message-content-type", message(content=False), "'ws-message' contains 'content' with wrong type", "false"),
    ("no-message-content", message(type="text"), "'ws-message' does not contain 'content' or 'content-bin'", None),
    ("close-code-type", message(action="close", code={}), "'ws-message' contains 'code' with wrong type", "an object"),
    ("close-code-range", message(action="close", code=-1), "'ws-message' contains 'code' with invalid value", "-1"),
    ("close-reason-type", message(action="close", reason=1), "'ws-message' contains 'reason' with wrong type", "1"),
    # The first failure decides.
    ("order-channel-id", {"channel": 1, "id": 2}, f"{ITEM} contains 'channel' with wrong type", "1"),
    ("order-id-prev-id", {"channel": "c", "id": 1, "prev-id": 2}, f"{ITEM} contains 'id' with wrong type", "1"),
    ("order-formats-meta", {"channel": "c", "formats": {}, "meta": 1}, "no formats specified", None),
    ("order-format-meta", {"channel": "c", "http-stream": 1, "meta": 2}, "'http-stream' is not an object", "1"),
    ("order-meta-size", keyed(meta=1, size=[]), f"{ITEM} contains 'meta' with wrong type", "1"),
    ("order-size-no-seq", keyed(size=[], no_seq=1), f"{ITEM} contains 'size' with wrong type", "a list"),
    (
        "order-of-formats",
        {"channel": "c", "ws-message": 1, "http-response": 2},
        "'http-response' is not an object",
        "2",
    ),
    ("order-code-reason", response(code=[], reason=1), "'http-response' contains 'code' with wrong type", "a list"),
    (
        "order-filters-body",
        response(content_filters=1, body=2),
        "'http-response' contains 'content-filters' with wrong type",
        "1",
    ),
    ("order-bin-body", response(body_bin=1, body=2), "'http-response' contains 'body-bin' with wrong type", "1"),
    ("order-type-filters", message(type=1, content_filters=2), "'ws-message' contains 'type' with wrong type", "1"),
]


def refused(name: str, value: object, words: str, shown: str | None) -> Scenario:
    """Make the scenario of an item that the control port refuses."""
    reference = f"Invalid format: {words}"
    return Scenario(
        name=f"publish-refused-{name}",
        why=f"{words}: the same words, with what was found",
        steps=[control(items(value))],
        difference=Difference(
            id="item-refusal-shows-value", reference=sized(reference), ours=sized(f"{reference} (value: {shown})")
        )
        if shown
        else None,
    )


def differing(name: str, why: str, value: object, difference_id: str, reference: str, ours: str) -> Scenario:
    """Make the scenario of an item that only one of the two refuses, or with other words."""
    return Scenario(
        name=f"publish-{name}",
        why=why,
        steps=[control(items(value))],
        difference=Difference(id=difference_id, reference=reference, ours=ours),
    )


def unknown_action(name: str, value: dict[str, object], where: str, shown: str) -> Scenario:
    """Make the scenario of an action that nobody has heard of."""
    ours = sized(f"Invalid format: '{where}' contains 'action' with unknown value (value: {shown})")
    reference = sized("Invalid format: ")
    return differing(name, "the words were lost", value, "refusal-names-unknown-action", reference, ours)


def out_of_range(name: str, value: dict[str, object], where: str, shown: str) -> Scenario:
    """Make the scenario of a number that is none for its field."""
    ours = BAD_REQUEST + sized(f"Invalid format: '{where}' contains 'code' with invalid value (value: {shown})")
    return differing(name, "no other number is meant", value, "numbers-are-in-range", PUBLISHED, ours)


def broken_head(name: str, value: dict[str, object], words: str) -> Scenario:
    """Make the scenario of a response that would not be one."""
    ours = BAD_REQUEST + sized(f"Invalid format: 'http-response' contains {words}")
    return differing(name, "it would write the next header", value, "item-heads-are-http", PUBLISHED, ours)


SCENARIOS = [
    *(refused(*refusal) for refusal in REFUSALS),
    unknown_action("action-unknown", stream(action="explode"), "http-stream", "'explode'"),
    unknown_action("action-empty", response(action="", body=""), "http-response", "''"),
    unknown_action("action-in-capitals", message(action="Send", content=""), "ws-message", "'Send'"),
    *(
        differing(
            f"refresh-{name}",
            "an action of later versions",
            value,
            "refresh-is-an-action",
            BAD_REQUEST + sized("Invalid format: "),
            PUBLISHED,
        )
        for name, value in (("response", response(action="refresh")), ("message", message(action="refresh")))
    ),
    out_of_range("code-beyond-32-bits", response(code=TOO_LARGE, body=""), "http-response", str(TOO_LARGE)),
    out_of_range("close-code-beyond-two-bytes", message(action="close", code=65536), "ws-message", "65536"),
    broken_head(
        "header-with-line-end", response(headers=[["A", "x\r\nB: y"]], body=""), "'headers' with CR, LF or NUL in 'A'"
    ),
    broken_head(
        "header-with-blank-name",
        response(headers=[["A B", "x"]], body=""),
        "'headers' with invalid name (value: 'A B')",
    ),
    broken_head(
        "reason-with-line-end", response(reason="a\r\nb", body=""), "'reason' with CR, LF or NUL (value: 'a\\r\\nb')"
    ),
    Scenario(
        name="publish-accepted-oddities",
        why="what looks wrong and is not, as it is not read, or is read with tolerance",
        steps=[
            control(items(value))
            for value in (
                {"channel": "", "http-stream": X},
                {"channel": "c", "formats": {"carrier-pigeon": 1}},
                keyed(unknown=None, meta={"": ""}, size="abc", no_seq=False, id="", prev_id=""),
                keyed(size=-0.5),
                keyed(size=2**31 - 1),
                stream(action="close", content=""),
                stream(action="close", content=5, content_filters=5),
                stream(action="hint", content_bin=5),
                response(action="close", code=[], headers=5),
                message(action="hint", type=5),
                message(type="ping"),
                message(type="pong"),
                message(action="close", reason=""),
                response(body="", headers=[], content_filters=[], body_patch=5),
                response(body_patch=[5]),
                {"channel": "c", "formats": {"http-stream": X}, "http-response": 5},
            )
        ],
    ),
]
