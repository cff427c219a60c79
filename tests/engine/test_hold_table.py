"""Held connections: who gets what, when, and what is left afterwards."""

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gripproxy.engine.effects import CloseChannel, Deliver, Effect, Finish, OpenChannel, Park
from gripproxy.engine.hold_table import HoldTable
from gripproxy.protocol.instruct import KeepAlive
from gripproxy.protocol.publish_format import Action, HttpResponseFormat, HttpStreamFormat
from gripproxy.protocol.publish_item import PublishItem
from tests.engine.conversation import HTTP10, answer, content, hold_response, hold_stream, new_hold_table, request

LINGER_S = 60.0


def is_empty(holds: HoldTable) -> bool:
    counts = (holds.streams_count, holds.responses_count)
    return counts == (0, 0) and not holds.subscriptions.channels and not any(holds.holds)


def test_first_and_last_subscriber_open_and_close_a_channel() -> None:
    """Publishers with subscriptions are told once each, not for every client."""
    holds = new_hold_table()
    assert hold_stream(holds, 1) == [OpenChannel("news"), Park(1, b"head")]
    assert hold_stream(holds, 2) == [Park(2, b"head")]
    assert holds.release(1, 1.0) == []
    assert holds.release(2, 1.0) == [CloseChannel("news")]
    assert is_empty(holds)


def test_stream_gets_every_item_until_it_leaves() -> None:
    """The one thing that everything else is for."""
    holds = new_hold_table()
    hold_stream(holds, 1)
    hold_stream(holds, 2, head=HTTP10)
    assert holds.publish(content(b"a"), 1.0) == [Deliver(b"1\r\na\r\n", {1}), Deliver(b"a", {2})]
    holds.release(1, 1.0)
    assert holds.publish(content(b"b"), 1.0) == [Deliver(b"b", {2})]
    assert holds.publish(content(b"c", "other"), 1.0) == []


def test_stream_on_several_channels_hears_them_all() -> None:
    """Also a name that came twice, from the route and from the instruct, is one subscription."""
    holds = new_hold_table()
    assert hold_stream(holds, 1, ["a", "b", "a"]) == [OpenChannel("a"), OpenChannel("b"), Park(1, b"head")]
    assert holds.publish(content(b"x", "a"), 1.0) == [Deliver(b"1\r\nx\r\n", {1})]
    assert holds.publish(content(b"y", "b"), 1.0) == [Deliver(b"1\r\ny\r\n", {1})]
    assert holds.release(1, 1.0) == [CloseChannel("a"), CloseChannel("b")]


def test_stream_without_channels_is_held_for_its_keep_alives() -> None:
    """It is legal, and it must not become a subscriber of anything."""
    holds = new_hold_table()
    assert hold_stream(holds, 1, [], KeepAlive(b".", 20)) == [Park(1, b"head")]
    assert holds.tick(20.25) == [Deliver(b"1\r\n.\r\n", [1], is_keep_alive=True)]
    assert holds.release(1, 21.0) == []
    assert is_empty(holds)


def test_long_poll_is_answered_once() -> None:
    """The second of two items in a row finds nobody."""
    holds = new_hold_table()
    hold_response(holds, 1, ["a", "b"])
    payload = b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 1\r\n\r\nx"
    effects = holds.publish(answer(b"x", "a"), 1.0)
    assert effects == [Finish(payload, [1], True, True), CloseChannel("a"), CloseChannel("b")]
    assert holds.publish(answer(b"y", "b"), 1.0) == []
    assert holds.tick(100.0) == []
    assert is_empty(holds)


def test_long_poll_that_times_out_gets_the_instructs_response() -> None:
    """Not before its time, and never twice."""
    holds = new_hold_table()
    assert hold_response(holds, 1, timeout_s=5, body=b"nothing") == [OpenChannel("news", True), Park(1, b"")]
    assert holds.tick(5.0) == []
    payload = b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 7\r\n\r\nnothing"
    assert holds.tick(5.25) == [Finish(payload, (1,), True), CloseChannel("news")]
    assert holds.tick(100.0) == []
    assert is_empty(holds)


def test_channel_lingers_after_its_last_long_poll() -> None:
    """Long-polls come back within a second: publishers need not be told twice for each of them."""
    holds = new_hold_table(LINGER_S)
    hold_response(holds, 1)
    assert holds.release(1, 10.0) == []
    assert hold_response(holds, 2, now=20.0) == [Park(2, b"")]
    assert holds.release(2, 30.0) == []
    assert holds.tick(30.0 + LINGER_S) == []
    assert holds.tick(30.5 + LINGER_S) == [CloseChannel("news")]
    assert is_empty(holds)


