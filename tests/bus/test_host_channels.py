"""What workers learn about channels: last ids that are the same everywhere, and which holds must ask again."""

import random

import pytest

from gripproxy.bus import host_channels
from gripproxy.bus.feed import Feed, Reader
from gripproxy.bus.outlet import Outlet
from gripproxy.bus.worker_notice import IdsDoubted
from gripproxy.protocol.bus_message import Payload, unpack_item
from gripproxy.protocol.last_ids import LastIds
from gripproxy.scoreboard import Field
from tests.bus.bench import BusBench, HubParts, stream_item

MARKER = "marker"


class Worker:
    """A feed that notes what it knew at each item that it wants, by the item's content."""

    def __init__(self, bench: BusBench, index: int, *wanted: str) -> None:
        self.known_at: dict[bytes, dict[str, str]] = {}
        self.contents: list[bytes] = []
        self.stale: list[list[str] | None] = []
        self.last_ids = LastIds()

        def on_item(channel: str, payload: Payload, receipt: object) -> None:
            item = unpack_item(channel, payload)
            assert item.http_stream is not None
            self.contents.append(item.http_stream.content)
            self.known_at[item.http_stream.content] = dict(self.last_ids)

        reader = Reader({MARKER, *wanted}, self.last_ids, on_item, self.stale.append)
        self.feed = Feed(bench.bus_path, index, bench.loop, reader, bench.scoreboard.row(index + 1))
        self._is_open = True
        bench.opened.callback(self.close)
        for channel in wanted:
            self.feed.subscribe(channel)

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self.feed.close()


def start(bench: BusBench, *subscribed: str, is_updating: bool = True) -> tuple[HubParts, Worker, Worker]:
    """Start a hub and two workers, the first with these channels."""
    hub = bench.hub(is_updating)
    workers = Worker(bench, 0, *subscribed), Worker(bench, 1)
    for worker in workers:
        bench.run(worker.feed.join(10))
    bench.run(hub.outlet.wait_joined({0, 1}, 10))
    return hub, *workers


def accept(hub: HubParts, channel: str, item_id: str | None, prev_id: str | None = None) -> None:
    hub.intake.accept([stream_item(channel, f"{channel}{item_id}".encode(), item_id, prev_id)])


def settle(bench: BusBench, hub: HubParts, *workers: Worker) -> None:
    """Wait until the workers have got all that is on the bus."""
    content = b"%d" % random.getrandbits(64)
    hub.intake.accept_contents([MARKER], [content])
    bench.run_until(lambda: all(content in worker.contents for worker in workers))


def test_every_worker_knows_the_last_ids_of_the_host(bench: BusBench) -> None:
    """Wanted there or not: a client that held in one worker may come back to the other. Without a subscriber: none."""
    hub, first, second = start(bench, "a")
    accept(hub, "a", "1")
    accept(hub, "a", "3", "2")
    accept(hub, "b", "1")
    settle(bench, hub, first, second)
    assert first.last_ids == second.last_ids == hub.last_ids == {"a": "1"}
    accept(hub, "a", "2", "1")
    settle(bench, hub, first, second)
    assert first.last_ids == second.last_ids == hub.last_ids == {"a": "3"}
    assert first.known_at[b"a2"] == {"a": "2"}
    hub.intake.accept_contents(["a"], [b"plain"])
    settle(bench, hub, first, second)
    assert first.last_ids == second.last_ids == hub.last_ids == {}


def test_content_does_nothing_to_channels_without_a_last_id(bench: BusBench) -> None:
    """Most items are such; what is parked there goes on waiting."""
    hub, first, second = start(bench, "a")
    accept(hub, "a", "1")
    accept(hub, "a", "3", "2")
    hub.intake.accept_contents(["a"], [b"x"])
    hub.intake.accept_contents(["a"], [b"y"])
    settle(bench, hub, first, second)
    assert first.contents[:3] == [b"a1", b"x", b"y"]
    assert bench.scoreboard.row(0)[Field.ITEMS_PARKED] == 1
    accept(hub, "a", "2", "1")
    settle(bench, hub, first, second)
    assert first.contents[-3:-1] == [b"a2", b"a3"]


def test_channel_that_is_closed_is_forgotten_everywhere(bench: BusBench) -> None:
    """By a report, or by the end of the only worker that had it."""
    hub, first, second = start(bench, "a", "b")
    for channel in "ab":
        accept(hub, channel, "1")
    first.feed.unsubscribe("a")
    bench.run_until(lambda: hub.last_ids == {"b": "1"})
    settle(bench, hub, first, second)
    assert first.last_ids == second.last_ids == {"b": "1"}
    first.close()
    bench.run_until(lambda: hub.last_ids == {})
    settle(bench, hub, second)
    assert second.last_ids == {}


