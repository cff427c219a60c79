"""One request on its way: what each event does in each state, and what the client gets in the end."""

import itertools

import pytest

from gripproxy.engine.effects import AskOrigin, Collect, Cut, Deliver, Effect, Log, OpenChannel, Park, Relay, Respond
from gripproxy.engine.events import (
    ClientGone,
    ClockTicked,
    Event,
    ItemPublished,
    OriginAnswered,
    OriginBodyCollected,
    OriginFailed,
    OriginFailure,
    RelayDone,
    RequestArrived,
)
from gripproxy.engine.exchange import _ON, INSTRUCT_MAX_BYTES, Exchange, ExchangeState
from gripproxy.errors import InternalError
from gripproxy.protocol.http1 import BodyFraming, Headers, RequestHead
from gripproxy.protocol.jsonp import JsonpRules, decode_jsonp
from gripproxy.settings import Settings
from tests.engine.conversation import LONG_POLL, STREAM, Conversation, client, content, request, response

ASKING, RELAYING, COLLECTING, OPENING, WRAPPING, CLOSED = ExchangeState
GENERIC = b"Error while proxying to origin.\n"

EVENTS: list[Event] = [
    RequestArrived(1, request(), "10.0.0.9"),
    OriginAnswered(1, response()),
    OriginBodyCollected(1, b""),
    OriginFailed(1, OriginFailure.BROKEN, "it broke"),
    RelayDone(1),
    ClientGone(1),
    ItemPublished(content(b"x")),
    ClockTicked(),
]
NEXT_STATE = {
    (ASKING, OriginAnswered): RELAYING,
    (ASKING, OriginFailed): CLOSED,
    (RELAYING, RelayDone): CLOSED,
    (RELAYING, OriginFailed): CLOSED,
    (COLLECTING, OriginBodyCollected): CLOSED,
    (COLLECTING, OriginFailed): CLOSED,
    (WRAPPING, OriginBodyCollected): CLOSED,
    (WRAPPING, OriginFailed): CLOSED,
    (OPENING, RelayDone): CLOSED,
    (OPENING, OriginFailed): CLOSED,
}


def exchange_in(state: ExchangeState) -> Exchange:
    """Bring an exchange into a state by the events that lead there."""
    asked = client()
    if state is WRAPPING:
        asked.jsonp = decode_jsonp(request(b"/?callback=cb"), JsonpRules())
    exchange = Exchange(1, asked, Conversation().core._rules)
    exchange.start(0.0)
    if state in (COLLECTING, OPENING):
        exchange.handle(OriginAnswered(1, response(headers=STREAM)), 0.0)
        if state is OPENING:
            exchange.handle(OriginBodyCollected(1, None), 0.0)
    elif state is not ASKING:
        exchange.handle(OriginAnswered(1, response()), 0.0)
    if state is CLOSED:
        exchange.handle(RelayDone(1), 0.0)
    assert exchange.state is state
    return exchange


def answered(effects: list[Effect]) -> bytes:
    """Give the bytes of the whole response that these effects send."""
    (respond,) = [effect for effect in effects if isinstance(effect, Respond)]
    return respond.payload


def status_and_body(effects: list[Effect]) -> tuple[int, bytes]:
    head, _, body = answered(effects).partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


@pytest.mark.parametrize(
    ("state", "event"),
    list(itertools.product(ExchangeState, EVENTS)),
    ids=lambda value: value.name if isinstance(value, ExchangeState) else type(value).__name__,
)
def test_table_is_the_whole_truth(state: ExchangeState, event: Event) -> None:
    """Every event in every state: it leads where the table of states says, or it is a bug with a name."""
    exchange = exchange_in(state)
    expected = NEXT_STATE.get((state, type(event)))
    assert (type(event) in _ON[state]) == (expected is not None)
    if expected is None:
        with pytest.raises(InternalError, match=f"state {state.name} got {type(event).__name__}"):
            exchange.handle(event, 0.0)
        assert exchange.state is state
    else:
        exchange.handle(event, 0.0)
        assert exchange.state is expected


def test_every_state_has_a_row() -> None:
    """What is not in the table is a bug, and the table is the documentation."""
    assert set(_ON) == set(ExchangeState)


