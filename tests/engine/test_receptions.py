"""Receivers in the books and in their routes' traffic; items go out at a limited rate from the engine as a whole."""

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from gripproxy.engine.books import OVER_RATE, UNFIT
from gripproxy.engine.effects import Continue, Deliver, Effect, FannedOut, Finish, Log, WakePacing
from gripproxy.engine.rate_budget import Alone, RateBudget
from gripproxy.protocol.instruct import HoldMode
from gripproxy.protocol.publish_format import Action, HttpStreamFormat
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.protocol.receipt import Receipt
from gripproxy.protocol.telemetry import Traffic
from gripproxy.settings import Settings
from tests.engine.conversation import (
    LINK,
    LONG_POLL,
    STREAM,
    Conversation,
    answer,
    chunk,
    client,
    content,
    instruct,
    long_poll,
    new_hold_table,
    numbered,
    poll,
    request,
    stream,
)

WINDOW_S = 0.025  # at a rate of 40 one delivery each
ROUTES = "*,path_beg=/east,id=east origin:80\n*,path_beg=/west,id=west origin:80\n* origin:80"


def slow(hwm: int = -1, block_bytes: int = -1, rate: int = 40, routes: str = "* origin:80") -> Conversation:
    settings = Settings(subscription_linger=0, message_rate=rate, message_hwm=hwm, message_block_size=block_bytes)
    return Conversation(routes, settings)


def got(done: list[tuple[float, Effect]]) -> list[tuple[float, int, bytes]]:
    """Give when each connection got what."""
    return [
        (at, conn_id, effect.payload)
        for at, effect in done
        if isinstance(effect, Deliver | Finish)
        for conn_id in effect.conn_ids
    ]


def test_item_goes_out_in_the_next_turn_and_then_one_in_each_window() -> None:
    talk = slow()
    for conn_id in range(3):
        talk.gets_held(conn_id, STREAM)
    assert talk.publish(content(b"x")) == [Continue()]
    first, wake = talk.continues()
    assert isinstance(first, Deliver)
    assert wake == WakePacing(pytest.approx(WINDOW_S))
    talk.now += WINDOW_S
    assert talk.is_paced_on() == [Continue()]
    assert talk.publish(content(b"y")) == []
    done = got(talk.goes_on(talk.continues(), 1.0))
    assert [at for at, _, _ in done] == [0.0, 0.025, 0.05, 0.075, 0.1]
    assert [payload for _, _, payload in done] == [chunk(b"x")] * 2 + [chunk(b"y")] * 3


def test_without_a_rate_an_item_goes_out_as_it_comes() -> None:
    talk = Conversation(settings=Settings(message_hwm=1))
    for conn_id in range(3):
        talk.gets_held(conn_id, STREAM)
    (deliver,) = talk.publish(content(b"x"))
    assert isinstance(deliver, Deliver)
    assert len(deliver.conn_ids) == 3


def test_end_of_a_stream_comes_after_all_that_was_published_before() -> None:
    talk = slow()
    talk.gets_held(1, STREAM)
    effects = talk.publish(content(b"x")) + talk.publish(content(b"", action=Action.CLOSE))
    done = talk.goes_on(effects + talk.publish(content(b"late")), 1.0)
    assert got(done) == [(0.0, 1, chunk(b"x")), (0.025, 1, b"0\r\n\r\n")]
    assert not talk.core.holds.is_unfinished


def test_who_leaves_takes_nobodys_turn() -> None:
    talk = slow()
    for conn_id in range(3):
        talk.gets_held(conn_id, STREAM)
    effects = talk.publish(content(b"x"))
    talk.leaves(0)
    talk.leaves(1)
    talk.gets_held(1, STREAM)
    assert got(talk.goes_on(effects, 1.0)) == [(0.0, 2, chunk(b"x"))]


def test_keep_alives_count_from_a_clients_own_delivery() -> None:
    """One that is served late has been kept alive until then, and gets the next one a period after it."""
    talk = slow(rate=1)
    kept = [*STREAM, (b"Grip-Keep-Alive", b".; format=raw; timeout=5")]
    for conn_id in range(8):
        talk.gets_held(conn_id, kept)
    done = talk.goes_on(talk.publish(content(b"x")), 0.0)
    for _ in range(4 * 15):
        done += [(round(talk.now - 1000.0, 3), effect) for _, effect in talk.goes_on(talk.passes(0.0), 0.25)]
    last_at = dict.fromkeys(range(8), 0.0)
    for at, conn_id, _ in got(done):
        assert at - last_at[conn_id] <= 5.5, "no client waits longer than its period"
        last_at[conn_id] = at
    keep_alives = [(at, conn_id) for at, conn_id, payload in got(done) if payload == chunk(b".")]
    served_at = {conn_id: at for at, conn_id, payload in got(done) if payload == chunk(b"x")}
    assert len(served_at) == 8
    for at, conn_id in keep_alives:
        assert not 0 < at - served_at[conn_id] < 4.5, "a period begins with each delivery"


