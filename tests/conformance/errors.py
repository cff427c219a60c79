"""Scenarios of things that go wrong: no route, no origin, broken origins, broken requests, broken instructs."""

from tests.conformance.scenario import Difference, End, Leave, Receive, Release, Scenario, Send, get, post
from tests.integration.origin import CLOSE, RESET, WAIT, answer

HELLO = answer("200 OK", "Content-Type: text/plain", body=b"hello\n")
OVER_LIMIT = b"x" * 100_001  # one more than the reference keeps of an instruct or of a request for replay
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PROXY_ERROR = b"Error while proxying to origin.\n"


def sized(text: str) -> str:
    """Spell the end of an error answer: length, blank line, text."""
    return f"Content-Length: {len(text) + 1}\r\n\r\n{text}\n"


def bad_instruct(
    name: str, why: str, *headers: str, says: str, value: str | None = None, body: bytes = b"x\n"
) -> Scenario:
    """Make the scenario of an answer whose instruct is refused, on a route with debug.

    Args:
        says: what the reference says.
        value: what gripproxy shows besides.
    """
    reference = f"Failed to parse accept instructions: {says}"
    ours = sized(f"{reference} (value: {value})")
    return Scenario(
        name=f"bad-instruct-{name}",
        why=why,
        origin={"/bad": answer("200 OK", *headers, body=body)},
        steps=[Send(get("/bad", host="debug.test")), Receive(says.encode())],
        difference=Difference(id="refusal-shows-value", reference=sized(reference), ours=ours) if value else None,
    )


def bad_request(name: str, why: str, data: bytes, says: str, status: str = "400 Bad Request") -> Scenario:
    """Make the scenario of a request that cannot be read: the reference ends the connection, gripproxy says why."""
    ours = f"--- client a\nHTTP/1.0 {status}\r\nContent-Type: text/plain\r\n{sized(says)}<ended>"
    return Scenario(
        name=f"bad-request-{name}",
        why=why,
        origin={"/hello": HELLO},
        steps=[Send(data), End()],
        difference=Difference(id="bad-request-answered", reference="--- client a\n<ended>", ours=ours),
    )


INSTRUCT_TYPE = "Content-Type: application/grip-instruct"