def test_request_goes_to_the_routes_target() -> None:
    """Rewritten, with the headers that the origin is to get."""
    talk = Conversation("d.test,path_beg=/in/,replace_beg=/out/ origin:81,ssl")
    (ask,) = talk.asks(1, request(b"/in/a?b=c", b"POST", framing=BodyFraming.SIZED, content_length=3))
    assert isinstance(ask, AskOrigin)
    assert (ask.target.label, ask.server_name, ask.framing) == ("origin:81", "d.test", BodyFraming.SIZED)
    lines = ask.head.split(b"\r\n")
    assert lines[:2] == [b"POST /out/a?b=c HTTP/1.1", b"Host: d.test"]
    assert lines[-3:] == [b"Content-Length: 3", b"", b""]


def test_request_without_a_route_is_answered() -> None:
    """The text is the reference's; it names the host that nobody serves."""
    talk = Conversation("other.test origin:80")
    assert status_and_body(talk.asks(1)) == (502, b"No route for host: d.test\n")


@pytest.mark.parametrize(
    ("routes", "head"),
    [
        ("other.test origin:80", request(framing=BodyFraming.CHUNKED)),
        ("* test", request(framing=BodyFraming.SIZED, content_length=3)),
        ("* origin:80", request(framing=BodyFraming.CHUNKED, upgrade=b"websocket")),
    ],
)
def test_answer_that_leaves_a_body_unread_is_the_last_one(routes: str, head: RequestHead) -> None:
    """What follows on the connection is that body, and it must not be taken for a request."""
    talk = Conversation(routes)
    (respond,) = talk.asks(1, head, is_done=False)
    assert isinstance(respond, Respond)
    assert not respond.is_persistent
    assert b"\r\nConnection: close\r\n" in respond.payload


def test_answer_to_a_whole_request_keeps_the_connection() -> None:
    """A small body that came with its head is read already."""
    talk = Conversation("* test")
    (respond,) = talk.asks(1, request(framing=BodyFraming.SIZED, content_length=3))
    assert isinstance(respond, Respond)
    assert respond.is_persistent


@pytest.mark.parametrize("value", [b"websocket", b"WebSocket"])
def test_websocket_without_a_handshake_is_refused(value: bytes) -> None:
    """Other protocols are none of ours: the origin gets the request without them."""
    talk = Conversation()
    status, body = status_and_body(talk.asks(1, request(upgrade=value)))
    assert (status, body.startswith(b"Request contained an Upgrade header")) == (400, True)
    assert isinstance(talk.asks(2, request(upgrade=b"h2c"))[0], AskOrigin)


def test_forwarded_protocol_counts_only_where_it_is_accepted() -> None:
    """A client must not choose the route for TLS by itself."""
    routes = "*,ssl=no plain:80\n*,ssl=yes secure:80"
    marked = [(b"X-Forwarded-Proto", b"https")]

    def target_of(talk: Conversation, is_https: bool = False) -> str:
        (ask,) = talk.asks(1, request(headers=marked), is_https=is_https)
        assert isinstance(ask, AskOrigin)
        return ask.target.label

    assert target_of(Conversation(routes)) == "plain:80"
    assert target_of(Conversation(routes), is_https=True) == "secure:80"
    assert target_of(Conversation(routes, Settings(accept_x_forwarded_protocol=True))) == "secure:80"


def test_next_target_is_asked_only_when_nothing_was_sent() -> None:
    """A request that an origin may have acted upon is not repeated."""
    talk = Conversation("* a:1 b:2 c:3")
    (first,) = talk.asks(1)
    log, second = talk.origin_fails(1, OriginFailure.CONNECT)
    assert isinstance(first, AskOrigin) and isinstance(second, AskOrigin) and isinstance(log, Log)
    assert (first.target.label, second.target.label) == ("a:1", "b:2")
    assert log.text == "origin a:1: it broke"
    assert not log.is_origin_error, "the request may still be answered"
    assert status_and_body(talk.origin_fails(1, OriginFailure.BROKEN)) == (502, GENERIC)


@pytest.mark.parametrize(
    ("failure", "status", "text", "debug_text"),
    [
        (OriginFailure.UNREACHABLE, 502, GENERIC, b"Error: zhttp service for route is unreachable.\n"),
        (OriginFailure.BLOCKED, 502, GENERIC, b"Error: Origin host/IP blocked.\n"),
        (OriginFailure.LENGTH_REQUIRED, 411, b"Must provide Content-Length header.\n", None),
    ],
)
def test_failure_that_another_target_cannot_mend_is_answered_at_once(
    failure: OriginFailure, status: int, text: bytes, debug_text: bytes | None
) -> None:
    """The reference's words, and its choice of what is worth a second target."""
    for routes, wanted in (("* a:1 b:2", text), ("*,debug a:1 b:2", debug_text or text)):
        talk = Conversation(routes)
        talk.asks(1)
        assert status_and_body(talk.origin_fails(1, failure)) == (status, wanted)


