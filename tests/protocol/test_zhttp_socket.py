"""One WebSocket over ZeroMQ from its handshake to its end."""

from typing import Any

import pytest
import tnetstring  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol.http1 import NONE, SIZED, Headers, ResponseHead
from gripproxy.protocol.route_target import Target
from gripproxy.protocol.websocket_close import encode_close
from gripproxy.protocol.websocket_frame import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame
from gripproxy.protocol.zhttp import CREDITS_BYTES, PacketType, ResponsePacket, ZhttpRequest
from gripproxy.protocol.zhttp_socket import (
    _ON,
    ENDED,
    FAILED,
    FRAME_COST_BYTES,
    JOINED,
    OPEN,
    ORIGIN_CLOSED,
    WE_CLOSED,
    SocketSession,
    SocketState,
)
from gripproxy.protocol.zhttp_stream import (
    BROKEN,
    EXCESS_MAX_BYTES,
    GRANT_MIN_BYTES,
    SILENT_MAX_S,
    TIMED_OUT,
    UNREACHED,
    Came,
)

DATA, CREDIT, ERROR = PacketType.DATA, PacketType.CREDIT, PacketType.ERROR
ASKED: Headers = [
    (b"Host", b"h"),
    (b"Sec-WebSocket-Extensions", b"grip"),
    (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
]
REQUEST = ZhttpRequest(b"GET", b"https://h/a?b", ASKED, Target(zhttp_spec="ipc:///x"))
AGREED: Headers = [
    (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"),
    (b"Sec-WebSocket-Accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
]
WORDS: dict[int, bytes] = {TEXT: b"text", BINARY: b"binary", PING: b"ping"}
COMMON = {b"from": b"p", b"id": b"a"}


class Talk:
    """A session and its origin, which numbers its packets. With `credits` it has accepted."""

    def __init__(self, credits: int | None = None) -> None:
        self.session = SocketSession(b"a", b"p", 0.0)
        self.first = tnetstring.loads(self.session.begin(REQUEST)[1:])
        self.seq = 0
        if credits is not None:
            self.origin_says(code=101, credits=credits)

    def origin_says(self, packet_type: PacketType = DATA, **values: Any) -> Came:
        came = self.session.receive(ResponsePacket([], packet_type, b"wk", **values), self.seq, 1.0)
        self.seq += 1
        return came

    def send(self, *frames: Frame) -> None:
        self.session.send(list(frames), 2.0)

    def sent(self) -> list[dict[bytes, Any]]:
        """Give what was sent, without what is the same in all packets."""
        packets = [tnetstring.loads(message[1:]) for message in self.session.take_outgoing()]
        for packet in packets:
            assert COMMON.items() <= packet.items()
            for key in COMMON:
                del packet[key]
        return packets


def text(seq: int, body: bytes, is_more: bool = False, word: bytes = b"text") -> dict[bytes, Any]:
    packet = {b"seq": seq, b"content-type": word, b"body": body}
    return {**packet, b"more": True} if is_more else packet


def test_first_packet() -> None:
    """Its URI says that it is a WebSocket; it has neither a method nor a stream of a body."""
    first = Talk().first
    assert first[b"uri"] == b"wss://h/a?b" and first[b"credits"] == CREDITS_BYTES and first[b"seq"] == 0
    assert first[b"headers"] == [list(header) for header in ASKED if header[0] != b"Connection"]
    assert not {b"method", b"stream", b"body", b"more"} & set(first)


@pytest.mark.parametrize("code", [101, 200, None])
def test_origin_accepts(code: int | None) -> None:
    """As in the reference with any code. The head is what a WebSocket origin would answer."""
    talk = Talk()
    assert talk.origin_says(PacketType.KEEP_ALIVE) == Came() and talk.session.state is JOINED
    headers = [(b"X", b"y"), (b"sec-websocket-accept", b"?")]
    came = talk.origin_says(code=code, reason=b"Fine", headers=headers)
    assert came == Came(ResponseHead(101, b"Fine", [headers[0], *AGREED], NONE))
    assert talk.session.state is OPEN and talk.session.is_answer_pending


@pytest.mark.parametrize("headers", [[(b"a b", b"")], [(b"A", b"x\r\nB: y")]])
def test_acceptance_that_http_cannot_carry(headers: Headers) -> None:
    """It would be another header, or another response."""
    talk = Talk()
    assert talk.origin_says(code=101, headers=headers).failure is BROKEN
    assert talk.session.state is FAILED and talk.session.is_answer_pending


def test_origin_refuses() -> None:
    """With a whole response, which the client gets."""
    talk = Talk()
    came = talk.origin_says(ERROR, condition=b"rejected", code=403, reason=b"No", headers=[(b"X", b"y")], body=b"no")
    assert came == Came(ResponseHead(403, b"No", [(b"X", b"y")], SIZED, 2), b"no", True)
    assert talk.session.state is ENDED and not talk.session.is_answer_pending


@pytest.mark.parametrize(
    ("values", "failure"),
    [
        ({"condition": b"rejected"}, BROKEN),
        ({"condition": b"rejected", "code": 101}, BROKEN),
        ({"condition": b"rejected", "code": 403, "headers": [(b"Content-Length", b"9")]}, BROKEN),
        ({"condition": b"connection-timeout"}, UNREACHED),
        ({"condition": b"disconnected"}, BROKEN),
    ],
)
def test_origin_fails(values: dict[str, Any], failure: int) -> None:
    """Before it has accepted, another target may do better."""
    talk = Talk()
    assert talk.origin_says(ERROR, **values).failure == failure
    assert not talk.session.is_answer_pending
    assert Talk(0).origin_says(ERROR, **values).failure is BROKEN, "too late for another target"


def test_frames_go_as_packets_as_far_as_credits_go() -> None:
    """In parts that say what the message is, as the reference's do; pings only whole."""
    talk = Talk(10)
    talk.send(Frame(TEXT, b"hello"), Frame(PING, b"ping"), Frame(BINARY, b"large as it is"), Frame(PONG, b""))
    ping = {b"seq": 2, b"type": b"ping", b"body": b"ping"}
    assert talk.sent() == [text(1, b"hello"), ping, text(3, b"l", True, b"binary")]
    assert talk.session.unsent_bytes == 14 + 2 * FRAME_COST_BYTES
    talk.origin_says(CREDIT, credits=2)
    assert talk.sent() == [text(4, b"ar", True, b"binary")]
    talk.origin_says(CREDIT, credits=11)
    assert talk.sent() == [text(5, b"ge as it is", False, b"binary"), {b"seq": 6, b"type": b"pong"}]
    assert talk.session.unsent_bytes == 0
    talk.send(Frame(PING, b"1234"), Frame(TEXT, b""))
    talk.origin_says(CREDIT, credits=3)
    assert talk.sent() == []
    talk.origin_says(CREDIT, credits=1)
    assert talk.sent() == [{b"seq": 7, b"type": b"ping", b"body": b"1234"}, text(8, b"")]


def test_fragments_stay_one_message() -> None:
    """Its end needs no credits, and a ping may come between."""
    talk = Talk(4)
    talk.send(
        Frame(BINARY, b"ab", False), Frame(PING, b"p"), Frame(CONTINUATION, b"c", False), Frame(CONTINUATION, b"")
    )
    ping = {b"seq": 2, b"type": b"ping", b"body": b"p"}
    parts = [text(1, b"ab", True, b"binary"), ping, text(3, b"c", True, b"binary"), text(4, b"", False, b"binary")]
    assert talk.sent() == parts


def test_nothing_is_sent_before_the_origin_accepts() -> None:
    """It has given no credits, and an end needs none."""
    talk = Talk()
    talk.origin_says(CREDIT, credits=9)
    talk.send(Frame(TEXT, b"x"))
    assert talk.sent() == []
    talk.origin_says(code=101)
    assert talk.sent() == [text(1, b"x")]


def test_messages_of_the_origin() -> None:
    """The type counts on the first part. A beginning without content says nothing but the type."""
    talk = Talk(0)
    talk.origin_says(body=b"a")
    talk.origin_says(body=b"", content_type=b"binary")
    talk.origin_says(body=b"", content_type=b"binary", is_more=True)
    talk.origin_says(PacketType.PING, body=b"p")
    talk.origin_says(body=b"b", is_more=True)
    talk.origin_says(body=b"", is_more=True)
    talk.origin_says(content_type=b"text")
    talk.origin_says(PacketType.PONG)
    frames = [Frame(TEXT, b"a"), Frame(BINARY, b""), Frame(PING, b"p"), Frame(BINARY, b"b", False)]
    assert talk.session.take_frames() == [*frames, Frame(CONTINUATION, b""), Frame(PONG, b"")]
    assert talk.session.take_frames() == []


def test_credits_are_granted_as_the_client_takes() -> None:
    """Messages and pings count alike."""
    talk = Talk(0)
    talk.origin_says(body=b"x" * (GRANT_MIN_BYTES - 1))
    talk.session.grant(1.0)
    assert talk.sent() == []
    talk.origin_says(PacketType.PING, body=b"x")
    talk.session.grant(1.0)
    assert talk.sent() == [{b"seq": 1, b"type": b"credit", b"credits": GRANT_MIN_BYTES}]


def test_origin_that_sends_too_much_fails() -> None:
    """A client that reads slowly would cost memory without end."""
    talk = Talk(0)
    for size in (CREDITS_BYTES, EXCESS_MAX_BYTES):
        assert talk.origin_says(body=b"x" * size, is_more=True).failure is None
    assert talk.origin_says(body=b"x").failure is BROKEN
    assert Talk(0).origin_says(PacketType.PING, body=b"x" * 125) == Came()
    assert Talk(0).origin_says(PacketType.PONG, body=b"x" * 126).failure is BROKEN


@pytest.mark.parametrize(
    ("payload", "said"), [(b"", {}), (encode_close(1001, b"bye"), {b"code": 1001, b"body": b"bye"})]
)
def test_we_close_first(payload: bytes, said: dict[bytes, Any]) -> None:
    """What the origin still sends is taken until it closes too. Nothing has to be said then."""
    talk = Talk(0)
    talk.send(Frame(CLOSE, payload), Frame(TEXT, b""))
    assert talk.sent() == [{b"seq": 1, b"type": b"close", **said}]
    assert talk.session.state is WE_CLOSED and talk.session.has_closed and talk.session.is_answer_pending
    assert talk.session.unsent_bytes == 0
    talk.origin_says(body=b"late")
    talk.origin_says(PacketType.CLOSE, code=1001)
    assert talk.session.take_frames() == [Frame(TEXT, b"late"), Frame(CLOSE, encode_close(1001))]
    assert talk.session.state is ENDED and not talk.session.is_answer_pending


def test_our_close_waits_for_what_was_sent_before() -> None:
    """Unless the origin, which will read nothing more, closes too."""
    talk = Talk(0)
    talk.send(Frame(TEXT, b"a"), Frame(CLOSE, b""))
    assert talk.sent() == [] and talk.session.state is OPEN and talk.session.has_closed
    talk.origin_says(CREDIT, credits=1)
    assert talk.sent() == [text(1, b"a"), {b"seq": 2, b"type": b"close"}]
    talk = Talk(0)
    talk.send(Frame(TEXT, b"a"), Frame(CLOSE, b""))
    talk.origin_says(PacketType.CLOSE)
    assert talk.sent() == [{b"seq": 1, b"type": b"close"}] and talk.session.state is ENDED


def test_origin_closes_first() -> None:
    """Our answer is the end. A reason without a code is none."""
    talk = Talk(100)
    talk.origin_says(PacketType.CLOSE, body=b"bye")
    assert talk.session.take_frames() == [Frame(CLOSE, b"")]
    assert talk.session.state is ORIGIN_CLOSED and not talk.session.has_closed and talk.session.is_answer_pending
    talk.send(Frame(TEXT, b"unwanted"))
    assert talk.sent() == [] and talk.session.unsent_bytes == 0
    talk.send(Frame(CLOSE, encode_close(1000)))
    assert talk.sent() == [{b"seq": 1, b"type": b"close", b"code": 1000}]
    assert talk.session.state is ENDED and not talk.session.is_answer_pending


@pytest.mark.parametrize("values", [{"code": -1}, {"code": 65_536}])
def test_close_that_no_frame_can_carry(values: dict[str, Any]) -> None:
    """A client's library would have to refuse it."""
    talk = Talk(0)
    assert talk.origin_says(PacketType.CLOSE, **values).failure is BROKEN
    assert talk.session.take_frames() == []


def test_cancel_is_the_end() -> None:
    """The origin's connection has broken off, so the client's must."""
    talk = Talk(0)
    assert talk.origin_says(PacketType.CANCEL).failure is BROKEN
    assert not talk.session.is_answer_pending


def test_silent_origin_is_given_up() -> None:
    """Nothing else tells that it is gone."""
    talk = Talk(0)
    assert talk.session.check(SILENT_MAX_S) == Came()
    assert talk.session.check(SILENT_MAX_S + 1).failure is TIMED_OUT
    assert talk.session.is_answer_pending


@pytest.mark.parametrize("seq", [None, 0, 2])
def test_wrong_number_is_the_end(seq: int | None) -> None:
    """Something was lost: a message would have a hole."""
    talk = Talk(0)
    assert talk.session.receive(ResponsePacket([], DATA, b"wk", body=b"x"), seq, 1.0).failure is BROKEN
    assert talk.session.take_frames() == []


@pytest.mark.parametrize("state", SocketState)
@pytest.mark.parametrize("packet_type", PacketType)
def test_every_type_is_taken_in_every_state(state: SocketState, packet_type: PacketType) -> None:
    """The table has a row for every state; a state that is over takes and says nothing more."""
    session = SocketSession(b"a", b"p", 0.0)
    session._enter(state)
    came = session.receive(ResponsePacket([], packet_type, b"wk"), 0, 1.0)
    if state in (ENDED, FAILED):
        assert (came, session.take_frames(), session.take_outgoing()) == (Came(), [], [])
    else:
        assert (came.failure is BROKEN) == (packet_type in (ERROR, PacketType.CANCEL))
    assert set(_ON) == set(SocketState)


MESSAGES = st.lists(st.tuples(st.sampled_from([TEXT, BINARY, PING]), st.lists(st.binary(max_size=60), min_size=1)))


@given(MESSAGES, st.lists(st.integers(0, 90), max_size=30))
def test_messages_arrive_whole_in_order_and_never_beyond_credits(
    messages: list[tuple[int, list[bytes]]], grants: list[int]
) -> None:
    """However they are fragmented and credits come."""
    talk = Talk(0)
    wanted: list[tuple[bytes, bytes]] = []
    for opcode, parts in messages:
        parts = parts[:1] if opcode is PING else parts
        for index, part in enumerate(parts):
            talk.send(Frame(CONTINUATION if index else opcode, part, index == len(parts) - 1))
        wanted.append((WORDS[opcode], b"".join(parts)))
    received: list[tuple[bytes, bytes]] = []
    credits, part_so_far = 0, b""
    packets = talk.sent()
    for grant in [*grants, 100_000]:
        talk.origin_says(CREDIT, credits=grant)
        credits += grant
        packets += talk.sent()
        for packet in packets:
            body = packet.get(b"body", b"")
            credits -= len(body)
            assert credits >= 0
            part_so_far = body if b"type" in packet else part_so_far + body
            if not packet.get(b"more"):
                received.append((packet.get(b"type") or packet[b"content-type"], part_so_far))
                part_so_far = b""
        packets = []
    assert received == wanted and talk.session.unsent_bytes == 0
