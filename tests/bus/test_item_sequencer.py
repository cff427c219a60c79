"""The order of items: what waits, what goes, and what it does to the last id; by example and beside a naive model."""

from dataclasses import dataclass, field

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gripproxy.bus import item_sequencer
from gripproxy.bus.item_sequencer import ItemSequencer, ReleasedItem
from gripproxy.bus.receipts import Inquiry, ItemOutcome, Receipts
from gripproxy.protocol.bus_message import UNTOUCHED, NotedId, unpack_item
from gripproxy.protocol.last_ids import LastIds
from gripproxy.protocol.publish_format import SEND, HttpStreamFormat
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.scoreboard import Field, Scoreboard

WAIT_S = 5.0


class Bench:
    """A sequencer for channels that all have a subscriber."""

    def __init__(self) -> None:
        self.row = Scoreboard(1).row(0)
        self.last_ids = LastIds()
        self.sequencer = ItemSequencer(WAIT_S, self.last_ids, self.row)

    def accept(self, channel: str, item_id: str | None, prev_id: str | None = None, now: float = 0.0) -> list[str]:
        """Give the names of the items that go out: their channel and id."""
        return names(self.sequencer.accept(item_of(channel, item_id, prev_id), is_subscribed=True, now=now))

    def due(self, now: float, max_count: int = 1000) -> list[str]:
        return names(self.sequencer.due(now, max_count))

    @property
    def counts(self) -> tuple[int, int, int]:
        """Parked now, gone out late, dropped."""
        return tuple(self.row[column] for column in (Field.ITEMS_PARKED, Field.ITEMS_LATE, Field.ITEMS_UNORDERED))


def item_of(channel: str, item_id: str | None, prev_id: str | None = None, is_no_seq: bool = False) -> PublishItem:
    stream = HttpStreamFormat(SEND, f"{channel}{item_id}".encode())
    return PublishItem(channel, item_id, prev_id, http_stream=stream, is_no_seq=is_no_seq)


def names(released: list[ReleasedItem]) -> list[str]:
    items = [unpack_item(item.channel, item.payload) for item in released]
    return [f"{item.channel}{item.id}" for item in items]


def noted_ids(released: list[ReleasedItem]) -> list[NotedId]:
    return [item.noted_id for item in released]


def test_question_about_an_item_goes_with_it() -> None:
    """However long it waits, by whichever way it goes out; and one that is dropped is answered."""
    bench, receipts = Bench(), Receipts(tuple)
    inquiries = [receipts.inquire("a", str(number), "http") for number in range(5)]

    def accept(inquiry: Inquiry, item_id: str, prev_id: str | None = None) -> list[Inquiry | None]:
        released = bench.sequencer.accept(item_of("a", item_id, prev_id), True, 0.0, inquiry)
        return [item.inquiry for item in released]

    assert accept(inquiries[0], "1") == [inquiries[0]]
    assert accept(inquiries[1], "3", "2") == []
    assert accept(inquiries[2], "4", "2") == []
    assert [inquiry.outcome for inquiry in inquiries[:3]] == [
        ItemOutcome.WAITING,
        ItemOutcome.WAITING,
        ItemOutcome.UNORDERED,
    ]
    assert accept(inquiries[3], "2", "1") == [inquiries[3], inquiries[1]]
    assert accept(inquiries[4], "9", "8") == []
    assert [item.inquiry for item in bench.sequencer.due(WAIT_S, 10)] == [inquiries[4]]
    accept(inquiries[4], "11", "10")
    assert [item.inquiry for item in bench.sequencer.clear(["a"])[1]] == [inquiries[4]]


def test_items_go_out_in_the_order_of_their_chain() -> None:
    """The example of the reference: last is 7; 8, 10 and 9 come."""
    bench = Bench()
    assert bench.accept("a", "7") == ["a7"]
    assert bench.accept("a", "8", "7") == ["a8"]
    assert bench.accept("a", "10", "9") == []
    assert bench.counts == (1, 0, 0)
    assert bench.accept("a", "9", "8") == ["a9", "a10"]
    assert bench.last_ids == {"a": "10"}
    assert bench.counts == (0, 0, 0)