SCENARIOS = [
    Scenario(
        name="no-route",
        why="a host that no route names",
        steps=[Send(get("/", host="unknown.test")), Receive(b"test\n")],
    ),
    Scenario(
        name="no-route-for-the-path",
        why="a host whose rules do not match the path; the connection stays usable",
        origin={"/only/x": HELLO},
        steps=[
            Send(get("/other", host="only.test")),
            Receive(b"only.test\n"),
            Send(get("/only/x", host="only.test")),
            Receive(b"hello\n"),
        ],
    ),
    Scenario(
        name="refused-origin",
        why="nobody listens at the target",
        steps=[Send(get("/x", host="refused.test")), Receive(PROXY_ERROR)],
    ),
    Scenario(
        name="refused-origin-debug",
        why="debug says which targets were tried",
        steps=[Send(get("/x", host="refused-debug.test")), Receive(b"127.0.0.1:1, 127.0.0.1:1\n")],
    ),
    Scenario(
        name="origin-closes-without-answer",
        why="no byte of an answer",
        origin={"/none": [CLOSE]},
        is_repeat_free=True,
        steps=[Send(get("/none")), Receive(PROXY_ERROR)],
    ),
    Scenario(
        name="origin-resets-without-answer",
        why="no byte of an answer, and a RST",
        origin={"/reset": [RESET]},
        is_repeat_free=True,
        steps=[Send(get("/reset")), Receive(PROXY_ERROR)],
    ),
    Scenario(
        name="origin-sends-garbage",
        why="an answer that is not HTTP",
        origin={"/garbage": [b"\x00\x01\x02 this is not http\r\n\r\n", CLOSE]},
        is_repeat_free=True,
        steps=[Send(get("/garbage")), Receive(PROXY_ERROR)],
    ),
    Scenario(
        name="origin-cuts-the-head",
        why="half a head",
        origin={"/half": [b"HTTP/1.1 200 OK\r\nContent-Ty", CLOSE]},
        is_repeat_free=True,
        steps=[Send(get("/half", "Connection: close")), End()],
        difference=Difference(
            id="cut-head-is-an-error",
            reference="HTTP/1.1 0 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            ours="HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nConnection: close\r\n"
            + sized("Error while proxying to origin."),
        ),
    ),
    Scenario(
        name="origin-cuts-a-chunked-body",
        why="the answer has begun, so no error can be sent",
        origin={"/cut": [CHUNKED_HEAD + b"5\r\nfirst\r\n", WAIT, CLOSE]},
        difference=Difference(id="cut-body-is-not-ended", reference="first<last chunk><ended>", ours="first<ended>"),
        steps=[Send(get("/cut", "Connection: close")), Receive(b"first"), Release(), End()],
    ),
    Scenario(
        name="origin-cuts-a-sized-body",
        why="the answer has begun and comes up short",
        origin={"/cut": [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfirst", WAIT, CLOSE]},
        steps=[Send(get("/cut", "Connection: close")), Receive(b"first"), Release(), End()],
    ),
    bad_request(
        "not-http",
        "a line that is no request line",
        b"garbage\r\n\r\n",
        says="Failed to parse request: invalid request line: 'garbage'",
    ),
    bad_request(
        "version",
        "a version that is not spoken",
        b"GET /hello HTTP/3.0\r\nHost: plain.test\r\n\r\n",
        says="Failed to parse request: invalid HTTP version: 'HTTP/3.0'",
        status="505 HTTP Version Not Supported",
    ),
    bad_request(
        "folded-header",
        "a header folded over two lines",
        get("/hello", "X-A: 1\r\n folded"),
        says="Failed to parse request: Unexpected whitespace after header value",
    ),
    bad_request(
        "space-before-colon",
        "a blank between name and colon",
        get("/hello", "X-A : 1"),
        says="Failed to parse request: Invalid header token",
    ),
    bad_request(
        "length",
        "a length that is no number",
        get("/hello", "Content-Length: five", method="POST"),
        says="Failed to parse request: Invalid character in Content-Length",
    ),
    bad_request(
        "transfer-encoding",
        "a coding that is not chunked",
        get("/hello", "Transfer-Encoding: gzip", method="POST"),
        says="Failed to parse request: Request has invalid `Transfer-Encoding`",
    ),
    bad_request(
        "head-too-large",
        "a head of more bytes than the buffer",
        get("/hello", "X-A: " + "a" * 8192),
        says="Request header size exceeded limit of 8192 bytes.",
        status="431 Request Header Fields Too Large",
    ),
    bad_request(
        "too-many-headers",
        "more headers than are kept",
        get("/hello", *(f"X-{number}: 1" for number in range(70))),
        says="Failed to parse request: too many headers: 71",
        status="431 Request Header Fields Too Large",
    ),
    Scenario(
        name="head-just-fits",
        why="a head of exactly the buffer's size is served",
        origin={"/hello": HELLO},
        steps=[Send(get("/hello", "X-A: " + "a" * (8192 - len(get("/hello", "X-A: "))))), Receive(b"hello\n")],
    ),
    Scenario(
        name="instruct-for-a-large-request",
        why="a request too large to be kept cannot be held",
        origin={"/hold": answer("200 OK", "Grip-Hold: stream", "Grip-Channel: x")},
        steps=[Send(post("/hold", OVER_LIMIT)), Receive(b"instruct.\n")],
    ),
    Scenario(
        name="instruct-too-large",
        why="a long-poll's answer must be kept until it is due",
        origin={"/hold": answer("200 OK", "Grip-Hold: response", "Grip-Channel: x", body=OVER_LIMIT)},
        steps=[Send(get("/hold")), Receive(PROXY_ERROR)],
    ),
    Scenario(
        name="instruct-too-large-debug",
        why="debug names the target",
        origin={"/hold": answer("200 OK", "Grip-Hold: response", "Grip-Channel: x", body=OVER_LIMIT)},
        steps=[Send(get("/hold", host="debug.test")), Receive(b"too large from")],
    ),
    Scenario(
        name="client-leaves-before-the-answer",
        why="a request whose client has gone disturbs nobody",
        origin={"/hello": HELLO},
        is_origin_compared=False,
        steps=[Send(get("/hello"), client="gone"), Leave(client="gone"), Send(get("/hello")), Receive(b"hello\n")],
    ),
    bad_instruct(
        "hold",
        "an unknown kind of hold",
        "Grip-Hold: forever",
        "Grip-Channel: x",
        says="Grip-Hold must be set to either 'response' or 'stream'",
        value="'forever'",
    ),
    Scenario(
        name="bad-instruct-quiet",
        why="without debug nothing is said about it",
        origin={"/bad": answer("200 OK", "Grip-Hold: forever")},
        steps=[Send(get("/bad")), Receive(PROXY_ERROR)],
    ),
    bad_instruct(
        "hold-capitals",
        "the word is taken exactly",
        "Grip-Hold: Stream",
        "Grip-Channel: x",
        says="Grip-Hold must be set to either 'response' or 'stream'",
        value="'Stream'",
    ),
    bad_instruct(
        "timeout",
        "not a number",
        "Grip-Hold: response",
        "Grip-Channel: x",
        "Grip-Timeout: 5s",
        says="failed to parse Grip-Timeout",
        value="'5s'",
    ),
    bad_instruct(
        "timeout-negative",
        "below zero",
        "Grip-Hold: response",
        "Grip-Channel: x",
        "Grip-Timeout: -1",
        says="Grip-Timeout has invalid value",
        value="'-1'",
    ),
    bad_instruct(
        "status",
        "a status that is no number",
        "Grip-Status: ok",
        says="Grip-Status contains invalid status code",
        value="'ok'",
    ),
    bad_instruct(
        "status-range",
        "a status beyond 999",
        "Grip-Status: 1000 Much",
        says="Grip-Status contains invalid status code",
        value="'1000 Much'",
    ),
    bad_instruct(
        "keep-alive-empty",
        "no bytes to send",
        "Grip-Hold: stream",
        "Grip-Keep-Alive: ; timeout=1",
        says="Grip-Keep-Alive cannot be empty",
        value="'; timeout=1'",
    ),
    bad_instruct(
        "keep-alive-format",
        "an unknown format",
        "Grip-Hold: stream",
        "Grip-Keep-Alive: x; format=hex",
        says="no such Grip-Keep-Alive format 'hex'",
    ),
    bad_instruct(
        "keep-alive-cstring",
        "a bad escape",
        "Grip-Hold: stream",
        "Grip-Keep-Alive: \\xzz; format=cstring",
        says="failed to parse Grip-Keep-Alive cstring format",
        value="'\\\\xzz'",
    ),
    bad_instruct(
        "keep-alive-timeout",
        "not a number",
        "Grip-Hold: stream",
        "Grip-Keep-Alive: x; timeout=soon",
        says="failed to parse Grip-Keep-Alive timeout value",
        value="'soon'",
    ),
    bad_instruct(
        "keep-alive-mode",
        "an unknown mode",
        "Grip-Hold: stream",
        "Grip-Keep-Alive: x; mode=often",
        says="no such Grip-Keep-Alive mode 'often'",
    ),
    bad_instruct(
        "set-meta",
        "an empty element",
        "Grip-Hold: stream",
        "Grip-Set-Meta: a=b,,c=d",
        says="Grip-Set-Meta cannot be empty",
        value="'a=b,,c=d'",
    ),
    bad_instruct(
        "json-syntax",
        "a body that is not JSON",
        INSTRUCT_TYPE,
        body=b"{hold",
        says="failed to parse application/grip-instruct content as JSON",
        value="'{hold'",
    ),
    bad_instruct(
        "json-list",
        "a body that is not an object",
        INSTRUCT_TYPE,
        body=b"[]",
        says="instruct must be an object",
        value="'[]'",
    ),
    bad_instruct(
        "json-channels",
        "a hold without channels",
        INSTRUCT_TYPE,
        body=b'{"hold":{"mode":"stream"}}',
        says="hold does not contain 'channels'",
    ),
    bad_instruct(
        "json-mode",
        "an unknown mode",
        INSTRUCT_TYPE,
        body=b'{"hold":{"mode":"x","channels":[]}}',
        says="hold 'mode' must be set to either 'response' or 'stream'",
        value="'x'",
    ),
    bad_instruct(
        "json-channel-name",
        "a channel without name",
        INSTRUCT_TYPE,
        body=b'{"hold":{"channels":[{"prev-id":"1"}]}}',
        says="channel does not contain 'name'",
        value='\'{"prev-id":"1"}\'',
    ),
]
