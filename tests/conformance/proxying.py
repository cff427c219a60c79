"""Scenarios of plain proxying: methods, headers, hosts and routes."""

import gzip

from tests.conformance.features import FEATURES
from tests.conformance.scenario import (
    Difference,
    End,
    Receive,
    Scenario,
    Send,
    get,
    post,
)
from tests.integration.origin import answer

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
            reference=f"\nGrip-Feature: {FEATURES}\n",
            ours=f"\nGrip-Feature: {FEATURES}\nContent-Length: 0\n",
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
            "--- origin\nGET /hello HTTP/1.1\nHost: plain.test\n"
            f"Grip-Sig: <token of pushpin>\nGrip-Feature: {FEATURES}\n\n",
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
                    "X-Stays: 1",
                )
            ),
            Receive(b"hello\n"),
        ],
    ),
    Scenario(
        name="forwarded-headers-of-strangers",
        why="nobody has said that this client may tell where a request comes from",
        origin={"/hello": HELLO},
        steps=[
            Send(
                get(
                    "/hello",
                    "X-Forwarded-For: 10.1.1.1,10.2.2.2",
                    "X-Forwarded-Host: other.test",
                    "X_Forwarded_Host: other.test",
                    "Forwarded: for=10.1.1.1",
                    "X-Real-IP: 10.1.1.1",
                    "Connection-Id: 1",
                    "Meta-User: root",
                    "X-Stays: 1",
                )
            ),
            Receive(b"hello\n"),
        ],
        difference=Difference(
            id="no-word-of-strangers",
            reference="X-Forwarded-Host: other.test\nX_Forwarded_Host: other.test\nForwarded: for=10.1.1.1\n"
            "X-Real-IP: 10.1.1.1\nConnection-Id: 1\nMeta-User: root\nX-Stays: 1\n"
            f"Grip-Sig: <token of pushpin>\nGrip-Feature: {FEATURES}\nX-Forwarded-For: 10.1.1.1, 10.2.2.2\n",
            ours=f"X-Stays: 1\nGrip-Sig: <token of pushpin>\nGrip-Feature: {FEATURES}\n",
        ),
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
            f"Grip-Sig: <token of pushpin>\nGrip-Feature: {FEATURES}\n\n",
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
]
