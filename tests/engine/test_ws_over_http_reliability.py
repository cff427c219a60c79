"""Sessions over HTTP with an origin that fails, takes its time and accepts by bits: nothing is lost, nothing twice."""

import random

from hypothesis import given
from hypothesis import strategies as st

from gripproxy.engine.effects import AskLink, Effect, EndSocket, OpenSocket, PauseClient, Write
from gripproxy.engine.events import OriginFailure
from gripproxy.protocol.events_answer import Meta, with_changes
from gripproxy.protocol.http1 import Headers
from gripproxy.protocol.websocket_events import decode_events, encode_events
from gripproxy.protocol.websocket_frame import BINARY, CONTINUATION, PING, TEXT, Frame
from gripproxy.protocol.websocket_reader import FrameReader
from tests.engine.events_conversation import (
    EVENTS,
    EventsConversation,
    body_of,
    close,
    lines_of,
    opened,
    says,
    text,
)


class Ends:
    """A client and an origin that do what chance says, with what each has sent and has got of the other.

    `had` are the bytes that the origin accepted, pings too; `got` the payloads that the client has read.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.talk: EventsConversation = opened(route="* origin:80,over_http" + self.random.choice(["", ",one_event"]))
        self.sent = b""
        self.had = b""
        self.kinds: list[bytes] = []
        self.said: list[bytes] = []
        self.got: list[bytes] = []
        self.meta: Meta = ()
        self.closes: list[bytes] = []
        self.is_paused = False
        self.is_ended = False
        self.failures_count = 0
        self.number = 0
        self.large_share = self.random.choice([0.0, 0.3])
        self.reader = FrameReader(is_client=False)

    def next(self) -> bytes:
        """Make a content that no other one is like; now and then a large one."""
        self.number += 1
        return b"<%d>" % self.number + b"x" * (40_000 if self.random.random() < self.large_share else 0)

    def see(self, effects: list[Effect]) -> None:
        """Let the client have what is written to it."""
        for effect in effects:
            assert not isinstance(effect, AskLink | OpenSocket)
            if isinstance(effect, Write | EndSocket):
                frames = self.reader.feed(effect.payload)
                assert self.reader.error is None
                self.got += [frame.payload for frame in frames if frame.opcode < 8]
                self.closes += [frame.payload for frame in frames if frame.opcode == 8]
            if isinstance(effect, EndSocket):
                self.is_ended = True
            if isinstance(effect, PauseClient):
                assert self.is_paused is not effect.is_paused
                self.is_paused = effect.is_paused

    def send(self) -> None:
        """Send a message or a ping, whole or in pieces, unless the client is not read at the moment."""
        if self.is_paused:
            return
        content = self.next()
        self.sent += content
        cut = self.random.randrange(len(content) + 1)
        frames = self.random.choice(
            [
                [text(content)],
                [Frame(BINARY, content)],
                [Frame(PING, content[:125])] if len(content) <= 125 else [text(content)],
                [Frame(TEXT, content[:cut], False), Frame(CONTINUATION, content[cut:])],
                [
                    Frame(TEXT, content[:cut], False),
                    Frame(CONTINUATION, b"", False),
                    Frame(CONTINUATION, content[cut:]),
                ],
            ]
        )
        for frame in frames:
            self.see(says(self.talk, frame))

    def answer(self, is_willing: bool = False) -> None:
        """Answer the request in flight, if there is one; or let it fail. Who `is_willing` takes everything."""
        talk = self.talk
        if talk.is_quiet:
            return
        assert talk.asked is not None
        if not is_willing and self.failures_count < 5 and self.random.random() < 0.3:
            self.failures_count += 1
            is_sent = self.random.random() < 0.5
            self.see(talk.fails(OriginFailure.CONNECT if is_sent else OriginFailure.BROKEN, is_sent))
            return
        self.failures_count = 0
        headers = [*EVENTS, *self.take(talk.asked, is_willing)]
        said = [self.next() for _ in range(0 if is_willing else self.random.randrange(3))]
        self.said += said
        answered = [Frame(self.random.choice([TEXT, BINARY]), content) for content in said]
        if b"CLOSE" in self.kinds:
            answered.append(close(4000))
        body = encode_events(answered)
        link_id = talk.asked.link_id
        self.see(talk.note(talk.link_answers(link_id, headers)))
        while body:
            size = self.random.randrange(1, len(body) + 1)
            self.see(talk.note(talk.link_sends(link_id, body[:size])))
            body = body[size:]
        self.see(talk.note(talk.link_ends(link_id)))

    def take(self, asked: AskLink, is_willing: bool) -> Headers:
        """Take some of a request's content, and say so; now and then an interval and a new meta."""
        metas = [line for line in lines_of(asked) if line.startswith(b"Meta-")]
        assert metas == [b"Meta-%s: %s" % each for each in self.meta]
        events = decode_events(body_of(asked))
        content = b"".join([event.content for event in events if event.kind not in (b"CLOSE", b"DISCONNECT")])
        close_bytes = sum([len(event.content) for event in events if event.kind == b"CLOSE"])
        headers: Headers = []
        is_partial = not is_willing and len(content) > 1 and self.random.random() < 0.4
        accepted_bytes = self.random.randrange(1, len(content)) if is_partial else len(content) + close_bytes
        if is_partial:
            headers.append((b"Content-Bytes-Accepted", b"%d" % accepted_bytes))
        else:
            self.kinds += [event.kind for event in events]
        self.had += content[:accepted_bytes]
        if self.random.random() < 0.3:
            headers.append((b"Keep-Alive-Interval", self.random.choice([b"0", b"20", b"60"])))
        if self.random.random() < 0.3:
            changes = ((self.random.choice([b"a", b"B"]), self.random.choice([b"", b"1", b"2"])),)
            self.meta = with_changes(self.meta, changes)
            headers += [(b"Set-Meta-" + name, value) for name, value in changes]
        return headers

    def step(self) -> None:
        """Let something happen."""
        choice = self.random.randrange(10)
        talk = self.talk
        if choice < 4:
            self.send()
        elif choice < 7:
            self.answer()
        elif choice == 7:
            self.see(talk.waits(self.random.choice([1, 30])))
        elif choice == 8:
            self.see(talk.reads())
        elif session := talk.session():
            self.see(talk.note(talk.core.sockets.refresh(session, talk.now)))

    def settle(self) -> None:
        """Let all come to rest: the origin takes what it is sent, the client reads."""
        for _ in range(60):
            self.answer(is_willing=True)
            self.see(self.talk.reads())
            self.see(self.talk.waits(1))
        if not self.is_ended and self.had != self.sent:  # what was taken in part waits for an occasion
            self.send()
            self.settle()