def test_anything_goes_while_the_last_id_is_unknown() -> None:
    """At the first item, and after one without an id; an item without a prev-id always goes."""
    bench = Bench()
    assert bench.accept("a", "5", "4") == ["a5"]
    assert bench.accept("a", None, "5") == ["aNone"]
    assert bench.last_ids == {}
    assert bench.accept("a", "9", "8") == ["a9"]
    assert bench.accept("a", "20") == ["a20"]
    assert bench.last_ids == {"a": "20"}


def test_empty_id_is_an_id() -> None:
    """Nothing in the format says that it is none."""
    bench = Bench()
    bench.accept("a", "")
    assert bench.accept("a", "2", "1") == []
    assert bench.accept("a", "1", "") == ["a1", "a2"]


def test_items_without_order_pass_by() -> None:
    """`no-seq`, and items for channels without a subscriber: the last id is none of theirs."""
    bench = Bench()
    bench.accept("a", "1")
    free = item_of("a", "9", "8", is_no_seq=True)
    for released in (
        bench.sequencer.accept(free, is_subscribed=True, now=0),
        bench.sequencer.accept(item_of("a", "9", "8"), is_subscribed=False, now=0),
        bench.sequencer.accept(item_of("a", None), is_subscribed=False, now=0),
    ):
        assert noted_ids(released) == [UNTOUCHED]
    assert bench.last_ids == {"a": "1"}
    assert bench.counts == (0, 0, 0)


def test_released_items_say_what_they_did_to_the_last_id() -> None:
    """Workers follow by it: to set, to forget, or nothing."""
    bench = Bench()
    accept = bench.sequencer.accept
    assert noted_ids(accept(item_of("a", None), is_subscribed=True, now=0)) == [UNTOUCHED]
    assert noted_ids(accept(item_of("a", "1"), is_subscribed=True, now=0)) == ["1"]
    assert accept(item_of("a", None, "2"), is_subscribed=True, now=0) == []
    assert noted_ids(accept(item_of("a", "2", "1"), is_subscribed=True, now=0)) == ["2", None]
    assert bench.last_ids == {}


def test_item_is_as_it_was_after_its_wait() -> None:
    """It waits packed."""
    bench = Bench()
    bench.accept("a", "1")
    late = item_of("a", "3", "2")
    bench.sequencer.accept(late, is_subscribed=True, now=0)
    (released,) = bench.sequencer.due(WAIT_S, 10)
    assert unpack_item(released.channel, released.payload) == late


def test_second_item_for_the_same_place_is_dropped() -> None:
    """As the reference."""
    bench = Bench()
    bench.accept("a", "1")
    assert bench.accept("a", "3", "2") == []
    assert bench.accept("a", "4", "2") == []
    assert bench.counts == (1, 0, 1)
    assert bench.accept("a", "2", "1") == ["a2", "a3"]


def test_a_hundred_items_wait_on_one_channel_and_no_more() -> None:
    """As the reference. Other channels have their own."""
    bench = Bench()
    for channel in "ab":
        bench.accept(channel, "0")
    for number in range(item_sequencer.PARKED_MAX_COUNT + 2):
        assert bench.accept("a", f"x{number}", f"y{number}") == []
    assert bench.accept("b", "3", "2") == []
    assert bench.counts == (item_sequencer.PARKED_MAX_COUNT + 1, 0, 2)


def test_waiting_ends_oldest_first_and_brings_the_chain() -> None:
    """On all channels together. What was not waiting for so long stays, unless it follows."""
    bench = Bench()
    for channel in "ab":
        bench.accept(channel, "0")
    bench.accept("a", "4", "3", now=1.0)
    bench.accept("b", "3", "2", now=1.5)
    bench.accept("a", "2", "1", now=2.0)
    bench.accept("a", "5", "4", now=3.0)
    bench.accept("b", "9", "8", now=3.0)
    assert bench.due(1.0 + WAIT_S - 0.001) == []
    assert bench.due(2.0 + WAIT_S) == ["a4", "a5", "b3", "a2"]
    assert bench.last_ids == {"b": "3", "a": "2"}
    assert bench.counts == (1, 3, 0)
    assert bench.due(3.0 + WAIT_S) == ["b9"]


