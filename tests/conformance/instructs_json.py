"""Scenarios of instructs in a body of application/grip-instruct: every field, every way to get it wrong."""

import json

from tests.conformance.holds import TEXT, close
from tests.conformance.refusals import INSTRUCT_TYPE, bad_instruct, sized
from tests.conformance.scenario import Difference, Publish, Receive, Scenario, Send, Step, Subscribed, get, item
from tests.integration.origin import answer


def refused(name: str, why: str, body: object, says: str, value: object) -> Scenario:
    """Make the scenario of a JSON instruct that is refused for a value."""
    shown = repr(json.dumps(value, separators=(",", ":")))
    data = json.dumps(body, separators=(",", ":")).encode()
    return bad_instruct(f"json-{name}", why, INSTRUCT_TYPE, says=says, value=shown, body=data)


def held_by(**fields: object) -> dict[str, object]:
    """Spell an instruct that holds, with these fields more or instead."""
    return {"hold": {"mode": "stream", "channels": [], **fields}}


def done(name: str, why: str, body: object, *steps: Step, headers: tuple[str, ...] = (), **more: object) -> Scenario:
    """Make the scenario of a JSON instruct that is carried out."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Scenario(
        name=f"json-{name}",
        why=why,
        origin={"/x": answer("200 OK", *(headers or (INSTRUCT_TYPE,)), body=data)},
        steps=[Send(get("/x", host="debug.test")), *steps],
        **more,  # type: ignore[arg-type]  # fields of Scenario
    )


MUST_BE_200 = "response code for application/grip-instruct content must be 200"
OPEN = {"response": {"body": "[open]\n"}}
SAID = {"response": {"body": "said\n"}}

SCENARIOS = [
    done(
        "type-with-parameter",
        "the type is cut at the semicolon",
        SAID,
        Receive(b"said\n"),
        headers=(f"{INSTRUCT_TYPE};charset=utf-8",),
    ),
    done(
        "type-with-blank",
        "a blank before the semicolon is another type",
        SAID,
        Receive(b"}"),
        headers=(f"{INSTRUCT_TYPE} ; a=b",),
    ),
    done(
        "type-in-capitals",
        "capitals are another type",
        SAID,
        Receive(b"}"),
        headers=("Content-Type: Application/Grip-Instruct",),
    ),
    done("empty-body", "an empty body is a body", {"response": {"code": 202, "body": ""}}, Receive(b"\r\n\r\n")),
    done(
        "nothing",
        "an instruct that says nothing is an empty answer",
        {},
        Receive(b"\r\n\r\n"),
        difference=Difference(
            id="instruct-without-body",
            reference="HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nContent-Length: 52\r\n\r\n"
            "Failed to parse accept instructions: filter error: \n",
            ours="HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ),
    ),
    done(
        "response-only-code",
        "a status alone is an answer",
        {"response": {"code": 204}},
        Receive(b"\r\n\r\n"),
        difference=Difference(
            id="instruct-without-body",
            reference="HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nContent-Length: 52\r\n\r\n"
            "Failed to parse accept instructions: filter error: \n",
            ours="HTTP/1.1 204 No Content\r\n\r\n",
        ),
    ),
    done(
        "code-as-text", "a number in quotes is a number", {"response": {"code": "202", "body": "x\n"}}, Receive(b"x\n")
    ),
    done("code-no-number", "what is no number is 0", {"response": {"code": "x", "body": "x\n"}}, Receive(b"x\n")),
    done(
        "reason",
        "a phrase of one's own",
        {"response": {"code": 299, "reason": "So So", "body": "x\n"}},
        Receive(b"x\n"),
    ),
    done("reason-alone", "a phrase without a code", {"response": {"reason": "Fine", "body": "x\n"}}, Receive(b"x\n")),
    done(
        "reason-empty",
        "an empty phrase is none",
        {"response": {"code": 201, "reason": "", "body": "x\n"}},
        Receive(b"x\n"),
    ),
    done(
        "headers-object",
        "headers by name",
        {"response": {"headers": {"X-B": "2", "X-A": "1"}, "body": "x\n"}},
        Receive(b"x\n"),
    ),
    done(
        "headers-list",
        "headers in order, with duplicates",
        {"response": {"headers": [["X-B", "2"], ["x-b", "3"], ["X-A", "1"]], "body": "x\n"}},
        Receive(b"x\n"),
    ),
    done(
        "body-bin",
        "base64 comes before text",
        {"response": {"body": "no\n", "body-bin": "eWVzCg=="}},
        Receive(b"yes\n"),
    ),
    done(
        "grip-status",
        "the header's status counts where the body has none",
        SAID,
        Receive(b"said\n"),
        headers=(INSTRUCT_TYPE, "Grip-Status: 202 Taken", "X-Dropped: 1"),
    ),
    done(
        "grip-status-and-code",
        "the body's status comes first",
        {"response": {"code": 203, "body": "said\n"}},
        Receive(b"said\n"),
        headers=(INSTRUCT_TYPE, "Grip-Status: 202 Taken"),
    ),
    done(
        "channels-beside-headers",
        "the body's channels join those of the header",
        {**held_by(channels=[{"name": "j2"}]), **OPEN},
        Subscribed("j2"),
        Receive(b"[open]\n"),
        Publish([item("j1", content="one\n"), item("j2", content="two\n")]),
        Receive(b"two\n"),
        headers=(INSTRUCT_TYPE, "Grip-Channel: j1"),
    ),
    done(
        "hold-by-header-alone",
        "a hold asked for in a header, an answer given in the body",
        OPEN,
        Subscribed("j3"),
        Receive(b"[open]\n"),
        headers=(INSTRUCT_TYPE, "Grip-Hold: stream", "Grip-Channel: j3"),
    ),
    done(
        "mode-default",
        "a hold without a mode is a long-poll",
        {"hold": {"channels": [{"name": "j4"}]}, "response": {"body": "no\n"}},
        Subscribed("j4"),
        Publish([item("j4", "http-response", body="yes\n")]),
        Receive(b"yes\n"),
        is_repeat_free=True,
    ),
    done(
        "keep-alive-bin",
        "base64 comes before text",
        {
            **held_by(
                channels=[{"name": "j5"}], **{"keep-alive": {"content": "no", "content-bin": "eWVz", "timeout": "1"}}
            ),
            **OPEN,
        },
        Receive(b"yes"),
        close("j5"),
    ),
    done(
        "stream-without-answer",
        "a stream that begins with nothing",
        held_by(channels=[{"name": "j6"}]),
        Subscribed("j6"),
        Publish([item("j6", content="one\n")]),
        Receive(b"one\n"),
    ),
    done(
        "six-filters",
        "the limit of a header's filters is not the body's",
        {**held_by(channels=[{"name": "j7", "filters": ["skip-self"] * 6}]), **OPEN},
        Subscribed("j7"),
        Receive(b"[open]\n"),
        Publish([item("j7", content="one\n")]),
        Receive(b"one\n"),
    ),
    Scenario(
        name="json-with-another-status",
        why="the origin's own status must be 200",
        origin={"/x": answer("201 Created", INSTRUCT_TYPE, "Grip-Status: 200", body=b'{"response":{"body":"x"}}')},
        steps=[Send(get("/x", host="debug.test")), Receive(b"must be 200")],
        difference=Difference(
            id="refusal-shows-value",
            reference=sized(f"Failed to parse accept instructions: {MUST_BE_200}"),
            ours=sized(f"Failed to parse accept instructions: {MUST_BE_200} (value: '201')"),
        ),
    ),
    Scenario(
        name="json-type-quiet",
        why="without debug nothing is said about a refused body",
        origin={"/x": answer("200 OK", INSTRUCT_TYPE, TEXT, body=b'{"hold":1}')},
        steps=[Send(get("/x")), Receive(b"origin.\n")],
    ),
    bad_instruct(
        "json-empty",
        "no body",
        INSTRUCT_TYPE,
        body=b"",
        says="failed to parse application/grip-instruct content as JSON",
        value="''",
    ),
    bad_instruct(
        "json-scalar",
        "a body that is a word",
        INSTRUCT_TYPE,
        body=b"1",
        says="failed to parse application/grip-instruct content as JSON",
        value="'1'",
    ),
    refused("hold-type", "a hold that is no object", {"hold": 1}, "instruct contains 'hold' with wrong type", 1),
    refused("mode-type", "a mode that is no text", held_by(mode=1), "hold contains 'mode' with wrong type", 1),
    refused(
        "channels-type",
        "channels that are no list",
        held_by(channels={}),
        "hold contains 'channels' with wrong type",
        {},
    ),
    refused("channel-type", "a channel that is no object", held_by(channels=["x"]), "channel is not an object", "x"),
    refused(
        "channel-name-type",
        "a name that is no text",
        held_by(channels=[{"name": 1}]),
        "channel contains 'name' with wrong type",
        1,
    ),
    refused(
        "prev-id-type",
        "an id that is no text",
        held_by(channels=[{"name": "x", "prev-id": 1}]),
        "channel contains 'prev-id' with wrong type",
        1,
    ),
    refused(
        "filters-type",
        "filters that are no list",
        held_by(channels=[{"name": "x", "filters": "y"}]),
        "channel contains 'filters' with wrong type",
        "y",
    ),
    refused(
        "filter-type",
        "a filter that is no text",
        held_by(channels=[{"name": "x", "filters": [1]}]),
        "filters contains value with wrong type",
        1,
    ),
    refused(
        "timeout-type",
        "a timeout that is nothing",
        held_by(timeout=None),
        "hold contains 'timeout' with wrong type",
        None,
    ),
    refused("timeout-negative", "below zero", held_by(timeout=-1), "hold contains 'timeout' with invalid value", -1),
    refused(
        "keep-alive-type",
        "no object",
        held_by(**{"keep-alive": "x"}),
        "hold contains 'keep-alive' with wrong type",
        "x",
    ),
    refused(
        "keep-alive-content-type",
        "bytes that are no text",
        held_by(**{"keep-alive": {"content": 1}}),
        "keep-alive contains 'content' with wrong type",
        1,
    ),
    refused(
        "keep-alive-timeout-type",
        "a timeout that is a list",
        held_by(**{"keep-alive": {"content": "x", "timeout": []}}),
        "keep-alive contains 'timeout' with wrong type",
        [],
    ),
    refused(
        "keep-alive-timeout-negative",
        "below zero",
        held_by(**{"keep-alive": {"content": "x", "timeout": -1}}),
        "keep-alive contains 'timeout' with invalid value",
        -1,
    ),
    refused("meta-type", "no object", held_by(meta=[]), "hold contains 'meta' with wrong type", []),
    refused(
        "meta-value-type", "a value that is no text", held_by(meta={"k": 1}), "'meta' contains 'k' with wrong type", 1
    ),
    Scenario(
        name="bad-instruct-json-response-type",
        why="no object",
        origin={"/x": answer("200 OK", INSTRUCT_TYPE, body=b'{"response":1}')},
        steps=[Send(get("/x", host="debug.test")), Receive(b"\r\n\r\nFailed")],
        difference=Difference(
            id="refusal-names-response",
            reference=sized("Failed to parse accept instructions: "),
            ours=sized(
                "Failed to parse accept instructions: instruct contains 'response' with wrong type (value: '1')"
            ),
        ),
    ),
    refused(
        "code-type",
        "a status that is nothing",
        {"response": {"code": None}},
        "response contains 'code' with wrong type",
        None,
    ),
    refused(
        "code-range", "beyond 999", {"response": {"code": 1000}}, "response contains 'code' with invalid value", 1000
    ),
    refused(
        "reason-type",
        "a phrase that is no text",
        {"response": {"reason": 1}},
        "response contains 'reason' with wrong type",
        1,
    ),
    refused(
        "headers-type",
        "neither list nor object",
        {"response": {"headers": 1}},
        "response contains 'headers' with wrong type",
        1,
    ),
    refused(
        "header-type",
        "an element that is no list",
        {"response": {"headers": ["x"]}},
        "headers contains element with wrong type",
        "x",
    ),
    refused(
        "header-length",
        "an element of three",
        {"response": {"headers": [["a", "b", "c"]]}},
        "headers contains list with wrong number of elements",
        ["a", "b", "c"],
    ),
    refused(
        "header-name-type",
        "a name that is no text",
        {"response": {"headers": [[1, "b"]]}},
        "header contains name element with wrong type",
        1,
    ),
    refused(
        "header-value-type",
        "a value that is no text",
        {"response": {"headers": [["a", 1]]}},
        "header contains value element with wrong type",
        1,
    ),
    refused(
        "headers-value-type",
        "a value that is no text, by name",
        {"response": {"headers": {"a": 1}}},
        "headers contains 'a' with wrong type",
        1,
    ),
    refused("body-type", "no text", {"response": {"body": 1}}, "response contains 'body' with wrong type", 1),
    refused(
        "body-bin-type", "no text", {"response": {"body-bin": 1}}, "response contains 'body-bin' with wrong type", 1
    ),
]
