"""Fan-outs in slices: everybody gets everything in order, and the worker gets its turn in between."""

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from gripproxy.engine import hold_table, http_delivery, ws_delivery
from gripproxy.engine.effects import Continue, Deliver, Effect, FannedOut, Finish
from gripproxy.engine.fan_out import QUEUE_MAX_COUNT, SLICE_MAX_BYTES, FanOuts
from gripproxy.engine.hold_table import DUE_MAX_COUNT, HoldTable
from gripproxy.engine.http_delivery import ANSWERS_MAX_COUNT, STREAMS_MAX_COUNT
from gripproxy.engine.ws_session import OPEN, WsSession
from gripproxy.protocol.instruct import HoldMode, KeepAlive
from gripproxy.protocol.publish_format import Action, HttpResponseFormat, HttpStreamFormat, WsMessageFormat
from gripproxy.protocol.publish_item import PublishItem
from tests.engine.conversation import (
    STREAM,
    Conversation,
    answer,
    client,
    content,
    instruct,
    long_poll,
    new_hold_table,
    request,
)
from tests.engine.socket_table import SocketTable

CROWD_COUNT = 2 * STREAMS_MAX_COUNT + 10


def crowd(count: int = CROWD_COUNT, keep_alive: KeepAlive | None = None) -> HoldTable:
    """Hold streams 0 to `count` - 1 on the channel news, and stream `count` on the channel other."""
    holds = new_hold_table()
    for conn_id in range(count):
        holds.hold_stream(conn_id, ["news"], instruct(keep_alive=keep_alive), client(), b"", 0.0)
    holds.hold_stream(count, ["other"], instruct(), client(), b"", 0.0)
    return holds


class Received:
    """What every connection got, in order."""

    def __init__(self) -> None:
        self.by_conn: dict[int, list[bytes]] = {}

    def take(self, effects: list[Effect]) -> int:
        """Carry the effects out; give how many connections were written to."""
        count = 0
        for effect in effects:
            if isinstance(effect, Deliver | Finish):
                count += len(effect.conn_ids)
                for conn_id in effect.conn_ids:
                    self.by_conn.setdefault(conn_id, []).append(effect.payload)
        return count


def chunks(*contents: bytes) -> list[bytes]:
    return [b"%x\r\n%s\r\n" % (len(each), each) for each in contents]


def test_large_fan_out_is_done_in_slices() -> None:
    holds, received = crowd(), Received()
    counts = [received.take(holds.publish(content(b"x"), 1.0))]
    while holds.is_unfinished:
        counts.append(received.take(holds.resume(1.0)))
    assert counts == [0, STREAMS_MAX_COUNT, STREAMS_MAX_COUNT, 10]
    assert received.by_conn == dict.fromkeys(range(CROWD_COUNT), chunks(b"x"))