def test_what_waited_on_a_closed_channel_is_not_lost(bench: BusBench) -> None:
    """The next subscriber may be there before his worker's report is: out of order is better than never."""
    hub, first, second = start(bench, "a")
    accept(hub, "a", "1")
    accept(hub, "a", "3", "2")
    second.feed._wanted |= {"a"}  # and its report is on its way
    first.feed.unsubscribe("a")
    bench.run_until(lambda: "a" not in hub.subscribed)
    settle(bench, hub, first, second)
    assert b"a3" in second.contents
    assert first.last_ids == second.last_ids == hub.last_ids == {}


def test_doubted_id_is_forgotten_everywhere_if_it_is_still_the_last(bench: BusBench) -> None:
    """The hub may have released the next item in the meantime."""
    hub, first, second = start(bench, "a", "b")
    for channel in "ab":
        accept(hub, channel, "1")
        accept(hub, channel, "2", "1")
    settle(bench, hub, first, second)
    second.feed.forget_id("a", "2")
    second.feed.forget_id("b", "1")
    bench.run_until(lambda: "a" not in hub.last_ids)
    settle(bench, hub, first, second)
    assert first.last_ids == second.last_ids == hub.last_ids == {"b": "2"}


def test_recovery_forgets_all_and_updates_all(bench: BusBench) -> None:
    """The publisher says that items are missing, and not where."""
    hub, first, second = start(bench, "a", "b")
    for channel in "ab":
        accept(hub, channel, "1")
    hub.channels.recover()
    settle(bench, hub, first, second)
    assert first.last_ids == second.last_ids == hub.last_ids == {}
    assert first.stale == second.stale == [None]