@pytest.mark.parametrize(
    ("routes", "text"),
    [("* a:1 b:2", GENERIC), ("*,debug a:1 b:2", b"Unable to connect to any targets. Tried: a:1, b:2\n")],
)
def test_only_debug_tells_which_targets_were_tried(routes: str, text: bytes) -> None:
    """Addresses of a private network are nobody's business."""
    talk = Conversation(routes)
    talk.asks(1)
    talk.origin_fails(1, OriginFailure.CONNECT)
    assert status_and_body(talk.origin_fails(1, OriginFailure.CONNECT)) == (502, text)
    assert talk.core.exchanges == {}


@pytest.mark.parametrize(
    ("headers", "is_http11", "framing", "last_lines"),
    [
        ([(b"Content-Length", b"5")], True, BodyFraming.SIZED, [b"Content-Length: 5"]),
        (
            [(b"Transfer-Encoding", b"chunked")],
            True,
            BodyFraming.CHUNKED,
            [b"Connection: Transfer-Encoding", b"Transfer-Encoding: chunked"],
        ),
        ([], True, BodyFraming.CHUNKED, [b"Connection: Transfer-Encoding", b"Transfer-Encoding: chunked"]),
        ([], False, BodyFraming.UNTIL_CLOSE, []),
        ([(b"Content-Length", b"5")], False, BodyFraming.SIZED, [b"Connection: keep-alive", b"Content-Length: 5"]),
    ],
)
def test_plain_response_is_relayed(
    headers: Headers, is_http11: bool, framing: BodyFraming, last_lines: list[bytes]
) -> None:
    """Its head at once, framed for this client; its body as it comes."""
    talk = Conversation()
    talk.asks(1, request(is_http11=is_http11))
    (relay,) = talk.origin_answers(1, [(b"X-A", b"1"), *headers])
    version = b"HTTP/1.1" if is_http11 else b"HTTP/1.0"
    head = b"\r\n".join([version + b" 200 OK", b"X-A: 1", *last_lines, b"", b""])
    assert relay == Relay(1, head, framing, is_persistent=framing is not BodyFraming.UNTIL_CLOSE)


def test_head_response_keeps_its_length_and_has_no_body() -> None:
    """The length is what a GET would have had."""
    talk = Conversation()
    talk.asks(1, request(method=b"HEAD"))
    (relay,) = talk.origin_answers(1, [(b"Content-Length", b"5")])
    assert relay == Relay(1, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", BodyFraming.NONE, True)


def test_early_answer_ends_the_connection() -> None:
    """The rest of the request's body would be taken for the next request."""
    talk = Conversation()
    talk.asks(1, request(framing=BodyFraming.CHUNKED), is_done=False)
    (relay,) = talk.origin_answers(1, [(b"Content-Length", b"0")], is_done=False)
    assert isinstance(relay, Relay)
    assert not relay.is_persistent


def test_response_that_breaks_off_is_cut() -> None:
    """A well-formed end would tell the client that the half is the whole. (The reference does that.)"""
    talk = Conversation()
    talk.asks(1)
    talk.origin_answers(1)
    log, cut = talk.origin_fails(1)
    assert isinstance(log, Log) and log.is_origin_error
    assert cut == Cut(1)


def test_no_grip_route_relays_instructs_untouched() -> None:
    """Another proxy behind this one is meant."""
    talk = Conversation("*,no_grip origin:80")
    talk.asks(1)
    (relay,) = talk.origin_answers(1, STREAM)
    assert isinstance(relay, Relay)
    assert b"\r\nGrip-Hold: stream\r\n" in relay.head


def test_no_grip_route_does_not_hold_for_the_test_target() -> None:
    """The built-in responder is an origin like any other."""
    talk = Conversation("*,no_grip test")
    assert b"\r\nGrip-Hold: stream\r\n" in answered(talk.asks(1, request(b"/stream")))
    assert not talk.core.holds.is_held(1)


def test_stream_is_held_with_its_beginning() -> None:
    """The exact bytes of the reference's example."""
    talk = Conversation()
    talk.asks(1)
    assert talk.origin_answers(1, STREAM) == [Collect(1, INSTRUCT_MAX_BYTES)]
    payload = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: Transfer-Encoding\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n7\r\n[open]\n\r\n"
    )
    assert talk.origin_sent(1, b"[open]\n") == [OpenChannel("news"), Park(1, payload)]


