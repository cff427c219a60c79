"""Scenarios of plain proxying: framing, versions, keep-alive, and what reaches the origin."""

import gzip

from tests.conformance.scenario import (
    Difference,
    End,
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

GZIPPED = gzip.compress(b"hello\n", mtime=0)
HELLO = answer("200 OK", "Content-Type: text/plain", body=b"hello\n")

SCENARIOS = [
    Scenario(
        name="get",
        why="the plainest request: answer and origin's view byte for byte",
        origin={"/hello": HELLO},
        steps=[Send(get("/hello?q=1&r=%20x")), Receive(b"hello\n")],
    ),
    Scenario(
        name="get-with-headers",
        why="case, order and duplicates of headers stay as sent, both ways",
        origin={
            "/h": answer("200 OK", "X-A: 1", "x-a: 2", "Set-Cookie: a=b", "Set-Cookie: c=d", "Date: x", body=b"ok\n")
        },
        steps=[
            Send(get("/h", "User-Agent: t", "X-b: 1", "x-B: 2", "Cookie: a=b", "Accept: text/plain")),
            Receive(b"ok\n"),
        ],
    ),
    Scenario(
        name="origin-status-and-reason",
        why="any status with its own reason phrase is relayed",
        origin={"/s": answer("418 Short And Stout", body=b"pot\n"), "/e": answer("500 Oh No", body=b"broken\n")},
        steps=[Send(get("/s")), Receive(b"pot\n"), Send(get("/e")), Receive(b"broken\n")],
    ),
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
        name="any-method",
        why="a method nobody has heard of is the origin's business",
        origin={"/hello": HELLO},
        steps=[
            Send(get("/hello", method="PURGE")),
            Receive(b"hello\n"),
            Send(get("/hello", method="OPTIONS")),
            Receive(b"hello\n", 2),
        ],
    ),
    Scenario(
        name="delete",
        why="a request that may have a body and has none",
        origin={"/hello": HELLO},
        steps=[Send(get("/hello", method="DELETE")), Receive(b"hello\n")],
        difference=Difference(
            id="delete-has-a-length",
            reference="\nGrip-Feature: status\n",
            ours="\nGrip-Feature: status\nContent-Length: 0\n",
        ),
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
            "Grip-Sig: <token of pushpin>\nGrip-Feature: status\nContent-Length: 3\n\nhel",
            ours="--- client a\nHTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 80\r\n\r\n"
            "Failed to parse request: Transfer-Encoding can't be present with Content-Length\n<ended>",
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
            id="bad-request-answered",
            reference="--- client a\n<ended>",
            ours="--- client a\nHTTP/1.0 501 Not Implemented\r\nContent-Type: text/plain\r\nContent-Length: 66\r\n\r\n"
            "Failed to parse request: unsupported transfer encoding: 'Chunked'\n<ended>",
        ),
    ),
    Scenario(
        name="absolute-target",
        why="the host of an absolute request target counts",
        origin={"/hello": HELLO},
        steps=[Send(get("http://plain.test/hello", "Connection: close", host="unknown.test")), End()],
        difference=Difference(
            id="absolute-target-is-read",
            reference="502 Bad Gateway\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 36\r\n\r\n"
            "No route for host: unknown.testhttp\n<ended>",
            ours="200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 6\r\n\r\nhello\n<ended>\n"
            "--- origin\nGET /hello HTTP/1.1\nHost: plain.test\nGrip-Sig: <token of pushpin>\nGrip-Feature: status\n\n",
        ),
    ),
    Scenario(
        name="no-host",
        why="an old client need not name a host",
        origin={"/hello": HELLO},
        steps=[Send(b"GET /hello HTTP/1.0\r\n\r\n"), End()],
    ),
    Scenario(
        name="compressed-answer",
        why="an origin that compresses without being asked to",
        origin={"/gzip": answer("200 OK", "Content-Encoding: gzip", "X-A: 1", body=GZIPPED)},
        steps=[Send(get("/gzip", "Accept-Encoding: gzip", "Connection: close")), End()],
        difference=Difference(
            id="compressed-answer-stays-compressed",
            reference="X-A: 1\r\nConnection: close\r\nContent-Length: 6\r\n\r\nhello\n",
            ours="Content-Encoding: gzip\r\nX-A: 1\r\nConnection: close\r\n"
            f"Content-Length: {len(GZIPPED)}\r\n\r\n{GZIPPED.decode('latin-1')}",
        ),
    ),
    Scenario(
        name="request-headers-removed",
        why="hop-by-hop headers, Grip-* of strangers and the forwarded protocol do not reach the origin",
        origin={"/hello": HELLO},
        steps=[
            Send(
                get(
                    "/hello",
                    "Connection: keep-alive",
                    "Keep-Alive: 5",
                    "Accept-Encoding: gzip",
                    "Grip-Sig: forged",
                    "grip-foo: x",
                    "X-Forwarded-Proto: https",
                    "X-Forwarded-Protocol: https",
                    "X-Forwarded-For: 10.1.1.1,10.2.2.2",
                    "X-Stays: 1",
                )
            ),
            Receive(b"hello\n"),
        ],
    ),
    Scenario(
        name="request-headers-of-one-hop",
        why="what is said to the proxy, and not in Connection",
        origin={"/hello": HELLO},
        steps=[
            Send(get("/hello", "TE: trailers", "Proxy-Connection: x", "Upgrade: h2c", "X-A: 1", "Authorization: b")),
            Receive(b"hello\n"),
        ],
        difference=Difference(
            id="headers-of-one-hop-stay-there",
            reference="TE: trailers\nProxy-Connection: x\nUpgrade: h2c\nX-A: 1\nAuthorization: b\n",
            ours="X-A: 1\nAuthorization: b\nTE: trailers\n",
        ),
    ),
    Scenario(
        name="two-hosts",
        why="two hosts leave it open which of them is asked for",
        origin={"/hello": HELLO},
        steps=[Send(get("/hello", "Host: other.test", "Connection: close")), End()],
        difference=Difference(
            id="one-host",
            reference="--- client a\nHTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n"
            "Content-Length: 6\r\n\r\nhello\n<ended>\n--- origin\nGET /hello HTTP/1.1\nHost: plain.test\n"
            "Grip-Sig: <token of pushpin>\nGrip-Feature: status\n\n",
            ours="--- client a\nHTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 73\r\n\r\n"
            "Failed to parse request: Host given twice: 'plain.test' and 'other.test'\n<ended>",
        ),
    ),
    Scenario(
        name="grip-headers-without-instruct",
        why="any Grip- header of an answer is stripped, and the length made anew",
        origin={"/g": answer("200 OK", "Grip-Unknown: 1", "X-A: 1", body=b"hello\n")},
        steps=[Send(get("/g")), Receive(b"hello\n")],
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
        name="response-headers-removed",
        why="what belongs to the origin's connection stays there",
        origin={
            "/h": answer(
                "200 OK", "Connection: keep-alive", "Keep-Alive: timeout=5", "Server: s", "Via: v", body=b"ok\n"
            )
        },
        steps=[Send(get("/h")), Receive(b"ok\n")],
    ),
    Scenario(
        name="bare-line-feeds",
        why="a request typed by hand is understood, an empty line before it too",
        origin={"/hello": HELLO},
        steps=[Send(b"\r\nGET /hello HTTP/1.1\nHost: plain.test\n\n"), Receive(b"hello\n")],
    ),
    Scenario(
        name="rewritten-path",
        why="path, header and host rewriting of a route",
        origin={"/a/b": HELLO},
        steps=[Send(get("/v1/a/b?q=1", "X-Edge: client", host="rewrite.test")), Receive(b"hello\n")],
    ),
    Scenario(
        name="failover",
        why="a target that refuses is passed over for the next",
        origin={"/hello": HELLO},
        steps=[Send(post("/hello", b"body", host="failover.test")), Receive(b"hello\n")],
    ),
    Scenario(
        name="no-grip-route",
        why="a no_grip route relays Grip-* untouched and asks for nothing",
        origin={"/g": answer("200 OK", "Grip-Hold: stream", "Grip-Channel: nogrip", body=b"relayed\n")},
        steps=[Send(get("/g", host="nogrip.test")), Receive(b"relayed\n")],
    ),
    Scenario(
        name="host-with-port-and-capitals",
        why="a route is found by the host alone",
        origin={"/hello": HELLO},
        steps=[Send(get("/hello", host="PLAIN.test:8000")), Receive(b"hello\n")],
        difference=Difference(id="host-as-sent", reference="Host: plain.test:8000", ours="Host: PLAIN.test:8000"),
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
