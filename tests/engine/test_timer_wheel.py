"""When records come due."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gripproxy.engine.timer_wheel import TICK_S, Slot, TimerWheel

ALL = 1000


class Record:
    def __init__(self, name: str = "") -> None:
        self.name = name
        self.slot: Slot | None = None


def test_deadline_is_never_early() -> None:
    """A long-poll that promises five seconds must not be answered after less."""
    wheel, record = TimerWheel(0.0), Record()
    wheel.schedule(record, 5.0)
    assert wheel.due(5.0, ALL) == []
    assert wheel.due(5.0 + TICK_S, ALL) == [record]
    assert record.slot is None


def test_due_comes_once() -> None:
    """A record that was given out has no deadline until somebody sets one."""
    wheel, record = TimerWheel(0.0), Record()
    wheel.schedule(record, 1.0)
    assert wheel.due(2.0, ALL) == [record]
    assert wheel.due(3.0, ALL) == []


def test_second_deadline_replaces_the_first() -> None:
    """Each item that is sent puts a keep-alive off."""
    wheel, record = TimerWheel(0.0), Record()
    wheel.schedule(record, 1.0)
    wheel.schedule(record, 10.0)
    assert wheel.due(9.0, ALL) == []
    assert wheel.due(10.5, ALL) == [record]


def test_cancelled_record_never_comes_due() -> None:
    """The client is gone, its connection id may belong to another one; cancelling twice does no harm."""
    wheel, record = TimerWheel(0.0), Record()
    wheel.schedule(record, 1.0)
    wheel.cancel(record)
    wheel.cancel(record)
    assert wheel.due(100.0, ALL) == []


def test_records_beyond_the_limit_stay_until_the_next_call() -> None:
    """Ten thousand deadlines in one tick must not stop the worker; who is left behind can still leave."""
    wheel = TimerWheel(0.0)
    records = [Record(str(number)) for number in range(7)]
    for number, record in enumerate(records):
        wheel.schedule(record, 1.0 if number < 5 else 2.0)
    first = wheel.due(10.0, 3)
    assert len(first) == 3
    assert set(first) < set(records[:5])
    assert wheel.is_behind
    left, cancelled = (record for record in records[:5] if record.slot is not None)
    wheel.cancel(cancelled)
    second = wheel.due(10.0, 2)
    assert second[0] is left
    assert second[1] in records[5:]
    assert wheel.is_behind
    assert len(wheel.due(10.0, 2)) == 1
    assert not wheel.is_behind


def test_tick_that_everybody_left_costs_nothing() -> None:
    """Thousands of clients come and go long before their time is up."""
    wheel = TimerWheel(0.0)
    records = [Record() for _ in range(1000)]
    for record in records:
        wheel.schedule(record, 1800.0)
    for record in records[:500]:
        wheel.schedule(record, 3600.0)
    for record in records:
        wheel.cancel(record)
    assert wheel._slots == {}


def test_passed_time_comes_due_with_the_next_tick() -> None:
    """A deadline in the past must not be put where the wheel has been already."""
    wheel, record = TimerWheel(100.0), Record()
    wheel.schedule(record, 3.0)
    assert wheel.due(100.0, ALL) == []
    assert wheel.due(100.0 + TICK_S, ALL) == [record]


def test_earlier_deadlines_come_first_even_after_a_long_pause() -> None:
    """A process that was stopped for an hour has many passed ticks and few slots."""
    wheel, early, late = TimerWheel(0.0), Record("early"), Record("late")
    wheel.schedule(late, 20.0)
    wheel.schedule(early, 10.0)
    assert wheel.due(3600.0, ALL) == [early, late]


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 5))), st.floats(0, 1000))
def test_every_record_is_due_once_and_in_time(steps: list[tuple[float, float]], start: float) -> None:
    """At most a tick late and never early, whatever the rhythm of the ticks."""
    wheel, now = TimerWheel(start), start
    waiting: dict[Record, float] = {}
    for delay, pause in steps:
        record = Record()
        waiting[record] = now + delay
        wheel.schedule(record, now + delay)
        now += pause
        for given_out in wheel.due(now, ALL):
            assert waiting.pop(given_out) <= now
        assert all(at > now - TICK_S for at in waiting.values())


class WheelAgainstModel(RuleBasedStateMachine):
    """The wheel beside a plain dictionary of deadlines."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 50.0
        self.wheel = TimerWheel(self.now)
        self.records = [Record(str(number)) for number in range(6)]
        self.deadlines: dict[Record, float] = {}

    @rule(number=st.integers(0, 5), delay=st.floats(-10, 30))
    def schedule(self, number: int, delay: float) -> None:
        record = self.records[number]
        self.wheel.schedule(record, self.now + delay)
        self.deadlines[record] = self.now + delay

    @rule(number=st.integers(0, 5))
    def cancel(self, number: int) -> None:
        self.wheel.cancel(self.records[number])
        self.deadlines.pop(self.records[number], None)

    @rule(pause=st.one_of(st.just(TICK_S), st.floats(TICK_S, 60)), max_count=st.integers(1, 7))
    def tick(self, pause: float, max_count: int) -> None:
        self.now += pause
        is_behind = True
        while is_behind:
            records = self.wheel.due(self.now, max_count)
            assert len(records) <= max_count
            for record in records:
                assert self.deadlines.pop(record) <= self.now
            is_behind = self.wheel.is_behind
        assert all(at > self.now - TICK_S for at in self.deadlines.values())

    @invariant()
    def slots_say_who_waits(self) -> None:
        for record in self.records:
            assert (record.slot is not None) == (record in self.deadlines)


TestWheelAgainstModel = WheelAgainstModel.TestCase


@given(st.floats(0.0, 100.0), st.floats(0.0, 100.0))
def test_time_that_is_left_gives_the_same_tick_again(at: float, now: float) -> None:
    """A record may be taken off the wheel for a while, or go to another one, and be due as before."""
    wheel, record = TimerWheel(0.0), Record()
    wheel.schedule(record, at)
    assert record.slot is not None
    tick, left_s = record.slot.tick, wheel.left_s(record, now)
    assert left_s is not None
    wheel.cancel(record)
    assert wheel.left_s(record, now) is None
    wheel.schedule(record, now + left_s)
    assert record.slot.tick == tick