def test_empty_beginning_sends_only_the_head() -> None:
    """An empty chunk would end the stream before it began."""
    (_, park) = Conversation().gets_held(1, STREAM)
    assert isinstance(park, Park)
    assert park.payload.endswith(b"Transfer-Encoding: chunked\r\n\r\n")


def test_stream_for_an_old_client_is_raw() -> None:
    """HTTP/1.0 has no chunks; the end of the connection is the end of the body."""
    head = request(is_http11=False)
    (_, park) = Conversation().gets_held(1, STREAM, b"[open]\n", head)
    assert park == Park(1, b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n[open]\n")


def test_long_poll_writes_nothing_yet() -> None:
    """The origin's response is what the client gets at the timeout."""
    talk = Conversation()
    assert talk.gets_held(1, LONG_POLL, b"nothing\n") == [OpenChannel("news", True), Park(1, b"")]
    assert talk.core.holds.responses_count == 1


@pytest.mark.parametrize("status", [b"204", b"304"])
def test_stream_without_a_body_is_answered_at_once(status: bytes) -> None:
    """Such a response ends with its head, and a client that asked by HEAD is told how a GET would be answered."""
    talk = Conversation()
    assert isinstance(talk.gets_held(1, [*STREAM, (b"Grip-Status", status)])[0], Respond)
    (respond,) = talk.gets_held(2, STREAM, head=request(method=b"HEAD"))
    lines = b"Content-Type: text/plain\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert respond == Respond(2, b"HTTP/1.1 200 OK\r\n" + lines, True)
    (respond,) = talk.gets_held(3, STREAM, head=request(method=b"HEAD", is_http11=False))
    assert respond == Respond(3, b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n", False)
    assert talk.core.holds.streams_count == 0


def test_channel_without_a_hold_subscribes_nothing() -> None:
    """The response goes out with the status that the origin asked for, without Grip headers."""
    talk = Conversation()
    effects = talk.gets_held(1, [(b"Grip-Status", b"201 Made"), (b"Grip-Channel", b"news")], b"x")
    assert effects == [Respond(1, b"HTTP/1.1 201 Made\r\nContent-Length: 1\r\n\r\nx", True)]
    assert talk.core.holds.subscriptions.channels == {}


def test_no_request_follows_an_interim_status() -> None:
    """An origin may ask for any status; after 103 the client waits for the final response and would take the next."""
    (respond,) = Conversation().gets_held(1, [(b"Grip-Status", b"103")], b"x")
    assert respond == Respond(1, b"HTTP/1.1 103 Early Hints\r\nConnection: close\r\n\r\n", False)


def test_route_adds_its_prefix_and_the_target_its_channels() -> None:
    """The target's own channels are not prefixed, and come first."""
    talk = Conversation("*,prefix=p- origin:80,sub=extra")
    (*opened, _) = talk.gets_held(1, [*STREAM, (b"Grip-Channel", b"sport")])
    assert opened == [OpenChannel("extra"), OpenChannel("p-news"), OpenChannel("p-sport")]


def test_only_so_many_channels_are_subscribed() -> None:
    """The reference drops the rest without a word; the target's channels do not count."""
    talk = Conversation("* origin:80,sub=extra", Settings(connection_subscription_max=2))
    (*opened, _) = talk.gets_held(1, [(b"Grip-Hold", b"stream"), (b"Grip-Channel", b"a, b, c")])
    assert opened == [OpenChannel("extra"), OpenChannel("a"), OpenChannel("b")]


@pytest.mark.parametrize(
    ("routes", "text"),
    [
        ("* origin:80", GENERIC),
        ("*,debug origin:80", b"Failed to parse accept instructions: Grip-Hold must be set to either 'response' or "),
    ],
)
def test_bad_instruct_is_a_502(routes: str, text: bytes) -> None:
    """The log always says why, the client only on a debug route."""
    log, respond = Conversation(routes).gets_held(1, [(b"Grip-Hold", b"forever")])
    assert isinstance(log, Log) and log.is_origin_error
    assert "'forever'" in log.text
    status, body = status_and_body([respond])
    assert (status, body[: len(text)]) == (502, text)


@pytest.mark.parametrize(
    ("routes", "text"),
    [("* origin:80", GENERIC), ("*,debug origin:80", b"GRIP instruct response too large from origin:80\n")],
)
def test_too_large_an_instruct_is_a_502(routes: str, text: bytes) -> None:
    """It would have to be kept in memory."""
    talk = Conversation(routes)
    talk.asks(1)
    talk.origin_answers(1, LONG_POLL)
    log, respond = talk.origin_sent(1, None)
    reason = "origin origin:80: its response with an instruct exceeds 100000 bytes"
    assert log == Log(1, reason, is_origin_error=True, about=1)
    assert status_and_body([respond]) == (502, text)


def test_stream_with_too_large_a_body_is_relayed_and_then_held() -> None:
    """Its instruct is all in its headers: the body need not be gathered, and is not limited."""
    talk = Conversation()
    talk.asks(1)
    talk.origin_answers(1, [*STREAM, (b"Grip-Status", b"201 Made"), (b"Grip-Expose-Headers", b"X-Other")])
    (relay,) = talk.origin_sent(1, None)
    assert isinstance(relay, Relay)
    assert relay.is_opening
    assert relay.framing is BodyFraming.CHUNKED
    assert relay.head.startswith(b"HTTP/1.1 201 Made\r\nContent-Type: text/plain\r\n")
    assert talk.publish(content(b"too early")) == []
    assert talk.core.handle(RelayDone(1), talk.now) == [OpenChannel("news"), Park(1, b"")]
    (deliver,) = talk.publish(content(b"hi"))
    assert deliver == Deliver(b"2\r\nhi\r\n", {1})


@pytest.mark.parametrize(
    "headers",
    [
        [(b"Grip-Hold", b"stream "), (b"Grip-Channel", b"a")],
        [(b"Grip-Hold", b"stream"), (b"Content-Type", b"application/grip-instruct")],
        [(b"Grip-Channel", b"a")],
    ],
)
def test_only_a_stream_by_headers_may_begin_with_a_large_body(headers: Headers) -> None:
    """Everything else has to be known as a whole before the client gets its first byte."""
    talk = Conversation()
    talk.asks(1)
    talk.origin_answers(1, headers)
    assert status_and_body(talk.origin_sent(1, None))[0] == 502


def test_a_large_body_behind_a_status_without_one_is_left_out() -> None:
    """The client would take it for its next response."""
    talk = Conversation()
    talk.asks(1)
    talk.origin_answers(1, [*STREAM, (b"Grip-Status", b"204 Nothing")])
    assert talk.origin_sent(1, None) == [
        Respond(1, b"HTTP/1.1 204 Nothing\r\nContent-Type: text/plain\r\n\r\n", is_persistent=True)
    ]


def test_origin_that_breaks_off_while_a_stream_opens_cuts_the_client() -> None:
    """Half an initial body must not pass for all of it."""
    talk = Conversation()
    talk.asks(1)
    talk.origin_answers(1, STREAM)
    talk.origin_sent(1, None)
    assert Cut(1) in talk.origin_fails(1)
    assert talk.publish(content(b"x")) == []


def test_instruct_for_too_large_a_request_is_a_400() -> None:
    """Such a request could not be sent again; the client is told, debug or not."""
    talk = Conversation()
    talk.asks(1)
    talk.origin_answers(1, LONG_POLL)
    effects = talk.origin_sent(1, b"", request_body=None)
    assert status_and_body(effects) == (400, b"Request too large to accept GRIP instruct.\n")


@pytest.mark.parametrize(
    ("headers", "is_awaited"),
    [
        (LONG_POLL, True),
        ([(b"Content-Type", b"application/grip-instruct")], True),
        (STREAM, False),
        ([(b"Grip-Status", b"413")], False),
    ],
)
def test_a_request_that_may_be_asked_again_must_be_whole(headers: Headers, is_awaited: bool) -> None:
    """Others are answered as soon as the origin has."""
    talk = Conversation()
    talk.asks(1, request(method=b"POST", framing=BodyFraming.SIZED, content_length=9), is_done=False)
    assert talk.origin_answers(1, headers, is_done=False) == [Collect(1, INSTRUCT_MAX_BYTES, is_awaited)]


def test_instruct_that_breaks_off_is_a_502() -> None:
    """Half an instruct is none, and the client has seen nothing yet."""
    talk = Conversation()
    talk.asks(1)
    talk.origin_answers(1, STREAM)
    assert status_and_body(talk.origin_fails(1)) == (502, GENERIC)
    assert not talk.core.holds.is_held(1)


def test_failover_while_the_body_comes_keeps_the_connection() -> None:
    """The second target gets the whole body: the client notices nothing of the first one."""
    talk = Conversation("* down:80 up:80")
    talk.asks(1, request(method=b"POST", framing=BodyFraming.SIZED, content_length=9), is_done=False)
    talk.origin_fails(1, OriginFailure.CONNECT, is_done=False)
    (relay,) = talk.origin_answers(1, [(b"Content-Length", b"2")])
    assert isinstance(relay, Relay)
    assert relay.is_persistent