def test_stream_does_not_end_the_lingering() -> None:
    """A stream that comes and goes meanwhile, or stays a little longer, changes nothing for the long-polls."""
    holds = new_hold_table(LINGER_S)
    hold_response(holds, 1)
    hold_stream(holds, 2)
    assert holds.release(1, 10.0) == []
    assert holds.release(2, 20.0) == []
    assert hold_stream(holds, 3, now=30.0) == [Park(3, b"head")]
    assert holds.release(3, 40.0) == []
    assert holds.tick(10.5 + LINGER_S) == [CloseChannel("news")]
    assert is_empty(holds)


def test_channel_in_use_survives_the_end_of_lingering() -> None:
    """Its subscribers came after the long-poll left."""
    holds = new_hold_table(LINGER_S)
    hold_response(holds, 1)
    holds.release(1, 10.0)
    hold_stream(holds, 2, now=20.0)
    assert holds.tick(200.0) == []
    assert holds.publish(content(b"x"), 201.0) == [Deliver(b"1\r\nx\r\n", {2})]
    assert holds.release(2, 202.0) == [CloseChannel("news")]


def test_stream_channel_does_not_linger() -> None:
    """Streams are not expected back."""
    holds = new_hold_table(LINGER_S)
    hold_stream(holds, 1)
    assert holds.release(1, 10.0) == [CloseChannel("news")]


def test_idle_keep_alive_waits_for_a_quiet_stream() -> None:
    """An item puts it off by a whole period."""
    holds = new_hold_table()
    hold_stream(holds, 1, keep_alive=KeepAlive(b"\n", 20))
    holds.publish(content(b"x"), 15.0)
    assert holds.tick(20.25) == []
    assert holds.tick(35.0) == []
    sent = [Deliver(b"1\r\n\n\r\n", [1], is_keep_alive=True)]
    assert holds.tick(35.25) == sent
    assert holds.tick(55.0) == []
    assert holds.tick(55.5) == sent


def test_item_on_any_channel_puts_the_keep_alive_off() -> None:
    """The stream is quiet only when all of its channels are."""
    holds = new_hold_table()
    hold_stream(holds, 1, ["a", "b"], KeepAlive(b"\n", 20))
    holds.publish(content(b"x", "b"), 15.0)
    assert holds.tick(20.25) == []


def test_interval_keep_alive_comes_whatever_was_sent() -> None:
    """Some clients count on its rhythm."""
    holds = new_hold_table()
    hold_stream(holds, 1, keep_alive=KeepAlive(b"\n", 20, is_interval=True))
    holds.publish(content(b"x"), 19.0)
    assert holds.tick(20.25) == [Deliver(b"1\r\n\n\r\n", [1], is_keep_alive=True)]


def test_keep_alives_are_spread_by_up_to_a_second() -> None:
    """Streams that came at once, after a restart, would otherwise all be written to in the same moment."""
    holds = new_hold_table(jitter=0.999)
    hold_stream(holds, 1, keep_alive=KeepAlive(b"\n", 20))
    assert holds.tick(19.0) == []
    assert holds.tick(19.25) == [Deliver(b"1\r\n\n\r\n", [1], is_keep_alive=True)]


def test_equal_keep_alives_of_a_tick_are_one_effect() -> None:
    """A hundred thousand clients that get the same bytes are one delivery."""
    holds = new_hold_table()
    for conn_id in (1, 2, 3):
        hold_stream(holds, conn_id, keep_alive=KeepAlive(b"\n", 20))
    hold_stream(holds, 4, keep_alive=KeepAlive(b"\n", 20), head=HTTP10)
    payloads = {}
    for effect in holds.tick(20.25):
        assert isinstance(effect, Deliver)
        payloads[effect.payload] = sorted(effect.conn_ids)
    assert payloads == {b"1\r\n\n\r\n": [1, 2, 3], b"\n": [4]}


def test_released_hold_has_no_deadlines() -> None:
    """Its connection id belongs to another client by then."""
    holds = new_hold_table()
    hold_stream(holds, 1, keep_alive=KeepAlive(b"\n", 20))
    hold_response(holds, 2, timeout_s=5)
    holds.release(1, 1.0)
    holds.release(2, 1.0)
    assert holds.tick(100.0) == []


def test_releasing_a_stranger_does_no_harm() -> None:
    """Every client that leaves is reported, held or not."""
    holds = new_hold_table()
    assert holds.release(99, 1.0) == []
    hold_stream(holds, 1)
    holds.release(1, 1.0)
    assert holds.release(1, 1.0) == []
    assert (holds.is_held(1), holds.is_held(99)) == (False, False)