def test_worker_that_joins_learns_what_was_before_it(bench: BusBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """In parts, and what changes meanwhile in its place: the result is what the others know."""
    monkeypatch.setattr(host_channels, "LAST_IDS_MAX_COUNT", 7)
    channels = [f"c{number}" for number in range(100)]
    hub, first, second = start(bench, *channels)
    for channel in channels:
        accept(hub, channel, "1")
    settle(bench, hub, first, second)
    second.close()
    bench.run_until(lambda: 1 not in hub.outlet._joined)  # here both have the same pid, and so the same topic
    told = 0
    real_tell = Outlet.tell_last_ids

    def tell_and_change(outlet: Outlet, worker_index: int, names: list[str], last_ids: list[str]) -> None:
        """Between two parts a channel's id changes, another is left unknown and a third is forgotten."""
        nonlocal told
        real_tell(outlet, worker_index, names, last_ids)
        told += 1
        accept(hub, channels[-told], "2", "1")
        accept(hub, channels[told], None)
        first.feed.forget_id(channels[told + 40], "1")

    monkeypatch.setattr(Outlet, "tell_last_ids", tell_and_change)
    replaced = Worker(bench, 1)
    bench.run(replaced.feed.join(10))
    assert told >= 10
    assert replaced.last_ids
    bench.run_until(lambda: channels[told + 40] not in hub.last_ids)
    settle(bench, hub, first, replaced)
    assert first.last_ids == replaced.last_ids == hub.last_ids
    assert set(hub.last_ids.values()) == {"1", "2"}


def test_parts_wait_while_the_bus_is_blocked(bench: BusBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would only fill the memory in front of it."""
    hub, first, second = start(bench, "a")
    accept(hub, "a", "1")
    settle(bench, hub, first, second)
    told: list[int] = []
    monkeypatch.setattr(hub.outlet, "tell_last_ids", lambda worker_index, channels, last_ids: told.append(worker_index))
    hub.outlet.is_blocked = True
    hub.channels._on_joined(1)
    for _ in range(5):
        bench.turn()
    assert told == []
    hub.outlet.is_blocked = False
    bench.run_until(lambda: told == [1, 1])


def test_parts_for_a_worker_that_left_end(bench: BusBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their end would be taken by its successor for the end of its own."""
    monkeypatch.setattr(host_channels, "LAST_IDS_MAX_COUNT", 1)
    hub, _, _ = start(bench, "a", "b")
    accept(hub, "a", "1")
    accept(hub, "b", "1")
    told: list[int] = []
    monkeypatch.setattr(hub.outlet, "tell_last_ids", lambda _, channels, last_ids: told.append(len(channels)))
    hub.channels._on_joined(1)
    hub.channels._on_left(1)
    for _ in range(4):
        bench.turn()
    assert told == [1]
    hub.channels._on_joined(1)
    hub.channels._on_joined(1)
    bench.run_until(lambda: told[-1:] == [0])
    bench.turn()
    assert told == [1, 1, 1, 1, 0]


def test_holds_of_a_first_subscription_are_updated(bench: BusBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """If they can be: items may have come between the origin's answer and the subscription. All workers are told."""
    monkeypatch.setattr(host_channels, "UPDATE_DELAY_S", 0.05)
    hub, first, second = start(bench, "plain", "shared")
    second.feed._wanted |= {"late", "shared"}
    first.feed._wanted |= {"a", "b", "late", "left"}
    first.feed.subscribe("a", True)
    first.feed.subscribe("left", True)
    first.feed.subscribe("late", True)
    second.feed.subscribe("shared", True)
    bench.run_until(lambda: "late" in hub.subscribed and "left" in hub.subscribed)
    first.feed.unsubscribe("left")
    first.feed.subscribe("b", True)
    bench.run_until(lambda: sum(len(names or ()) for names in first.stale) == 3)
    settle(bench, hub, first, second)
    assert {name for names in first.stale for name in names or ()} == {"a", "b", "late"}
    assert second.stale == [["late"]]


def test_updates_come_together(bench: BusBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A timer and a message for each channel would cost more than the channel."""
    monkeypatch.setattr(host_channels, "UPDATE_GAP_S", 0.3)
    monkeypatch.setattr(host_channels, "UPDATE_DELAY_S", 0.0)
    hub, first, second = start(bench)
    told: list[list[str]] = []
    monkeypatch.setattr(hub.outlet, "tell_stale", lambda channels: told.append(sorted(channels)))
    for worker, channel in ((first, "a"), (second, "b"), (first, "c")):
        worker.feed.subscribe(channel, True)
        bench.run_until(lambda channel=channel: channel in hub.subscribed)  # type: ignore[misc]  # a default argument
    assert told == []
    bench.run_until(lambda: bool(told))
    assert told == [["a", "b", "c"]]


def test_updates_can_be_switched_off(bench: BusBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """`update_on_first_subscription=false`."""
    monkeypatch.setattr(host_channels, "UPDATE_DELAY_S", 0.0)
    hub, first, second = start(bench, is_updating=False)
    first.feed._wanted.add("a")
    first.feed.subscribe("a", True)
    bench.run_until(lambda: "a" in hub.subscribed)
    assert not hub.channels._updates
    settle(bench, hub, first, second)
    assert first.stale == []


def test_new_hub_updates_those_who_can_be_whoever_tells_first(bench: BusBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The streams of one worker and the long-polls of another are on one channel."""
    monkeypatch.setattr(host_channels, "UPDATE_DELAY_S", 0.0)
    hub, first, second = start(bench, "a")
    first.feed._wanted.add("b")
    second.feed.subscribe("b")
    bench.run_until(lambda: "b" in hub.subscribed)
    second.feed.subscribe("a", True)
    first.feed.subscribe("b", True)
    settle(bench, hub, first, second)
    assert first.stale == []
    hub.close()
    monkeypatch.setattr(host_channels, "UPDATE_DELAY_S", 0.5)  # both feeds have joined by then
    bench.hub()
    bench.run_until(lambda: {name for names in first.stale for name in names or ()} == {"a", "b"})


def test_new_hub_updates_what_the_old_one_may_have_lost(bench: BusBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """To it every channel has its first subscription."""
    hub, first, _ = start(bench)
    first.feed._wanted.add("a")
    first.feed.subscribe("a", True)
    bench.run_until(lambda: "a" in hub.subscribed)
    hub.close()
    monkeypatch.setattr(host_channels, "UPDATE_DELAY_S", 0.5)  # the feed has joined by then
    bench.hub()
    bench.run_until(lambda: first.stale == [["a"]])


def test_feeds_know_the_same_at_the_same_item(bench: BusBench) -> None:
    """Whatever happens in between: each item finds in every worker what it found in the others."""
    chance = random.Random(5)
    channels = [f"c{number}" for number in range(8)]
    hub, first, second = start(bench, *channels[:6])
    for number in range(3_000):
        channel, turn = chance.choice(channels), chance.random()
        ids = [None, *map(str, range(10))]
        if turn < 0.80:
            accept(hub, channel, chance.choice(ids), chance.choice(ids))
        elif turn < 0.85:
            hub.intake.accept_contents([channel], [b""])
        elif turn < 0.90:
            hub.channels._on_doubts(IdsDoubted(0, {channel: hub.last_ids.get(channel, "1")}))
        elif turn < 0.95:
            chance.choice((first.feed.subscribe, first.feed.unsubscribe))(channel)
        elif turn < 0.96:
            hub.channels.recover()
        hub.intake.accept_contents([MARKER], [b"marker %d" % number])
        if turn > 0.7:
            bench.turn()
    settle(bench, hub, first, second)
    assert len(first.known_at) >= 3_000
    marks = [content for content in first.contents if content in second.known_at]
    assert len(marks) >= 3_000
    assert any(first.known_at[content] for content in marks)
    for content in marks:
        assert first.known_at[content] == second.known_at[content]
    assert first.last_ids == second.last_ids == hub.last_ids
