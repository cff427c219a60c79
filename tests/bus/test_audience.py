"""How many listen to channels: questions to workers, and their answers added up."""

from gripproxy.bus.audience import ANSWER_AGE_MAX_S, ASKED_MAX_COUNT, Audience
from gripproxy.bus.feed import Feed
from gripproxy.protocol.telemetry import AudienceRecord
from tests.bus.bench import BusBench, reader_of


def test_answers_of_all_workers_add_up() -> None:
    """The last of each; one that has nobody says so, which is another thing than not to know."""
    audience = Audience(None)  # type: ignore[arg-type]
    assert audience.counts(0.0) == {}
    audience.on_record(AudienceRecord(0, {"news": 3, "quiet": 0}))
    audience.on_record(AudienceRecord(1, {"news": 4, "quiet": 0}))
    assert audience.counts(0.0) == {"news": 7, "quiet": 0}
    audience.on_record(AudienceRecord(1, {"news": 5}))
    assert audience.counts(0.0) == {"news": 8, "quiet": 0}


def test_answer_of_a_worker_that_is_gone_is_forgotten() -> None:
    """Its listeners are gone with it."""
    audience = Audience(None)  # type: ignore[arg-type]
    audience.on_record(AudienceRecord(0, {"news": 3}))
    assert audience.counts(ANSWER_AGE_MAX_S + 0.1) == {}


def test_question_reaches_the_workers_on_the_bus(bench: BusBench) -> None:
    """No more of it than a worker can answer in a moment."""
    outlet = bench.hub().outlet
    reader = reader_of(set(), lambda channel, payload, receipt: None)
    feed = Feed(bench.bus_path, 0, bench.loop, reader, bench.scoreboard.row(1))
    bench.opened.callback(feed.close)
    bench.run(feed.join(10.0))
    asked: list[list[str]] = []
    feed.on_audience = asked.append
    audience = Audience(outlet)
    audience.ask([], 0.0)
    audience.ask([f"c{number}" for number in range(ASKED_MAX_COUNT + 1)], 0.0)
    bench.run_until(lambda: asked != [])
    assert asked == [[f"c{number}" for number in range(ASKED_MAX_COUNT)]]


def test_full_bus_is_not_asked(bench: BusBench) -> None:
    """It has enough to do."""
    outlet = bench.outlet()
    outlet.is_blocked = True
    sent: list[list[str]] = []
    outlet.tell_audience = sent.append  # type: ignore[method-assign, assignment]
    Audience(outlet).ask(["news"], 0.0)
    assert sent == []
