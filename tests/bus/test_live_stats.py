"""``/stats``: what one request is answered, and that nothing is gathered while nobody asks."""

import json
from collections.abc import Awaitable
from typing import Any, cast

import pytest

from gripproxy.bus import live_stats
from gripproxy.bus.control_answer import ControlAnswer
from gripproxy.bus.control_request import ControlRequest, ControlRequestError
from gripproxy.bus.live_stats import LiveStats
from gripproxy.bus.outlet import Outlet
from gripproxy.protocol.telemetry import Traffic
from gripproxy.scoreboard import Field
from tests.bus.bench import BusBench, publish, stream_item


class Site:
    """Live figures of a bench, whose routes are in `traffic`."""

    def __init__(self, bench: BusBench) -> None:
        self._bench = bench
        self.outlet: Outlet = bench.outlet()
        self.traffic: dict[str, list[int]] = {}
        self.stats = LiveStats(bench.loop, bench.scoreboard, self.outlet, lambda: self.traffic)
        bench.opened.callback(self.stats.close)

    def ask(self, target: bytes = b"/stats") -> dict[str, Any]:
        response = self.stats.respond(ControlRequest(b"GET", target, None, b""))
        answer = response if isinstance(response, ControlAnswer) else self.wait(response)
        assert answer.status == 200
        assert answer.content_type == b"application/json"
        return cast(dict[str, Any], json.loads(answer.body))

    def wait(self, response: Awaitable[ControlAnswer]) -> ControlAnswer:
        return self._bench.run(response)


@pytest.fixture
def site(bench: BusBench, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(live_stats, "FIRST_LOOK_S", 0.3)
    monkeypatch.setattr(live_stats, "DOCUMENT_AGE_MAX_S", 0.0)
    return Site(bench)


def test_first_answer_has_rates_already(bench: BusBench, site: Site) -> None:
    """Who asks once, as a script does, gets the figures of a moment, not of all time."""
    bench.scoreboard.row(1)[Field.REQUESTS] = 1_000_000
    bench.loop.call_later(0.1, bench.scoreboard.row(1).__setitem__, Field.REQUESTS, 1_000_003)
    document = site.ask()
    assert document["window_s"] >= 0.2
    assert document["total"]["per_s"]["requests"] == pytest.approx(3 / document["window_s"], rel=0.1)
    assert document["uptime_s"] > 0
    assert [worker["name"] for worker in document["workers"]] == ["worker 0", "worker 1"]


def test_next_answer_comes_at_once(site: Site) -> None:
    """There is a look to compare with."""
    site.ask()
    assert isinstance(site.stats.respond(ControlRequest(b"GET", b"/stats", None, b"")), ControlAnswer)


def test_many_who_ask_at_once_get_the_same_document(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen dashboards must not cost sixteen times as much; each takes as many of the channels as it wants."""
    monkeypatch.setattr(live_stats, "DOCUMENT_AGE_MAX_S", 60.0)
    document = site.ask()
    assert site.ask(b"/stats?channels=0") == {**document, "channels": []}


def test_route_numbers_are_those_of_the_moment(bench: BusBench, site: Site) -> None:
    """The rows are changed in place by whoever adds them up: a look must keep what it saw."""
    row = site.traffic["shop"] = [0] * len(Traffic)

    def count() -> None:
        row[Traffic.REQUESTS] += 5

    bench.loop.call_later(0.1, count)
    (route,) = site.ask()["routes"]
    assert route["route"] == "shop"
    assert route["per_s"]["requests"] > 0


def test_busiest_channels_are_counted_while_somebody_asks(bench: BusBench, site: Site) -> None:
    """And not a moment longer: each item costs a little."""
    assert site.outlet.on_items_sent is None
    site.ask()
    for channel in ("news", "news", "sport"):
        publish(site.outlet, stream_item(channel, b"x"))
    bench.turn()

    def names() -> list[str]:
        return [busy["channel"] for busy in site.ask(b"/stats?channels=1")["channels"]]

    bench.run_until(lambda: names() == ["news"])
    assert {busy["channel"] for busy in site.ask()["channels"]} == {"news", "sport"}


def test_nothing_is_counted_when_nobody_asks_any_more(
    bench: BusBench, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dashboard that was closed costs nothing."""
    monkeypatch.setattr(live_stats, "IDLE_S", 0.0)
    site.ask()
    bench.run_until(lambda: site.outlet.on_items_sent is None)


@pytest.mark.parametrize("text", [b"many", b"-1", b""])
def test_number_of_channels_is_checked_before_any_waiting(site: Site, text: bytes) -> None:
    """The control server turns it into a 400 only if it is raised at once."""
    with pytest.raises(ControlRequestError):
        site.stats.respond(ControlRequest(b"GET", b"/stats?channels=" + text, None, b""))
