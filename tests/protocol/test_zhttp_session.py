"""One request over ZeroMQ from its first packet to its end: numbers, credits, and every way to fail."""

from typing import Any

import pytest
import tnetstring  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol.http1 import CHUNKED, NONE, SIZED, UNTIL_CLOSE, BodyFraming, ResponseHead
from gripproxy.protocol.route_target import Target
from gripproxy.protocol.zhttp import (
    CANCEL,
    CREDIT,
    CREDITS_BYTES,
    DATA,
    ERROR,
    HANDOFF_START,
    KEEP_ALIVE,
    PING,
    PacketType,
    RequestId,
    ResponsePacket,
    ZhttpRequest,
)
from gripproxy.protocol.zhttp_session import (
    _ON,
    ANSWERING,
    ENDED,
    FAILED,
    JOINED,
    ReqSession,
    ResponseReader,
    StreamSession,
    StreamState,
)
from gripproxy.protocol.zhttp_stream import (
    BROKEN,
    EXCESS_MAX_BYTES,
    GRANT_MIN_BYTES,
    KEEP_ALIVE_S,
    LENGTH_REQUIRED,
    POLICY,
    SILENT_MAX_S,
    TIMED_OUT,
    UNREACHED,
    Came,
    ZhttpFailure,
)

REQUEST = ZhttpRequest(b"POST", b"http://h/", [(b"Host", b"h")], Target(zhttp_spec="ipc:///x"))


def packet(packet_type: PacketType = DATA, **values: Any) -> ResponsePacket:
    return ResponsePacket([], packet_type, b"wk", **values)


def sent(messages: list[bytes]) -> list[dict[bytes, Any]]:
    return [tnetstring.loads(message[1:]) for message in messages]


class Talk:
    """A session and its origin, which numbers its packets."""

    def __init__(self, body: bytes = b"", is_whole: bool = True, is_head: bool = False) -> None:
        self.session = StreamSession(b"a", b"p", is_head, 0.0)
        (self.first,) = sent([self.session.begin(REQUEST, body, is_whole)])
        self.seq = 0

    def origin_says(self, packet_type: PacketType = DATA, now: float = 1.0, **values: Any) -> Came:
        came = self.session.receive(packet(packet_type, **values), self.seq, now)
        self.seq += 1
        return came

    def sent(self) -> list[dict[bytes, Any]]:
        return sent(self.session.take_outgoing())


def head(framing: BodyFraming = SIZED, length: int = 0) -> ResponseHead:
    return ResponseHead(200, b"OK", [], framing, length)


def test_whole_response_in_one_packet() -> None:
    """Its length is known, so that a client gets it without chunks."""
    talk = Talk()
    assert (talk.first[b"seq"], b"more" in talk.first) == (0, False)
    assert talk.origin_says(code=200, reason=b"OK", body=b"hi") == Came(head(SIZED, 2), b"hi", True)
    assert talk.session.state is ENDED and not talk.session.is_answer_pending
    assert talk.sent() == []


def test_response_in_parts() -> None:
    """Of unknown length until its end, which may be empty."""
    talk = Talk()
    assert talk.origin_says(code=200, reason=b"OK", body=b"h", is_more=True) == Came(head(UNTIL_CLOSE), b"h")
    assert talk.session.state is ANSWERING and talk.session.is_answer_pending
    assert talk.origin_says(body=b"i", is_more=True) == Came(body=b"i")
    assert talk.origin_says() == Came(is_end=True)
    assert not talk.session.is_answer_pending


def test_request_body_goes_as_far_as_credits() -> None:
    """The first packet takes 200,000 bytes unasked; after it an origin decides how much it can hold."""
    talk = Talk(b"x" * (CREDITS_BYTES + 50), is_whole=False)
    assert len(talk.first[b"body"]) == CREDITS_BYTES and talk.first[b"more"] is True
    talk.session.add_body(b"y" * 50, True, 0.0)
    assert talk.sent() == [], "nobody knows where to send it"
    talk.origin_says(CREDIT, credits=60)
    assert talk.session.state is JOINED and talk.session.unsent_bytes == 40
    common = {b"from": b"p", b"id": b"a"}
    assert talk.sent() == [{**common, b"seq": 1, b"body": b"x" * 50 + b"y" * 10, b"more": True}]
    talk.origin_says(CREDIT, credits=40)
    assert talk.sent() == [{**common, b"seq": 2, b"body": b"y" * 40}]
    talk.origin_says(CREDIT, credits=40)
    assert talk.sent() == [], "the end was said"


