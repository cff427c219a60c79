"""Deliveries at a limited rate: batches, turns of routes, what is dropped, and everything in order for each client."""

from collections.abc import Collection, Mapping

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gripproxy.engine import pacing as pacing_module
from gripproxy.engine.effects import Deliver, Effect, FannedOut, Log, WakePacing
from gripproxy.engine.fan_out import SLICE_MAX_BYTES
from gripproxy.engine.pacing import FEW_COUNT, TURN_MAX_COUNT, Pacing
from gripproxy.engine.rate_budget import Alone, RateBudget
from gripproxy.protocol.receipt import Receipt

WINDOW_S = 0.025
MAX_COUNT = 600  # in one turn of the loop


class Crowd:
    """Receivers: the routes of those that have one, and who has missed an item."""

    def __init__(self, routes: Mapping[int, str] | None = None) -> None:
        self.routes = routes or {}
        self.missed: list[int] = []

    def by_route(self, conn_ids: Collection[int]) -> Mapping[str, Collection[int]]:
        found: dict[str, list[int]] = {}
        for conn_id in conn_ids:
            found.setdefault(self.routes.get(conn_id, ""), []).append(conn_id)
        return found

    def on_over(self, conn_ids: Collection[int], receipt: Receipt | None) -> None:
        self.missed += conn_ids


class Bench:
    """A pacing whose clock moves on when it asks to be woken. `got` is what each connection got, in order."""

    def __init__(
        self, rate: int, weight_max: int = -1, routes: Mapping[int, str] | None = None, is_weighing: bool = False
    ) -> None:
        self.now = 100.0
        self.crowd = Crowd(routes)
        self.pacing = Pacing(RateBudget(rate, Alone()), weight_max, is_weighing, self.crowd)
        self.got: dict[int, list[str]] = {}
        self.log: list[tuple[float, str, int]] = []  # when, what, to how many
        self.said: list[str] = []
        self.done: list[float] = []
        self.wakes: list[float] = []

    def publish(
        self, text: str, conn_ids: Collection[int], size: int = 1, weight: int = 1, receipt: Receipt | None = None
    ) -> None:
        def step(some_ids: Collection[int], now: float) -> list[Effect]:
            return [Deliver(text.encode(), some_ids)]

        self.take(self.pacing.start(step, conn_ids, size, MAX_COUNT, self.now, receipt, weight))

    def take(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Deliver):
                self.log.append((round(self.now - 100.0, 3), effect.payload.decode(), len(effect.conn_ids)))
                for conn_id in effect.conn_ids:
                    self.got.setdefault(conn_id, []).append(effect.payload.decode())
            elif isinstance(effect, Log):
                self.said.append(effect.text)
            elif isinstance(effect, FannedOut):
                self.done.append(effect.began_at)
            else:
                assert isinstance(effect, WakePacing)
                self.wakes.append(self.now + effect.delay_s)

    def turn(self) -> None:
        """Let all turns of the loop pass that come at once."""
        while self.pacing.is_ready:
            self.take(self.pacing.resume(self.now))

    def pass_until(self, end: float) -> None:
        self.turn()
        while self.wakes and self.wakes[0] <= end:
            self.now = max(self.now, self.wakes.pop(0))
            self.pacing.wake()
            self.turn()
        self.now = max(self.now, end)

    def finish(self) -> None:
        self.pass_until(self.now + 1e6)


def test_first_batch_goes_in_the_next_turn_and_then_one_in_each_window() -> None:
    bench = Bench(2500)
    bench.publish("a", range(150))
    assert bench.log == []
    bench.finish()
    assert bench.log == [(0.0, "a", 63), (0.025, "a", 63), (0.05, "a", 24)]
    assert bench.got == {conn_id: ["a"] for conn_id in range(150)}
    assert bench.done == [100.0]


def test_rate_that_is_not_reached_holds_nothing_back() -> None:
    """Ten items to each of six clients in a window."""
    bench = Bench(2500)
    for number in range(10):
        bench.publish(f"{number}", range(6))
        bench.turn()
        assert bench.got[0] == [f"{each}" for each in range(number + 1)]
    assert bench.wakes == []


def test_many_items_go_in_order_and_whole_rounds_of_them() -> None:
    bench = Bench(40)
    for text in "abc":
        bench.publish(text, (1, 2))
    bench.finish()
    assert [text for _, text, _ in bench.log] == list("aabbcc")
    assert [at for at, _, _ in bench.log] == [0.0, 0.025, 0.05, 0.075, 0.1, 0.125]


def test_routes_take_turns() -> None:
    """A crowd on one route does not keep a client of another one waiting."""
    bench = Bench(2500, routes=dict.fromkeys(range(10000), "crowd"))
    bench.publish("many", range(10_000))
    for text in "abc":
        bench.publish(text, (10_001,))
    bench.turn()
    assert bench.got[10_001] == ["a", "b", "c"]
    assert sum(count for _, text, count in bench.log if text == "many") == 60