class HoldsAgainstModel(RuleBasedStateMachine):
    """The table beside a plain dictionary: connection id -> is it a stream, and its channels."""

    LINGER_S = 3.0

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.holds = new_hold_table(self.LINGER_S, 0.5, self.now)
        self.model: dict[int, tuple[bool, frozenset[str]]] = {}
        self.open_channels: set[str] = set()
        self.lingers_until: dict[str, float] = {}

    def take(self, effects: list[Effect]) -> tuple[list[int], list[int]]:
        """Carry the effects out: give who was written to and whose hold was ended."""
        delivered: list[int] = []
        finished: list[int] = []
        for effect in effects:
            if isinstance(effect, OpenChannel):
                assert effect.name not in self.open_channels or effect.is_update_wanted
                self.open_channels.add(effect.name)
            elif isinstance(effect, CloseChannel):
                self.open_channels.remove(effect.name)
            elif isinstance(effect, Finish):
                finished += effect.conn_ids
            elif isinstance(effect, Deliver) and not effect.is_keep_alive:
                delivered += effect.conn_ids
        return sorted(delivered), sorted(finished)

    def forget(self, conn_id: int) -> None:
        is_stream, names = self.model.pop(conn_id)
        for name in names:
            others = [other for other, (kind, its) in self.model.items() if not kind and name in its]
            if not is_stream and not others:
                self.lingers_until[name] = self.now + self.LINGER_S

    def listeners(self, name: str, is_stream: bool) -> list[int]:
        return sorted(conn for conn, (kind, names) in self.model.items() if kind is is_stream and name in names)

    names = st.lists(st.sampled_from("abc"), max_size=4)

    @rule(conn_id=st.integers(0, 7), names=names, is_http11=st.booleans(), keep_alive_s=st.integers(0, 3))
    def hold_stream(self, conn_id: int, names: list[str], is_http11: bool, keep_alive_s: int) -> None:
        if conn_id in self.model:
            return
        keep_alive = KeepAlive(b".", keep_alive_s) if keep_alive_s else None
        self.take(hold_stream(self.holds, conn_id, names, keep_alive, self.now, request(is_http11=is_http11)))
        self.model[conn_id] = True, frozenset(names)

    @rule(conn_id=st.integers(0, 7), names=names)
    def hold_response(self, conn_id: int, names: list[str]) -> None:
        if conn_id in self.model:
            return
        self.take(hold_response(self.holds, conn_id, names, 10_000, self.now))
        self.model[conn_id] = False, frozenset(names)

    @rule(conn_id=st.integers(0, 7))
    def leave(self, conn_id: int) -> None:
        if conn_id in self.model:
            self.forget(conn_id)
        assert self.take(self.holds.release(conn_id, self.now)) == ([], [])

    @rule(name=st.sampled_from("abc"))
    def publish(self, name: str) -> None:
        item = PublishItem(name, http_response=HttpResponseFormat(), http_stream=HttpStreamFormat(content=b"x"))
        streams, long_polls = self.listeners(name, True), self.listeners(name, False)
        assert self.take(self.holds.publish(item, self.now)) == (streams, long_polls)
        for conn_id in long_polls:
            self.forget(conn_id)

    @rule(name=st.sampled_from("abc"))
    def close(self, name: str) -> None:
        streams = self.listeners(name, True)
        assert self.take(self.holds.publish(content(b"", name, Action.CLOSE), self.now)) == ([], streams)
        for conn_id in streams:
            self.forget(conn_id)

    @rule(pause=st.floats(0.25, 8))
    def tick(self, pause: float) -> None:
        self.now += pause
        assert self.take(self.holds.tick(self.now)) == ([], [])
        self.lingers_until = {name: at for name, at in self.lingers_until.items() if at > self.now - 0.25}

    @precondition(lambda self: not self.model)
    @rule()
    def nothing_is_remembered(self) -> None:
        self.now += self.LINGER_S + 0.5
        self.take(self.holds.tick(self.now))
        self.lingers_until.clear()
        assert is_empty(self.holds)

    @invariant()
    def channels_are_those_in_use(self) -> None:
        used = {name for _, names in self.model.values() for name in names}
        assert self.open_channels == set(self.holds.subscriptions.channels)
        assert used <= self.open_channels <= used | set(self.lingers_until)
        surely = {name for name, at in self.lingers_until.items() if at > self.now}
        assert surely <= self.open_channels

    @invariant()
    def counts_are_those_of_the_model(self) -> None:
        streams_count = sum(is_stream for is_stream, _ in self.model.values())
        assert self.holds.streams_count == streams_count
        assert self.holds.responses_count == len(self.model) - streams_count


TestHoldsAgainstModel = HoldsAgainstModel.TestCase
TestHoldsAgainstModel.settings = hypothesis_settings(max_examples=50, stateful_step_count=40)


def test_first_hold_that_can_ask_again_is_told_behind_streams() -> None:
    """A new hub has to know, and asks nobody."""
    holds = new_hold_table()
    assert hold_stream(holds, 1) == [OpenChannel("news"), Park(1, b"head")]
    assert hold_response(holds, 2)[0] == OpenChannel("news", True)
    assert not any(isinstance(effect, OpenChannel) for effect in hold_response(holds, 3))