def test_end_of_the_request_needs_no_credits() -> None:
    """A chunked request may end after its last byte was sent."""
    talk = Talk(b"x", is_whole=False)
    talk.origin_says(KEEP_ALIVE)
    assert talk.sent() == []
    talk.session.add_body(b"", True, 0.0)
    assert talk.sent() == [{b"from": b"p", b"id": b"a", b"seq": 1}]


def test_credits_count_in_packets_of_any_type() -> None:
    """A response may begin before the request is whole, and grant credits by the way."""
    talk = Talk(b"x", is_whole=False)
    talk.session.add_body(b"abc", False, 0.0)
    talk.origin_says(code=200, is_more=True, credits=2)
    talk.origin_says(KEEP_ALIVE, credits=1)
    assert [each[b"body"] for each in talk.sent()] == [b"ab", b"c"]


def test_early_end_leaves_a_request_to_cancel() -> None:
    """The origin may wait for the rest of the body, which nobody will send."""
    talk = Talk(b"x", is_whole=False)
    assert talk.origin_says(code=200).is_end
    assert talk.session.is_answer_pending
    talk.session.add_body(b"more", True, 1.0)
    assert talk.sent() == []


def test_credits_are_granted_as_the_client_takes() -> None:
    """Not for every byte: a packet costs more than it is worth."""
    talk = Talk()
    talk.origin_says(code=200, body=b"x" * (GRANT_MIN_BYTES - 1), is_more=True)
    talk.session.grant(1.0)
    assert talk.sent() == []
    talk.origin_says(body=b"x", is_more=True)
    talk.session.grant(1.0)
    talk.session.grant(1.0)
    granted = {b"from": b"p", b"id": b"a", b"seq": 1, b"type": b"credit", b"credits": GRANT_MIN_BYTES}
    assert talk.sent() == [granted]
    talk.origin_says(body=b"x" * CREDITS_BYTES)
    talk.session.grant(1.0)
    assert talk.sent() == [] and talk.session.excess_bytes == 0


def test_excess_is_borne_up_to_a_limit() -> None:
    """The reference bears any; then a client that reads slowly would cost memory without end."""
    talk = Talk()
    talk.origin_says(code=200, body=b"x" * CREDITS_BYTES, is_more=True)
    assert talk.origin_says(body=b"x" * EXCESS_MAX_BYTES, is_more=True).failure is None
    assert talk.session.excess_bytes == EXCESS_MAX_BYTES
    assert talk.origin_says(body=b"x", is_more=True) == Came(
        failure=BROKEN, detail=f"it sent {EXCESS_MAX_BYTES + 1} bytes more than it had credits for"
    )
    assert talk.session.is_answer_pending, "it must be told"


@pytest.mark.parametrize("seq", [None, 0, 2, -1])
def test_wrong_number_ends_the_request(seq: int | None) -> None:
    """Something was lost or doubled: what follows cannot be trusted."""
    talk = Talk()
    talk.origin_says(KEEP_ALIVE)
    came = talk.session.receive(packet(code=200), seq, 1.0)
    assert came == Came(failure=BROKEN, detail=f"its packet has number {seq} instead of 1")
    assert talk.session.state is FAILED and talk.session.is_answer_pending


@pytest.mark.parametrize("seq", [None, 0, 77])
def test_error_and_cancel_need_no_number(seq: int | None) -> None:
    """They end the request anyway."""
    for ending in (packet(ERROR, condition=b"disconnected"), packet(CANCEL)):
        talk = Talk()
        talk.origin_says(KEEP_ALIVE)
        assert talk.session.receive(ending, seq, 1.0).failure is BROKEN
        assert not talk.session.is_answer_pending, "it knows"


def test_first_packet_says_who_answers() -> None:
    """Later packets have to go somewhere."""
    talk = Talk()
    anonymous = ResponsePacket([], DATA, None, code=200)
    came = talk.session.receive(anonymous, 0, 1.0)
    assert came == Came(failure=BROKEN, detail="its first packet does not say who it is from")
    talk = Talk()
    talk.origin_says(KEEP_ALIVE, is_multi=True)
    assert (talk.session.address, talk.session.is_multi) == (b"wk", True)
    assert talk.session.receive(ResponsePacket([], DATA, None, code=200), 1, 1.0).is_end