def test_routes_that_have_enough_to_do_get_equal_parts() -> None:
    bench = Bench(40_000, routes={conn_id: "abc"[conn_id % 3] for conn_id in range(9000)})
    for _ in range(3):
        for route in range(3):
            bench.publish(f"{route}", range(route, 9000, 3))
    bench.turn()
    counts = [sum(count for _, text, count in bench.log if text == f"{route}") for route in range(3)]
    assert sum(counts) == 1000
    assert max(counts) - min(counts) <= TURN_MAX_COUNT


def test_who_finds_too_much_waiting_misses_the_item() -> None:
    """Only those for whom there is no room; the warning comes once a second."""
    bench = Bench(50, weight_max=5)
    bench.publish("a", range(3))
    bench.publish("b", range(3))
    bench.publish("c", range(3))
    assert bench.crowd.missed == [2, 0, 1, 2]
    assert bench.said == ["exceeded publish hwm (5), dropping message"]
    bench.turn()  # two went
    bench.publish("d", range(3))
    assert bench.crowd.missed[4:] == [2]
    bench.finish()
    assert bench.got == {0: ["a", "b", "d"], 1: ["a", "b", "d"], 2: ["a"]}
    assert len(bench.said) == 1
    bench.now += 1.0
    bench.publish("e", range(6))
    assert len(bench.said) == 2


def test_warning_names_the_route() -> None:
    bench = Bench(50, weight_max=1, routes={1: "east"})
    bench.publish("a", (0, 1))
    bench.publish("b", (0, 1))
    assert bench.crowd.missed == [0, 1]
    assert bench.said == [
        "exceeded publish hwm (1), dropping message",
        "exceeded publish hwm (1) for route east, dropping message",
    ]


def test_heavy_delivery_takes_turns_ahead() -> None:
    """One of three blocks takes as long as three of one."""
    bench = Bench(40, is_weighing=True)
    bench.publish("a", (1,), weight=3)
    bench.publish("b", (1,))
    bench.publish("c", (1,))
    bench.finish()
    assert bench.log == [(0.0, "a", 1), (0.075, "b", 1), (0.1, "c", 1)]


def test_heavy_deliveries_fill_a_batch() -> None:
    """63 turns are 21 deliveries of three, and of the next 22 the last one takes two turns of the third batch."""
    bench = Bench(2500, is_weighing=True)
    bench.publish("a", range(30), weight=3)
    bench.publish("b", range(100))
    bench.finish()
    assert [(at, sum(count for when, _, count in bench.log if when == at)) for at in (0.0, 0.025, 0.05)] == [
        (0.0, 21),
        (0.025, 9 + 36),
        (0.05, 63),
    ]


def test_debt_is_its_own_routes() -> None:
    bench = Bench(40, routes={1: "east", 2: "west"}, is_weighing=True)
    bench.publish("a", (1,), weight=3)
    bench.publish("b", (1,))
    bench.publish("c", (2,))
    bench.finish()
    assert [text for _, text, _ in bench.log] == ["a", "c", "b"]


def test_debt_is_paid_while_nothing_waits() -> None:
    bench = Bench(40, is_weighing=True)
    bench.publish("a", (1,), weight=4)
    bench.pass_until(bench.now + 0.05)
    bench.publish("b", (1,))
    bench.pass_until(bench.now + 0.2)
    bench.publish("c", (1,))
    bench.finish()
    assert bench.log == [(0.0, "a", 1), (0.1, "b", 1), (0.25, "c", 1)]


def test_routes_take_turns_by_delivery_whatever_these_weigh() -> None:
    bench = Bench(2500, routes={1: "heavy", 2: "light"}, is_weighing=True)
    for number in range(30):
        bench.publish(f"h{number}", (1,), weight=5)
        bench.publish(f"l{number}", (2,))
    bench.turn()
    assert len(bench.got[1]) == 11
    assert len(bench.got[2]) == 10


def test_weight_counts_for_the_room() -> None:
    bench = Bench(40, weight_max=10, is_weighing=True)
    bench.publish("a", range(5), weight=3)
    assert bench.crowd.missed == [3, 4]


def test_who_left_gets_nothing_and_neither_does_who_came_in_its_place() -> None:
    """Few receivers are remembered by connection, many by item."""
    bench = Bench(40)
    crowd = range(1, FEW_COUNT + 2)
    bench.publish("large", crowd)
    bench.publish("small", (1, 2))
    bench.pacing.forget(1)
    bench.pacing.forget(999)
    bench.publish("new", (1,))
    bench.finish()
    assert bench.got[1] == ["new"]
    assert bench.got[2] == ["large", "small"]
    assert len(bench.log) == len(crowd) - 1 + 2  # who left took no turn
    assert not bench.pacing.is_ready


def test_everybody_left() -> None:
    bench = Bench(40)
    receipt = Receipt(1)
    bench.publish("a", (1, 2), receipt=receipt)
    bench.pacing.forget(1)
    bench.pacing.forget(2)
    bench.finish()
    assert bench.log == []
    assert receipt.open_count == 0
    assert not bench.pacing.is_ready


