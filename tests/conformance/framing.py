"""Scenarios of plain proxying: where bodies and connections end, in both versions and both directions."""

from tests.conformance.features import FEATURES
from tests.conformance.scenario import (
    Asked,
    Difference,
    End,
    HalfClose,
    Leave,
    Publish,
    Receive,
    Release,
    Scenario,
    Send,
    Subscribed,
    get,
    item,
    post,
)
from tests.integration.origin import CLOSE, SKIP_BODY, WAIT, answer

HELLO = answer("200 OK", "Content-Type: text/plain", body=b"hello\n")

SCENARIOS = [
    Scenario(
        name="keep-alive-1.1",
        why="three requests on one connection",
        origin={"/hello": HELLO},
        steps=[step for count in (1, 2, 3) for step in (Send(get("/hello")), Receive(b"hello\n", count=count))],
    ),
    Scenario(
        name="close-1.1",
        why="Connection: close ends the connection after the answer",
        origin={"/hello": HELLO},
        steps=[Send(get("/hello", "Connection: close")), End()],
    ),
    Scenario(
        name="http-1.0",
        why="an HTTP/1.0 client gets its own version and the end of the connection",
        origin={"/hello": HELLO},
        steps=[Send(get("/hello", version="1.0")), End()],
    ),
    Scenario(
        name="http-1.0-keep-alive",
        why="keep-alive is agreed to in so many words",
        origin={"/hello": HELLO},
        steps=[
            Send(get("/hello", "Connection: keep-alive", version="1.0")),
            Receive(b"hello\n"),
            Send(get("/hello", version="1.0")),
            End(),
        ],
    ),
    Scenario(
        name="pipelining",
        why="answers come in the order of the requests, though the first is the slow one",
        origin={"/slow": [WAIT, answer(body=b"slow\n")], "/hello": HELLO},
        steps=[Send(get("/slow") + get("/hello") + get("/hello?2")), Release(), Receive(b"hello\n", count=2)],
    ),
    Scenario(
        name="half-closed-before-the-answer",
        why="a client that ends its side while the origin works has left",
        origin={"/slow": [WAIT, answer(body=b"slow\n")]},
        steps=[Send(get("/slow")), Asked("/slow"), HalfClose(), End(), Release()],
    ),
    Scenario(
        name="half-closed-between-requests",
        why="a client that ends its side when it has its answer",
        origin={"/hello": HELLO},
        steps=[Send(get("/hello")), Receive(b"hello\n"), HalfClose(), End()],
    ),
    Scenario(
        name="post-sized",
        why="a body with a length arrives with that length",
        origin={"/post": HELLO},
        steps=[Send(post("/post", b"a=1&b=2", "Content-Type: application/x-www-form-urlencoded")), Receive(b"hello\n")],
    ),
    Scenario(
        name="post-large",
        why="a body larger than every buffer arrives whole",
        origin={"/post": HELLO},
        steps=[Send(post("/post", b"0123456789" * 30_000)), Receive(b"hello\n")],
    ),
    Scenario(
        name="post-empty",
        why="a body of no bytes is still announced",
        origin={"/post": HELLO},
        steps=[Send(post("/post", b"", "Connection: close")), End()],
    ),
    Scenario(
        name="head",
        why="the length is that of the GET answer, and no body follows",
        origin={"/hello": b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\n", "/next": HELLO},
        steps=[Send(get("/hello", method="HEAD")), Receive(b"\r\n\r\n"), Send(get("/next")), Receive(b"hello\n")],
    ),
    Scenario(
        name="status-204-and-304",
        why="answers that have no body end with their head",
        origin={
            "/204": b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
            "/304": b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n',
            "/hello": HELLO,
        },
        steps=[
            Send(get("/204")),
            Receive(b"\r\n\r\n"),
            Send(get("/304")),
            Receive(b"\r\n\r\n", count=2),
            Send(get("/hello")),
            Receive(b"hello\n"),
        ],
    ),
    Scenario(
        name="interim-answers-of-the-origin",
        why="103 is the origin's word to the proxy and does not reach a client",
        origin={"/early": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + HELLO},
        steps=[Send(get("/early")), Receive(b"hello\n")],
    ),
    Scenario(
        name="expect-continue",
        why="the client is told to go on, and the origin never sees the word",
        origin={"/post": HELLO},
        steps=[
            Send(get("/post", "Expect: 100-continue", "Content-Length: 4", method="POST")),
            Receive(b"HTTP/1.1 100 Continue\r\n\r\n"),
            Send(b"body"),
            Receive(b"hello\n"),
        ],
    ),
    Scenario(
        name="origin-chunked",
        why="chunks of the origin arrive as one body",
        is_framing_free=True,
        origin={
            "/chunks": [
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n5\r\nhello\r\n",
                WAIT,
                b"6;x=y\r\n world\r\n0\r\nX-T: 1\r\n\r\n",
            ],
            "/hello": HELLO,
        },
        steps=[
            Send(get("/chunks")),
            Receive(b"hello"),
            Release(),
            Receive(b" world"),
            Send(get("/hello")),
            Receive(b"hello\n"),
        ],
    ),
    Scenario(
        name="origin-until-eof",
        why="a body that ends with the origin's connection is delimited for the client",
        is_framing_free=True,
        origin={"/eof": [b"HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\nfirst\n", WAIT, b"second\n", CLOSE], "/hello": HELLO},
        steps=[
            Send(get("/eof")),
            Receive(b"first\n"),
            Release(),
            Receive(b"second\n"),
            Send(get("/hello")),
            Receive(b"hello\n"),
        ],
    ),
    Scenario(
        name="origin-until-eof-http-1.0",
        why="for an old client such a body is delimited by the end of the connection",
        is_framing_free=True,
        origin={"/eof": [b"HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\nfirst\n", WAIT, b"second\n", CLOSE]},
        steps=[Send(get("/eof", version="1.0")), Receive(b"first\n"), Release(), End()],
    ),
    Scenario(
        name="large-answer",
        why="a body larger than every buffer arrives whole",
        origin={"/large": answer(body=b"0123456789" * 30_000)},
        steps=[Send(get("/large")), Receive(b"0123456789", count=30_000)],
    ),
    Scenario(
        name="head-of-an-error",
        why="an answer to HEAD has no body, whoever makes it",
        origin={"/hello": HELLO},
        steps=[Send(get("/", host="unknown.test", method="HEAD", version="1.0")), End()],
        difference=Difference(id="no-body-for-head", reference="No route for host: unknown.test\n", ours=""),
    ),
    Scenario(
        name="head-of-the-builtin-target",
        why="an answer to HEAD has no body, whoever makes it",
        steps=[Send(get("/", host="builtin.test", method="HEAD", version="1.0")), End()],
        difference=Difference(id="no-body-for-head", reference="Hello from the Pushpin test handler!\n", ours=""),
    ),
    Scenario(
        name="head-of-a-poll",
        why="an answer to HEAD has no body, nor has a published one",
        origin={"/hold": answer("200 OK", "Grip-Hold: response", "Grip-Channel: h1", body=b"nothing\n")},
        is_repeat_free=True,
        steps=[
            Send(get("/hold", method="HEAD", version="1.0")),
            Subscribed("h1"),
            Publish([item("h1", "http-response", body="published\n")]),
            End(),
        ],
        difference=Difference(id="no-body-for-head", reference="published\n", ours=""),
    ),
    Scenario(
        name="connection-close-in-capitals",
        why="an option of Connection has no letter case",
        origin={"/hello": HELLO},
        steps=[Send(get("/hello", "Connection: Close")), Receive(b"hello\n")],
        difference=Difference(
            id="close-in-any-letter-case",
            reference="Content-Length: 6\r\n\r\nhello\n<open>",
            ours="Connection: close\r\nContent-Length: 6\r\n\r\nhello\n<ended>",
        ),
    ),
    Scenario(
        name="transfer-encoding-and-length",
        why="with both, the chunks count; the length must not reach the origin",
        origin={"/post": HELLO},
        steps=[
            Send(get("/post", "Content-Length: 3", "Transfer-Encoding: chunked", "Connection: close", method="POST")),
            Send(b"5\r\nhello\r\n0\r\n\r\n"),
            End(),
        ],
        difference=Difference(
            id="no-length-beside-chunks",
            reference="--- client a\nHTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n"
            "Content-Length: 6\r\n\r\nhello\n<ended>\n--- origin\nPOST /post HTTP/1.1\nHost: plain.test\n"
            f"Grip-Sig: <token of pushpin>\nGrip-Feature: {FEATURES}\nContent-Length: 3\n\nhel",
            ours="--- client a\nHTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 70\r\n\r\n"
            "Failed to parse request: Transfer-Encoding beside another body length\n<ended>",
        ),
    ),
    Scenario(
        name="chunked-in-capitals",
        why="a coding's name has no letter case",
        origin={"/post": HELLO},
        steps=[
            Send(get("/post", "Transfer-Encoding: Chunked", "Connection: close", method="POST")),
            Send(b"5\r\nhello\r\n0\r\n\r\n"),
            End(),
        ],
        difference=Difference(
            id="chunked-in-any-letter-case",
            reference="--- client a\n<ended>",
            ours="--- client a\nHTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n"
            "Content-Length: 6\r\n\r\nhello\n<ended>\n--- origin\nPOST /post HTTP/1.1\nHost: plain.test\n"
            f"Grip-Sig: <token of pushpin>\nGrip-Feature: {FEATURES}\nTransfer-Encoding: chunked\n\nhello",
        ),
    ),
    Scenario(
        name="answer-with-two-lengths",
        why="an origin that repeats its Content-Length",
        origin={"/two": b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nContent-Length: 6\r\n\r\nhello\n"},
        steps=[Send(get("/two", "Connection: close")), End()],
        difference=Difference(
            id="one-length-in-answers",
            reference="200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\nhello\n",
            ours="502 Bad Gateway\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 32\r\n\r\n"
            "Error while proxying to origin.\n",
        ),
    ),
    Scenario(
        name="answer-that-closes",
        why="an origin that ends its connection after every answer, asked twice",
        origin={"/closing": [answer("200 OK", "Connection: close", body=b"hello\n"), CLOSE]},
        steps=[Send(get("/closing")), Receive(b"hello\n"), Send(get("/closing")), Receive(b"hello\n", 2)],
    ),
    Scenario(
        name="answer-http-1.0",
        why="an old origin's answer goes out in the client's version",
        origin={"/old": [b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello\n", CLOSE]},
        steps=[Send(get("/old")), Receive(b"hello\n"), Send(get("/old", version="1.0")), End()],
    ),
    Scenario(
        name="chunked-request",
        why="a chunked body reaches the origin whole",
        origin={"/post": HELLO},
        steps=[
            Send(get("/post", "Transfer-Encoding: chunked", method="POST") + b"5\r\nhello\r\n3\r\nyou\r\n0\r\n\r\n"),
            Receive(b"hello\n"),
        ],
        difference=Difference(
            id="chunked-request-stays-chunked", reference="Content-Length: 8\n", ours="Transfer-Encoding: chunked\n"
        ),
    ),
    Scenario(
        name="answer-before-the-body",
        why="an origin may answer while the request is still coming; that connection ends then",
        origin={"/post": [SKIP_BODY, answer("413 Too Large", body=b"enough\n"), CLOSE]},
        is_origin_compared=False,
        steps=[
            Send(get("/post", "Content-Length: 1000000", method="POST") + b"x" * 20_000),
            Receive(b"enough\n"),
            Leave(),
        ],
    ),
]