def test_long_poll_whose_time_is_up_gets_the_answer_that_waits_for_it() -> None:
    talk = slow(rate=1)
    for conn_id in range(3):
        talk.gets_held(conn_id, [*LONG_POLL, (b"Grip-Timeout", b"1")])
    done = talk.goes_on(talk.publish(answer(b"published")), 0.0)
    talk.now += 1.5
    done += talk.goes_on(talk.passes(0.0), 10.0)
    assert [payload[-9:] for _, _, payload in got(done)] == [b"published"] * 3
    assert not talk.core.holds.is_unfinished


def test_streams_that_follow_ids_miss_nothing() -> None:
    """That an item waits for its turn is no gap."""
    talk = slow()
    for conn_id in (1, 2):
        talk.gets_held(conn_id, stream(b"news; prev-id=0", LINK))
    effects: list[Effect] = []
    for number in range(1, 6):
        effects += talk.publish(numbered(number))
    done = talk.goes_on(effects, 10.0)
    assert [payload for _, conn_id, payload in got(done) if conn_id == 1] == [chunk(b"%d" % n) for n in range(1, 6)]
    assert len(done) == 10 + 5  # each item's way ends


def test_items_of_another_kind_take_no_turn() -> None:
    """A long-poll that follows ids is no receiver of an item that is for streams alone."""
    talk = slow(hwm=2)
    talk.gets_held(1, poll(b"news; prev-id=0"))
    talk.gets_held(2, stream(b"news; prev-id=0", LINK))
    done = talk.goes_on(
        talk.publish(PublishItem("news", "1", "0", http_stream=HttpStreamFormat(content=b"x")))
        + talk.publish(PublishItem("news", "2", "1", http_stream=HttpStreamFormat(content=b"y"))),
        1.0,
    )
    assert got(done) == [(0.0, 2, chunk(b"x")), (0.025, 2, chunk(b"y"))]
    assert talk.core.accounts.books.receptions == 2


def test_what_is_over_the_mark_is_counted() -> None:
    talk = slow(hwm=2)
    for conn_id in range(3):
        talk.gets_held(conn_id, STREAM)
    talk.gets_held(3, LONG_POLL)
    receipt = Receipt(1)
    item = numbered(1)
    item.receipt = receipt
    done = talk.goes_on(talk.publish(item), 1.0)
    assert sum(isinstance(effect, Log) for _, effect in done) == 1
    books = talk.core.accounts.books
    assert (books.receptions, books.ends[OVER_RATE], len(got(done))) == (4, 2, 2)
    assert (receipt.responses, receipt.streams, receipt.dropped, receipt.open_count) == (1, 3, 2, 0)
    assert talk.core.accounts.traffic.routes[""].values[Traffic.SENT] == 4  # as in Pushpin, these count as sent


def test_items_that_do_not_fit_wait_for_their_turn_too() -> None:
    talk = slow()
    talk.gets_held(1, STREAM)
    effects = talk.publish(content(b"x"))
    effects += talk.publish(PublishItem("news", http_stream=HttpStreamFormat(content=b"y", content_filters=("f",))))
    talk.goes_on(effects, 0.0)
    assert talk.core.accounts.books.ends[UNFIT] == 0
    talk.goes_on([], 1.0)
    assert talk.core.accounts.books.ends[UNFIT] == 1


def test_routes_take_turns_by_their_ids() -> None:
    talk = slow(routes=ROUTES)
    for conn_id in range(4):
        talk.gets_held(conn_id, STREAM, head=request(b"/east"))
    talk.gets_held(4, stream(b"other"), head=request(b"/west"))
    talk.gets_held(5, stream(b"other"))
    done = got(talk.goes_on(talk.publish(content(b"x")) + talk.publish(content(b"y", "other")), 1.0))
    assert [payload for _, _, payload in done[:3]] == [chunk(b"x"), chunk(b"y"), chunk(b"y")]
    sent = {route: traffic.values[Traffic.SENT] for route, traffic in talk.core.accounts.traffic.routes.items()}
    assert sent == {"east": 4, "west": 1, "": 1}


@pytest.mark.parametrize("routes", ["* origin:80", ROUTES])
@pytest.mark.parametrize("rate", [-1, 1000])
def test_blocks_are_counted_by_route(rate: int, routes: str) -> None:
    talk = slow(rate=rate, block_bytes=10, routes=routes)
    talk.gets_held(1, STREAM)
    talk.gets_held(2, LONG_POLL)
    both = numbered(1, b"x" * 25)
    talk.goes_on(talk.publish(both) + talk.publish(content(b"x" * 31)), 1.0)
    talk.gets_held(3, stream(b"news; prev-id=1", LINK))
    told = content(b"small")
    told.size = 99
    talk.goes_on(talk.publish(told), 1.0)
    values = talk.core.accounts.traffic.routes[""].values
    assert values[Traffic.BLOCKS_SENT] == 2 * 3 + 4 + 2 * 10
    assert values[Traffic.SENT] == 2 + 1 + 2


