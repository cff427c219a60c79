"""Scenarios of how sessions over HTTP end: closed by either side, lost, broken, and asked for again."""

from tests.conformance.commands import ask
from tests.conformance.frames import CLOSE, TEXT, closing, frame
from tests.conformance.publish_inputs import mapped
from tests.conformance.publishing import tnet
from tests.conformance.scenario import (
    Difference,
    End,
    Leave,
    Receive,
    Release,
    Scenario,
    Send,
    Subscribed,
    Taken,
    Told,
)
from tests.conformance.socket_frames import NO_CODE, says_why
from tests.conformance.sockets import (
    EVENTS,
    GRIP,
    answered,
    control,
    hang_up,
    opened,
    published,
    say,
    session,
    subscribe,
    upgrade,
)
from tests.integration.origin import CLOSE as END_CONNECTION
from tests.integration.origin import WAIT, Answer, answer


def broken(name: str, why: str, *answers: Answer, difference: Difference | None = None) -> Scenario:
    """Make the scenario of a session that an answer ends: the client is cut off."""
    return session(f"broken-{name}", why, say(TEXT, b"x"), End(), then=answers, difference=difference)


SCENARIOS = [
    session(
        "client-close",
        "code and reason go round",
        hang_up(1000, b"bye"),
        Receive(b"<close"),
        End(),
        then=[answered((CLOSE, closing(1001, b"too")))],
    ),
    session(
        "client-close-bare",
        "no code, no content",
        hang_up(None),
        Receive(b"<close"),
        End(),
        then=[answered((CLOSE, b""))],
    ),
    session(
        "client-close-zero",
        "libraries spell no code as 0",
        hang_up(None),
        Receive(b"<close"),
        End(),
        then=[answered((CLOSE, closing(0)))],
        difference=NO_CODE,
    ),
    session(
        "client-close-unanswered", "an answer without a close", hang_up(), End(), then=[answered((TEXT, b"m:late"))]
    ),
    session(
        "client-close-behind-messages",
        "in one request",
        say(TEXT, b"one"),
        Told("/client-close-behind-messages", 2),
        Send(frame(TEXT, b"two", is_masked=True) + frame(CLOSE, closing(1000), is_masked=True)),
        Taken(),
        Release(),
        Receive(b"<close"),
        End(),
        then=[[WAIT, answered((TEXT, b"m:late"))], answered((TEXT, b"m:later"), (CLOSE, closing(1000)))],
    ),
    session(
        "client-close-in-message",
        "half a message is dropped",
        Send(frame(TEXT, b"half", is_masked=True, is_final=False) + frame(CLOSE, closing(1000), is_masked=True)),
        End(),
        Told("/client-close-in-message", 2),
        then=[answered((CLOSE, closing(1000)))],
        difference=(
            Difference(
                id="control-frame-within-a-message",
                reference="\r\n\r\n<ended>",
                ours="\r\n\r\n<close 1000 >\n<ended>",
            ),
            Difference(
                id="control-frame-within-a-message",
                reference="Content-Length: 12\n\nDISCONNECT\r\n",
                ours="Content-Length: 13\n\nCLOSE 2\r\n\x03\xe8\r\n",
            ),
        ),
    ),
    session(
        "origin-close",
        "the client's answer is told in another request",
        say(TEXT, b"x"),
        Receive(b"<close"),
        hang_up(4002, b"client"),
        End(),
        Told("/origin-close", 3),
        then=[answered((TEXT, b"m:before"), (CLOSE, closing(4001, b"origin")), (TEXT, b"m:behind"))],
    ),
    session(
        "origin-close-bare",
        "no code",
        say(TEXT, b"x"),
        Receive(b"<close"),
        hang_up(None),
        End(),
        Told("/origin-close-bare", 3),
        then=[answered((CLOSE, b""))],
    ),
    session(
        "origin-close-zero",
        "libraries spell no code as 0",
        say(TEXT, b"x"),
        Receive(b"<close"),
        hang_up(None),
        End(),
        Told("/origin-close-zero", 3),
        then=[answered((CLOSE, closing(0)))],
        difference=NO_CODE,
    ),
    session(
        "origin-close-no-text",
        "a reason that is no text",
        say(TEXT, b"x"),
        Receive(b"<close"),
        hang_up(1000),
        End(),
        Told("/origin-close-no-text", 3),
        then=[answered((CLOSE, closing(1000, b"a\xffb")))],
    ),
    session("client-leaves", "the origin is told", Leave(), Told("/client-leaves", 2), then=[answered()]),
    session(
        "client-leaves-meanwhile",
        "after the request on its way",
        say(TEXT, b"x"),
        Told("/client-leaves-meanwhile", 2),
        say(TEXT, b"y"),
        Leave(),
        Taken(),
        Release(),
        Told("/client-leaves-meanwhile", 3),
        then=[[WAIT, answered(subscribe("left"))]],
    ),
    session(
        "client-breaks",
        "a client that breaks the rules is lost",
        Send(frame(3, b"x", is_masked=True)),
        End(),
        Told("/client-breaks", 2),
        difference=says_why("1002 Unknown opcode: 3"),
    ),
    broken("status", "an error", answer("500 Internal Server Error", body=b"no\n")),
    broken("no-content", "no content", answer("204 No Content", EVENTS)),
    broken("created", "another status", answered(status="201 Created")),
    broken("type", "another type", answer("200 OK", "Content-Type: text/plain", body=b"TEXT 3\r\nm:x\r\n")),
    broken("garbage", "no events", answer("200 OK", EVENTS, body=b"garbage")),
    broken("open", "opened again", answer("200 OK", EVENTS, body=b"OPEN\r\n")),
    broken(
        "disconnect", "the origin knows it no more", answer("200 OK", EVENTS, body=b"DISCONNECT\r\nTEXT 3\r\nm:x\r\n")
    ),
    broken(
        "died",
        "the origin ends in the middle of the answer",
        [b"HTTP/1.1 200 OK\r\n" + EVENTS.encode() + b"\r\nContent-Length: 10\r\n\r\nTEXT", END_CONNECTION],
    ),
    session(
        "published-close",
        "the origin is told, and the client gets the code",
        Subscribed("woh-shut"),
        published("woh-shut", action="close", code=4001, reason="enough"),
        Receive(b"<close"),
        hang_up(4001),
        End(),
        Told("/published-close", 2),
        first=opened(subscribe("woh-shut")),
        then=[answered((CLOSE, closing(1000)))],
    ),
    session(
        "detach",
        "the origin is told, and the client stays for items",
        Receive(b"before"),
        Told("/detach", 2),
        Subscribed("woh-detached"),
        say(TEXT, b"nobody hears"),
        published("woh-detached", content="one"),
        Receive(b"<text one>"),
        hang_up(1001, b"bye"),
        Receive(b"<close"),
        End(),
        first=opened(subscribe("woh-detached"), (TEXT, b"m:before"), control("detach")),
        then=[answered((CLOSE, closing(1000)))],
    ),
    session(
        "refresh-command",
        "the origin is asked whether it has something to say",
        Subscribed("refreshed"),
        ask("refresh", args=mapped(channel=tnet("refreshed"))),
        Receive(b"<text news>"),
        first=opened(subscribe("refreshed")),
        then=[answered((TEXT, b"m:news"))],
    ),
    Scenario(
        name="session-interval",
        why="asked again after 20 seconds of quiet, before the acceptance and behind it; less than 20 is 20",
        config="sockets",
        origin={
            "/pending#1": answer("200 OK", EVENTS, "Keep-Alive-Interval: 20"),
            "/pending#2": opened((TEXT, b"m:accepted")),
            "/polled#1": opened(headers=[GRIP, "Keep-Alive-Interval: 3"]),
            "/polled#2": answered((TEXT, b"m:polled"), headers=["Keep-Alive-Interval: 0"]),
        },
        is_origin_order_free=True,
        steps=[
            Send(upgrade("/pending", host="plain.woh.test")),
            Send(upgrade("/polled", host="plain.woh.test"), client="b"),
            Receive(b"\r\n\r\n", client="b"),
            Receive(b"accepted", timeout_s=30.0),
            Receive(b"polled", client="b", timeout_s=30.0),
        ],
    ),
]
