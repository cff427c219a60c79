"""Nothing lost, nothing twice, in order: one stream and one long-poll against an origin that knows every item."""

import re

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from gripproxy.engine.effects import AskLink, AskOrigin, Deliver, Effect, Finish, Forward, Park
from gripproxy.protocol.publish_format import HttpResponseFormat, HttpStreamFormat
from gripproxy.protocol.publish_item import PublishItem
from tests.engine.conversation import Conversation

STREAM_ID, POLL_ID = 4, 5


class FaithfulDelivery(RuleBasedStateMachine):
    """Items get their numbers at the origin; the bus brings them late, in any order that a hub lets pass, or never."""

    def __init__(self) -> None:
        super().__init__()
        self.talk = Conversation()
        self.published_count = 0  # at the origin
        self.on_their_way: list[int] = []
        self.stream: list[int] = []
        self.polled: list[int] = []
        self.link_id: int | None = None
        self.link_last = 0  # the last id that its request told the origin
        self.is_poll_asking = False
        self.take(self.talk.gets_held(STREAM_ID, self.headers(b"stream")))
        self.ask_poll()

    def headers(self, hold: bytes) -> list[tuple[bytes, bytes]]:
        channel = b"news; prev-id=%d" % self.published_count
        return [(b"Grip-Hold", hold), (b"Grip-Channel", channel), (b"Grip-Link", b"</next>; rel=next")]

    def take(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Deliver | Forward) and STREAM_ID in effect.conn_ids:
                self.stream += [int(text) for text in effect.payload.split(b"\r\n")[1].split()]
            elif isinstance(effect, Finish):
                assert effect.conn_ids == (POLL_ID,)
                self.polled.append(int(effect.payload.rpartition(b"\r\n\r\n")[2]))
                self.is_poll_asking = False
                self.ask_poll()
            elif isinstance(effect, AskLink):
                self.link_id = effect.link_id
                found = re.search(rb"Grip-Last: news; last-id=(\d+)\r", effect.head)
                assert found is not None
                self.link_last = int(found[1])
            elif isinstance(effect, AskOrigin):
                self.is_poll_asking = True
            elif isinstance(effect, Park) and effect.conn_id == POLL_ID:
                self.is_poll_asking = False

    def ask_poll(self) -> None:
        self.take(self.talk.asks(POLL_ID))

    @rule()
    def publish(self) -> None:
        self.published_count += 1
        self.on_their_way.append(self.published_count)

    @precondition(lambda self: self.on_their_way)
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        """Any of them may be the next one to come, as after `message_wait`."""
        number = data.draw(st.sampled_from(self.on_their_way))
        self.on_their_way.remove(number)
        text = b"%d " % number
        item = PublishItem(
            "news",
            str(number),
            str(number - 1),
            HttpResponseFormat(body=text.strip()),
            HttpStreamFormat(content=text),
        )
        self.talk.last_ids.note("news", item.id)
        self.take(self.talk.publish(item))

    @precondition(lambda self: self.on_their_way)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        self.on_their_way.remove(data.draw(st.sampled_from(self.on_their_way)))

    @precondition(lambda self: self.link_id is not None)
    @rule()
    def answer_link(self) -> None:
        """The origin tells all that the stream says that it has not got."""
        assert self.link_id is not None
        link, self.link_id = self.link_id, None
        missing = b"".join(b"%d " % number for number in range(self.link_last + 1, self.published_count + 1))
        self.take(self.talk.link_answers(link, self.headers(b"stream")))
        if missing:
            self.take(self.talk.link_sends(link, missing))
        self.take(self.talk.link_ends(link))

    @precondition(lambda self: self.is_poll_asking)
    @rule()
    def answer_poll(self) -> None:
        """The origin has something newer than the client, or lets it wait."""
        known = self.polled[-1] if self.polled else 0
        if known < self.published_count:
            self.talk.origin_answers(POLL_ID)
            self.talk.leaves(POLL_ID)  # answered by the worker
            self.polled.append(known + 1)
            self.is_poll_asking = False
            self.ask_poll()
            return
        self.take(self.talk.origin_answers(POLL_ID, self.headers(b"response")))
        self.take(self.talk.origin_sent(POLL_ID, b""))

    @rule()
    def update(self) -> None:
        self.take(self.talk.updates())

    @rule()
    def recover(self) -> None:
        self.talk.last_ids.clear()
        self.take(self.talk.is_told_to_update(None))

    def teardown(self) -> None:
        """At last something newer comes: then everybody has everything."""
        self.publish()
        while self.on_their_way:
            number = self.on_their_way.pop(0)
            item = PublishItem("news", str(number), str(number - 1), HttpResponseFormat(body=b"%d" % number))
            item.http_stream = HttpStreamFormat(content=b"%d " % number)
            self.talk.last_ids.note("news", item.id)
            self.take(self.talk.publish(item))
        for _ in range(2 * self.published_count + 4):
            self.update()
            if self.link_id is not None:
                self.answer_link()
            if self.is_poll_asking:
                self.answer_poll()
        everything = list(range(1, self.published_count + 1))
        assert self.stream == everything
        assert self.polled == everything


FaithfulDelivery.TestCase.settings = hypothesis_settings(max_examples=200, stateful_step_count=60, deadline=None)
TestFaithfulDelivery = FaithfulDelivery.TestCase