@given(st.integers(0, 2**32))
def test_every_message_arrives_once_and_in_order(seed: int) -> None:
    """Whatever the origin's failures and moods; then the client closes, or is lost, and nothing is left over."""
    ends = Ends(seed)
    for _ in range(ends.random.randrange(120)):
        ends.step()
        assert ends.sent.startswith(ends.had)
    ends.settle()
    assert ends.had == ends.sent
    assert ends.got == ends.said
    assert not ends.is_paused
    if ends.random.random() < 0.5:
        ends.see(says(ends.talk, close(4001)))
        ends.settle()
        assert ends.closes == [b"\x0f\xa0"]
        assert ends.kinds[-1] == b"CLOSE"
    else:
        ends.see(ends.talk.note(ends.talk.leaves(4)))
        ends.is_ended = True
        ends.settle()
        assert ends.kinds[-1] == b"DISCONNECT"
    assert ends.kinds.count(b"CLOSE") + ends.kinds.count(b"DISCONNECT") == 1
    assert ends.talk.is_quiet
    ends.talk.waits(3600)
    assert ends.talk.is_quiet


@given(st.integers(0, 2**32))
def test_a_client_that_leaves_at_any_time_leaves_nothing_behind(seed: int) -> None:
    """The origin has had some of what was sent, and hears of the end exactly once, if it can be reached."""
    ends = Ends(seed)
    for _ in range(ends.random.randrange(60)):
        ends.step()
    ends.see(ends.talk.note(ends.talk.leaves(4)))
    ends.is_ended = True
    ends.settle()
    assert ends.sent.startswith(ends.had)
    assert ends.kinds.count(b"DISCONNECT") == 1
    assert ends.talk.is_quiet
    assert not ends.talk.core.holds.wheel.due(ends.talk.now + 3600, 100)


def test_the_simulation_does_something() -> None:
    """Else the tests above would prove nothing."""
    all_ends = [Ends(seed) for seed in range(10)]
    for ends in all_ends:
        for _ in range(120):
            ends.step()
        ends.settle()
    assert sum(len(ends.said) for ends in all_ends) > 50
    assert {kind for ends in all_ends for kind in ends.kinds} == {b"TEXT", b"BINARY", b"PING"}
    assert max(len(ends.sent) for ends in all_ends) > 100_000