def test_heavy_items_take_more_of_the_rate() -> None:
    talk = slow(block_bytes=10)
    for conn_id in range(3):
        talk.gets_held(conn_id, STREAM)
    done = got(talk.goes_on(talk.publish(content(b"x" * 20)) + talk.publish(content(b"y")), 1.0))
    assert [at for at, _, _ in done] == [0.0, 0.05, 0.1, 0.15, 0.175, 0.2]


def test_end_of_an_items_way_is_told() -> None:
    talk = slow()
    for conn_id in range(2):
        talk.gets_held(conn_id, STREAM)
    began_at = talk.now
    done = talk.goes_on(talk.publish(content(b"x")), 1.0)
    assert done[-1] == (0.025, FannedOut(began_at))


def test_keep_alive_of_an_interval_is_not_put_off() -> None:
    talk = slow(rate=1)
    talk.gets_held(1, [*STREAM, (b"Grip-Keep-Alive", b".; format=raw; timeout=5; mode=interval")])
    (hold,) = [hold for hold in talk.core.holds.holds if hold]
    slot = hold.slot
    talk.goes_on(talk.publish(content(b"x")), 2.0)
    assert hold.slot is slot


def test_who_misses_items_is_kept_alive() -> None:
    """What others on the channel get is nothing that this client has seen."""
    talk = slow(rate=1, hwm=1)
    kept = [*STREAM, (b"Grip-Keep-Alive", b".; format=raw; timeout=5")]
    for conn_id in range(2):
        talk.gets_held(conn_id, kept)
    missing: set[int] = set()
    for _ in range(24):
        done = talk.goes_on(talk.publish(content(b"x")) + talk.passes(0.0), 0.25)
        missing.update(conn_id for _, conn_id, payload in got(done) if payload == chunk(b"."))
    assert len(missing) == 1


class PacedAgainstWhole(RuleBasedStateMachine):
    """A table at a limited rate beside one without: in the end all clients have got the same."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.paced, self.whole = new_hold_table(now=self.now), new_hold_table(now=self.now)
        self.paced.pace(RateBudget(100, Alone()), -1)
        self.got: dict[int, list[bytes]] = {}
        self.due: dict[int, list[bytes]] = {}
        self.wake_at = float("inf")
        self.number = 0

    def take(self, effects: list[Effect], into: dict[int, list[bytes]]) -> None:
        for effect in effects:
            if isinstance(effect, WakePacing):
                self.wake_at = self.now + effect.delay_s
        for _, conn_id, payload in got([(0.0, effect) for effect in effects]):
            into.setdefault(conn_id, []).append(payload)

    def go_on(self) -> None:
        while self.paced.is_unfinished:
            self.take(self.paced.resume(self.now), self.got)

    def both(self, item: PublishItem) -> None:
        self.take(self.paced.publish(item, self.now), self.got)
        self.take(self.whole.publish(item, self.now), self.due)

    conn_ids = st.integers(0, 9)
    names = st.lists(st.sampled_from("ab"), min_size=1, max_size=2)

    @rule(conn_id=conn_ids, names=names, is_stream=st.booleans(), is_http11=st.booleans())
    def hold(self, conn_id: int, names: list[str], is_stream: bool, is_http11: bool) -> None:
        if self.paced.is_held(conn_id) or self.whole.is_held(conn_id):
            return
        head = request(is_http11=is_http11)
        for holds in (self.paced, self.whole):
            if is_stream:
                holds.hold_stream(conn_id, names, instruct(), client(head), b"", self.now)
            else:
                holds.hold_response(long_poll(conn_id, instruct(HoldMode.RESPONSE), head), names, 5, self.now)

    @rule(name=st.sampled_from("ab"), count=st.integers(1, 4))
    def publish(self, name: str, count: int) -> None:
        for _ in range(count):
            self.number += 1
            self.both(numbered(self.number, channel=name))

    @rule(name=st.sampled_from("ab"))
    def close(self, name: str) -> None:
        self.both(content(b"", name, Action.CLOSE))

    @rule(conn_id=conn_ids)
    def leave(self, conn_id: int) -> None:
        """What it was still due, nobody misses."""
        for holds in (self.paced, self.whole):
            holds.release(conn_id, self.now)
        self.got.pop(conn_id, None)
        self.due.pop(conn_id, None)

    @rule(pause=st.floats(0.0, 0.2))
    def wait(self, pause: float) -> None:
        self.go_on()
        end = self.now + pause
        while self.wake_at <= end:
            self.now, self.wake_at = max(self.now, self.wake_at), float("inf")
            self.paced.fan_outs.wake()
            self.go_on()
        self.now = end

    @rule()
    def times_out(self) -> None:
        self.now += 6
        self.take(self.paced.tick(self.now), self.got)
        self.take(self.whole.tick(self.now), self.due)

    def teardown(self) -> None:
        self.wait(1e6)
        assert self.got == self.due
        for conn_id in range(10):
            assert self.paced.is_held(conn_id) == self.whole.is_held(conn_id)


TestPacedAgainstWhole = PacedAgainstWhole.TestCase
TestPacedAgainstWhole.settings = hypothesis_settings(
    max_examples=100, stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow]
)