@pytest.mark.parametrize(
    ("condition", "failure"),
    [
        (b"remote-connection-failed", UNREACHED),
        (b"connection-timeout", UNREACHED),
        (b"tls-error", UNREACHED),
        (b"length-required", LENGTH_REQUIRED),
        (b"policy-violation", POLICY),
        (b"disconnected", BROKEN),
        (b"bad-request", BROKEN),
        (b"max-size-exceeded", BROKEN),
        (b"session-timeout", BROKEN),
        (b"", BROKEN),
        (b"of a later version", BROKEN),
    ],
)
def test_conditions(condition: bytes, failure: ZhttpFailure) -> None:
    """Only what happened before the request was sent allows another target."""
    wanted = Came(failure=failure, detail=f"it reported '{condition.decode()}'")
    assert Talk().origin_says(ERROR, condition=condition) == wanted
    assert ReqSession(False, 0.0).receive(packet(ERROR, condition=condition)) == wanted
    talk = Talk()
    talk.origin_says(code=200, is_more=True)
    after_head = talk.origin_says(ERROR, condition=condition).failure
    assert after_head is (BROKEN if failure is UNREACHED else failure), "too late for another target"


@pytest.mark.parametrize("packet_type", [KEEP_ALIVE, HANDOFF_START, PING])
def test_what_is_not_for_us_is_a_sign_of_life(packet_type: PacketType) -> None:
    """It takes a number like any other."""
    talk = Talk()
    assert talk.origin_says(packet_type, now=SILENT_MAX_S - 1) == Came()
    assert talk.session.check(SILENT_MAX_S + 5) == Came()
    assert talk.origin_says(code=200, now=SILENT_MAX_S + 6).is_end


@pytest.mark.parametrize(
    ("values", "detail"),
    [
        ({"body": b"x"}, "its code is not of a final response: None"),
        ({"code": 101}, "its code is not of a final response: 101"),
        ({"code": 1000}, "its code is not of a final response: 1000"),
        ({"code": 200, "reason": b"a\r\nb"}, "its reason would break its line: b'a\\r\\nb'"),
        ({"code": 200, "headers": [(b"a b", b"")]}, "its header would break its line: b'a b': b''"),
        ({"code": 200, "headers": [(b"A", b"x\nSet-Cookie: y")]}, None),
        ({"code": 200, "headers": [(b"Content-Length", b"x")]}, None),
        ({"code": 200, "headers": [(b"Content-Length", b"3")], "body": b"four"}, None),
        ({"code": 200, "headers": [(b"Content-Length", b"3")], "body": b"2."}, None),
        ({"code": 200, "headers": [(b"Transfer-Encoding", b"gzip")]}, None),
        ({"code": 200, "headers": [(b"A", b"")] * 1001}, "its response has more than 1000 headers"),
        ({"code": 200, "headers": [(b"A", b"x" * 1000)] * 262}, "its headers have 262262 bytes, more than 262144"),
    ],
)
def test_response_that_http_cannot_carry_is_refused(values: dict[str, Any], detail: str | None) -> None:
    """A line break in a header would be another header, or another response."""
    talk = Talk()
    came = talk.origin_says(**values)
    assert (came.failure, came.head) == (BROKEN, None)
    assert detail is None or came.detail == detail
    assert ReqSession(False, 0.0).receive(packet(**values)) == came


def test_body_in_parts_is_as_long_as_promised() -> None:
    """A client would wait for the rest, or take what is too much for its next response."""
    headers = [(b"Content-Length", b"4")]
    for parts, failure in (([b"ab", b"cd"], None), ([b"ab", b"c"], BROKEN), ([b"ab", b"cde"], BROKEN)):
        talk = Talk()
        assert talk.origin_says(code=200, headers=headers, is_more=True).head == ResponseHead(
            200, b"", headers, SIZED, 4
        )
        talk.origin_says(body=parts[0], is_more=True)
        assert talk.origin_says(body=parts[1]).failure is failure


def test_answers_without_a_body_have_none() -> None:
    """What an origin sends with them all the same is not relayed."""
    talk = Talk(is_head=True)
    headers = [(b"Content-Length", b"9")]
    came = talk.origin_says(code=200, headers=headers, body=b"x")
    assert came == Came(ResponseHead(200, b"", headers, SIZED, 9), b"", True)
    assert Talk().origin_says(code=204, body=b"x") == Came(ResponseHead(204, b"", [], NONE), b"", True)