def test_much_that_is_due_goes_in_parts() -> None:
    """The hub's loop must turn in between."""
    bench = Bench()
    for channel in "abc":
        bench.accept(channel, "0")
        bench.accept(channel, "2", "1")
        bench.accept(channel, "3", "2")
    assert bench.due(WAIT_S, max_count=3) == ["a2", "a3", "b2", "b3"]
    assert bench.due(WAIT_S, max_count=3) == ["c2", "c3"]
    assert bench.due(WAIT_S, max_count=3) == []


def test_id_is_forgotten_if_it_is_still_the_last() -> None:
    """A doubt may come late. What waits goes on waiting."""
    bench = Bench()
    bench.accept("a", "1")
    bench.accept("a", "3", "2")
    assert not bench.sequencer.forget("a", "0")
    assert not bench.sequencer.forget("b", "1")
    assert bench.last_ids == {"a": "1"}
    assert bench.sequencer.forget("a", "1")
    assert bench.last_ids == {}
    assert bench.counts == (1, 0, 0)
    assert bench.accept("a", "2", "other") == ["a2", "a3"]


def test_recovery_forgets_all() -> None:
    """What waits goes on waiting."""
    bench = Bench()
    bench.accept("a", "1")
    bench.accept("b", "1")
    bench.accept("b", "3", "2")
    bench.sequencer.forget_all()
    assert bench.last_ids == {}
    assert bench.due(WAIT_S) == ["b3"]


def test_closed_channels_are_cleared() -> None:
    """Those with a last id are named, for workers to forget it. What waited goes, and sets none."""
    bench = Bench()
    for channel in "abc":
        bench.accept(channel, "0")
    bench.accept("b", "4", "3")
    bench.accept("b", "2", "1")
    bench.accept("c", "2", "1")
    bench.sequencer.forget("b", "0")
    known, released = bench.sequencer.clear(["b", "a", "x"])
    assert known == ["a"]
    assert names(released) == ["b4", "b2"]
    assert noted_ids(released) == [UNTOUCHED, UNTOUCHED]
    assert bench.last_ids == {"c": "0"}
    assert bench.counts == (1, 2, 0)
    assert bench.due(WAIT_S) == ["c2"]


