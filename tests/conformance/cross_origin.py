"""Scenarios of routes for pages of other origins: CORS headers, and answers as scripts (JSON-P)."""

from tests.conformance.holds import TEXT, held, poll, stream
from tests.conformance.scenario import Difference, Publish, Receive, Scenario, Send, Subscribed, get, item, post
from tests.integration.origin import answer

HOST = "aco.test"
PLAIN = answer("200 OK", TEXT, "Cache-Control: no-cache", "X-A: 1", "x-a: 2", "X-B: 3", body=b"said\n")


def crossed(name: str, why: str, request: bytes, answered: bytes = PLAIN, marker: bytes = b"said") -> Scenario:
    """Make the scenario of one request on a route with `aco`."""
    return Scenario(
        name=f"cross-{name}", why=why, config="routes", origin={"/x": answered}, steps=[Send(request), Receive(marker)]
    )


def scripted(
    name: str,
    why: str,
    target: str,
    marker: bytes = b"said",
    answered: bytes = PLAIN,
    host: str = HOST,
    difference: Difference | None = None,
    **more: object,
) -> Scenario:
    """Make the scenario of one request for a script."""
    return Scenario(
        name=f"jsonp-{name}",
        why=why,
        config="routes",
        origin={"/x": answered},
        steps=[Send(get(target, "Cookie: a=b", "Accept: x/y", host=host)), Receive(marker)],
        difference=difference,
        is_accept_ours=True,
        **more,  # type: ignore[arg-type]  # fields of Scenario
    )


def refused(name: str, target: str, says: str, host: str = HOST) -> Scenario:
    """Make the scenario of a request for a script that is refused."""
    return scripted(f"bad-{name}", f"refused: {says}", target, f"{says}\n".encode(), host=host)


SCENARIOS = [
    crossed("plain", "what a page of any origin may do", get("/x", host=HOST)),
    crossed("origin", "the page's own origin is named", get("/x", "Origin: http://page.test", host=HOST)),
    crossed(
        "preflight",
        "the origin answers, and what was asked for is allowed",
        get(
            "/x",
            "Origin: http://page.test",
            "Access-Control-Request-Method: PATCH",
            "Access-Control-Request-Headers: x-a,X-C",
            "Access-Control-Request-Headers: x-d",
            host=HOST,
            method="OPTIONS",
        ),
    ),
    crossed(
        "own-headers",
        "what the origin says itself stays",
        get("/x", "Origin: http://page.test", host=HOST),
        answer(
            "200 OK",
            "Access-Control-Allow-Origin: http://other.test",
            "access-control-max-age: 5",
            "Access-Control-Expose-Headers: X-Z",
            "X-A: 1",
            body=b"said\n",
        ),
    ),
    crossed("nothing-to-expose", "headers that every page may read", get("/x", host=HOST), answer(body=b"said\n")),
    crossed("head-of-nothing", "an error is decorated too", get("/none", host=HOST), marker=b"path"),
    Scenario(
        name="cross-refused-origin",
        why="our own error is decorated",
        config="routes",
        steps=[Send(get("/x", "Origin: http://page.test", host="aco-refused.test")), Receive(b"origin.\n")],
    ),
    Scenario(
        name="cross-stream",
        why="the head of a stream is decorated",
        config="routes",
        origin={"/hold": stream("c1", "X-A: 1")},
        steps=[*held("c1", host=HOST), Receive(b"[open]\n")],
    ),
    Scenario(
        name="cross-poll",
        why="a published answer is decorated",
        config="routes",
        origin={"/hold": poll("c2", "X-A: 1")},
        is_repeat_free=True,
        steps=[
            *held("c2", host=HOST),
            Publish([item("c2", "http-response", headers=[["X-B", "2"]], body="said\n")]),
            Receive(b"said\n"),
        ],
    ),
    crossed("post-with-callback", "only GET makes a script", post("/x?callback=cb", b"body", host=HOST)),
    scripted("get", "an answer as a script", "/x?a=1&callback=cb&b=2"),
    scripted("alone", "a lone question mark goes", "/x?callback=cb"),
    scripted("quoted", "what is special in JSON", "/x?callback=cb", answered=answer(body=b'said "\\\t\xc3\xa9\x01\n')),
    scripted("status", "any status comes as 200", "/x?callback=cb", answered=answer("404 Not Found", body=b"said\n")),
    scripted("empty", "an answer of no bytes", "/x?callback=cb", answered=answer("200 OK", TEXT), marker=b"});\n"),
    scripted("method", "the method to ask the origin with", "/x?callback=cb&_method=POST&_body=a%20b%2Bc+d"),
    scripted(
        "headers",
        "headers for the origin",
        "/x?callback=cb&_headers=%7B%22X-C%22%3A%221%22%2C%22Host%22%3A%22no%22%2C%22Accept%22%3A%22no%22%7D",
    ),
    scripted("basic", "the body alone", "/x?cb=f&a=1", host="aco-basic.test"),
    scripted("basic-body", "a body of one's own name asks with POST", "/x?cb=f&data=%7B%7D&a=1", host="aco-basic.test"),
    scripted("default-callback", "a body alone is enough with a default", "/x?data=1", host="aco-default.test"),
    refused("callback", "/x?callback=", "Invalid callback parameter."),
    refused("method", "/x?callback=cb&_method=", "Invalid _method parameter."),
    refused("headers", "/x?callback=cb&_headers=1", "Invalid _headers parameter."),
    refused("headers-value", "/x?callback=cb&_headers=%7B%22a%22%3A1%7D", "Invalid _headers parameter."),
    Scenario(
        name="jsonp-poll",
        is_accept_ours=True,
        why="a published answer as a script",
        config="routes",
        origin={"/hold": poll("c3", "X-A: 1")},
        is_repeat_free=True,
        steps=[
            Send(get("/hold?callback=cb", host=HOST)),
            Subscribed("c3"),
            Publish([item("c3", "http-response", code=202, headers=[["X-B", "2"], ["X-B", "3"]], body="said\n")]),
            Receive(b"said"),
        ],
    ),
    Scenario(
        name="jsonp-poll-basic",
        is_accept_ours=True,
        why="a published answer as a plain script",
        config="routes",
        origin={"/hold": poll("c4", "X-A: 1")},
        is_repeat_free=True,
        steps=[
            Send(get("/hold?cb=f", host="aco-basic.test")),
            Subscribed("c4"),
            Publish([item("c4", "http-response", body='{"a":1}\n')]),
            Receive(b'"a":1'),
        ],
    ),
    Scenario(
        name="jsonp-stream",
        is_accept_ours=True,
        why="a stream is no script",
        config="routes",
        origin={"/hold": stream("c5")},
        steps=[Send(get("/hold?callback=cb", host=HOST)), Subscribed("c5"), Receive(b"[open]\n")],
    ),
    Scenario(
        name="jsonp-refused-origin",
        why="our own error as a script",
        config="routes",
        steps=[Send(get("/x?callback=cb", host="aco-refused.test")), Receive(b"origin.")],
    ),
]
