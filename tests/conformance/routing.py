"""Scenarios of routes: which one a request takes, and what it does to the request."""

from collections.abc import Sequence
from urllib.parse import unquote

from tests.conformance.holds import HELLO, TEXT
from tests.conformance.scenario import Difference, Receive, Scenario, Send, get, post
from tests.integration.origin import answer


def routed(name: str, why: str, *requests: bytes, difference: Difference | None = None) -> Scenario:
    """Make the scenario of requests that reach the origin; their path and a header of the route tell which it was."""
    targets = [request.split(b" ", 2)[1].decode() for request in requests]
    steps: list[Send | Receive] = []
    for number, request in enumerate(requests, 1):
        steps += [Send(request), Receive(b"\r\n\r\n", number)]
    return Scenario(
        name=f"route-{name}",
        why=why,
        config="routes",
        origin={path: HELLO for target in targets for path in paths_of(target)},
        steps=steps,
        difference=difference,
    )


def paths_of(target: str) -> Sequence[str]:
    """Give the paths that a route may make of a target."""
    path = target.partition("?")[0]
    return [path, unquote(path), "/" + path.split("/", 2)[-1], "/new" + path, "/"]


def chosen(name: str, why: str, *targets: str, host: str = "choice.test") -> Scenario:
    """Make the scenario of requests whose route shows in the header X-Route."""
    return routed(name, why, *(get(target, host=host) for target in targets))


SCENARIOS = [
    chosen("longest-path", "the longest beginning of the path decides", "/", "/abc", "/abcd", "/ab", "/abc/d"),
    routed(
        "encoded-path",
        "a letter that needs no escape is compared and relayed without it",
        get("/a%62c", host="choice.test"),
    ),
    chosen(
        "ssl-before-path",
        "after a path, a rule for plain HTTP wins, whatever its path",
        "/abc",
        "/x",
        host="order-1.test",
    ),
    chosen("path-before-ssl", "in the other order it does not", "/abc", "/x", host="order-2.test"),
    chosen("proto", "a rule for HTTP wins over a longer path", "/abc", host="proto.test"),
    chosen("no-fallback", "a host with rules has no default", "/other", host="only.test"),
    chosen("star", "a host without rules takes the default", "/default/x", host="nobody-knows.test"),
    routed(
        "capitals-in-the-file",
        "a host written in capitals is never found",
        get("/default/x", host="CAPITALS.test"),
        difference=Difference(id="host-as-sent", reference="Host: capitals.test", ours="Host: CAPITALS.test"),
    ),
    chosen("wildcards", "a star is no pattern", "/default/x", host="a.wild.test"),
    chosen("quoted", "quotes, commas and escapes in a property", "/x", host="quoted.test"),
    chosen("duplicate", "the first of two equal conditions counts", "/x", host="twice.test"),
    chosen("properties-backwards", "several headers are set in reverse order", "/x", host="many.test"),
    chosen("comment", "a number sign ends the line anywhere", "/a", host="comment.test"),
    routed(
        "path-rem", "so many bytes of the path go", get("/abc/x?q=%20", host="rem.test"), get("/abc", host="rem.test")
    ),
    routed(
        "replace-empty",
        "a path of nothing is the root",
        get("/q", host="replace.test"),
        get("/q/x", host="replace.test"),
    ),
    routed("replace-longer", "the beginning of the path is another", get("/old/x", host="longer.test")),
    routed("as-host", "the origin is told another host, with a port", get("/x", host="as.test:8080")),
    routed("target-host", "a target's host is told instead of the route's", get("/x", host="targethost.test")),
    routed(
        "header-deletes",
        "an empty value takes a header away",
        get("/x", "X-Gone: 1", "x-gone: 2", "X-Set: old", "X-Kept: 1", host="headers.test"),
    ),
    routed("header-overwritten", "Host and Grip-* are not a route's to set", get("/x", host="forced.test")),
    routed(
        "orig-headers",
        "the headers as the client sent them, besides",
        get(
            "/x",
            "Connection: x",
            "Grip-Sig: y",
            "X-A: 1",
            "eb9bf0f5-X-B: 2",
            "Eb9bf0f5-x-c: 3",
            "X-Marked: 4",
            host="orig.test",
        ),
    ),
    routed(
        "no-orig-headers",
        "elsewhere nobody may say that they were",
        get("/x", "eb9bf0f5-Host: evil", "EB9BF0F5-X: y", host="plain.test"),
    ),
    routed("sig-of-the-route", "a route signs with a key and a name of its own", get("/x", host="signed.test")),
    routed("failover-twice", "refused targets are passed over in order", post("/x", b"body", host="failover2.test")),
    routed("unknown-name", "a name that does not resolve is passed over", get("/x", host="unresolved.test")),
    Scenario(
        name="route-failover-not-after-an-answer",
        why="an error of the origin is its answer",
        config="routes",
        origin={"/x": answer("503 Service Unavailable", TEXT, body=b"busy\n")},
        steps=[Send(get("/x", host="two.test")), Receive(b"busy\n")],
    ),
    Scenario(
        name="route-builtin-target",
        why="the paths of the built-in target, with the route's path before them",
        config="routes",
        steps=[
            step
            for number, target in enumerate(["/t", "/t/", "/t/x", "/t//", "/t/stream/x"], 1)
            for step in (Send(get(target, host="builtin-path.test")), Receive(b"\r\n\r\n", number))
        ],
        difference=Difference(
            id="builtin-target-at-its-path",
            reference="--- client a\nHTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\n"
            "Content-Length: 22\r\n\r\nno such test resource\n",
            ours="--- client a\nHTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
            "Content-Length: 37\r\n\r\nHello from the Pushpin test handler!\n",
        ),
    ),
]