def test_large_items_make_small_slices() -> None:
    """A megabyte takes as long to write as hundreds of small items."""
    holds = crowd(10)
    assert holds.publish(content(b"x" * (SLICE_MAX_BYTES // 5)), 1.0) == []
    (effect,) = holds.resume(1.0)
    assert isinstance(effect, Deliver)
    assert len(effect.conn_ids) == 4
    assert holds.is_unfinished


def test_another_channel_does_not_wait() -> None:
    holds = crowd()
    holds.publish(content(b"x"), 1.0)
    assert holds.publish(content(b"y", "other"), 1.0) == [Deliver(chunks(b"y")[0], {CROWD_COUNT})]


def test_who_gets_something_new_gets_first_what_it_is_due() -> None:
    """One connection on a crowded channel and a quiet one."""
    holds, received = crowd(), Received()
    both = CROWD_COUNT + 1
    holds.hold_stream(both, ["news", "quiet"], instruct(), client(), b"", 0.0)
    for text in (b"1", b"2"):
        received.take(holds.publish(content(text), 1.0))
    received.take(holds.publish(content(b"3", "quiet"), 1.0))
    while holds.is_unfinished:
        received.take(holds.resume(1.0))
    assert received.by_conn[both] == chunks(b"1", b"2", b"3")


def test_who_left_gets_nothing_and_neither_does_who_came_in_its_place() -> None:
    """A connection's id is used again; the item was published before the new client came."""
    holds, received = crowd(), Received()
    received.take(holds.publish(content(b"x"), 1.0))
    (left, *_) = set(range(CROWD_COUNT)) - set(received.by_conn)
    holds.release(left, 1.0)
    holds.hold_stream(left, ["news"], instruct(), client(), b"", 1.0)
    while holds.is_unfinished:
        received.take(holds.resume(1.0))
    assert left not in received.by_conn
    assert len(received.by_conn) == CROWD_COUNT - 1


def waiting_polls() -> tuple[HoldTable, Received, set[int]]:
    """Publish an answer to so many long-polls that three of them still wait for it."""
    holds, received = new_hold_table(), Received()
    count = ANSWERS_MAX_COUNT + 3
    for conn_id in range(count):
        holds.hold_response(long_poll(conn_id, instruct(HoldMode.RESPONSE)), ["news"], 5, 0.0)
    received.take(holds.publish(answer(b"first"), 1.0))
    received.take(holds.resume(1.0))
    return holds, received, set(range(count)) - set(received.by_conn)


def test_long_poll_that_is_still_due_an_answer_gets_no_later_one() -> None:
    holds, received, waiting = waiting_polls()
    received.take(holds.publish(answer(b"second"), 1.0))
    assert holds.resume(1.0) == [FannedOut(1.0)]
    assert holds.resume(1.0) == []
    for conn_id in waiting:
        (payload,) = received.by_conn[conn_id]
        assert payload.endswith(b"first")
    assert not holds.subscriptions.channels


def test_long_poll_that_is_still_due_an_answer_does_not_time_out() -> None:
    holds, received, waiting = waiting_polls()
    left = waiting.pop()
    holds.release(left, 1.0)
    received.take(holds.tick(100.0))
    assert holds.resume(100.0) == [FannedOut(1.0)]
    for conn_id in waiting:
        (payload,) = received.by_conn[conn_id]
        assert payload.endswith(b"first")
    assert left not in received.by_conn
    assert not holds.subscriptions.channels


def test_many_keep_alives_at_once_are_sent_in_slices() -> None:
    """An item puts off the keep-alives of a whole channel to the same second."""
    count = 2 * DUE_MAX_COUNT + 1
    holds, received = crowd(count, KeepAlive(b".", 20)), Received()
    counts = [received.take(holds.tick(30.0))]
    while holds.is_unfinished:
        counts.append(received.take(holds.resume(30.0)))
    assert counts == [DUE_MAX_COUNT, DUE_MAX_COUNT, 1]


def test_worker_is_told_when_to_take_no_more_items() -> None:
    holds = crowd()
    for _ in range(QUEUE_MAX_COUNT):
        assert not holds.fan_outs.is_full
        holds.publish(content(b"x"), 1.0)
    assert holds.fan_outs.is_full
    while holds.is_unfinished:
        holds.resume(1.0)
    assert not holds.fan_outs.is_full


def test_core_asks_for_one_turn_at_a_time() -> None:
    """Each `Continue` is one callback of the loop: more of them would do more in a turn, not less."""
    talk = Conversation()
    for conn_id in range(CROWD_COUNT):
        talk.gets_held(conn_id, STREAM)
    assert talk.publish(content(b"x"))[0] == Continue()
    assert Continue() not in talk.publish(content(b"y")) + talk.passes(0.25)
    turns = 0
    while Continue() in talk.continues():
        turns += 1
    assert turns == 5
    assert not talk.core.holds.is_unfinished


def test_nothing_under_way_is_nothing_to_do() -> None:
    fan_outs = FanOuts()
    assert fan_outs.resume(0.0) == []
    assert fan_outs.catch_up({1}, 0.0) == []


class SlicedAgainstWhole(RuleBasedStateMachine):
    """A table that does everything in slices of two beside one that does it at once: the clients see no difference."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.sliced_sockets, self.whole_sockets = SocketTable(jitter=0.5), SocketTable(jitter=0.5)
        self.sliced, self.whole = self.sliced_sockets.holds, self.whole_sockets.holds
        self.got, self.due = Received(), Received()
        self.number = 0

    def teardown(self) -> None:
        self.finish()
        assert self.got.by_conn == self.due.by_conn

    def handle(self, item: PublishItem) -> None:
        with few_at_once():
            self.got.take(self.sliced.publish(item, self.now))
        self.due.take(self.whole.publish(item, self.now))

    def finish(self) -> None:
        while self.sliced.is_unfinished:
            self.resume()

    conn_ids = st.integers(0, 11)
    names = st.lists(st.sampled_from("ab"), min_size=1, max_size=2)

    @initialize()
    def begin(self) -> None:
        for conn_id in range(8):
            self.hold(conn_id, ["a"], conn_id < 5, True)
        for conn_id in range(12, 18):
            self.connect(conn_id, ["a"], conn_id > 15, conn_id in (14, 15))

    @rule(conn_id=conn_ids, names=names, is_stream=st.booleans(), is_http11=st.booleans())
    def hold(self, conn_id: int, names: list[str], is_stream: bool, is_http11: bool) -> None:
        if self.sliced.is_held(conn_id) or self.whole.is_held(conn_id):
            return
        for holds in (self.sliced, self.whole):
            head = request(is_http11=is_http11)
            if is_stream:
                holds.hold_stream(conn_id, names, instruct(), client(head), b"", self.now)
            else:
                holds.hold_response(long_poll(conn_id, instruct(HoldMode.RESPONSE), head), names, 20, self.now)

    @rule(conn_id=st.integers(12, 19), names=names, is_deflating=st.booleans(), is_choosy=st.booleans())
    def connect(self, conn_id: int, names: list[str], is_deflating: bool, is_choosy: bool) -> None:
        """Let a WebSocket client come, or subscribe to more; some of what is published is kept from it."""
        if (self.sliced.is_held(conn_id), self.whole.is_held(conn_id)) == (True, True):
            sessions = [self.sliced.holds[conn_id], self.whole.holds[conn_id]]
        elif self.sliced.is_held(conn_id) or self.whole.is_held(conn_id):
            return
        else:
            sessions = [table.connect(conn_id, is_deflating=is_deflating) for table in self.socket_tables]
        for table, session in zip(self.socket_tables, sessions, strict=True):
            assert isinstance(session, WsSession)
            self.catch_up(conn_id)
            if session.state is OPEN:
                table.say(session, self.now, type="set-meta", name="user", value="ann")
                for name in names:
                    table.subscribe(session, name, *(["skip-self"] if is_choosy else []))

    @property
    def socket_tables(self) -> tuple[SocketTable, SocketTable]:
        return self.sliced_sockets, self.whole_sockets

    def catch_up(self, conn_id: int) -> None:
        """Give what is due by the subscriptions as they were: filters that are replaced decide on what is still due."""
        self.got.take(self.sliced.fan_outs.catch_up((conn_id,), self.now))

    @rule(conn_id=st.integers(0, 19))
    def leave(self, conn_id: int) -> None:
        """What it was still due would have been in its socket when it left: nobody sees the difference."""
        for holds in (self.sliced, self.whole):
            holds.release(conn_id, self.now)
        for received in (self.got, self.due):
            received.by_conn.pop(conn_id, None)

    @rule(name=st.sampled_from("ab"))
    def publish(self, name: str) -> None:
        self.number += 1
        text = b"%d" % self.number
        self.handle(
            PublishItem(
                name,
                http_response=HttpResponseFormat(body=text),
                http_stream=HttpStreamFormat(content=text),
                ws_message=WsMessageFormat(content=text),
                meta={"sender": "bob" if self.number % 3 else "ann"},
            )
        )

    @rule(name=st.sampled_from("ab"), is_for_sockets=st.booleans())
    def close(self, name: str, is_for_sockets: bool) -> None:
        if is_for_sockets:
            self.handle(PublishItem(name, ws_message=WsMessageFormat(Action.CLOSE)))
        else:
            self.handle(content(b"", name, Action.CLOSE))

    @rule()
    def resume(self) -> None:
        with few_at_once():
            self.got.take(self.sliced.resume(self.now))

    @rule(pause=st.floats(0.25, 12))
    def tick(self, pause: float) -> None:
        """All that is due, as an item in between would answer a long-poll whose time is just up."""
        self.now += pause
        with few_at_once():
            self.got.take(self.sliced.tick(self.now))
            while self.sliced.wheel.is_behind:
                self.got.take(self.sliced.tick(self.now))
        self.due.take(self.whole.tick(self.now))


_COUNTS = ("STREAMS_MAX_COUNT", "ANSWERS_MAX_COUNT", "DUE_MAX_COUNT", "CLOSES_MAX_COUNT", "OFFERS_MAX_COUNT")


class few_at_once:
    """Within it, two are already many."""

    def __enter__(self) -> None:
        self.patch = pytest.MonkeyPatch()
        for module in (hold_table, http_delivery, ws_delivery):
            for name in vars(module):
                if name in _COUNTS:
                    self.patch.setattr(module, name, 2)

    def __exit__(self, *exc: object) -> None:
        self.patch.undo()


TestSlicedAgainstWhole = SlicedAgainstWhole.TestCase
TestSlicedAgainstWhole.settings = hypothesis_settings(
    max_examples=100, stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow]
)