def test_chunked_is_only_a_word_here() -> None:
    """The packets themselves tell where the body ends."""
    headers = [(b"Transfer-Encoding", b"chunked")]
    assert ResponseReader(False).take(packet(code=200, headers=headers, is_more=True)).head == ResponseHead(
        200, b"", headers, CHUNKED
    )


def test_silent_origin_is_given_up() -> None:
    """Nothing else tells that it is gone."""
    talk = Talk()
    assert talk.session.check(SILENT_MAX_S - 0.1) == Came()
    assert talk.session.check(SILENT_MAX_S) == Came(failure=TIMED_OUT, detail="it was silent for 60 s")
    assert talk.session.is_answer_pending
    assert ReqSession(False, 0.0).check(SILENT_MAX_S - 0.1) == Came()
    assert ReqSession(False, 0.0).check(SILENT_MAX_S).failure is TIMED_OUT


def test_keep_alives_take_numbers() -> None:
    """Only when nothing else was sent for some time, and only to an origin that is known."""
    talk = Talk(b"x", is_whole=False)
    assert talk.session.keep_alive(KEEP_ALIVE_S) is None
    talk.origin_says(CREDIT, credits=1, now=KEEP_ALIVE_S)
    assert talk.session.keep_alive(KEEP_ALIVE_S) == RequestId(b"a", 1)
    talk.session.add_body(b"y", False, KEEP_ALIVE_S + 10)
    assert [each[b"seq"] for each in talk.sent()] == [2]
    assert talk.session.keep_alive(2 * KEEP_ALIVE_S + 9.9) is None
    assert talk.session.keep_alive(2 * KEEP_ALIVE_S + 10) == RequestId(b"a", 3)


@pytest.mark.parametrize(
    "answer", [packet(code=200, is_more=True), packet(CREDIT), packet(KEEP_ALIVE), packet(CANCEL), packet(PING)]
)
def test_whole_request_takes_one_whole_answer(answer: ResponsePacket) -> None:
    """There is no way to ask for the rest."""
    came = ReqSession(False, 0.0).receive(answer)
    assert came == Came(failure=BROKEN, detail="its answer is not one whole response")


def test_answer_to_a_whole_request() -> None:
    """It needs neither a number nor a sender."""
    came = ReqSession(False, 0.0).receive(ResponsePacket([], code=200, reason=b"OK", body=b"hi"))
    assert came == Came(head(SIZED, 2), b"hi", True)


@pytest.mark.parametrize("state", StreamState)
@pytest.mark.parametrize("packet_type", PacketType)
def test_every_type_is_taken_in_every_state(state: StreamState, packet_type: PacketType) -> None:
    """The table has a row for every state; a state that is over says nothing more."""
    session = StreamSession(b"a", b"p", False, 0.0)
    session._enter(state)
    came = session.receive(packet(packet_type, code=200), 0, 1.0)
    if state in (ENDED, FAILED):
        assert (came, session.take_outgoing()) == (Came(), [])
    elif packet_type in (ERROR, CANCEL):
        assert came.failure is BROKEN
    else:
        assert came.failure is None
    assert set(_ON) == set(StreamState)


@given(
    st.lists(st.tuples(st.integers(0, 70_000), st.integers(0, 60_000)), max_size=12), st.integers(0, CREDITS_BYTES + 9)
)
def test_body_arrives_whole_and_never_beyond_credits(steps: list[tuple[int, int]], first_size: int) -> None:
    """In whatever order the client's parts and the origin's credits come."""
    talk = Talk(b"f" * first_size, is_whole=False)
    received = talk.first.get(b"body", b"")
    wanted = b"f" * first_size
    credits_left = 0
    seq = 1
    talk.origin_says(KEEP_ALIVE)
    for size, credits_bytes in [*steps, (0, 1_000_000), (0, 1_000_000)]:
        part = b"p" * size
        wanted += part
        talk.session.add_body(part, False, 1.0)
        talk.origin_says(CREDIT, credits=credits_bytes)
        credits_left += credits_bytes
        for each in talk.sent():
            assert each[b"seq"] == seq and each[b"more"] is True
            seq += 1
            credits_left -= len(each[b"body"])
            received += each[b"body"]
        assert credits_left >= 0
    assert received == wanted
