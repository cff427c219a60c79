"""Scenarios of instructs without a hold, of their size, and of every way to get a header wrong."""

from tests.conformance.holds import HELLO, TEXT, poll, stream
from tests.conformance.refusals import bad_instruct, sized
from tests.conformance.scenario import (
    Difference,
    End,
    Publish,
    Receive,
    Scenario,
    Send,
    Subscribed,
    get,
    item,
    post,
)
from tests.integration.origin import answer

HOLD = "Grip-Hold: stream"
OFTEN, NO_MODE = "Grip-Keep-Alive: x; mode=often", "no such Grip-Keep-Alive mode 'often'"
NO_SERVICE = "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nConnection: close\r\n" + sized(
    "Accept service unavailable."
)
LIMIT_BYTES = 100_000  # of an instruct, and of a request that is kept for it
STREAMED = (
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nConnection: Transfer-Encoding\r\n"
    "Transfer-Encoding: chunked\r\n\r\n" + "x" * LIMIT_BYTES + "!\n"
)


def shown(name: str, why: str, answered: bytes, marker: bytes, host: str = "plain.test", **more: object) -> Scenario:
    """Make the scenario of one answer to one request."""
    return Scenario(
        name=f"instruct-{name}",
        why=why,
        origin={"/x": answered},
        steps=[Send(get("/x", host=host)), Receive(marker)],
        **more,  # type: ignore[arg-type]  # fields of Scenario
    )


def refused_late(name: str, header: str, says: str, begins: str) -> Scenario:
    """Make the scenario of a bad header before a body that the reference streams before it reads the instruct.

    Args:
        begins: what the reference's client gets before the end of the body.
    """
    return Scenario(
        name=f"instruct-refused-before-a-large-body-{name}",
        why="the head says all that is wrong, so the client need not get a body first",
        origin={"/x": stream("i34", header, body=b"x" * LIMIT_BYTES + b"!\n")},
        steps=[Send(get("/x", "Connection: close", host="debug.test")), End()],
        difference=Difference(
            id="refused-before-a-large-body",
            reference=begins,
            ours="HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nConnection: close\r\n"
            + sized(f"Failed to parse accept instructions: {says}"),
        ),
    )


