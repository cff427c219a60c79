"""Scenarios of global settings: what they allow, add and cut off."""

from tests.conformance.holds import HELLO, poll, stream
from tests.conformance.scenario import Publish, Receive, Scenario, Send, Subscribed, get, item, post
from tests.integration.origin import answer

SCENARIOS = [
    Scenario(
        name="global-debug",
        why="all routes say what is wrong",
        config="limited",
        origin={"/x": answer("200 OK", "Grip-Hold: response", "Grip-Timeout: -1")},
        steps=[Send(get("/nowhere", host="refused.test")), Receive(b"127.0.0.1:1\n")],
    ),
    Scenario(
        name="global-cross-origin",
        why="all routes are for pages of other origins",
        config="limited",
        is_accept_ours=True,
        origin={"/x": HELLO},
        steps=[Send(get("/x?callback=cb", "Origin: http://a.test")), Receive(b"hello")],
    ),
    Scenario(
        name="global-issuer",
        why="signatures name who signs",
        config="limited",
        origin={"/x": HELLO},
        steps=[Send(post("/x", b"body")), Receive(b"hello\n")],
    ),
    Scenario(
        name="subscriptions-of-a-connection",
        why="channels over connection_subscription_max are dropped; those of the target come first",
        config="limited",
        origin={"/hold": stream("li1, li2, li3")},
        steps=[
            Send(get("/hold")),
            Subscribed("li2"),
            Receive(b"[open]\n"),
            Publish([item("li3", content="three\n"), item("li2", content="two\n"), item("li1", content="one\n")]),
            Receive(b"one\n"),
        ],
    ),
    Scenario(
        name="subscriptions-of-a-poll",
        why="the limit is for long-polls too",
        config="limited",
        origin={"/hold": poll("lj1, lj2, lj3")},
        is_repeat_free=True,
        steps=[
            Send(get("/hold")),
            Subscribed("lj2"),
            Publish([item("lj3", "http-response", body="three\n"), item("lj2", "http-response", body="two\n")]),
            Receive(b"two\n"),
        ],
    ),
    Scenario(
        name="head-of-a-small-buffer",
        why="a head larger than client_buffer_size was set to still fits where it is larger than the default",
        config="limited",
        origin={"/x": HELLO},
        steps=[Send(get("/x", "X-A: " + "a" * 9000)), Receive(b"hello\n")],
    ),
]