def test_catching_up_gives_all_that_is_due_in_order() -> None:
    bench = Bench(40)
    crowd = range(1, FEW_COUNT + 2)
    bench.publish("1", (1, 2))
    bench.publish("2", crowd)
    bench.publish("3", (1, 2))
    bench.take(bench.pacing.catch_up((1,), bench.now))
    assert bench.got == {1: ["1", "2", "3"]}
    bench.turn()
    assert bench.log[3:] == []  # that was ahead of the next three turns
    bench.finish()
    assert bench.log[3] == (0.075, "1", 1)
    assert bench.got[2] == ["1", "2", "3"]
    assert bench.got[1] == ["1", "2", "3"]


def test_catching_up_ends_when_the_hold_ends() -> None:
    """A long-poll gets one answer."""
    bench = Bench(40)
    bench.turn()
    got: list[str] = []

    def answer(conn_ids: Collection[int], now: float) -> list[Effect]:
        got.append("answered")
        for conn_id in conn_ids:
            bench.pacing.forget(conn_id)
        return []

    for _ in range(2):
        bench.pacing.start(answer, (1,), 1, MAX_COUNT, bench.now)
    bench.pacing.catch_up((1, 7), bench.now)
    bench.finish()
    assert got == ["answered"]


def test_large_batch_is_done_in_slices() -> None:
    bench = Bench(1_000_000)
    bench.publish("a", range(2 * MAX_COUNT + 10))
    counts = []
    while bench.pacing.is_ready:
        before = len(bench.got)
        bench.take(bench.pacing.resume(bench.now))
        counts.append(len(bench.got) - before)
    assert counts == [MAX_COUNT, MAX_COUNT, 10]
    assert bench.wakes == []


def test_large_items_make_small_slices() -> None:
    bench = Bench(1_000_000)
    bench.publish("a", range(10), size=SLICE_MAX_BYTES // 5)
    bench.take(bench.pacing.resume(bench.now))
    assert len(bench.got) == 5
    assert bench.pacing.is_ready


def test_receipt_is_open_while_anything_waits() -> None:
    bench, receipt = Bench(40, routes={2: "east"}), Receipt(1)
    bench.publish("a", (1, 2), receipt=receipt)
    assert receipt.open_count == 2
    bench.finish()
    assert receipt.open_count == 0


def test_without_a_high_water_mark_publishers_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing_module, "WAITING_MAX_COUNT", 10)
    bench, bounded = Bench(40), Bench(40, weight_max=20)
    for each in (bench, bounded):
        each.publish("a", range(9))
        assert not each.pacing.is_full
        each.publish("b", range(9))
    assert bench.pacing.is_full
    assert not bounded.pacing.is_full
    bench.finish()
    assert not bench.pacing.is_full


ROUTES = {conn_id: ("", "east", "west")[conn_id % 3] for conn_id in range(12)}


class AgainstSimple(RuleBasedStateMachine):
    """Beside it a list for each route: who is on it gets everything in order, in as many windows as it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(80, weight_max=40, routes=ROUTES)
        self.lists: dict[str, list[tuple[int, str]]] = {route: [] for route in set(ROUTES.values())}
        self.due: dict[int, list[str]] = {}
        self.number = 0

    @rule(conn_ids=st.sets(st.integers(0, 11), min_size=1))
    def publish(self, conn_ids: set[int]) -> None:
        self.number += 1
        missed = self.bench.crowd.missed
        missed.clear()
        self.bench.publish(f"{self.number}", conn_ids)
        for conn_id in conn_ids:
            if conn_id not in missed:
                self.lists[ROUTES[conn_id]].append((conn_id, f"{self.number}"))
                self.due.setdefault(conn_id, []).append(f"{self.number}")

    @rule(pause=st.floats(0.0, 0.2))
    def wait(self, pause: float) -> None:
        self.bench.pass_until(self.bench.now + pause)

    @rule(conn_id=st.integers(0, 11))
    def leave(self, conn_id: int) -> None:
        self.bench.pacing.forget(conn_id)
        got = self.bench.got.get(conn_id, [])
        assert self.due.get(conn_id, [])[: len(got)] == got
        self.bench.got.pop(conn_id, None)
        self.due.pop(conn_id, None)

    @rule(conn_id=st.integers(0, 11))
    def catch_up(self, conn_id: int) -> None:
        self.bench.take(self.bench.pacing.catch_up((conn_id,), self.bench.now))
        assert self.bench.got.get(conn_id, []) == self.due.get(conn_id, [])

    @invariant()
    def in_order(self) -> None:
        for conn_id, got in self.bench.got.items():
            assert self.due[conn_id][: len(got)] == got

    def teardown(self) -> None:
        self.bench.finish()
        assert self.bench.got == self.due
        assert not self.bench.pacing.is_ready
        assert not self.bench.wakes


TestAgainstSimple = AgainstSimple.TestCase
TestAgainstSimple.settings = hypothesis_settings(
    max_examples=100, stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow]
)