SCENARIOS = [
    shown(
        "status-phrase",
        "a status alone gets its phrase",
        answer("200 OK", TEXT, "Grip-Status: 201", body=b"x\n"),
        b"x\n",
    ),
    shown("status-plus", "a sign is taken", answer("200 OK", TEXT, "Grip-Status: +201", body=b"x\n"), b"x\n"),
    shown("status-unknown", "a status nobody knows", answer("200 OK", TEXT, "Grip-Status: 799", body=b"x\n"), b"x\n"),
    shown(
        "status-two-digits",
        "a status is not judged",
        answer("200 OK", TEXT, "Grip-Status: 99 Foo", body=b"x\n"),
        b"x\n",
    ),
    shown(
        "status-reason",
        "a phrase of several words",
        answer("200 OK", TEXT, "Grip-Status: 404 Not At Home", body=b"x\n"),
        b"x\n",
    ),
    shown(
        "status-204",
        "a status without a body drops it",
        answer("200 OK", TEXT, "Grip-Status: 204", body=b"x\n"),
        b"\r\n\r\n",
    ),
    shown(
        "status-empty",
        "an empty header says nothing",
        answer("201 Created", TEXT, "Grip-Status: ", body=b"x\n"),
        b"x\n",
    ),
    shown(
        "status-first-counts",
        "the second header is not looked at",
        answer("200 OK", TEXT, "Grip-Status: 201", "Grip-Status: bad", body=b"x\n"),
        b"x\n",
    ),
    shown(
        "expose-headers-without-hold",
        "it counts without a hold too",
        answer("200 OK", TEXT, "X-A: 1", "Grip-Expose-Headers: X-A", body=b"x\n"),
        b"x\n",
    ),
    shown(
        "foreign-header",
        "any Grip-* header makes an answer an instruct",
        answer("200 OK", TEXT, "Grip-Foo: 1", body=b"x\n"),
        b"x\n",
    ),
    shown(
        "chunked-without-hold",
        "what was chunked gets a length",
        b"HTTP/1.1 200 OK\r\nGrip-Foo: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nx\n\r\n0\r\n\r\n",
        b"x\n",
    ),
    shown(
        "large-without-hold",
        "an instruct of exactly the limit",
        answer("200 OK", TEXT, "Grip-Foo: 1", body=b"x" * (LIMIT_BYTES - 1) + b"\n"),
        b"x\n",
        is_framing_free=True,
    ),
    shown(
        "too-large-without-hold",
        "any Grip-* header limits the body",
        answer("200 OK", TEXT, "Grip-Foo: 1", body=b"x" * (LIMIT_BYTES + 1)),
        b"origin.\n",
    ),
    shown(
        "too-large-with-build-id",
        "a stream whose body must be filtered is collected first",
        stream("i30; filter=build-id", body=b"x" * (LIMIT_BYTES + 1)),
        b"origin.\n",
    ),
    shown(
        "streamed-first-status",
        "a body streamed before the instruct is read has the instruct's status",
        stream("i31", "Grip-Status: 202", "X-A: 1", body=b"x" * LIMIT_BYTES + b"!\n"),
        b"!\n",
    ),
    shown(
        "streamed-first-exposed",
        "and the one thing that is not",
        stream("i33", "X-A: 1", "Grip-Expose-Headers: X-A", body=b"x" * LIMIT_BYTES + b"!\n"),
        b"!\n",
    ),
    refused_late(
        "status", "Grip-Status: x", "Grip-Status contains invalid status code (value: 'x')", begins=NO_SERVICE
    ),
    refused_late(
        "mode", OFTEN, NO_MODE, begins=f"{STREAMED}\n\nFailed to parse accept instructions: {NO_MODE}\n<last chunk>"
    ),
    shown(
        "empty-header",
        "a header without a value, and without the blank before it",
        b"HTTP/1.1 200 OK\r\nX-Empty:\r\nContent-Length: 2\r\n\r\nx\n",
        b"\r\n\r\n",
        difference=Difference(
            id="empty-header-without-blank",
            reference="HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\n"
            + sized("Error while proxying to origin."),
            ours="HTTP/1.1 200 OK\r\nX-Empty: \r\nContent-Length: 2\r\n\r\nx\n",
        ),
    ),
    Scenario(
        name="instruct-just-fits",
        why="a long-poll's answer of exactly the limit is kept",
        origin={"/hold": poll("i36", body=b"x" * LIMIT_BYTES)},
        is_repeat_free=True,
        steps=[
            Send(get("/hold")),
            Subscribed("i36"),
            Publish([item("i36", "http-response", body="p\n")]),
            Receive(b"p\n"),
        ],
    ),
    Scenario(
        name="instruct-for-a-request-of-the-limit",
        why="a request of exactly the limit can be held",
        origin={"/hold": stream("i37")},
        steps=[Send(post("/hold", b"x" * LIMIT_BYTES)), Receive(b"[open]\n")],
    ),
    Scenario(
        name="instruct-poll-exposed-headers",
        why="what is not exposed is not in the answer to a long-poll either",
        origin={"/hold": poll("i38", "X-A: 1", "X-B: 2", "Grip-Expose-Headers: X-B")},
        is_repeat_free=True,
        steps=[
            Send(get("/hold")),
            Subscribed("i38"),
            Publish([item("i38", "http-response", body="p\n")]),
            Receive(b"p\n"),
        ],
    ),
    Scenario(
        name="instruct-passthrough",
        why="without GRIP the headers of an instruct are headers",
        origin={"/hold": stream("i39", "Grip-Status: 202"), "/hello": HELLO},
        steps=[Send(get("/hold", host="nogrip.test")), Receive(b"[open]\n"), Send(get("/hello")), Receive(b"hello\n")],
    ),
    bad_instruct(
        "hold-empty",
        "no word",
        "Grip-Hold: ",
        "Grip-Channel: x",
        says="Grip-Hold must be set to either 'response' or 'stream'",
        value="''",
    ),
    bad_instruct(
        "hold-parameters",
        "a word with parameters",
        "Grip-Hold: stream; x=1",
        says="Grip-Hold must be set to either 'response' or 'stream'",
        value="'stream; x=1'",
    ),
    bad_instruct(
        "timeout-fraction",
        "half seconds",
        "Grip-Hold: response",
        "Grip-Timeout: 5.5",
        says="failed to parse Grip-Timeout",
        value="'5.5'",
    ),
    bad_instruct(
        "status-negative",
        "a status below zero",
        "Grip-Status: -1",
        says="Grip-Status contains invalid status code",
        value="'-1'",
    ),
    bad_instruct(
        "keep-alive-timeout-negative",
        "below zero",
        HOLD,
        "Grip-Keep-Alive: x; timeout=-1",
        says="Grip-Keep-Alive timeout has invalid value",
        value="'-1'",
    ),
    bad_instruct(
        "keep-alive-cstring-empty",
        "bytes that come to none",
        HOLD,
        "Grip-Keep-Alive: \\q; format=cstring",
        says="failed to parse Grip-Keep-Alive cstring format",
        value="'\\\\q'",
    ),
    bad_instruct(
        "keep-alive-cstring-open",
        "a backslash at the end",
        HOLD,
        "Grip-Keep-Alive: a\\; format=cstring",
        says="failed to parse Grip-Keep-Alive cstring format",
        value="'a\\\\'",
    ),
    bad_instruct(
        "link-bare",
        "a link without its brackets",
        HOLD,
        "Grip-Link: /n; rel=next",
        says="failed to parse Grip-Link value",
        value="'/n'",
    ),
    bad_instruct(
        "link-empty",
        "brackets around nothing",
        HOLD,
        "Grip-Link: <>; rel=next",
        says="failed to parse Grip-Link value",
        value="'<>'",
    ),
    bad_instruct(
        "link-comma",
        "a comma splits even a link",
        HOLD,
        "Grip-Link: </n?a=1,2>; rel=next",
        says="failed to parse Grip-Link value",
        value="'2>'",
    ),
    bad_instruct(
        "link-semicolon",
        "a semicolon ends even a link",
        HOLD,
        "Grip-Link: </n?a=1;b>; rel=next",
        says="failed to parse Grip-Link value",
        value="'</n?a=1'",
    ),
    bad_instruct(
        "link-invalid",
        "what is no URL",
        HOLD,
        "Grip-Link: <http://[>; rel=next",
        says="Grip-Link contains invalid link",
        value="'http://['",
    ),
    bad_instruct(
        "link-timeout",
        "not a number",
        HOLD,
        "Grip-Link: </n>; rel=next; timeout=x",
        says="failed to parse Grip-Link timeout value",
        value="'x'",
    ),
    bad_instruct(
        "link-timeout-negative",
        "below zero",
        HOLD,
        "Grip-Link: </n>; rel=next; timeout=-1",
        says="Grip-Link timeout has invalid value",
        value="'-1'",
    ),
]