@pytest.mark.parametrize(("limit", "value"), [("ALL_PARKED_MAX_COUNT", 3), ("ALL_PARKED_MAX_BYTES", 60)])
def test_parked_items_of_all_channels_are_bounded(limit: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest makes room: it goes too early rather than never."""
    monkeypatch.setattr(item_sequencer, limit, value)
    bench = Bench()
    parked, channels = list[str](), [f"c{number}-" for number in range(20)]
    released = list[str]()
    for channel in channels:
        bench.accept(channel, "0")
        parked.append(f"{channel}2")
        released += bench.accept(channel, "2", "1")
    assert released == parked[: len(released)]
    assert bench.counts == (20 - len(released), len(released), 0)
    assert 2 <= bench.counts[0] <= 3
    assert bench.due(WAIT_S) == parked[len(released) :]


def test_item_that_made_room_for_itself_goes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest was what it waits for."""
    monkeypatch.setattr(item_sequencer, "ALL_PARKED_MAX_COUNT", 1)
    bench = Bench()
    bench.accept("a", "0")
    assert bench.accept("a", "2", "1") == []
    assert bench.accept("a", "3", "2") == ["a2", "a3"]
    assert bench.counts == (0, 1, 0)


def test_new_hub_has_nothing_parked() -> None:
    """The gauge lives in memory that outlives the process that set it."""
    row = Scoreboard(1).row(0)
    row[Field.ITEMS_PARKED] = 7
    ItemSequencer(WAIT_S, LastIds(), row)
    assert row[Field.ITEMS_PARKED] == 0


@dataclass
class NaiveChannel:
    """The rules as they are written down, with a list."""

    last_id: str | None = None
    parked: list[tuple[float, int, PublishItem]] = field(default_factory=list)  # since, order of arrival

    def release(self, item: PublishItem) -> list[PublishItem]:
        self.last_id, released = item.id, [item]
        for entry in self.parked:
            if item.id is not None and entry[2].prev_id == item.id:
                self.parked.remove(entry)
                return released + self.release(entry[2])
        return released


CHANNELS = st.sampled_from("abc")
IDS = st.none() | st.sampled_from("0123456789")


class SequencerMachine(RuleBasedStateMachine):
    """Random publishers, subscriptions, doubts and pauses: sequencer, model and a worker that follows stay the same."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.arrivals = 0
        self.bench = Bench()
        self.worker_ids = LastIds()
        self.subscribed = {"a", "b"}
        self.model = {channel: NaiveChannel() for channel in "abc"}

    def check(self, released: list[ReleasedItem], expected: list[PublishItem]) -> None:
        assert [unpack_item(item.channel, item.payload) for item in released] == expected
        for item in released:
            if item.noted_id is not UNTOUCHED:
                self.worker_ids.note(item.channel, item.noted_id)

    @rule(channel=CHANNELS, item_id=IDS, prev_id=IDS, is_no_seq=st.sampled_from([False] * 9 + [True]))
    def publish(self, channel: str, item_id: str | None, prev_id: str | None, is_no_seq: bool) -> None:
        item, model = item_of(channel, item_id, prev_id, is_no_seq), self.model[channel]
        self.arrivals += 1
        if is_no_seq or channel not in self.subscribed:
            expected = [item]
        elif model.last_id is not None and prev_id is not None and prev_id != model.last_id:
            expected = []
            if prev_id not in [entry[2].prev_id for entry in model.parked]:
                model.parked.append((self.now, self.arrivals, item))
        else:
            expected = model.release(item)
        self.check(self.bench.sequencer.accept(item, channel in self.subscribed, self.now), expected)

    @rule(pause_s=st.sampled_from([0.5, 2.0, 4.0, 6.0]))
    def look(self, pause_s: float) -> None:
        self.now += pause_s
        expected: list[PublishItem] = []
        while due := [
            (*entry, model) for model in self.model.values() for entry in model.parked if self.now - entry[0] >= WAIT_S
        ]:
            since, order, item, model = min(due, key=lambda entry: entry[1])
            model.parked.remove((since, order, item))
            expected += model.release(item)
        self.check(self.bench.sequencer.due(self.now, 1000), expected)

    @rule(channel=CHANNELS)
    def open(self, channel: str) -> None:
        self.subscribed.add(channel)

    @rule(channel=CHANNELS)
    def close(self, channel: str) -> None:
        self.subscribed.discard(channel)
        known, released = self.bench.sequencer.clear([channel])
        self.check(released, [item for _, _, item in self.model[channel].parked])
        assert known == ([channel] if self.model[channel].last_id is not None else [])
        for name in known:
            self.worker_ids.pop(name)
        self.model[channel] = NaiveChannel()

    @rule(channel=CHANNELS, last_id=IDS)
    def doubt(self, channel: str, last_id: str | None) -> None:
        if last_id is not None and self.bench.sequencer.forget(channel, last_id):
            assert self.model[channel].last_id == last_id
            self.model[channel].last_id = None
            del self.worker_ids[channel]

    @rule()
    def recover(self) -> None:
        self.bench.sequencer.forget_all()
        self.worker_ids.clear()
        for model in self.model.values():
            model.last_id = None

    @invariant()
    def is_as_the_model(self) -> None:
        known = {channel: model.last_id for channel, model in self.model.items() if model.last_id is not None}
        assert self.bench.last_ids == self.worker_ids == known
        assert self.bench.counts[0] == sum(len(model.parked) for model in self.model.values())


TestSequencerMachine = SequencerMachine.TestCase
TestSequencerMachine.settings = hypothesis_settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_parked_items_go_to_another_hub() -> None:
    """With their age; here nothing is left of them."""
    row, other_row = Scoreboard(1).row(0), Scoreboard(1).row(0)
    sequencer, other = ItemSequencer(5.0, LastIds(), row), ItemSequencer(5.0, LastIds({"c": "1"}), other_row)
    sequencer.last_ids["c"] = "1"
    stream = HttpStreamFormat(SEND, b"x")
    assert sequencer.accept(PublishItem("c", "3", "2", http_stream=stream), True, 1.0) == []
    for fields in sequencer.parked():
        other.take_over(*fields)
    sequencer.give_away()
    assert sequencer.due(100.0, 10) == []
    assert (row[Field.ITEMS_PARKED], other_row[Field.ITEMS_PARKED]) == (0, 1)
    assert [item.noted_id for item in other.due(6.0, 10)] == ["3"]
